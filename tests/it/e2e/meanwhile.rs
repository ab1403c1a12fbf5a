//! A player who works in the folder while an update is under way: what they made stays or goes to the trash
//! whole, and the rest of the update goes on.

use std::fs;

use super::{Tree, World, next_pack, noise, pack};
use crate::world::{LIMIT, is_nightly};

/// What a player does, in words and in deed: it gives the files that they made.
type Deed = (&'static str, fn(&World) -> Tree);

const DEEDS: &[Deed] = &[
    ("edits a file that changes", |world| makes(world, "mods/core.pak")),
    ("edits a file that goes", |world| makes(world, "maps/old/harbour.map")),
    ("edits a file that stays", |world| makes(world, "shaders/water.glsl")),
    ("makes a file where a new one belongs", |world| makes(world, "maps/new/island.map")),
    ("makes a file where a new folder belongs", makes_in_place_of_a_folder),
    ("makes a file in a folder that goes", |world| makes(world, "maps/old/mine.txt")),
    ("saves a file that changes as editors do", |world| saves(world, "mods/core.pak")),
    ("saves a file that goes as editors do", |world| saves(world, "maps/old/harbour.map")),
    ("deletes a file that changes", deletes_a_file),
    ("deletes a folder of files that stay", deletes_a_folder),
];

/// Why an update may end before it is done when the folder changes under it.
const REASONS: &[&str] = &["folder_changed", "file_in_use"];

fn makes(world: &World, path: &str) -> Tree {
    let made = Tree::default().with(path, noise(4_711, 5_000));
    made.write(&world.pack());
    made
}

/// Writes another file and gives it the name, so that nobody sees half of it.
fn saves(world: &World, path: &str) -> Tree {
    let made = noise(4_712, 5_000);
    let (draft, file) = (world.pack().join("draft"), world.pack().join(path));
    fs::write(&draft, &made).unwrap();
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::rename(draft, file).unwrap();
    Tree::default().with(path, made)
}

fn makes_in_place_of_a_folder(world: &World) -> Tree {
    let is_there = world.pack().join("maps/new").is_dir();
    if is_there { Tree::default() } else { makes(world, "maps/new") }
}

fn deletes_a_file(world: &World) -> Tree {
    let _ = fs::remove_file(world.pack().join("mods/graphics.pak"));
    Tree::default()
}

fn deletes_a_folder(world: &World) -> Tree {
    let _ = fs::remove_dir_all(world.pack().join("mods/extra"));
    Tree::default()
}

#[test]
fn whatever_a_player_does_between_two_changes_of_an_update_is_kept_and_the_rest_goes_on() {
    let world = World::with(&pack());
    world.publish(&next_pack());
    world.keep("before");
    let (mut tried, mut refused) = (0, 0);
    'changes: for (round, at) in (1..).step_by(if is_nightly() { 1 } else { 5 }).enumerate() {
        // Each of them at night, else one after the other.
        let deeds = if is_nightly() { DEEDS } else { &DEEDS[round % DEEDS.len()..][..1] };
        for (what, deed) in deeds {
            world.bring_back("before");
            let sync = match world.spawn_until(at, "sync --json") {
                Ok(sync) => sync,
                Err(ended) => {
                    ended.exits(0);
                    break 'changes;
                }
            };
            let made = deed(&world);
            sync.go_on();
            let ended = sync.end(LIMIT);
            let context = format!("a player {what} before change {at}: {ended:?}");
            tried += 1;
            if ended.code != Some(0) {
                refused += 1;
                let answer = ended.exits(1).json();
                assert!(REASONS.iter().any(|reason| answer["kind"] == *reason), "{context}");
            }
            is_kept_and_the_rest_goes_on(&world, &made, &context);
        }
    }
    assert!(tried > DEEDS.len(), "only {tried} times");
    assert!(refused * 2 < tried, "{refused} of {tried} were refused");
}

/// What a player made while an update was under way outlives the next one too, which does the rest.
#[track_caller]
fn is_kept_and_the_rest_goes_on(world: &World, made: &Tree, context: &str) {
    world.modsync("sync").exits(0);
    let now = world.tree();
    for (path, bytes) in &made.0 {
        let kept = now.0.get(path) == Some(bytes) || world.trash_has(bytes);
        assert!(kept, "`{path}` is lost: {context}");
    }
    let mut of_release = now.clone();
    of_release.0.retain(|path, bytes| made.0.get(path) != Some(bytes));
    assert_eq!(of_release.difference(&next_pack()), [""; 0], "{context}");
    world.modsync("verify").exits(0);
}

#[test]
fn what_another_engine_has_applied_is_taken_in_before_anything_is_done_in_the_folder() {
    let world = World::with(&pack());
    let _engine = world.follow();
    let takes_in = |tree: &Tree, command: &str| {
        world.publish(tree);
        world.modsync_of_another("sync").exits(0);
        world.modsync(command).exits(0);
        world.has(tree);
        let installed = world.status()["installed"].clone();
        assert_eq!(installed["files"], tree.0.len(), "{command}: {installed}");
    };
    let third = next_pack().with("maps/third.map", noise(77, 40_000));
    takes_in(&next_pack(), "clean");
    takes_in(&third, "verify --repair");
    takes_in(&pack(), "plan");
    takes_in(&next_pack(), "sync");
    let started = world.modsync_of_another("status --json").exits(0).json();
    assert_eq!(started["packs"][0]["installed"], world.status()["installed"]);
}
