//! [`App`]: between the engine, the tray and the notices. It shows what is, and carries out what is chosen.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use super::{End, Wait};
use crate::config;
use crate::control::server::{Server, Wish};
use crate::engine::{self, Handle, StartError};
use crate::logging;
use crate::model::command::Command;
use crate::model::snapshot::Snapshot;
use crate::paths::Paths;
use crate::ui::menu::{self, Action, Menu, menu};
use crate::ui::notices::{self, Change, Notice};
use crate::ui::open::{open_folder, open_text};
use crate::ui::reply::reply;
use crate::ui::signal::stop_signal;
use crate::ui::toast::Toasts;
use crate::ui::tray::{Chosen, Tray};
use crate::ui::{autostart, text};

/// The menu changes at most so often.
const FRAME: Duration = Duration::from_millis(250);

/// The app beside the tray.
pub(super) struct App {
    paths: Paths,
    tray: Tray,
    toasts: Toasts,
    chosen: UnboundedReceiver<Chosen>,
    /// What the user was told of so far.
    told: Arc<Snapshot>,
    shown: Option<Menu>,
    /// What the user chose and is not done, and what they are told when it is.
    errands: JoinSet<Option<Notice>>,
}

impl App {
    pub fn new(
        paths: Paths,
        tray: Tray,
        toasts: Toasts,
        chosen: UnboundedReceiver<Chosen>,
    ) -> Self {
        let (told, shown) = (Arc::default(), None);
        Self { paths, tray, toasts, chosen, told, shown, errands: JoinSet::new() }
    }

    /// Lives until it is told to quit, by the menu, a signal or another process. While there is no engine
    /// yet, it shows why.
    pub async fn live(
        mut self,
        engine: impl Future<Output = Result<Result<(Handle, Option<Server>), End>, StartError>>,
        wait: watch::Receiver<Wait>,
    ) -> Result<End, StartError> {
        let stop = stop_signal();
        tokio::pin!(stop);
        let begun = tokio::select! {
            begun = engine => begun,
            () = self.wait(wait) => Ok(Err(End::Quit)),
            () = &mut stop => Ok(Err(End::Quit)),
        };
        let (handle, mut server) = match begun {
            Ok(Ok(engine)) => engine,
            Ok(Err(end)) => return Ok(end),
            Err(error) => return Err(error),
        };
        let Paths { config, state } = &self.paths;
        tracing::info!(settings = %config.display(), state = %state.display(), "running");
        tokio::select! {
            () = self.follow(&handle, server.as_mut()) => {}
            () = &mut stop => {}
        }
        tracing::info!("stopping");
        let clients = server.map(Server::stop);
        let farewell = spawn_blocking(move || self.toasts.end());
        handle.shutdown().await;
        if let Some(clients) = clients {
            clients.leave().await;
        }
        let _ = farewell.await;
        tracing::info!("stopped");
        Ok(End::Quit)
    }

    /// Shows why there is no engine, until the user quits.
    async fn wait(&mut self, mut wait: watch::Receiver<Wait>) {
        loop {
            let now = wait.borrow_and_update().clone();
            self.show_waiting(&now);
            tokio::select! {
                Ok(()) = wait.changed() => {}
                Some(what) = self.chosen.recv() => {
                    if what == Chosen::Item(Action::Quit) {
                        return;
                    }
                    self.carry_out(what, None);
                }
                Some(Ok(notice)) = self.errands.join_next() => self.tell(notice),
            }
        }
    }

    fn show_waiting(&mut self, wait: &Wait) {
        let why = match wait {
            Wait::Settings(fault) => {
                let config_fault = Some(fault.clone());
                return self.show(Arc::new(Snapshot { config_fault, ..Snapshot::default() }));
            }
            Wait::Starting => None,
            Wait::Command => Some("another ModSync command is at work"),
        };
        self.draw(menu::waiting(why, autostart::is_on().ok()));
    }

    /// Shows what the engine does, until the user or another process wants us to quit.
    async fn follow(&mut self, engine: &Handle, mut server: Option<&mut Server>) {
        let mut snapshots = engine.watch();
        let mut due = Some(Instant::now());
        loop {
            let draw = due.unwrap_or_else(Instant::now);
            tokio::select! {
                () = sleep_until(draw), if due.is_some() => {
                    due = None;
                    self.show(snapshots.borrow_and_update().clone());
                }
                Ok(()) = snapshots.changed(), if due.is_none() => due = Some(draw + FRAME),
                Some(what) = self.chosen.recv() => {
                    if what == Chosen::Item(Action::Quit) {
                        return;
                    }
                    self.carry_out(what, Some(engine));
                    due = Some(Instant::now());
                }
                Some(Ok(notice)) = self.errands.join_next() => {
                    self.tell(notice);
                    due = Some(Instant::now());
                }
                (wish, granted) = next(server.as_deref_mut()) => {
                    let _ = granted.send(true);
                    match wish {
                        Wish::Show => self.introduce(),
                        Wish::Quit => return,
                    }
                }
            }
        }
    }

    fn show(&mut self, snapshot: Arc<Snapshot>) {
        let news = notices::between(&self.told, &snapshot);
        news.into_iter().for_each(|change| self.toasts.show(change));
        self.draw(menu(&snapshot, autostart::is_on().ok()));
        self.told = snapshot;
    }

    fn draw(&mut self, menu: Menu) {
        if self.shown.as_ref() != Some(&menu) {
            self.tray.show(menu.clone());
            self.shown = Some(menu);
        }
    }

    fn tell(&mut self, notice: Option<Notice>) {
        notice.into_iter().for_each(|notice| self.toasts.show(Change::Show(notice)));
    }

    fn carry_out(&mut self, what: Chosen, engine: Option<&Handle>) {
        let Chosen::Item(action) = what else { return self.introduce() };
        // A switch in the menu has turned by itself: it is drawn anew, as things are.
        self.shown = None;
        match action {
            Action::OpenFolder(pack) => {
                let pack = self.told.packs.iter().find(|view| view.name == pack);
                if let Some(folder) = pack.map(|pack| pack.folder.clone()) {
                    self.try_to(move || open_folder(&folder));
                }
            }
            Action::LaunchAtLogin(on) => {
                let paths = self.paths.clone();
                self.try_to(move || autostart::set(on, &paths));
            }
            Action::EditSettings => {
                let file = self.paths.config.clone();
                self.try_to(move || {
                    config::ensure(&file)?;
                    open_text(&file)
                });
            }
            Action::ShowLog => {
                let log = logging::file(&self.paths.logs());
                self.try_to(move || open_text(&log));
            }
            Action::Ask(..)
            | Action::CheckAll
            | Action::PauseAll(_)
            | Action::AutomaticUpdates(_) => {
                if let Some(engine) = engine {
                    self.ask_engine(action, engine);
                }
            }
            Action::Quit => {}
        }
    }

    fn ask_engine(&mut self, action: Action, engine: &Handle) {
        match action {
            Action::Ask(pack, command) => self.ask(pack, command, engine),
            Action::CheckAll => self.ask_all(&Command::Check, engine),
            Action::PauseAll(true) => self.ask_all(&Command::Pause, engine),
            Action::PauseAll(false) => self.ask_all(&Command::Resume, engine),
            Action::AutomaticUpdates(on) => {
                let engine = engine.clone();
                self.errands.spawn(async move {
                    let changed = engine.change(engine::Change::AutoApply(on)).await;
                    changed.err().map(|fault| complaint(&text::fault(&fault)))
                });
            }
            Action::OpenFolder(_)
            | Action::LaunchAtLogin(_)
            | Action::EditSettings
            | Action::ShowLog
            | Action::Quit => {}
        }
    }

    fn ask_all(&mut self, command: &Command, engine: &Handle) {
        let packs = self.told.packs.iter().map(|pack| pack.name.clone()).collect::<Vec<_>>();
        packs.into_iter().for_each(|pack| self.ask(pack, command.clone(), engine));
    }

    fn ask(&mut self, pack: String, command: Command, engine: &Handle) {
        let engine = engine.clone();
        self.errands.spawn(async move {
            let before = engine.snapshot();
            let answer = engine.send(&pack, command.clone()).await;
            reply(&pack, &command, &answer, &before, &engine.snapshot())
        });
    }

    /// Does something that may take its time, and says so when it fails.
    fn try_to(&mut self, task: impl FnOnce() -> Result<()> + Send + 'static) {
        self.errands.spawn_blocking(move || task().err().map(|e| complaint(&format!("{e:#}"))));
    }

    /// What another start of the program sees of us, and who clicks on the icon where that opens no menu.
    fn introduce(&self) {
        let lines = self.told.packs.iter().map(menu::headline);
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
