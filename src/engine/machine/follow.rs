//! What follows a job: the next one of its errand, or the end of it.

use std::sync::Arc;
use std::time::Duration;

use super::{Effect, Effects, Machine, Now, Prepared, Running, State, Waiting};
use crate::engine::backoff;
use crate::engine::errand::{Errand, Goal};
use crate::engine::facts::Origin;
use crate::engine::job::{Checked, Found, Job, Look, Outcome, Planned};
use crate::model::command::Answer;
use crate::model::fault::{Fault, FaultKind, Next};
use crate::model::release::Release;
use crate::model::report::{CheckReport, PlanReport, VerifyReport};
use crate::model::snapshot::Question;

/// How often a plan is made anew because the folder changed, before we wait.
const REPLANS: u32 = 3;

impl Machine {
    /// What follows a job that went well.
    pub(super) fn advance(
        &mut self,
        mut errand: Errand,
        planned: Option<Arc<Planned>>,
        outcome: Outcome,
        now: Now,
    ) -> Effects {
        match outcome {
            Outcome::Recovered(found) => self.take_in(errand, found, now),
            Outcome::Checked(checked) => {
                errand.has_checked = true;
                self.gone.clone_from(&checked.gone);
                self.checked(checked, now);
                remember(self.after_check(errand, now))
            }
            Outcome::AsInstalled => {
                errand.has_looked = true;
                self.finish_up_to_date(errand, now)
            }
            Outcome::Scanned(planned) => {
                errand.has_looked = true;
                self.scanned(errand, planned, now)
            }
            Outcome::Fetched(fetched) => match planned {
                Some(planned) => {
                    let fetched = Arc::new(fetched);
                    self.prepared = Some(Prepared {
                        planned: Arc::clone(&planned),
                        fetched: Some(Arc::clone(&fetched)),
                    });
                    self.start(errand, Job::Apply(planned, fetched), now)
                }
                None => {
                    self.fail(errand, Running::Fetch, Fault::bug("fetched without a plan"), now)
                }
            },
            Outcome::Applied { report, marker, in_trash } => {
                // What lay in the folder before the first release was there on purpose.
                let clean = self.config.auto_clean && self.facts.installed.is_some();
                self.changed();
                self.facts.applied(&report, marker, in_trash, now.time);
                let release = report.release.clone();
                errand.has_changed = true;
                errand.applied = Some(report);
                remember(if clean {
                    self.start(errand, Job::Clean { release, dry_run: false, automatic: true }, now)
                } else {
                    self.finish_applied(errand, now)
                })
            }
            Outcome::Interrupted => {
                self.recovered = false;
                self.fail(errand, Running::Apply, Fault::cancelled(), now)
            }
            Outcome::Verified(report, planned) => {
                let repair = errand.goal == Goal::Verify { repair: true };
                self.facts.verified(&report, now.time);
                if let Some(planned) = planned.filter(|_| repair) {
                    errand.verified = Some(report);
                    remember(self.carry_out(errand, planned, now))
                } else {
                    remember(self.finish(errand, Ok(Answer::Verified(report)), now))
                }
            }
            Outcome::Cleaned { report, in_trash } => {
                self.facts.cleaned(&report);
                in_trash.into_iter().for_each(|found| self.facts.in_trash(found));
                remember(if errand.applied.is_some() {
                    self.finish_applied(errand, now)
                } else {
                    self.prepared = None;
                    self.finish(errand, Ok(Answer::Cleaned(report)), now)
                })
            }
            Outcome::RolledBack { report, from, in_trash } => {
                self.changed();
                errand.has_changed = true;
                if let Some(waiting) = &mut self.waiting {
                    // An update that was wanted before is wanted no more.
                    waiting.goal = Goal::Follow { check: waiting.at_origin };
                }
                self.facts.rolled_back(&report, from, in_trash);
                remember(self.finish(errand, Ok(Answer::RolledBack(report)), now))
            }
            Outcome::Trash(entries) => self.finish(errand, Ok(Answer::Trash { entries }), now),
            Outcome::Restored { report, in_trash } => {
                self.prepared = None;
                self.facts.extras = None;
                in_trash.into_iter().for_each(|found| self.facts.in_trash(found));
                remember(self.finish(errand, Ok(Answer::Restored(report)), now))
            }
        }
    }

    /// The folder has another release now: what was asked and planned is settled.
    pub(super) fn changed(&mut self) {
        self.question = None;
        self.prepared = None;
    }

    fn finish_applied(&mut self, mut errand: Errand, now: Now) -> Effects {
        let report = errand.applied.take();
        let answer = match (errand.verified.take(), report) {
            (Some(verified), repaired) => Answer::Verified(VerifyReport { repaired, ..verified }),
            (None, Some(report)) => Answer::Applied(report),
            (None, None) => Answer::Done,
        };
        self.finish(errand, Ok(answer), now)
    }

    fn checked(&mut self, checked: Checked, now: Now) {
        self.unanswered = 0;
        self.next_check = self
            .next_check
            .map(|_| now.time + backoff::interval(self.config.check_interval, now.dice));
        if self.facts.checked(checked, now.time) {
            self.question = None;
            self.prepared = None;
        }
    }

    pub(super) fn after_check(&mut self, errand: Errand, now: Now) -> Effects {
        let target = match &errand.goal {
            Goal::Check => {
                let report = CheckReport {
                    installed: self.facts.installed.clone(),
                    offered: self.facts.offered.clone(),
                    held: self.facts.is_held(),
                };
                let mut effects = self.finish(errand, Ok(Answer::Checked(report)), now);
                if self.next_check.is_some() && self.is_free() {
                    // What a user asked for was found as well as if nobody had asked.
                    effects
                        .extend(self.begin(Errand::new(Goal::Follow { check: false }, None), now));
                }
                return effects;
            }
            Goal::Follow { .. } => {
                if let Some(fault) = self.gone.take() {
                    return self.fail(errand, Running::Scan, fault, now);
                }
                let news = self.facts.offered.is_some() && !self.facts.is_held();
                let asked = self.question.is_some();
                let planned = self.facts.summary.is_some()
                    && self.facts.question.is_none()
                    && !self.applies_by_itself(now);
                if !news || asked || planned || self.facts.paused {
                    return self.look(errand, now);
                }
                self.facts.target(false)
            }
            Goal::Update { even_held, .. } => self.facts.target(*even_held),
            Goal::Plan
            | Goal::Look
            | Goal::Recover
            | Goal::Verify { .. }
            | Goal::Clean { .. }
            | Goal::Rollback
            | Goal::Trash
            | Goal::Restore { .. } => self.facts.target(true),
        };
        let Some((release, quick)) = target else {
            return self.finish_up_to_date(errand, now);
        };
        match &self.prepared {
            // Nobody asked anew: go on with what was worked out before the fault.
            Some(prepared) if errand.ticket.is_none() && prepared.is_for(&release) => {
                let planned = Arc::clone(&prepared.planned);
                self.scanned(errand, planned, now)
            }
            _ => {
                let quick = quick && errand.goal != Goal::Plan;
                let look = if quick { Look::Quick } else { Look::Trusting };
                self.start(errand, Job::Scan { release, look }, now)
            }
        }
    }

    /// Knows the folder from now on.
    fn take_in(&mut self, mut errand: Errand, found: Found, now: Now) -> Effects {
        self.recovered = true;
        self.was_ready = true;
        errand.has_looked = true;
        let installed = |release: &Option<Release>| release.as_ref().map(|r| r.digest);
        let is_another = installed(&found.installed) != installed(&self.facts.installed);
        if found.finished.is_some() || is_another {
            self.changed();
        } else if found.changed {
            self.prepared = None;
        }
        let went_back = found.finished.clone().filter(|_| found.went_back);
        let (from, in_trash) = (self.facts.installed.clone(), found.in_trash.clone());
        self.facts.recovered(found, now.time);
        let is_asked_for = errand.goal == Goal::Rollback;
        if let Some((report, from)) = went_back.zip(from).filter(|_| is_asked_for) {
            // Going back is done; going back further was not asked for.
            return self.advance(errand, None, Outcome::RolledBack { report, from, in_trash }, now);
        }
        remember(if errand.goal == Goal::Recover {
            self.finish(errand, Ok(Answer::Done), now)
        } else {
            self.begin(errand, now)
        })
    }

    /// Whether the offered release is applied without being asked.
    fn applies_by_itself(&self, now: Now) -> bool {
        self.config.auto_apply && !self.facts.is_back_too_often(now.time)
    }

    /// Reads the folder if a fault there may be over, and changes nothing.
    pub(super) fn look(&mut self, errand: Errand, now: Now) -> Effects {
        let waiting = self.waiting.as_ref().filter(|waiting| {
            let is_ours = matches!(waiting.goal, Goal::Follow { .. });
            is_ours && !waiting.at_origin && !errand.has_looked
        });
        let Some(kind) = waiting.map(|waiting| waiting.fault.kind) else {
            return self.finish(errand, Ok(Answer::Done), now);
        };
        // Of a folder that was away it is enough that it is there.
        let quick = matches!(kind, FaultKind::FolderGone | FaultKind::FolderBusy);
        let installed = self.facts.installed.clone().filter(|_| quick);
        let release = installed.or_else(|| self.facts.target(true).map(|(release, _)| release));
        let errand = Errand { goal: Goal::Look, ..errand };
        let look = if quick { Look::Quick } else { Look::Trusting };
        match release {
            Some(release) => self.start(errand, Job::Scan { release, look }, now),
            None => self.finish(errand, Ok(Answer::Done), now),
        }
    }

    fn scanned(&mut self, errand: Errand, planned: Arc<Planned>, now: Now) -> Effects {
        let report = planned.report();
        self.facts.extras = Some(report.extra.len() as u64);
        if errand.goal == Goal::Look {
            return remember(self.finish(errand, Ok(Answer::Done), now));
        }
        let is_offered =
            self.facts.offered.as_ref().is_some_and(|o| o.digest == report.release.digest);
        if is_offered {
            self.facts.summary = Some(report.summary());
        }
        let was_shown = self.facts.question.as_ref().is_some_and(|shown| shown.plan == report.id);
        let guard = planned.plan.guard.clone();
        if is_offered || guard.is_some() {
            let ask = |why| Question { plan: report.id.clone(), why };
            self.facts.question = guard.clone().map(ask);
        }
        let mut effects = vec![Effect::Remember];
        if errand.goal == Goal::Plan {
            effects.extend(self.finish(errand, Ok(Answer::Planned(report)), now));
            return effects;
        }
        let follows = matches!(errand.goal, Goal::Follow { .. });
        if follows && guard.is_none() && !self.applies_by_itself(now) {
            if self.config.auto_apply {
                let (pack, release) = (&self.config.name, report.release.label());
                tracing::warn!(pack, "the origin goes back and forth: {release} waits for a word");
            }
            effects.extend(self.finish(errand, Ok(Answer::Done), now));
            return effects;
        }
        let is_approved = matches!(&errand.goal,
            Goal::Update { approve, .. } if approve.covers(&report.id, was_shown));
        let installed = self.facts.installed.as_ref().map(|r| r.digest);
        effects.extend(match guard {
            Some(fault) if !is_approved => self.ask(errand, fault, Some(report), now),
            _ if planned.plan.is_empty() && installed == Some(report.release.digest) => {
                self.finish_up_to_date(errand, now)
            }
            _ => self.carry_out(errand, planned, now),
        });
        effects
    }

    /// Fetches, or applies at once what an earlier try has fetched.
    pub(super) fn carry_out(&mut self, errand: Errand, planned: Arc<Planned>, now: Now) -> Effects {
        let fetched = self.prepared.as_ref().filter(|p| Arc::ptr_eq(&p.planned, &planned));
        if let Some(fetched) = fetched.and_then(|p| p.fetched.clone()) {
            return self.start(errand, Job::Apply(planned, fetched), now);
        }
        self.prepared = Some(Prepared { planned: Arc::clone(&planned), fetched: None });
        self.start(errand, Job::Fetch(planned), now)
    }

    fn finish(&mut self, errand: Errand, answer: Result<Answer, Fault>, now: Now) -> Effects {
        self.state = State::Idle;
        let mut effects = Vec::new();
        self.settle(&errand);
        if let Some(ticket) = errand.ticket {
            effects.push(Effect::answer(ticket, answer));
        }
        effects.extend(self.next_errand(now));
        effects
    }

    fn finish_up_to_date(&mut self, errand: Errand, now: Now) -> Effects {
        let held = self.facts.is_held();
        self.finish(errand, Ok(Answer::UpToDate { download_bytes: 0, held }), now)
    }

    /// A goal that was reached, or cannot be, ends the wait for another try at it.
    fn settle(&mut self, errand: &Errand) {
        let is_over = |waiting: &mut Waiting| {
            let is_done = waiting.goal == Goal::Recover && self.recovered;
            is_done || errand.settles(&waiting.goal, waiting.at_origin)
        };
        if self.waiting.take_if(is_over).is_some() {
            self.facts.failures = 0;
        }
    }

    /// Ends an errand that was told to stop between two jobs.
    pub(super) fn stop(&mut self, errand: Errand, now: Now) -> Effects {
        self.state = State::Idle;
        let answer = |ticket| Effect::answer(ticket, Err(Fault::cancelled()));
        let mut effects: Effects = errand.ticket.map(answer).into_iter().collect();
        effects.extend(self.next_errand(now));
        effects
    }

    pub(super) fn refuse(&mut self, errand: Errand, now: Now) -> Effects {
        let fault = nothing_installed(&self.config.name);
        self.state = State::Idle;
        self.settle(&errand);
        let mut effects: Effects =
            errand.ticket.map(|ticket| Effect::answer(ticket, Err(fault))).into_iter().collect();
        effects.extend(self.next_errand(now));
        effects
    }

    /// What follows a job that failed.
    pub(super) fn fail(
        &mut self,
        mut errand: Errand,
        failed: Running,
        fault: Fault,
        now: Now,
    ) -> Effects {
        if matches!(fault.kind, FaultKind::FolderChanged | FaultKind::StateDamaged) {
            self.prepared = None;
        }
        if fault.kind == FaultKind::StateDamaged {
            self.facts.origin = Origin::default();
        }
        if fault.kind == FaultKind::FolderChanged && errand.replans < REPLANS {
            errand.replans += 1;
            return self.begin_again(errand, now);
        }
        if errand.goal == Goal::Plan && failed == Running::Check && self.facts.offered.is_some() {
            tracing::error!("planning for the release that is known: {fault}");
            return self.after_check(errand, now);
        }
        // What the trash no longer has is no longer offered.
        if fault.kind == FaultKind::NothingToRollBack {
            self.facts.can_go_back = false;
        }
        if let (Goal::Restore { entry }, FaultKind::Refused) = (&errand.goal, fault.kind) {
            self.facts.removed.take_if(|removed| removed.entry == *entry);
        }
        let at_origin = failed == Running::Check;
        let waits_here = self.waiting.as_ref().is_some_and(|waiting| !waiting.at_origin);
        if matches!(errand.goal, Goal::Follow { .. }) && at_origin && waits_here {
            // What stands in the way here may be over, whatever the origin does.
            tracing::warn!("the origin is asked again later: {fault}");
            self.unanswered = self.unanswered.saturating_add(1);
            let wait = backoff::delay(&fault, self.unanswered, now.dice);
            let wait = wait.unwrap_or(self.config.check_interval);
            self.next_check = self.next_check.map(|_| now.time + wait);
            return self.after_check(errand, now);
        }
        if fault.kind.next() == Next::Ask {
            return self.ask(errand, fault, None, now);
        }
        // Whoever asks again and again shall not make it wait the longer.
        let is_asked_for = errand.ticket.is_some();
        if !is_asked_for && fault.kind != FaultKind::Cancelled {
            self.facts.failures = self.facts.failures.saturating_add(1);
        }
        self.state = State::Idle;
        // What a change left half done is finished even when nothing else is tried again.
        let goal = errand.goal.retried(fault.kind, at_origin).filter(|_| !self.facts.paused);
        // A question that the origin did not answer hides nothing that stands in the way here.
        let hides = at_origin && waits_here && matches!(errand.goal, Goal::Check | Goal::Plan);
        let goal = goal.filter(|_| !hides).or((!self.recovered).then_some(Goal::Recover));
        let wait = backoff::delay(&fault, self.facts.failures.max(1), now.dice);
        if let (Some(wait), Some(goal)) = (wait, goal) {
            let soonest = now.time + Duration::from_secs(fault.retry_after.unwrap_or(0));
            let before = self.waiting.as_ref().filter(|_| is_asked_for).map(|it| it.until);
            let before = before.filter(|before| *before > soonest);
            let until = now.time + wait;
            let until = before.map_or(until, |before| before.min(until));
            self.waiting = Some(Waiting { fault: fault.clone(), until, goal, at_origin });
        }
        let mut effects = vec![Effect::Remember];
        if let Some(ticket) = errand.ticket {
            effects.push(Effect::answer(ticket, Err(fault)));
        }
        effects.extend(self.next_errand(now));
        effects
    }

    fn begin_again(&mut self, errand: Errand, now: Now) -> Effects {
        let target = match errand.goal {
            Goal::Update { even_held, .. } => self.facts.target(even_held),
            Goal::Follow { .. } => self.facts.target(false),
            Goal::Recover
            | Goal::Look
            | Goal::Check
            | Goal::Plan
            | Goal::Verify { .. }
            | Goal::Clean { .. }
            | Goal::Rollback
            | Goal::Trash
            | Goal::Restore { .. } => None,
        };
        match target {
            Some((release, _)) if self.recovered => {
                self.start(errand, Job::Scan { release, look: Look::Whole }, now)
            }
            _ => self.begin(errand, now),
        }
    }

    fn ask(&mut self, errand: Errand, fault: Fault, plan: Option<PlanReport>, now: Now) -> Effects {
        self.state = State::Idle;
        self.settle(&errand);
        self.question = Some((fault.clone(), plan.map(Arc::new)));
        let mut effects = vec![Effect::Remember];
        if let Some(ticket) = errand.ticket {
            effects.push(Effect::answer(ticket, Err(fault)));
        }
        effects.extend(self.next_errand(now));
        effects
    }
}

/// What follows once the facts are written down.
fn remember(next: Effects) -> Effects {
    std::iter::once(Effect::Remember).chain(next).collect()
}

fn nothing_installed(name: &str) -> Fault {
    Fault::new(
        FaultKind::Refused,
        format!("nothing of `{name}` is installed yet"),
        format!("Run `modsync sync {name}` first."),
    )
}
