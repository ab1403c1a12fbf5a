//! Random histories: releases come, the player does what players do, asks to go back, to clean and to restore, and
//! one change to the folder or one write into a file of it fails each time. In the end the folder has the last
//! release, and of what the player made nothing is lost.
//!
//! `MODSYNC_TESTS=nightly` tries 10,000 of them. A failure prints its seed, which `PROPTEST_RNG_SEED` gives again,
//! and the least history that shows it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use modsync::disk::apply::{apply, can_link, recover};
use modsync::disk::arrived::Arrived;
use modsync::disk::baseline::{self, Baseline};
use modsync::disk::complete::complete;
use modsync::disk::fs::Root;
use modsync::disk::fs::faults::{Failure, Faults};
use modsync::disk::inventory::{list, scan};
use modsync::disk::journal::{Journal, Reason, steps_of, steps_of_clean};
use modsync::disk::layout;
use modsync::disk::names::Names;
use modsync::disk::plan::{Given, extras, plan};
use modsync::disk::rollback::{self, rollback};
use modsync::disk::staging::Staging;
use modsync::disk::trash;
use modsync::disk::verify::Cancel;
use modsync::model::fault::Fault;
use modsync::model::manifest::{Manifest, PieceSet, Span};
use modsync::model::pack::{Globs, Policy};
use modsync::model::release::{Digest, Release};
use modsync::origin::metainfo;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::apply::folder::{Files, temporary};
use crate::torrents::torrent_of;
use crate::tree::noise;
use crate::world::is_nightly;

const PIECE: usize = 16384;

// What must be seen in some history, or the test shows less than it says.
const CHANGE_FAILED: &str = "a change failed";
const WRITE_FAILED: &str = "a write failed";
const KEPT: &str = "an edit was kept";
const WENT_BACK: &str = "an update was taken back whole";
const CLEANED: &str = "something was cleaned away";
const RESTORED: &str = "something came back from the trash";

/// Something is asked of us; before that, the player did something, and while it is done, something fails.
#[derive(Debug, Clone)]
struct Chapter {
    player: Vec<Deed>,
    order: Order,
    trouble: Trouble,
}

/// What a player does to a file.
#[derive(Debug, Clone)]
enum Deed {
    Write(String, u64),
    Delete(String),
}

/// What is asked of us.
#[derive(Debug, Clone)]
enum Order {
    Install(Files),
    GoBack,
    Clean,
    /// From one of the entries of the trash.
    Restore(usize),
}

/// What fails while it is done.
#[derive(Debug, Clone)]
enum Trouble {
    Change(u64, Failure),
    Write(u64, Failure),
}

/// A folder and what is known of it.
struct Story {
    dir: tempfile::TempDir,
    policy: Policy,
    /// What the player made, and neither removed nor wrote over.
    mine: BTreeSet<Vec<u8>>,
    /// What may have come out of the trash when the player asked for it.
    restored: BTreeSet<Vec<u8>>,
    /// All that came, by their numbers.
    releases: Vec<Files>,
    /// The folder before the last release was installed, while nothing has happened since.
    before: Option<Files>,
    /// What happened in it that not all stories have.
    seen: BTreeSet<&'static str>,
}

#[test]
fn every_history_ends_with_the_last_release_and_all_that_the_player_made() {
    let cases = if is_nightly() { 10_000 } else { 300 };
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let again = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => fastrand::u64(..),
    };
    println!("again: PROPTEST_RNG_SEED={again}");
    let config = Config { rng_seed: RngSeed::Fixed(again), ..config };
    let histories = proptest::collection::vec(chapter(), 1..7);
    let seen = RefCell::new(BTreeSet::new());
    let test = |history: Vec<Chapter>| {
        seen.borrow_mut().extend(live(&history)?);
        Ok(())
    };
    TestRunner::new(config).run(&histories, test).unwrap();
    let all = [CHANGE_FAILED, WRITE_FAILED, KEPT, WENT_BACK, CLEANED, RESTORED];
    assert_eq!(seen.into_inner(), all.into());
}

#[test]
fn what_histories_have_found_stays_found() {
    let installed = |paths: &[&str]| {
        let files = paths.iter().map(|path| ((*path).to_owned(), noise(1, path.len() - 1)));
        Order::Install(files.chain([("readme.txt".to_owned(), noise(9, 300))]).collect())
    };
    let wrote = |path: &str| vec![Deed::Write(path.to_owned(), 0)];
    let nothing = Trouble::Change(u64::MAX, Failure::Death);
    for (at, failure) in
        (1..60).flat_map(|at| [(at, Failure::Death), (at, Failure::Error(ErrorKind::StorageFull))])
    {
        for trouble in [Trouble::Change(at, failure), Trouble::Write(at, failure)] {
            let stories = [
                // A file becomes a folder, and there are edits to be kept by that name; it goes back once too often.
                (vec![], installed(&["c"]), installed(&["c/a"])),
                // A folder takes the place of a file of the player's.
                (wrote("c"), installed(&["a"]), installed(&["a", "c/a/a"])),
            ];
            for (player, first, then) in stories {
                let orders = [first, then, Order::GoBack, Order::GoBack];
                let troubles = [&nothing, &nothing, &trouble, &nothing].map(Clone::clone);
                let players = [player, vec![], vec![], vec![]];
                let history = orders.into_iter().zip(troubles).zip(players);
                let history: Vec<_> = history
                    .map(|((order, trouble), player)| Chapter { player, order, trouble })
                    .collect();
                live(&history).unwrap_or_else(|e| panic!("{trouble:?}: {e}"));
            }
        }
    }
}

/// Tells what was seen.
fn live(history: &[Chapter]) -> Result<BTreeSet<&'static str>, TestCaseError> {
    let mut story = Story::begin();
    for chapter in history {
        chapter.player.iter().for_each(|deed| story.does(deed));
        let faults = match chapter.trouble {
            Trouble::Change(at, failure) => Faults::at(at, failure),
            Trouble::Write(at, failure) => Faults::at_write(at, failure),
        };
        match &chapter.order {
            Order::Install(release) => story.installs(release, &faults)?,
            Order::GoBack => story.goes_back(&faults)?,
            Order::Clean => story.cleans(&faults)?,
            Order::Restore(entry) => story.restores(*entry, &faults)?,
        }
        let of_writes = matches!(chapter.trouble, Trouble::Write(..));
        if faults.were_met() {
            story.seen.insert(if of_writes { WRITE_FAILED } else { CHANGE_FAILED });
        }
    }
    Ok(story.seen)
}

impl Story {
    fn begin() -> Self {
        let keep = Globs::new(vec!["/c".to_owned()]).unwrap();
        Self {
            dir: temporary(),
            policy: Policy { keep, ..Policy::default() },
            mine: BTreeSet::new(),
            restored: BTreeSet::new(),
            releases: Vec::new(),
            before: None,
            seen: BTreeSet::new(),
        }
    }

    fn root(&self) -> Root {
        Root::open(self.dir.path()).unwrap()
    }

    fn files(&self) -> Files {
        files(self.dir.path(), false)
    }

    /// What the player does. What cannot be done, such as a file in a file, is not.
    fn does(&mut self, deed: &Deed) {
        let (Deed::Write(path, _) | Deed::Delete(path)) = deed;
        let full = self.dir.path().join(path);
        let there = fs::read(&full).ok();
        let new = match deed {
            Deed::Write(_, seed) => {
                let bytes = noise(1_000_000 + seed, 1_000);
                let _ = fs::create_dir_all(full.parent().unwrap());
                fs::write(full, &bytes).is_ok().then_some(Some(bytes))
            }
            Deed::Delete(_) => fs::remove_file(full).is_ok().then_some(None),
        };
        if let Some(new) = new {
            there.map(|bytes| self.mine.remove(&bytes));
            self.mine.extend(new);
            self.before = None;
        }
    }

    fn installs(&mut self, release: &Files, faults: &Faults) -> Result<(), TestCaseError> {
        self.releases.push(release.clone());
        let number = self.releases.len() as u8;
        let before = self.files();
        // It fails, or the fault was not met.
        let _ = follow(self.root().with_faults(faults), release, number, &self.policy);
        self.nothing_is_lost()?;
        follow(self.root(), release, number, &self.policy).unwrap();

        let now = self.files();
        for (path, bytes) in release {
            let (old, new) = (before.get(path), now.get(path));
            let keeps = |of: &BTreeSet<_>| {
                self.policy.keep.matches(path) && old.is_some_and(|old| of.contains(old))
            };
            // What came out of the trash may be what we installed.
            if keeps(&self.mine) {
                self.seen.insert(KEPT);
            }
            let is_right = new == if keeps(&self.mine) { old } else { Some(bytes) };
            let is_right = is_right || new == old && keeps(&self.restored);
            prop_assert!(is_right, "`{}` is not of the release", path);
        }
        for (path, bytes) in now.iter().filter(|(path, _)| !release.contains_key(*path)) {
            prop_assert!(self.is_players(bytes), "`{}` is nobody's", path);
        }
        self.nothing_is_lost()?;
        let again = follow(self.root(), release, number, &self.policy).unwrap();
        prop_assert!(!again, "something was left to do");
        is_same(&self.files(), &now)?;
        self.before = Some(before);
        Ok(())
    }

    fn goes_back(&mut self, faults: &Faults) -> Result<(), TestCaseError> {
        let (now, installed) = (self.files(), installed(&self.root()));
        let done = go_back(self.root().with_faults(faults), &self.policy);
        self.nothing_is_lost()?;
        recover(&self.root(), &Cancel::default(), &|_| {}).unwrap();
        self.nothing_is_lost()?;
        let (then, after) = (self.files(), self::installed(&self.root()));
        let went = after != installed;
        prop_assert!(went || !matches!(done, Ok(true)), "it did not go back and says so");
        if !went {
            return is_same(&then, &now);
        }
        if let Some(before) = self.before.take() {
            self.seen.insert(WENT_BACK);
            return is_same(&then, &before);
        }
        for (path, bytes) in &then {
            let is_known = self.releases.iter().any(|release| release.get(path) == Some(bytes));
            prop_assert!(is_known || self.is_players(bytes), "`{}` is nobody's", path);
        }
        Ok(())
    }

    fn cleans(&mut self, faults: &Faults) -> Result<(), TestCaseError> {
        let Some(number) = installed(&self.root()) else { return Ok(()) };
        let release = self.releases[number - 1].clone();
        let before = self.files();
        let mut expected = before.clone();
        expected.retain(|path, _| release.contains_key(path) || self.policy.spares(path));
        if expected != before {
            self.seen.insert(CLEANED);
        }
        let _ = clean(self.root().with_faults(faults), &release, number as u8, &self.policy);
        self.nothing_is_lost()?;
        clean(self.root(), &release, number as u8, &self.policy).unwrap();
        is_same(&self.files(), &expected)?;
        self.before = None;
        self.nothing_is_lost()
    }

    fn restores(&mut self, entry: usize, faults: &Faults) -> Result<(), TestCaseError> {
        let entries = trash::list(&self.root()).unwrap();
        let Some(entry) = entries.get(entry % entries.len().max(1)) else { return Ok(()) };
        let before = self.files();
        let kept = self.dir.path().join(layout::TRASH).join(&entry.id);
        self.restored.extend(files(&kept, true).into_values());
        let _ = trash::restore(&self.root().with_faults(faults), &entry.id);
        self.nothing_is_lost()?;
        trash::restore(&self.root(), &entry.id).unwrap();
        let now = self.files();
        if now != before {
            self.seen.insert(RESTORED);
        }
        for (path, bytes) in &before {
            prop_assert!(now.get(path) == Some(bytes), "`{}` was touched", path);
        }
        for line in &entry.files {
            let is_there = self.dir.path().join(&line.path).symlink_metadata().is_ok();
            let has_room = before.keys().all(|it| !line.path.starts_with(&format!("{it}/")));
            prop_assert!(is_there || !has_room, "`{}` did not come back", line.path);
        }
        self.before = None;
        self.nothing_is_lost()
    }

    fn is_players(&self, bytes: &[u8]) -> bool {
        self.mine.contains(bytes) || self.restored.contains(bytes)
    }

    fn nothing_is_lost(&self) -> Result<(), TestCaseError> {
        let all: BTreeSet<_> = files(self.dir.path(), true).into_values().collect();
        prop_assert!(self.mine.is_subset(&all), "something of the player's is lost");
        Ok(())
    }
}

fn is_same(now: &Files, expected: &Files) -> Result<(), TestCaseError> {
    let paths = now.keys().chain(expected.keys());
    let other: BTreeSet<_> = paths.filter(|path| now.get(*path) != expected.get(*path)).collect();
    prop_assert!(other.is_empty(), "not as they should be: {:?}", other);
    Ok(())
}

/// The number of the release that the folder has.
fn installed(root: &Root) -> Option<usize> {
    Some(baseline::peek(root).unwrap()?.release.digest.0[0].into())
}

/// Makes the folder equal to a release, as the engine does, and says whether there was something to do.
fn follow(root: Root, release: &Files, number: u8, policy: &Policy) -> Result<bool, Fault> {
    let (root, cancel) = (Arc::new(root), Cancel::default());
    root.create_dir_all(layout::RELEASES)?;
    recover(&root, &cancel, &|_| {})?;
    let torrent = torrent(release);
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
    let given = Given {
        release: &of,
        manifest: &manifest,
        scan: &scan,
        baseline: before.as_ref(),
        was_installed: before.is_some(),
        policy,
    };
    let plan = plan(given);
    let nothing = plan.actions.is_empty() && plan.remove.is_empty() && plan.obstacles.is_empty();
    if nothing && before.as_ref().is_some_and(|before| before.release == of) {
        return Ok(false);
    }
    let arrived = fetch(&manifest, release, &plan.missing, &staging)?;
    let staged = complete(&plan, &plan.moves, &staging, &arrived, &cancel, &|_| {});
    let staged = staged.map_err(Fault::from)?;
    let id = trash::new_id(&root, SystemTime::now())?;
    let mut files = plan.staying(&manifest, before.as_ref());
    files.extend(staged.unchanged.iter().map(|(path, stat)| (path.clone(), (*stat).into())));
    files.extend(staged.files.iter().map(|(path, file)| (path.clone(), file.looks)));
    files.extend(staged.moved.iter().map(|(path, file)| (path.clone(), file.looks)));
    let repaired = before.as_ref().filter(|before| before.release == of);
    let reason = if repaired.is_some() { Reason::Repair } else { Reason::Update };
    let applied_as = repaired.map_or(Some(id.clone()), |before| before.applied_as.clone());
    let next = Baseline { release: of.clone(), files, applied_as, went_back_from: None };
    let journal = Journal {
        id,
        when: SystemTime::now(),
        reason,
        release: Some(of.clone()),
        before: before.map(|before| before.release),
        links: can_link(&root, &layout::release(of.digest))?,
        new_baseline: true,
        steps: steps_of(&plan, &staged),
    };
    apply(&root, &journal, Some(&next), &cancel, &|_| {})?;
    Ok(true)
}

/// Takes the last update back, as the engine does, and says whether there was one.
fn go_back(root: Root, policy: &Policy) -> Result<bool, Fault> {
    let cancel = Cancel::default();
    recover(&root, &cancel, &|_| {})?;
    let Some(current) = baseline::peek(&root)? else { return Ok(false) };
    let Some(undone) = &current.applied_as else { return Ok(false) };
    let Some(done) = trash::record_of(&root, undone)? else { return Ok(false) };
    let Some(previous) = trash::baseline_of(&root, undone)? else { return Ok(false) };
    let given = rollback::Given {
        done: &done,
        current: &current,
        previous: &previous,
        look: &|path| root.stat(path),
        stays: &|path, stat| policy.keep.matches(path) && !current.is_ours(path, stat),
    };
    let Some((steps, next)) = rollback(&given)? else { return Ok(false) };
    let journal = Journal {
        id: trash::new_id(&root, SystemTime::now())?,
        when: SystemTime::now(),
        reason: Reason::Rollback,
        release: Some(next.release.clone()),
        before: Some(current.release.clone()),
        links: can_link(&root, &layout::release(current.release.digest))?,
        new_baseline: true,
        steps,
    };
    apply(&root, &journal, Some(&next), &cancel, &|_| {})?;
    Ok(true)
}

/// Moves to the trash what the installed release does not name, as the engine does.
fn clean(root: Root, release: &Files, number: u8, policy: &Policy) -> Result<(), Fault> {
    let cancel = Cancel::default();
    recover(&root, &cancel, &|_| {})?;
    let manifest = metainfo::parse(&torrent(release)).unwrap();
    let inventory = list(&root, &cancel).map_err(Fault::from)?;
    let places = Names::of(&manifest, &inventory).places(root.pace());
    let extras = extras(&places.unnamed, policy).collect();
    let of = Some(release_of(&manifest, number));
    let journal = Journal {
        id: trash::new_id(&root, SystemTime::now())?,
        when: SystemTime::now(),
        reason: Reason::Clean,
        release: of.clone(),
        before: of,
        links: false,
        new_baseline: false,
        steps: steps_of_clean(&extras),
    };
    apply(&root, &journal, None, &cancel, &|_| {})?;
    Ok(())
}

fn torrent(release: &Files) -> Vec<u8> {
    let named: Vec<_> = release.iter().map(|(path, bytes)| (&path[..], &bytes[..])).collect();
    torrent_of("t", PIECE, &named).encode()
}

/// Writes what peers would have sent.
fn fetch(
    manifest: &Manifest,
    release: &Files,
    missing: &PieceSet,
    staging: &Staging,
) -> Result<Arrived, Fault> {
    let arrived = Arrived::default();
    for piece in missing.iter() {
        let mut written = Vec::new();
        for Span { entry, offset, length } in manifest.spans(piece) {
            let path = manifest.entries[entry].path.as_ref().unwrap();
            let bytes = &release[path.as_str()][offset as usize..(offset + length) as usize];
            let (first, second) = bytes.split_at(bytes.len() / 3);
            let result = staging.write_right(entry, offset, &[first, second]);
            written.extend(result.map_err(|e| Fault::bug(e.to_string()))?);
        }
        arrived.note_right(piece..piece + 1, &written);
    }
    Ok(arrived)
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
    let order = prop_oneof![
        4 => release().prop_map(Order::Install),
        2 => Just(Order::GoBack),
        1 => Just(Order::Clean),
        1 => any::<usize>().prop_map(Order::Restore),
    ];
    (proptest::collection::vec(deed, 0..4), order, trouble())
        .prop_map(|(player, order, trouble)| Chapter { player, order, trouble })
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let failure = || {
        prop_oneof![
            Just(Failure::Death),
            Just(Failure::Error(ErrorKind::StorageFull)),
            Just(Failure::Error(ErrorKind::PermissionDenied)),
            Just(Failure::Error(ErrorKind::Other)),
        ]
    };
    prop_oneof![
        (1_u64..80, failure()).prop_map(|(at, failure)| Trouble::Change(at, failure)),
        (1_u64..40, failure()).prop_map(|(at, failure)| Trouble::Write(at, failure)),
    ]
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
