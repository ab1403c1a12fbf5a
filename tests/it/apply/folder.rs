//! [`Folder`]: a pack's folder with an update to come, for what needs no program and no network.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use modsync::disk::apply::{Applied, apply};
use modsync::disk::arrived::Arrived;
use modsync::disk::baseline::{self, Baseline};
use modsync::disk::complete::{Moves, complete};
use modsync::disk::fs::Root;
use modsync::disk::inventory::{list, scan};
use modsync::disk::journal::{Journal, Reason, steps_of};
use modsync::disk::layout;
use modsync::disk::plan::{Given, Plan, plan};
use modsync::disk::rollback::{self, rollback};
use modsync::disk::staging::Staging;
use modsync::disk::trash;
use modsync::disk::verify::Cancel;
use modsync::model::manifest::{InfoHash, Manifest, PieceSet};
use modsync::model::pack::{Globs, Policy};
use modsync::model::path::RelPath;
use modsync::model::release::{Digest, Release};
use modsync::origin::metainfo;

use crate::torrents::torrent_of;

pub type Files = BTreeMap<String, Vec<u8>>;

/// A folder with an installed release, an edited file, files of the user, and a new release to come.
pub struct Folder {
    dir: tempfile::TempDir,
    pub root: Arc<Root>,
    pub old: Arc<Manifest>,
    pub new: Arc<Manifest>,
}

const OLD: &[(&str, &[u8])] = &[
    ("becomes-dir", b"old file"),
    ("becomes-file/inner.pak", b"old, in a folder that goes"),
    ("edited.cfg", b"as installed"),
    ("grows.pak", b"short"),
    ("old-name.pak", b"the same under another name"),
    ("removed.pak", b"old, to be removed"),
    ("same-length.pak", b"AAAA"),
    ("stays/put.pak", b"the same in both"),
];

/// One that nobody may write.
pub const READ_ONLY: &str = "grows.pak";

const NEW: &[(&str, &[u8])] = &[
    ("becomes-dir/now.pak", b"new, in a folder that was a file"),
    ("becomes-file", b"new file that was a folder"),
    ("brand/new.pak", b"new"),
    ("edited.cfg", b"as in the new release"),
    ("grows.pak", b"longer than it was"),
    ("new-name.pak", b"the same under another name"),
    ("same-length.pak", b"BBBB"),
    ("stays/put.pak", b"the same in both"),
    ("very/deep/down/new.pak", b"new, in folders of its own"),
];

const USER: &[(&str, &[u8])] = &[("notes.txt", b"mine"), ("saves/one.sav", b"my save")];

/// What the update must not take: files of the user, and one of the pack that was edited.
pub fn mine() -> Vec<(&'static str, &'static [u8])> {
    USER.iter().copied().chain([("edited.cfg", &b"edited by the user"[..])]).collect()
}

/// The folder after the update: the new release and what is the user's.
pub fn expected() -> Files {
    NEW.iter().chain(USER).map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect()
}

impl Folder {
    pub fn with_old_release() -> Self {
        let dir = temporary();
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
        let read_only = fs::Permissions::from_mode(0o444);
        fs::set_permissions(folder.path().join(READ_ONLY), read_only).unwrap();
        folder
    }

    /// The same again, in a folder of its own.
    pub fn copied(&self) -> Self {
        let dir = temporary();
        let all = format!("{}/.", self.path().display());
        let copied = Command::new("cp").args(["-a", &all]).arg(dir.path()).status().unwrap();
        assert!(copied.success());
        let root = Arc::new(Root::open(dir.path()).unwrap());
        Self { dir, root, old: Arc::clone(&self.old), new: Arc::clone(&self.new) }
    }

    /// The same after the update.
    pub fn updated(self) -> Self {
        let journal = self.update(true);
        self.carry_out(&journal, usize::MAX);
        assert_eq!(self.files(), expected());
        self
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Stages the new release and gives the journal that applies it.
    pub fn update(&self, links: bool) -> Journal {
        let plan = self.plan();
        let staging = Staging::create(Arc::clone(&self.root), Arc::clone(&self.new)).unwrap();
        let is_renamed = |path: &RelPath| links && path.as_str() == "new-name.pak";
        let renamed = self.new.files().filter(|(_, path, _)| is_renamed(path));
        let old_name = RelPath::new("old-name.pak").unwrap();
        let moves: Moves = renamed.map(|(entry, ..)| (entry, old_name.clone())).collect();
        for (entry, path, _) in self.new.files().filter(|(_, path, _)| !is_renamed(path)) {
            let bytes = NEW.iter().find(|(name, _)| *name == path.as_str()).unwrap().1;
            for piece in self.new.pieces_of(entry).filter(|&piece| plan.wanted.contains(piece)) {
                for span in self.new.spans(piece).filter(|span| span.entry == entry) {
                    let (start, end) = (span.offset as usize, (span.offset + span.length) as usize);
                    staging.write_at(entry, span.offset, &bytes[start..end]).unwrap();
                }
            }
        }
        let staged =
            complete(&plan, &moves, &staging, &Arrived::default(), &Cancel::default(), &|_| {})
                .unwrap();
        let id = "20260101T000000Z".to_owned();
        let before = baseline::peek(&self.root).unwrap();
        let mut files = plan.staying(&self.new, before.as_ref());
        files.extend(staged.unchanged.iter().map(|(path, stat)| (path.clone(), (*stat).into())));
        files.extend(staged.files.iter().map(|(path, file)| (path.clone(), file.looks)));
        files.extend(staged.moved.iter().map(|(path, file)| (path.clone(), file.looks)));
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

    pub fn rollback(&self) -> Journal {
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
        let none = PieceSet::none(self.new.pieces.len());
        let scan =
            scan(inventory, &self.root, &self.new, &none, &Cancel::default(), &|_| {}).unwrap();
        let baseline = baseline::peek(&self.root).unwrap();
        let policy =
            Policy { ignore: Globs::new(vec!["saves/".into()]).unwrap(), ..Policy::default() };
        let release = release(2, &self.new);
        plan(Given {
            release: &release,
            manifest: &self.new,
            scan: &scan,
            baseline: baseline.as_ref(),
            was_installed: baseline.is_some(),
            policy: &policy,
        })
    }

    /// Carries a journal out and stops after `cut` steps.
    pub fn carry_out(&self, journal: &Journal, cut: usize) {
        self.carry_out_and(journal, cut, &|_| {});
    }

    /// The same, and does something after every step.
    pub fn carry_out_and(&self, journal: &Journal, cut: usize, after: &(dyn Fn(u64) + Sync)) {
        let next = self.next();
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

    /// Takes the new content of a file away.
    pub fn lose_staged(&self, path: &str) {
        let (entry, ..) = self.new.files().find(|(_, name, _)| name.as_str() == path).unwrap();
        let staged = self.path().join(layout::staging(self.new.info_hash));
        fs::remove_file(staged.join(format!("shelf-0/{entry}"))).unwrap();
    }

    /// Damages what is staged. What lies there by another name as well stays whole under that one.
    pub fn damage_staged(&self) {
        for file in walkdir::WalkDir::new(self.path().join(layout::STAGING)) {
            let file = file.unwrap();
            if file.file_type().is_file() {
                fs::remove_file(file.path()).unwrap();
                fs::write(file.path(), b"damaged").unwrap();
            }
        }
    }

    /// The baseline that holds after the change that was worked out last.
    pub fn next(&self) -> Baseline {
        let next = modsync::disk::record::peek(&self.root, "next-for-test").unwrap().unwrap();
        fs::remove_file(self.path().join("next-for-test")).unwrap();
        next
    }

    /// Every file outside our own folder.
    pub fn files(&self) -> Files {
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
    pub fn dirs(&self) -> Vec<PathBuf> {
        walkdir::WalkDir::new(self.path())
            .sort_by_file_name()
            .into_iter()
            .filter_entry(|entry| entry.file_name() != layout::OWN_FOLDER)
            .map(|entry| entry.unwrap().into_path())
            .filter(|path| path.is_dir())
            .map(|path| path.strip_prefix(self.path()).unwrap().to_owned())
            .collect()
    }

    pub fn every_file_is_old_or_new(&self, before: &Files) {
        let after = expected();
        for (path, bytes) in self.files() {
            let known = [before.get(&path), after.get(&path)];
            assert!(known.contains(&Some(&bytes)), "`{path}` is neither old nor new");
        }
        for (path, bytes) in USER {
            assert_eq!(self.files().get(*path).map(Vec::as_slice), Some(*bytes));
        }
    }

    /// The same, where a file may be in its place as well.
    pub fn holds_in_trash_or_place(&self, wanted: &[(&str, &[u8])]) {
        let now = self.files();
        for (path, bytes) in wanted {
            if now.get(*path).map(Vec::as_slice) != Some(bytes) {
                self.holds_in_trash(&[(path, bytes)]);
            }
        }
    }

    /// The trash has these files, whole.
    pub fn holds_in_trash(&self, wanted: &[(&str, &[u8])]) {
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

/// In memory where there is such a place: thousands of changes are made durable here.
pub fn temporary() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
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

pub fn release(number: u8, manifest: &Manifest) -> Release {
    Release {
        digest: Digest([number; 32]),
        info_hash: InfoHash(manifest.info_hash.0),
        name: format!("release {number}"),
        length: manifest.content_length(),
        files: manifest.files().count() as u64,
        seen: UNIX_EPOCH,
    }
}
