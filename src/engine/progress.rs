//! How far the running job is, for whoever looks.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::snapshot::{Progress, Unit};

/// Rates are averaged over about this long.
const WINDOW: Duration = Duration::from_secs(2);

/// The progress of one job, written by it and read by the engine.
#[derive(Debug, Default)]
pub struct ProgressCell(Mutex<Meter>);

#[derive(Debug, Default)]
struct Meter {
    shown: Progress,
    /// The last point a rate was taken at.
    mark: Option<(Instant, u64)>,
    /// Whether the rate is of a whole window.
    settled: bool,
}

impl ProgressCell {
    pub fn get(&self) -> Progress {
        self.lock().shown
    }

    /// Tells how much is done; the rate follows from the calls.
    pub fn set(&self, done: u64, total: u64, unit: Unit) {
        let mut meter = self.lock();
        let (since, from) = *meter.mark.get_or_insert_with(|| (Instant::now(), done));
        let elapsed = since.elapsed();
        let mut rate = meter.shown.rate;
        // Until the first window is over, what there is of it must do.
        if elapsed >= WINDOW || (!meter.settled && elapsed >= WINDOW / 8) {
            rate = per_second(done.saturating_sub(from), elapsed);
        }
        if elapsed >= WINDOW || done < from {
            meter.mark = Some((Instant::now(), done));
            meter.settled = elapsed >= WINDOW;
        }
        meter.shown = Progress { done, total, unit, rate, peers: None, eta: None };
    }

    /// Tells everything at once.
    pub fn show(&self, progress: Progress) {
        self.lock().shown = progress;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Meter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn per_second(amount: u64, elapsed: Duration) -> u64 {
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    amount.saturating_mul(1000) / millis
}
