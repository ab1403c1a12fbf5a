//! SIGKILL again and again while something is fetched: what was verified is not asked for again, but for the few
//! pieces that were on their way to the disk.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use super::{Tree, World, noise};
use crate::peer::{Manner, Peer, Release};
use crate::world::is_nightly;

/// Before each block: slow enough to be killed in the middle.
const PAUSE: Duration = Duration::from_millis(3);
/// Pieces that one kill may cost: one in the middle, and those that came and were not looked at or not written yet.
const IN_FLIGHT: usize = 4;

#[test]
fn kills_at_any_moment_of_a_fetch_cost_no_more_than_what_was_in_flight() {
    let mut kills_left = if is_nightly() { 200 } else { 12 };
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut chance = fastrand::Rng::with_seed(seed);
    let world = World::new();
    // An undisturbed one tells how long it takes.
    let start = Instant::now();
    Fetch::begin(&world, 0).ends(&world);
    let usual = start.elapsed();

    let (mut kept, mut visits) = (0, 0);
    for number in 1.. {
        let mut fetch = Fetch::begin(&world, number);
        let mut kills = 0;
        while kills_left > 0 {
            let mut sync = world.spawn("sync");
            thread::sleep(usual.mul_f64(chance.f64()));
            if sync.has_ended() {
                break;
            }
            sync.sigkill();
            kills += 1;
            kills_left -= 1;
            fetch.costs_what_was_in_flight(kills, seed);
        }
        kept += fetch.kept();
        visits += fetch.visits_that_gave();
        fetch.ends(&world);
        fetch.costs_what_was_in_flight(kills, seed);
        let twice = fetch.given_twice();
        assert!(twice <= IN_FLIGHT * kills, "seed {seed}: {twice} pieces twice for {kills} kills");
        if kills_left == 0 {
            break;
        }
    }
    let (least_kept, least_visits) = if is_nightly() { (500, 60) } else { (1, 1) };
    assert!(kept >= least_kept, "seed {seed}: only {kept} pieces outlived a kill");
    assert!(visits >= least_visits, "seed {seed}: only {visits} kills came while pieces did");
    world.modsync("verify").exits(0);
}

/// A release that is fetched in as many attempts as it takes.
struct Fetch {
    tree: Tree,
    seeder: Peer,
    /// Who has nothing is told of every piece that was verified.
    witness: Peer,
    /// Connections to the seeder that were looked at.
    seen: usize,
    /// Pieces that the player was sure of at the end of the last attempt.
    verified: BTreeSet<usize>,
    /// How many of those it asked for again.
    lost: usize,
}

impl Fetch {
    fn begin(world: &World, number: u64) -> Self {
        let tree = Tree::default()
            .with("maps/always.map", noise(5, 700_000))
            .with("maps/big.map", noise(1_000 + number, 2_000_000))
            .with("mods/small.pak", noise(2_000 + number, 70_000))
            .with("readme.txt", noise(3_000 + number, 900));
        let release = Release::of(&tree);
        let seeder = Peer::start(&release, Manner { pause: PAUSE, ..Manner::default() });
        let witness = Peer::start(&release, Manner { has_nothing: true, ..Manner::default() });
        world.set("peers", &format!("[{}, {}]", seeder.quoted(), witness.quoted()));
        world.origin.publish(release.torrent);
        Self { tree, seeder, witness, seen: 0, verified: BTreeSet::new(), lost: 0 }
    }

    #[track_caller]
    fn ends(&self, world: &World) {
        world.modsync("sync").exits(0);
        world.has(&self.tree);
    }

    /// After an attempt: of what the player was sure of before it, no more was asked for than the kills may have cost.
    #[track_caller]
    fn costs_what_was_in_flight(&mut self, kills: usize, seed: u64) {
        let visits = self.seeder.past_visits();
        let asked = visits[self.seen..].iter().flat_map(|visit| &visit.asked);
        self.lost += asked.filter(|piece| self.verified.remove(piece)).count();
        let lost = self.lost;
        assert!(lost <= IN_FLIGHT * kills, "seed {seed}: {lost} pieces again for {kills} kills");
        self.seen = visits.len();
        let told = visits.into_iter().chain(self.witness.past_visits());
        self.verified.extend(told.flat_map(|visit| visit.told));
    }

    /// Pieces that came and were verified.
    fn kept(&self) -> usize {
        let visits = self.seeder.past_visits();
        let given: BTreeSet<_> = visits.iter().flat_map(|visit| visit.given.keys()).collect();
        given.into_iter().filter(|piece| self.verified.contains(piece)).count()
    }

    /// Connections over which something came.
    fn visits_that_gave(&self) -> usize {
        self.seeder.past_visits().iter().filter(|visit| !visit.given.is_empty()).count()
    }

    fn given_twice(&self) -> usize {
        let visits = self.seeder.past_visits();
        let given: Vec<_> = visits.iter().flat_map(|visit| visit.given.keys()).collect();
        given.len() - given.iter().collect::<BTreeSet<_>>().len()
    }
}
