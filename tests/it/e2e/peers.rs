//! Peers that lie, and strangers who knock: nothing false reaches the folder, and the honest ones are enough.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use modsync::origin::metainfo;
use serde_json::json;

use super::{Tree, World, next_pack, noise, pack};
use crate::peer::{Manner, PIECE, Peer, Release, hello, nonsense, request};
use crate::transmission::free_address;
use crate::world::{LIMIT, Ran, Running};

/// Far more of a file than is there by chance.
const A_LIE: usize = 4 << 10;
/// Bytes that a small pack may take, whoever sends it.
const MEMORY: u64 = 100 << 20;

/// Waits for the end of what has not taken much memory.
#[track_caller]
fn ends_small(sync: Running) -> Ran {
    let (ran, peak) = sync.end_with_peak();
    assert!((1..MEMORY).contains(&peak), "{peak} bytes: {ran:?}");
    ran
}

/// An update, and a peer that has other bytes for all of it.
struct LiedTo {
    world: World,
    release: Release,
    liar: Peer,
}

impl LiedTo {
    fn new() -> Self {
        let world = World::with(&pack());
        let release = Release::of(&next_pack());
        let liar = Peer::start(&release, Manner { lies: true, ..Manner::default() });
        world.set("peers", &format!("[{}]", liar.quoted()));
        world.origin.publish(release.torrent.clone());
        Self { world, release, liar }
    }

    /// Somebody who has it all, too.
    fn joined_by_an_honest_one(&self) {
        let files = self.world.at("honest");
        next_pack().write(&files.join("Pack"));
        self.world.seeder.seed(&self.release.torrent, &files);
        let honest = self.world.seeder.peer();
        self.world.set("peers", &format!("[{}, {honest:?}]", self.liar.quoted()));
    }

    /// Whole pieces of lies that somebody took, one visit after the other.
    fn pieces_given(&self) -> Vec<usize> {
        let visits = self.liar.past_visits();
        visits.iter().map(|visit| visit.whole_pieces(&self.release).count()).collect()
    }

    /// Files of the update of which lies came as far as the disk.
    fn lies_on_disk(&self) -> Vec<String> {
        let staged = Tree::read(&self.world.own("staging"));
        let is_lie = |(a, b): &(&u8, &u8)| **a == !**b;
        let mut lies: Vec<_> = next_pack()
            .0
            .into_iter()
            .zip(0..)
            .filter(|((_, honest), entry)| {
                let of_it = |(at, _): &(&String, _)| at.ends_with(&format!("/{entry}"));
                let mut staged = staged.0.iter().filter(of_it);
                staged.any(|(_, bytes)| bytes.iter().zip(honest).filter(is_lie).count() >= A_LIE)
            })
            .map(|((path, _), _)| path)
            .collect();
        lies.sort();
        lies
    }
}

#[test]
fn a_peer_that_lies_is_given_up_and_nothing_of_it_is_kept() {
    let lied_to = LiedTo::new();
    let world = &lied_to.world;
    world.set_network("give_up_after", "\"4s\"");
    let fault = ends_small(world.spawn("sync --json")).exits(1).json();
    assert_eq!(fault["kind"], json!("no_peers"), "{fault}");
    let given = lied_to.pieces_given();
    assert!(given.iter().sum::<usize>() > 0, "it told no lie: {given:?}");
    assert_eq!(lied_to.lies_on_disk(), [""; 0]);
    world.has(&pack());
    world.modsync("verify").exits(0);

    lied_to.joined_by_an_honest_one();
    world.set_network("give_up_after", "\"60s\"");
    world.modsync("sync").exits(0);
    world.has(&next_pack());
    world.modsync("verify").exits(0);
}

#[test]
fn beside_a_peer_that_lies_an_honest_one_is_enough() {
    let lied_to = LiedTo::new();
    let world = &lied_to.world;
    lied_to.joined_by_an_honest_one();
    // Who is honest waits until the other has lied.
    world.seeder.limit_upload(Some(0));
    world.set_network("give_up_after", "\"60s\"");
    let sync = world.spawn("sync");
    lied_to.liar.await_a_piece_given();
    world.seeder.limit_upload(None);
    ends_small(sync).exits(0);
    let given = lied_to.pieces_given();
    assert!(given.iter().sum::<usize>() > 0, "it told no lie: {given:?}");
    world.has(&next_pack());
    world.modsync("verify").exits(0);
}

#[test]
fn beside_peers_that_talk_nonsense_an_honest_one_is_enough() {
    let world = World::with(&pack());
    let release = Release::of(&next_pack());
    let fools = nonsense().map(|nonsense| {
        Peer::start(&release, Manner { nonsense: Some(nonsense), ..Manner::default() })
    });
    let files = world.at("honest");
    next_pack().write(&files.join("Pack"));
    world.seeder.seed(&release.torrent, &files);
    let quoted = fools.each_ref().map(Peer::quoted).join(", ");
    world.set("peers", &format!("[{quoted}, {:?}]", world.seeder.peer()));
    world.origin.publish(release.torrent);
    // Who is honest waits until all of the others were heard.
    world.seeder.limit_upload(Some(0));
    world.set_network("give_up_after", "\"60s\"");
    let sync = world.spawn("sync");
    fools.iter().for_each(Peer::await_a_visit);
    world.seeder.limit_upload(None);
    ends_small(sync).exits(0);
    world.has(&next_pack());
    world.modsync("verify").exits(0);
}

#[test]
fn a_peer_that_hung_up_on_us_is_called_again_before_the_fetch_is_given_up() {
    let world = World::with(&pack());
    let release = Release::of(&next_pack());
    let busy = Peer::start(&release, Manner { turns_away: 1, ..Manner::default() });
    world.set("peers", &format!("[{}]", busy.quoted()));
    world.set_network("give_up_after", "\"6s\"");
    world.origin.publish(release.torrent);
    world.modsync("sync").exits(0);
    world.has(&next_pack());
}

#[test]
fn padding_is_zeros_or_the_torrent_is_refused() {
    for (byte, is_fine) in [(0, true), (7, false)] {
        let world = World::new();
        let (release, tree) = Release::padded_with(byte, &[5_000, 100]);
        let seeder = Peer::start(&release, Manner::default());
        world.set("peers", &format!("[{}]", seeder.quoted()));
        world.origin.publish(release.torrent);
        let ran = world.modsync("sync --json");
        if is_fine {
            ran.exits(0);
            world.has(&tree);
        } else {
            let fault = ran.exits(1).json();
            assert_eq!(fault["kind"], json!("bad_metainfo"), "{fault}");
            world.has(&Tree::default());
        }
    }
}

#[test]
fn what_peers_do_not_send_of_padding_is_zeros_whatever_came_before() {
    let world = World::new();
    // librqbit asks for the ends of files first; each has more padding than those before.
    let lengths: Vec<_> = (0..60).map(|n| PIECE + 30_000 - n * 400).collect();
    let (release, tree) = Release::padded_with(0, &lengths);
    let seeder = Peer::start(&release, Manner::default());
    world.set("peers", &format!("[{}]", seeder.quoted()));
    world.origin.publish(release.torrent);
    // Where something is there already, librqbit knows of padding, and writes nothing of it.
    Tree::default().with("0.pak", tree.bytes("0.pak")).write(&world.pack());
    world.modsync("sync").exits(0);
    world.has(&tree);
}

/// A player who has the pack and gives it to others.
struct Seeding {
    world: World,
    engine: Running,
    port: u16,
    info_hash: [u8; 20],
}

impl Seeding {
    fn start() -> Self {
        let world = World::new();
        let (torrent, _) = world.prepare(&pack());
        let info_hash = metainfo::parse(&torrent).unwrap().info_hash.0;
        world.origin.publish(torrent);
        world.modsync("sync").exits(0);
        let port = free_address().port();
        world.set_network("listen_port", &port.to_string());
        let engine = world.follow();
        world.await_status("seeds", |pack| !pack["seeding"].is_null());
        Self { world, engine, port, info_hash }
    }
}

#[test]
fn a_stranger_who_asks_for_ever_more_and_takes_nothing_is_cut_off_before_it_costs_much() {
    let Seeding { world, engine, port, info_hash } = Seeding::start();
    let mut stranger = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stranger.write_all(&hello(&info_hash)).unwrap();
    let requests: Vec<u8> = (0..10_000u32).flat_map(|n| request(n % 40)).collect();
    let sent = (0..2_000).take_while(|_| stranger.write_all(&requests).is_ok()).count();
    assert!(sent < 2_000, "it was never cut off");
    let peak = engine.peak_memory().unwrap();
    assert!(peak < 1 << 30, "{peak} bytes");
    world.await_status("seeds again", |pack| !pack["seeding"].is_null());
}

#[test]
fn strangers_who_send_garbage_disturb_nobody() {
    let Seeding { world, engine, port, info_hash } = Seeding::start();
    let resident = || {
        let status = fs::read_to_string(format!("/proc/{}/status", engine.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    };
    let handles = || fs::read_dir(format!("/proc/{}/fd", engine.id())).unwrap().count();
    let before = (resident(), handles());
    let nonsense = nonsense();
    let mut strangers: Vec<_> = (0..500)
        .map(|n| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let said = match n % 4 {
                0 => noise(n, 400),
                1 => hello(&[n as u8; 20]),
                2 => [hello(&info_hash), nonsense[n as usize / 4 % 3].clone()].concat(),
                _ => Vec::new(),
            };
            let _ = stream.write_all(&said);
            stream
        })
        .collect();
    // Who knows the pack is let in.
    let mut answer = [0; 68];
    strangers[2].set_read_timeout(Some(LIMIT)).unwrap();
    strangers[2].read_exact(&mut answer).unwrap();
    assert_eq!(answer[28..48], info_hash);
    world.publish(&next_pack());
    world.modsync("sync").exits(0);
    world.has(&next_pack());
    let after = resident();
    assert!(after < before.0 + 50, "{} MiB and then {after}", before.0);
    drop(strangers);
    // librqbit closes a connection that came to nothing when the next one comes.
    assert!(handles() < before.1 + 500, "{} handles and then {}", before.1, handles());
}
