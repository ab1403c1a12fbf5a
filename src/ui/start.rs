//! Starts an engine that stays.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::control::endpoint::Endpoint;
use crate::engine::{self, Handle, Mode, StartError};
use crate::paths::Paths;

/// How often it is tried.
const TRY: Duration = Duration::from_millis(100);

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
    loop {
        match engine::start(paths, mode) {
            Err(StartError::Running(_))
                if Endpoint::read(paths).is_none_or(|note| !note.follows)
                    && patience.is_none_or(|patience| begun.elapsed() < patience) =>
            {
                waits();
                sleep(TRY).await;
            }
            result => return result,
        }
    }
}
