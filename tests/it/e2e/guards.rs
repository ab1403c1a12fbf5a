//! What stops an update: too much removed, a folder that is gone, a link, nobody to fetch from.

use std::fs;

use super::{Tree, World, next_pack, noise, pack};

fn many(files: std::ops::Range<usize>) -> Tree {
    files.fold(Tree::default(), |tree, n| tree.with(&format!("{n:02}.txt"), noise(n as u64, 900)))
}

#[test]
fn a_release_that_removes_much_needs_a_person() {
    let (old, new) = (many(0..20), many(0..13).with("new.txt", "new"));
    let world = World::with(&old);
    world.publish(&new);

    for command in ["sync", "apply", "sync"] {
        world.modsync(command).exits(4).says("removes 7 of 20 files").says("--approve");
        world.has(&old);
    }
    world.modsync("apply --approve").exits(0);
    world.has(&new);
}

#[test]
fn an_approval_holds_for_the_plan_that_was_shown_and_no_other() {
    let (old, new, newer) = (many(0..20), many(0..12), many(0..11));
    let world = World::with(&old);
    world.publish(&new);
    world.modsync("sync").exits(4);
    world.publish(&newer);
    world.modsync("check").exits(10);

    world.modsync("apply --approve").exits(4).says("removes 9 of 20 files");
    world.has(&old);
    world.modsync("apply --approve").exits(0);
    world.has(&newer);
}

#[test]
fn the_bounds_of_a_mass_removal_can_be_set() {
    let world = World::with(&many(0..20));
    world.publish(&many(0..13));
    world.set("max_removed_percent", "60");
    world.modsync("sync").exits(0);
    world.has(&many(0..13));

    world.set("max_removed_files", "2");
    world.publish(&many(0..10));
    world.modsync("sync").exits(4);
    world.has(&many(0..13));
}

#[test]
fn an_unrelated_release_needs_a_person() {
    let world = World::with(&many(0..10));
    world.set("max_removed_percent", "100");
    let other = many(9..30);
    world.publish(&other);
    world.modsync("sync").exits(4).says("another pack");
    world.has(&many(0..10));
    world.modsync("apply --approve").exits(0);
    world.has(&other);
}

#[test]
fn in_a_folder_that_is_gone_nothing_is_fetched_and_nothing_deleted() {
    let world = World::with(&pack());
    let seeded = world.publish(&next_pack());
    let aside = world.at("player/unmounted");
    fs::rename(world.pack(), &aside).unwrap();

    for command in ["sync", "apply", "verify", "verify --repair", "clean", "rollback"] {
        world.modsync(command).exits(1).says("is not available");
        assert!(!world.pack().exists(), "`{command}` made a folder");
    }

    // An empty mount point, and then another disk in its place.
    for tree in [Tree::default(), many(0..3)] {
        fs::create_dir_all(world.pack()).unwrap();
        tree.write(&world.pack());
        for command in ["sync", "apply", "verify --repair", "clean", "rollback"] {
            world.modsync(command).exits(1).says("is not available");
            world.has(&tree);
            assert!(!world.own("").exists(), "`{command}` left something");
        }
    }
    assert_eq!(world.seeder.sent(&seeded), 0);

    fs::remove_dir_all(world.pack()).unwrap();
    fs::rename(aside, world.pack()).unwrap();
    world.modsync("sync").exits(0);
    world.has(&next_pack());
}

#[test]
fn a_file_in_place_of_the_folder_is_left_alone_and_another_folder_asked_for() {
    let world = World::new();
    world.publish(&pack());
    fs::create_dir_all(world.pack().parent().unwrap()).unwrap();
    fs::write(world.pack(), "mine").unwrap();
    for command in ["sync", "apply", "verify --repair", "clean"] {
        world.modsync(command).exits(1).says("Name a folder for the pack");
        assert_eq!(fs::read_to_string(world.pack()).unwrap(), "mine");
    }
}

#[test]
fn without_peers_it_says_so_and_keeps_what_it_has() {
    let world = World::with(&pack());
    world.publish(&next_pack());
    let nobody = crate::transmission::free_address();
    world.set("peers", &format!("[\"{nobody}\"]"));
    world.set_network("give_up_after", "\"1s\"");

    world.modsync("sync").exits(1).says("nobody who has it can be reached");

    world.has(&pack());
    world.modsync("verify").exits(0);
}

#[test]
fn nothing_is_written_through_a_link() {
    let world = World::with(&pack());
    let outside = world.at("outside");
    fs::rename(world.pack().join("mods"), &outside).unwrap();
    std::os::unix::fs::symlink(&outside, world.pack().join("mods")).unwrap();
    let before = (Tree::read(&outside), world.tree());
    world.publish(&next_pack());

    for command in ["sync", "verify --repair"] {
        world.modsync(command).exits(1).says("link");
    }
    world.modsync("clean").exits(0);

    assert_eq!(Tree::read(&outside), before.0);
    let mut left = world.tree();
    left.0.entry("mods".to_owned()).or_insert_with(|| before.1.bytes("mods").to_vec());
    assert_eq!(left.difference(&before.1), Vec::<String>::new());
}

#[test]
fn a_release_that_takes_the_place_of_many_files_of_the_player_needs_a_person() {
    let mine = (0..60).fold(Tree::default(), |tree, n: usize| {
        tree.with(&format!("saves/{n}.sav"), noise(900 + n as u64, 50))
    });
    let old = many(0..20);
    // One of a name that was a folder's, and many of the same names.
    let (of_folder, of_names) =
        (old.clone().with("saves", "a file"), old.clone().and(&many_saves()));
    for new in [of_folder, of_names] {
        let world = World::with(&old);
        mine.write(&world.pack());
        world.publish(&new);
        world.modsync("sync").exits(4).says("60 files of yours");
        world.has(&old.clone().and(&mine));

        world.set("ignore", "[\"saves/\"]");
        world.set("max_removed_files", "100");
        world.modsync("sync").exits(4).says("which you asked ModSync not to touch");
        world.has(&old.clone().and(&mine));
        world.modsync("apply --approve").exits(0);
        world.has(&new);
        let saves: Vec<_> = mine.0.values().collect();
        assert!(saves.into_iter().all(|bytes| world.trash_has(bytes)), "a save is lost");
    }
}

fn many_saves() -> Tree {
    (0..60).fold(Tree::default(), |tree, n| tree.with(&format!("saves/{n}.sav"), "of the pack"))
}
