//! [`FsError`]: which operation failed on which file, why, and what the user can do about it.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use super::platform;
use crate::model::fault::{Fault, FaultKind};
use crate::model::path::OWN_FOLDER;

/// A failed operation on a file.
#[derive(Debug, thiserror::Error)]
#[error("could not {verb} `{}`: {}", path.display(), cause(source))]
pub struct FsError {
    pub verb: &'static str,
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

/// The error inside an [`FsError`] when a link stands in the way.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is a link, and ModSync does not go through links")]
pub(super) struct LinkInTheWay(pub String);

/// The error inside an [`FsError`] when something would have to be moved to another disk.
#[derive(Debug, thiserror::Error)]
#[error(
    "it lies on another disk than `{OWN_FOLDER}` beside it, and ModSync moves files within one disk only"
)]
pub(super) struct OtherDisk;

#[allow(clippy::wildcard_enum_match_arm)]
fn cause(e: &io::Error) -> String {
    match fault_kind(e) {
        FaultKind::DiskFull => "the disk is full".to_owned(),
        FaultKind::FileInUse => "the file is in use".to_owned(),
        FaultKind::AccessDenied if e.kind() == ErrorKind::ReadOnlyFilesystem => {
            "the disk is read-only".to_owned()
        }
        FaultKind::AccessDenied => "access is denied".to_owned(),
        _ => e.to_string(),
    }
}

// Most errors of a disk have no name of their own here.
#[allow(clippy::wildcard_enum_match_arm)]
fn fault_kind(e: &io::Error) -> FaultKind {
    if e.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<LinkInTheWay>) {
        return FaultKind::LinkInTheWay;
    }
    if e.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<OtherDisk>) {
        return FaultKind::OtherDisk;
    }
    if platform::is_in_use(e) {
        return FaultKind::FileInUse;
    }
    match e.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => FaultKind::DiskFull,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => FaultKind::AccessDenied,
        ErrorKind::ExecutableFileBusy | ErrorKind::ResourceBusy => FaultKind::FileInUse,
        ErrorKind::CrossesDevices => FaultKind::OtherDisk,
        // A file stands where there was a folder.
        ErrorKind::NotADirectory => FaultKind::FolderChanged,
        ErrorKind::StaleNetworkFileHandle | ErrorKind::NotConnected => FaultKind::FolderGone,
        _ => FaultKind::Io,
    }
}

impl FsError {
    pub fn kind(&self) -> FaultKind {
        fault_kind(&self.source)
    }
}

impl From<FsError> for Fault {
    fn from(error: FsError) -> Self {
        let kind = error.kind();
        Self::new(kind, error, hint(kind))
    }
}

/// What the user can do about a fault of the disk.
#[allow(clippy::wildcard_enum_match_arm)]
pub fn hint(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::DiskFull => "Free some space on that disk.",
        FaultKind::FileInUse => "Close the game or whatever uses the file.",
        FaultKind::AccessDenied => {
            "Give yourself the right to write there, or choose another folder."
        }
        FaultKind::FolderGone => "Connect the disk again.",
        FaultKind::LinkInTheWay => {
            "Replace the link with a real folder, or name the folder it leads to in the settings."
        }
        FaultKind::FolderChanged => "A file changed while ModSync worked; close what writes there.",
        FaultKind::OtherDisk => "Let all of the pack's folder lie on one disk.",
        _ => "Look at the disk for errors.",
    }
}

/// Nothing stands there: the name or a folder above it is missing, or that is a file.
pub(super) fn is_absent(e: &io::Error) -> bool {
    matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
