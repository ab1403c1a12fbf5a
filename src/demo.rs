//! `modsync demo`: the whole story in a temporary folder, over loopback, with the real parts.
//!
//! An origin over HTTP, a seeder and a player's engine run in this process. Nothing outside the
//! temporary folder is touched, and nothing is left behind.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tempfile::TempDir;

use crate::config::{self, NewPack};
use crate::disk::content::Live;
use crate::disk::fs::Root;
use crate::engine::{self, Handle, Mode};
use crate::model::command::{Answer, Approval, Command};
use crate::model::manifest::{PieceSet, hex};
use crate::net::swarm::{PackStorage, Swarm, SwarmOptions, Torrent, Turn};
use crate::origin::metainfo;
use crate::paths::Paths;
use crate::publish;

const PIECE: usize = 64 * 1024;
/// What the player of the story calls the pack.
pub const PACK: &str = "friday";

/// A part of the story.
#[derive(Debug)]
pub enum Scene<'a> {
    Says(&'a str),
    /// A command as a player would type it, and its answer.
    Command(&'a str, &'a Answer),
}

/// How the story ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Told,
    Stopped,
}

/// Tells the story, a scene at a time, until it is told or shall stop.
pub async fn run(
    tell: &mut dyn FnMut(Scene<'_>),
    stop: impl Future<Output = ()>,
) -> Result<Ending> {
    let mut stop = pin!(stop);
    let stage = tokio::select! {
        // First, so that it is heard from the beginning.
        biased;
        () = &mut stop => return Ok(Ending::Stopped),
        stage = Stage::set() => stage?,
    };
    let ended = tokio::select! {
        biased;
        () = stop => Ok(Ending::Stopped),
        told = play(&stage, tell) => told.map(|()| Ending::Told),
    };
    stage.clear().await?;
    ended
}

async fn play(stage: &Stage, tell: &mut dyn FnMut(Scene<'_>)) -> Result<()> {
    tell(Scene::Says(
        "An admin has a pack of 12 files and publishes it: a .torrent over HTTP, the files from a seeder.",
    ));
    stage.write("maps/harbour.map", 1, 900_000)?;
    for n in 0..10 {
        stage.write(&format!("mods/mod-{n}.pak"), 10 + n, 150_000)?;
    }
    stage.write("readme.txt", 2, 500)?;
    let seeding = stage.publish().await?;

    tell(Scene::Says("A player follows its URL with an empty folder."));
    let player = stage.player(&seeding)?;
    tell(Scene::Command("modsync sync", &player.send(Command::Sync).await?));

    tell(Scene::Says("The admin publishes version 2: one file changed, one added, one removed."));
    // First of all: on Windows a file that is still seeded may not go.
    seeding.stop().await;
    stage.write("mods/mod-3.pak", 99, 150_000)?;
    stage.write("maps/castle.map", 98, 300_000)?;
    fs::remove_file(stage.admin.join("mods/mod-7.pak"))?;
    let seeding = stage.publish().await?;
    player.set_peer(&seeding)?;
    let player = player.restart().await?;
    tell(Scene::Command("modsync check", &player.send(Command::Check).await?));
    tell(Scene::Command("modsync plan", &player.send(Command::Plan).await?));
    let applied = player.send(Command::Apply { approve: Approval::None }).await?;
    tell(Scene::Command("modsync apply", &applied));

    tell(Scene::Says("A file gets damaged on the player's disk: same length, other bytes."));
    stage.damage("maps/castle.map")?;
    tell(Scene::Command("modsync verify", &player.send(Command::Verify { repair: false }).await?));
    tell(Scene::Command(
        "modsync verify --repair",
        &player.send(Command::Verify { repair: true }).await?,
    ));

    let verdict = player.send(Command::Verify { repair: false }).await?;
    let Answer::Verified(report) = &verdict else { bail!("verify gave another answer") };
    if !report.problems.is_empty() || contents(&stage.admin)? != contents(&stage.player)? {
        bail!("the player's folder is not what was published");
    }
    tell(Scene::Says(
        "The player's folder is, byte for byte, what the admin published. That is all ModSync does.",
    ));
    seeding.stop().await;
    Ok(())
}

/// The temporary folder and the origin.
struct Stage {
    folder: TempDir,
    admin: PathBuf,
    player: PathBuf,
    origin: SocketAddr,
    published: Published,
    /// The player's engine, once there is one.
    engine: Mutex<Option<Handle>>,
}

/// The `.torrent` the origin serves right now.
type Published = Arc<Mutex<Vec<u8>>>;

impl Stage {
    async fn set() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("modsync-demo-").tempdir()?;
        let (admin, player) = (folder.path().join("admin"), folder.path().join("player"));
        fs::create_dir_all(&admin)?;
        let published = Published::default();
        let app =
            Router::new().route("/pack.torrent", get(serve)).with_state(Arc::clone(&published));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let origin = listener.local_addr()?;
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { folder, admin, player, origin, published, engine: Mutex::default() })
    }

    /// Leaves nothing behind: ends who still writes in the folder, and removes it.
    async fn clear(self) -> Result<()> {
        let engine = self.engine.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = engine {
            engine.shutdown().await;
        }
        let folder = self.folder.path().to_owned();
        self.folder.close().with_context(|| format!("could not remove {}", folder.display()))
    }

    /// Writes a file of the admin; `seed` decides its bytes.
    fn write(&self, name: &str, seed: u64, length: usize) -> Result<()> {
        let path = self.admin.join(name);
        fs::create_dir_all(path.parent().context("a file has a folder")?)?;
        let mut random = fastrand::Rng::with_seed(seed);
        let bytes: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
        Ok(fs::write(path, bytes)?)
    }

    /// Changes bytes in the middle of a file of the player.
    fn damage(&self, name: &str) -> Result<()> {
        let path = self.player.join(name);
        let mut bytes = fs::read(&path)?;
        let middle = bytes.len() / 2;
        bytes[middle..middle + 100].iter_mut().for_each(|byte| *byte = !*byte);
        Ok(fs::write(path, bytes)?)
    }

    /// Publishes what is in the admin's folder, and seeds it.
    async fn publish(&self) -> Result<Seeder> {
        let torrent = publish::make_torrent(&self.admin, "Friday pack", PIECE)?;
        let manifest = Arc::new(metainfo::parse(&torrent)?);
        let network = SwarmOptions::named_peers_only(self.folder.path().join("seeder"));
        let swarm = Swarm::start(network).await?;
        let live = Live::new(Arc::new(Root::open(&self.admin)?), Arc::clone(&manifest));
        let turn = swarm.turn_to_seed(manifest.info_hash).await;
        let all = Torrent {
            bytes: torrent.clone().into(),
            have: PieceSet::all(manifest.pieces.len()),
            unwanted: BTreeSet::new(),
            storage: Arc::new(PackStorage::seeding(manifest, live)),
            peers: Vec::new(),
        };
        swarm.add(&turn, all).await?;
        *self.published.lock().unwrap_or_else(PoisonError::into_inner) = torrent;
        Ok(Seeder { swarm, turn })
    }

    fn player(&self, seeder: &Seeder) -> Result<Player<'_>> {
        let paths = Paths {
            config: self.folder.path().join("player-config.toml"),
            state: self.folder.path().join("player-state"),
        };
        let url = format!("http://{}/pack.torrent", self.origin);
        let new = NewPack { url, folder: self.player.clone(), name: Some(PACK.to_owned()) };
        fs::write(
            &paths.config,
            "[network]\ndht = false\nlocal_discovery = false\ntrackers = false\nupnp = false\n",
        )?;
        config::add_pack(&paths.config, &paths.state, &new)?;
        set_peer(&paths, seeder)?;
        let handle = self.start_engine(&paths)?;
        Ok(Player { stage: self, paths, handle })
    }

    fn start_engine(&self, paths: &Paths) -> Result<Handle> {
        let handle = engine::start(paths, Mode::Once)?;
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(engine.insert(handle).clone())
    }
}

struct Seeder {
    swarm: Swarm,
    turn: Turn,
}

impl Seeder {
    async fn stop(self) {
        self.swarm.leave(self.turn).await;
    }
}

struct Player<'a> {
    stage: &'a Stage,
    paths: Paths,
    handle: Handle,
}

impl Player<'_> {
    async fn send(&self, command: Command) -> Result<Answer> {
        Ok(self.handle.send(PACK, command).await?)
    }

    fn set_peer(&self, seeder: &Seeder) -> Result<()> {
        set_peer(&self.paths, seeder)
    }

    /// Ends this engine and starts the next, as a later command does.
    async fn restart(self) -> Result<Self> {
        self.handle.shutdown().await;
        let handle = self.stage.start_engine(&self.paths)?;
        Ok(Self { handle, ..self })
    }
}

/// Names the seeder in the player's settings, in place of a tracker.
fn set_peer(paths: &Paths, seeder: &Seeder) -> Result<()> {
    let port = seeder.swarm.listen_port().context("the seeder listens")?;
    let text = fs::read_to_string(&paths.config)?;
    let lines = text.lines().filter(|line| !line.starts_with("peers"));
    let mut text: Vec<String> = lines.map(str::to_owned).collect();
    let pack =
        text.iter().position(|line| line == "[[pack]]").context("the settings have a pack")?;
    text.insert(pack + 1, format!("peers = [\"127.0.0.1:{port}\"]"));
    Ok(fs::write(&paths.config, text.join("\n"))?)
}

async fn serve(State(published): State<Published>, request: HeaderMap) -> Response {
    let torrent = published.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let etag = format!("\"{}\"", hex(&<sha2::Sha256 as sha2::Digest>::digest(&torrent)));
    if request.get(header::IF_NONE_MATCH).is_some_and(|seen| seen.as_bytes() == etag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let etag = HeaderValue::from_str(&etag).ok();
    let headers = etag.map(|etag| (header::ETAG, etag)).into_iter().collect::<HeaderMap>();
    (headers, torrent).into_response()
}

/// Every file below a folder with its bytes, our own folder left out.
fn contents(folder: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let own = |entry: &walkdir::DirEntry| entry.file_name() != crate::model::path::OWN_FOLDER;
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().filter_entry(own) {
        let entry = entry?;
        if entry.file_type().is_file() {
            let name = entry.path().strip_prefix(folder)?.to_owned();
            files.push((name, fs::read(entry.path())?));
        }
    }
    Ok(files)
}
