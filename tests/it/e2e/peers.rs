//! Peers that lie, and strangers who knock: nothing false reaches the folder, and the honest ones are enough.

use std::fs;
use std::io::Write;
use std::net::TcpStream;

use super::{World, next_pack, noise, pack};
use crate::transmission::{Transmission, free_address};

/// An update whose seeder has other bytes on its disk than it says, and does not know.
fn lied_to() -> (World, Vec<u8>) {
    let world = World::with(&pack());
    let (torrent, _) = world.prepare(&next_pack());
    world.origin.publish(torrent.clone());
    let files = world.at("releases/2/Pack");
    for name in ["maps/castle.map", "mods/core.pak", "maps/new/island.map"] {
        let length = fs::metadata(files.join(name)).unwrap().len() as usize;
        fs::write(files.join(name), noise(7_777, length)).unwrap();
    }
    world.set_network("give_up_after", "\"4s\"");
    (world, torrent)
}

/// Another seeder of the update.
fn honest(world: &World, torrent: &[u8]) -> Transmission {
    let honest = Transmission::start(&world.at("honest"));
    let files = world.at("honest/files");
    next_pack().write(&files.join("Pack"));
    honest.seed(torrent, &files);
    honest
}

#[test]
fn a_seeder_that_lies_is_given_up_and_nothing_of_it_is_kept() {
    let (world, torrent) = lied_to();
    world.modsync("sync").exits(1).says("nobody who has it");
    world.has(&pack());
    world.modsync("verify").exits(0);

    let honest = honest(&world, &torrent);
    world.set("peers", &format!("[{:?}]", honest.peer()));
    world.set_network("give_up_after", "\"60s\"");
    world.modsync("sync").exits(0);
    world.has(&next_pack());
    world.modsync("verify").exits(0);
}

#[test]
fn beside_a_seeder_that_lies_an_honest_one_is_enough() {
    let (world, torrent) = lied_to();
    let honest = honest(&world, &torrent);
    world.set("peers", &format!("[{:?}, {:?}]", world.seeder.peer(), honest.peer()));
    world.set_network("give_up_after", "\"60s\"");
    world.modsync("sync").exits(0);
    world.has(&next_pack());
    world.modsync("verify").exits(0);
}

#[test]
fn strangers_who_send_garbage_disturb_nobody() {
    let world = World::with(&pack());
    let port = free_address().port();
    world.set_network("listen_port", &port.to_string());
    let engine = world.follow();
    world.await_status("seeds", |pack| !pack["seeding"].is_null());
    let resident = || {
        let status = fs::read_to_string(format!("/proc/{}/status", engine.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    };
    let before = resident();
    let strangers: Vec<_> = (0..500)
        .map(|n| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let _ = stream.write_all(&noise(n, 400));
            stream
        })
        .collect();
    world.publish(&next_pack());
    world.modsync("sync").exits(0);
    world.has(&next_pack());
    let after = resident();
    assert!(after < before + 50, "{before} MiB and then {after}");
    drop(strangers);
}
