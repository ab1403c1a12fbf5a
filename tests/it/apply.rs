//! One change to the folder, cut off after every single step: it finishes without network, each file is
//! old or new at every instant, and nothing of the user is lost.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use modsync::disk::apply::{Applied, Recovered, apply, recover};
use modsync::disk::baseline::{self, Baseline};
use modsync::disk::complete::complete;
use modsync::disk::fs::Root;
use modsync::disk::inventory::{list, scan};
use modsync::disk::journal::{Journal, Reason, steps_of};
use modsync::disk::layout;
use modsync::disk::plan::{Given, Plan, plan};
use modsync::disk::rollback::{self, rollback};
use modsync::disk::staging::Staging;
use modsync::disk::trash;
use modsync::disk::verify::Cancel;
use modsync::model::fault::FaultKind;
use modsync::model::manifest::{InfoHash, Manifest};
use modsync::model::pack::{Globs, Policy};
use modsync::model::release::{Digest, Release};
use modsync::origin::metainfo;

use crate::torrents::torrent_of;

type Files = BTreeMap<String, Vec<u8>>;

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
    let staged = folder.root.path().join(layout::staging(folder.new.info_hash));
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
    let folder = Folder::with_old_release();
    let journal = folder.update(true);
    folder.carry_out(&journal, 3);
    fs::remove_dir_all(folder.path().join(layout::TRASH)).unwrap();
    recover(&folder.root, &Cancel::default(), &|_| {}).unwrap();
    assert_eq!(folder.files(), expected());
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
    assert_eq!(names(&report.restored), ["removed.pak"]);
    assert_eq!(fs::read(folder.path().join("removed.pak")).unwrap(), b"old, to be removed");

    let later = SystemTime::now() + Duration::from_hours(24 * 40);
    let day = Duration::from_hours(24);
    trash::expire(&folder.root, 50 * day, 0, later).unwrap();
    assert_eq!(trash::list(&folder.root).unwrap().len(), 1, "the newest is spared by size");
    trash::expire(&folder.root, 30 * day, u64::MAX, later).unwrap();
    assert_eq!(trash::list(&folder.root).unwrap(), []);
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

/// A folder with an installed release, an edited file, files of the user, and a new release to come.
struct Folder {
    dir: tempfile::TempDir,
    root: Arc<Root>,
    old: Arc<Manifest>,
    new: Arc<Manifest>,
}

const OLD: &[(&str, &[u8])] = &[
    ("becomes-dir", b"old file"),
    ("becomes-file/inner.pak", b"old, in a folder that goes"),
    ("edited.cfg", b"as installed"),
    ("grows.pak", b"short"),
    ("removed.pak", b"old, to be removed"),
    ("same-length.pak", b"AAAA"),
    ("stays/put.pak", b"the same in both"),
];

const NEW: &[(&str, &[u8])] = &[
    ("becomes-dir/now.pak", b"new, in a folder that was a file"),
    ("becomes-file", b"new file that was a folder"),
    ("brand/new.pak", b"new"),
    ("edited.cfg", b"as in the new release"),
    ("grows.pak", b"longer than it was"),
    ("same-length.pak", b"BBBB"),
    ("stays/put.pak", b"the same in both"),
    ("very/deep/down/new.pak", b"new, in folders of its own"),
];

const USER: &[(&str, &[u8])] = &[("notes.txt", b"mine"), ("saves/one.sav", b"my save")];

/// The folder after the update: the new release and what is the user's.
fn expected() -> Files {
    NEW.iter().chain(USER).map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect()
}

impl Folder {
    fn with_old_release() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Arc::new(Root::open(dir.path()).unwrap());
        let manifest =
            |files| Arc::new(metainfo::parse(&torrent_of("t", 16384, files).encode()).unwrap());
        let folder = Self { dir, root, old: manifest(OLD), new: manifest(NEW) };
        OLD.iter().chain(USER).for_each(|(path, bytes)| folder.write(path, bytes));
        folder.root.create_dir_all(layout::RELEASES).unwrap();
        folder.root.write_atomic(layout::release(Digest([1; 32])), b"old torrent").unwrap();
        let looks = |path| folder.root.stat(path).unwrap().unwrap().into();
        let files = folder.old.files().map(|(_, path, _)| (path.clone(), looks(path))).collect();
        let installed = Baseline {
            release: release(1, &folder.old),
            files,
            applied_as: None,
            went_back_from: None,
        };
        baseline::save(&folder.root, layout::BASELINE, &installed).unwrap();
        folder.write("edited.cfg", b"edited by the user");
        folder
    }

    /// The same after the update.
    fn updated(self) -> Self {
        let journal = self.update(true);
        self.carry_out(&journal, usize::MAX);
        assert_eq!(self.files(), expected());
        self
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Stages the new release and gives the journal that applies it.
    fn update(&self, links: bool) -> Journal {
        let plan = self.plan();
        let staging = Staging::create(Arc::clone(&self.root), Arc::clone(&self.new)).unwrap();
        for (entry, path, _) in self.new.files() {
            let bytes = NEW.iter().find(|(name, _)| *name == path.as_str()).unwrap().1;
            for piece in self.new.pieces_of(entry).filter(|&piece| plan.wanted.contains(piece)) {
                for span in self.new.spans(piece).filter(|span| span.entry == entry) {
                    let (start, end) = (span.offset as usize, (span.offset + span.length) as usize);
                    staging.write_at(entry, span.offset, &bytes[start..end]).unwrap();
                }
            }
        }
        let staged = complete(&plan, &staging, &Cancel::default(), &|_| {}).unwrap();
        let id = "20260101T000000Z".to_owned();
        let before = baseline::peek(&self.root).unwrap();
        let mut files = plan.staying(&self.new, before.as_ref());
        files.extend(staged.unchanged.iter().map(|(path, stat)| (path.clone(), (*stat).into())));
        files.extend(staged.files.iter().map(|(path, file)| (path.clone(), file.looks)));
        let next = Baseline {
            release: release(2, &self.new),
            files,
            applied_as: Some(id.clone()),
            went_back_from: None,
        };
        baseline::save(&self.root, "next-for-test", &next).unwrap();
        Journal {
            id,
            when: SystemTime::now(),
            reason: Reason::Update,
            release: Some(release(2, &self.new)),
            before: before.map(|b| b.release),
            links,
            new_baseline: true,
            steps: steps_of(&plan, &staged),
        }
        .whole_seconds()
    }

    fn rollback(&self) -> Journal {
        let current = baseline::peek(&self.root).unwrap().unwrap();
        let id = current.applied_as.clone().unwrap();
        let done = trash::record_of(&self.root, &id).unwrap().unwrap();
        let previous = trash::baseline_of(&self.root, &id).unwrap().unwrap();
        let given = rollback::Given {
            done: &done,
            current: &current,
            previous: &previous,
            look: &|path| self.root.stat(path),
            stays: &|_, _| false,
        };
        let (steps, next) = rollback(&given).unwrap().unwrap();
        baseline::save(&self.root, "next-for-test", &next).unwrap();
        Journal {
            id: "20260102T000000Z".to_owned(),
            when: SystemTime::now(),
            reason: Reason::Rollback,
            release: Some(previous.release.clone()),
            before: Some(current.release.clone()),
            links: true,
            new_baseline: true,
            steps,
        }
        .whole_seconds()
    }

    fn plan(&self) -> Plan {
        let inventory = list(&self.root, &Cancel::default()).unwrap();
        let scan = scan(inventory, &self.root, &self.new, &Cancel::default(), &|_| {}).unwrap();
        let baseline = baseline::peek(&self.root).unwrap();
        let policy =
            Policy { ignore: Globs::new(vec!["saves/".into()]).unwrap(), ..Policy::default() };
        let release = release(2, &self.new);
        plan(Given {
            release: &release,
            manifest: &self.new,
            scan: &scan,
            baseline: baseline.as_ref(),
            policy: &policy,
        })
    }

    /// Carries a journal out and stops after `cut` steps.
    fn carry_out(&self, journal: &Journal, cut: usize) {
        self.carry_out_and(journal, cut, &|_| {});
    }

    /// The same, and does something after every step.
    fn carry_out_and(&self, journal: &Journal, cut: usize, after: &(dyn Fn(u64) + Sync)) {
        let next: Baseline =
            modsync::disk::record::peek(&self.root, "next-for-test").unwrap().unwrap();
        fs::remove_file(self.path().join("next-for-test")).unwrap();
        let cancel = Cancel::default();
        if cut == 0 {
            cancel.cancel();
        }
        let stop = |done| {
            after(done);
            if done == cut as u64 {
                cancel.cancel();
            }
        };
        let end = apply(&self.root, journal, Some(&next), &cancel, &stop).unwrap();
        let all = cut >= journal.steps.len();
        assert_eq!(end, if all { Applied::Finished } else { Applied::Interrupted });
    }

    /// Every file outside our own folder.
    fn files(&self) -> Files {
        walkdir::WalkDir::new(self.path())
            .into_iter()
            .filter_entry(|entry| entry.file_name() != layout::OWN_FOLDER)
            .map(|entry| entry.unwrap().into_path())
            .filter(|path| path.is_file() && !path.ends_with("next-for-test"))
            .map(|path| {
                let name = path.strip_prefix(self.path()).unwrap().to_str().unwrap().to_owned();
                (name, fs::read(&path).unwrap())
            })
            .collect()
    }

    /// Every folder but our own.
    fn dirs(&self) -> Vec<PathBuf> {
        walkdir::WalkDir::new(self.path())
            .sort_by_file_name()
            .into_iter()
            .filter_entry(|entry| entry.file_name() != layout::OWN_FOLDER)
            .map(|entry| entry.unwrap().into_path())
            .filter(|path| path.is_dir())
            .collect()
    }

    fn every_file_is_old_or_new(&self, before: &Files) {
        let after = expected();
        for (path, bytes) in self.files() {
            let known = [before.get(&path), after.get(&path)];
            assert!(known.contains(&Some(&bytes)), "`{path}` is neither old nor new");
        }
        for (path, bytes) in USER {
            assert_eq!(self.files().get(*path).map(Vec::as_slice), Some(*bytes));
        }
    }

    /// The trash has these files, whole.
    fn holds_in_trash(&self, wanted: &[(&str, &[u8])]) {
        let mut kept = Vec::new();
        for file in walkdir::WalkDir::new(self.path().join(layout::TRASH)) {
            let file = file.unwrap();
            if file.file_type().is_file() {
                kept.push(fs::read(file.path()).unwrap());
            }
        }
        for (path, bytes) in wanted {
            assert!(kept.iter().any(|k| k == bytes), "`{path}` is not in the trash");
        }
    }
}

/// Journals keep whole seconds; so that a journal read back equals the one written.
trait WholeSeconds {
    fn whole_seconds(self) -> Self;
}

impl WholeSeconds for Journal {
    fn whole_seconds(mut self) -> Self {
        let seconds = self.when.duration_since(UNIX_EPOCH).unwrap().as_secs();
        self.when = UNIX_EPOCH + Duration::from_secs(seconds);
        self
    }
}

fn release(number: u8, manifest: &Manifest) -> Release {
    Release {
        digest: Digest([number; 32]),
        info_hash: InfoHash(manifest.info_hash.0),
        name: format!("release {number}"),
        length: manifest.content_length(),
        files: manifest.files().count() as u64,
        seen: UNIX_EPOCH,
    }
}
