//! When to try again: growing times with jitter, never sooner than a server asked for.

use std::time::Duration;

use crate::model::fault::{Fault, Next};

/// No server keeps us away for longer.
const LONGEST: Duration = Duration::from_hours(6);

/// The time to wait after the `failures`-th fault in a row, `None` when it is not tried again by
/// itself. `dice` is uniform in 0..1; the time is spread by a quarter either way, as far as it stays
/// within the kind's limits, so that no two players come back together.
pub fn delay(fault: &Fault, failures: u32, dice: f64) -> Option<Duration> {
    let planned = match fault.kind.next() {
        Next::Backoff { first, longest } => {
            let doublings = failures.saturating_sub(1).min(16);
            let middle = first.saturating_mul(1 << doublings).min(longest);
            let (least, most) =
                (middle.mul_f64(0.75).max(first), middle.mul_f64(1.25).min(longest));
            least + most.saturating_sub(least).mul_f64(dice.clamp(0.0, 1.0))
        }
        Next::Watch(every) => every,
        Next::Ask | Next::Rest => return None,
    };
    let asked = Duration::from_secs(fault.retry_after.unwrap_or(0)).min(LONGEST);
    Some(planned.max(asked))
}

/// The time between two looks, spread by a tenth either way so that players do not come all at once.
pub fn interval(every: Duration, dice: f64) -> Duration {
    every.mul_f64(0.9 + 0.2 * dice.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::FaultKind;

    fn fault(kind: FaultKind, retry_after: Option<u64>) -> Fault {
        Fault { retry_after, ..Fault::new(kind, "x", "") }
    }

    #[test]
    fn the_times_double_from_a_minute_to_six_hours() {
        let minutes = |failures| {
            delay(&fault(FaultKind::OriginUnreachable, None), failures, 0.5)
                .map(|d| d.as_secs() / 60)
        };
        let all: Vec<_> = (1..=11).filter_map(minutes).collect();
        assert_eq!(all, [1, 2, 4, 8, 16, 32, 64, 128, 256, 315, 315]);
    }

    #[test]
    fn no_two_throws_of_the_dice_give_the_same_time() {
        for (failures, least, most) in [(1, 60, 75), (2, 90, 150), (20, 270 * 60, 360 * 60)] {
            let times: Vec<_> = (0..=100)
                .filter_map(|dice| {
                    let fault = fault(FaultKind::OriginUnreachable, None);
                    delay(&fault, failures, f64::from(dice) / 100.0)
                })
                .collect();
            assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
            let ends = [times[0], times[100]].map(|time| time.as_secs());
            assert_eq!(ends, [least, most]);
        }
    }

    #[test]
    fn a_server_may_ask_for_more_and_not_for_ever() {
        let after = |seconds| delay(&fault(FaultKind::OriginUnreachable, Some(seconds)), 1, 0.0);
        assert_eq!(after(10), Some(Duration::from_mins(1)));
        assert_eq!(after(3600), Some(Duration::from_hours(1)));
        assert_eq!(after(u64::MAX), Some(LONGEST));
    }

    #[test]
    fn what_needs_a_person_is_not_tried_again() {
        assert_eq!(delay(&fault(FaultKind::MassRemoval, None), 1, 0.5), None);
    }
}
