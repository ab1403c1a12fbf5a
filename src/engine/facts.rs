//! [`Facts`]: what is remembered of a pack across restarts, besides what lies in its folder.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::disk::layout::Marker;
use crate::model::release::{Digest, Release};
use crate::model::report::{ApplyReport, Summary, rfc3339};
use crate::net::remote::Validators;

/// The name of the record in a pack's state folder.
pub const RECORD: &str = "facts";

/// What is remembered of a pack across restarts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// The mark we left in the folder; without it the folder is not the one we know.
    pub marker: Option<Marker>,
    pub origin: Origin,
    /// As the baseline said when it was last read.
    pub installed: Option<Release>,
    /// A release that is not installed: an update that waits.
    pub offered: Option<Release>,
    /// The release the user went back from. It is applied again only when asked for.
    pub held: Option<Digest>,
    /// What applying the offered release would do, as far as it was worked out.
    pub summary: Option<Summary>,
    /// The plan that was last shown because it needs a person; an approval holds for this one.
    pub shown: Option<String>,
    pub paused: bool,
    pub last_apply: Option<ApplyReport>,
    /// Faults in a row, for the back-off.
    pub failures: u32,
}

/// What the origin said last.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    pub validators: Validators,
    /// The release it published when we last looked.
    pub digest: Option<Digest>,
    #[serde(with = "rfc3339::option")]
    pub checked: Option<SystemTime>,
    /// When the whole body was last read, since a server may answer "not modified" wrongly.
    #[serde(with = "rfc3339::option")]
    pub read: Option<SystemTime>,
}
