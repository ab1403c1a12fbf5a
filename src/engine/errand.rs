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
    /// What the clock asks for: look, and go as far as the settings allow. The origin is asked when it
    /// is time, or with `check` in any case.
    Follow {
        check: bool,
    },
    /// See whether what stood in the way in the folder is gone, and nothing more.
    Look,
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
    /// Whether it was told to stop: it begins no further job.
    pub is_stopped: bool,
    /// Whether the origin has answered it.
    pub has_checked: bool,
    /// Whether it has read the folder.
    pub has_looked: bool,
    /// Whether it has changed the folder.
    pub has_changed: bool,
    pub verified: Option<VerifyReport>,
    pub applied: Option<ApplyReport>,
}

impl Errand {
    pub fn new(goal: Goal, ticket: Option<Ticket>) -> Self {
        Self {
            goal,
            ticket,
            replans: 0,
            is_stopped: false,
            has_checked: false,
            has_looked: false,
            has_changed: false,
            verified: None,
            applied: None,
        }
    }

    /// Whether its end shows that a fault is over, and so ends the wait to try `waiting` again.
    /// `at_origin`: the fault came of asking the origin.
    pub fn settles(&self, waiting: &Goal, at_origin: bool) -> bool {
        if at_origin {
            return self.has_checked;
        }
        let is_of_kind = match &self.goal {
            Goal::Follow { .. } => self.has_looked && matches!(waiting, Goal::Follow { .. }),
            Goal::Look => matches!(waiting, Goal::Follow { .. }),
            Goal::Update { .. } => matches!(waiting, Goal::Follow { .. } | Goal::Update { .. }),
            Goal::Recover | Goal::Verify { repair: true } => self.goal == *waiting,
            // What was wanted before is wanted no more.
            Goal::Rollback => true,
            Goal::Check
            | Goal::Plan
            | Goal::Verify { repair: false }
            | Goal::Clean { .. }
            | Goal::Trash
            | Goal::Restore { .. } => false,
        };
        is_of_kind || self.has_changed
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
    /// this machine is no reason to ask the origin. `at_origin`: the fault came of asking it.
    pub fn retried(&self, fault: FaultKind, at_origin: bool) -> Option<Self> {
        match self {
            Self::Recover => Some(Self::Recover),
            // Only the origin has what was lost here.
            Self::Verify { repair: true } if fault == FaultKind::StateDamaged => {
                Some(Self::Follow { check: true })
            }
            Self::Verify { repair: true } => Some(Self::Verify { repair: true }),
            Self::Follow { .. } | Self::Look | Self::Check | Self::Plan => {
                Some(Self::Follow { check: at_origin || fault == FaultKind::StateDamaged })
            }
            Self::Update { approve, even_held, .. } => {
                let check = !matches!(fault.next(), Next::Watch(_));
                Some(Self::Update { check, approve: approve.clone(), even_held: *even_held })
            }
            Self::Verify { repair: false }
            | Self::Clean { .. }
            | Self::Rollback
            | Self::Trash
            | Self::Restore { .. } => None,
        }
    }
}
