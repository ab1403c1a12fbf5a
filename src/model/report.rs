//! What a command answers: plans, verdicts and lists as plain values that a front end renders.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::release::Release;

/// A file in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLine {
    /// Relative to the pack's folder, `/` between components; bytes that are not UTF-8 are replaced.
    pub path: String,
    /// Bytes.
    pub length: u64,
}

/// What applying a release would do. Nothing has been touched yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanReport {
    /// Names exactly this plan; an approval holds for no other.
    pub id: String,
    pub release: Release,
    pub installed: Option<Release>,
    pub added: Vec<FileLine>,
    /// Files of the pack that get other bytes; what stood there goes to the trash.
    pub changed: Vec<FileLine>,
    /// Files that share a piece with changed ones and most likely stay as they are.
    pub compared: Vec<FileLine>,
    /// Files of the installed release that the new one does not have.
    pub removed: Vec<FileLine>,
    /// Files of the pack with local edits that stay, and dropped ones that were edited.
    pub kept: Vec<FileLine>,
    /// Files of the user's, or edited by them, that go to the trash.
    pub displaced: Vec<FileLine>,
    /// Files that no release names.
    pub extra: Vec<FileLine>,
    pub unchanged: u64,
    pub download_bytes: u64,
    /// Free space needed while applying.
    pub disk_bytes: u64,
    /// Why a person must approve it, if one must.
    pub needs_approval: Option<String>,
}

impl PlanReport {
    /// Whether applying it would change nothing.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.changed.is_empty()
            && self.compared.is_empty()
            && self.removed.is_empty()
    }

    pub fn summary(&self) -> Summary {
        Summary {
            added: self.added.len() as u64,
            changed: self.changed.len() as u64,
            removed: self.removed.len() as u64,
            download_bytes: self.download_bytes,
        }
    }
}

/// A plan in four numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub added: u64,
    pub changed: u64,
    pub removed: u64,
    pub download_bytes: u64,
}

/// What an apply did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyReport {
    pub release: Release,
    pub added: u64,
    pub changed: u64,
    pub removed: u64,
    /// Bytes that came from peers.
    pub downloaded_bytes: u64,
    #[serde(with = "rfc3339")]
    pub when: SystemTime,
}

/// How a file of the pack differs from the installed release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    Missing,
    /// The same length, other bytes.
    Corrupt,
    /// Shorter than it should be.
    Truncated,
    /// Edited: longer than it should be, or a link or folder in its place.
    Modified,
    /// It shares a piece with other files that is not as it should be; at least one of them is damaged.
    Suspect,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    pub path: String,
    pub kind: ProblemKind,
}

/// How the folder compares with the installed release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    pub release: Release,
    pub files: u64,
    pub problems: Vec<Problem>,
    /// Local edits that the user asked to keep.
    pub kept: Vec<FileLine>,
    pub extra: Vec<FileLine>,
    /// Bytes in the pieces that are not as they should be.
    pub bad_bytes: u64,
    /// What a repair did, if one was asked for and needed.
    pub repaired: Option<ApplyReport>,
}

impl VerifyReport {
    /// Of a release in whose folder nothing was found yet that is to be told.
    pub fn of(release: Release) -> Self {
        let (problems, kept, extra) = (Vec::new(), Vec::new(), Vec::new());
        let files = release.files;
        Self { release, files, problems, kept, extra, bad_bytes: 0, repaired: None }
    }
}

/// What a clean did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanReport {
    pub dry_run: bool,
    pub moved: Vec<FileLine>,
    pub trash: Option<String>,
}

/// One operation whose replaced or removed files lie in the trash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashEntry {
    pub id: String,
    #[serde(with = "rfc3339")]
    pub when: SystemTime,
    pub reason: String,
    pub bytes: u64,
    pub files: Vec<FileLine>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreReport {
    pub restored: Vec<FileLine>,
    /// Files that stayed in the trash because something stands in their place.
    pub in_the_way: Vec<FileLine>,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    pub installed: Option<Release>,
    /// A release other than the installed one, if the origin offers one.
    pub offered: Option<Release>,
    /// The user went back from the offered release; it is applied only when asked for.
    pub held: bool,
}

/// Times as RFC 3339 text, whole seconds, UTC.
pub mod rfc3339 {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_seconds(*time))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_rfc3339_weak(&text).map_err(D::Error::custom)
    }

    /// The same for a time that may be absent.
    pub mod option {
        use std::time::SystemTime;

        use serde::{Deserialize, Deserializer, Serializer, de::Error};

        pub fn serialize<S: Serializer>(
            time: &Option<SystemTime>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => super::serialize(time, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<SystemTime>, D::Error> {
            Option::<String>::deserialize(deserializer)?
                .map(|text| humantime::parse_rfc3339_weak(&text).map_err(D::Error::custom))
                .transpose()
        }
    }
}
