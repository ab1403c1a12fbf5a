//! [`Engine`]: decides what happens when. The only place with tasks and timers.
//!
//! One task owns every pack's machine. It wakes for a message, for the end of a job and once a second
//! for the clock; front ends hold a [`Handle`] and see [`Snapshot`]s.

mod backoff;
mod errand;
pub mod facts;
mod flood;
pub mod job;
mod jobs;
pub mod machine;
mod pack;
mod progress;
mod session;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::config::{self, Config, ConfigError, NewPack};
use crate::disk::fs::{FsError, Lock, Root};
use crate::model::command::{Answer, Command};
use crate::model::fault::{Fault, FaultKind};
use crate::model::pack::PackConfig;
use crate::model::snapshot::Snapshot;
use crate::net::http::{Http, Limits};
use crate::net::swarm::{self, SwarmOptions};
use crate::paths::Paths;

use machine::Now;
use pack::Pack;
use session::Session;

/// The clock of the machines.
const TICK: Duration = Duration::from_secs(2);
/// How often the progress of a running job is shown.
const FRAME: Duration = Duration::from_millis(200);
/// How long a shutdown waits for jobs to stop between two steps.
const GRACE: Duration = Duration::from_millis(2500);

/// Whether the engine acts by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Follows the origins, seeds, and takes up changed settings.
    Follow,
    /// The same, but lets the computer come up first.
    AtLogin,
    /// Does what it is told and nothing else.
    Once,
}

impl Mode {
    /// Whether it stays and acts by itself.
    pub fn follows(self) -> bool {
        self != Self::Once
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("another ModSync is running: `{}` is locked", .0.display())]
    Running(PathBuf),
    #[error(transparent)]
    Fs(#[from] FsError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("could not prepare for the network: {0}")]
    Http(#[from] crate::net::http::HttpError),
}

/// A change to the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Follow one pack more.
    Add(NewPack),
    /// Follow the pack of this name no more; its files stay.
    Remove(String),
    /// Whether all packs apply updates without asking.
    AutoApply(bool),
    /// Read the settings' file again.
    Reload,
}

/// The engine as a front end sees it.
#[derive(Debug, Clone)]
pub struct Handle {
    messages: mpsc::Sender<Message>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
}

#[derive(Debug)]
enum Message {
    Command {
        pack: String,
        command: Command,
        reply: oneshot::Sender<Result<Answer, Fault>>,
    },
    Change {
        change: Change,
        reply: oneshot::Sender<Result<Option<String>, Fault>>,
    },
    /// A job of a pack has ended.
    Done(String, Box<Result<job::Outcome, Fault>>),
    Shutdown(oneshot::Sender<()>),
}

impl Handle {
    /// What a front end may know right now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// Tells of every change; a slow reader sees the newest state only.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    /// Asks one pack for something and waits for the answer.
    pub async fn send(&self, pack: &str, command: Command) -> Result<Answer, Fault> {
        let (reply, answer) = oneshot::channel();
        let message = Message::Command { pack: pack.to_owned(), command, reply };
        self.messages.send(message).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Changes the settings, in their file and in force; answers with the pack's name.
    pub async fn change(&self, change: Change) -> Result<Option<String>, Fault> {
        let (reply, answer) = oneshot::channel();
        self.messages.send(Message::Change { change, reply }).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Ends the engine: jobs stop between two steps and go on at the next start.
    pub async fn shutdown(&self) {
        let (done, ended) = oneshot::channel();
        if self.messages.send(Message::Shutdown(done)).await.is_ok() {
            let _ = timeout(GRACE, ended).await;
        }
    }
}

fn stopped() -> Fault {
    Fault::new(FaultKind::Cancelled, "ModSync is stopping", "")
}

/// Starts the engine. There is one per state folder, kept by a kernel lock on a file.
pub fn start(paths: &Paths, mode: Mode) -> Result<Handle, StartError> {
    let state = Root::create(&paths.state)?;
    let lock = lock(&state)?;
    let config = config::load(&paths.config, &paths.state)?;
    let (messages, inbox) = mpsc::channel(64);
    let (publish, snapshots) = watch::channel(Arc::default());
    let mut engine = Engine {
        http: Arc::new(Http::new(config.network.proxy.as_deref(), Limits::default())?),
        session: Arc::new(Session::new(swarm_options(paths, &config))),
        watched: config::Stamp::of(&paths.config),
        paths: paths.clone(),
        mode,
        config,
        packs: Vec::new(),
        messages: messages.clone(),
        publish,
        config_fault: None,
        _lock: lock,
    };
    engine.open_packs()?;
    engine.show();
    tokio::spawn(engine.run(inbox));
    Ok(Handle { messages, snapshots })
}

fn lock(state: &Root) -> Result<Lock, StartError> {
    state.try_lock(LOCK)?.ok_or_else(|| StartError::Running(state.path().join(LOCK)))
}

fn swarm_options(paths: &Paths, config: &Config) -> SwarmOptions {
    let network = &config.network;
    let limit = |bytes: Option<u64>| bytes.map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX));
    SwarmOptions {
        folder: paths.swarm(),
        listen_port: network.listen_port,
        dht: network.dht,
        local_discovery: network.local_discovery,
        trackers: network.trackers.of_torrent,
        extra_trackers: network.trackers.extra.clone(),
        upnp: network.upnp,
        proxy: network.proxy.clone(),
        limits: swarm::Limits {
            download: limit(config.download_limit),
            upload: limit(config.upload_limit),
        },
        gives: true,
    }
}

struct Engine {
    paths: Paths,
    mode: Mode,
    config: Config,
    /// How the settings' file looked when it was last read.
    watched: config::Stamp,
    packs: Vec<Pack>,
    http: Arc<Http>,
    session: Arc<Session>,
    messages: mpsc::Sender<Message>,
    publish: watch::Sender<Arc<Snapshot>>,
    config_fault: Option<Fault>,
    _lock: Lock,
}

impl Engine {
    async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut clock = interval(TICK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut frame = interval(FRAME);
        frame.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut leaving: Option<oneshot::Sender<()>> = None;
        loop {
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(Message::Command { pack, command, reply }) => self.command(&pack, command, reply),
                    Some(Message::Done(pack, result)) => {
                        if let Some(pack) = self.pack(&pack) {
                            pack.done(*result, now());
                        }
                    }
                    Some(Message::Change { change, reply }) => {
                        let _ = reply.send(self.change(change));
                    }
                    Some(Message::Shutdown(done)) => {
                        self.packs.iter_mut().for_each(Pack::leave);
                        leaving = Some(done);
                    }
                    None => break,
                },
                _ = clock.tick() => self.tick(),
                _ = frame.tick(), if !self.packs.iter().all(Pack::is_still) => {}
            }
            if leaving.is_none() {
                self.forget_packs_that_left();
            }
            self.show();
            self.packs.iter_mut().for_each(Pack::answer);
            if leaving.is_some() && self.packs.iter().all(Pack::is_still) {
                break;
            }
        }
        // Whoever waits for the end may start the next engine: the lock must have fallen by then.
        drop(self);
        if let Some(done) = leaving {
            let _ = done.send(());
        }
    }

    fn command(
        &mut self,
        name: &str,
        command: Command,
        reply: oneshot::Sender<Result<Answer, Fault>>,
    ) {
        if let Some(pack) = self.pack(name) {
            pack.command(command, reply, now());
        } else {
            let what = format!("there is no pack `{name}`");
            let fault = Fault::new(FaultKind::Refused, what, "`modsync list` names the packs.");
            let _ = reply.send(Err(fault));
        }
    }

    fn pack(&mut self, name: &str) -> Option<&mut Pack> {
        self.packs.iter_mut().find(|pack| pack.name() == name)
    }

    fn tick(&mut self) {
        if self.mode.follows() {
            self.take_up_settings();
        }
        for pack in &mut self.packs {
            pack.clock(now());
        }
    }

    /// Reads the settings again when their file changed. A broken edit keeps the old ones.
    fn take_up_settings(&mut self) {
        if config::Stamp::of(&self.paths.config) != self.watched
            && let Err(error) = self.read_settings()
        {
            tracing::error!("the settings are broken, the former ones stay in force: {error}");
        }
    }

    fn read_settings(&mut self) -> Result<(), ConfigError> {
        self.watched = config::Stamp::of(&self.paths.config);
        match self.settings() {
            Ok(config) => {
                if config == self.config && self.config_fault.is_none() {
                    tracing::info!("nothing changed in the settings");
                } else {
                    tracing::info!("the settings changed and are in force");
                }
                self.config_fault = None;
                self.reconfigure(config);
                Ok(())
            }
            Err(error) => {
                let hint = "Correct the file; it is read again when it changes.";
                self.config_fault = Some(Fault::new(FaultKind::Refused, &error, hint));
                Err(error)
            }
        }
    }

    /// A file that has gone, with all its packs, is a broken edit.
    fn settings(&self) -> Result<Config, ConfigError> {
        if !self.config.packs.is_empty() {
            config::check_there(&self.paths.config)?;
        }
        config::load(&self.paths.config, &self.paths.state)
    }

    fn change(&mut self, change: Change) -> Result<Option<String>, Fault> {
        let name = match change {
            Change::Add(new) => Some(add(&self.paths, &new).map_err(|e| e.fault())?.name),
            Change::Remove(name) => {
                let (file, state) = (&self.paths.config, &self.paths.state);
                config::remove_pack(file, state, &name).map_err(|e| e.fault())?;
                Some(name)
            }
            Change::AutoApply(on) => {
                let (file, state) = (&self.paths.config, &self.paths.state);
                config::set_auto_apply(file, state, on).map_err(|e| e.fault())?;
                None
            }
            Change::Reload => None,
        };
        self.read_settings().map_err(|e| e.fault())?;
        Ok(name)
    }

    fn reconfigure(&mut self, config: Config) {
        let options = swarm_options(&self.paths, &config);
        let former = self.session.options();
        if options == (SwarmOptions { limits: options.limits, ..former.clone() }) {
            self.session.set_limits(options.limits);
        } else {
            match Http::new(config.network.proxy.as_deref(), Limits::default()) {
                Ok(http) => self.http = Arc::new(http),
                Err(error) => tracing::error!("the proxy cannot be used: {error}"),
            }
            self.session = Arc::new(Session::new(options));
            for pack in &mut self.packs {
                pack.use_network(&self.http, &self.session);
            }
        }
        self.config = config;
        for pack in &mut self.packs {
            let same = |c: &&PackConfig| c.name == pack.name() && pack.is_at(c);
            match self.config.packs.iter().find(same) {
                Some(config) => {
                    pack.reconfigure(config.clone(), &self.config, now());
                }
                None => pack.leave(),
            }
        }
        if let Err(error) = self.open_packs() {
            tracing::error!("a new pack could not be opened: {error}");
        }
    }

    fn forget_packs_that_left(&mut self) {
        let before = self.packs.len();
        self.packs.iter_mut().filter(|pack| pack.is_gone()).for_each(Pack::answer);
        self.packs.retain(|pack| !pack.is_gone());
        if self.packs.len() < before
            && let Err(error) = self.open_packs()
        {
            tracing::error!("a pack could not be opened: {error}");
        }
    }

    /// Opens the packs of the settings that are not open yet.
    fn open_packs(&mut self) -> Result<(), FsError> {
        for config in &self.config.packs {
            if self.packs.iter().any(|pack| pack.name() == config.name) {
                continue;
            }
            let state = Root::create(&self.paths.pack_state(&config.url, &config.folder))?;
            self.packs.push(Pack::open(
                config.clone(),
                state,
                self.mode,
                pack::Tools {
                    http: Arc::clone(&self.http),
                    session: Arc::clone(&self.session),
                    give_up_after: self.config.network.give_up_after,
                    readers: self.config.readers,
                    messages: self.messages.clone(),
                },
                now(),
            )?);
        }
        self.introduce_packs();
        Ok(())
    }

    /// Tells each pack where the others are.
    fn introduce_packs(&mut self) {
        let packs = &self.config.packs;
        for pack in &mut self.packs {
            let others = packs.iter().filter(|other| other.name != pack.name());
            pack.meet(others.map(|other| other.folder.clone()).collect());
        }
    }

    /// Publishes what changed.
    fn show(&mut self) {
        let snapshot = Snapshot {
            packs: self.packs.iter().map(Pack::view).collect(),
            config_fault: self.config_fault.clone(),
            notices: self.config.notices,
        };
        let changed = **self.publish.borrow() != snapshot;
        if changed {
            let is_answered = |name: &str| {
                let pack = self.packs.iter().find(|pack| pack.name() == name);
                !self.mode.follows() && pack.is_some_and(Pack::is_asked)
            };
            log_news(&self.publish.borrow(), &snapshot, is_answered);
            self.publish.send_replace(Arc::new(snapshot));
        }
    }
}

/// Held by the one engine of a state folder.
const LOCK: &str = "engine.lock";

/// Adds a pack to the settings, as one of which nothing is known yet.
pub fn add(paths: &Paths, new: &NewPack) -> Result<PackConfig, ConfigError> {
    let pack = config::add_pack(&paths.config, &paths.state, new)?;
    forget(paths, &pack.url, &pack.folder);
    Ok(pack)
}

/// Forgets what was known of a pack that is no longer, or not yet, in the settings.
fn forget(paths: &Paths, url: &str, folder: &std::path::Path) {
    let known = paths.pack_state(url, folder);
    let (Some(parent), Some(name)) = (known.parent(), known.file_name()) else { return };
    let removed = Root::open(parent).and_then(|packs| packs.remove_tree(name));
    if let Err(error) = removed {
        tracing::debug!("nothing to forget: {error}");
    }
}

/// One line a change of phase; progress is no news. A fault is no warning where the answer to a command says the same.
fn log_news(old: &Snapshot, new: &Snapshot, is_answered: impl Fn(&str) -> bool) {
    use crate::model::snapshot::Phase;
    for pack in &new.packs {
        let before = old.packs.iter().find(|p| p.name == pack.name).map(|p| &p.phase);
        let same = before.is_some_and(|before| match (before, &pack.phase) {
            (Phase::Waiting { fault: a, .. }, Phase::Waiting { fault: b, .. }) => a.what == b.what,
            (a, b) => a.name() == b.name(),
        });
        if same {
            continue;
        }
        let phase = pack.phase.name();
        if let Some(fault) = pack.phase.fault() {
            if is_answered(&pack.name) {
                tracing::info!(pack = pack.name, "{phase}: {fault}");
            } else {
                tracing::warn!(pack = pack.name, "{phase}: {fault}. {}", fault.hint);
            }
        } else if pack.awaits_apply() {
            tracing::info!(pack = pack.name, "{phase}: `modsync apply` applies it");
        } else if pack.has_nothing() {
            tracing::info!(pack = pack.name, "nothing is installed yet");
        } else {
            tracing::info!(pack = pack.name, "{phase}");
        }
    }
}

fn now() -> Now {
    Now { time: SystemTime::now(), dice: fastrand::f64() }
}
