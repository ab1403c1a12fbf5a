//! Starts an engine that stays.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::control::endpoint::Endpoint;
use crate::engine::{self, Handle, Mode, StartError};
use crate::paths::Paths;

/// How often it is tried.
const TRY: Duration = Duration::from_millis(100);
/// How long an engine may take to leave its note. Whoever has none by then will not be known any more.
const NOTE: Duration = Duration::from_secs(10);

/// Starts an engine that stays. A command that is at work is waited for, since it ends by itself, for so long
/// or, with `None`, however long it takes; `waits` is called when that begins. Another engine that stays is
/// not waited for.
pub(super) async fn start_to_stay(
    paths: &Paths,
    mode: Mode,
    patience: Option<Duration>,
    waits: impl Fn(),
) -> Result<Handle, StartError> {
    let begun = Instant::now();
    let mut noted = begun;
    loop {
        let note = Endpoint::read(paths);
        if note.is_some() {
            noted = Instant::now();
        }
        match engine::start(paths, mode) {
            Err(StartError::Running(_))
                if note.is_none_or(|note| !note.follows)
                    && noted.elapsed() < NOTE
                    && patience.is_none_or(|patience| begun.elapsed() < patience) =>
            {
                waits();
                sleep(TRY).await;
            }
            result => return result,
        }
    }
}
