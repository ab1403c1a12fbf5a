//! [`Thread`]: the thread that a librqbit session runs on, and how it is set up.

use std::collections::HashSet;
use std::net::Ipv6Addr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use librqbit::dht::DhtPersistenceConfig;
use librqbit::limits::LimitsConfig;
use librqbit::{
    ConnectionOptions, DhtSessionConfig, ListenerOptions, PeerConnectionOptions, Session,
    SessionOptions, SessionPersistenceConfig,
};
use tokio::runtime;
use tokio::sync::oneshot;

use super::SwarmOptions;
use crate::net::rest::Rest;

/// How long a connected peer may say nothing. Clients let one wait for 10 s and more before they give
/// anything, and say every two minutes that they are still there (BEP 3).
const SILENCE: Duration = Duration::from_secs(150);

/// How long a port may be in use by a session that is about to end, and how often it is tried meanwhile. A fetch that is
/// under way keeps its session, and the port, for longer.
const HANDOVER: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(100);

/// How long the end of a session waits for what librqbit has other threads do: they write in its folder, and would make it
/// anew after it was removed. One of them may ask for a host's name in vain, which takes longer.
const GRACE: Duration = Duration::from_secs(1);

/// Blocks that one peer is asked for before it has given any: as many as libtorrent remembers where nobody sets another
/// number (<https://www.bittorrent.org/beps/bep_0010.html>, `reqq`). A peer that says a smaller one is asked for less.
/// With fewer a quick peer waits for us.
const ASKED_AT_ONCE: usize = 250;

/// The thread of a session, from before the session is there. Whoever waits for its end may take its folder away: nobody
/// writes there any more.
pub(super) struct Thread {
    rest: Arc<Rest>,
    stop: Option<oneshot::Sender<()>>,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    /// Starts a session that keeps what it keeps in `folder`.
    pub async fn start(
        options: SwarmOptions,
        folder: PathBuf,
        rest: Arc<Rest>,
    ) -> anyhow::Result<(Self, Arc<Session>, runtime::Handle)> {
        let (ready, started) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let of_thread = Arc::clone(&rest);
        let handle = std::thread::Builder::new()
            .name("swarm".to_owned())
            .spawn(move || run(&options, &folder, &of_thread, ready, stopped))?;
        // It ends with this if nobody waits for the session any more.
        let thread = Self { rest, stop: Some(stop), handle: Some(handle) };
        let (session, runtime) = started.await.map_err(|_| anyhow!("its thread ended"))??;
        Ok((thread, session, runtime))
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.rest.end();
        drop(self.stop.take());
        let others = |thread: &JoinHandle<()>| thread.thread().id() != std::thread::current().id();
        if let Some(thread) = self.handle.take().filter(others) {
            let _ = thread.join();
        }
    }
}

fn run(
    options: &SwarmOptions,
    folder: &Path,
    rest: &Arc<Rest>,
    ready: oneshot::Sender<anyhow::Result<(Arc<Session>, runtime::Handle)>>,
    mut stopped: oneshot::Receiver<()>,
) {
    let started = Arc::new(OnceLock::new());
    let (of_thread, at_rest) = (Arc::clone(&started), Arc::clone(rest));
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(move || at_rest.nap(|| of_thread.get().is_some_and(nobody_is_there)))
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = ready.send(Err(error.into()));
            return;
        }
    };
    runtime.block_on(async {
        let opened = tokio::select! {
            opened = session(options, folder) => opened,
            _ = &mut stopped => return,
        };
        let session = match opened {
            Ok(session) => session,
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        let _ = started.set(Arc::downgrade(&session));
        if ready.send(Ok((Arc::clone(&session), runtime::Handle::current()))).is_ok() {
            let _ = stopped.await;
        }
        // Its tasks end before it: they would complain that it is gone.
        session.cancellation_token().cancel();
    });
    runtime.shutdown_timeout(GRACE);
}

/// Whether no torrent has a peer, or looks for one.
fn nobody_is_there(session: &Weak<Session>) -> bool {
    session.upgrade().is_some_and(|session| {
        session.with_torrents(|torrents| {
            torrents.map(|(_, torrent)| torrent.live()).all(|live| {
                let peers = live.map(|live| live.stats_snapshot().peer_stats);
                peers.is_some_and(|peers| peers.queued + peers.connecting + peers.live == 0)
            })
        })
    })
}

/// Opens the session, on another port when the wished one is taken for long.
async fn session(options: &SwarmOptions, folder: &Path) -> anyhow::Result<Arc<Session>> {
    let wished = options.listen_port.unwrap_or(0);
    let end = Instant::now() + HANDOVER;
    loop {
        match open(options, folder, wished).await {
            Err(_) if wished != 0 && Instant::now() < end => tokio::time::sleep(LOOK).await,
            Err(error) if wished != 0 => {
                tracing::warn!(port = wished, "could not listen, using a free port: {error:#}");
                return open(options, folder, 0).await;
            }
            result => return result,
        }
    }
}

async fn open(options: &SwarmOptions, folder: &Path, port: u16) -> anyhow::Result<Arc<Session>> {
    let dht = options.dht.then(|| DhtSessionConfig {
        persistence: Some(DhtPersistenceConfig {
            config_filename: Some(options.folder.join("dht.json")),
            ..DhtPersistenceConfig::default()
        }),
        ..DhtSessionConfig::default()
    });
    let session = SessionOptions {
        dht,
        disable_trackers: !options.trackers && options.extra_trackers.is_empty(),
        fastresume: true,
        persistence: Some(SessionPersistenceConfig::Json { folder: Some(folder.to_owned()) }),
        listen: Some(ListenerOptions {
            listen_addr: (Ipv6Addr::UNSPECIFIED, port).into(),
            enable_upnp_port_forwarding: options.upnp,
            ..ListenerOptions::default()
        }),
        connect: Some(ConnectionOptions {
            proxy_url: options.proxy.clone().filter(|url| url.starts_with("socks5")),
            peer_opts: Some(PeerConnectionOptions {
                read_write_timeout: Some(SILENCE),
                max_request_window: Some(ASKED_AT_ONCE),
                ..PeerConnectionOptions::default()
            }),
            ..ConnectionOptions::default()
        }),
        ratelimits: LimitsConfig {
            upload_bps: options.limits.upload.and_then(NonZeroU32::new),
            download_bps: options.limits.download.and_then(NonZeroU32::new),
        },
        trackers: options
            .extra_trackers
            .iter()
            .filter_map(|t| t.parse().ok())
            .collect::<HashSet<_>>(),
        disable_local_service_discovery: !options.local_discovery,
        disable_upload: !options.gives,
        client_name_and_version: Some(concat!("ModSync ", env!("CARGO_PKG_VERSION")).to_owned()),
        ..SessionOptions::default()
    };
    Session::new_with_opts(PathBuf::new(), session).await
}
