//! [`Pack`]: a machine with its hands. It starts the jobs the machine wants and feeds back their ends.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};

use super::errand::Ticket;
use super::facts::{self, Facts};
use super::job::{Job, Outcome};
use super::jobs::{self, Context};
use super::machine::{Effect, Input, Machine, Now};
use super::progress::ProgressCell;
use super::session::Session;
use super::{Message, Mode};
use crate::config::Config;
use crate::disk::baseline::KnownHead;
use crate::disk::fs::{FsError, Root};
use crate::disk::pace::Pace;
use crate::disk::record;
use crate::disk::verify::Cancel;
use crate::model::command::{Answer, Command};
use crate::model::fault::Fault;
use crate::model::pack::PackConfig;
use crate::model::snapshot::PackView;
use crate::net::http::Http;

/// At a login everything starts at once; our first look comes within so long.
const AFTER_LOGIN: Duration = Duration::from_mins(1);

/// What packs share.
#[derive(Debug, Clone)]
pub(super) struct Tools {
    pub http: Arc<Http>,
    pub session: Arc<Session>,
    pub give_up_after: Duration,
    pub readers: Option<NonZero<usize>>,
    pub messages: mpsc::Sender<Message>,
}

/// A machine with its hands.
pub(super) struct Pack {
    machine: Machine,
    /// The facts as they are written down, when that is known.
    written: Option<Facts>,
    known_head: Arc<KnownHead>,
    state: Arc<Root>,
    mode: Mode,
    tools: Tools,
    /// The folders of the other packs.
    neighbours: Vec<PathBuf>,
    waiting: BTreeMap<Ticket, oneshot::Sender<Result<Answer, Fault>>>,
    /// Answers to be given once the snapshot shows what they speak of.
    answers: Vec<(Ticket, Result<Answer, Fault>)>,
    next_ticket: Ticket,
    running: Option<Arc<Cancel>>,
    progress: Arc<ProgressCell>,
    seeding: tokio::task::JoinHandle<()>,
    leaving: bool,
}

impl Pack {
    pub fn open(
        config: PackConfig,
        state: Root,
        mode: Mode,
        tools: Tools,
        now: Now,
    ) -> Result<Self, FsError> {
        let written: Option<Facts> = record::load(&state, facts::RECORD)?.value();
        let facts = written.clone().unwrap_or_default();
        Ok(Self {
            machine: Machine::new(config, facts, first_check(mode, now)),
            written,
            known_head: Arc::default(),
            state: Arc::new(state),
            mode,
            tools,
            neighbours: Vec::new(),
            waiting: BTreeMap::new(),
            answers: Vec::new(),
            next_ticket: 0,
            running: None,
            progress: Arc::default(),
            seeding: tokio::spawn(async {}),
            leaving: false,
        })
    }

    pub fn name(&self) -> &str {
        &self.machine.config().name
    }

    /// Whether the settings mean the same place by this pack.
    pub fn is_at(&self, config: &PackConfig) -> bool {
        let own = self.machine.config();
        own.url == config.url && own.folder == config.folder
    }

    pub fn view(&self) -> PackView {
        let seeding = self.tools.session.seeding(self.name());
        self.machine.view(self.progress.get(), seeding)
    }

    pub fn command(
        &mut self,
        command: Command,
        reply: oneshot::Sender<Result<Answer, Fault>>,
        now: Now,
    ) {
        self.next_ticket += 1;
        self.waiting.insert(self.next_ticket, reply);
        self.input(Input::Command(self.next_ticket, command), now);
    }

    pub fn done(&mut self, result: Result<Outcome, Fault>, now: Now) {
        self.running = None;
        self.input(Input::Done(result), now);
    }

    pub fn clock(&mut self, now: Now) {
        if !self.leaving {
            self.input(Input::Clock, now);
        }
    }

    pub fn reconfigure(&mut self, config: PackConfig, all: &Config, now: Now) {
        self.tools.give_up_after = all.network.give_up_after;
        self.tools.readers = all.readers;
        self.input(Input::Reconfigured(config), now);
    }

    pub fn meet(&mut self, neighbours: Vec<PathBuf>) {
        self.neighbours = neighbours;
    }

    pub fn use_network(&mut self, http: &Arc<Http>, session: &Arc<Session>) {
        self.tools.http = Arc::clone(http);
        self.tools.session = Arc::clone(session);
        if self.machine.is_seeding() {
            self.seed(true);
        }
    }

    /// Stops what is running and begins nothing more.
    pub fn leave(&mut self) {
        self.leaving = true;
        if let Some(cancel) = &self.running {
            cancel.cancel();
        }
        self.seed(false);
    }

    /// Gives the answers that are ready.
    pub fn answer(&mut self) {
        for (ticket, answer) in self.answers.drain(..) {
            if let Some(reply) = self.waiting.remove(&ticket) {
                // Whoever asked may be gone; what was done is in the snapshot as well.
                let _ = reply.send(answer);
            }
        }
    }

    /// Whether somebody waits for an answer.
    pub fn is_asked(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether no job is running.
    pub fn is_still(&self) -> bool {
        self.running.is_none()
    }

    /// Whether it left and can be forgotten.
    pub fn is_gone(&self) -> bool {
        self.leaving && self.is_still()
    }

    fn input(&mut self, input: Input, now: Now) {
        for effect in self.machine.on(input, now) {
            match effect {
                Effect::Start(job) => self.start(job),
                Effect::Cancel => {
                    if let Some(cancel) = &self.running {
                        cancel.cancel();
                    }
                }
                Effect::Seed(on) => self.seed(on),
                Effect::Remember => self.remember(),
                Effect::Answer(ticket, answer) => self.answers.push((ticket, *answer)),
            }
        }
    }

    fn start(&mut self, job: Job) {
        if self.leaving {
            return;
        }
        let cancel = Arc::new(Cancel::default());
        self.running = Some(Arc::clone(&cancel));
        self.progress = Arc::default();
        let context = Context {
            config: self.machine.config().clone(),
            neighbours: self.neighbours.clone(),
            pace: Pace { readers: self.tools.readers, is_gentle: self.mode.follows() },
            facts: self.machine.facts().clone(),
            known_head: Arc::clone(&self.known_head),
            state: Arc::clone(&self.state),
            http: Arc::clone(&self.tools.http),
            session: Arc::clone(&self.tools.session),
            give_up_after: self.tools.give_up_after,
            cancel,
            progress: Arc::clone(&self.progress),
        };
        let (name, messages) = (self.name().to_owned(), self.tools.messages.clone());
        // A torrent must be left before the same one is joined to fetch, or its files change.
        let waits = matches!(job, Job::Fetch(_) | Job::Apply(..));
        let seeding = waits.then(|| std::mem::replace(&mut self.seeding, tokio::spawn(async {})));
        tokio::spawn(async move {
            if let Some(seeding) = seeding {
                let _ = seeding.await;
            }
            let result = tokio::spawn(jobs::run(job, context)).await;
            let result =
                result.unwrap_or_else(|e| Err(Fault::bug(format!("a job ended early: {e}"))));
            let _ = messages.send(Message::Done(name, Box::new(result))).await;
        });
    }

    fn remember(&mut self) {
        let facts = self.machine.facts();
        if self.written.as_ref() == Some(facts) {
            return;
        }
        match record::save(&self.state, facts::RECORD, facts) {
            Ok(()) => self.written = Some(facts.clone()),
            Err(error) => {
                self.written = None;
                tracing::error!(pack = self.name(), "could not write down what is known: {error}");
            }
        }
    }

    /// Seeding waits for the former wish to be carried out: they go one after the other.
    fn seed(&mut self, on: bool) {
        if !self.mode.follows() {
            return;
        }
        let (config, session) = (self.machine.config().clone(), Arc::clone(&self.tools.session));
        let (facts, name) = (self.machine.facts(), config.name.clone());
        let marker = facts.marker.clone();
        let installed = facts.installed.as_ref().map(|release| release.info_hash).filter(|_| on);
        let former = std::mem::replace(&mut self.seeding, tokio::spawn(async {}));
        self.seeding = tokio::spawn(async move {
            let _ = former.await;
            session.stop_seeding(&name).await;
            if let Some(info_hash) = installed
                && let Err(fault) = session.seed(config, marker, info_hash).await
            {
                tracing::warn!(pack = name, "could not seed: {fault}");
            }
        });
    }
}

/// When the origin is asked first; `None` when it is asked by command only.
fn first_check(mode: Mode, now: Now) -> Option<SystemTime> {
    match mode {
        Mode::Follow => Some(now.time),
        Mode::AtLogin => Some(now.time + AFTER_LOGIN.mul_f64(now.dice)),
        Mode::Once => None,
    }
}
