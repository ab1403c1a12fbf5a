//! Small files of our own that must be whole or be known to be damaged: baseline, journal, facts.
//!
//! A record is one line of header with the SHA-256 of what follows, then JSON. A record that does not
//! fit its header is never used: it is kept beside as `*.bad` and the caller starts without it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::fs::{FsError, Root};
use crate::model::manifest::hex;

/// Far above a baseline of a million files.
const MAX_BYTES: u64 = 512 << 20;
const MAGIC: &str = "modsync-record 1 sha256=";

/// What a record's file held.
#[derive(Debug, PartialEq, Eq)]
pub enum Loaded<T> {
    Absent,
    /// It was damaged, and is now kept under this name.
    Damaged(PathBuf),
    Value(T),
}

impl<T> Loaded<T> {
    pub fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Damaged(_) => None,
        }
    }
}

/// Reads a record without touching a damaged one.
pub fn peek<T: DeserializeOwned>(
    root: &Root,
    path: impl AsRef<Path>,
) -> Result<Option<T>, FsError> {
    Ok(root.read(path, MAX_BYTES)?.and_then(|bytes| decode(&bytes)))
}

/// Reads a record; a damaged one is moved aside.
pub fn load<T: DeserializeOwned>(
    root: &Root,
    path: impl AsRef<Path>,
) -> Result<Loaded<T>, FsError> {
    let path = path.as_ref();
    let Some(bytes) = root.read(path, MAX_BYTES)? else {
        return Ok(Loaded::Absent);
    };
    if let Some(value) = decode(&bytes) {
        return Ok(Loaded::Value(value));
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(".bad");
    let aside = PathBuf::from(aside);
    root.rename(path, &aside)?;
    tracing::warn!(file = %root.path().join(&aside).display(), "a damaged file was put aside");
    Ok(Loaded::Damaged(aside))
}

/// Writes a record durably and in one instant.
pub fn save<T: Serialize>(root: &Root, path: impl AsRef<Path>, value: &T) -> Result<(), FsError> {
    // Written out twice, the first time to be hashed: one of a large pack need not fit into memory.
    let mut body = Hashed::default();
    let written = serde_json::to_writer(&mut body, value);
    let header = format!("{MAGIC}{}\n", hex(&body.0.finalize()));
    root.write_atomic_with(path, |file| {
        written?;
        file.write_all(header.as_bytes())?;
        Ok(serde_json::to_writer(file, value)?)
    })
}

/// Hashes what is written.
#[derive(Default)]
struct Hashed(Sha256);

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let rest = bytes.strip_prefix(MAGIC.as_bytes())?;
    let (digest, body) = rest.split_at_checked(64)?;
    let body = body.strip_prefix(b"\n")?;
    (hex(&Sha256::digest(body)).as_bytes() == digest)
        .then(|| serde_json::from_slice(body).ok())
        .flatten()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_a_damaged_one_is_kept_beside() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert_eq!(load::<Vec<u32>>(&root, "r").unwrap(), Loaded::Absent);
        save(&root, "r", &vec![1, 2]).unwrap();
        assert_eq!(load::<Vec<u32>>(&root, "r").unwrap(), Loaded::Value(vec![1, 2]));

        let mut bytes = std::fs::read(dir.path().join("r")).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(dir.path().join("r"), &bytes).unwrap();
        assert_eq!(load::<Vec<u32>>(&root, "r").unwrap(), Loaded::Damaged("r.bad".into()));
        assert_eq!(std::fs::read(dir.path().join("r.bad")).unwrap(), bytes);
        assert_eq!(load::<Vec<u32>>(&root, "r").unwrap(), Loaded::Absent);
    }
}
