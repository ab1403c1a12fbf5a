//! [`Snapshot`]: all that a front end may know, at one instant.
//!
//! Front ends compare two snapshots to find news, so whatever is news is a fact here (an offered
//! release, a last apply, a fault), not an event that a slow reader could miss.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize, Serializer};

use super::fault::Fault;
use super::release::Release;
use super::report::{ApplyReport, PlanReport, Summary, rfc3339};

/// The whole program, as shown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Snapshot {
    pub packs: Vec<PackView>,
    /// The settings could not be read; the former ones are in force.
    pub config_fault: Option<Fault>,
    /// What the user wants to be told of.
    #[serde(default)]
    pub notices: NoticeKinds,
}

/// Which kinds of notices the user wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NoticeKinds {
    /// An update was found.
    pub update: bool,
    /// An update was applied.
    pub applied: bool,
    /// A verification that was asked for has ended.
    pub verified: bool,
    /// A person must decide.
    pub decision: bool,
    /// Something that only the user can mend.
    pub fault: bool,
    /// It is mended.
    pub recovered: bool,
    /// How it went with what was chosen in the menu, where nothing else tells it.
    pub replies: bool,
}

impl Default for NoticeKinds {
    fn default() -> Self {
        Self {
            update: true,
            applied: true,
            verified: true,
            decision: true,
            fault: true,
            recovered: true,
            replies: true,
        }
    }
}

/// One pack, as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackView {
    pub name: String,
    pub url: String,
    #[serde(serialize_with = "shown")]
    pub folder: PathBuf,
    pub phase: Phase,
    pub installed: Option<Release>,
    /// A release that is not installed. It stays until it is applied or replaced by a newer one.
    pub offered: Option<Release>,
    /// What applying the offered release would do, once that was worked out.
    pub summary: Option<Summary>,
    /// What a person must decide before the offered release is applied.
    pub question: Option<Question>,
    /// The user went back from the offered release.
    pub held: bool,
    #[serde(with = "rfc3339::option")]
    pub last_check: Option<SystemTime>,
    #[serde(with = "rfc3339::option")]
    pub next_check: Option<SystemTime>,
    pub last_apply: Option<ApplyReport>,
    pub last_verify: Option<Verdict>,
    /// What stands in the way, until it is over: a try again does not make it new.
    pub fault: Option<Fault>,
    /// Files that no release names, when they were counted last.
    pub extras: Option<u64>,
    /// Whether the previous release can be put back.
    pub can_go_back: bool,
    /// What the last clean moved to the trash, while it is there.
    #[serde(default)]
    pub removed: Option<Removed>,
    /// Updates are applied without asking.
    pub auto_apply: bool,
    pub paused: bool,
    pub seeding: Option<Seeding>,
}

impl PackView {
    /// Whether a release waits to be applied, and the user did not go back from it.
    pub fn has_update(&self) -> bool {
        self.offered.is_some() && !self.held
    }

    /// Whether an update waits for somebody to ask for it.
    pub fn awaits_apply(&self) -> bool {
        matches!(self.phase, Phase::UpdateAvailable { .. }) && !self.auto_apply
    }

    /// Whether nothing is installed, and nothing is known that could be.
    pub fn has_nothing(&self) -> bool {
        matches!(self.phase, Phase::Current) && self.installed.is_none() && self.offered.is_none()
    }
}

/// What a person must decide before a plan is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The plan that was shown; an approval holds for this one.
    pub plan: String,
    pub why: Fault,
}

/// Files that can be put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Where in the trash they are.
    pub entry: String,
    pub files: u64,
}

/// A path as text: one that is not Unicode is shown as well as it can be.
fn shown<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// How the last verification ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    #[serde(with = "rfc3339")]
    pub when: SystemTime,
    pub files: u64,
    /// Files that are not as they should be.
    pub problems: u64,
    /// Bytes a repair fetches.
    pub bad_bytes: u64,
}

/// What the pack is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    Starting,
    /// Equal to the newest release we know, or nothing was ever offered.
    Current,
    UpdateAvailable {
        summary: Option<Summary>,
    },
    Checking,
    Scanning {
        progress: Progress,
    },
    Fetching {
        progress: Progress,
    },
    Applying {
        progress: Progress,
    },
    Verifying {
        progress: Progress,
    },
    /// A fault that passes by itself.
    Waiting {
        fault: Fault,
        #[serde(with = "rfc3339")]
        retry_at: SystemTime,
    },
    /// A person must decide.
    Blocked {
        fault: Fault,
        plan: Option<Arc<PlanReport>>,
    },
    Paused,
}

impl Phase {
    /// One word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Current => "current",
            Self::UpdateAvailable { .. } => "update available",
            Self::Checking => "checking",
            Self::Scanning { .. } => "scanning",
            Self::Fetching { .. } => "fetching",
            Self::Applying { .. } => "applying",
            Self::Verifying { .. } => "verifying",
            Self::Waiting { .. } => "waiting",
            Self::Blocked { .. } => "blocked",
            Self::Paused => "paused",
        }
    }

    /// What went wrong, if it is why nothing goes on.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Waiting { fault, .. } | Self::Blocked { fault, .. } => Some(fault),
            Self::Starting
            | Self::Current
            | Self::UpdateAvailable { .. }
            | Self::Checking
            | Self::Scanning { .. }
            | Self::Fetching { .. }
            | Self::Applying { .. }
            | Self::Verifying { .. }
            | Self::Paused => None,
        }
    }

    pub fn progress(&self) -> Option<&Progress> {
        match self {
            Self::Scanning { progress }
            | Self::Fetching { progress }
            | Self::Applying { progress }
            | Self::Verifying { progress } => Some(progress),
            Self::Starting
            | Self::Current
            | Self::UpdateAvailable { .. }
            | Self::Checking
            | Self::Waiting { .. }
            | Self::Blocked { .. }
            | Self::Paused => None,
        }
    }
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    pub done: u64,
    /// Zero while it is not known.
    pub total: u64,
    /// What `done` and `total` count.
    pub unit: Unit,
    /// Units per second, averaged over the last seconds.
    pub rate: u64,
    /// Peers connected; only while fetching.
    pub peers: Option<u32>,
    /// Seconds left at the present rate.
    #[serde(default)]
    pub eta: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    #[default]
    Bytes,
    Steps,
}

impl Progress {
    /// Whole percent, 0 to 100.
    pub fn percent(&self) -> u8 {
        match self.total {
            0 => 0,
            total => u8::try_from(u128::from(self.done.min(total)) * 100 / u128::from(total))
                .unwrap_or(100),
        }
    }

    /// The same with the time that is left.
    pub fn with_eta(self) -> Self {
        let left = self.total.saturating_sub(self.done);
        let is_known = self.rate > 0 && left > 0;
        Self { eta: is_known.then(|| left / self.rate), ..self }
    }
}

/// What we give to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Seeding {
    pub peers: u32,
    /// Bytes since the start.
    pub uploaded_bytes: u64,
    /// Bytes per second.
    pub rate: u64,
}
