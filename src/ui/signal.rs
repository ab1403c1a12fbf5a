//! The system's request to end.

use super::platform;

/// Waits for Ctrl-C or the system's request to end.
pub(super) async fn stop_signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = interrupt => {}
        () = platform::termination() => {}
    }
}
