//! What the worst torrents of the greatest size cost to read or refuse.

use std::fs;
use std::time::Instant;

use crate::Options;
use crate::it::world::{Running, World};
use crate::it::worst;

pub fn run(options: Options) {
    let world = World::new();
    let file = world.at("worst.torrent");
    for (what, bytes) in
        worst::torrents().into_iter().take(if options.short { 2 } else { usize::MAX })
    {
        fs::write(&file, bytes).unwrap();
        let mut command = world.command("inspect --json");
        command.arg(&file);
        let start = Instant::now();
        let (ran, peak) = Running::start(command).end_with_peak();
        let seconds = start.elapsed().as_secs_f64();
        let end = if ran.code == Some(0) { "read" } else { "refused" };
        println!("{what:<14} {end:<8} {seconds:6.2} s {:6.0} MB", peak as f64 / 1e6);
    }
}
