//! Damage is found and mended, and nothing else is fetched for it.

use std::fs::{self, File};
use std::time::SystemTime;

use serde_json::json;

use super::{Tree, World, noise, pack};
use crate::world::LIMIT;

/// Damages a file as a failing disk does: nothing but the bytes shows it.
fn rot(world: &World, damaged: &Tree, path: &str) {
    let file = world.pack().join(path);
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    fs::write(&file, damaged.bytes(path)).unwrap();
    File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
}

#[test]
fn verify_finds_damage_after_a_restart_and_a_repair_fetches_only_the_bad_pieces() {
    let pack = pack();
    let world = World::new();
    let seeded = world.publish(&pack);
    world.modsync("sync").exits(0);
    let damaged = pack.clone().damaged("mods/core.pak").damaged("shaders/water.glsl");
    rot(&world, &damaged, "mods/core.pak");
    fs::write(world.pack().join("shaders/water.glsl"), damaged.bytes("shaders/water.glsl"))
        .unwrap();
    let before = (world.stamps(), world.seeder.sent(&seeded));

    let found = world.modsync("verify --json").exits(11).json();
    assert_eq!(
        found["problems"],
        json!([
            { "path": "mods/core.pak", "kind": "corrupt" },
            { "path": "shaders/water.glsl", "kind": "corrupt" },
        ])
    );
    assert_eq!(found["bad_bytes"], seeded.layout.needed(&damaged, &pack));
    assert_eq!((world.stamps(), world.seeder.sent(&seeded)), before, "looking changed something");

    let repaired = world.modsync("verify --repair --json").exits(0).json();
    world.has(&pack);
    assert_eq!(repaired["repaired"]["downloaded_bytes"], seeded.layout.needed(&damaged, &pack));
    assert_eq!(world.seeder.sent(&seeded) - before.1, seeded.layout.sent_for(&damaged, &pack));
    let after = world.stamps();
    for path in pack.0.keys().filter(|path| pack.0.get(*path) == damaged.0.get(*path)) {
        assert_eq!(after[path], before.0[path], "{path} was touched");
    }
    world.modsync("verify").exits(0);
}

#[test]
fn verify_tells_missing_truncated_modified_and_extra_files_apart() {
    let pack = pack();
    let world = World::new();
    let seeded = world.publish(&pack);
    world.modsync("sync").exits(0);
    let edited = [pack.bytes("readme.txt"), b" and a note of mine"].concat();
    let truncated = &pack.bytes("maps/castle.map")[..200_000];
    let changes = Tree::default()
        .with("maps/castle.map", truncated)
        .with("readme.txt", edited.clone())
        .with("my notes.txt", noise(3, 50));
    changes.write(&world.pack());
    fs::remove_file(world.pack().join("mods/graphics.pak")).unwrap();
    let damaged = pack.clone().without("mods/graphics.pak").and(&changes);
    let sent = world.seeder.sent(&seeded);

    let found = world.modsync("verify --json").exits(11).json();
    assert_eq!(
        found["problems"],
        json!([
            { "path": "maps/castle.map", "kind": "truncated" },
            { "path": "mods/graphics.pak", "kind": "missing" },
            { "path": "readme.txt", "kind": "modified" },
        ])
    );
    assert_eq!(found["extra"], json!([{ "path": "my notes.txt", "length": 50 }]));

    world.modsync("verify --repair").exits(0);
    world.has(&pack.clone().with("my notes.txt", damaged.bytes("my notes.txt")));
    assert!(world.trash_has(&edited), "an edit is lost");
    assert_eq!(world.seeder.sent(&seeded) - sent, seeded.layout.sent_for(&damaged, &pack));
}

#[test]
fn a_file_is_not_accused_of_the_damage_of_its_neighbour() {
    let pack = pack();
    let world = World::with(&pack);
    // Its first piece and its last are those of other files as well.
    rot(&world, &pack.clone().with("maps/castle.map", noise(4, 300_000)), "maps/castle.map");

    let found = world.modsync("verify --json").exits(11).json();

    assert_eq!(found["problems"], json!([{ "path": "maps/castle.map", "kind": "corrupt" }]));
}

/// A piece that spans several files does not tell which of them is damaged, if nothing else does. None
/// of them is passed over, and what turns out to be right stays as it is.
#[test]
fn damage_in_a_piece_of_several_files_is_mended_without_touching_the_right_ones() {
    let pack = pack();
    let world = World::with(&pack);
    rot(&world, &pack.clone().damaged("shaders/wind.glsl"), "shaders/wind.glsl");
    let before = world.stamps();

    let found = world.modsync("verify --json").exits(11).json();
    assert_eq!(
        found["problems"],
        json!([
            { "path": "shaders/water.glsl", "kind": "suspect" },
            { "path": "shaders/wind.glsl", "kind": "suspect" },
        ])
    );
    world.modsync("verify --repair").exits(0);

    world.has(&pack);
    let after = world.stamps();
    for path in pack.0.keys().filter(|path| *path != "shaders/wind.glsl") {
        assert_eq!(after[path], before[path], "{path} was touched");
    }
}

#[test]
fn what_breaks_after_it_was_seeded_is_repaired_from_the_seeder_it_came_from() {
    let world = World::new();
    world.set("auto_apply", "true");
    world.publish(&pack());
    let engine = world.follow();
    world.await_status("seeding", |status| !status["seeding"].is_null());
    for path in ["mods/core.pak", "maps/castle.map"] {
        rot(&world, &pack().damaged(path), path);
        world.modsync("verify --repair").exits(0);
        world.has(&pack());
        world.await_status("seeding again", |status| !status["seeding"].is_null());
    }
    engine.sigterm();
    engine.end(LIMIT).exits(0);
}

#[test]
fn an_older_time_alone_is_no_damage() {
    let world = World::with(&pack());
    let file = File::options().write(true).open(world.pack().join("readme.txt")).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    drop(file);
    let before = world.stamps();

    world.modsync("verify").exits(0);
    world.modsync("sync").exits(0).says("up to date");
    world.modsync("verify --repair").exits(0);

    assert_eq!(world.tree(), pack());
    assert_eq!(world.stamps()["readme.txt"], before["readme.txt"]);
}

/// A file that shares its last piece with a neighbour, edited there and kept.
fn edited_at_its_end(pack: &Tree) -> Tree {
    let settings = pack.bytes("settings.cfg");
    let [before, after] = [&settings[..settings.len() - 4], &b"edit"[..]];
    Tree::default().with("settings.cfg", [before, after].concat())
}

fn pack_with_settings() -> Tree {
    Tree::of(&[
        ("core.pak", 100_000),
        ("settings.cfg", 50_000),
        ("sounds.pak", 100_000),
        ("zz.txt", 5_000),
    ])
}

fn world_that_keeps_settings(pack: &Tree) -> World {
    let world = World::new();
    world.set("keep", r#"["settings.cfg"]"#);
    world.publish(pack);
    world.modsync("sync").exits(0);
    world
}

#[test]
fn a_repair_beside_a_kept_edit_mends_every_other_file_and_keeps_the_edit() {
    let pack = pack_with_settings();
    let edit = edited_at_its_end(&pack);
    let world = world_that_keeps_settings(&pack);
    edit.write(&world.pack());
    // Another file; the one that shares the edit's first piece; the one that shares its last piece.
    for damaged in ["zz.txt", "core.pak", "sounds.pak"] {
        // Noticed by its time, and not.
        for rots in [false, true] {
            let other = pack.clone().damaged(damaged);
            if rots {
                rot(&world, &other, damaged);
            } else {
                fs::write(world.pack().join(damaged), other.bytes(damaged)).unwrap();
            }

            world.modsync("verify").exits(11).says(damaged);
            let repaired = world.modsync("verify --repair --json").exits(0).json();

            // What was found bad is fetched, and nothing more.
            assert_eq!(repaired["repaired"]["downloaded_bytes"], repaired["bad_bytes"]);
            world.has(&pack.clone().and(&edit));
            world.modsync("verify").exits(0).says("settings.cfg");
        }
    }
}

#[test]
fn an_update_of_what_lies_beside_a_kept_edit_keeps_the_edit() {
    let mut new = pack_with_settings();
    let edit = edited_at_its_end(&new);
    let world = world_that_keeps_settings(&new);
    edit.write(&world.pack());
    for (changed, seed) in [("zz.txt", 70), ("core.pak", 71), ("sounds.pak", 72)] {
        let length = new.bytes(changed).len();
        new = new.with(changed, noise(seed, length));
        world.publish(&new);

        world.modsync("sync").exits(0);

        world.has(&new.clone().and(&edit));
        world.modsync("verify").exits(0).says("settings.cfg");
        world.modsync("sync").exits(0).says("up to date");
    }
}

/// An update does not read what looks as it was installed. Where that was too little, it reads all.
#[test]
fn an_update_of_a_file_with_damage_that_does_not_show_mends_all_damage() {
    let old = Tree::of(&[("a.pak", 300_000), ("b.pak", 300_000)]);
    let world = World::with(&old);
    let mut rotten = old.clone();
    let mut new = old.clone();
    new.0.get_mut("a.pak").unwrap()[0] ^= 1;
    for path in ["a.pak", "b.pak"] {
        *rotten.0.get_mut(path).unwrap().last_mut().unwrap() ^= 1;
        rot(&world, &rotten, path);
    }
    world.publish(&new);
    world.modsync("sync").exits(0);
    world.has(&new);
}
