//! What the README promises, shown by the built program against a Transmission that seeds.

mod crash;
mod demo;
mod disk;
mod edits;
mod guards;
mod headless;
mod kills;
mod large;
mod long_life;
mod meanwhile;
mod peers;
mod power;
mod stall;
mod verify;

use std::fs;
use std::thread;
use std::time::Duration;

use super::nginx::Nginx;
use super::tree::{Tree, noise};
use super::world::{LIMIT, World};

/// A pack in which releases differ by a few files.
pub fn pack() -> Tree {
    Tree::of(&[
        ("config/game.toml", 700),
        ("maps/castle.map", 300_000),
        ("maps/old/harbour.map", 120_000),
        ("mods/core.pak", 400_000),
        ("mods/extra/lights.pak", 90_000),
        ("mods/extra/sounds.pak", 200_000),
        ("mods/graphics.pak", 150_000),
        ("readme.txt", 1_500),
        ("shaders/water.glsl", 20_000),
        ("shaders/wind.glsl", 20_000),
    ])
}

/// The next release: files changed at their start, in their middle and in their length, some new ones, and
/// some gone.
pub fn next_pack() -> Tree {
    let old = pack();
    let longer = [old.bytes("maps/castle.map"), &noise(99, 50_000)].concat();
    let shorter = &old.bytes("mods/graphics.pak")[..70_000];
    old.clone()
        .damaged("mods/core.pak")
        .with("maps/castle.map", longer)
        .with("mods/graphics.pak", shorter)
        .with("readme.txt", noise(98, 1_600))
        .with("maps/new/island.map", noise(97, 110_000))
        .with("zz-last.txt", noise(96, 10))
        .without("maps/old/harbour.map")
        .without("shaders/wind.glsl")
}

#[test]
fn a_first_sync_makes_the_folder_equal_to_a_pack_of_more_than_500_files() {
    let names =
        ["plain", "mit Umlaut ä", "кириллица", "日本語", "emoji 🎮", "e\u{301}dition", "a&b=c%20"];
    let pack = (0..520).fold(Tree::default(), |tree, n: usize| {
        let name = names[n % names.len()];
        let path = match n % 4 {
            0 => format!("{name} {n}.dat"),
            1 => format!("{name}/{n}.dat"),
            2 => format!("deep/{}/{name}/a/b/c/{n}", n % 9),
            _ => format!("{name}.d/{}/{n}.ünï", n % 5),
        };
        let length = if n.is_multiple_of(10) { 0 } else { n * 37 % 9_000 };
        tree.with(&path, noise(n as u64, length))
    });
    let world = World::new();
    let seeded = world.publish(&pack);

    world.modsync("check").exits(10).says("ready to install");
    world.modsync("sync").exits(0).says("520 new");

    world.has(&pack);
    assert_eq!(world.seeder.sent(&seeded), seeded.layout.sent_for_all());
    world.modsync("verify").exits(0).says("all 520 files");
}

#[test]
fn an_update_fetches_only_pieces_that_touch_other_bytes_and_leaves_the_other_files_alone() {
    let (old, new) = (pack(), next_pack());
    let world = World::with(&old);
    let before = world.stamps();

    let seeded = world.publish(&new);
    world.modsync("check").exits(10).says("update available");
    let plan = world.modsync("plan --json");
    let plan = plan.exits(10).json();
    world.has(&old);
    let done = world.modsync("sync --json").exits(0).json();
    world.has(&new);

    let needed = seeded.layout.needed(&old, &new);
    assert_eq!(world.seeder.sent(&seeded), seeded.layout.sent_for(&old, &new));
    assert_eq!(plan["download_bytes"], needed);
    assert_eq!(done["downloaded_bytes"], needed);
    let paths = |list: &str| -> Vec<String> {
        let files = plan[list].as_array().unwrap().iter();
        files.map(|file| file["path"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(paths("added"), ["maps/new/island.map", "zz-last.txt"]);
    assert_eq!(
        paths("changed"),
        ["maps/castle.map", "mods/core.pak", "mods/graphics.pak", "readme.txt"]
    );
    assert_eq!(paths("removed"), ["maps/old/harbour.map", "shaders/wind.glsl"]);
    assert_eq!(
        (&done["added"], &done["changed"], &done["removed"]),
        (&2.into(), &4.into(), &2.into())
    );

    let after = world.stamps();
    for path in new.0.keys().filter(|path| old.0.get(*path) == new.0.get(*path)) {
        assert_eq!(after.get(path), before.get(path), "{path} was touched");
    }
    assert!(!world.pack().join("maps/old").exists(), "an emptied folder stays");
}

#[test]
fn a_second_sync_changes_nothing_on_disk_and_asks_once_and_conditionally() {
    let world = World::with(&pack());
    let before = world.stamps();

    world.modsync("sync").exits(0).says("up to date");

    assert_eq!(world.stamps(), before);
    let requests = world.origin.take_log();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(requests[0].conditional && requests[0].status == 304, "{requests:?}");
}

#[test]
fn looking_changes_nothing_on_disk() {
    let world = World::with(&pack());
    world.publish(&next_pack());
    Tree::of(&[("notes.txt", 10)]).write(&world.pack());
    let before = world.stamps();

    for (command, code) in [
        ("check", 10),
        ("plan", 10),
        ("verify", 0),
        ("status", 0),
        ("clean --dry-run", 0),
        ("trash", 0),
        ("list", 0),
    ] {
        world.modsync(command).exits(code);
        assert_eq!(world.stamps(), before, "after `{command}`");
    }
}

#[test]
fn a_first_sync_into_a_folder_with_files_adopts_equal_ones_and_deletes_nothing() {
    let pack = pack();
    let world = World::new();
    let seeded = world.publish(&pack);
    let mine = Tree::of(&[("my notes.txt", 40), ("saves/slot 1.sav", 5_000)]);
    let edited = noise(7, 400_000);
    let found = Tree::default()
        .with("maps/castle.map", pack.bytes("maps/castle.map"))
        .with("readme.txt", pack.bytes("readme.txt"))
        .with("shaders/water.glsl", "mine, and shorter")
        .with("mods/core.pak", edited.clone())
        .and(&mine);
    found.write(&world.pack());
    let before = world.stamps();

    world.modsync("sync").exits(0);

    world.has(&pack.clone().and(&mine));
    assert!(world.trash_has(&edited), "the other `mods/core.pak` is lost");
    assert!(world.trash_has(b"mine, and shorter"), "the other `water.glsl` is lost");
    assert_eq!(world.seeder.sent(&seeded), seeded.layout.sent_for(&found, &pack));
    let after = world.stamps();
    for path in ["maps/castle.map", "readme.txt", "my notes.txt", "saves/slot 1.sav"] {
        assert_eq!(after[path], before[path], "{path} was touched");
    }
}

#[test]
fn an_update_keeps_local_edits_that_the_player_asked_to_keep() {
    let world = World::new();
    world.set("keep", r#"["config/"]"#);
    world.publish(&pack());
    world.modsync("sync").exits(0);
    let edit = Tree::default().with("config/game.toml", "volume = 11");
    edit.write(&world.pack());

    let new = next_pack().with("config/game.toml", noise(5, 900));
    world.publish(&new);
    world.modsync("sync").exits(0);

    world.has(&new.and(&edit));
    world.modsync("verify").exits(0).says("config/game.toml");
}

#[test]
fn edits_that_an_update_replaces_and_removes_are_in_the_trash_or_stay() {
    let world = World::with(&pack());
    let edits = Tree::default()
        .with("mods/core.pak", noise(50, 400_000))
        .with("shaders/wind.glsl", "edited, and gone from the next release");
    edits.write(&world.pack());

    world.publish(&next_pack());
    world.modsync("sync").exits(0);

    let left = edits.clone().without("mods/core.pak");
    world.has(&next_pack().and(&left));
    assert!(world.trash_has(edits.bytes("mods/core.pak")));
}

#[test]
fn cleaning_moves_extras_to_the_trash_and_keeps_what_is_ignored() {
    let world = World::new();
    world.set("ignore", r#"["saves/", "*.log"]"#);
    world.publish(&pack());
    world.modsync("sync").exits(0);
    let mine = Tree::of(&[("saves/slot 1.sav", 5_000), ("mods/today.log", 30)]);
    let extras = Tree::of(&[("old/deep/left.pak", 9_000), ("mods/left.pak", 70), ("empty", 0)]);
    let outside = Tree::of(&[("precious.txt", 100)]);
    mine.write(&world.pack());
    extras.write(&world.pack());
    outside.write(&world.at("outside"));
    std::os::unix::fs::symlink(world.at("outside"), world.pack().join("link")).unwrap();
    let with_extras = world.tree();

    world.modsync("clean --dry-run").exits(0).says("old/deep/left.pak").says("link");
    world.has(&with_extras);
    let cleaned = world.modsync("clean --json").exits(0).json();

    world.has(&pack().and(&mine));
    assert!(!world.pack().join("old").exists(), "the emptied folder stays");
    assert_eq!(Tree::read(&world.at("outside")), outside);
    let entry = cleaned["trash"].as_str().unwrap();
    world.modsync("trash").exits(0).says(entry).says("mods/left.pak");
    world.modsync("clean").exits(0).says("no extra files");

    // What stands in the place of a file by now stays, and so does the file in the trash.
    let newer = Tree::default().with("mods/left.pak", "newer");
    newer.write(&world.pack());
    world.modsync(&format!("trash --restore {entry}")).exits(0);
    world.has(&with_extras.and(&newer));
    assert!(world.trash_has(extras.bytes("mods/left.pak")));
}

#[test]
fn a_rollback_puts_the_old_bytes_back_until_the_player_or_the_origin_says_otherwise() {
    let (old, new) = (pack(), next_pack());
    let world = World::with(&old);
    let seeded = world.publish(&new);
    world.modsync("sync").exits(0);
    world.has(&new);
    let sent = world.seeder.sent(&seeded);

    world.modsync("rollback").exits(0);
    world.has(&old);
    world.modsync("verify").exits(0);
    world.modsync("sync").exits(0);
    world.has(&old);
    assert_eq!(world.seeder.sent(&seeded), sent, "going back fetched something");

    world.modsync("apply").exits(0);
    world.has(&new);
    world.modsync("rollback").exits(0);
    let newest = new.with("brand new.txt", noise(60, 100));
    world.publish(&newest);
    world.modsync("sync").exits(0);
    world.has(&newest);
}

#[test]
fn files_become_folders_and_folders_become_files_and_back() {
    let old =
        Tree::of(&[("thing", 900), ("box/inside.txt", 800), ("box/deep/er.txt", 70), ("same", 9)]);
    let new = Tree::of(&[("thing/inside.txt", 600), ("box", 500)])
        .with("same", old.bytes("same"))
        .with("thing/empty", "");
    let world = World::with(&old);
    world.set("max_removed_percent", "100");
    let mine = noise(40, 300);
    Tree::default().with("box/mine.txt", mine.clone()).write(&world.pack());

    world.publish(&new);
    world.modsync("apply").exits(0);
    world.modsync("sync").exits(0);
    world.has(&new);
    assert!(world.trash_has(&mine), "a file of the player is lost");

    world.modsync("rollback").exits(0);
    let now = world.tree();
    for (path, bytes) in &old.0 {
        assert_eq!(now.0.get(path), Some(bytes), "{path}");
    }
    let kept = now.0.values().any(|bytes| *bytes == mine) || world.trash_has(&mine);
    assert!(kept, "going back lost a file of the player");
    world.modsync("verify").exits(0);
}

#[test]
fn an_update_without_new_bytes_needs_nobody() {
    let old = Tree::of(&[
        ("a.txt", 40_000),
        ("b.txt", 100),
        ("c", 60_000),
        ("d", 0),
        ("e", 9),
        ("f", 9),
        ("g", 9),
    ]);
    let new = old.clone().without("d").without("b.txt").with("empty/file", "");
    let world = World::with(&old);
    world.publish(&new);
    world.set("peers", "[]");

    world.modsync("sync").exits(0);
    world.has(&new);
    world.modsync("rollback").exits(0);
    world.has(&old);
}

#[test]
fn what_the_player_does_during_an_update_is_not_lost() {
    let (old, new) = (pack(), next_pack().with("maps/big.map", noise(2, 1_000_000)));
    let world = World::with(&old);
    world.publish(&new);
    world.seeder.limit_upload(Some(300));
    let mut sync = world.spawn("sync");
    sync.says("fetching 3");
    let mine = Tree::default()
        .with("mods/core.pak", noise(51, 400_000))
        .with("maps/new/island.map", "mine, where the update has a file")
        .with("shaders/wind.glsl", "edited, and gone from the next release")
        .with("notes.txt", "an extra one");
    mine.write(&world.pack());
    world.seeder.limit_upload(None);
    sync.end(LIMIT).exits(0);

    let left = mine.clone().without("mods/core.pak").without("maps/new/island.map");
    world.has(&new.and(&left));
    assert!(world.trash_has(mine.bytes("mods/core.pak")), "an edit is lost");
    assert!(world.trash_has(mine.bytes("maps/new/island.map")), "a new file is lost");
}

#[test]
fn with_auto_clean_an_update_moves_extras_to_the_trash_as_well() {
    let world = World::with(&pack());
    world.set("auto_clean", "true");
    world.set("ignore", r#"["saves/"]"#);
    let mine = Tree::of(&[("saves/slot 1.sav", 5_000)]);
    let extras = Tree::of(&[("mods/left.pak", 70)]);
    mine.clone().and(&extras).write(&world.pack());

    world.publish(&next_pack());
    world.modsync("sync").exits(0);

    world.has(&next_pack().and(&mine));
    assert!(world.trash_has(extras.bytes("mods/left.pak")));
}

#[test]
fn a_seeder_that_stalls_for_a_while_is_waited_for() {
    let world = World::with(&pack());
    world.publish(&next_pack());
    world.seeder.limit_upload(Some(0));
    let mut sync = world.spawn("sync");
    sync.says("fetching");
    // Longer than many a peer waits, and shorter than the two minutes in which it must give a sign of life.
    thread::sleep(Duration::from_secs(13));
    world.seeder.limit_upload(None);
    sync.end(Duration::from_secs(6)).exits(0);
    world.has(&next_pack());
}

#[test]
fn everything_works_through_nginx_as_well() {
    let (old, new) = (pack(), next_pack());
    let world = World::new();
    let nginx = Nginx::start(&world.at("nginx"));
    let publish = |tree: &Tree| nginx.publish("my.torrent", &world.prepare(tree).0);
    publish(&old);
    fs::remove_file(world.at("config.toml")).unwrap();
    world.modsync(&format!("add {} player/pack --name p", nginx.url("my.torrent"))).exits(0);
    world.set("name", "\"p\"");
    world.set("url", &format!("{:?}", nginx.url("my.torrent")));

    world.modsync("sync").exits(0);
    world.has(&old);
    world.modsync("sync p").exits(0).says("up to date");
    publish(&new);
    world.modsync("check").exits(10);
    world.modsync("sync").exits(0);
    world.has(&new);
    // First, unchanged, changed, and unchanged since the check.
    assert_eq!(nginx.answers(), [200, 304, 200, 304]);
}
