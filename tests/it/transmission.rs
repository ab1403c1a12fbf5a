//! [`Transmission`]: a real `transmission-daemon` on loopback, with a folder and ports of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::tree::Tree;

/// How long it may take to answer, to verify a small pack, or to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is asked whether it is done.
const LOOK: Duration = Duration::from_millis(20);
/// How often it is made to decide who may ask it for pieces.
const RING: Duration = Duration::from_millis(250);
/// It says `6` for a torrent that it seeds.
const SEEDING: u64 = 6;
/// Peers ask for blocks of this size, and each travels with a header of so many bytes.
const BLOCK: u64 = 16 << 10;
const BLOCK_HEADER: u64 = 13;

/// A running daemon. It ends when this is dropped.
#[derive(Debug)]
pub struct Transmission {
    daemon: Child,
    folder: PathBuf,
    rpc: Arc<Rpc>,
    peer_port: u16,
    bell: Option<Bell>,
}

/// Where a daemon takes orders.
#[derive(Debug)]
struct Rpc {
    address: SocketAddr,
    session: Mutex<String>,
}

/// Transmission decides every ten seconds who may ask it for pieces, and at once when a torrent starts.
/// So that no test waits for that, a little torrent is stopped and started again and again.
#[derive(Debug)]
struct Bell {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

/// A torrent that is seeded.
#[derive(Debug, Clone)]
pub struct Seeded {
    pub info_hash: String,
    pub layout: Layout,
}

/// Which bytes of which file lie in which piece, as Transmission sees it.
#[derive(Debug, Clone)]
pub struct Layout {
    pub piece_length: u64,
    /// Without the torrent's title.
    pub files: Vec<(String, u64)>,
}

impl Transmission {
    /// Starts a daemon that keeps its own files in `folder`, and waits until it answers.
    pub fn start(folder: &Path) -> Self {
        // Between choosing a free port and using it, somebody else may take it.
        let mut this = (0..3)
            .find_map(|_| Self::try_start(folder))
            .expect("transmission-daemon does not answer; `tests/run.sh` installs it");
        this.hang_bell();
        this
    }

    fn try_start(folder: &Path) -> Option<Self> {
        let (address, peer_port) = (free_address(), free_address().port());
        fs::create_dir_all(folder).unwrap();
        let settings = settings(address.port(), peer_port, folder).to_string();
        fs::write(folder.join("settings.json"), settings).unwrap();
        let log = File::create(folder.join("daemon.log")).unwrap();
        let daemon = Command::new("transmission-daemon")
            .args(["--foreground", "--config-dir"])
            .arg(folder)
            .env("TMPDIR", folder)
            .env("HOME", folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("transmission-daemon is not installed; `tests/run.sh` does that");
        let rpc = Arc::new(Rpc { address, session: Mutex::default() });
        let mut this = Self { daemon, folder: folder.to_owned(), rpc, peer_port, bell: None };
        (this.is_ready() && this.has_peer_port()).then_some(this)
    }

    fn is_ready(&mut self) -> bool {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end && self.daemon.try_wait().unwrap().is_none() {
            if self.rpc.post(&json!({ "method": "session-get" })).is_ok() {
                return true;
            }
            thread::sleep(LOOK);
        }
        false
    }

    /// Where that port is somebody else's, it goes on without one.
    fn has_peer_port(&self) -> bool {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(socket) = listener(self.peer_port) {
                return self.has_open(&socket);
            }
            thread::sleep(LOOK);
        }
        false
    }

    fn has_open(&self, socket: &str) -> bool {
        let open = fs::read_dir(format!("/proc/{}/fd", self.daemon.id())).unwrap();
        let mut open = open.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        open.any(|file| file.to_str() == Some(socket))
    }

    fn hang_bell(&mut self) {
        let folder = self.folder.join("bell");
        Tree::default().with("Bell/clapper", "ding").write(&folder);
        let bell = self.seed(&make_torrent(&folder.join("Bell"), 16), &folder).info_hash;
        let rpc = Arc::clone(&self.rpc);
        let (stop, stopped) = channel::<()>();
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(RING) == Err(RecvTimeoutError::Timeout) {
                for method in ["torrent-stop", "torrent-start"] {
                    rpc.call(method, json!({ "ids": [bell] }));
                }
            }
        });
        self.bell = Some(Bell { stop, thread });
    }

    /// Where peers reach it.
    pub fn peer(&self) -> String {
        format!("127.0.0.1:{}", self.peer_port)
    }

    /// Seeds a torrent whose files lie in `folder` below the torrent's title. Returns when all of them
    /// are verified.
    pub fn seed(&self, torrent: &[u8], folder: &Path) -> Seeded {
        let file = self.folder.join("new.torrent");
        fs::write(&file, torrent).unwrap();
        let added = self.call(
            "torrent-add",
            json!({ "filename": file, "download-dir": folder, "paused": false }),
        );
        let added = added.get("torrent-added").or_else(|| added.get("torrent-duplicate"));
        let info_hash = added.unwrap()["hashString"].as_str().unwrap().to_owned();
        let files = walkdir::WalkDir::new(folder).into_iter().count();
        self.await_seeding(&info_hash, files);
        let layout = self.layout(&info_hash);
        Seeded { info_hash, layout }
    }

    /// Waits until it has verified all of a torrent's files.
    pub fn await_seeding(&self, info_hash: &str, files: usize) {
        // It reads some thousands of files a second.
        let end = Instant::now() + PATIENCE + Duration::from_millis(2) * files as u32;
        loop {
            let torrent = self.torrent(info_hash, &["status", "leftUntilDone", "errorString"]);
            if torrent["status"] == SEEDING && torrent["leftUntilDone"] == 0 {
                break;
            }
            assert!(Instant::now() < end, "it does not seed: {torrent}");
            thread::sleep(LOOK);
        }
    }

    /// Gives it an order.
    #[track_caller]
    pub fn call(&self, method: &str, arguments: Value) -> Value {
        self.rpc.call(method, arguments)
    }

    /// Bytes that it sent to peers in blocks, each with its header.
    pub fn sent(&self, seeded: &Seeded) -> u64 {
        self.torrent(&seeded.info_hash, &["uploadedEver"])["uploadedEver"].as_u64().unwrap()
    }

    /// Waits, though not for long, until it has noticed that whoever was connected is gone. Before that it
    /// refuses a second connection from the same address, and the peer would try again much later.
    pub fn await_silence(&self) {
        let end = Instant::now() + Duration::from_secs(3);
        let connected = || {
            let found = self.call("torrent-get", json!({ "fields": ["peersConnected"] }));
            found["torrents"]
                .as_array()
                .unwrap()
                .iter()
                .any(|torrent| torrent["peersConnected"] != 0)
        };
        while connected() && Instant::now() < end {
            thread::sleep(LOOK);
        }
    }

    /// Sends no faster than so many thousand bytes per second, all torrents together.
    pub fn limit_upload(&self, kilobytes: Option<u32>) {
        let mut limit = json!({ "speed-limit-up-enabled": kilobytes.is_some() });
        if let Some(kilobytes) = kilobytes {
            limit["speed-limit-up"] = kilobytes.into();
        }
        self.call("session-set", limit);
    }

    fn layout(&self, info_hash: &str) -> Layout {
        let torrent = self.torrent(info_hash, &["pieceSize", "files", "name"]);
        let title = format!("{}/", torrent["name"].as_str().unwrap());
        let files = torrent["files"].as_array().unwrap().iter().map(|file| {
            let name = file["name"].as_str().unwrap();
            (name.strip_prefix(&title).unwrap().to_owned(), file["length"].as_u64().unwrap())
        });
        Layout { piece_length: torrent["pieceSize"].as_u64().unwrap(), files: files.collect() }
    }

    fn torrent(&self, info_hash: &str, fields: &[&str]) -> Value {
        let found = self.call("torrent-get", json!({ "ids": [info_hash], "fields": fields }));
        found["torrents"][0].clone()
    }
}

impl Rpc {
    #[track_caller]
    fn call(&self, method: &str, arguments: Value) -> Value {
        let request = json!({ "method": method, "arguments": arguments });
        let answer = self.post(&request).unwrap();
        assert_eq!(answer["result"], "success", "{method}: {answer}");
        answer["arguments"].clone()
    }

    /// One request; a second when it wants to be called by another session id.
    fn post(&self, body: &Value) -> std::io::Result<Value> {
        let body = body.to_string();
        for _ in 0..2 {
            let session = self.session.lock().unwrap().clone();
            let (head, answer) = exchange(
                self.address,
                &format!(
                    "POST /transmission/rpc HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
                     X-Transmission-Session-Id: {session}\r\nContent-Length: {}\r\n\r\n{body}",
                    self.address,
                    body.len()
                ),
            )?;
            if head.starts_with("HTTP/1.1 409") {
                let id = head.lines().find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    name.eq_ignore_ascii_case("X-Transmission-Session-Id").then(|| value.trim())
                });
                id.unwrap_or_default().clone_into(&mut self.session.lock().unwrap());
                continue;
            }
            return serde_json::from_slice(&answer).map_err(std::io::Error::other);
        }
        Err(std::io::Error::other("it wants yet another session id"))
    }
}

impl Drop for Transmission {
    fn drop(&mut self) {
        if let Some(Bell { stop, thread }) = self.bell.take() {
            drop(stop);
            let _ = thread.join();
        }
        // Asked to, it takes its lock in the system's temporary folder with it.
        sigterm(&self.daemon);
        let end = Instant::now() + Duration::from_secs(5);
        while matches!(self.daemon.try_wait(), Ok(None)) && Instant::now() < end {
            thread::sleep(LOOK);
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

impl Layout {
    /// Bytes that a seeder sends to who has `old` and wants `new`, and no more than that: whole
    /// pieces, and of these only those with a byte that `old` does not have at the same place of the
    /// same file.
    ///
    /// Transmission counts a block with the 13 bytes that announce it (length, kind, piece, offset),
    /// and so does this.
    pub fn sent_for(&self, old: &Tree, new: &Tree) -> u64 {
        self.pieces_for(old, new).into_iter().map(with_headers).sum()
    }

    /// What it sends to who has nothing.
    pub fn sent_for_all(&self) -> u64 {
        let total: u64 = self.files.iter().map(|(_, length)| length).sum();
        let (whole, rest) = (total / self.piece_length, total % self.piece_length);
        whole * with_headers(self.piece_length) + with_headers(rest)
    }

    /// The same as `sent_for` without the headers.
    pub fn needed(&self, old: &Tree, new: &Tree) -> u64 {
        self.pieces_for(old, new).into_iter().sum()
    }

    fn pieces_for(&self, old: &Tree, new: &Tree) -> Vec<u64> {
        let mut pieces = BTreeMap::new();
        let mut start = 0;
        for (path, length) in &self.files {
            let wanted = new.bytes(path);
            assert_eq!(wanted.len() as u64, *length, "{path}");
            let have = old.0.get(path).map_or(&[][..], Vec::as_slice);
            for (at, byte) in wanted.iter().enumerate() {
                let piece = (start + at as u64) / self.piece_length;
                let needed = pieces.entry(piece).or_insert(false);
                *needed |= have.get(at) != Some(byte);
            }
            start += length;
        }
        let needed = pieces.into_iter().filter(|(_, needed)| *needed);
        needed
            .map(|(piece, _)| (start - piece * self.piece_length).min(self.piece_length))
            .collect()
    }
}

/// What a piece of this size costs.
fn with_headers(size: u64) -> u64 {
    size + size.div_ceil(BLOCK) * BLOCK_HEADER
}

/// Makes the `.torrent` of a folder with the real `transmission-create`. It leaves out empty and hidden
/// files.
pub fn make_torrent(folder: &Path, piece_kib: u32) -> Vec<u8> {
    let room = tempfile::tempdir().unwrap();
    let file = room.path().join("made.torrent");
    let made = Command::new("transmission-create")
        .args(["--piecesize", &piece_kib.to_string(), "--outfile"])
        .args([&file, folder])
        .env("HOME", room.path())
        .output()
        .expect("transmission-create is not installed; `tests/run.sh` does that");
    assert!(made.status.success(), "{made:?}");
    fs::read(file).unwrap()
}

/// Asks a process to end, as a system does when it shuts down.
pub fn sigterm(process: &Child) {
    let _ = Command::new("kill").args(["-TERM", &process.id().to_string()]).status();
}

/// An address on loopback that nobody uses right now. Its port is none of those that the system gives to
/// outgoing connections: one of these could take it before it is used.
pub fn free_address() -> SocketAddr {
    let mut tries = std::iter::repeat_with(|| {
        SocketAddr::from(([127, 0, 0, 1], fastrand::u16(10_000..32_000)))
    });
    tries.find(|address| TcpListener::bind(address).is_ok()).unwrap()
}

/// The head and the body of the answer to a request that asks for the connection to be closed.
fn exchange(to: SocketAddr, request: &str) -> std::io::Result<(String, Vec<u8>)> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    Ok((String::from_utf8_lossy(&answer[..end]).into_owned(), answer[end + 4..].to_vec()))
}

fn settings(rpc_port: u16, peer_port: u16, folder: &Path) -> Value {
    json!({
        "rpc-enabled": true,
        "rpc-bind-address": "127.0.0.1",
        "rpc-port": rpc_port,
        "rpc-authentication-required": false,
        "rpc-whitelist-enabled": false,
        "rpc-host-whitelist-enabled": false,
        "peer-port": peer_port,
        "peer-port-random-on-start": false,
        "port-forwarding-enabled": false,
        "bind-address-ipv4": "127.0.0.1",
        "bind-address-ipv6": "::1",
        "dht-enabled": false,
        "lpd-enabled": false,
        "pex-enabled": false,
        "utp-enabled": false,
        "encryption": 1,
        "cache-size-mb": 1,
        "blocklist-enabled": false,
        "download-dir": folder,
        "incomplete-dir-enabled": false,
        "watch-dir-enabled": false,
        "start-added-torrents": true,
        "seed-queue-enabled": false,
        "download-queue-enabled": false,
        "queue-stalled-enabled": false,
        "idle-seeding-limit-enabled": false,
        "ratio-limit-enabled": false,
        "speed-limit-up-enabled": false,
        "speed-limit-down-enabled": false,
        "upload-slots-per-torrent": 14,
    })
}

/// The socket that listens at this port of 127.0.0.1, as `/proc` names it
/// (<https://docs.kernel.org/networking/proc_net_tcp.html>).
fn listener(port: u16) -> Option<String> {
    const LISTENS: &str = "0A";
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
    let place = format!("0100007F:{port:04X}");
    let mut lines = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = lines.find(|line| line.get(1) == Some(&&*place) && line.get(3) == Some(&LISTENS))?;
    Some(format!("socket:[{}]", line.get(9)?))
}
