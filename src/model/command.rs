//! [`Command`] and [`Answer`]: what a front end may ask of a pack, and what comes back.

use serde::{Deserialize, Serialize};

use super::report::{
    ApplyReport, CheckReport, CleanReport, PlanReport, RestoreReport, TrashEntry, VerifyReport,
};

/// What a front end may ask of one pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Ask the origin whether there is another release.
    Check,
    /// Say what applying the newest known release would do.
    Plan,
    /// Check, then make the folder equal to the newest release.
    Sync,
    /// Make the folder equal to the newest known release.
    Apply {
        approve: Approval,
    },
    /// Compare every byte with the installed release; `repair` fetches the bad pieces.
    Verify {
        repair: bool,
    },
    /// Move extras to the trash.
    Clean {
        dry_run: bool,
    },
    /// Put the previous release back.
    Rollback,
    /// List the trash.
    Trash,
    /// Put the files of a trash entry back where nothing stands in their place.
    Restore {
        entry: String,
    },
    Pause,
    Resume,
}

/// A person's word on a plan that must not be carried out without one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    #[default]
    None,
    /// The plan that was shown last, and no other.
    Shown,
    /// The plan of this id, and no other.
    Plan(String),
}

impl Approval {
    /// Whether it holds for the plan of this id, which is the one that was shown last or another.
    pub fn covers(&self, plan: &str, was_shown: bool) -> bool {
        match self {
            Self::None => false,
            Self::Shown => was_shown,
            Self::Plan(id) => id == plan,
        }
    }
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    Done,
    Checked(CheckReport),
    Planned(PlanReport),
    UpToDate {
        download_bytes: u64,
        /// With the release that the user went back to, though a newer one is there.
        #[serde(default)]
        held: bool,
    },
    Applied(ApplyReport),
    Verified(VerifyReport),
    Cleaned(CleanReport),
    Trash {
        entries: Vec<TrashEntry>,
    },
    Restored(RestoreReport),
    RolledBack(ApplyReport),
}
