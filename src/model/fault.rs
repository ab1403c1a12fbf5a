//! [`Fault`]: what went wrong, in words for a person, and THE table of what happens next.
//!
//! Errors inside the program are enums of their own modules; at the edge of a job they become a fault.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What went wrong, as far as it decides what happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The origin cannot even be connected to: most likely this machine is offline.
    Offline,
    /// The origin did not answer, or answered that it cannot now.
    OriginUnreachable,
    /// The origin answered with something we must not take: an error, a redirect we refuse, bad TLS.
    OriginRefused,
    /// What the origin sent is not a torrent we accept.
    BadMetainfo,
    /// Nobody who has the missing pieces can be reached.
    NoPeers,
    /// Not enough room for the new content.
    DiskFull,
    /// A file that must be replaced is held open by another program.
    FileInUse,
    /// The folder or a file in it may not be written, or not be read.
    AccessDenied,
    /// The pack's folder, or the mark we left in it, is not there.
    FolderGone,
    /// Another ModSync works on the same folder.
    FolderBusy,
    /// A link stands where a folder or file of the pack belongs.
    LinkInTheWay,
    /// A part of the pack's folder lies on another disk, and cannot be changed in one step.
    OtherDisk,
    /// The folder changed while we worked: plan again.
    FolderChanged,
    /// The release removes more than the user allows without being asked.
    MassRemoval,
    /// The release has next to nothing in common with the installed one.
    UnrelatedRelease,
    /// There is nothing to go back to.
    NothingToRollBack,
    /// A file of our own was damaged; it was put aside.
    StateDamaged,
    /// The request makes no sense for this pack.
    Refused,
    /// The user, or the end of the program, stopped it.
    Cancelled,
    /// The disk or the system failed in a way without a name of its own.
    Io,
    /// We made a mistake.
    Bug,
}

/// What happens after a fault, without anybody doing anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again after a time that grows from `first` to `longest`.
    Backoff { first: Duration, longest: Duration },
    /// Look again every so often: the cause is on this machine and can end at any moment.
    Watch(Duration),
    /// A person must decide.
    Ask,
    /// Wait for the next check, or for a command.
    Rest,
}

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

impl FaultKind {
    /// Whether it lasts until the user does something on this machine.
    pub fn needs_user(self) -> bool {
        match self {
            Self::DiskFull
            | Self::FileInUse
            | Self::AccessDenied
            | Self::FolderGone
            | Self::FolderBusy
            | Self::LinkInTheWay
            | Self::OtherDisk
            | Self::MassRemoval
            | Self::UnrelatedRelease
            | Self::Bug => true,
            Self::Offline
            | Self::OriginUnreachable
            | Self::OriginRefused
            | Self::BadMetainfo
            | Self::NoPeers
            | Self::FolderChanged
            | Self::NothingToRollBack
            | Self::StateDamaged
            | Self::Refused
            | Self::Cancelled
            | Self::Io => false,
        }
    }

    /// THE table: kind → what happens next.
    pub fn next(self) -> Next {
        match self {
            // It costs the origin nothing, and may be over at any moment.
            Self::Offline => Next::Backoff { first: MINUTE, longest: HOUR / 4 },
            Self::OriginUnreachable | Self::OriginRefused | Self::BadMetainfo => {
                Next::Backoff { first: MINUTE, longest: 6 * HOUR }
            }
            Self::NoPeers => Next::Backoff { first: MINUTE, longest: HOUR / 2 },
            Self::DiskFull => Next::Backoff { first: MINUTE / 2, longest: 10 * MINUTE },
            Self::FileInUse
            | Self::AccessDenied
            | Self::FolderGone
            | Self::FolderBusy
            | Self::LinkInTheWay
            | Self::OtherDisk => Next::Watch(MINUTE / 2),
            Self::FolderChanged => {
                Next::Backoff { first: Duration::from_secs(5), longest: 10 * MINUTE }
            }
            Self::MassRemoval | Self::UnrelatedRelease => Next::Ask,
            Self::Io | Self::StateDamaged | Self::Bug => {
                Next::Backoff { first: MINUTE, longest: HOUR }
            }
            Self::NothingToRollBack | Self::Refused | Self::Cancelled => Next::Rest,
        }
    }
}

/// What went wrong, in words for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{what}")]
pub struct Fault {
    pub kind: FaultKind,
    /// What we tried, on what, and why it failed.
    pub what: String,
    /// What the user can do, as a sentence; empty when there is nothing to do.
    pub hint: String,
    /// When the origin asked us to come back, seconds from the fault.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_after: Option<u64>,
}

impl Fault {
    pub fn new(kind: FaultKind, what: impl fmt::Display, hint: impl Into<String>) -> Self {
        Self { kind, what: what.to_string(), hint: hint.into(), retry_after: None }
    }

    pub fn cancelled() -> Self {
        Self::new(FaultKind::Cancelled, "stopped", "")
    }

    /// The fault of a mistake of ours.
    pub fn bug(what: impl fmt::Display) -> Self {
        Self::new(
            FaultKind::Bug,
            what,
            "This is a mistake in ModSync; please report it with the log.",
        )
    }
}
