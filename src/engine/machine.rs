//! PURE: one pack's state machine, `(Input, Now) → Effects`.
//!
//! A pack does one job at a time. A job belongs to an *errand*: what a command or the clock asked
//! for, carried out as a chain of jobs. Every answer of a job comes back as an [`Input`], and this
//! file alone decides what follows. It asks no clock, no disk and no network.

mod follow;
mod view;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::errand::{Errand, Goal, Ticket};
use super::facts::Facts;
use super::job::{Fetched, Job, Outcome, Planned};
use crate::model::command::{Answer, Command};
use crate::model::fault::{Fault, FaultKind, Next};
use crate::model::manifest::InfoHash;
use crate::model::pack::PackConfig;
use crate::model::release::Release;
use crate::model::report::PlanReport;

/// A server may answer "not modified" wrongly; the whole body is read at least this often.
const FULL_READ: Duration = Duration::from_hours(24);
/// The instant, and a number in 0..1 where a decision wants chance.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    pub time: SystemTime,
    pub dice: f64,
}

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
}

/// A fault that passes by itself.
#[derive(Debug)]
struct Waiting {
    fault: Fault,
    until: SystemTime,
    goal: Goal,
    /// Whether it came of asking the origin, and so has nothing to do with the folder.
    at_origin: bool,
}

/// A plan, and its new content if that is complete.
#[derive(Debug)]
struct Prepared {
    planned: Arc<Planned>,
    fetched: Option<Arc<Fetched>>,
}

impl Prepared {
    fn is_for(&self, release: &Release) -> bool {
        self.planned.plan.release.digest == release.digest
    }
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
    /// Whether it has recovered once: from then on it is no longer starting.
    was_ready: bool,
    /// What others are given.
    seeding: Option<InfoHash>,
    /// What is tried again by itself, and when.
    waiting: Option<Waiting>,
    /// Times in a row that the origin gave no answer while something here was waited for.
    unanswered: u32,
    /// Why a person must decide about the offered release, and the plan to decide about.
    question: Option<(Fault, Option<Arc<PlanReport>>)>,
    /// Why the folder was not there at the last check.
    gone: Option<Fault>,
    /// The last plan and how far it got, so that a try again need not read the whole folder again.
    prepared: Option<Prepared>,
}

type Effects = Vec<Effect>;

impl Machine {
    /// A pack that has yet to look at its folder. `first_check`: when it asks the origin by itself.
    pub fn new(config: PackConfig, mut facts: Facts, first_check: Option<SystemTime>) -> Self {
        // A bad evening is no reason to wait in the morning.
        facts.failures = 0;
        Self {
            config,
            facts,
            state: State::Starting,
            queue: VecDeque::new(),
            next_check: first_check,
            recovered: false,
            was_ready: false,
            seeding: None,
            waiting: None,
            unanswered: 0,
            question: None,
            gone: None,
            prepared: None,
        }
    }

    pub fn is_seeding(&self) -> bool {
        self.seeding.is_some()
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
        let seeding = self.wants_to_seed();
        if seeding != self.seeding {
            self.seeding = seeding;
            effects.insert(0, Effect::Seed(seeding.is_some()));
        }
        effects
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
        // Only what a change left half done is finished all the same.
        self.waiting = self.waiting.take().filter(|_| !self.recovered);
        if let Some(waiting) = &mut self.waiting {
            waiting.goal = Goal::Recover;
        }
        let mut effects = vec![Effect::Remember, Effect::answer(ticket, Ok(Answer::Done))];
        // What was asked for and has not begun is no more wanted than what is under way.
        let (stopped, left) = self.queue.drain(..).partition(|(_, command)| stops(command));
        self.queue = left;
        let stopped: VecDeque<(Ticket, Command)> = stopped;
        let cancelled = |(ticket, _)| Effect::answer(ticket, Err(Fault::cancelled()));
        effects.extend(stopped.into_iter().map(cancelled));
        if let State::Busy { errand, running, .. } = &mut self.state {
            match running {
                // A change in the folder is finished.
                Running::Apply | Running::Trash => {}
                Running::Recover => errand.is_stopped = errand.goal != Goal::Recover,
                Running::Check | Running::Scan | Running::Fetch | Running::Verify => {
                    errand.is_stopped = true;
                    effects.push(Effect::Cancel);
                }
            }
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
        if let Some(waiting) = &self.waiting {
            // A clock set back must not keep us waiting for the difference.
            let too_far = now.time + Duration::from_hours(12) < waiting.until;
            if waiting.until <= now.time || too_far {
                let goal = waiting.goal.clone();
                return self.begin(Errand::new(goal, None), now);
            }
            // A repair that nobody can help with must not keep an update from being found.
            if !matches!(waiting.goal, Goal::Verify { .. }) {
                return Vec::new();
            }
        }
        let Some(next) = &mut self.next_check else { return Vec::new() };
        if now.time + self.config.check_interval.mul_f64(1.5) < *next {
            *next = now.time;
        }
        if self.facts.paused || *next > now.time {
            return Vec::new();
        }
        self.begin(Errand::new(Goal::Follow { check: false }, None), now)
    }

    fn reconfigured(&mut self, config: PackConfig, now: Now) -> Effects {
        if self.config.policy != config.policy {
            self.changed();
            self.facts.question = None;
            self.facts.summary = None;
        }
        let is_wanted_now = config.auto_apply && !self.config.auto_apply;
        self.config = config;
        if let Some(next) = &mut self.next_check {
            *next = (*next).min(now.time + self.config.check_interval);
        }
        if is_wanted_now && self.is_free() && self.next_check.is_some() {
            return self.begin(Errand::new(Goal::Follow { check: false }, None), now);
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
            Goal::Follow { check: false } if self.next_check.is_some_and(|n| n > now.time) => {
                return self.after_check(errand, now);
            }
            Goal::Look => return self.look(errand, now),
            Goal::Follow { .. } | Goal::Check | Goal::Plan | Goal::Update { check: true, .. } => {
                self.check(now)
            }
            Goal::Update { check: false, .. } if self.facts.target(true).is_some() => {
                return self.after_check(errand, now);
            }
            Goal::Update { check: false, .. } => self.check(now),
            Goal::Verify { repair } => match (self.facts.installed.clone(), &self.prepared) {
                // Nobody asked anew: go on with what was found bad before the fault.
                (Some(release), Some(prepared))
                    if *repair && errand.ticket.is_none() && prepared.is_for(&release) =>
                {
                    let planned = Arc::clone(&prepared.planned);
                    return self.carry_out(errand, planned, now);
                }
                (Some(release), _) => Job::Verify { release },
                (None, _) => return self.refuse(errand, now),
            },
            Goal::Clean { dry_run } => match self.facts.installed.clone() {
                Some(release) => Job::Clean { release, dry_run: *dry_run, automatic: false },
                None => return self.refuse(errand, now),
            },
            Goal::Rollback => Job::Rollback,
            Goal::Trash => Job::Trash,
            Goal::Restore { entry } => Job::Restore { entry: entry.clone() },
        };
        self.start(errand, job, now)
    }

    fn check(&self, now: Now) -> Job {
        let fresh = |read| now.time.duration_since(read).is_ok_and(|age| age < FULL_READ);
        Job::Check { full: !self.facts.origin.read.is_some_and(fresh) }
    }

    fn start(&mut self, errand: Errand, job: Job, now: Now) -> Effects {
        if errand.is_stopped {
            return self.stop(errand, now);
        }
        let (running, planned) = match &job {
            Job::Recover => (Running::Recover, None),
            Job::Check { .. } => (Running::Check, None),
            Job::Scan { .. } | Job::Clean { dry_run: true, .. } => (Running::Scan, None),
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
                // What was refused was never begun.
                self.recovered &= running != Running::Apply || fault.kind.next() == Next::Rest;
                self.fail(*errand, running, fault, now)
            }
        }
    }

    fn next_errand(&mut self, now: Now) -> Effects {
        match self.queue.pop_front() {
            Some((ticket, command)) => {
                self.begin(Errand::new(Goal::of(command), Some(ticket)), now)
            }
            None => Vec::new(),
        }
    }

    /// What the folder has is given to others while nothing is about to change in it.
    fn wants_to_seed(&self) -> Option<InfoHash> {
        let changing =
            matches!(self.state, State::Busy { running: Running::Apply | Running::Recover, .. });
        let installed = self.facts.installed.as_ref().map(|release| release.info_hash);
        let repairing = matches!(&self.state, State::Busy { running: Running::Fetch, planned: Some(p), .. }
            if Some(p.plan.release.info_hash) == installed);
        // What is open would keep it from being opened anew once it is back.
        let is_away = self
            .waiting
            .as_ref()
            .is_some_and(|waiting| waiting.fault.kind == FaultKind::FolderGone);
        let is_as_installed = self.recovered && !changing && !repairing && !is_away;
        let may_seed = self.config.seed && !self.facts.paused && is_as_installed;
        installed.filter(|_| may_seed)
    }
}

/// Whether a pause stops it: all that looks and fetches, and nothing that was asked of the trash.
fn stops(command: &Command) -> bool {
    match command {
        Command::Check
        | Command::Plan
        | Command::Sync
        | Command::Apply { .. }
        | Command::Verify { .. } => true,
        Command::Clean { .. }
        | Command::Rollback
        | Command::Trash
        | Command::Restore { .. }
        | Command::Pause
        | Command::Resume => false,
    }
}
