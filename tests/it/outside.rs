//! Bytes from outside: what was found by fuzzing stays found, and names are tried at random.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use modsync::model::path::RelPath;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::world::{Running, World};
use crate::worst;

#[path = "../fuzz/bodies.rs"]
mod bodies;

type Body = fn(&[u8]);
const TARGETS: [(&str, Body); 5] = [
    ("metainfo", bodies::metainfo),
    ("rel_path", bodies::rel_path),
    ("journal", bodies::journal),
    ("baseline", bodies::baseline),
    ("request", bodies::request),
];

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name)
}

#[test]
fn every_input_of_the_corpora_is_taken_or_refused_as_it_must_be() {
    for (name, body) in TARGETS {
        let mut tried = 0;
        for file in fs::read_dir(corpus(name)).unwrap() {
            body(&fs::read(file.unwrap().path()).unwrap());
            tried += 1;
        }
        assert!(tried > 3, "{name} has hardly a corpus");
    }
}

#[test]
fn no_torrent_of_the_greatest_size_takes_much_memory() {
    let world = World::new();
    let file = world.at("worst.torrent");
    for (what, bytes) in worst::torrents() {
        fs::write(&file, &bytes).unwrap();
        let mut command = world.command("inspect --json");
        command.arg(&file);
        let (ran, peak) = Running::start(command).end_with_peak();
        assert!(matches!(ran.code, Some(0 | 1)), "{what}: {ran:?}");
        assert!((1..200 << 20).contains(&peak), "{what}: {peak} bytes");
        world.origin.publish(bytes);
        let (ran, peak) = Running::start(world.command("check")).end_with_peak();
        assert!(matches!(ran.code, Some(1 | 10)), "{what}: {ran:?}");
        assert!((1..200 << 20).contains(&peak), "{what} is checked: {peak} bytes");
    }
}

#[test]
fn a_pack_of_as_many_folders_as_a_torrent_can_name_is_planned() {
    let world = World::new();
    let (_, folders) = worst::torrents().into_iter().find(|(what, _)| *what == "folders").unwrap();
    world.origin.publish(folders);
    let (ran, peak) = Running::start(world.command("plan")).end_with_peak();
    ran.exits(10).says("57640 new");
    assert!((1..600 << 20).contains(&peak), "{peak} bytes");
}

/// A corpus of which nothing is taken shows nothing.
#[test]
fn some_inputs_of_each_corpus_are_taken() {
    let read = |path: &str| fs::read(corpus("").join(path)).unwrap();
    for torrent in ["two-files", "single", "padding", "hybrid"] {
        modsync::origin::metainfo::parse(&read(&format!("metainfo/{torrent}"))).unwrap();
    }
    for journal in ["put", "clear-outside", "restore-from-outside", "id-outside"] {
        let journal = read(&format!("journal/{journal}"));
        serde_json::from_slice::<modsync::disk::journal::Journal>(&journal).unwrap();
    }
    let baseline = read("baseline/huge");
    serde_json::from_slice::<modsync::disk::baseline::Baseline>(&baseline).unwrap();
}

#[test]
fn a_path_that_is_taken_stays_in_the_folder_on_every_system() {
    let part = r"[a-cA-C./ ]|[\\:\x00\x7f]|con|COM[0-9¹]|nul|CLOCK\$|\.modsync|modsyn~1|[\PC]";
    let taken = Cell::new(0);
    let texts = proptest::string::string_regex(&format!("(?s)({part}){{0,6}}")).unwrap();
    let stays_inside = |text: String| {
        if let Ok(path) = RelPath::new(&text) {
            taken.set(taken.get() + 1);
            bodies::stays_inside(&path);
        }
        Ok(())
    };
    let config = Config { cases: 1_000, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(&texts, stays_inside).unwrap();
    assert!(taken.get() > 30, "only {} of 1,000", taken.get());
}

proptest! {
    #[test]
    fn any_bytes_are_taken_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        bodies::metainfo(&bytes);
        bodies::rel_path(&bytes);
        bodies::journal(&bytes);
        bodies::baseline(&bytes);
        bodies::request(&bytes);
    }

    #[test]
    fn what_was_damaged_in_a_few_places_is_taken_or_refused(
        which in any::<prop::sample::Index>(),
        damages in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for (name, body) in TARGETS {
            let mut inputs: Vec<_> = fs::read_dir(corpus(name)).unwrap().collect();
            inputs.sort_by_key(|input| input.as_ref().unwrap().file_name());
            let mut bytes = fs::read(which.get(&inputs).as_ref().unwrap().path()).unwrap();
            for (place, byte) in &damages {
                if !bytes.is_empty() {
                    let at = place.index(bytes.len());
                    bytes[at] = *byte;
                }
            }
            body(&bytes);
        }
    }
}
