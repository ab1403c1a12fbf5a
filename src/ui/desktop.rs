//! `modsync` without arguments: the tray and the notices over an engine of our own.
//!
//! The main thread belongs to the tray; the rest runs beside it. Whatever of the desktop is missing, the
//! engine goes on; and what keeps the engine from starting, the tray shows.

mod app;

use std::env;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;
use tokio::time::sleep;

use self::app::App;
use super::autostart;
use super::menu::{self, Action};
use super::start::start_to_stay;
use super::toast::{Setup, Toasts};
use super::tray::{self, Chosen, Tray, TrayError};
use crate::control::api::Request;
use crate::control::client::Client;
use crate::control::server::{self, Server};
use crate::engine::{Handle, Mode, StartError};
use crate::model::fault::Fault;
use crate::paths::Paths;

/// How long a system that ends the session is kept waiting for the app, which needs less.
const FAREWELL: Duration = Duration::from_secs(4);
/// How often settings that cannot be used are read again.
const LOOK: Duration = Duration::from_secs(2);

/// How it ended.
#[derive(Debug)]
pub enum End {
    /// It was told to quit.
    Quit,
    /// Another one runs and shows itself.
    Shown,
    /// Another one runs and has nothing to show.
    Hidden,
    /// Another one runs and cannot be asked.
    Strange(Fault),
    /// There is no desktop to live in.
    NoDesktop(String),
}

/// Why there is no engine yet.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wait {
    Starting,
    /// A command is at work.
    Command,
    Settings(Fault),
}

/// Runs the desktop app until it is told to quit.
pub fn run(runtime: &Runtime, paths: &Paths, mode: Mode) -> Result<End, StartError> {
    autostart::prepare();
    let (sender, chosen) = unbounded_channel();
    let (on_chosen, on_end) = (sender.clone(), sender.clone());
    let (ended, end) = sync_channel(1);
    let pass_on = move |what: Chosen| {
        // Nobody listens any more when we are about to quit.
        let _ = on_chosen.send(what);
    };
    let begin = |tray: Tray, no_tray: Option<TrayError>| {
        if let Some(why) = no_tray {
            if !has_screen() {
                let _ = ended.send(Ok(End::NoDesktop(why.to_string())));
                return false;
            }
            tracing::warn!("{why}; everything else works, and `modsync status` shows it");
        }
        let toasts = Toasts::start(screen(paths), move |action| {
            let _ = sender.send(Chosen::Item(action));
        });
        let app = App::new(paths.clone(), tray.clone(), toasts, chosen);
        let paths = paths.clone();
        runtime.spawn(async move {
            let (tell, told) = watch::channel(Wait::Starting);
            let how = app.live(engine_of(&paths, mode, tell), told).await;
            let _ = ended.send(how);
            tray.quit();
        });
        true
    };
    let mut how = Ok(End::Quit);
    tray::run(menu::waiting(None, None), pass_on, begin, || {
        // The tray ends after the app, but for a logout: then the app has yet to hear of it.
        let _ = on_end.send(Chosen::Item(Action::Quit));
        how = end.recv_timeout(FAREWELL).unwrap_or(Ok(End::Quit));
    });
    how
}

/// Our own engine, or an end when another one runs: that one is told to show itself. What has to be waited
/// for is told meanwhile.
async fn engine_of(
    paths: &Paths,
    mode: Mode,
    tell: watch::Sender<Wait>,
) -> Result<Result<(Handle, Option<Server>), End>, StartError> {
    let handle = loop {
        let waits = || drop(tell.send_replace(Wait::Command));
        match start_to_stay(paths, mode, None, waits).await {
            Ok(handle) => break handle,
            Err(running @ StartError::Running(_)) => {
                return another_one(paths).await.map(Err).ok_or(running);
            }
            Err(StartError::Config(error)) => {
                let wait = Wait::Settings(error.fault());
                if *tell.borrow() != wait {
                    tracing::error!("{error}");
                    tell.send_replace(wait);
                }
                sleep(LOOK).await;
            }
            Err(error) => return Err(error),
        }
    };
    if let Err(error) = autostart::renew(paths) {
        tracing::warn!("{error:#}");
    }
    let server = server::start(paths, handle.clone(), mode).await;
    if let Err(error) = &server {
        tracing::error!("no other program can ask for anything: {error}");
    }
    Ok(Ok((handle, server.ok())))
}

/// Has the one that runs show itself; `None` when it does not answer.
async fn another_one(paths: &Paths) -> Option<End> {
    match Client::connect(paths).await {
        Ok(Some(client)) => {
            let answer: Result<Value, Fault> = client.ask(Request::Show).await;
            Some(if answer.is_ok() { End::Shown } else { End::Hidden })
        }
        Ok(None) => None,
        Err(fault) => Some(End::Strange(fault)),
    }
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
