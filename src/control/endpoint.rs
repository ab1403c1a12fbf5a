//! [`Endpoint`]: the note by which a running engine is found, in a file that only its user can read.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::disk::fs::{FsError, Root};
use crate::paths::Paths;

/// More than the note ever has, in bytes.
const LARGEST: u64 = 4096;

/// Where a running engine listens, and the proof that one may ask it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// On 127.0.0.1.
    pub port: u16,
    /// 256 random bits, as hexadecimal digits.
    pub token: String,
    /// The process that listens.
    pub pid: u32,
    /// The version of its program.
    pub version: String,
    /// Whether it stays and takes commands, rather than carrying out one.
    pub follows: bool,
}

impl Endpoint {
    /// The note of the engine with this state; one that makes no sense is none.
    pub fn read(paths: &Paths) -> Option<Self> {
        let (folder, file) = place(paths);
        let bytes = Root::open(&folder).ok()?.read(file, LARGEST).ok()??;
        serde_json::from_slice(&bytes).ok()
    }

    pub(super) fn write(&self, paths: &Paths) -> Result<(), FsError> {
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        let (folder, file) = place(paths);
        Root::create(&folder)?.write_private(&file, &bytes)
    }

    pub(super) fn remove(paths: &Paths) {
        let (folder, file) = place(paths);
        let removed = Root::open(&folder).and_then(|folder| folder.remove_file_if_there(file));
        if let Err(error) = removed {
            tracing::debug!("could not take the note of the control API back: {error}");
        }
    }
}

/// The note's folder and name.
fn place(paths: &Paths) -> (PathBuf, String) {
    let note = paths.control_note();
    let name = note.file_name().unwrap_or_default().to_string_lossy().into_owned();
    (note.parent().unwrap_or(&paths.state).to_owned(), name)
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Endpoint(port {}, process {})", self.port, self.pid)
    }
}
