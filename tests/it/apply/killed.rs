//! A change to the folder, killed before every single change that is made in it, and killed again in the
//! recovery: it ends all new or all old without network, and nothing of the user is lost.

use std::io::ErrorKind;
use std::path::Path;

use modsync::disk::apply::{apply, recover};
use modsync::disk::baseline;
use modsync::disk::fs::Root;
use modsync::disk::fs::faults::{Failure, Faults};
use modsync::disk::layout;
use modsync::disk::verify::Cancel;

use super::folder::{Files, Folder, READ_ONLY, expected, mine, release};

#[test]
fn an_update_killed_at_any_change_and_again_in_its_recovery_ends_all_new_or_all_old() {
    for (links, is_plain) in [(true, false), (true, true), (false, false), (false, true)] {
        let again = Again { is_plain, ..Again::default() };
        let ends = update_killed_everywhere(links, &again);
        assert!(ends.old > 3 && ends.new > 40, "{ends:?}");
    }
}

#[test]
fn an_update_killed_at_any_change_whose_recovery_is_refused_any_of_its_own_ends_all_new_or_all_old()
{
    for links in [true, false] {
        let again = Again { failure: REFUSED, ..Again::default() };
        let ends = update_killed_everywhere(links, &again);
        assert!(ends.old > 3 && ends.new > 40, "{ends:?}");
    }
}

#[test]
fn an_update_whose_new_content_was_lost_when_it_was_killed_is_put_back_however_that_is_cut_off() {
    for failure in [Failure::Death, REFUSED] {
        let again = Again { meanwhile: Some(Folder::damage_staged), failure, ..Again::default() };
        let ends = update_killed_everywhere(true, &again);
        assert!(ends.old > 40 && ends.new > 3, "{failure:?}: {ends:?}");
    }
}

#[test]
fn a_file_that_was_away_for_a_moment_when_it_was_killed_comes_back_if_the_new_one_is_lost() {
    let mut was_away = 0;
    for at in 1.. {
        let folder = Folder::with_old_release();
        let before = folder.files();
        let (journal, next) = (folder.update(true), folder.next());
        let faults = Faults::at(at, Failure::Death).on_a_plain_disk();
        let dying = failing(folder.path(), &faults);
        if apply(&dying, &journal, Some(&next), &Cancel::default(), &|_| {}).is_ok() {
            break;
        }
        if !folder.files().contains_key(READ_ONLY) {
            was_away += 1;
            folder.lose_staged(READ_ONLY);
            recover(&folder.root, &Cancel::default(), &|_| {}).unwrap();
            assert_eq!(folder.files(), before, "killed at {at}");
        }
    }
    assert!(was_away > 0);
}

#[test]
fn a_rollback_killed_at_any_change_and_again_in_its_recovery_ends_all_old_or_all_new() {
    let updated = || Folder::with_old_release().updated();
    let mut old = Folder::with_old_release().files();
    old.retain(|path, _| path != "next-for-test");
    let ends = killed_everywhere(updated, Folder::rollback, &Again::default(), &old, 1);
    assert!(ends.old > 3 && ends.new > 30, "{ends:?}");
}

#[test]
fn an_update_that_is_refused_any_one_change_ends_all_new_or_all_old_at_the_next_try() {
    for kind in [ErrorKind::StorageFull, ErrorKind::PermissionDenied, ErrorKind::Other] {
        for links in [true, false] {
            for at in 1.. {
                let folder = Folder::with_old_release();
                let (before, after) = (folder.files(), expected());
                let journal = folder.update(links);
                let next = folder.next();
                let faults = Faults::at(at, Failure::Error(kind));
                let refused = failing(folder.path(), &faults);
                let applied = apply(&refused, &journal, Some(&next), &Cancel::default(), &|_| {});
                let context = format!("{kind} at {at}");
                each_is_of_one(&folder.files(), &before, &after, &context);
                recover(&folder.root, &Cancel::default(), &|_| {}).unwrap();
                let now = folder.files();
                assert!(now == after || now == before, "{context}");
                folder.holds_in_trash_or_place(&[("edited.cfg", b"edited by the user")]);
                if faults.changes() < at {
                    applied.unwrap();
                    assert_eq!(now, after);
                    break;
                }
            }
        }
    }
}

/// How often what was killed ended with all files as before, and with all as afterwards.
#[derive(Debug, Default)]
struct Ends {
    old: u32,
    new: u32,
}

/// What else goes wrong once a change was killed.
struct Again {
    meanwhile: Option<fn(&Folder)>,
    /// How each change that the recovery makes fails, one after the other.
    failure: Failure,
    /// On a disk that can neither exchange names nor tell in one step whether one is free.
    is_plain: bool,
}

impl Default for Again {
    fn default() -> Self {
        Self { meanwhile: None, failure: Failure::Death, is_plain: false }
    }
}

impl Again {
    /// Whether a file is there all the time: what is put back is gone for a moment, and so is what is read-only where
    /// names are not exchanged.
    fn leaves_no_gap(&self, path: &str) -> bool {
        self.meanwhile.is_none() && !(self.is_plain && path == READ_ONLY)
    }

    fn on_disk(&self, faults: Faults) -> Faults {
        if self.is_plain { faults.on_a_plain_disk() } else { faults }
    }
}

const REFUSED: Failure = Failure::Error(ErrorKind::PermissionDenied);

fn update_killed_everywhere(links: bool, again: &Again) -> Ends {
    let change = |folder: &Folder| folder.update(links);
    killed_everywhere(Folder::with_old_release, change, again, &expected(), 2)
}

/// Kills a change before each change it makes, and has its recovery fail at each of its own.
fn killed_everywhere(
    start: impl Fn() -> Folder,
    change: impl Fn(&Folder) -> modsync::disk::journal::Journal,
    again: &Again,
    after: &Files,
    number: u8,
) -> Ends {
    let mut ends = Ends::default();
    let folders_after = {
        let folder = start();
        folder.carry_out(&change(&folder), usize::MAX);
        folder.dirs()
    };
    for at in 1.. {
        let folder = start();
        let (before, folders_before) = (folder.files(), folder.dirs());
        let journal = change(&folder);
        let next = folder.next();
        let faults = again.on_disk(Faults::at(at, Failure::Death));
        let dying = failing(folder.path(), &faults);
        let applied = apply(&dying, &journal, Some(&next), &Cancel::default(), &|_| {});
        if applied.is_ok() {
            assert!(faults.changes() < at);
            return ends;
        }
        let context = format!("killed at {at}");
        each_is_of_one(&folder.files(), &before, after, &context);
        folder.holds_in_trash_or_place(&mine());
        if journal.links {
            none_is_missing(&folder.files(), &before, after, again, &context);
        }
        if let Some(meanwhile) = again.meanwhile {
            meanwhile(&folder);
        }
        for at in 1.. {
            let folder = folder.copied();
            let context = format!("{context}, then {:?} at {at} of the recovery", again.failure);
            let faults = again.on_disk(Faults::at(at, again.failure));
            let failing = self::failing(folder.path(), &faults);
            let _ = recover(&failing, &Cancel::default(), &|_| {});
            each_is_of_one(&folder.files(), &before, after, &context);
            folder.holds_in_trash_or_place(&mine());
            if journal.links {
                none_is_missing(&folder.files(), &before, after, again, &context);
            }
            recover(&folder.root, &Cancel::default(), &|_| {}).unwrap();
            let now = folder.files();
            let installed = baseline::peek(&folder.root).unwrap().unwrap().release;
            if installed == release(number, if number == 2 { &folder.new } else { &folder.old }) {
                assert_eq!((&now, folder.dirs()), (after, folders_after.clone()), "{context}");
                ends.new += 1;
            } else {
                assert_eq!((&now, &folder.dirs()), (&before, &folders_before), "{context}");
                ends.old += 1;
            }
            folder.holds_in_trash_or_place(&mine());
            let left = [layout::JOURNAL, layout::BASELINE_NEXT];
            assert_eq!(left.map(|file| folder.root.stat(file).unwrap()), [None; 2], "{context}");
            if !faults.were_met() {
                break;
            }
        }
    }
    unreachable!()
}

/// The folder as a process sees it whose changes fail.
fn failing(folder: &Path, faults: &Faults) -> Root {
    Root::open(folder).unwrap().with_faults(faults)
}

/// Each file is wholly as before or as afterwards.
#[track_caller]
fn each_is_of_one(now: &Files, before: &Files, after: &Files, context: &str) {
    for (path, bytes) in now {
        let known = [before.get(path), after.get(path)];
        assert!(known.contains(&Some(bytes)), "{context}: `{path}` is neither old nor new");
    }
}

/// What was there before and will be there afterwards is there. Where files have no second names there is a moment
/// between the old and the new one.
#[track_caller]
fn none_is_missing(now: &Files, before: &Files, after: &Files, again: &Again, context: &str) {
    let stays = |path: &&String| after.contains_key(*path) && again.leaves_no_gap(path);
    for path in before.keys().filter(stays) {
        assert!(now.contains_key(path), "{context}: `{path}` is gone");
    }
}
