//! [`Stat`]: how something looks.

use std::fs::File;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use cap_std::fs::Metadata;
use serde::{Deserialize, Serialize};

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    File,
    Dir,
    Link,
    /// A device, a pipe, a socket.
    Other,
}

/// What we remember of a file to notice that it changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    pub kind: Kind,
    /// Bytes; zero for anything but a file.
    pub length: u64,
    /// Nanoseconds since 1970.
    pub mtime_ns: i64,
}

impl Stat {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let kind = match metadata.file_type() {
            t if t.is_symlink() => Kind::Link,
            t if t.is_dir() => Kind::Dir,
            t if t.is_file() => Kind::File,
            _ => Kind::Other,
        };
        Self {
            kind,
            length: if kind == Kind::File { metadata.len() } else { 0 },
            mtime_ns: metadata.modified().map_or(0, |time| nanoseconds(time.into_std())),
        }
    }

    /// The same of an open file.
    pub fn of_file(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            kind: if metadata.is_file() { Kind::File } else { Kind::Other },
            length: metadata.len(),
            mtime_ns: nanoseconds(metadata.modified()?),
        })
    }

    pub fn is_file(self) -> bool {
        self.kind == Kind::File
    }
}

fn nanoseconds(time: SystemTime) -> i64 {
    let clamp = |nanos: u128| i64::try_from(nanos).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => clamp(after.as_nanos()),
        Err(before) => -clamp(before.duration().as_nanos()),
    }
}
