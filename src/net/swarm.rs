//! [`Swarm`]: the librqbit session. It fetches into staging and seeds from the folder.
//!
//! librqbit decides little here: which bytes are a torrent, which pieces are there and where they lie is told to it. It
//! says which piece is right, having hashed it in our own memory, from where it is written as it is; what was written
//! before that, or touched by somebody else, is hashed again before it is used. It runs on a
//! current-thread runtime in a thread of its own, which measured half the time and CPU of a shared
//! one. What is there is told to it through its own persistence folder (see `bitfields`).
//!
//! Packs with one and the same torrent take turns with it: see [`Turn`].

mod bitfields;
mod thread;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::bail;
use bytes::Bytes;
use librqbit::api::TorrentIdOrHash;
use librqbit::dht::Id20;
use librqbit::{
    AddTorrent, AddTorrentOptions, AddTorrentResponse, ManagedTorrent, Session, TorrentStatsState,
};
use tokio::runtime;

use self::bitfields::Bitfields;
use self::thread::Thread;
use super::one_file;
use super::rest::Rest;
pub use super::storage::PackStorage;
use super::storage::{View, factory};
pub use super::turn::Turn;
use super::turn::Turns;
use crate::disk::fs::{FsError, Root};
use crate::heap;
use crate::model::fault::{Fault, FaultKind};
use crate::model::manifest::{EntryIndex, InfoHash, PieceSet};

/// What the folder of a session is called; a number follows.
const FOLDER: &str = "session";

/// Sessions that this process has started.
static STARTED: AtomicUsize = AtomicUsize::new(0);

/// What librqbit may log, in the words of `tracing`'s `EnvFilter`. Of a wrong piece it tells twice, and the one way also
/// of pieces that it was not given (see [`PackStorage`]). A torrent that is left in the wrong moment it calls an error
/// of the task that counts its speed; what a fetch fails of is for us to say. It warns of each senseless message of a
/// peer, who can send very many.
pub const LOGS: &str = "librqbit=warn,librqbit::torrent_state=error,librqbit::peer_connection=error,\
    librqbit::file_ops=error,librqbit_core=off,librqbit_dht=error,\
    librqbit_upnp=error,librqbit_lsd=error";

/// How much may come and go, all torrents together, in bytes per second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    pub download: Option<u32>,
    pub upload: Option<u32>,
}

/// How the swarm reaches others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwarmOptions {
    /// A folder of ours; what librqbit keeps in it of a session goes with that.
    pub folder: PathBuf,
    pub listen_port: Option<u16>,
    pub dht: bool,
    pub local_discovery: bool,
    /// Whether to ask the trackers a torrent names.
    pub trackers: bool,
    /// Asked for every torrent.
    pub extra_trackers: Vec<String>,
    pub upnp: bool,
    /// `socks5://…`
    pub proxy: Option<String>,
    pub limits: Limits,
    /// Whether others are told what is here and get it. Who does not give may claim to have what it only does not
    /// want yet: nobody hears of it.
    pub gives: bool,
}

impl SwarmOptions {
    /// Looks for nobody: the peers a torrent is added with are all there are, unless others come.
    pub fn named_peers_only(folder: PathBuf) -> Self {
        Self {
            folder,
            listen_port: None,
            dht: false,
            local_discovery: false,
            trackers: false,
            extra_trackers: Vec::new(),
            upnp: false,
            proxy: None,
            limits: Limits::default(),
            gives: true,
        }
    }

    /// The same for one that only takes, beside another one.
    #[must_use]
    pub fn only_taking(&self) -> Self {
        let folder = self.folder.join("taking");
        Self { folder, listen_port: None, upnp: false, gives: false, ..self.clone() }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SwarmError {
    #[error("could not start the peer-to-peer session: {0:#}")]
    Start(anyhow::Error),
    #[error("could not join the swarm of {0}: {1:#}")]
    Add(InfoHash, anyhow::Error),
    #[error("the peer-to-peer library reads this torrent's file list in another way than ModSync")]
    Disagrees,
    #[error("the peer-to-peer library failed on {0}")]
    Panicked(InfoHash),
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl From<SwarmError> for Fault {
    fn from(error: SwarmError) -> Self {
        match error {
            SwarmError::Fs(e) => e.into(),
            SwarmError::Disagrees => Self::new(
                FaultKind::BadMetainfo,
                error,
                "Ask the pack's admin to make the torrent anew.",
            ),
            SwarmError::Panicked(_) => Self::bug(error),
            SwarmError::Start(_) | SwarmError::Add(..) => {
                Self::new(FaultKind::Io, error, "Look at the network settings.")
            }
        }
    }
}

/// A torrent to fetch or to seed.
#[derive(Debug)]
pub struct Torrent {
    /// The `.torrent`, accepted by our own parser.
    pub bytes: Bytes,
    /// Pieces that need not be fetched.
    pub have: PieceSet,
    /// Entries whose pieces are not wanted for their own sake.
    pub unwanted: BTreeSet<EntryIndex>,
    pub storage: Arc<PackStorage>,
    pub peers: Vec<SocketAddr>,
}

/// The librqbit session. Dropping it ends the session.
pub struct Swarm {
    // First, so that it has ended before what it works with goes.
    _thread: Thread,
    session: Arc<Session>,
    runtime: runtime::Handle,
    bitfields: Bitfields,
    turns: Turns,
    /// How many torrents were added.
    added: AtomicUsize,
    rest: Arc<Rest>,
    // Last, when nobody has it open.
    _folder: OwnFolder,
}

/// The folder of one session, lest one that is about to end take what another one needs. It goes when it is dropped.
struct OwnFolder {
    all: Root,
    name: String,
}

impl OwnFolder {
    fn make(all: &Path) -> Result<Self, FsError> {
        let all = Root::create(all)?;
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        if number == 0 {
            // Those of a process that was killed.
            for (name, _) in all.list("")? {
                if name.to_str().is_some_and(|name| name.starts_with(FOLDER)) {
                    all.remove_tree(name)?;
                }
            }
        }
        let name = format!("{FOLDER}-{number}");
        all.remove_tree(&name)?;
        all.create_dir_all(&name)?;
        Ok(Self { all, name })
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        if let Err(error) = self.all.remove_tree(&self.name) {
            tracing::debug!("the folder of a session stays: {error}");
        }
    }
}

/// A torrent in the swarm.
#[derive(Clone)]
pub struct Joined {
    info_hash: InfoHash,
    torrent: Arc<ManagedTorrent>,
    storage: Arc<PackStorage>,
}

/// How a torrent in the swarm does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub finished: bool,
    /// Bytes that came from peers since it was added, some of them perhaps not verified.
    pub fetched_bytes: u64,
    /// Bytes of pieces that came and were right.
    pub verified_bytes: u64,
    pub uploaded_bytes: u64,
    pub peers: u32,
    /// Peers that are about to be connected.
    pub connecting: u32,
    /// Bytes per second.
    pub download_rate: u64,
    /// Bytes per second.
    pub upload_rate: u64,
    pub failure: Option<Fault>,
}

/// Whether librqbit sees in a torrent what we see: this info hash, and entries of these lengths.
pub fn agrees(bytes: &[u8], info_hash: InfoHash, lengths: &[u64]) -> Result<(), SwarmError> {
    let same = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let torrent = librqbit::torrent_from_bytes(bytes).ok()?;
        let info = torrent.info.data.validate().ok()?;
        let are_ours = info.iter_file_lengths().eq(lengths.iter().copied());
        Some(torrent.info_hash.0 == info_hash.0 && are_ours)
    }))
    .map_err(|_| SwarmError::Panicked(info_hash))?;
    if same == Some(true) { Ok(()) } else { Err(SwarmError::Disagrees) }
}

/// Resolves `host:port`s. One that cannot be resolved is left out: another peer may do.
pub async fn addresses(peers: &[String]) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for peer in peers {
        match tokio::net::lookup_host(peer).await {
            Ok(addresses) => found.extend(addresses),
            Err(error) => tracing::warn!(peer, "could not resolve a peer: {error}"),
        }
    }
    found
}

impl Swarm {
    /// Starts the session. A listen port that is taken is replaced by a free one.
    pub async fn start(options: SwarmOptions) -> Result<Self, SwarmError> {
        let folder = OwnFolder::make(&options.folder)?;
        let own = folder.all.below(&folder.name)?;
        let rest = Arc::new(Rest::default());
        let at = own.path().to_owned();
        let started = Thread::start(options, at, Arc::clone(&rest)).await;
        let (thread, session, runtime) = started.map_err(SwarmError::Start)?;
        Ok(Self {
            _thread: thread,
            _folder: folder,
            session,
            runtime,
            bitfields: Bitfields::new(own),
            turns: Turns::default(),
            added: AtomicUsize::new(0),
            rest,
        })
    }

    /// The port peers may connect to.
    pub fn listen_port(&self) -> Option<u16> {
        self.session.listen_addr().map(|addr| addr.port())
    }

    pub fn set_limits(&self, limits: Limits) {
        self.session.ratelimits.set_download_bps(limits.download.and_then(NonZeroU32::new));
        self.session.ratelimits.set_upload_bps(limits.upload.and_then(NonZeroU32::new));
    }

    /// Waits for the turn to fetch a torrent.
    pub async fn turn_to_fetch(&self, info_hash: InfoHash) -> Turn {
        let mut turn = self.turns.to_fetch(info_hash).await;
        turn.needed = Some(self.rest.needed());
        turn
    }

    /// Waits for the turn to seed a torrent. It is to be given up when it [is wanted](Turn::is_wanted).
    pub async fn turn_to_seed(&self, info_hash: InfoHash) -> Turn {
        self.turns.to_seed(info_hash).await
    }

    /// Joins a torrent's swarm.
    pub async fn add(&self, turn: &Turn, torrent: Torrent) -> Result<Joined, SwarmError> {
        let info_hash = turn.info_hash;
        let _needed = self.rest.needed();
        // librqbit takes a large torrent apart in much memory, and cannot have what other threads freed.
        heap::give_back();
        // Whoever had the last turn may have ended too early to leave.
        self.delete(info_hash).await;
        turn.is_noticed().await;
        self.bitfields.tell(info_hash, &torrent.have)?;
        let entries = torrent.storage.manifest.entries.len();
        let only_files = (!torrent.unwanted.is_empty())
            .then(|| (0..entries).filter(|entry| !torrent.unwanted.contains(entry)).collect());
        let is_new = torrent.have.count() == 0 && torrent.unwanted.is_empty();
        let view = if is_new && entries > 1 { View::OneFile } else { View::Entries };
        let options = AddTorrentOptions {
            overwrite: true,
            only_files,
            initial_peers: (!torrent.peers.is_empty()).then_some(torrent.peers),
            output_folder: Some(String::new()),
            storage_factory: Some(factory(&torrent.storage, view)),
            paused: view == View::OneFile,
            // librqbit would give one number to two torrents that are added at once, and take them for one.
            preferred_id: Some(self.added.fetch_add(1, Ordering::Relaxed)),
            ..AddTorrentOptions::default()
        };
        let session = Arc::clone(&self.session);
        let added = self.runtime.spawn(async move {
            let torrent = AddTorrent::from_bytes(torrent.bytes);
            let AddTorrentResponse::Added(_, torrent) =
                session.add_torrent(torrent, Some(options)).await?
            else {
                bail!("it is there already");
            };
            if view == View::OneFile {
                one_file::begin_anew(&session, &torrent).await?;
            }
            Ok(torrent)
        });
        let added = added.await.map_err(|_| SwarmError::Panicked(info_hash));
        match added.and_then(|added| added.map_err(|e| SwarmError::Add(info_hash, e))) {
            Ok(handle) => Ok(Joined { info_hash, torrent: handle, storage: torrent.storage }),
            Err(error) => {
                self.delete(info_hash).await;
                Err(error)
            }
        }
    }

    /// Leaves a torrent's swarm, perhaps to join it again: the turn stays. Peers take nobody twice, so who joins again
    /// waits until they [have noticed](Turn::is_noticed).
    pub async fn part(&self, turn: &Turn) {
        self.delete(turn.info_hash).await;
        turn.part();
    }

    /// Leaves a torrent's swarm, which ends the turn. The files stay.
    pub async fn leave(&self, turn: Turn) {
        self.delete(turn.info_hash).await;
    }

    async fn delete(&self, info_hash: InfoHash) {
        let id = TorrentIdOrHash::Hash(Id20::new(info_hash.0));
        if self.session.get(id).is_some() {
            let _needed = self.rest.needed();
            let session = Arc::clone(&self.session);
            let left = self.runtime.spawn(async move { session.delete(id, false).await });
            if let Ok(Err(error)) = left.await {
                tracing::debug!(%info_hash, "leaving a swarm: {error:#}");
            }
        }
        if let Err(error) = self.bitfields.forget(info_hash) {
            tracing::debug!(%info_hash, "leaving a swarm: {error}");
        }
    }
}

impl Joined {
    /// Who is connected, and whether they gave anything since the torrent was added.
    #[expect(clippy::default_trait_access, reason = "librqbit does not export the type's name")]
    pub fn peers(&self) -> BTreeMap<SocketAddr, bool> {
        let Some(live) = self.torrent.live() else { return BTreeMap::new() };
        let connected = live.per_peer_stats_snapshot(Default::default()).peers;
        connected
            .into_iter()
            .filter_map(|(peer, stats)| {
                Some((peer.parse().ok()?, stats.counters.fetched_bytes > 0))
            })
            .collect()
    }

    pub fn standing(&self) -> Standing {
        let stats = self.torrent.stats();
        let failure = self.storage.failure().or_else(|| {
            matches!(stats.state, TorrentStatsState::Error).then(|| {
                let text = stats.error.as_deref().unwrap_or("unknown");
                Fault::new(FaultKind::Io, format!("the fetch stopped: {text}"), "")
            })
        });
        let live = stats.live.as_ref();
        let snapshot = live.map(|live| &live.snapshot);
        Standing {
            finished: stats.finished && live.is_some(),
            fetched_bytes: snapshot.map_or(0, |s| s.fetched_bytes),
            verified_bytes: snapshot.map_or(0, |s| s.downloaded_and_checked_bytes),
            uploaded_bytes: stats.uploaded_bytes,
            peers: snapshot.map_or(0, |s| s.peer_stats.live),
            connecting: snapshot.map_or(0, |s| s.peer_stats.connecting),
            download_rate: live.map_or(0, |live| bytes_per_second(live.download_speed.mbps)),
            upload_rate: live.map_or(0, |live| bytes_per_second(live.upload_speed.mbps)),
            failure,
        }
    }
}

/// librqbit gives MiB per second.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn bytes_per_second(mib: f64) -> u64 {
    (mib * 1_048_576.0).max(0.0) as u64
}

impl std::fmt::Debug for Swarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Swarm").field("listen_port", &self.listen_port()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Joined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Joined").field("info_hash", &self.info_hash).finish_non_exhaustive()
    }
}
