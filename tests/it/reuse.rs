//! What an update costs when its bytes are on this machine already. Nobody is there to fetch from, unless a test
//! says so.

use std::collections::BTreeMap;
use std::fs;

use crate::faulty::Faulty;
use crate::place::Place;
use crate::tree::noise;

/// Bytes of a piece, as [`Place::publish`] makes them.
const PIECE: usize = 16384;

type Files = BTreeMap<String, Vec<u8>>;

fn files<const N: usize>(files: [(&str, Vec<u8>); N]) -> Files {
    files.into_iter().map(|(path, bytes)| (path.to_owned(), bytes)).collect()
}

fn shown(files: &Files) -> Vec<(&str, &[u8])> {
    files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect()
}

/// Bytes that an update from `old` to `new` asks of others, by its plan.
fn download(old: &Files, new: &Files) -> (Place, u64) {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, &shown(old));
    place.publish(&origin, &shown(new));
    place.run(&["check"]);
    let (_, plan) = place.ask(&["plan"]);
    let bytes = plan["download_bytes"].as_u64().unwrap_or_else(|| panic!("{plan}"));
    (place, bytes)
}

/// Updates from `old` to `new` with nobody to fetch from.
fn update(old: &Files, new: &Files) {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, &shown(old));
    place.publish(&origin, &shown(new));
    // A person looks at what goes.
    place.run(&["sync"]);
    let applied = place.run(&["apply", "--approve"]);
    assert_eq!(applied.status.code(), Some(0), "{}", String::from_utf8_lossy(&applied.stderr));
    let there = place.files().into_iter().map(|(path, bytes)| {
        let path = path.strip_prefix(place.path("pack")).unwrap().to_str().unwrap().to_owned();
        (path, bytes)
    });
    assert!(there.collect::<Files>() == *new, "other files than published");
}

#[test]
fn a_file_that_was_renamed_moved_or_doubled_is_not_fetched() {
    let (a, b, c) = (noise(1, 10 * PIECE + 77), noise(2, 3 * PIECE + 5), noise(3, 900));
    let old = files([("a.pak", a.clone()), ("b.pak", b.clone()), ("c.txt", c.clone())]);
    let new = files([
        ("a renamed.bin", a.clone()),
        ("b.pak", b.clone()),
        ("deep/er/b.pak", b),
        ("deep/c.txt", c),
    ]);
    update(&old, &new);
}

#[cfg(unix)]
#[test]
fn a_file_that_was_renamed_is_not_even_copied() {
    use std::os::unix::fs::MetadataExt;
    let old = files([("a.pak", noise(30, 9 * PIECE)), ("b.txt", noise(31, 10))]);
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, &shown(&old));
    let looks = |name: &str| {
        let stat = fs::metadata(place.path("pack").join(name)).unwrap();
        (stat.ino(), stat.mtime(), stat.mtime_nsec())
    };
    let before = looks("a.pak");
    let mut new = old.clone();
    let renamed = new.remove("a.pak").unwrap();
    new.insert("maps/z.pak".to_owned(), renamed);
    place.publish(&origin, &shown(&new));
    place.run(&["sync"]);
    assert_eq!(place.run(&["apply", "--approve"]).status.code(), Some(0));
    assert_eq!(looks("maps/z.pak"), before);
    assert_eq!(place.run(&["verify"]).status.code(), Some(0));
    assert_eq!(place.run(&["rollback"]).status.code(), Some(0));
    assert_eq!(looks("a.pak"), before);
    assert_eq!(place.run(&["verify"]).status.code(), Some(0));
    assert!(!place.path("pack/maps").exists(), "what the update brought stays");
}

#[test]
fn a_renamed_file_that_was_edited_since_is_not_passed_off_as_the_former_one() {
    let old = files([("a.pak", noise(40, 9 * PIECE)), ("b.txt", noise(41, 10))]);
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, &shown(&old));
    let mut new = old.clone();
    let renamed = new.remove("a.pak").unwrap();
    new.insert("z.pak".to_owned(), renamed);
    place.publish(&origin, &shown(&new));
    place.run(&["sync"]);
    assert_eq!(place.run(&["apply", "--approve"]).status.code(), Some(0));
    // In place, as a game writes.
    place.write("z.pak", b"edited");
    let refused = place.run(&["rollback"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("no longer has all files of the earlier release"), "{said}");
    assert_eq!(fs::read(place.path("pack/z.pak")).unwrap(), b"edited");
}

#[test]
fn a_folder_of_small_files_that_was_renamed_is_not_fetched() {
    let file = |n: usize| noise(n as u64, 700 + n % 5 * 333);
    let named = |folder: &str| {
        (0..300).map(|n| (format!("{folder}/{}/{n}.txt", n % 7), file(n))).collect::<Files>()
    };
    update(&named("old"), &named("new"));
}

#[test]
fn what_was_put_in_or_taken_out_in_one_place_costs_the_pieces_it_touches() {
    let old = noise(4, 40 * PIECE);
    let insert = |at: usize, bytes: &[u8]| [&old[..at], bytes, &old[at..]].concat();
    let pack = |bytes: Vec<u8>| files([("big.pak", bytes), ("other.txt", noise(5, 99))]);
    for (what, new, pieces) in [
        ("37 bytes in front", insert(0, b"thirty-seven bytes that were not here"), 2),
        ("in the middle", insert(20 * PIECE + 5, &noise(6, 1000)), 2),
        ("at the end", insert(40 * PIECE, b"more"), 2),
        ("a cut", [&old[..7 * PIECE], &old[9 * PIECE + 1..]].concat(), 2),
    ] {
        let (_, bytes) = download(&pack(old.clone()), &pack(new));
        assert!(bytes <= (pieces * PIECE) as u64, "{what}: {bytes} bytes");
    }
}

#[test]
fn a_file_that_was_renamed_and_changed_is_found_by_its_name() {
    let old = noise(7, 30 * PIECE);
    let new = [&old[..13 * PIECE], &noise(8, 50)[..], &old[13 * PIECE..]].concat();
    let (old, new) = (files([("a/big.pak", old)]), files([("b/big.pak", new)]));
    let (_, bytes) = download(&old, &new);
    assert!(bytes <= 2 * PIECE as u64, "{bytes} bytes");
}

#[test]
fn files_that_were_split_or_joined_cost_the_seams() {
    let parts: Vec<Vec<u8>> = (0..3).map(|n| noise(10 + n, 9 * PIECE + 100 * n as usize)).collect();
    let whole = files([("all.pak", parts.concat())]);
    let split: Files =
        (1..).zip(&parts).map(|(n, part)| (format!("all.{n:03}"), part.clone())).collect();
    for (old, new) in [(&whole, &split), (&split, &whole)] {
        let (_, bytes) = download(old, new);
        assert!(bytes <= 3 * PIECE as u64, "{bytes} bytes");
    }
}

#[test]
fn what_the_trash_or_another_pack_has_is_not_fetched() {
    let (one, two) = (files([("a", noise(20, 5000))]), files([("a", noise(21, 70_000))]));
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, &shown(&one));
    let other = Place::new();
    fs::create_dir_all(other.path("pack")).unwrap();
    fs::write(other.path("pack/anything"), &two["a"]).unwrap();
    let neighbour = format!(
        "[[pack]]\nname = \"other\"\nurl = \"http://127.0.0.1:9/o.torrent\"\nfolder = '{}'\n",
        other.path("pack").display()
    );
    place.publish(&origin, &shown(&two));
    place.set("", &neighbour);
    assert_eq!(place.run(&["sync", "pack"]).status.code(), Some(0));

    place.publish(&origin, &shown(&one));
    assert_eq!(place.run(&["sync"]).status.code(), Some(0));
    assert_eq!(place.files().into_values().collect::<Vec<_>>(), [one["a"].clone()]);
}
