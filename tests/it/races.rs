//! Others change the folder while we work in it: nothing outside it is read, written or removed, and nothing in it
//! is lost.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::faulty::Faulty;
use crate::place::Place;

const SECRET: &[u8] = b"what lies outside, of the length of a file";
const FILES: &[(&str, &[u8])] = &[
    ("mods/a.pak", b"the first file of the pack, in a folder..."),
    ("mods/b.pak", b"the second file of the pack, beside it...."),
    ("readme.txt", b"a file that stands by itself, and stays..."),
];

#[test]
fn a_folder_that_is_swapped_with_a_link_all_the_time_leads_nobody_outside() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, FILES);
    let (outside, hidden) = (place.path("outside"), place.path("hidden"));
    fs::create_dir_all(outside.join("deep")).unwrap();
    for name in ["a.pak", "b.pak", "mine.txt", "deep/c.pak"] {
        fs::write(outside.join(name), SECRET).unwrap();
    }
    let before = files(&outside);
    let mods = place.path("pack/mods");
    let done = AtomicBool::new(false);
    let mut codes = BTreeMap::new();
    thread::scope(|scope| {
        let swapper = scope.spawn(|| swap(&mods, &hidden, &outside, &done));
        for round in 0..12 {
            // Each release comes and goes: the second file is removed, and put back from the trash.
            let kept: Vec<_> =
                FILES.iter().filter(|(path, _)| *path != "mods/b.pak").copied().collect();
            place.publish(&origin, if round % 2 == 0 { &kept } else { FILES });
            place.set("", "max_removed_percent = 100");
            place.set_network("give_up_after = \"1s\"");
            let _ = fs::write(mods.join("mine.txt"), b"mine");
            for command in [&["sync"][..], &["verify"], &["clean"], &["rollback"], &["plan"]] {
                let output = place.run(command);
                *codes.entry((command[0], output.status.code())).or_insert(0) += 1;
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(swapper.join().unwrap() > 1_000, "hardly anything was swapped");
    });
    // The player's write may have gone through the link, since that is what links are for.
    let mut now = files(&outside);
    let mine = PathBuf::from("mine.txt");
    now.insert(mine.clone(), before[&mine].clone());
    assert_eq!(now, before, "{codes:?}");
    for (path, bytes) in place.tree() {
        assert_ne!(bytes, SECRET, "{} came from outside; {codes:?}", path.display());
    }
    let crashed = codes.keys().find(|(_, code)| !matches!(code, Some(0 | 1 | 4 | 10 | 11)));
    assert_eq!(crashed, None, "{codes:?}");
    let kept: Vec<_> = place.tree().into_values().collect();
    for (path, bytes) in FILES {
        assert!(kept.iter().any(|kept| kept == bytes), "`{path}` is lost; {codes:?}");
    }
}

/// Has the folder be a folder and a link by turns; says how often.
fn swap(folder: &Path, hidden: &Path, outside: &Path, done: &AtomicBool) -> u32 {
    let mut swaps = 0;
    while !done.load(Ordering::Relaxed) {
        if fs::rename(folder, hidden).is_ok() {
            if symlink(outside, folder).is_ok() {
                swaps += 1;
                thread::yield_now();
                // It may lie in the trash already, as something of the player's that was in the way.
                let _ = fs::remove_file(folder);
            }
            // Somebody may have made the folder anew meanwhile.
            if fs::rename(hidden, folder).is_err() {
                for (name, bytes) in files(hidden) {
                    let _ = fs::create_dir_all(folder);
                    let _ = fs::write(folder.join(name), bytes);
                }
                fs::remove_dir_all(hidden).unwrap();
            }
        }
        thread::yield_now();
    }
    swaps
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    walkdir::WalkDir::new(folder)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.is_file())
        .map(|path| (path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect()
}
