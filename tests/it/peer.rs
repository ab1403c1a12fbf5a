//! [`Peer`]: a BitTorrent client of our own on loopback that gives what it is told to give, and writes down
//! what it gave to whom and what they said they have.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use modsync::origin::metainfo;

use super::torrents::{dict, file, file_with, torrent_of};
use super::tree::{Tree, noise};

pub const PIECE: usize = 32 << 10;
const BLOCK: usize = 16 << 10;
/// How long it may take until a connection is known to have ended.
const PATIENCE: Duration = Duration::from_secs(30);
const UNCHOKE: u8 = 1;
const HAVE: u8 = 4;
const BITFIELD: u8 = 5;
const REQUEST: u8 = 6;
const BLOCK_OF_PIECE: u8 = 7;

/// A release as bytes: its torrent, and its files one after the other.
#[derive(Debug, Clone)]
pub struct Release {
    pub torrent: Vec<u8>,
    pub info_hash: [u8; 20],
    content: Vec<u8>,
}

/// What a peer does.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    /// So many times it hangs up at once on whoever calls.
    pub turns_away: usize,
    /// It has nothing, and only hears what others have.
    pub has_nothing: bool,
    /// Pieces that it says it has and never gives.
    pub withholds: BTreeSet<usize>,
    /// Of every byte it gives the opposite.
    pub lies: bool,
    /// How long it waits before each block.
    pub pause: Duration,
    /// What it says instead of what it has.
    pub nonsense: Option<Vec<u8>>,
}

/// Messages that no client sends: an endless one, too much of a bitfield, and a piece that there is not.
pub fn nonsense() -> [Vec<u8>; 3] {
    let message = |kind: u8, rest: &[u8]| {
        let length = u32::try_from(rest.len() + 1).unwrap().to_be_bytes();
        [&length[..], &[kind], rest].concat()
    };
    let endless = [&[0xff; 4][..], &[BLOCK_OF_PIECE], &[0; BLOCK]].concat();
    [endless, message(BITFIELD, &[0xff; 999]), message(HAVE, &[0xff; 4])]
}

/// The first that a client says.
pub fn hello(info_hash: &[u8; 20]) -> Vec<u8> {
    let name = b"-XX0001-000000000000";
    [&b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0"[..], info_hash, name].concat()
}

/// Asks for the first block of a piece.
pub fn request(piece: u32) -> Vec<u8> {
    let numbers = [piece, 0, BLOCK as u32].map(u32::to_be_bytes);
    [&13u32.to_be_bytes()[..], &[REQUEST], numbers.as_flattened()].concat()
}

/// What became of one connection.
#[derive(Debug, Clone, Default)]
pub struct Visit {
    /// Pieces of which a block was asked for.
    pub asked: BTreeSet<usize>,
    /// Blocks given, by piece.
    pub given: BTreeMap<usize, usize>,
    /// Pieces that the other said it has.
    pub told: BTreeSet<usize>,
    is_over: bool,
}

/// A peer. It ends when it is dropped.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    release: Release,
    manner: Manner,
    visits: Mutex<Vec<Visit>>,
    /// Something was given, or a visit is over.
    news: Condvar,
    ended: AtomicBool,
}

impl Release {
    pub fn of(tree: &Tree) -> Self {
        let files: Vec<_> = tree.0.iter().map(|(path, bytes)| (&path[..], &bytes[..])).collect();
        let torrent = dict([("info", torrent_of("Pack", PIECE, &files).info())]).encode();
        let info_hash = metainfo::parse(&torrent).unwrap().info_hash.0;
        let content = tree.0.values().flatten().copied().collect();
        Self { torrent, info_hash, content }
    }

    /// Files of these lengths with padding of this byte between them, each from the beginning of a piece, and what of it
    /// belongs on a disk.
    pub fn padded_with(byte: u8, lengths: &[usize]) -> (Self, Tree) {
        let mut content = Vec::new();
        let (mut tree, mut list) = (Tree::default(), Vec::new());
        for (number, &length) in lengths.iter().enumerate() {
            let padding = content.len().next_multiple_of(PIECE) - content.len();
            if padding > 0 {
                let path = format!(".pad/{padding}");
                list.push(file_with(&path, padding.cast_signed() as i64, "attr", "p"));
                content.resize(content.len() + padding, byte);
            }
            let (path, bytes) = (format!("{number}.pak"), noise(number as u64, length));
            list.push(file(&path, length.cast_signed() as i64));
            content.extend(&bytes);
            tree = tree.with(&path, bytes);
        }
        let torrent = torrent_of("Pack", PIECE, &[("all", &content)]).with("files", list).encode();
        let info_hash = metainfo::parse(&torrent).unwrap().info_hash.0;
        (Self { torrent, info_hash, content }, tree)
    }

    pub fn pieces(&self) -> usize {
        self.content.len().div_ceil(PIECE)
    }

    fn blocks_of(&self, piece: usize) -> usize {
        (self.content.len() - piece * PIECE).min(PIECE).div_ceil(BLOCK)
    }
}

impl Visit {
    /// Pieces that were given to their last block.
    pub fn whole_pieces(&self, release: &Release) -> impl Iterator<Item = usize> {
        let given = self.given.iter();
        given.filter(|(piece, blocks)| **blocks >= release.blocks_of(**piece)).map(|it| *it.0)
    }
}

impl Peer {
    pub fn start(release: &Release, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let shared = Arc::new(Shared {
            release: release.clone(),
            manner,
            visits: Mutex::default(),
            news: Condvar::new(),
            ended: AtomicBool::new(false),
        });
        let peer = Self { address: listener.local_addr().unwrap(), shared: Arc::clone(&shared) };
        thread::spawn(move || {
            let mut to_turn_away = shared.manner.turns_away;
            for stream in listener.incoming() {
                if shared.ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                if to_turn_away > 0 {
                    to_turn_away -= 1;
                    continue;
                }
                let shared = Arc::clone(&shared);
                // The other may leave at any moment.
                thread::spawn(move || shared.meet(stream));
            }
        });
        peer
    }

    /// As the settings name it, in quotes.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.address)
    }

    /// Every connection, the oldest first, once all of them are over.
    #[track_caller]
    pub fn past_visits(&self) -> Vec<Visit> {
        let go_on = |visits: &mut Vec<Visit>| visits.iter().any(|visit| !visit.is_over);
        let visits = self.shared.news.wait_timeout_while(self.shared.visits(), PATIENCE, go_on);
        let (visits, waited) = visits.unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "somebody stays: {visits:?}");
        visits.clone()
    }

    /// Waits until somebody came.
    #[track_caller]
    pub fn await_a_visit(&self) {
        let none = |visits: &mut Vec<Visit>| visits.is_empty();
        let visits = self.shared.news.wait_timeout_while(self.shared.visits(), PATIENCE, none);
        let (visits, waited) = visits.unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "nobody came: {visits:?}");
    }

    /// Waits until somebody was given all of a piece.
    #[track_caller]
    pub fn await_a_piece_given(&self) {
        let none = |visits: &mut Vec<Visit>| {
            !visits.iter().any(|visit| visit.whole_pieces(&self.shared.release).next().is_some())
        };
        let visits = self.shared.news.wait_timeout_while(self.shared.visits(), PATIENCE, none);
        let (visits, waited) = visits.unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "nobody got a piece: {visits:?}");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn visits(&self) -> MutexGuard<'_, Vec<Visit>> {
        self.visits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn meet(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut heard = [0; 68];
        stream.read_exact(&mut heard)?;
        if heard[28..48] != self.release.info_hash {
            return Ok(());
        }
        stream.write_all(&hello(&self.release.info_hash))?;
        let number = {
            let mut visits = self.visits();
            visits.push(Visit::default());
            visits.len() - 1
        };
        self.news.notify_all();
        let ended = self.talk(&mut stream, number);
        self.visits()[number].is_over = true;
        self.news.notify_all();
        ended
    }

    fn talk(&self, stream: &mut TcpStream, visit: usize) -> std::io::Result<()> {
        if let Some(nonsense) = &self.manner.nonsense {
            stream.write_all(nonsense)?;
            return std::io::copy(stream, &mut std::io::sink()).map(drop);
        }
        let pieces = self.release.pieces();
        let mut field = vec![0; pieces.div_ceil(8)];
        if !self.manner.has_nothing {
            (0..pieces).for_each(|piece| field[piece / 8] |= 0x80 >> (piece % 8));
        }
        say(stream, BITFIELD, &[&field])?;
        say(stream, UNCHOKE, &[])?;
        loop {
            let message = hear(stream)?;
            match message.split_first() {
                Some((&REQUEST, asked)) => self.give(stream, visit, asked)?,
                Some((&HAVE, piece)) => {
                    self.visits()[visit].told.insert(number_at(piece, 0));
                }
                Some((&BITFIELD, field)) => {
                    let is_set = |piece: &usize| field[piece / 8] & (0x80 >> (piece % 8)) != 0;
                    self.visits()[visit].told.extend((0..pieces).filter(is_set));
                }
                _ => {}
            }
        }
    }

    fn give(&self, stream: &mut TcpStream, visit: usize, asked: &[u8]) -> std::io::Result<()> {
        let [piece, begin, length] = [0, 4, 8].map(|at| number_at(asked, at));
        assert!(length <= BLOCK, "{length} bytes at once");
        self.visits()[visit].asked.insert(piece);
        if self.manner.withholds.contains(&piece) {
            return Ok(());
        }
        thread::sleep(self.manner.pause);
        let start = piece * PIECE + begin;
        let mut block = self.release.content[start..start + length].to_vec();
        if self.manner.lies {
            block.iter_mut().for_each(|byte| *byte = !*byte);
        }
        say(stream, BLOCK_OF_PIECE, &[&asked[..8], &block])?;
        *self.visits()[visit].given.entry(piece).or_default() += 1;
        self.news.notify_all();
        Ok(())
    }
}

fn say(stream: &mut TcpStream, kind: u8, parts: &[&[u8]]) -> std::io::Result<()> {
    let rest = parts.concat();
    let length = u32::try_from(rest.len() + 1).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], &[kind], &rest].concat())
}

/// The next message, without its length.
fn hear(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; number_at(&length, 0)];
    stream.read_exact(&mut message)?;
    Ok(message)
}

fn number_at(bytes: &[u8], at: usize) -> usize {
    let bytes = bytes[at..at + 4].try_into().unwrap();
    u32::from_be_bytes(bytes) as usize
}
