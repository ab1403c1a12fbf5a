//! What the worst torrents of the greatest size cost to read or refuse, and whether that is too much.

use std::fs;
use std::time::Duration;

use crate::Options;
use crate::it::world::World;
use crate::it::worst;
use crate::measure;

/// More than this of a CPU, or of memory in bytes, no torrent may cost.
const LIMIT: (Duration, u64) = (Duration::from_secs(1), 200_000_000);

pub fn run(options: Options) {
    let world = World::new();
    let file = world.at("worst.torrent");
    let mut too_much = Vec::new();
    for (what, bytes) in
        worst::torrents().into_iter().take(if options.short { 2 } else { usize::MAX })
    {
        fs::write(&file, bytes).unwrap();
        let mut command = world.command("inspect --json");
        command.arg(&file);
        let (ran, cost) = measure::end_of(command, || true).unwrap();
        let end = match ran.code {
            Some(0) => "read",
            Some(1) => "refused",
            code => panic!("{what}: {code:?}: {}", ran.stderr),
        };
        let (cpu, peak) = (cost.cpu.as_secs_f64(), cost.peak as f64 / 1e6);
        println!("{what:<14} {end:<8} {cpu:6.2} s {peak:6.0} MB");
        if cost.cpu > LIMIT.0 || cost.peak > LIMIT.1 {
            too_much.push(what);
        }
    }
    // Nothing is measured where nothing is optimised.
    assert!(cfg!(debug_assertions) || too_much.is_empty(), "too much for {too_much:?}");
}
