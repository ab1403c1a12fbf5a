//! Fault points: where a test has a change to a folder fail. Release builds have none of this.
//!
//! A [`Root`](super::Root) of a test is given its faults; those of a built program come from
//! `MODSYNC_FAULT=KIND:N:FOLDER`, which fails the N-th change (from 1) that the process makes in that folder.
//! `KIND` is `kill` for a SIGKILL, `stop` for a SIGSTOP, `panic`, or an error: `enospc`, `eio`, `eacces`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What happens to changes, and to what is written into files, counted over all that share this.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Changes of names: what is made, moved and removed.
    made: AtomicU64,
    /// Writes into open files, and their syncs.
    written: AtomicU64,
    /// Which of them fails, and how.
    planned: Mutex<Option<(Of, u64, Failure)>>,
    deed: Option<Deed>,
    is_plain: AtomicBool,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Changes,
    Writes,
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
        Self::of(Of::Changes, number, failure)
    }

    /// The same of what is written into files: of the one that fails, a half may be there.
    pub fn at_write(number: u64, failure: Failure) -> Self {
        Self::of(Of::Writes, number, failure)
    }

    fn of(of: Of, number: u64, failure: Failure) -> Self {
        let planned = Mutex::new(Some((of, number, failure)));
        Self(Arc::new(State { planned, ..State::default() }))
    }

    /// Just before the change of this number somebody does something.
    pub fn meanwhile(number: u64, does: impl Fn() + Send + Sync + 'static) -> Self {
        let deed = Some(Deed { before: number, does: Box::new(does) });
        Self(Arc::new(State { deed, ..State::default() }))
    }

    /// The same on a file system that can neither exchange names nor tell in one step whether one is free.
    #[must_use]
    pub fn on_a_plain_disk(self) -> Self {
        self.0.is_plain.store(true, Ordering::Relaxed);
        self
    }

    pub(super) fn are_on_a_plain_disk(&self) -> bool {
        self.0.is_plain.load(Ordering::Relaxed)
    }

    /// How many changes were tried.
    pub fn changes(&self) -> u64 {
        self.tried(Of::Changes)
    }

    /// How often something was written into files, or they were synced.
    pub fn writes(&self) -> u64 {
        self.tried(Of::Writes)
    }

    /// Whether what was to fail was tried.
    pub fn were_met(&self) -> bool {
        self.planned().is_some_and(|(of, at, _)| self.tried(of) >= at)
    }

    fn tried(&self, of: Of) -> u64 {
        match of {
            Of::Changes => &self.0.made,
            Of::Writes => &self.0.written,
        }
        .load(Ordering::Relaxed)
    }

    /// Counts a change that is about to be made.
    pub(super) fn strike(&self) -> io::Result<()> {
        let number = self.0.made.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(deed) = self.0.deed.as_ref().filter(|deed| deed.before == number) {
            (deed.does)();
        }
        self.fail(Of::Changes, number)
    }

    /// Counts something that is about to be written, and writes `half` of it when that fails.
    pub(super) fn strike_at_write(&self, half: impl FnOnce()) -> io::Result<()> {
        let number = self.0.written.fetch_add(1, Ordering::Relaxed) + 1;
        if matches!(self.planned(), Some((Of::Writes, at, _)) if at == number) {
            half();
        }
        self.fail(Of::Writes, number)
    }

    fn planned(&self) -> Option<(Of, u64, Failure)> {
        *self.0.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, of: Of, number: u64) -> io::Result<()> {
        let Some((planned, at, failure)) = self.planned() else { return Ok(()) };
        let is_dead = failure == Failure::Death && self.tried(planned) >= at;
        if !is_dead && (planned, at) != (of, number) {
            return Ok(());
        }
        match failure {
            Failure::Death => return Err(io::Error::other("killed by a test")),
            Failure::Kill => kill(),
            Failure::Stop => stop(),
            #[allow(clippy::panic)]
            Failure::Panic => panic!("a panic for a test"),
            Failure::Error(kind) => return Err(kind.into()),
        }
        Ok(())
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
