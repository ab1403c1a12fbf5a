//! Small files of our own that must be whole or be known to be damaged: baseline, journal, facts.
//!
//! A record is one line of header with the SHA-256 of what follows, then JSON. A record that does not
//! fit its header is never used: it is kept beside as `*.bad` and the caller starts without it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use super::fs::{FsError, Root};
use super::parts::both;
use crate::model::manifest::hex;

/// Far above a baseline of a million files.
const MAX_BYTES: u64 = 512 << 20;
/// Bytes that are hashed while they are read, by a thread of its own.
const LARGE: usize = 1 << 20;
const MAGIC: &str = "modsync-record 1 sha256=";
/// Bytes of the header, its end of line included.
const HEADER: u64 = MAGIC.len() as u64 + 64 + 1;

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

/// The same for what is little of a large record, which need not fit into memory.
pub fn peek_part<T: DeserializeOwned>(
    root: &Root,
    path: impl AsRef<Path>,
) -> Result<Option<T>, FsError> {
    let path = path.as_ref();
    if root.stat(path)?.is_none() {
        return Ok(None);
    }
    let part = decode_part(root.open_file(path)?.take(MAX_BYTES));
    part.map_err(|source| FsError { verb: "read", path: root.path().join(path), source })
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
    let aside = aside(path);
    root.rename(path, &aside)?;
    tracing::warn!(file = %root.path().join(&aside).display(), "a damaged file was put aside");
    Ok(Loaded::Damaged(aside))
}

/// Where a damaged record is put.
pub(super) fn aside(path: impl AsRef<Path>) -> PathBuf {
    let mut aside = path.as_ref().as_os_str().to_owned();
    aside.push(".bad");
    PathBuf::from(aside)
}

/// Writes a record durably and in one instant.
pub fn save<T: Serialize>(root: &Root, path: impl AsRef<Path>, value: &T) -> Result<(), FsError> {
    // The header is known last: a body of a large pack need not fit into memory.
    root.write_atomic_with(path, |file| {
        file.seek(SeekFrom::Start(HEADER))?;
        let mut body = Hashed(Sha256::new(), Bounded { left: MAX_BYTES - HEADER, file });
        serde_json::to_writer(&mut body, value)?;
        let Hashed(digest, Bounded { file, .. }) = body;
        file.rewind()?;
        file.write_all(format!("{MAGIC}{}\n", hex(&digest.finalize())).as_bytes())
    })
}

/// Writes a record once more, as durably.
pub fn copy(root: &Root, from: &str, to: &str) -> Result<(), FsError> {
    let mut record = root.open_file(from)?;
    root.write_atomic_with(to, |file| io::copy(&mut record, file).map(drop))
}

/// Refuses to write more than can be read again.
struct Bounded<F> {
    left: u64,
    file: F,
}

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            return Err(io::Error::other(format!("it would be larger than {MAX_BYTES} bytes")));
        };
        self.left = left;
        self.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Hashes what is read from, or written to, what lies below.
struct Hashed<F>(Sha256, F);

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let size = self.1.write(bytes)?;
        self.0.update(&bytes[..size]);
        Ok(size)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.1.flush()
    }
}

/// Reads a map that was written in order, and is made soonest all at once.
pub fn in_order<'de, D, K, V>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    struct Pairs<K, V>(PhantomData<(K, V)>);

    impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for Pairs<K, V> {
        type Value = BTreeMap<K, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let pairs = std::iter::from_fn(|| map.next_entry().transpose());
            Ok(pairs.collect::<Result<Vec<_>, _>>()?.into_iter().collect())
        }
    }

    deserializer.deserialize_map(Pairs(PhantomData))
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let size = self.1.read(buf)?;
        self.0.update(&buf[..size]);
        Ok(size)
    }
}

fn decode_part<T: DeserializeOwned>(mut file: impl Read) -> io::Result<Option<T>> {
    let mut header = Vec::new();
    (&mut file).take(HEADER).read_to_end(&mut header)?;
    let mut body = BufReader::with_capacity(1 << 16, Hashed(Sha256::new(), file));
    let value = match serde_json::from_reader(&mut body) {
        Err(error) if error.is_io() => return Err(error.into()),
        value => value.ok(),
    };
    let digest = hex(&body.into_inner().0.finalize());
    Ok(value.filter(|_| header == format!("{MAGIC}{digest}\n").as_bytes()))
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let rest = bytes.strip_prefix(MAGIC.as_bytes())?;
    let (digest, body) = rest.split_at_checked(64)?;
    let body = body.strip_prefix(b"\n")?;
    let is_whole = || hex(&Sha256::digest(body)).as_bytes() == digest;
    let read = || serde_json::from_slice(body).ok();
    if body.len() < LARGE {
        return is_whole().then(read).flatten();
    }
    let (is_whole, value) = both(is_whole, read);
    value.filter(|_| is_whole)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_record_is_read_when_all_of_it_is_right() {
        #[derive(Debug, PartialEq, Eq, Deserialize)]
        struct Part {
            id: u32,
        }
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert_eq!(peek_part::<Part>(&root, "r").unwrap(), None);
        let all = BTreeMap::from([("id", vec![7]), ("rest", (0..99_999).collect())]);
        save(&root, "r", &all).unwrap();
        assert_eq!(peek_part::<Part>(&root, "r").unwrap(), None);
        save(&root, "r", &serde_json::json!({ "id": 7, "rest": all["rest"] })).unwrap();
        assert_eq!(peek_part(&root, "r").unwrap(), Some(Part { id: 7 }));

        let bytes = std::fs::read(dir.path().join("r")).unwrap();
        for at in [0, MAGIC.len(), MAGIC.len() + 64, bytes.len() / 2, bytes.len() - 1] {
            for bit in [1, 0x80] {
                let mut damaged = bytes.clone();
                damaged[at] ^= bit;
                std::fs::write(dir.path().join("r"), &damaged).unwrap();
                assert_eq!(peek_part::<Part>(&root, "r").unwrap(), None, "byte {at}");
            }
        }
        std::fs::write(dir.path().join("r"), &bytes[..bytes.len() / 2]).unwrap();
        assert_eq!(peek_part::<Part>(&root, "r").unwrap(), None);
    }

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
