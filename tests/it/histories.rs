//! Random histories: releases come, the player does what players do, and one change to the folder fails. In the
//! end the folder has the last release, and of what the player made nothing is lost.
//!
//! `MODSYNC_TESTS=nightly` tries 10,000 of them. A failure prints its seed and the least history that shows it.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use modsync::disk::apply::{apply, can_link, recover};
use modsync::disk::baseline::{self, Baseline};
use modsync::disk::complete::complete;
use modsync::disk::fs::Root;
use modsync::disk::fs::faults::{Failure, Faults};
use modsync::disk::inventory::{list, scan};
use modsync::disk::journal::{Journal, Reason, steps_of};
use modsync::disk::layout;
use modsync::disk::plan::{Given, plan};
use modsync::disk::staging::Staging;
use modsync::disk::trash;
use modsync::disk::verify::Cancel;
use modsync::model::fault::Fault;
use modsync::model::manifest::{Manifest, PieceSet};
use modsync::model::pack::Policy;
use modsync::model::release::{Digest, Release};
use modsync::origin::metainfo;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::apply::folder::{Files, temporary};
use crate::torrents::torrent_of;
use crate::tree::noise;
use crate::world::is_nightly;

const PIECE: usize = 16384;

/// A release comes; before that, the player did something; and while it is installed, a change fails.
#[derive(Debug, Clone)]
struct Chapter {
    player: Vec<Deed>,
    release: Files,
    failure: Failure,
    at: u64,
}

/// What a player does to a file.
#[derive(Debug, Clone)]
enum Deed {
    Write(String, u64),
    Delete(String),
}

#[test]
fn every_history_ends_with_the_last_release_and_all_that_the_player_made() {
    let cases = if is_nightly() { 10_000 } else { 300 };
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let histories = proptest::collection::vec(chapter(), 3);
    TestRunner::new(config).run(&histories, |history| live(&history)).unwrap();
}

fn live(history: &[Chapter]) -> Result<(), TestCaseError> {
    let dir = temporary();
    let mut mine = BTreeMap::new();
    for (number, chapter) in (1..).zip(history) {
        chapter.player.iter().for_each(|deed| do_it(dir.path(), deed, &mut mine));
        let faults = Faults::at(chapter.at, chapter.failure);
        let root = Root::open(dir.path()).unwrap().with_faults(&faults);
        // It fails, or the fault was not met.
        let _ = follow(root, &chapter.release, number);
        nothing_is_lost(dir.path(), &mine)?;
        follow(Root::open(dir.path()).unwrap(), &chapter.release, number).unwrap();

        let now = files(dir.path(), false);
        for (path, bytes) in &chapter.release {
            prop_assert!(now.get(path) == Some(bytes), "`{}` is not of the release", path);
        }
        for (path, bytes) in now.iter().filter(|(path, _)| !chapter.release.contains_key(*path)) {
            prop_assert!(mine.values().any(|mine| mine == bytes), "`{}` is nobody's", path);
        }
        nothing_is_lost(dir.path(), &mine)?;
        let faults = Faults::default();
        let root = Root::open(dir.path()).unwrap().with_faults(&faults);
        prop_assert!(!follow(root, &chapter.release, number).unwrap(), "something was left to do");
        prop_assert_eq!(files(dir.path(), false), now);
    }
    Ok(())
}

fn do_it(folder: &Path, deed: &Deed, mine: &mut BTreeMap<String, Vec<u8>>) {
    // What cannot be done, such as a file in a file, the player does not do.
    match deed {
        Deed::Write(path, seed) => {
            let bytes = noise(1_000_000 + seed, 1_000);
            let full = folder.join(path);
            let _ = fs::create_dir_all(full.parent().unwrap());
            if fs::write(full, &bytes).is_ok() {
                mine.insert(path.clone(), bytes);
            }
        }
        Deed::Delete(path) => {
            let now = fs::read(folder.join(path)).ok();
            if fs::remove_file(folder.join(path)).is_ok() && now.as_ref() == mine.get(path) {
                mine.remove(path);
            }
        }
    }
}

/// Makes the folder equal to a release, as the engine does, and says whether there was something to do.
fn follow(root: Root, release: &Files, number: u8) -> Result<bool, Fault> {
    let (root, cancel) = (Arc::new(root), Cancel::default());
    root.create_dir_all(layout::RELEASES)?;
    recover(&root, &cancel, &|_| {})?;
    let named: Vec<_> = release.iter().map(|(path, bytes)| (&path[..], &bytes[..])).collect();
    let torrent = torrent_of("t", PIECE, &named).encode();
    let manifest = Arc::new(metainfo::parse(&torrent).unwrap());
    let of = release_of(&manifest, number);
    root.write_atomic(layout::release(of.digest), &torrent)?;
    let staging = Staging::create(Arc::clone(&root), Arc::clone(&manifest))?;
    let none = PieceSet::none(manifest.pieces.len());
    let inventory = list(&root, &cancel)?;
    let scan = scan(inventory, &root, &manifest, &none, &cancel, &|_| {})
        .and_then(|scan| scan.and_elsewhere(Some(&*root), &[], &manifest, &cancel))
        .map_err(Fault::from)?;
    let before = baseline::peek(&root)?;
    let policy = Policy::default();
    let given = Given {
        release: &of,
        manifest: &manifest,
        scan: &scan,
        baseline: before.as_ref(),
        policy: &policy,
    };
    let plan = plan(given);
    let nothing = plan.actions.is_empty() && plan.remove.is_empty() && plan.obstacles.is_empty();
    if nothing && before.as_ref().is_some_and(|before| before.release == of) {
        return Ok(false);
    }
    fetch(&manifest, release, &plan.missing, &staging)?;
    let staged = complete(&plan, &plan.moves, &staging, &cancel, &|_| {}).map_err(Fault::from)?;
    let id = trash::new_id(&root, SystemTime::now())?;
    let mut files = plan.staying(&manifest, before.as_ref());
    files.extend(staged.unchanged.iter().map(|(path, stat)| (path.clone(), (*stat).into())));
    files.extend(staged.files.iter().map(|(path, file)| (path.clone(), file.looks)));
    let next =
        Baseline { release: of.clone(), files, applied_as: Some(id.clone()), went_back_from: None };
    let journal = Journal {
        id,
        when: SystemTime::now(),
        reason: Reason::Update,
        release: Some(of.clone()),
        before: before.map(|before| before.release),
        links: can_link(&root, &layout::release(of.digest))?,
        new_baseline: true,
        steps: steps_of(&plan, &staged),
    };
    apply(&root, &journal, Some(&next), &cancel, &|_| {})?;
    Ok(true)
}

/// Writes what peers would have sent.
fn fetch(
    manifest: &Manifest,
    release: &Files,
    missing: &PieceSet,
    staging: &Staging,
) -> Result<(), Fault> {
    for (entry, path, _) in manifest.files() {
        let bytes = &release[path.as_str()];
        for piece in manifest.pieces_of(entry).filter(|&piece| missing.contains(piece)) {
            for span in manifest.spans(piece).filter(|span| span.entry == entry) {
                let (start, end) = (span.offset as usize, (span.offset + span.length) as usize);
                let written = staging.write_at(entry, span.offset, &bytes[start..end]);
                written.map_err(|e| Fault::bug(e.to_string()))?;
            }
        }
    }
    Ok(())
}

fn nothing_is_lost(folder: &Path, mine: &BTreeMap<String, Vec<u8>>) -> Result<(), TestCaseError> {
    let all = files(folder, true);
    for (path, bytes) in mine {
        prop_assert!(all.values().any(|kept| kept == bytes), "`{}` of the player is lost", path);
    }
    Ok(())
}

/// The files of the folder, with those of the trash or without.
fn files(folder: &Path, trash_too: bool) -> Files {
    walkdir::WalkDir::new(folder)
        .into_iter()
        .filter_entry(|entry| trash_too || entry.file_name() != layout::OWN_FOLDER)
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            (name, fs::read(&path).unwrap())
        })
        .collect()
}

fn release_of(manifest: &Manifest, number: u8) -> Release {
    Release {
        digest: Digest([number; 32]),
        info_hash: manifest.info_hash,
        name: "t".to_owned(),
        length: manifest.content_length(),
        files: manifest.files().count() as u64,
        seen: UNIX_EPOCH,
    }
}

fn chapter() -> impl Strategy<Value = Chapter> {
    let deed = prop_oneof![
        3 => (path(), any::<u64>()).prop_map(|(path, seed)| Deed::Write(path, seed % 1_000_000)),
        1 => path().prop_map(Deed::Delete),
    ];
    let failure = prop_oneof![
        Just(Failure::Death),
        Just(Failure::Error(ErrorKind::StorageFull)),
        Just(Failure::Error(ErrorKind::PermissionDenied)),
        Just(Failure::Error(ErrorKind::Other)),
    ];
    (proptest::collection::vec(deed, 0..4), release(), failure, 1_u64..80)
        .prop_map(|(player, release, failure, at)| Chapter { player, release, failure, at })
}

/// Files of which none is the folder of another.
fn release() -> impl Strategy<Value = Files> {
    let file = (path(), 0_u64..4, prop_oneof![0_usize..200, 0_usize..40_000]);
    proptest::collection::vec(file, 1..8).prop_map(|files| {
        // A torrent has some content.
        let mut release = Files::from([("readme.txt".to_owned(), noise(9, 300))]);
        for (path, seed, length) in files {
            let below = |a: &str, b: &str| a.starts_with(&format!("{b}/"));
            if release.keys().all(|other| !below(other, &path) && !below(&path, other)) {
                release.insert(path, noise(seed, length));
            }
        }
        release
    })
}

/// Few enough that they meet.
fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof!["a", "b", "c"], 1..4).prop_map(|names| names.join("/"))
}
