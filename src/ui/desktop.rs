//! `modsync` without arguments: the tray and the notices over an engine of our own.
//!
//! The main thread belongs to the tray; the rest runs beside it. Whatever of the desktop is missing, the
//! engine goes on.

use std::env;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use super::menu::{Action, Menu, menu};
use super::notices::{self, Change, Notice};
use super::reply::reply;
use super::signal::stop_signal;
use super::start::start_to_stay;
use super::toast::{Setup, Toasts};
use super::tray::{self, Chosen, Tray, TrayError};
use super::{autostart, text};
use crate::config;
use crate::control::api::Request;
use crate::control::client::Client;
use crate::control::server::{self, Server, Wish};
use crate::engine::{self, Handle, Mode, StartError};
use crate::logging;
use crate::model::command::Command;
use crate::model::snapshot::Snapshot;
use crate::paths::Paths;

/// The menu changes at most so often.
const FRAME: Duration = Duration::from_millis(250);

/// How long a system that ends the session is kept waiting for the app, which needs less.
const FAREWELL: Duration = Duration::from_secs(4);

/// How it ended.
#[derive(Debug)]
pub enum End {
    /// It was told to quit.
    Quit,
    /// Another one runs and shows itself.
    Shown,
    /// Another one runs and has nothing to show.
    Hidden,
    /// There is no desktop to live in.
    NoDesktop(String),
}

/// Runs the desktop app until it is told to quit.
pub fn run(runtime: &Runtime, paths: &Paths, mode: Mode) -> Result<End, StartError> {
    let (sender, chosen) = unbounded_channel();
    let (on_chosen, on_end) = (sender.clone(), sender.clone());
    let (ended, end) = sync_channel(1);
    let first = menu(&Snapshot::default(), None);
    let pass_on = move |what: Chosen| {
        // Nobody listens any more when we are about to quit.
        let _ = on_chosen.send(what);
    };
    let begin = |tray: Tray, no_tray: Option<TrayError>| {
        let no_tray = no_tray.map(|error| error.to_string());
        if let Some(why) = no_tray.as_ref().filter(|_| !has_screen()) {
            let _ = ended.send(Ok(End::NoDesktop(why.clone())));
            return false;
        }
        if let Some(why) = &no_tray {
            tracing::warn!("{why}; everything else works, and `modsync status` shows it");
        }
        let engine = match runtime.block_on(engine_of(paths, mode)) {
            Ok(Ok(engine)) => engine,
            Ok(Err(end)) => {
                let _ = ended.send(Ok(end));
                return false;
            }
            Err(error) => {
                let _ = ended.send(Err(error));
                return false;
            }
        };
        let (handle, server) = engine;
        let app = App {
            paths: paths.clone(),
            handle,
            tray,
            toasts: Toasts::start(screen(paths), move |action| {
                let _ = sender.send(Chosen::Item(action));
            }),
            told: Arc::default(),
            shown: None,
            errands: JoinSet::new(),
        };
        runtime.spawn(async move {
            app.live(server, chosen).await;
            let _ = ended.send(Ok(End::Quit));
        });
        true
    };
    let mut how = Ok(End::Quit);
    tray::run(first, pass_on, begin, || {
        // The tray ends after the app, but for a logout: then the app has yet to hear of it.
        let _ = on_end.send(Chosen::Item(Action::Quit));
        how = end.recv_timeout(FAREWELL).unwrap_or(Ok(End::Quit));
    });
    how
}

/// Our own engine, or an end when another one runs: that one is told to show itself.
async fn engine_of(
    paths: &Paths,
    mode: Mode,
) -> Result<Result<(Handle, Option<Server>), End>, StartError> {
    let handle = match start_to_stay(paths, mode).await {
        Ok(handle) => handle,
        Err(running @ StartError::Running(_)) => {
            let Ok(Some(client)) = Client::connect(paths).await else { return Err(running) };
            let answer: Result<Value, _> = client.ask(Request::Show).await;
            return Ok(Err(if answer.is_ok() { End::Shown } else { End::Hidden }));
        }
        Err(error) => return Err(error),
    };
    let server = server::start(paths, handle.clone(), mode).await;
    if let Err(error) = &server {
        tracing::error!("no other program can ask for anything: {error}");
    }
    Ok(Ok((handle, server.ok())))
}

fn screen(paths: &Paths) -> Setup {
    let picture = super::icon::app().map_err(anyhow::Error::from);
    // Windows takes it from a file.
    let icon = cfg!(windows).then(|| super::icon::app_file(&paths.state)).transpose();
    let without = |error: &anyhow::Error| tracing::debug!("notices have no picture: {error}");
    Setup {
        picture: picture.inspect_err(without).ok(),
        icon: icon.map_err(anyhow::Error::from).inspect_err(without).ok().flatten(),
        ..Setup::default()
    }
}

/// Whether somebody sits at a screen, as far as the environment tells.
fn has_screen() -> bool {
    cfg!(any(windows, target_os = "macos"))
        || ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| env::var_os(name).is_some())
}

/// The app beside the tray.
struct App {
    paths: Paths,
    handle: Handle,
    tray: Tray,
    toasts: Toasts,
    /// What the user was told of so far.
    told: Arc<Snapshot>,
    shown: Option<Menu>,
    /// What the user chose and is not done, and what they are told when it is.
    errands: JoinSet<Option<Notice>>,
}

impl App {
    /// Lives until it is told to quit, by the menu, a signal or another process.
    async fn live(mut self, mut server: Option<Server>, mut chosen: UnboundedReceiver<Chosen>) {
        let Paths { config, state } = &self.paths;
        tracing::info!(settings = %config.display(), state = %state.display(), "running");
        let mut snapshots = self.handle.watch();
        let mut due = Some(Instant::now());
        let stop = stop_signal();
        tokio::pin!(stop);
        loop {
            let draw = due.unwrap_or_else(Instant::now);
            tokio::select! {
                () = sleep_until(draw), if due.is_some() => {
                    due = None;
                    self.show(snapshots.borrow_and_update().clone());
                }
                Ok(()) = snapshots.changed(), if due.is_none() => due = Some(draw + FRAME),
                Some(what) = chosen.recv() => {
                    if what == Chosen::Item(Action::Quit) {
                        break;
                    }
                    self.carry_out(what);
                    due = Some(Instant::now());
                }
                Some(Ok(notice)) = self.errands.join_next() => {
                    notice.into_iter().for_each(|notice| self.toasts.show(Change::Show(notice)));
                    due = Some(Instant::now());
                }
                (wish, granted) = next(server.as_mut()) => {
                    let _ = granted.send(true);
                    match wish {
                        Wish::Show => self.introduce(),
                        Wish::Quit => break,
                    }
                }
                () = &mut stop => break,
            }
        }
        tracing::info!("stopping");
        drop(server);
        let Self { handle, toasts, tray, .. } = self;
        let farewell = spawn_blocking(move || toasts.end());
        handle.shutdown().await;
        let _ = farewell.await;
        tracing::info!("stopped");
        tray.quit();
    }

    fn show(&mut self, snapshot: Arc<Snapshot>) {
        let news = notices::between(&self.told, &snapshot);
        news.into_iter().for_each(|change| self.toasts.show(change));
        let menu = menu(&snapshot, autostart::is_on().ok());
        if self.shown.as_ref() != Some(&menu) {
            self.tray.show(menu.clone());
            self.shown = Some(menu);
        }
        self.told = snapshot;
    }

    fn carry_out(&mut self, what: Chosen) {
        let Chosen::Item(action) = what else { return self.tray.pop_up() };
        // A switch in the menu has turned by itself: it is drawn anew, as things are.
        self.shown = None;
        match action {
            Action::Ask(pack, command) => self.ask(pack, command),
            Action::CheckAll => self.ask_all(&Command::Check),
            Action::PauseAll(true) => self.ask_all(&Command::Pause),
            Action::PauseAll(false) => self.ask_all(&Command::Resume),
            Action::AutomaticUpdates(on) => {
                let handle = self.handle.clone();
                self.errands.spawn(async move {
                    let changed = handle.change(engine::Change::AutoApply(on)).await;
                    changed.err().map(|fault| complaint(&text::fault(&fault)))
                });
            }
            Action::LaunchAtLogin(on) => {
                let paths = self.paths.clone();
                self.try_to(move || autostart::set(on, &paths));
            }
            Action::OpenFolder(pack) => {
                let pack = self.told.packs.iter().find(|view| view.name == pack);
                if let Some(folder) = pack.map(|pack| pack.folder.clone()) {
                    self.try_to(move || open(&folder));
                }
            }
            Action::EditSettings => {
                let file = self.paths.config.clone();
                self.try_to(move || {
                    config::ensure(&file)?;
                    open(&file)
                });
            }
            Action::ShowLog => {
                let log = logging::file(&self.paths.logs());
                self.try_to(move || open(&log));
            }
            Action::Quit => {}
        }
    }

    fn ask_all(&mut self, command: &Command) {
        let packs = self.told.packs.iter().map(|pack| pack.name.clone());
        packs.collect::<Vec<_>>().into_iter().for_each(|pack| self.ask(pack, command.clone()));
    }

    fn ask(&mut self, pack: String, command: Command) {
        let handle = self.handle.clone();
        self.errands.spawn(async move {
            let before = handle.snapshot();
            let answer = handle.send(&pack, command.clone()).await;
            reply(&pack, &command, &answer, &before, &handle.snapshot())
        });
    }

    /// Does something that may take its time, and says so when it fails.
    fn try_to(&mut self, task: impl FnOnce() -> Result<()> + Send + 'static) {
        self.errands.spawn_blocking(move || task().err().map(|e| complaint(&format!("{e:#}"))));
    }

    /// What another start of the program sees of us.
    fn introduce(&self) {
        self.tray.pop_up();
        let lines = self.told.packs.iter().map(super::menu::headline);
        self.toasts.show(Change::Show(Notice {
            title: "ModSync is running".to_owned(),
            body: lines.collect::<Vec<_>>().join("\n"),
            ..complaint("")
        }));
    }
}

/// The next wish of another process; never, when none can come.
async fn next(server: Option<&mut Server>) -> (Wish, oneshot::Sender<bool>) {
    let wish = match server {
        Some(server) => server.wishes.recv().await,
        None => None,
    };
    match wish {
        Some(wish) => wish,
        None => std::future::pending().await,
    }
}

/// Opens a file or folder with what the user opens such with. Its name never reaches a shell.
fn open(path: &Path) -> Result<()> {
    opener::open(path).with_context(|| format!("could not open `{}`", path.display()))
}

fn complaint(what: &str) -> Notice {
    Notice {
        key: "modsync".to_owned(),
        title: "ModSync".to_owned(),
        body: what.to_owned(),
        offers: Vec::new(),
        click: None,
        stays: false,
    }
}
