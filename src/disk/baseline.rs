//! [`Baseline`]: what we put into the folder last.
//!
//! A file that is in the baseline and still looks as it did then is ours: it may be replaced or
//! removed. Anything else is the user's. Without a baseline nothing is ours.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::fs::{FsError, Root, Stat};
use super::layout::BASELINE;
use super::record::{self, Loaded};
use crate::model::path::RelPath;
use crate::model::release::Release;

/// Far above the two seconds of FAT, the coarsest times that a file system keeps.
const COARSEST: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    pub release: Release,
    /// The files of the release as they looked when they were installed or found equal.
    #[serde(deserialize_with = "record::in_order")]
    pub files: BTreeMap<RelPath, Installed>,
    /// The trash entry of the apply that made this baseline; a rollback undoes it.
    pub applied_as: Option<String>,
    /// The release the user went back from, if this one was put back. It is not applied by itself.
    #[serde(default)]
    pub went_back_from: Option<Release>,
}

/// A baseline without its files, which may be very many. That it can be read does not promise that they can be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Head {
    pub release: Release,
    pub applied_as: Option<String>,
    #[serde(default)]
    pub went_back_from: Option<Release>,
}

/// How a file looked when its bytes were known to be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// Bytes.
    pub length: u64,
    /// Nanoseconds since 1970.
    pub mtime_ns: i64,
}

impl Installed {
    pub fn looks_like(self, stat: Stat) -> bool {
        stat.is_file() && stat.length == self.length && stat.mtime_ns == self.mtime_ns
    }

    /// Whether a file need not be read to know that it is as it was when the baseline was `written_ns`, in
    /// nanoseconds since 1970 by the folder's own clock. A change in that same moment would not show
    /// (<https://git-scm.com/docs/racy-git>).
    pub fn is_untouched(self, stat: Stat, written_ns: i64) -> bool {
        self.looks_like(stat) && stat.mtime_ns < written_ns
    }
}

impl From<Stat> for Installed {
    fn from(stat: Stat) -> Self {
        Self { length: stat.length, mtime_ns: stat.mtime_ns }
    }
}

impl Baseline {
    /// Whether what stands at `path` is what we put there.
    pub fn is_ours(&self, path: &RelPath, stat: Stat) -> bool {
        self.files.get(path).is_some_and(|installed| installed.looks_like(stat))
    }
}

/// Reads the baseline. A damaged one counts as none, so that nothing is taken for ours by mistake;
/// it is left where it is, since looking changes nothing.
pub fn peek(root: &Root) -> Result<Option<Baseline>, FsError> {
    record::peek(root, BASELINE)
}

/// Whether a folder without a baseline that can be read had one, of which only damage is left.
pub fn was_lost(root: &Root) -> Result<bool, FsError> {
    Ok(root.stat(BASELINE)?.is_some() || root.stat(record::aside(BASELINE))?.is_some())
}

/// Reads the baseline for what needs none of the files.
pub fn peek_head(root: &Root) -> Result<Option<Head>, FsError> {
    record::peek(root, BASELINE)
}

/// The head of a folder's baseline as it was read last, and how its file looked.
#[derive(Debug, Default)]
pub struct KnownHead(Mutex<Option<(Stat, Head)>>);

impl KnownHead {
    /// Reads it, like [`peek_head`].
    pub fn read(&self, root: &Root) -> Result<Option<Head>, FsError> {
        let stat = root.stat(BASELINE)?.filter(|stat| is_old(*stat));
        let head = peek_head(root)?;
        *self.lock() = stat.zip(head.clone());
        Ok(head)
    }

    /// The same, but not once more while its file looks the same. If it was damaged without a trace, that is not seen.
    pub fn get(&self, root: &Root) -> Result<Option<Head>, FsError> {
        let stat = root.stat(BASELINE)?;
        let known = self.lock().clone().filter(|(looked, _)| Some(*looked) == stat);
        known.map_or_else(|| self.read(root), |(_, head)| Ok(Some(head)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Stat, Head)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what is written from now on looks newer, however coarse the times of a file system are.
fn is_old(stat: Stat) -> bool {
    let written = Duration::from_nanos(u64::try_from(stat.mtime_ns).unwrap_or_default());
    (UNIX_EPOCH + written + COARSEST).elapsed().is_ok()
}

/// Reads the head of the baseline and puts a damaged one aside.
pub fn load_head(root: &Root) -> Result<Loaded<Head>, FsError> {
    record::load(root, BASELINE)
}

pub fn save(root: &Root, path: &str, baseline: &Baseline) -> Result<(), FsError> {
    record::save(root, path, baseline)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::disk::layout::OWN_FOLDER;
    use crate::model::manifest::InfoHash;
    use crate::model::release::Digest;

    fn root() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        root.create_dir_all(OWN_FOLDER).unwrap();
        (dir, root)
    }

    fn baseline(applied_as: &str) -> Baseline {
        let release = Release {
            digest: Digest([1; 32]),
            info_hash: InfoHash([1; 20]),
            name: "pack".to_owned(),
            length: 5,
            files: 1,
            seen: UNIX_EPOCH,
        };
        let installed = Installed { length: 5, mtime_ns: 7 };
        Baseline {
            release: release.clone(),
            files: BTreeMap::from([(RelPath::new("mods/a.pak").unwrap(), installed)]),
            applied_as: Some(applied_as.to_owned()),
            went_back_from: Some(release),
        }
    }

    #[test]
    fn a_known_head_is_read_again_when_its_file_looks_otherwise_or_is_new() {
        let (dir, root) = root();
        let head = KnownHead::default();
        let entry = |head: Option<Head>| head.and_then(|head| head.applied_as);
        let get = || entry(head.get(&root).unwrap());
        let touch = |time| {
            let file = std::fs::File::options().write(true).open(dir.path().join(BASELINE));
            file.unwrap().set_modified(time).unwrap();
        };
        let put = |entry, time| {
            save(&root, BASELINE, &baseline(entry)).unwrap();
            touch(time);
        };
        let new = SystemTime::now() + Duration::from_hours(1);
        let old = UNIX_EPOCH + Duration::from_hours(1);
        assert_eq!(get(), None);
        put("one", new);
        assert_eq!(get().as_deref(), Some("one"));
        put("two", new);
        assert_eq!(get().as_deref(), Some("two"));
        put("old", old);
        assert_eq!(get().as_deref(), Some("old"));
        put("bad", old);
        assert_eq!(get().as_deref(), Some("old"), "it looks the same");
        assert_eq!(entry(head.read(&root).unwrap()).as_deref(), Some("bad"));
        assert_eq!(get().as_deref(), Some("bad"));
        put("new", old + Duration::from_secs(1));
        assert_eq!(get().as_deref(), Some("new"));
        let mut damaged = std::fs::read(dir.path().join(BASELINE)).unwrap();
        *damaged.last_mut().unwrap() ^= 1;
        std::fs::write(dir.path().join(BASELINE), damaged).unwrap();
        touch(old);
        assert_eq!((get(), get()), (None, None));
        put("end", old);
        assert_eq!(get().as_deref(), Some("end"), "a damaged one is not known");
        std::fs::remove_file(dir.path().join(BASELINE)).unwrap();
        assert_eq!(get(), None);
    }

    #[test]
    fn the_head_of_a_baseline_says_the_same_and_needs_it_whole() {
        let (dir, root) = root();
        let baseline = baseline("entry");
        save(&root, BASELINE, &baseline).unwrap();
        let head = peek_head(&root).unwrap().unwrap();
        assert_eq!(peek(&root).unwrap(), Some(baseline.clone()));
        assert_eq!((head.release, head.applied_as), (baseline.release, baseline.applied_as));
        assert_eq!(head.went_back_from, baseline.went_back_from);

        let file = dir.path().join(BASELINE);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("a.pak", "b.pak")).unwrap();
        assert_eq!(peek_head(&root).unwrap(), None);
    }
}
