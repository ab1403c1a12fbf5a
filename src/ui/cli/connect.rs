//! An engine to talk to: one of our own, or the one that runs already.

use std::time::{Duration, Instant};

use super::output::Failure;
use crate::config;
use crate::engine::{self, Handle, Mode, StartError};
use crate::paths::Paths;

/// How long another command is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is tried.
const TRY: Duration = Duration::from_millis(50);

/// Starts an engine. Another command that is about to end is waited for; one that stays is not.
pub(super) async fn start(paths: &Paths, mode: Mode) -> Result<Handle, StartError> {
    let patience = Instant::now() + PATIENCE;
    loop {
        match engine::start(paths, mode) {
            Err(StartError::Running(_))
                if engine::left_snapshot(paths).is_none() && Instant::now() < patience =>
            {
                tokio::time::sleep(TRY).await;
            }
            result => return result,
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

/// Waits for Ctrl-C or the system's request to end.
pub(super) async fn stop_signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                () = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    interrupt.await;
}
