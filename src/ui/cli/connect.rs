//! An engine to talk to: the one that runs already, or one of our own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::output::Failure;
use crate::config;
use crate::control::client::Client;
use crate::control::endpoint::Endpoint;
use crate::control::server::{self, Server};
use crate::engine::{self, Handle, Mode, StartError};
use crate::model::command::{Answer, Command};
use crate::model::fault::{Fault, FaultKind};
use crate::model::snapshot::{Phase, Snapshot};
use crate::paths::Paths;

/// How long another command, or an engine that is about to listen, is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is tried.
pub(super) const TRY: Duration = Duration::from_millis(50);

/// An engine to talk to.
pub(super) enum Connection {
    /// Ends with the command.
    Own(Handle, Option<Server>),
    /// Stays.
    Running(Client),
}

/// What a connection is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Look,
    Command,
}

impl Connection {
    /// The engine that runs, or one of our own. Another command is watched, but not disturbed.
    pub async fn open(paths: &Paths, purpose: Purpose) -> Result<Self, Failure> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let running = match engine::start(paths, Mode::Once) {
                Ok(handle) => return Ok(Self::own(paths, handle).await),
                Err(error @ StartError::Running(_)) => error,
                Err(error) => return Err(error.into()),
            };
            let follows = Endpoint::read(paths).is_some_and(|note| note.follows);
            if (follows || purpose == Purpose::Look)
                && let Some(client) = Client::connect(paths).await?
            {
                return Ok(Self::Running(client));
            }
            if Instant::now() > patience {
                return Err(running.into());
            }
            tokio::time::sleep(TRY).await;
        }
    }

    /// Others may look on; a command does not fail because they cannot.
    async fn own(paths: &Paths, handle: Handle) -> Self {
        let server = server::start(paths, handle.clone(), Mode::Once).await;
        if let Err(error) = &server {
            tracing::debug!("nobody can look on: {error}");
        }
        Self::Own(handle, server.ok())
    }

    pub async fn send(&self, pack: &str, command: Command) -> Result<Answer, Fault> {
        match self {
            Self::Own(handle, _) => handle.send(pack, command).await,
            Self::Running(client) => client.send(pack, command).await,
        }
    }

    /// Tells of every change.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        match self {
            Self::Own(handle, _) => handle.watch(),
            Self::Running(client) => client.watch(),
        }
    }

    /// What is, once no pack is just starting.
    pub async fn snapshot(&self) -> Arc<Snapshot> {
        let starting = |s: &Snapshot| s.packs.iter().any(|p| matches!(p.phase, Phase::Starting));
        let mut snapshots = self.watch();
        let settled = snapshots.wait_for(|snapshot| !starting(snapshot)).await;
        settled.map(|snapshot| Arc::clone(&snapshot)).unwrap_or_default()
    }

    /// What being told to stop means: our own engine stops, another one goes on.
    pub fn stopped(&self) -> Fault {
        let hint = match self {
            Self::Own(..) => "It goes on where it was the next time.",
            Self::Running(_) => {
                "The ModSync that runs goes on with it; `modsync status` shows how far."
            }
        };
        Fault::new(FaultKind::Cancelled, "stopped", hint)
    }

    pub async fn close(self) {
        if let Self::Own(handle, server) = self {
            drop(server);
            handle.shutdown().await;
        }
    }
}

/// The pack a command means: the named one, or the only one.
pub(super) fn choose(paths: &Paths, name: Option<&str>) -> Result<String, Failure> {
    let config = config::load(&paths.config, &paths.state)?;
    let names: Vec<&str> = config.packs.iter().map(|pack| pack.name.as_str()).collect();
    match (name, names.as_slice()) {
        (_, []) => {
            Err(Failure::wrong_use("there is no pack yet", "`modsync add URL FOLDER` follows one."))
        }
        (None, [only]) => Ok((*only).to_owned()),
        (None, _) => {
            Err(Failure::wrong_use("which pack?", &format!("One of: {}.", names.join(", "))))
        }
        (Some(name), _) => config.pack(name).map(|pack| pack.name.clone()).ok_or_else(|| {
            let what = format!("there is no pack `{name}`");
            Failure::wrong_use(&what, &format!("There are: {}.", names.join(", ")))
        }),
    }
}
