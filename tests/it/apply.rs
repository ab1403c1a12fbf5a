//! One change to the folder, cut off after every single step: it finishes without network, each file is
//! old or new at every instant, and nothing of the user is lost.

pub mod folder;
mod killed;
mod saved;

use std::fs;
use std::time::{Duration, SystemTime};

use modsync::disk::apply::{Recovered, apply, recover};
use modsync::disk::baseline;
use modsync::disk::journal::Journal;
use modsync::disk::layout;
use modsync::disk::record;
use modsync::disk::trash;
use modsync::disk::verify::Cancel;
use modsync::model::fault::FaultKind;

use folder::{Folder, expected, release};

#[test]
fn an_update_cut_off_after_any_step_finishes_and_loses_nothing() {
    for links in [true, false] {
        let steps = Folder::with_old_release().update(links).steps.len();
        assert!(steps > 10, "{steps} steps");
        for cut in 0..=steps {
            let folder = Folder::with_old_release();
            let journal = folder.update(links);
            let before = folder.files();
            folder.carry_out(&journal, cut);
            folder.every_file_is_old_or_new(&before);
            let recovered = recover(&folder.root, &Cancel::default(), &|_| {}).unwrap();
            if cut < steps {
                assert_eq!(recovered, Recovered::Finished(Box::new(journal)), "cut at {cut}");
            } else {
                assert_eq!(recovered, Recovered::Nothing);
            }
            assert_eq!(folder.files(), expected(), "cut at {cut}, links {links}");
            folder.holds_in_trash(&[
                ("edited.cfg", b"edited by the user"),
                ("becomes-dir", b"old file"),
            ]);
        }
    }
}

#[test]
fn an_update_whose_new_content_is_damaged_is_put_back() {
    let folder = Folder::with_old_release();
    fs::create_dir(folder.path().join("brand")).unwrap();
    let journal = folder.update(true);
    let before = folder.files();
    let dirs_before = folder.dirs();
    folder.carry_out(&journal, journal.steps.len() - 1);
    assert_ne!(folder.files(), before);
    let staged = folder.root.path().join(layout::staging(folder.new.info_hash)).join("shelf-0");
    for left in fs::read_dir(staged).unwrap() {
        fs::write(left.unwrap().path(), b"damaged").unwrap();
    }
    let recovered = recover(&folder.root, &Cancel::default(), &|_| {}).unwrap();
    assert_eq!(recovered, Recovered::PutBack(Box::new(journal)));
    assert_eq!((folder.files(), folder.dirs()), (before, dirs_before));
    assert_eq!(baseline::peek(&folder.root).unwrap().unwrap().release, release(1, &folder.old));
}

#[test]
fn a_rollback_puts_every_byte_back_even_when_it_is_cut_off() {
    let steps = Folder::with_old_release().updated().rollback().steps.len();
    for cut in 0..=steps {
        let fresh = Folder::with_old_release();
        let before = fresh.files();
        let folder = fresh.updated();
        let journal = folder.rollback();
        folder.carry_out(&journal, cut);
        recover(&folder.root, &Cancel::default(), &|_| {}).unwrap();
        assert_eq!(folder.files(), before, "cut at {cut}");
        let installed = baseline::peek(&folder.root).unwrap().unwrap();
        assert_eq!(installed.release, release(1, &folder.old));
    }
}

#[test]
fn what_changed_before_the_first_step_makes_the_plan_be_made_anew() {
    for (path, bytes) in
        [("brand/new.pak", "the user was faster"), ("grows.pak", "edited since the plan")]
    {
        let folder = Folder::with_old_release();
        let journal = folder.update(true);
        folder.write(path, bytes.as_bytes());
        let before = folder.files();
        let fault = apply(&folder.root, &journal, None, &Cancel::default(), &|_| {}).unwrap_err();
        assert_eq!(fault.kind, FaultKind::FolderChanged, "{path}");
        fs::remove_file(folder.path().join("next-for-test")).unwrap();
        assert_eq!(folder.files(), before);
    }
}

#[test]
fn what_appears_in_the_way_between_two_steps_is_kept() {
    for links in [true, false] {
        let folder = Folder::with_old_release();
        let journal = folder.update(links);
        folder.carry_out_and(&journal, usize::MAX, &|done| {
            if done == 1 {
                folder.write("brand", b"a file where a folder is needed");
                folder.write("same-length.pak", b"edited at the last moment");
                folder.write("removed.pak", b"edited instead of removed");
            }
        });
        let mut expected = expected();
        expected.insert("removed.pak".to_owned(), b"edited instead of removed".to_vec());
        assert_eq!(folder.files(), expected);
        folder.holds_in_trash(&[
            ("brand", b"a file where a folder is needed"),
            ("same-length.pak", b"edited at the last moment"),
        ]);
    }
}

#[test]
fn an_edit_after_a_crash_does_not_undo_the_update() {
    let folder = Folder::with_old_release();
    let journal = folder.update(true);
    folder.carry_out(&journal, journal.steps.len() - 1);
    folder.write("grows.pak", b"edited after the crash");
    recover(&folder.root, &Cancel::default(), &|_| {}).unwrap();
    let mut expected = expected();
    expected.insert("grows.pak".to_owned(), b"edited after the crash".to_vec());
    assert_eq!(folder.files(), expected);
}

#[test]
fn a_rollback_leaves_a_new_file_that_was_edited_since() {
    let folder = Folder::with_old_release();
    let mut expected = folder.files();
    let folder = folder.updated();
    folder.write("brand/new.pak", b"edited after the update");
    let journal = folder.rollback();
    folder.carry_out(&journal, usize::MAX);
    expected.insert("brand/new.pak".to_owned(), b"edited after the update".to_vec());
    assert_eq!(folder.files(), expected);
}

#[test]
fn emptying_staging_by_hand_after_a_crash_puts_the_old_release_back() {
    let steps = Folder::with_old_release().update(true).steps.len();
    for cut in 0..steps {
        let folder = Folder::with_old_release();
        let journal = folder.update(true);
        let before = folder.files();
        folder.carry_out(&journal, cut);
        fs::remove_dir_all(folder.path().join(layout::STAGING)).unwrap();
        recover(&folder.root, &Cancel::default(), &|_| {}).unwrap();
        folder.every_file_is_old_or_new(&before);
        assert_eq!(recover(&folder.root, &Cancel::default(), &|_| {}).unwrap(), Recovered::Nothing);
    }
}

#[test]
fn emptying_the_trash_by_hand_after_a_crash_does_not_stop_the_recovery() {
    for links in [true, false] {
        let folder = Folder::with_old_release();
        let journal = folder.update(links);
        let before = folder.files();
        folder.carry_out(&journal, 3);
        fs::remove_dir_all(folder.path().join(layout::TRASH)).unwrap();
        recover(&folder.root, &Cancel::default(), &|_| {}).unwrap();
        if links {
            // A renamed file lay nowhere but in the trash: what is left of the old release comes back.
            folder.every_file_is_old_or_new(&before);
        } else {
            assert_eq!(folder.files(), expected());
        }
        assert_eq!(recover(&folder.root, &Cancel::default(), &|_| {}).unwrap(), Recovered::Nothing);
    }
}

#[test]
fn a_damaged_journal_leaves_no_baseline_behind_that_a_later_change_could_take() {
    let folder = Folder::with_old_release();
    let journal = folder.update(true);
    folder.carry_out(&journal, 3);
    fs::write(folder.path().join(layout::JOURNAL), "damaged").unwrap();
    let recovered = recover(&folder.root, &Cancel::default(), &|_| {}).unwrap();
    assert_eq!(recovered, Recovered::JournalDamaged);
    assert_eq!(folder.root.stat(layout::BASELINE_NEXT).unwrap(), None);
    // What was taken away so far can still be listed.
    assert_ne!(trash::list(&folder.root).unwrap(), []);
}

#[test]
fn a_rollback_puts_a_folder_of_the_user_back_where_the_update_had_a_file() {
    let folder = Folder::with_old_release();
    folder.write("brand/new.pak/mine.txt", b"in a folder of the user");
    let before = folder.files();
    let journal = folder.update(true);
    folder.carry_out(&journal, usize::MAX);
    assert_eq!(folder.files(), expected());
    let journal = folder.rollback();
    folder.carry_out(&journal, usize::MAX);
    assert_eq!(folder.files(), before);
}

#[test]
fn the_trash_gives_back_what_nothing_stands_in_the_way_of_and_expires_by_age_and_size() {
    let folder = Folder::with_old_release().updated();
    let [entry] = &trash::list(&folder.root).unwrap()[..] else { panic!("one entry") };
    let report = trash::restore(&folder.root, &entry.id).unwrap().unwrap();
    let names = |lines: &[modsync::model::report::FileLine]| {
        lines.iter().map(|line| line.path.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&report.restored), ["old-name.pak", "removed.pak"]);
    assert_eq!(fs::read(folder.path().join("removed.pak")).unwrap(), b"old, to be removed");

    let (day, now) = (Duration::from_hours(24), SystemTime::now());
    let left_after = |days: u32| {
        trash::expire(&folder.root, &[], 30 * day, 0, now + day * days).unwrap();
        trash::list(&folder.root).unwrap().len()
    };
    let left: Vec<_> = (0..=30).map(left_after).collect();
    assert_eq!(left, [[1; 30].as_slice(), &[0]].concat(), "the newest is spared by size");
}

#[test]
fn what_strayed_into_the_trash_is_no_entry_and_the_newest_is_spared_all_the_same() {
    let folder = Folder::with_old_release().updated();
    fs::write(folder.path().join(".modsync/trash/notes.txt"), "mine").unwrap();
    let before = trash::list(&folder.root).unwrap();
    trash::expire(&folder.root, &[], Duration::MAX, 0, SystemTime::now()).unwrap();
    assert_eq!((before.len(), trash::list(&folder.root).unwrap()), (1, before));
    assert_eq!(fs::read(folder.path().join(".modsync/trash/notes.txt")).unwrap(), b"mine");
}

#[test]
fn what_an_update_displaced_is_spared_though_the_clock_was_ahead_before_it() {
    let folder = Folder::with_old_release().updated();
    let [entry] = &trash::list(&folder.root).unwrap()[..] else { panic!("one entry") };
    // Another one from a time that is still to come.
    let (later, ahead) = ("later", Duration::from_hours(24) * 3_653);
    let record = trash::record_of(&folder.root, &entry.id).unwrap().unwrap();
    let record = Journal { id: later.to_owned(), when: record.when + ahead, ..record };
    let place = |name: &str| format!(".modsync/trash/{name}");
    folder.root.create_dir_all(place(later)).unwrap();
    record::save(&folder.root, place("later/record"), &record).unwrap();
    fs::write(folder.path().join(place("later/0")), b"old").unwrap();
    let expire = |just_now: &str| {
        trash::expire(&folder.root, &[just_now], ahead, 0, SystemTime::now()).unwrap();
        trash::list(&folder.root).unwrap().into_iter().map(|entry| entry.id).collect::<Vec<_>>()
    };
    assert_eq!(expire(&entry.id), [later, &entry.id], "one is the newest by its name");
}

#[test]
fn a_clock_that_jumps_by_years_empties_no_trash() {
    let folder = Folder::with_old_release().updated();
    let (day, now) = (Duration::from_hours(24), SystemTime::now());
    let look = |at| {
        trash::expire(&folder.root, &[], 30 * day, u64::MAX, at).unwrap();
        trash::list(&folder.root).unwrap().len()
    };
    let years = 3_653 * day;
    for jumped in [now, now + years, now, now - years, now, now + years] {
        let minutes = (0..100).map(|minute| look(jumped + Duration::from_mins(minute)));
        assert_eq!(minutes.min(), Some(1));
    }
    // From then on each day counts.
    let days = (1..100).take_while(|&days| look(now + years + day * days) == 1).count();
    assert!((20..30).contains(&days), "{days} days");
}

#[test]
fn a_file_that_cannot_be_put_in_its_place_is_named_by_that_place() {
    let folder = Folder::with_old_release();
    folder.write("staged", b"new");
    let root = &folder.root;
    // A folder stands in the way of the last move.
    let refused = [root.place("staged", "stays"), root.write_atomic("stays", b"new")];
    for refusal in refused.map(|result| result.unwrap_err().to_string()) {
        let wanted = format!("could not write `{}`: ", folder.path().join("stays").display());
        assert!(refusal.starts_with(&wanted), "{refusal}");
    }
}
