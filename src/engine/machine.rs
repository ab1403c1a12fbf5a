//! PURE: one pack's state machine, `(Input, Now) → Effects`.
//!
//! A pack does one job at a time. A job belongs to an *errand*: what a command or the clock asked
//! for, carried out as a chain of jobs. Every answer of a job comes back as an [`Input`], and this
//! file alone decides what follows. It asks no clock, no disk and no network.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::backoff;
use super::errand::{Errand, Goal};
use super::facts::Facts;
use super::job::{Checked, Fetched, Job, Outcome, Planned};
use crate::model::command::{Answer, Command};
use crate::model::fault::{Fault, FaultKind, Next};
use crate::model::pack::PackConfig;
use crate::model::report::{CheckReport, PlanReport, VerifyReport};
use crate::model::snapshot::{PackView, Phase, Progress, Seeding};

/// A server may answer "not modified" wrongly; the whole body is read at least this often.
const FULL_READ: Duration = Duration::from_hours(24);
/// How often a plan is made anew because the folder changed, before we wait.
const REPLANS: u32 = 3;

/// The instant, and a number in 0..1 where a decision wants chance.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    pub time: SystemTime,
    pub dice: f64,
}

/// Whoever waits for an answer.
pub type Ticket = u64;

/// Everything that can wake the machine.
#[derive(Debug)]
pub enum Input {
    Command(Ticket, Command),
    Done(Result<Outcome, Fault>),
    Clock,
    Reconfigured(PackConfig),
}

/// Everything the machine can want.
#[derive(Debug)]
pub enum Effect {
    Start(Job),
    /// Asks the running job to stop; it still answers.
    Cancel,
    /// Give others what the folder has, or stop that.
    Seed(bool),
    /// Write the facts down.
    Remember,
    Answer(Ticket, Box<Result<Answer, Fault>>),
}

/// Which job is running, without what it works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Running {
    Recover,
    Check,
    Scan,
    Fetch,
    Apply,
    Verify,
    Trash,
}

impl Effect {
    fn answer(ticket: Ticket, answer: Result<Answer, Fault>) -> Self {
        Self::Answer(ticket, Box::new(answer))
    }
}

#[derive(Debug)]
enum State {
    Starting,
    Idle,
    Busy { errand: Box<Errand>, running: Running, planned: Option<Arc<Planned>> },
    Waiting { fault: Fault, until: SystemTime, goal: Goal },
}

/// A plan, and its new content if that is complete.
#[derive(Debug)]
struct Prepared {
    planned: Arc<Planned>,
    fetched: Option<Arc<Fetched>>,
}

/// One pack's state machine.
#[derive(Debug)]
pub struct Machine {
    config: PackConfig,
    facts: Facts,
    state: State,
    queue: VecDeque<(Ticket, Command)>,
    /// When the origin is asked next by itself; `None` without a clock.
    next_check: Option<SystemTime>,
    recovered: bool,
    seeding: bool,
    /// Why a person must decide about the offered release, and the plan to decide about.
    question: Option<(Fault, Option<Box<PlanReport>>)>,
    /// The last plan and how far it got, so that a try again need not read the whole folder again.
    prepared: Option<Prepared>,
}

type Effects = Vec<Effect>;

impl Machine {
    /// A pack that has yet to look at its folder. `clock`: whether it asks the origin by itself.
    pub fn new(config: PackConfig, facts: Facts, clock: bool, now: Now) -> Self {
        Self {
            config,
            facts,
            state: State::Starting,
            queue: VecDeque::new(),
            next_check: clock.then_some(now.time),
            recovered: false,
            seeding: false,
            question: None,
            prepared: None,
        }
    }

    pub fn is_seeding(&self) -> bool {
        self.seeding
    }

    pub fn config(&self) -> &PackConfig {
        &self.config
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    pub fn on(&mut self, input: Input, now: Now) -> Effects {
        let mut effects = match input {
            Input::Command(ticket, command) => self.command(ticket, command, now),
            Input::Done(result) => self.done(result, now),
            Input::Clock => self.clock(now),
            Input::Reconfigured(config) => self.reconfigured(config, now),
        };
        let seed = self.wants_to_seed();
        if seed != self.seeding {
            self.seeding = seed;
            effects.insert(0, Effect::Seed(seed));
        }
        effects
    }

    /// What a front end sees.
    pub fn view(&self, progress: Progress, seeding: Option<Seeding>) -> PackView {
        PackView {
            name: self.config.name.clone(),
            url: self.config.url.clone(),
            folder: self.config.folder.clone(),
            phase: self.phase(progress),
            installed: self.facts.installed.clone(),
            offered: self.facts.offered.clone(),
            held: self.facts.is_held(),
            last_check: self.facts.origin.checked,
            next_check: match &self.state {
                State::Waiting { until, .. } => Some(*until),
                State::Starting | State::Idle | State::Busy { .. } => self.next_check,
            },
            last_apply: self.facts.last_apply.clone(),
            seeding,
        }
    }

    fn phase(&self, progress: Progress) -> Phase {
        match &self.state {
            State::Starting | State::Busy { running: Running::Recover, .. } => Phase::Starting,
            State::Busy { running: Running::Check, .. } => Phase::Checking,
            State::Busy { running: Running::Scan, .. } => Phase::Scanning { progress },
            State::Busy { running: Running::Fetch, .. } => Phase::Fetching { progress },
            State::Busy { running: Running::Apply, .. } => Phase::Applying { progress },
            State::Busy { running: Running::Verify, .. } => Phase::Verifying { progress },
            State::Waiting { fault, until, .. } => {
                Phase::Waiting { fault: fault.clone(), retry_at: *until }
            }
            State::Idle | State::Busy { running: Running::Trash, .. } => self.resting_phase(),
        }
    }

    fn resting_phase(&self) -> Phase {
        if let Some((fault, plan)) = &self.question {
            Phase::Blocked { fault: fault.clone(), plan: plan.clone() }
        } else if self.facts.paused {
            Phase::Paused
        } else if self.facts.offered.is_some() && !self.facts.is_held() {
            Phase::UpdateAvailable { summary: self.facts.summary }
        } else {
            Phase::Current
        }
    }

    fn command(&mut self, ticket: Ticket, command: Command, now: Now) -> Effects {
        match command {
            Command::Pause => self.pause(ticket),
            Command::Resume => {
                self.facts.paused = false;
                if let Some(next) = &mut self.next_check {
                    *next = now.time;
                }
                vec![Effect::Remember, Effect::answer(ticket, Ok(Answer::Done))]
            }
            Command::Check
            | Command::Plan
            | Command::Sync
            | Command::Apply { .. }
            | Command::Verify { .. }
            | Command::Clean { .. }
            | Command::Rollback
            | Command::Trash
            | Command::Restore { .. } => {
                self.queue.push_back((ticket, command));
                if self.is_free() { self.next_errand(now) } else { Vec::new() }
            }
        }
    }

    fn pause(&mut self, ticket: Ticket) -> Effects {
        self.facts.paused = true;
        let mut effects = vec![Effect::Remember, Effect::answer(ticket, Ok(Answer::Done))];
        match &self.state {
            State::Busy {
                errand,
                running: Running::Check | Running::Scan | Running::Fetch,
                ..
            } if errand.ticket.is_none() => {
                effects.push(Effect::Cancel);
            }
            State::Waiting { .. } => self.state = State::Idle,
            State::Busy { .. } | State::Starting | State::Idle => {}
        }
        effects
    }

    fn clock(&mut self, now: Now) -> Effects {
        if matches!(self.state, State::Starting) {
            return self.begin(Errand::new(Goal::Recover, None), now);
        }
        if !self.is_free() {
            return Vec::new();
        }
        if let State::Waiting { until, goal, .. } = &self.state {
            // A clock set back must not keep us waiting for the difference.
            let too_far = now.time + Duration::from_hours(12) < *until;
            if *until <= now.time || too_far {
                let goal = goal.clone();
                return self.begin(Errand::new(goal, None), now);
            }
            return Vec::new();
        }
        let Some(next) = self.next_check else { return Vec::new() };
        let too_far = now.time + self.config.check_interval.mul_f64(1.5) < next;
        if self.facts.paused || (next > now.time && !too_far) {
            return Vec::new();
        }
        self.begin(Errand::new(Goal::Follow, None), now)
    }

    fn reconfigured(&mut self, config: PackConfig, now: Now) -> Effects {
        self.config = config;
        self.prepared = None;
        if let Some(next) = &mut self.next_check {
            *next = (*next).min(now.time + self.config.check_interval);
        }
        Vec::new()
    }

    fn is_free(&self) -> bool {
        !matches!(self.state, State::Starting | State::Busy { .. })
    }

    fn begin(&mut self, errand: Errand, now: Now) -> Effects {
        let job = match &errand.goal {
            _ if !self.recovered => Job::Recover,
            Goal::Recover => Job::Recover,
            Goal::Follow if self.next_check.is_some_and(|next| next > now.time) => {
                return self.after_check(errand, now);
            }
            Goal::Follow | Goal::Check | Goal::Plan | Goal::Update { check: true, .. } => {
                self.check(now)
            }
            Goal::Update { check: false, .. } if self.facts.target(true).is_some() => {
                return self.after_check(errand, now);
            }
            Goal::Update { check: false, .. } => self.check(now),
            Goal::Verify { .. } => match self.facts.installed.clone() {
                Some(release) => Job::Verify { release },
                None => return self.refuse(errand, now),
            },
            Goal::Clean { dry_run } => match self.facts.installed.clone() {
                Some(release) => Job::Clean { release, dry_run: *dry_run },
                None => return self.refuse(errand, now),
            },
            Goal::Rollback => Job::Rollback,
            Goal::Trash => Job::Trash,
            Goal::Restore { entry } => Job::Restore { entry: entry.clone() },
        };
        self.start(errand, job)
    }

    fn check(&self, now: Now) -> Job {
        let fresh = |read| now.time.duration_since(read).is_ok_and(|age| age < FULL_READ);
        Job::Check { full: !self.facts.origin.read.is_some_and(fresh) }
    }

    fn start(&mut self, errand: Errand, job: Job) -> Effects {
        let (running, planned) = match &job {
            Job::Recover => (Running::Recover, None),
            Job::Check { .. } => (Running::Check, None),
            Job::Scan { .. } => (Running::Scan, None),
            Job::Fetch(planned) => (Running::Fetch, Some(Arc::clone(planned))),
            Job::Apply(planned, _) => (Running::Apply, Some(Arc::clone(planned))),
            Job::Verify { .. } => (Running::Verify, None),
            Job::Clean { .. } | Job::Rollback | Job::Restore { .. } => (Running::Apply, None),
            Job::Trash => (Running::Trash, None),
        };
        self.state = State::Busy { errand: Box::new(errand), running, planned };
        vec![Effect::Start(job)]
    }

    fn done(&mut self, result: Result<Outcome, Fault>, now: Now) -> Effects {
        let state = std::mem::replace(&mut self.state, State::Idle);
        let State::Busy { errand, running, planned } = state else {
            self.state = state;
            return Vec::new();
        };
        match result {
            Ok(outcome) => self.advance(*errand, planned, outcome, now),
            Err(fault) => {
                // A change that failed may have left its journal: that is finished before all else.
                self.recovered &= running != Running::Apply;
                self.fail(*errand, fault, now)
            }
        }
    }

    /// What follows a job that went well.
    fn advance(
        &mut self,
        mut errand: Errand,
        planned: Option<Arc<Planned>>,
        outcome: Outcome,
        now: Now,
    ) -> Effects {
        match outcome {
            Outcome::Recovered { installed, marker, finished } => {
                self.recovered = true;
                self.facts.recovered(installed, marker, finished);
                let mut effects = vec![Effect::Remember];
                effects.extend(match errand.goal {
                    Goal::Recover => self.finish(errand, Ok(Answer::Done), now),
                    Goal::Follow
                    | Goal::Check
                    | Goal::Plan
                    | Goal::Update { .. }
                    | Goal::Verify { .. }
                    | Goal::Clean { .. }
                    | Goal::Rollback
                    | Goal::Trash
                    | Goal::Restore { .. } => self.begin(errand, now),
                });
                effects
            }
            Outcome::Checked(checked) => {
                self.checked(checked, now);
                let mut effects = vec![Effect::Remember];
                effects.extend(self.after_check(errand, now));
                effects
            }
            Outcome::AsInstalled => {
                self.finish(errand, Ok(Answer::UpToDate { download_bytes: 0 }), now)
            }
            Outcome::Scanned(planned) => self.scanned(errand, planned, now),
            Outcome::Fetched(fetched) => match planned {
                Some(planned) => {
                    let fetched = Arc::new(fetched);
                    self.prepared = Some(Prepared {
                        planned: Arc::clone(&planned),
                        fetched: Some(Arc::clone(&fetched)),
                    });
                    self.start(errand, Job::Apply(planned, fetched))
                }
                None => self.fail(errand, Fault::bug("fetched without a plan"), now),
            },
            Outcome::Applied { report, marker } => {
                self.changed();
                self.facts.applied(&report, marker);
                errand.applied = Some(report);
                let mut effects = vec![Effect::Remember];
                effects.extend(match self.facts.installed.clone() {
                    Some(release) if self.config.auto_clean => {
                        self.start(errand, Job::Clean { release, dry_run: false })
                    }
                    _ => self.finish_applied(errand, now),
                });
                effects
            }
            Outcome::Interrupted => {
                self.recovered = false;
                self.fail(errand, Fault::cancelled(), now)
            }
            Outcome::Verified(report, planned) => {
                let repair = errand.goal == Goal::Verify { repair: true };
                if repair && !report.problems.is_empty() {
                    errand.verified = Some(report);
                    self.start(errand, Job::Fetch(planned))
                } else {
                    self.finish(errand, Ok(Answer::Verified(report)), now)
                }
            }
            Outcome::Cleaned(_) if errand.applied.is_some() => self.finish_applied(errand, now),
            Outcome::Cleaned(report) => {
                self.prepared = None;
                self.finish(errand, Ok(Answer::Cleaned(report)), now)
            }
            Outcome::RolledBack { report, from } => {
                self.changed();
                self.facts.rolled_back(&report, from);
                let mut effects = vec![Effect::Remember];
                effects.extend(self.finish(errand, Ok(Answer::RolledBack(report)), now));
                effects
            }
            Outcome::Trash(entries) => self.finish(errand, Ok(Answer::Trash { entries }), now),
            Outcome::Restored(report) => {
                self.prepared = None;
                self.finish(errand, Ok(Answer::Restored(report)), now)
            }
        }
    }

    /// The folder has another release now: what was asked and planned is settled.
    fn changed(&mut self) {
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
        self.next_check = self
            .next_check
            .map(|_| now.time + backoff::interval(self.config.check_interval, now.dice));
        if self.facts.checked(checked, now.time) {
            self.question = None;
            self.prepared = None;
        }
    }

    fn after_check(&mut self, errand: Errand, now: Now) -> Effects {
        let target = match &errand.goal {
            Goal::Check => {
                let report = CheckReport {
                    installed: self.facts.installed.clone(),
                    offered: self.facts.offered.clone(),
                    held: self.facts.is_held(),
                };
                return self.finish(errand, Ok(Answer::Checked(report)), now);
            }
            Goal::Follow => {
                let news = self.facts.offered.is_some() && !self.facts.is_held();
                let asked = self.question.is_some();
                let planned = self.facts.summary.is_some()
                    && self.facts.shown.is_none()
                    && !self.config.auto_apply;
                if !news || asked || planned || self.facts.paused {
                    return self.finish(errand, Ok(Answer::Done), now);
                }
                self.facts.target(false)
            }
            Goal::Update { approve, check } => self.facts.target(*approve || !*check),
            Goal::Plan
            | Goal::Recover
            | Goal::Verify { .. }
            | Goal::Clean { .. }
            | Goal::Rollback
            | Goal::Trash
            | Goal::Restore { .. } => self.facts.target(true),
        };
        let Some((release, quick)) = target else {
            return self.finish(errand, Ok(Answer::UpToDate { download_bytes: 0 }), now);
        };
        let is_of_release = |p: &Prepared| p.planned.plan.release.digest == release.digest;
        match &self.prepared {
            // Nobody asked anew: go on with what was worked out before the fault.
            Some(prepared) if errand.ticket.is_none() && is_of_release(prepared) => {
                let planned = Arc::clone(&prepared.planned);
                self.scanned(errand, planned, now)
            }
            _ => {
                let quick = quick && errand.goal != Goal::Plan;
                self.start(errand, Job::Scan { release, quick })
            }
        }
    }

    fn scanned(&mut self, errand: Errand, planned: Arc<Planned>, now: Now) -> Effects {
        let report = &planned.report;
        let is_offered =
            self.facts.offered.as_ref().is_some_and(|o| o.digest == report.release.digest);
        if is_offered {
            self.facts.summary = Some(report.summary());
        }
        let was_shown = self.facts.shown.as_deref() == Some(report.id.as_str());
        let guard = planned.plan.guard.clone();
        if guard.is_some() {
            self.facts.shown = Some(report.id.clone());
        }
        let mut effects = vec![Effect::Remember];
        if errand.goal == Goal::Plan {
            effects.extend(self.finish(errand, Ok(Answer::Planned(report.clone())), now));
            return effects;
        }
        if errand.goal == Goal::Follow && guard.is_none() && !self.config.auto_apply {
            effects.extend(self.finish(errand, Ok(Answer::Done), now));
            return effects;
        }
        let approve = was_shown && matches!(errand.goal, Goal::Update { approve: true, .. });
        let installed = self.facts.installed.as_ref().map(|r| r.digest);
        effects.extend(match guard {
            Some(fault) if !approve => self.ask(errand, fault, Some(report.clone()), now),
            _ if planned.plan.is_empty() && installed == Some(report.release.digest) => {
                self.finish(errand, Ok(Answer::UpToDate { download_bytes: 0 }), now)
            }
            _ => self.carry_out(errand, planned),
        });
        effects
    }

    /// Fetches, or applies at once what an earlier try has fetched.
    fn carry_out(&mut self, errand: Errand, planned: Arc<Planned>) -> Effects {
        let fetched = self.prepared.as_ref().filter(|p| Arc::ptr_eq(&p.planned, &planned));
        if let Some(fetched) = fetched.and_then(|p| p.fetched.clone()) {
            return self.start(errand, Job::Apply(planned, fetched));
        }
        self.prepared = Some(Prepared { planned: Arc::clone(&planned), fetched: None });
        self.start(errand, Job::Fetch(planned))
    }

    fn finish(&mut self, errand: Errand, answer: Result<Answer, Fault>, now: Now) -> Effects {
        self.state = State::Idle;
        let mut effects = Vec::new();
        if self.facts.failures > 0 && errand.goal != Goal::Trash {
            self.facts.failures = 0;
            effects.push(Effect::Remember);
        }
        if let Some(ticket) = errand.ticket {
            effects.push(Effect::answer(ticket, answer));
        }
        effects.extend(self.next_errand(now));
        effects
    }

    fn refuse(&mut self, errand: Errand, now: Now) -> Effects {
        let fault = nothing_installed(&self.config.name);
        self.state = State::Idle;
        let mut effects: Effects =
            errand.ticket.map(|ticket| Effect::answer(ticket, Err(fault))).into_iter().collect();
        effects.extend(self.next_errand(now));
        effects
    }

    /// What follows a job that failed.
    fn fail(&mut self, mut errand: Errand, fault: Fault, now: Now) -> Effects {
        if matches!(fault.kind, FaultKind::FolderChanged | FaultKind::StateDamaged) {
            self.prepared = None;
        }
        if fault.kind == FaultKind::FolderChanged && errand.replans < REPLANS {
            errand.replans += 1;
            return self.begin_again(errand, now);
        }
        let knows_release = self.facts.offered.is_some() || self.facts.installed.is_some();
        if errand.goal == Goal::Plan && is_of_origin(fault.kind) && knows_release {
            // The origin is away, yet a release is known: plan for that.
            return self.after_check(errand, now);
        }
        if fault.kind.next() == Next::Ask {
            return self.ask(errand, fault, None, now);
        }
        self.facts.failures = self.facts.failures.saturating_add(1);
        let goal = errand.goal.retried();
        let wait = backoff::delay(&fault, self.facts.failures, now.dice);
        match (wait, goal) {
            (Some(wait), Some(goal)) if !self.facts.paused || goal == Goal::Recover => {
                self.state = State::Waiting { fault: fault.clone(), until: now.time + wait, goal };
            }
            _ => self.state = State::Idle,
        }
        if fault.kind == FaultKind::Cancelled {
            self.facts.failures -= 1;
        }
        let mut effects = vec![Effect::Remember];
        if let Some(ticket) = errand.ticket {
            effects.push(Effect::answer(ticket, Err(fault)));
        }
        effects.extend(self.next_errand(now));
        effects
    }

    fn begin_again(&mut self, errand: Errand, now: Now) -> Effects {
        let updates = matches!(errand.goal, Goal::Follow | Goal::Update { .. });
        match self.facts.target(true).filter(|_| updates) {
            Some((release, _)) => self.start(errand, Job::Scan { release, quick: false }),
            None => self.begin(errand, now),
        }
    }

    fn ask(&mut self, errand: Errand, fault: Fault, plan: Option<PlanReport>, now: Now) -> Effects {
        self.state = State::Idle;
        self.question = Some((fault.clone(), plan.map(Box::new)));
        let mut effects = vec![Effect::Remember];
        if let Some(ticket) = errand.ticket {
            effects.push(Effect::answer(ticket, Err(fault)));
        }
        effects.extend(self.next_errand(now));
        effects
    }

    fn next_errand(&mut self, now: Now) -> Effects {
        match self.queue.pop_front() {
            Some((ticket, command)) => {
                self.begin(Errand::new(Goal::of(command), Some(ticket)), now)
            }
            None => Vec::new(),
        }
    }

    /// The folder is given to others while nothing is about to change in it.
    fn wants_to_seed(&self) -> bool {
        let changing =
            matches!(self.state, State::Busy { running: Running::Apply | Running::Recover, .. });
        let repairing = matches!(&self.state, State::Busy { running: Running::Fetch, planned: Some(p), .. }
            if Some(p.plan.release.info_hash) == self.facts.installed.as_ref().map(|r| r.info_hash));
        self.config.seed
            && self.recovered
            && self.facts.installed.is_some()
            && !self.facts.paused
            && !changing
            && !repairing
    }
}

fn is_of_origin(kind: FaultKind) -> bool {
    matches!(kind, FaultKind::OriginUnreachable | FaultKind::OriginRefused | FaultKind::BadMetainfo)
}

fn nothing_installed(name: &str) -> Fault {
    Fault::new(
        FaultKind::Refused,
        format!("nothing of `{name}` is installed yet"),
        format!("Run `modsync sync {name}` first."),
    )
}
