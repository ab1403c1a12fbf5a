//! [`Errand`]: what a command or the clock asked for, carried out as a chain of jobs.

use crate::model::command::{Approval, Command};
use crate::model::fault::{FaultKind, Next};
use crate::model::report::{ApplyReport, VerifyReport};

/// Whoever waits for an answer.
pub type Ticket = u64;

/// What an errand is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Goal {
    Recover,
    /// What the clock asks for: look, and go as far as the settings allow.
    Follow,
    Check,
    Plan,
    /// Make the folder equal to the newest release, `even_held` if the user went back from it.
    Update {
        check: bool,
        approve: Approval,
        even_held: bool,
    },
    Verify {
        repair: bool,
    },
    Clean {
        dry_run: bool,
    },
    Rollback,
    Trash,
    Restore {
        entry: String,
    },
}

/// A goal under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Errand {
    pub goal: Goal,
    pub ticket: Option<Ticket>,
    pub replans: u32,
    pub verified: Option<VerifyReport>,
    pub applied: Option<ApplyReport>,
}

impl Errand {
    pub fn new(goal: Goal, ticket: Option<Ticket>) -> Self {
        Self { goal, ticket, replans: 0, verified: None, applied: None }
    }
}

impl Goal {
    pub fn of(command: Command) -> Self {
        match command {
            Command::Check => Self::Check,
            Command::Plan => Self::Plan,
            Command::Sync => {
                Self::Update { check: true, approve: Approval::None, even_held: false }
            }
            Command::Apply { approve } => Self::Update { check: false, approve, even_held: true },
            Command::Verify { repair } => Self::Verify { repair },
            Command::Clean { dry_run } => Self::Clean { dry_run },
            Command::Rollback => Self::Rollback,
            Command::Trash => Self::Trash,
            Command::Restore { entry } => Self::Restore { entry },
            // Answered at once, before an errand is made of them.
            Command::Pause | Command::Resume => Self::Recover,
        }
    }

    /// What is tried again after a fault that passes; what only a person asks for is not. A cause on
    /// this machine is no reason to ask the origin.
    pub fn retried(&self, fault: FaultKind) -> Option<Self> {
        let check = !matches!(fault.next(), Next::Watch(_));
        match self {
            Self::Recover => Some(Self::Recover),
            // A repair that nobody can help with must not keep an update from being found.
            Self::Follow | Self::Check | Self::Plan | Self::Verify { repair: true } => {
                Some(Self::Follow)
            }
            Self::Update { approve, even_held, .. } => {
                Some(Self::Update { check, approve: approve.clone(), even_held: *even_held })
            }
            Self::Verify { repair: false }
            | Self::Clean { .. }
            | Self::Rollback
            | Self::Trash
            | Self::Restore { .. } => None,
        }
    }

    /// Whether reaching it ends the wait for another try after this fault.
    pub fn settles(&self, fault: FaultKind) -> bool {
        match self {
            Self::Recover | Self::Follow | Self::Update { .. } | Self::Rollback => true,
            Self::Verify { repair } => *repair,
            Self::Check => matches!(
                fault,
                FaultKind::OriginUnreachable | FaultKind::OriginRefused | FaultKind::BadMetainfo
            ),
            Self::Plan | Self::Clean { .. } | Self::Trash | Self::Restore { .. } => false,
        }
    }
}
