//! The state machine alone: what follows what. No clock, no disk, no network.

mod clock;
pub mod pack;

use std::time::Duration;

use modsync::engine::job::{Found, InTrash, Outcome};
use modsync::model::command::{Approval, Command};
use modsync::model::fault::{Fault, FaultKind};
use modsync::model::release::Digest;
use modsync::model::report::{CleanReport, RestoreReport};
use modsync::model::snapshot::{Progress, Removed};

use self::pack::*;

#[test]
fn a_pack_looks_at_its_folder_first_and_then_at_its_origin() {
    let mut pack = Pack::new(false);
    assert_eq!(pack.clock(), ["recover"]);
    assert_eq!(pack.done(nothing_installed()), ["remember", "nothing"]);
    assert_eq!(pack.clock(), ["check full"]);
    assert_eq!(pack.phase(), "checking");
}

#[test]
fn an_update_is_planned_and_waits_for_a_click() {
    let mut pack = Pack::ready(false);
    assert_eq!(pack.clock(), ["check full"]);
    assert_eq!(pack.done(found(1)), ["remember", "scan 1"]);
    assert_eq!(pack.done(scanned(1)), ["remember", "nothing"]);
    assert_eq!(pack.phase(), "update available");
    assert_eq!(pack.command(Command::Apply { approve: Approval::None }), ["scan 1"]);
    assert_eq!(pack.done(scanned(1)), ["remember", "fetch"]);
    assert_eq!(pack.done(fetched()), ["apply"]);
    assert_eq!(pack.done(applied(1)), ["seed", "remember", "answer applied"]);
    assert_eq!(pack.phase(), "current");
}

#[test]
fn a_fetch_during_which_another_release_was_published_goes_on_with_that_one() {
    let mut pack = Pack::with_installed(1, true);
    pack.wait(Duration::from_mins(11));
    pack.clock();
    pack.done(found(2));
    assert_eq!(pack.done(scanned(2)), ["remember", "fetch"]);
    assert_eq!(pack.done(found(3)), ["remember", "scan 3"]);
    assert_eq!(pack.done(scanned(3)), ["remember", "fetch"]);
    assert_eq!(pack.done(found(1)), ["remember", "nothing"]);
    assert_eq!(pack.phase(), "current");
}

#[test]
fn what_somebody_else_has_applied_is_seeded_and_verified_in_place_of_what_was_installed() {
    let mut pack = Pack::with_installed(1, false);
    assert_eq!(pack.command(Command::Verify { repair: false }), ["verify"]);
    assert_eq!(pack.done(installed(2)), ["seed", "remember", "verify"]);
}

#[test]
fn with_auto_apply_nobody_needs_to_click() {
    let mut pack = Pack::ready(true);
    pack.clock();
    pack.done(found(1));
    assert_eq!(pack.done(scanned(1)), ["remember", "fetch"]);
}

#[test]
fn an_origin_that_flips_between_two_releases_has_each_applied_twice_a_day() {
    let mut pack = Pack::with_installed(1, true);
    let mut applied = Vec::new();
    let mut look = |pack: &mut Pack, number| {
        pack.wait(Duration::from_mins(11));
        assert!(pack.clock()[0].starts_with("check"));
        if pack.done(found(number)).iter().any(|effect| effect.starts_with("scan"))
            && pack.done(scanned(number)).contains(&"fetch".to_owned())
        {
            pack.done(fetched());
            pack.done(self::applied(number));
            applied.push(number);
        }
        (applied.clone(), pack.phase())
    };
    for round in 0..60 {
        look(&mut pack, if round % 2 == 0 { 2 } else { 1 });
    }
    // What was installed at first was not applied that day.
    let (so_far, phase) = look(&mut pack, 2);
    assert_eq!((so_far, phase), (vec![2, 1, 2, 1], "update available"));
    // A restart forgets none of this, and each look costs no more than the question.
    let mut pack = pack.restarted();
    pack.done(installed(1));
    assert_eq!(look(&mut pack, 2), (vec![2, 1, 2, 1], "update available"));
    // The origin keeps to its last word: that is taken when a day is over, without anybody.
    let looks = (1..200).find(|_| look(&mut pack, 2).1 == "current").unwrap();
    assert!((60..140).contains(&looks), "{looks}");
    assert_eq!(look(&mut pack, 2), (vec![2, 1, 2, 1, 2], "current"));
}

#[test]
fn a_release_that_comes_back_too_often_is_applied_at_a_word_and_whatever_the_clock_did() {
    let mut pack = Pack::with_installed(1, true);
    let take = |pack: &mut Pack, number| {
        pack.wait(Duration::from_mins(11));
        pack.clock();
        pack.done(found(number));
        let effects = pack.done(scanned(number));
        let is_taken = effects.contains(&"fetch".to_owned());
        if is_taken {
            pack.done(fetched());
            pack.done(applied(number));
        }
        is_taken
    };
    assert_eq!([2, 1, 2, 1].map(|number| take(&mut pack, number)), [true; 4]);
    assert!(!take(&mut pack, 2));
    pack.command(Command::Apply { approve: Approval::None });
    pack.done(scanned(2));
    pack.done(fetched());
    assert_eq!(pack.done(applied(2)).last().unwrap(), "answer applied");
    assert!(!take(&mut pack, 1));
    // A clock that was ten years ahead must not forbid it for ten years.
    pack.time -= Duration::from_hours(90_000);
    assert!(take(&mut pack, 1));
}

#[test]
fn an_offered_update_is_remembered_across_a_restart_and_planned_once() {
    let mut pack = Pack::ready(false);
    pack.clock();
    pack.done(found(1));
    pack.done(scanned(1));
    let mut pack = pack.restarted();
    assert_eq!(pack.done(nothing_installed()), ["remember", "nothing"]);
    assert_eq!(pack.phase(), "update available");
    assert_eq!(pack.clock(), ["check"]);
    assert_eq!(pack.done(same()), ["remember", "nothing"]);
    assert_eq!(pack.phase(), "update available");
}

#[test]
fn the_next_check_comes_after_the_interval_and_at_once_after_a_long_sleep() {
    let mut pack = Pack::ready(false);
    pack.clock();
    pack.done(same());
    pack.wait(Duration::from_mins(8));
    assert_eq!(pack.clock(), [""; 0]);
    pack.wait(Duration::from_mins(3));
    assert_eq!(pack.clock(), ["check"]);
    pack.done(same());
    pack.wait(Duration::from_hours(9));
    assert_eq!(pack.clock(), ["check"]);
}

#[test]
fn the_whole_body_is_read_at_least_daily() {
    let mut pack = Pack::ready(false);
    pack.clock();
    pack.done(same());
    pack.wait(Duration::from_hours(25));
    assert_eq!(pack.clock(), ["check full"]);
}

#[test]
fn a_fault_of_the_origin_is_tried_again_later_and_later_and_forgotten_when_it_is_over() {
    let mut pack = Pack::ready(false);
    pack.clock();
    let mut waits = Vec::new();
    for _ in 0..4 {
        assert_eq!(pack.done(Err(fault(FaultKind::OriginUnreachable))), ["remember"]);
        assert_eq!(pack.phase(), "waiting");
        assert_eq!(pack.clock(), [""; 0]);
        waits.push(pack.wait_until_it_acts().as_secs() / 60);
    }
    assert_eq!(waits, [1, 2, 4, 8]);
    pack.done(same());
    assert_eq!(pack.phase(), "current");
    assert_eq!(pack.machine.facts().failures, 0);
}

#[test]
fn a_server_that_asks_for_an_hour_gets_it() {
    let mut pack = Pack::ready(false);
    pack.clock();
    pack.done(Err(Fault { retry_after: Some(3600), ..fault(FaultKind::OriginUnreachable) }));
    assert_eq!(pack.wait_until_it_acts().as_secs(), 3600);
}

#[test]
fn a_plan_that_changed_while_working_is_made_anew_three_times_and_then_later() {
    let mut pack = Pack::ready(true);
    pack.clock();
    pack.done(found(1));
    for _ in 0..3 {
        assert_eq!(pack.done(scanned(1)), ["remember", "fetch"]);
        assert_eq!(pack.done(Err(fault(FaultKind::FolderChanged))), ["scan 1 wholly"]);
    }
    pack.done(scanned(1));
    assert_eq!(pack.done(Err(fault(FaultKind::FolderChanged))), ["remember"]);
    assert_eq!(pack.phase(), "waiting");
}

#[test]
fn a_question_stays_until_exactly_that_plan_is_approved() {
    let mut pack = Pack::with_installed(1, true);
    pack.clock();
    pack.done(found(2));
    assert_eq!(pack.done(scanned_with_question(2)), ["remember", "remember"]);
    assert_eq!(pack.phase(), "blocked");
    // The clock asks the origin and not the folder: the question stands.
    pack.wait(Duration::from_mins(11));
    pack.clock();
    assert_eq!(pack.done(same()), ["remember", "nothing"]);
    assert_eq!(pack.phase(), "blocked");
    // Without approval it stays, with approval it goes.
    pack.command(Command::Apply { approve: Approval::None });
    assert_eq!(
        pack.done(scanned_with_question(2)),
        ["remember", "remember", "answer mass_removal"]
    );
    pack.command(Command::Apply { approve: Approval::Shown });
    assert_eq!(pack.done(scanned_with_question(2)), ["remember", "fetch"]);
}

#[test]
fn approving_what_was_not_shown_shows_it_first() {
    let mut pack = Pack::with_installed(1, false);
    pack.command(Command::Pause);
    pack.command(Command::Check);
    pack.done(found(2));
    assert_eq!(pack.command(Command::Apply { approve: Approval::Shown }), ["scan 2"]);
    assert_eq!(
        pack.done(scanned_with_question(2)),
        ["remember", "remember", "answer mass_removal"]
    );
}

#[test]
fn a_release_the_user_went_back_from_is_applied_only_when_asked_for() {
    let mut pack = Pack::with_installed(2, true);
    assert_eq!(pack.command(Command::Rollback), ["stop seeding", "rollback"]);
    assert_eq!(pack.done(rolled_back(1, 2)), ["seed", "remember", "answer rolled back"]);
    assert_eq!(pack.phase(), "current");
    pack.clock();
    assert_eq!(pack.done(same()), ["remember", "nothing"]);
    assert_eq!(pack.command(Command::Sync), ["check"]);
    assert_eq!(pack.done(same()), ["remember", "scan 1 quickly"]);
    assert_eq!(pack.done(Ok(Outcome::AsInstalled)), ["answer up to date"]);
    assert_eq!(pack.command(Command::Apply { approve: Approval::None }), ["scan 2"]);
    pack.done(scanned(2));
    pack.done(fetched());
    pack.done(applied(2));
    assert_eq!(pack.machine.facts().held, None);
}

#[test]
fn a_rollback_that_was_cut_off_is_finished_and_goes_no_further() {
    let mut pack = Pack::with_installed(3, true);
    pack.command(Command::Rollback);
    assert_eq!(pack.done(Ok(Outcome::Interrupted)), ["remember", "answer cancelled"]);
    assert_eq!(pack.command(Command::Rollback), ["recover"]);
    let Ok(Outcome::Recovered(found)) = installed(2) else { panic!("not recovered") };
    let finished = Found { finished: Some(report(2)), went_back: true, changed: true, ..found };
    let told = pack.done(Ok(Outcome::Recovered(finished)));
    assert_eq!(told, ["seed", "remember", "answer rolled back"]);
}

#[test]
fn a_newer_release_ends_the_hold() {
    let mut pack = Pack::with_installed(2, false);
    pack.command(Command::Rollback);
    pack.done(rolled_back(1, 2));
    pack.clock();
    assert_eq!(pack.done(found(3)), ["remember", "scan 3"]);
}

#[test]
fn a_paused_pack_does_nothing_by_itself_and_what_it_is_told() {
    let mut pack = Pack::ready(true);
    pack.clock();
    assert_eq!(pack.command(Command::Pause), ["remember", "answer done", "cancel"]);
    assert_eq!(pack.done(Err(Fault::cancelled())), ["remember"]);
    assert_eq!(pack.phase(), "paused");
    pack.wait(Duration::from_hours(1));
    assert_eq!(pack.clock(), [""; 0]);
    assert_eq!(pack.command(Command::Check), ["check full"]);
    pack.done(same());
    assert_eq!(pack.command(Command::Resume), ["remember", "answer done"]);
    assert_eq!(pack.clock(), ["check"]);
}

#[test]
fn a_pause_stops_a_download_that_a_click_began_and_the_update_waits_for_another_click() {
    let mut pack = Pack::with_installed(1, false);
    pack.clock();
    pack.done(found(2));
    pack.done(scanned(2));
    pack.command(Command::Apply { approve: Approval::None });
    pack.done(scanned(2));
    assert_eq!(pack.phase(), "fetching");
    assert_eq!(pack.command(Command::Pause), ["stop seeding", "remember", "answer done", "cancel"]);
    assert_eq!(pack.done(Err(Fault::cancelled())), ["remember", "answer cancelled"]);
    assert_eq!(pack.phase(), "paused");
    assert_eq!(pack.command(Command::Resume), ["seed", "remember", "answer done"]);
    assert_eq!(pack.clock(), ["check"]);
    assert_eq!(pack.done(same()), ["remember", "nothing"]);
    assert_eq!(pack.phase(), "update available");
}

#[test]
fn an_update_that_applies_itself_goes_on_after_a_pause_where_it_was() {
    let mut pack = Pack::with_installed(1, true);
    pack.clock();
    pack.done(found(2));
    pack.done(scanned(2));
    pack.command(Command::Pause);
    pack.done(Err(Fault::cancelled()));
    pack.command(Command::Resume);
    assert_eq!(pack.clock(), ["check"]);
    assert_eq!(pack.done(same()), ["remember", "remember", "fetch"]);
}

#[test]
fn a_pause_stops_what_was_asked_for_though_its_job_ends_well_before_it_hears_of_it() {
    let sync = || Command::Sync;
    let repair = || Command::Verify { repair: true };
    for (command, done, end) in [
        (sync(), vec![], found(2)),
        (sync(), vec![found(2)], scanned(2)),
        (sync(), vec![found(2), scanned(2)], fetched()),
        (repair(), vec![], verified(1)),
        (repair(), vec![verified(1)], fetched()),
    ] {
        let mut pack = Pack::with_installed(1, false);
        pack.command(command);
        done.into_iter().for_each(|done| drop(pack.done(done)));
        assert_eq!(pack.command(Command::Pause).last().unwrap(), "cancel");
        assert_eq!(pack.done(end).last().unwrap(), "answer cancelled");
        assert_eq!(pack.phase(), "paused");
    }
}

#[test]
fn a_pause_finishes_a_change_that_is_under_way() {
    let mut pack = Pack::with_installed(1, false);
    pack.command(Command::Sync);
    pack.done(found(2));
    pack.done(scanned(2));
    pack.done(fetched());
    assert_eq!(pack.phase(), "applying");
    assert_eq!(pack.command(Command::Pause), ["remember", "answer done"]);
    assert_eq!(pack.done(applied(2)), ["remember", "answer applied"]);
    assert_eq!(pack.phase(), "paused");
}

#[test]
fn a_pause_stops_what_waits_for_its_turn_and_not_what_is_asked_of_the_trash() {
    let mut pack = Pack::with_installed(1, false);
    pack.command(Command::Check);
    pack.command(Command::Sync);
    pack.command(Command::Trash);
    assert_eq!(
        pack.command(Command::Pause),
        ["stop seeding", "remember", "answer done", "answer cancelled", "cancel"]
    );
    let effects = pack.done(Err(Fault::cancelled()));
    assert_eq!(effects, ["remember", "answer cancelled", "list trash"]);
}

#[test]
fn a_paused_pack_still_does_what_it_is_told_afterwards() {
    let mut pack = Pack::with_installed(1, false);
    pack.command(Command::Check);
    pack.command(Command::Pause);
    pack.command(Command::Sync);
    assert_eq!(pack.done(Err(Fault::cancelled())), ["remember", "answer cancelled", "check full"]);
    assert_eq!(pack.done(found(2)), ["remember", "scan 2"]);
    assert_eq!(pack.done(scanned(2)), ["remember", "fetch"]);
}

#[test]
fn commands_wait_for_each_other() {
    let mut pack = Pack::with_installed(1, false);
    assert_eq!(pack.command(Command::Check), ["check full"]);
    assert_eq!(pack.command(Command::Trash), [""; 0]);
    assert_eq!(pack.done(same()), ["remember", "answer checked", "list trash"]);
}

#[test]
fn a_plan_is_made_for_the_known_release_when_the_origin_is_away() {
    let mut pack = Pack::with_installed(1, false);
    pack.command(Command::Check);
    assert_eq!(pack.done(found(2)), ["remember", "answer checked", "scan 2"]);
    pack.done(scanned(2));
    assert_eq!(pack.command(Command::Plan), ["check"]);
    assert_eq!(pack.done(Err(fault(FaultKind::OriginUnreachable))), ["scan 2"]);
}

#[test]
fn without_a_known_update_a_plan_says_that_the_origin_is_away() {
    let mut pack = Pack::with_installed(1, false);
    pack.command(Command::Plan);
    let effects = pack.done(Err(fault(FaultKind::OriginUnreachable)));
    assert_eq!(effects, ["remember", "answer origin_unreachable"]);
}

#[test]
fn a_repair_does_not_end_the_hold_of_a_release_the_user_went_back_from() {
    let mut pack = Pack::with_installed(2, false);
    pack.command(Command::Rollback);
    pack.done(rolled_back(1, 2));
    pack.command(Command::Sync);
    pack.done(same());
    pack.done(scanned(1));
    pack.done(fetched());
    pack.done(applied(1));
    assert_eq!(pack.machine.facts().held, Some(Digest([2; 32])));
}

#[test]
fn a_question_ends_the_wait_that_led_to_it() {
    let mut pack = Pack::with_installed(1, false);
    pack.command(Command::Sync);
    pack.done(Err(fault(FaultKind::OriginUnreachable)));
    assert_eq!(pack.phase(), "waiting");
    pack.wait_until_it_acts();
    pack.done(found(2));
    pack.done(scanned_with_question(2));
    assert_eq!(pack.phase(), "blocked");
    assert_eq!(pack.clock(), [""; 0]);
}

#[test]
fn a_rollback_that_stopped_half_way_is_finished_by_itself_even_when_paused() {
    let mut pack = Pack::with_installed(2, false);
    pack.command(Command::Rollback);
    pack.done(Err(fault(FaultKind::FileInUse)));
    assert_eq!(pack.phase(), "waiting");
    pack.command(Command::Pause);
    pack.wait(Duration::from_secs(30));
    assert_eq!(pack.clock(), ["recover"]);
}

#[test]
fn a_rollback_that_was_refused_leaves_all_as_it_was() {
    let mut pack = Pack::with_installed(2, false);
    pack.command(Command::Rollback);
    let effects = pack.done(Err(fault(FaultKind::NothingToRollBack)));
    assert_eq!(effects, ["seed", "remember", "answer nothing_to_roll_back"]);
    assert_eq!(pack.phase(), "current");
}

#[test]
fn what_the_trash_no_longer_has_is_no_longer_offered() {
    let removed = Some(Removed { entry: "e".to_owned(), files: 3 });
    let all = InTrash { can_go_back: true, removed: removed.clone() };
    let report = CleanReport { dry_run: false, moved: Vec::new(), trash: None };
    let cleaned = |in_trash| Ok(Outcome::Cleaned { report: report.clone(), in_trash });
    let restored = RestoreReport { restored: Vec::new(), in_the_way: Vec::new() };
    let clean = || Command::Clean { dry_run: false };
    let restore = |entry: &str| Command::Restore { entry: entry.to_owned() };
    let refused = || Err(fault(FaultKind::Refused));
    let nothing = (false, None);
    for (command, end, offered) in [
        (Command::Check, same_and(Some(InTrash::default())), nothing.clone()),
        (Command::Check, same(), (true, removed.clone())),
        (clean(), cleaned(Some(InTrash::default())), nothing.clone()),
        (clean(), cleaned(None), (true, removed.clone())),
        (
            restore("e"),
            Ok(Outcome::Restored { report: restored, in_trash: Some(InTrash::default()) }),
            nothing,
        ),
        (restore("e"), refused(), (true, None)),
        (restore("other"), refused(), (true, removed.clone())),
        (Command::Rollback, Err(fault(FaultKind::NothingToRollBack)), (false, removed.clone())),
    ] {
        let mut pack = Pack::with_installed(1, false);
        pack.command(clean());
        pack.done(cleaned(Some(all.clone())));
        let words = format!("{command:?} {end:?}");
        pack.command(command);
        pack.done(end);
        let view = pack.machine.view(Progress::default(), None);
        assert_eq!((view.can_go_back, view.removed), offered, "{words}");
    }
}

#[test]
fn a_withdrawn_release_does_not_come_back_from_the_folders_memory() {
    let mut pack = Pack::with_installed(2, false);
    pack.command(Command::Rollback);
    pack.done(rolled_back(1, 2));
    pack.command(Command::Check);
    pack.done(found(1));
    let mut pack = pack.restarted();
    pack.done(Ok(Outcome::Recovered(Found {
        installed: Some(release(1)),
        went_back_from: Some(release(2)),
        marker: Some(marker()),
        ..Found::default()
    })));
    assert_eq!((pack.machine.facts().offered.as_ref(), pack.phase()), (None, "current"));
}

#[test]
fn a_look_at_the_trash_does_not_end_a_wait() {
    let mut pack = Pack::ready(true);
    pack.clock();
    pack.done(found(1));
    pack.done(scanned(1));
    pack.done(Err(fault(FaultKind::NoPeers)));
    pack.command(Command::Trash);
    pack.done(Ok(Outcome::Trash(Vec::new())));
    assert_eq!(pack.phase(), "waiting");
}

#[test]
fn a_baseline_that_is_gone_makes_the_origin_be_read_anew() {
    let mut pack = Pack::with_installed(1, false).restarted();
    assert_eq!(pack.done(nothing_installed()), ["remember", "nothing"]);
    assert_eq!(pack.clock(), ["check full"]);
    assert_eq!(pack.done(found(1)), ["remember", "scan 1"]);
}

#[test]
fn a_vanished_folder_is_looked_for_again_by_itself() {
    let mut pack = Pack::with_installed(1, false).restarted();
    pack.done(Err(fault(FaultKind::FolderGone)));
    assert_eq!(pack.phase(), "waiting");
    pack.wait(Duration::from_secs(30));
    assert_eq!(pack.clock(), ["recover"]);
}

#[test]
fn a_folder_that_is_away_is_not_given_to_others_until_it_is_back() {
    let mut pack = Pack::with_installed(1, false);
    pack.clock();
    pack.done(same());
    pack.command(Command::Verify { repair: true });
    assert_eq!(pack.done(Err(fault(FaultKind::FolderGone)))[0], "stop seeding");
    pack.wait(Duration::from_secs(30));
    pack.clock();
    let effects = pack.done(verified(0));
    assert!(effects.contains(&"seed".to_owned()), "{effects:?}");
}

#[test]
fn whoever_asks_again_and_again_does_not_make_it_wait_the_longer() {
    let mut pack = Pack::with_installed(1, false);
    pack.clock();
    pack.done(Err(fault(FaultKind::OriginUnreachable)));
    for _ in 0..20 {
        pack.command(Command::Check);
        pack.done(Err(fault(FaultKind::OriginUnreachable)));
    }
    assert!(pack.wait_until_it_acts() <= Duration::from_secs(75));
    // But by itself it asks less and less often.
    pack.done(Err(fault(FaultKind::OriginUnreachable)));
    assert!(pack.wait_until_it_acts() > Duration::from_secs(75));
}

#[test]
fn a_repair_that_misses_its_folder_waits_until_the_folder_is_back() {
    let mut pack = Pack::with_installed(1, false);
    pack.clock();
    pack.done(same());
    pack.command(Command::Verify { repair: true });
    pack.done(Err(fault(FaultKind::FolderGone)));
    for _ in 0..3 {
        pack.wait(Duration::from_secs(30));
        assert_eq!(pack.clock(), ["verify"]);
        pack.done(Err(fault(FaultKind::FolderGone)));
        assert_eq!(pack.fault(), Some(FaultKind::FolderGone));
    }
    pack.wait(Duration::from_secs(30));
    assert_eq!(pack.clock(), ["verify"]);
    pack.done(verified(0));
    assert_eq!((pack.phase(), pack.fault()), ("current", None));
}

#[test]
fn a_repair_goes_on_with_what_was_found_bad_and_is_over_when_it_is_applied() {
    let mut pack = Pack::with_installed(1, false);
    pack.clock();
    pack.done(same());
    pack.command(Command::Verify { repair: true });
    assert_eq!(pack.done(verified(1)), ["stop seeding", "remember", "fetch"]);
    assert_eq!(
        pack.done(Err(fault(FaultKind::DiskFull))),
        ["seed", "remember", "answer disk_full"]
    );
    pack.wait(Duration::from_secs(40));
    assert_eq!(pack.clock(), ["stop seeding", "fetch"]);
    pack.done(fetched());
    pack.done(Err(fault(FaultKind::FileInUse)));
    pack.wait(Duration::from_secs(30));
    pack.clock();
    assert_eq!(pack.done(installed(1)), ["remember", "apply"]);
    assert_eq!(pack.fault(), Some(FaultKind::FileInUse));
    pack.done(applied(1));
    assert_eq!((pack.phase(), pack.fault()), ("current", None));
}

#[test]
fn while_a_repair_waits_an_update_is_found_and_hides_nothing() {
    let mut pack = Pack::with_installed(1, false);
    pack.clock();
    pack.done(same());
    pack.command(Command::Verify { repair: true });
    pack.done(verified(1));
    pack.done(Err(fault(FaultKind::DiskFull)));
    pack.wait(Duration::from_secs(570));
    pack.clock();
    pack.done(Err(fault(FaultKind::DiskFull)));
    // The origin is asked before the repair is tried again.
    pack.wait(Duration::from_secs(31));
    assert_eq!(pack.clock(), ["check"]);
    assert_eq!(pack.done(found(2)), ["remember", "scan 2"]);
    pack.done(scanned(2));
    assert_eq!((pack.phase(), pack.fault()), ("waiting", Some(FaultKind::DiskFull)));
}

#[test]
fn a_plan_that_misses_its_folder_is_over_when_the_folder_was_seen() {
    let mut pack = Pack::with_installed(1, false);
    pack.command(Command::Plan);
    pack.done(same());
    pack.done(Err(fault(FaultKind::FolderGone)));
    for _ in 0..2 {
        pack.wait(Duration::from_secs(30));
        assert_eq!(pack.clock(), ["scan 1 quickly"]);
        pack.done(Err(fault(FaultKind::FolderGone)));
        assert_eq!(pack.fault(), Some(FaultKind::FolderGone));
    }
    // A person who looks for updates finds none, and no folder either.
    pack.command(Command::Check);
    assert_eq!(pack.done(same()), ["remember", "answer checked", "scan 1 quickly"]);
    pack.done(Ok(Outcome::AsInstalled));
    assert_eq!((pack.phase(), pack.fault()), ("current", None));
}

#[test]
fn what_cannot_be_read_is_over_when_all_was_read_and_nothing_is_changed_for_it() {
    let mut pack = Pack::with_installed(1, true);
    pack.command(Command::Plan);
    pack.done(same());
    pack.done(Err(fault(FaultKind::AccessDenied)));
    pack.wait(Duration::from_secs(30));
    assert_eq!(pack.clock(), ["scan 1"]);
    assert_eq!(pack.done(scanned(1)), ["remember", "nothing"]);
    assert_eq!(pack.fault(), None);
}

#[test]
fn an_origin_that_cannot_be_asked_hides_nothing_that_stands_in_the_way_here() {
    let mut pack = Pack::with_installed(1, true);
    pack.clock();
    pack.done(found(2));
    pack.done(Err(fault(FaultKind::FolderGone)));
    pack.command(Command::Check);
    pack.done(Err(fault(FaultKind::OriginUnreachable)));
    assert_eq!(pack.fault(), Some(FaultKind::FolderGone));
    pack.wait(Duration::from_mins(11));
    assert_eq!(pack.clock(), ["check"]);
    assert_eq!(pack.done(Err(fault(FaultKind::OriginUnreachable))), ["scan 2"]);
    pack.done(Err(fault(FaultKind::FolderGone)));
    assert_eq!(pack.fault(), Some(FaultKind::FolderGone));
}

#[test]
fn an_update_that_waits_for_a_file_is_not_over_because_a_check_or_a_verification_went_well() {
    let mut pack = Pack::with_installed(1, false);
    pack.clock();
    pack.done(found(2));
    pack.done(scanned(2));
    pack.command(Command::Apply { approve: Approval::None });
    pack.done(scanned(2));
    pack.done(fetched());
    pack.done(Err(fault(FaultKind::FileInUse)));
    pack.command(Command::Check);
    pack.done(installed(1));
    pack.done(same());
    assert_eq!(pack.fault(), Some(FaultKind::FileInUse));
    pack.command(Command::Verify { repair: true });
    pack.done(verified(0));
    assert_eq!(pack.fault(), Some(FaultKind::FileInUse));
}

#[test]
fn an_origin_that_is_away_is_asked_again_before_it_counts_as_back() {
    let mut pack = Pack::with_installed(1, false);
    pack.clock();
    pack.done(same());
    pack.command(Command::Check);
    pack.done(Err(fault(FaultKind::OriginUnreachable)));
    pack.command(Command::Verify { repair: true });
    pack.done(verified(0));
    assert_eq!(pack.fault(), Some(FaultKind::OriginUnreachable));
    pack.wait(Duration::from_secs(75));
    assert_eq!(pack.clock(), ["check"]);
    pack.done(same());
    assert_eq!(pack.fault(), None);
}

#[test]
fn a_fetch_without_peers_goes_on_later_without_reading_the_folder_again() {
    let mut pack = Pack::ready(true);
    pack.clock();
    pack.done(found(1));
    pack.done(scanned(1));
    pack.done(Err(fault(FaultKind::NoPeers)));
    pack.wait(Duration::from_mins(2));
    assert_eq!(pack.clock(), ["remember", "fetch"]);
}

#[test]
fn a_file_in_use_keeps_what_was_fetched_and_the_apply_is_tried_again() {
    let mut pack = Pack::with_installed(1, false);
    pack.command(Command::Check);
    pack.done(found(2));
    pack.done(scanned(2));
    pack.command(Command::Apply { approve: Approval::None });
    pack.done(scanned(2));
    assert_eq!(pack.done(fetched()), ["stop seeding", "apply"]);
    let answer = pack.done(Err(fault(FaultKind::FileInUse)));
    assert_eq!(answer, ["remember", "answer file_in_use"]);
    pack.wait(Duration::from_secs(30));
    // The change may have been cut off in the middle: that is looked at first.
    assert_eq!(pack.clock(), ["recover"]);
    assert_eq!(pack.done(installed(1)), ["remember", "remember", "apply"]);
}

#[test]
fn a_rollback_that_a_crash_cut_off_still_holds_the_newer_release() {
    let mut pack = Pack::with_installed(2, true).restarted();
    pack.done(Ok(Outcome::Recovered(Found {
        installed: Some(release(1)),
        went_back_from: Some(release(2)),
        marker: Some(marker()),
        finished: Some(report(1)),
        changed: true,
        ..Found::default()
    })));
    assert_eq!(pack.phase(), "current");
    assert_eq!(pack.machine.facts().held, Some(Digest([2; 32])));
    assert_eq!(pack.command(Command::Apply { approve: Approval::None }), ["scan 2"]);
}

#[test]
fn a_command_that_makes_no_sense_is_refused_and_the_next_one_is_heard() {
    let mut pack = Pack::ready(false);
    pack.command(Command::Check);
    pack.command(Command::Clean { dry_run: true });
    pack.command(Command::Trash);
    let effects = pack.done(same());
    assert_eq!(effects, ["remember", "answer checked", "answer refused", "list trash"]);
}
