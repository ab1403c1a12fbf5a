//! A peer that gives all but the last piece and then nothing more, for ever.

use std::fs;

use serde_json::json;

use super::{World, next_pack, noise, pack};
use crate::peer::{Manner, Peer, Release};
use crate::transmission::Seeded;
use crate::world::{LIMIT, Running};

/// An update, and a peer that withholds the last piece of it.
struct Stalled {
    world: World,
    release: Release,
    peer: Peer,
}

impl Stalled {
    fn new() -> Self {
        let world = World::with(&pack());
        let release = Release::of(&next_pack());
        let withholds = [release.pieces() - 1].into();
        let peer = Peer::start(&release, Manner { withholds, ..Manner::default() });
        world.set("peers", &format!("[{}]", peer.quoted()));
        world.origin.publish(release.torrent.clone());
        Self { world, release, peer }
    }

    /// Somebody who has it all, too.
    fn joined_by_an_honest_one(&self) -> Seeded {
        let files = self.world.at("honest");
        next_pack().write(&files.join("Pack"));
        let seeded = self.world.seeder.seed(&self.release.torrent, &files);
        let honest = self.world.seeder.peer();
        self.world.set("peers", &format!("[{}, {honest:?}]", self.peer.quoted()));
        seeded
    }

    /// Waits until the running engine has all but the last piece; bytes of that one.
    fn await_all_but_the_last_piece(&self) -> u64 {
        let last = self.last_piece();
        self.world.await_status("all but the last piece", |pack| {
            let progress = &pack["phase"]["progress"];
            let left = progress["total"].as_u64().zip(progress["done"].as_u64());
            left.is_some_and(|(total, done)| done > 0 && total - done == last)
                && progress["peers"] == 1
        });
        last
    }

    /// Bytes of the piece that never comes.
    fn last_piece(&self) -> u64 {
        let total: usize = next_pack().0.values().map(Vec::len).sum();
        (total - (self.release.pieces() - 1) * crate::peer::PIECE) as u64
    }
}

/// MiB that the process has in memory.
fn resident(process: &Running) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn a_peer_that_stalls_before_the_end_is_told_of_and_given_up_and_what_it_gave_is_kept() {
    let stalled = Stalled::new();
    let world = &stalled.world;
    world.set("auto_apply", "true");
    world.set_network("give_up_after", "\"8s\"");
    let engine = world.follow();
    let last = stalled.await_all_but_the_last_piece();
    let before = resident(&engine);
    let status = world.await_status("given up", |pack| pack["phase"]["phase"] == "waiting");
    let after = resident(&engine);
    let short = &status["offered"]["digest"].as_str().unwrap()[..8];
    assert_eq!(
        status["phase"]["fault"],
        json!({
            "kind": "no_peers",
            "what": format!("could not fetch Pack ({short}): \
                none of 1 connected peers sent anything for 8s"),
            "hint": "What was fetched is kept; ask the admin whether a seeder runs.",
        })
    );
    assert!(after <= before + 10, "{before} MiB and then {after}");
    world.has(&pack());
    world.modsync("verify").exits(0);
    assert_eq!(engine.sigkill().code, None);

    let seeded = stalled.joined_by_an_honest_one();
    world.set_network("give_up_after", "\"24s\"");
    world.modsync("sync").exits(0);
    world.has(&next_pack());
    assert_eq!(world.seeder.sent(&seeded), last + last.div_ceil(16 << 10) * 13);
}

#[test]
fn a_release_published_while_another_stalls_is_taken_instead_with_what_came_of_that_one() {
    let stalled = Stalled::new();
    let world = &stalled.world;
    world.set("auto_apply", "true");
    world.set("check_interval", "\"10s\"");
    let _engine = world.follow();
    stalled.await_all_but_the_last_piece();

    let third = next_pack().with("zz-last.txt", noise(95, 10));
    let release = Release::of(&third);
    let files = world.at("third");
    third.write(&files.join("Pack"));
    let seeded = world.seeder.seed(&release.torrent, &files);
    world.set("peers", &format!("[{:?}]", world.seeder.peer()));
    world.origin.publish(release.torrent);
    world.await_status("current", |pack| pack["phase"]["phase"] == "current");
    world.has(&third);
    let last = stalled.last_piece();
    assert_eq!(world.seeder.sent(&seeded), last + last.div_ceil(16 << 10) * 13);
}

#[test]
fn beside_a_peer_that_stalls_an_honest_one_is_enough() {
    let stalled = Stalled::new();
    stalled.joined_by_an_honest_one();
    stalled.world.set_network("give_up_after", "\"24s\"");
    stalled.world.spawn("sync").end(LIMIT / 2).exits(0);
    let visits = stalled.peer.past_visits();
    assert!(visits.iter().any(|visit| !visit.asked.is_empty()), "it was not asked: {visits:?}");
    stalled.world.has(&next_pack());
    stalled.world.modsync("verify").exits(0);
}
