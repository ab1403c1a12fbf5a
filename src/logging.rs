//! Where our own words go: standard error, and for a service a file that is rotated by size.

use anyhow::Context;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate, compression::Compression};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use crate::net::swarm;

/// Bytes per log file.
const SIZE: usize = 4 << 20;
/// Former log files kept.
const FORMER: usize = 4;

/// What a service logs, besides what [`swarm::LOGS`] says. When the session bus goes, as at every logout, zbus warns
/// of a signal that it could not read: what that means is for us to say.
const SERVICE: &str = "info,zbus=error,ksni=error";

/// Who reads the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// A person who ran one command, and is told how it ended: only what is broken.
    Command,
    /// Whoever looks after a running engine.
    Service,
}

/// The newest log in the folder of logs.
pub fn file(folder: &Path) -> PathBuf {
    folder.join("modsync.log")
}

/// Starts logging. `MODSYNC_LOG` overrides what is logged, in the words of `tracing`'s `EnvFilter`.
pub fn start(audience: Audience, folder: Option<&Path>) -> anyhow::Result<()> {
    let usual = match audience {
        Audience::Command => "error,modsync=warn,librqbit=off,librqbit_core=off".to_owned(),
        Audience::Service => format!("{SERVICE},{}", swarm::LOGS),
    };
    let filter = EnvFilter::try_from_env("MODSYNC_LOG").or_else(|_| EnvFilter::try_new(usual))?;
    let file = folder
        .map(|folder| {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("could not make `{}`", folder.display()))?;
            let rotate = FileRotate::new(
                file(folder),
                AppendCount::new(FORMER),
                ContentLimit::BytesSurpassed(SIZE),
                Compression::None,
                None,
            );
            anyhow::Ok(fmt::layer().with_ansi(false).with_writer(Mutex::new(rotate)))
        })
        .transpose()?;
    let coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let shown = fmt::layer().with_target(false).with_ansi(coloured).with_writer(std::io::stderr);
    let shown = match audience {
        Audience::Command => shown.without_time().boxed(),
        Audience::Service => shown.boxed(),
    };
    // A second start, as in a test, keeps the first.
    let _ = tracing_subscriber::registry().with(filter).with(shown).with(file).try_init();
    Ok(())
}
