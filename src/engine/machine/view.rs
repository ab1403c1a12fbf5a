//! What a front end sees of a machine.

use super::{Machine, Running, State, Waiting};
use crate::model::snapshot::{PackView, Phase, Progress, Question, Seeding};

impl Machine {
    /// What a front end sees.
    pub fn view(&self, progress: Progress, seeding: Option<Seeding>) -> PackView {
        PackView {
            name: self.config.name.clone(),
            url: self.config.url.clone(),
            folder: self.config.folder.clone(),
            phase: self.phase(progress.with_eta()),
            installed: self.facts.installed.clone(),
            offered: self.facts.offered.clone(),
            summary: self.facts.summary,
            question: self.facts.question.clone(),
            held: self.facts.is_held(),
            last_check: self.facts.origin.checked,
            next_check: self.waiting.as_ref().map(|waiting| waiting.until).or(self.next_check),
            last_apply: self.facts.last_apply.clone(),
            last_verify: self.facts.last_verify,
            fault: self.waiting.as_ref().map(|waiting| waiting.fault.clone()),
            extras: self.facts.extras,
            can_go_back: self.facts.can_go_back,
            removed: self.facts.removed.clone(),
            auto_apply: self.config.auto_apply,
            paused: self.facts.paused,
            seeding,
        }
    }

    fn phase(&self, progress: Progress) -> Phase {
        match &self.state {
            // A change that was cut off is finished first.
            State::Busy { running: Running::Recover, .. } if self.was_ready => {
                Phase::Applying { progress }
            }
            State::Starting | State::Busy { running: Running::Recover, .. } => Phase::Starting,
            State::Busy { running: Running::Check, .. } => Phase::Checking,
            State::Busy { running: Running::Scan, .. } => Phase::Scanning { progress },
            State::Busy { running: Running::Fetch, .. } => Phase::Fetching { progress },
            State::Busy { running: Running::Apply, .. } => Phase::Applying { progress },
            State::Busy { running: Running::Verify, .. } => Phase::Verifying { progress },
            State::Idle | State::Busy { running: Running::Trash, .. } => self.resting_phase(),
        }
    }

    fn resting_phase(&self) -> Phase {
        if let Some(Waiting { fault, until, .. }) = &self.waiting {
            Phase::Waiting { fault: fault.clone(), retry_at: *until }
        } else if let Some((fault, plan)) = &self.question {
            Phase::Blocked { fault: fault.clone(), plan: plan.clone() }
        } else if let Some(Question { why, .. }) = &self.facts.question {
            Phase::Blocked { fault: why.clone(), plan: None }
        } else if self.facts.paused {
            Phase::Paused
        } else if self.facts.offered.is_some() && !self.facts.is_held() {
            Phase::UpdateAvailable { summary: self.facts.summary }
        } else {
            Phase::Current
        }
    }
}
