//! Starts an engine that stays.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::control::endpoint::Endpoint;
use crate::engine::{self, Handle, Mode, StartError};
use crate::paths::Paths;

/// How long a command that is at work is waited for, by somebody who looks on and by nobody.
const PATIENCE: Duration = Duration::from_secs(10);
const PATIENCE_AT_LOGIN: Duration = Duration::from_hours(24);
/// How often it is tried.
const TRY: Duration = Duration::from_millis(100);

/// Starts an engine that stays. A command that is at work is waited for: it ends by itself. Another engine
/// that stays is not.
pub(super) async fn start_to_stay(paths: &Paths, mode: Mode) -> Result<Handle, StartError> {
    let limit = if mode == Mode::AtLogin { PATIENCE_AT_LOGIN } else { PATIENCE };
    let patience = Instant::now() + limit;
    loop {
        match engine::start(paths, mode) {
            Err(StartError::Running(_))
                if Endpoint::read(paths).is_none_or(|note| !note.follows)
                    && Instant::now() < patience =>
            {
                sleep(TRY).await;
            }
            result => return result,
        }
    }
}
