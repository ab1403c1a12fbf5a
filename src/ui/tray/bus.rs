//! The session bus as the tray needs it: whether a panel is on it, and when another bus has come in its
//! place. A login that does not end what it has started leaves us on a bus that is gone.

use std::thread;
use std::time::Duration;

use tokio_stream::StreamExt;
use zbus::fdo::DBusProxy;
use zbus::names::BusName;
use zbus::{Connection, MessageStream, block_on};

/// Who tells panels of icons
/// (<https://www.freedesktop.org/wiki/Specifications/StatusNotifierItem/StatusNotifierWatcher/>).
const WATCHER: &str = "org.kde.StatusNotifierWatcher";
/// How often a bus that is gone is looked for.
const RETRY: Duration = Duration::from_secs(5);

/// Whether somebody shows icons right now.
pub(super) fn has_panel() -> bool {
    let asked = async {
        let bus = DBusProxy::new(&Connection::session().await?).await?;
        Ok::<_, zbus::Error>(bus.name_has_owner(BusName::from_static_str(WATCHER)?).await?)
    };
    block_on(asked).unwrap_or(false)
}

/// Calls this each time there is a bus again after there was none, until it says `false`.
pub(super) fn when_it_is_back(call: impl Fn() -> bool + Send + 'static) {
    let watched = thread::Builder::new().name("bus".to_owned()).spawn(move || {
        let mut is_gone = false;
        loop {
            if let Ok(connection) = block_on(Connection::session()) {
                if is_gone && !call() {
                    return;
                }
                block_on(ended(connection));
            }
            is_gone = true;
            thread::sleep(RETRY);
        }
    });
    if let Err(error) = watched {
        tracing::debug!("nobody watches the session bus: {error}");
    }
}

/// Waits until the connection is lost.
async fn ended(connection: Connection) {
    let mut messages = MessageStream::from(connection);
    while let Some(Ok(_)) = messages.next().await {}
}
