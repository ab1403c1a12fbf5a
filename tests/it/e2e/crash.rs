//! SIGKILL at any moment: every file is old or new, nothing of the player is lost, and the next start goes on.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::{Tree, World, noise};
use crate::world::{LIMIT, Running, is_nightly};

const BIG: usize = 2_000_000;
const PIECE: u64 = 32 << 10;

/// Two releases with so many differences that applying one takes a while.
fn releases() -> (Tree, Tree) {
    let files = |seeds: fn(u64) -> u64| {
        (0..150).fold(Tree::default(), |tree, n| {
            tree.with(&format!("mods/{}/{n:03}.pak", n % 7), noise(seeds(n), 3_000))
        })
    };
    let old = files(|n| n).with("old/only.txt", "only in the old one").with("old/too.txt", "too");
    let new = files(|n| if n % 5 == 0 { n } else { n + 1_000 }).with("new/only.txt", "only new");
    (old, new)
}

/// Files of the player: an extra one, one that the old release has as well, and one that both have.
fn mine() -> Tree {
    Tree::default()
        .with("saves/slot 1.sav", noise(5_000, 4_000))
        .with("old/too.txt", "edited by the player")
        .with("mods/1/001.pak", "edited by the player, too")
}

#[track_caller]
fn each_file_is_old_or_new(now: &Tree, old: &Tree, new: &Tree, mine: &Tree) {
    for (path, bytes) in &now.0 {
        let known = [old, new, mine].into_iter().any(|tree| tree.0.get(path) == Some(bytes));
        assert!(known, "`{path}` has {} bytes of no release", bytes.len());
    }
    let both = old.0.keys().filter(|path| new.0.contains_key(*path));
    for path in both {
        assert!(now.0.contains_key(path), "`{path}` of both releases is gone");
    }
}

#[track_caller]
fn nothing_of_mine_is_lost(world: &World, mine: &Tree) {
    let now = world.tree();
    for (path, bytes) in &mine.0 {
        let kept = now.0.get(path) == Some(bytes) || world.trash_has(bytes);
        assert!(kept, "`{path}` of the player is lost");
    }
}

/// Waits until a file appears, or the command ends without it.
fn appears(file: &Path, command: &mut Running) -> bool {
    let end = Instant::now() + Duration::from_secs(30);
    while !file.exists() {
        if command.has_ended() || Instant::now() > end {
            return false;
        }
        thread::sleep(Duration::from_micros(200));
    }
    true
}

#[test]
fn a_kill_in_the_middle_of_an_apply_is_made_good_at_the_next_start() {
    let (old, new) = releases();
    let mut in_the_middle = 0;
    for round in 0..5 {
        let world = World::with(&old);
        mine().write(&world.pack());
        world.publish(&new);
        let mut sync = world.spawn("sync");
        assert!(appears(&world.own("journal"), &mut sync), "{:?}", sync.end(LIMIT));
        thread::sleep(Duration::from_millis(round * 4));
        sync.sigkill();
        in_the_middle += u32::from(world.own("journal").exists());
        each_file_is_old_or_new(&world.tree(), &old, &new, &mine());
        nothing_of_mine_is_lost(&world, &mine());

        // Neither network nor a person is needed for this.
        world.origin.take_log();
        world.modsync("status").exits(0);
        assert_eq!(world.origin.take_log(), []);
        let left = mine().without("mods/1/001.pak");
        world.has(&new.clone().and(&left));
        nothing_of_mine_is_lost(&world, &mine());
        assert!(!world.own("journal").exists());
        world.modsync("sync").exits(0).says("up to date");
        world.modsync("verify").exits(0);
    }
    assert!(in_the_middle > 0, "no kill came in the middle");
}

#[test]
fn a_kill_in_the_middle_of_a_rollback_still_goes_back_and_stays_there() {
    let (old, new) = releases();
    for round in 0..3 {
        let world = World::with(&old);
        world.publish(&new);
        world.modsync("sync").exits(0);
        let mut rollback = world.spawn("rollback");
        let started = appears(&world.own("journal"), &mut rollback);
        assert!(started, "{:?}", rollback.end(LIMIT));
        thread::sleep(Duration::from_millis(round * 4));
        rollback.sigkill();
        each_file_is_old_or_new(&world.tree(), &old, &new, &Tree::default());

        world.modsync("sync").exits(0);
        world.has(&old);
        world.modsync("verify").exits(0);
        world.modsync("apply").exits(0);
        world.has(&new);
    }
}

/// A player with an update to come in which everything changes that can.
struct ToCome {
    world: World,
    old: Tree,
    new: Tree,
    mine: Tree,
}

impl ToCome {
    /// What the folder has when it is applied.
    fn applied(&self) -> Tree {
        self.new.clone().and(&self.mine.clone().without("config/game.toml"))
    }

    #[track_caller]
    fn nothing_is_lost(&self) {
        each_file_is_old_or_new(&self.world.tree(), &self.old, &self.new, &self.mine);
        nothing_of_mine_is_lost(&self.world, &self.mine);
    }
}

fn everything_to_come() -> ToCome {
    let moved = noise(40, 30_000);
    let old = super::pack()
        .with("becomes a folder", noise(41, 500))
        .with("becomes a file/inner.pak", noise(42, 600))
        .with("old name.pak", moved.clone());
    let new = super::next_pack()
        .with("becomes a folder/inner.pak", noise(43, 700))
        .with("becomes a file", noise(44, 800))
        .with("new name.pak", moved);
    let mine = Tree::default()
        .with("saves/slot 1.sav", noise(45, 4_000))
        .with("notes.txt", "mine")
        .with("config/game.toml", "edited by the player");
    let world = World::with(&old);
    world.set("max_removed_percent", "60");
    mine.write(&world.pack());
    world.publish(&new.clone().with("config/game.toml", noise(46, 700)));
    let new = new.with("config/game.toml", noise(46, 700));
    ToCome { world, old, new, mine }
}

#[test]
fn a_kill_before_any_change_of_an_update_is_made_good_without_network() {
    let to_come = everything_to_come();
    let world = &to_come.world;
    let before = world.tree();
    world.keep("before");
    let (mut ended_old, mut ended_new) = (0, 0);
    for at in (1..).step_by(if is_nightly() { 1 } else { 7 }) {
        world.bring_back("before");
        let sync = match world.spawn_with_fault("kill", at, "sync").end(LIMIT) {
            ended if ended.code.is_none() => ended,
            ended => {
                ended.exits(0);
                break;
            }
        };
        to_come.nothing_is_lost();
        world.origin.take_log();
        world.modsync("status").exits(0);
        assert_eq!(world.origin.take_log(), [], "{at}: {sync:?}");
        to_come.nothing_is_lost();
        if world.tree() == before {
            ended_old += 1;
        } else {
            world.has(&to_come.applied());
            ended_new += 1;
        }
    }
    assert!(ended_old > 3 && ended_new > 5, "{ended_old} old, {ended_new} new");
    world.has(&to_come.applied());
    world.modsync("verify").exits(0);
}

#[test]
fn a_kill_before_any_single_change_of_a_recovery_is_made_good_without_network() {
    let to_come = everything_to_come();
    let world = &to_come.world;
    let mut sync = world.spawn("sync");
    assert!(appears(&world.own("journal"), &mut sync), "{:?}", sync.end(LIMIT));
    sync.sigkill();
    assert!(world.own("journal").exists(), "the kill came too late");
    world.keep("killed");
    for at in 1.. {
        world.bring_back("killed");
        let recovery = world.spawn_with_fault("kill", at, "status").end(LIMIT);
        to_come.nothing_is_lost();
        world.modsync("status").exits(0);
        world.has(&to_come.applied());
        to_come.nothing_is_lost();
        if recovery.code.is_some() {
            recovery.exits(0);
            assert!(at > 15, "only {at} changes");
            break;
        }
    }
}

#[test]
fn kills_at_any_moment_end_in_the_new_release() {
    let (old, new) = releases();
    let world = World::with(&old);
    let start = Instant::now();
    world.publish(&new);
    world.modsync("sync").exits(0);
    let usual = start.elapsed();
    let mut chance = fastrand::Rng::with_seed(1);
    let mine = Tree::default().with("saves/slot 1.sav", noise(5_000, 4_000));
    mine.write(&world.pack());

    for round in 0..6 {
        let (from, to) = if round % 2 == 0 { (&new, &old) } else { (&old, &new) };
        world.publish(to);
        for _ in 0..3 {
            let sync = world.spawn("sync");
            thread::sleep(usual.mul_f64(chance.f64()));
            sync.sigkill();
            each_file_is_old_or_new(&world.tree(), from, to, &mine);
        }
        world.modsync("sync").exits(0);
        world.has(&to.clone().and(&mine));
        world.modsync("verify").exits(0);
    }
}

#[test]
fn a_kill_in_the_middle_of_a_fetch_loses_nothing_that_was_verified() {
    let old = Tree::default().with("readme.txt", "old").with("maps/small.map", noise(1, 50_000));
    let new = old.clone().with("readme.txt", "new").with("maps/big.map", noise(2, BIG));
    let world = World::with(&old);
    let mine = Tree::default().with("saves/slot 1.sav", noise(3, 4_000));
    mine.write(&world.pack());
    let seeded = world.publish(&new);
    world.seeder.limit_upload(Some(300));

    let mut sync = world.spawn("sync");
    sync.says("fetching 3");
    sync.sigkill();
    world.has(&old.clone().and(&mine));
    let sent = world.seeder.sent(&seeded);
    assert!((500_000..1_500_000).contains(&sent), "{sent} bytes were sent");

    world.seeder.limit_upload(None);
    world.modsync("sync").exits(0);
    world.has(&new.clone().and(&mine));
    // What was under way when it died is sent again: a piece or two that were not whole yet.
    let again = world.seeder.sent(&seeded) - seeded.layout.sent_for(&old, &new);
    assert!(again <= 2 * PIECE, "{again} bytes were sent twice");
    world.modsync("verify").exits(0);
}
