//! Years of a pack's life, and clocks that go wrong.

use std::time::Duration;

use modsync::model::command::{Approval, Command};
use modsync::model::fault::FaultKind;

use super::pack::*;

const YEARS: Duration = Duration::from_hours(24 * 3_653);
const CHECK: Duration = Duration::from_mins(10);

#[test]
fn ten_thousand_checks_come_at_their_times_and_five_hundred_releases_leave_nothing_behind() {
    let mut pack = Pack::with_installed(1, true);
    assert_eq!(pack.clock(), ["check full"]);
    pack.done(same());
    let size = |pack: &Pack| serde_json::to_vec(pack.machine.facts()).unwrap().len();
    let (mut sizes, mut number) = (Vec::new(), 1);
    for check in 1..=10_000 {
        assert_eq!(pack.wait_until_it_acts(), CHECK);
        if check % 20 > 0 {
            pack.done(same());
            continue;
        }
        number = number % 250 + 1;
        pack.done(found(number));
        pack.done(scanned(number));
        pack.done(fetched());
        pack.done(applied(number));
        assert_eq!(pack.phase(), "current");
        sizes.push(size(&pack));
    }
    assert_eq!(sizes.len(), 500);
    // A number of three digits may be longer than one of two.
    let greatest = |sizes: &[usize]| sizes.iter().max().copied().unwrap_or(0);
    assert!(greatest(&sizes[50..]) < greatest(&sizes[..50]) + 16, "{sizes:?}");
}

#[test]
fn a_clock_that_is_set_back_by_years_does_not_put_the_next_check_off() {
    let mut pack = Pack::with_installed(1, false);
    pack.time += YEARS;
    assert_eq!(pack.clock(), ["check full"]);
    pack.done(same());
    pack.time -= YEARS;
    assert_eq!(pack.clock(), ["check full"]);
    pack.done(same());
    assert_eq!(pack.wait_until_it_acts(), CHECK);
}

#[test]
fn a_clock_that_is_set_ahead_by_years_asks_once() {
    let mut pack = Pack::with_installed(1, false);
    pack.clock();
    pack.done(same());
    pack.time += YEARS;
    assert_eq!(pack.clock(), ["check full"]);
    pack.done(same());
    assert_eq!(pack.clock(), [""; 0]);
    assert_eq!(pack.wait_until_it_acts(), CHECK);
}

#[test]
fn a_clock_that_is_set_back_by_years_does_not_put_the_next_try_off() {
    let mut pack = Pack::with_installed(1, false);
    pack.clock();
    pack.done(found(2));
    pack.done(scanned(2));
    pack.time += YEARS;
    pack.command(Command::Apply { approve: Approval::None });
    pack.done(scanned(2));
    pack.done(Err(fault(FaultKind::NoPeers)));
    pack.time -= YEARS;
    assert_eq!(pack.clock(), ["check"]);
}
