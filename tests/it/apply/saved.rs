//! A player who saves files as editors do, by another file that takes the name, just before any single change that
//! is made in the folder: what they saved is in its place or in the trash.

use std::fs;
use std::path::{Path, PathBuf};

use modsync::disk::apply::{apply, recover};
use modsync::disk::baseline::Baseline;
use modsync::disk::fs::Root;
use modsync::disk::fs::faults::Faults;
use modsync::disk::journal::Journal;
use modsync::disk::layout;
use modsync::disk::trash;
use modsync::disk::verify::Cancel;

use super::folder::Folder;

#[test]
fn what_is_saved_just_before_any_change_of_an_update_is_kept() {
    for links in [true, false] {
        saved_everywhere(|| {
            let folder = Folder::with_old_release();
            let (journal, next) = (folder.update(links), folder.next());
            (folder, move |root: &Root| apply_it(root, &journal, &next))
        });
    }
}

#[test]
fn what_is_saved_just_before_any_change_of_a_rollback_is_kept() {
    saved_everywhere(|| {
        let folder = Folder::with_old_release().updated();
        let (journal, next) = (folder.rollback(), folder.next());
        (folder, move |root: &Root| apply_it(root, &journal, &next))
    });
}

#[test]
fn what_is_saved_just_before_any_change_is_kept_when_an_update_is_put_back() {
    saved_everywhere(|| {
        let folder = Folder::with_old_release();
        let journal = folder.update(true);
        folder.carry_out(&journal, journal.steps.len() - 1);
        let staged = folder.path().join(layout::staging(folder.new.info_hash)).join("shelf-0");
        for left in fs::read_dir(staged).unwrap() {
            fs::write(left.unwrap().path(), b"damaged").unwrap();
        }
        (folder, |root: &Root| drop(recover(root, &Cancel::default(), &|_| {})))
    });
}

#[test]
fn what_is_saved_just_before_any_change_is_kept_when_files_are_put_back_from_the_trash() {
    saved_everywhere(|| {
        let folder = Folder::with_old_release();
        let journal = folder.update(true);
        let id = journal.id.clone();
        folder.carry_out(&journal, usize::MAX);
        fs::remove_file(folder.path().join("edited.cfg")).unwrap();
        (folder, move |root: &Root| drop(trash::restore(root, &id)))
    });
}

fn apply_it(root: &Root, journal: &Journal, next: &Baseline) {
    let _ = apply(root, journal, Some(next), &Cancel::default(), &|_| {});
}

/// Makes the change again and again; each time all files of the folder are saved before another change.
fn saved_everywhere<C: FnOnce(&Root)>(start: impl Fn() -> (Folder, C)) {
    for is_plain in [false, true] {
        saved_everywhere_on(&start, is_plain);
    }
}

fn saved_everywhere_on<C: FnOnce(&Root)>(start: &impl Fn() -> (Folder, C), is_plain: bool) {
    // Where names are not exchanged, what is saved between a look and a replacement is replaced.
    let saved = if is_plain { &SAVED[..KEPT_EVERYWHERE] } else { SAVED };
    for at in 1.. {
        let (folder, change) = start();
        let paths: Vec<_> = saved.iter().map(|path| folder.path().join(path)).collect();
        let faults = Faults::meanwhile(at, move || paths.iter().for_each(|path| save(path)));
        let faults = if is_plain { faults.on_a_plain_disk() } else { faults };
        change(&Root::open(folder.path()).unwrap().with_faults(&faults));
        recover(&folder.root, &Cancel::default(), &|_| {}).unwrap();
        if faults.changes() < at {
            assert!(at > 1, "nothing was changed");
            return;
        }
        let saved: Vec<_> = saved.iter().map(|path| (*path, path.as_bytes())).collect();
        folder.holds_in_trash_or_place(&saved);
    }
}

/// Files that come, that go, that stay, and that change.
const SAVED: &[&str] = &[
    "brand/new.pak",
    "removed.pak",
    "stays/put.pak",
    "edited.cfg",
    "grows.pak",
    "same-length.pak",
];
/// So many of them do not change.
const KEPT_EVERYWHERE: usize = 3;

/// Writes another file, and gives it the name. Its bytes say which it is.
fn save(path: &Path) {
    let draft = PathBuf::from(format!("{}.draft", path.display()));
    let name = SAVED.iter().find(|name| path.ends_with(name)).unwrap();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&draft, name).unwrap();
    fs::rename(draft, path).unwrap();
}
