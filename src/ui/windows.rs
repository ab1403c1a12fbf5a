//! What Windows does its own way.

use std::future::pending;

use tokio::signal::windows::{ctrl_break, ctrl_close, ctrl_logoff, ctrl_shutdown};

/// Whether standard output has lost its reader: Windows tells only who writes.
pub(super) fn reader_is_gone() -> bool {
    false
}

/// Waits for the console's window to be closed, for the end of the session, or for Ctrl-Break.
pub(super) async fn termination() {
    let (Ok(mut interrupt), Ok(mut close), Ok(mut logoff), Ok(mut shutdown)) =
        (ctrl_break(), ctrl_close(), ctrl_logoff(), ctrl_shutdown())
    else {
        return pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = close.recv() => {}
        _ = logoff.recv() => {}
        _ = shutdown.recv() => {}
    }
}
