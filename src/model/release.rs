//! [`Release`]: one version of a pack and how we know it.

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::manifest::{InfoHash, hex, unhex};

/// The SHA-256 of a `.torrent`'s bytes: a release's identity. Never the `ETag`, which servers get wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

/// One version of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    pub digest: Digest,
    pub info_hash: InfoHash,
    /// The torrent's title.
    pub name: String,
    /// Bytes of all files.
    pub length: u64,
    /// How many files it has.
    pub files: u64,
    /// When we first saw it.
    #[serde(with = "super::report::rfc3339")]
    pub seen: SystemTime,
}

impl Release {
    /// A name to tell releases apart by: the title and the first digits of the digest.
    pub fn label(&self) -> String {
        format!("{} ({})", self.name, self.digest.short())
    }
}

impl Digest {
    /// The first eight digits, enough to tell releases of one pack apart.
    pub fn short(&self) -> String {
        hex(&self.0[..4])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        unhex(&text).map(Self).ok_or_else(|| format!("`{text}` is not a SHA-256 digest"))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}
