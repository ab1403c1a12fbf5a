//! `.modsync/`: where things of ours lie inside a pack's folder, its mark and its lock.
//!
//! ```text
//! .modsync/marker            says whose folder this is
//! .modsync/lock              held while we change anything
//! .modsync/baseline          what we installed last
//! .modsync/journal           the apply that is under way
//! .modsync/releases/         the .torrent files of the installed and the previous release
//! .modsync/staging/          new content being completed, by release and shelf
//! .modsync/trash/            replaced and removed files
//! .modsync/trash.ages        how long they have been there
//! ```

use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::fs::{FsError, Lock, Root, hint};
use super::record;
use crate::model::fault::{Fault, FaultKind};
use crate::model::manifest::{InfoHash, hex};
use crate::model::release::Digest;

pub use crate::model::path::OWN_FOLDER;

pub const BASELINE: &str = ".modsync/baseline";
pub const BASELINE_NEXT: &str = ".modsync/baseline.next";
pub const JOURNAL: &str = ".modsync/journal";
pub const TRASH: &str = ".modsync/trash";
pub const TRASH_AGES: &str = ".modsync/trash.ages";
pub const STAGING: &str = ".modsync/staging";
/// In the staging folder of a release: its torrent.
pub const STAGED_TORRENT: &str = "torrent";
pub const RELEASES: &str = ".modsync/releases";
pub const MARKER: &str = ".modsync/marker";
const LOCK: &str = ".modsync/lock";

/// Names a folder, so that another disk mounted in its place is noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    pub id: String,
}

/// A pack's folder that may be changed; the lock falls with it.
#[derive(Debug)]
pub struct LockedFolder {
    pub root: Arc<Root>,
    pub marker: Marker,
    _lock: Lock,
}

pub fn staging(info_hash: InfoHash) -> String {
    format!("{STAGING}/{info_hash}")
}

pub fn release(digest: Digest) -> String {
    format!("{RELEASES}/{digest}.torrent")
}

/// Opens a folder for looking. `None` when it was never installed to and does not exist yet.
///
/// `known` is the mark we remember from the last change; a folder without it is not the one we know.
pub fn look(folder: &Path, known: Option<&Marker>) -> Result<Option<Arc<Root>>, Fault> {
    let root = match Root::open(folder) {
        Ok(root) => root,
        Err(e) if is_absent(&e) && known.is_none() => return Ok(None),
        Err(e) if is_absent(&e) => return Err(gone(folder, "the folder is not there")),
        Err(e) => return Err(not_opened(e)),
    };
    check_marker(&root, known)?;
    Ok(Some(Arc::new(root)))
}

/// Opens a folder for changing: makes it on first use, checks its mark and takes its lock.
pub fn lock(folder: &Path, known: Option<&Marker>) -> Result<LockedFolder, Fault> {
    let root = match (Root::open(folder), known) {
        (Ok(root), _) => root,
        (Err(e), None) if is_absent(&e) => Root::create(folder)?,
        (Err(e), Some(_)) if is_absent(&e) => return Err(gone(folder, "the folder is not there")),
        (Err(e), _) => return Err(not_opened(e)),
    };
    let found = check_marker(&root, known)?;
    root.create_dir_all(OWN_FOLDER)?;
    let Some(lock) = root.try_lock(LOCK)? else {
        return Err(Fault::new(
            FaultKind::FolderBusy,
            format!("could not lock `{}`: another ModSync works on it", folder.display()),
            "Let the other one finish, or remove the pack from one of them.",
        ));
    };
    let marker = match found {
        Some(marker) => marker,
        None => make_marker(&root)?,
    };
    Ok(LockedFolder { root: Arc::new(root), marker, _lock: lock })
}

/// The mark in a folder, if it has one.
pub fn marker(root: &Root) -> Result<Option<Marker>, FsError> {
    record::peek(root, MARKER)
}

fn check_marker(root: &Root, known: Option<&Marker>) -> Result<Option<Marker>, Fault> {
    let found = marker(root)?;
    match (known, &found) {
        (Some(known), Some(found)) if known != found => {
            Err(gone(root.path(), "another folder stands in its place"))
        }
        (Some(_), None) => Err(gone(root.path(), "the mark ModSync left in it is missing")),
        _ => Ok(found),
    }
}

fn make_marker(root: &Root) -> Result<Marker, Fault> {
    let random: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
    let marker = Marker { id: hex(&random) };
    record::save(root, MARKER, &marker)?;
    Ok(marker)
}

fn gone(folder: &Path, why: &str) -> Fault {
    Fault::new(
        FaultKind::FolderGone,
        format!("folder `{}` is not available: {why}", folder.display()),
        format!(
            "{} If you emptied the folder on purpose, remove the pack and add it again.",
            hint(FaultKind::FolderGone)
        ),
    )
}

fn not_opened(e: FsError) -> Fault {
    if e.source.kind() == io::ErrorKind::NotADirectory {
        return Fault::new(FaultKind::Io, e, "Name a folder for the pack in the settings.");
    }
    if e.source.kind() == io::ErrorKind::Unsupported {
        return Fault::new(FaultKind::Io, e, "Name a folder on a disk of this computer.");
    }
    e.into()
}

fn is_absent(e: &FsError) -> bool {
    e.source.kind() == io::ErrorKind::NotFound
}
