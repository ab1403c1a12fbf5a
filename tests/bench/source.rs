//! [`Source`]: where a pack can be fetched, as each program wants to be told of it.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::peers::Libtorrent;
use crate::shapes::Release;
use crate::world::{Running, World};

/// How long it takes at most until the seeder has written down what it sent.
const LAG: Duration = Duration::from_millis(100);

/// A seeder that has all of a release, and a tracker for those that cannot be told of it. The seeder is
/// libtorrent: Transmission 3 sends what was asked for only twice a second, and would be what is measured.
#[derive(Debug)]
pub struct Source {
    _seeder: Running,
    address: SocketAddr,
    counter: PathBuf,
    tracker: Tracker,
}

impl Source {
    /// Makes ModSync know of it, too. It sends no more than so many bytes a second.
    pub fn start(world: &World, release: &Release, limit: Option<u32>) -> Self {
        let (torrent, counter) = (world.at("seeded.torrent"), world.at("sent"));
        fs::write(&torrent, &release.torrent).unwrap();
        let limit = limit.unwrap_or_default();
        let mut seeder = Libtorrent::find().seed(&torrent, &release.folder, &counter, limit);
        let port = seeder.says("listens at ").trim().rsplit(' ').next().unwrap().parse().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        world.set("peers", &format!("['{address}']"));
        Self { _seeder: seeder, address, counter, tracker: Tracker::start(port) }
    }

    pub fn peer(&self) -> String {
        self.address.to_string()
    }

    pub fn tracker(&self) -> String {
        format!("http://{}/announce", self.tracker.address)
    }

    /// Bytes so far.
    pub fn sent(&self) -> u64 {
        fs::read_to_string(&self.counter).map_or(0, |sent| sent.parse().unwrap_or_default())
    }

    /// Bytes so far, when nobody fetches any more.
    pub fn sent_in_all(&self) -> u64 {
        thread::sleep(LAG);
        self.sent()
    }
}

/// Answers every request with the same peer, by its port.
#[derive(Debug)]
struct Tracker {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl Tracker {
    fn start(peer: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&ended);
        let mut body = b"d8:intervali60e5:peers6:".to_vec();
        body.extend([&[127, 0, 0, 1][..], &peer.to_be_bytes(), b"e"].concat());
        let head = format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let answer = [head.into_bytes(), body].concat();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                // Who asks may leave at any moment.
                let _ = stream.and_then(|stream| reply(stream, &answer));
            }
        });
        Self { address, ended }
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

fn reply(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    // A request for an announcement fits into one packet.
    let _ = stream.read(&mut [0; 4096])?;
    stream.write_all(answer)
}
