//! Fault points: where a test has a change to a folder fail. Release builds have none of this.
//!
//! A [`Root`](super::Root) of a test is given its faults; those of a built program come from
//! `MODSYNC_FAULT=KIND:N:FOLDER`, which fails the N-th change (from 1) that the process makes in that folder.
//! `KIND` is `kill` for a SIGKILL, `stop` for a SIGSTOP, `panic`, or an error: `enospc`, `eio`, `eacces`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What happens to changes, counted over all that share this.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<State>);

#[derive(Debug, Default)]
struct State {
    made: AtomicU64,
    /// Which change fails, and how.
    planned: Mutex<Option<(u64, Failure)>>,
    deed: Option<Deed>,
}

/// What somebody else does just before a change, when all that precedes it was looked at.
struct Deed {
    before: u64,
    does: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deed").field("before", &self.before).finish_non_exhaustive()
    }
}

/// How a change fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It and all that follow are not made, as when the process is killed just before it.
    Death,
    /// The process is killed just before it.
    Kill,
    /// The process stops just before it, until it is told to go on.
    Stop,
    /// Whoever makes it panics.
    Panic,
    /// It is refused with this error; what follows is made.
    Error(io::ErrorKind),
}

impl Faults {
    /// The change of this number, counted from 1 on, fails in this way.
    pub fn at(number: u64, failure: Failure) -> Self {
        let planned = Mutex::new(Some((number, failure)));
        Self(Arc::new(State { planned, ..State::default() }))
    }

    /// Just before the change of this number somebody does something.
    pub fn meanwhile(number: u64, does: impl Fn() + Send + Sync + 'static) -> Self {
        let deed = Some(Deed { before: number, does: Box::new(does) });
        Self(Arc::new(State { deed, ..State::default() }))
    }

    /// How many changes were tried.
    pub fn changes(&self) -> u64 {
        self.0.made.load(Ordering::Relaxed)
    }

    /// Counts a change that is about to be made.
    pub(super) fn strike(&self) -> io::Result<()> {
        let number = self.0.made.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(deed) = self.0.deed.as_ref().filter(|deed| deed.before == number) {
            (deed.does)();
        }
        let planned = *self.0.planned.lock().unwrap_or_else(PoisonError::into_inner);
        match planned {
            Some((at, Failure::Death)) if number >= at => Err(io::Error::other("killed by a test")),
            Some((at, Failure::Kill)) if number == at => {
                kill();
                Ok(())
            }
            Some((at, Failure::Stop)) if number == at => {
                stop();
                Ok(())
            }
            #[allow(clippy::panic)]
            Some((at, Failure::Panic)) if number == at => panic!("a panic for a test"),
            Some((at, Failure::Error(kind))) if number == at => Err(kind.into()),
            _ => Ok(()),
        }
    }

    /// Those of the built program for a folder.
    pub(super) fn of_process(folder: &Path) -> Self {
        static FAULTS: OnceLock<Option<(PathBuf, Faults)>> = OnceLock::new();
        match FAULTS.get_or_init(|| parse(&std::env::var("MODSYNC_FAULT").ok()?)) {
            Some((of, faults)) if of == folder => faults.clone(),
            _ => Self::default(),
        }
    }
}

fn parse(text: &str) -> Option<(PathBuf, Faults)> {
    let mut parts = text.splitn(3, ':');
    let failure = match parts.next()? {
        "kill" => Failure::Kill,
        "stop" => Failure::Stop,
        "panic" => Failure::Panic,
        "enospc" => Failure::Error(io::ErrorKind::StorageFull),
        "eio" => Failure::Error(io::ErrorKind::Other),
        "eacces" => Failure::Error(io::ErrorKind::PermissionDenied),
        _ => return None,
    };
    let number = parts.next()?.parse().ok()?;
    Some((PathBuf::from(parts.next()?), Faults::at(number, failure)))
}

#[cfg(unix)]
fn kill() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}

#[cfg(unix)]
fn stop() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
}

#[cfg(not(unix))]
fn kill() {
    std::process::abort();
}

/// No test asks for it there.
#[cfg(not(unix))]
fn stop() {}
