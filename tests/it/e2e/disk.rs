//! Disks that are full, forbidden, gone or strange: nothing is lost, the player is told why, and once the disk
//! is as it should be, it goes on.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use serde_json::json;

use super::{Tree, World, next_pack, noise, pack};
use crate::disks::WITHOUT_RIGHTS;
use crate::world::{LIMIT, Ran, Running, is_nightly};

/// The pack and our own state lie on one disk of 40 MB.
const ONE_DISK: &str = "mount -t tmpfs -o size=40m disk player
    mkdir player/state
    mount --bind player/state state";

/// Files of the player: extra ones, and one of the pack that was edited.
fn mine() -> Tree {
    Tree::default()
        .with("saves/slot 1.sav", noise(5_000, 4_000))
        .with("notes.txt", "mine")
        .with("config/game.toml", "edited by the player")
}

/// A player with the old release and files of their own on such disks; the new one is published.
fn with_an_update_to_come(mount: &str) -> World {
    let world = World::on(mount);
    world.publish(&pack());
    world.modsync("sync").exits(0);
    mine().write(&world.pack());
    world.publish(&next_pack().with("config/game.toml", noise(1_000, 700)));
    world
}

/// What is in the folder after the update.
fn updated() -> Tree {
    next_pack().with("config/game.toml", noise(1_000, 700)).and(&mine().without("config/game.toml"))
}

#[track_caller]
fn nothing_is_lost(world: &World) {
    let (now, old, new) = (world.tree(), pack(), updated());
    for (path, bytes) in &now.0 {
        let known = [&old, &new, &mine()].into_iter().any(|tree| tree.0.get(path) == Some(bytes));
        assert!(known, "`{path}` is of no release");
    }
    for (path, bytes) in &mine().0 {
        let kept = now.0.get(path) == Some(bytes) || world.trash_has(bytes);
        assert!(kept, "`{path}` of the player is lost");
    }
}

#[track_caller]
fn goes_on(world: &World) {
    world.modsync("sync").exits(0);
    world.has(&updated());
    nothing_is_lost(world);
    world.modsync("verify").exits(0);
    let before = world.stamps();
    world.modsync("sync").exits(0).says("up to date");
    assert_eq!(world.stamps(), before);
}

/// Makes player and state as they were kept.
const ANEW: &str = "rm -rf player/pack state/*; cp -a before/. player; cp -a state-before/. state";

/// Stops an update before one of its changes after the other, each time after a script has made everything as it was.
#[track_caller]
fn before_changes(world: &World, step: usize, anew: &str, mut does: impl FnMut(u64, Running)) {
    for at in (1..).step_by(if is_nightly() { 1 } else { step }) {
        world.sh(anew);
        match world.spawn_until(at, "sync") {
            Ok(sync) => does(at, sync),
            Err(ended) => {
                ended.exits(0);
                assert!(at > 60, "only {at} changes");
                return;
            }
        }
    }
}

/// It ended well, or says that the disk is full.
#[track_caller]
fn is_full(ran: &Ran) -> bool {
    if ran.code == Some(0) {
        return false;
    }
    ran.exits(1).says("Free some space on that disk");
    true
}

#[test]
fn a_disk_that_fills_up_before_any_change_of_an_update_loses_nothing() {
    let world = with_an_update_to_come(ONE_DISK);
    world.sh("cp -a player before");
    let mut stopped_by_it = 0;
    before_changes(
        &world,
        9,
        "rm -rf player/pack player/state/*; cp -a before/. player",
        |at, sync| {
            world.sh("dd if=/dev/zero of=player/filler bs=64k 2>/dev/null || true");
            world.sh(&format!("truncate -s -{}k player/filler", at % 5 * 4));
            sync.go_on();
            stopped_by_it += u32::from(is_full(&sync.end(LIMIT)));
            nothing_is_lost(&world);
            // It cannot do better a second time, nor worse.
            is_full(&world.modsync("sync"));
            nothing_is_lost(&world);
            world.modsync("status").exits(0);
            world.sh("rm player/filler");
            goes_on(&world);
        },
    );
    assert!(stopped_by_it > 3, "the full disk stopped it {stopped_by_it} times only");
}

#[test]
fn an_update_that_does_not_fit_is_refused_before_anything_is_fetched() {
    let world = with_an_update_to_come("mount -t tmpfs -o size=19m disk player");
    let update = updated().with("maps/big.map", noise(2, 2_000_000));
    let seeded = world.publish(&update);
    let before = world.stamps();
    world.modsync("sync").exits(1).says("it needs 19.7 MB free").says("Free some space");
    assert_eq!((world.seeder.sent(&seeded), world.stamps()), (0, before));
    world.sh("mount -o remount,size=40m player");
    world.modsync("sync").exits(0);
    world.has(&update.and(&mine().without("config/game.toml")));
}

#[test]
fn an_update_that_was_cut_off_needs_no_room_for_what_it_has_staged_a_second_time() {
    let world = World::on("mount -t tmpfs -o size=46m disk player");
    let old = Tree::default().with("big.map", noise(7_001, 12 << 20));
    world.publish(&old);
    world.modsync("sync").exits(0);
    world.sh("cp -a player before; cp -a state state-before");
    let new = old.damaged("big.map");
    world.publish(&new);
    for at in (1..).step_by(3) {
        world.sh(ANEW);
        match world.spawn_until(at, "sync") {
            Ok(sync) => drop(sync.sigkill()),
            Err(ended) => {
                ended.exits(0);
                assert!(at > 20, "only {at} changes");
                break;
            }
        }
        world.modsync("sync").exits(0);
        world.has(&new);
    }
}

#[test]
fn what_the_player_may_not_write_is_named_before_anything_is_fetched_and_then_waited_for() {
    for (locked, named) in
        [("mods", "player/pack/mods`"), ("", "player/pack`"), (".modsync", ".modsync")]
    {
        let mut world = World::new();
        world.run_through(WITHOUT_RIGHTS);
        world.publish(&pack());
        world.modsync("sync").exits(0);
        mine().write(&world.pack());
        let seeded = world.publish(&updated());
        let locked = world.pack().join(locked);
        let usual = fs::metadata(&locked).unwrap().permissions();
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
        let before = world.tree();
        let refused = world.modsync("sync --json");
        let fault = refused.exits(1).json();
        assert_eq!(fault["kind"], json!("access_denied"), "{fault}");
        assert!(fault["error"].as_str().unwrap().contains(named), "{fault}");
        assert_eq!(world.seeder.sent(&seeded), 0);
        assert_eq!(world.tree(), before);
        fs::set_permissions(&locked, usual).unwrap();
        goes_on(&world);
    }
}

#[test]
fn a_file_that_the_player_may_not_read_is_named_and_nothing_is_done_to_it() {
    let mut world = World::new();
    world.run_through(WITHOUT_RIGHTS);
    world.publish(&pack());
    world.modsync("sync").exits(0);
    world.publish(&next_pack());
    let locked = world.pack().join("mods/core.pak");
    let before = (world.tree(), world.stamps());
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    for command in ["verify", "sync", "plan"] {
        world.modsync(command).exits(1).says("mods/core.pak").says("access is denied");
    }
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(world.tree(), before.0);
    world.modsync("sync").exits(0);
    world.has(&next_pack());
}

#[test]
fn a_disk_that_becomes_read_only_stops_an_update_and_every_look_still_works() {
    let world = with_an_update_to_come("mount -t tmpfs -o size=40m disk player");
    let seeded = world.publish(&updated());
    world.sh("mount -o remount,ro player");
    let before = world.stamps();
    world.modsync("sync").exits(1).says("the disk is read-only");
    world.modsync("clean").exits(1).says("the disk is read-only");
    for (command, code) in [("status", 0), ("plan", 10), ("verify", 11), ("trash", 0)] {
        world.modsync(command).exits(code);
    }
    assert_eq!((world.seeder.sent(&seeded), world.stamps()), (0, before));
    world.sh("mount -o remount,rw player");
    goes_on(&world);
}

#[test]
fn a_file_that_cannot_be_replaced_makes_all_of_an_update_wait() {
    let world = with_an_update_to_come("true");
    world.sh("chattr +i player/pack/mods/core.pak");
    let before = world.tree();
    let refused = world.modsync("sync --json");
    let fault = refused.exits(1).json();
    world.sh("chattr -i player/pack/mods/core.pak");
    assert_eq!(fault["kind"], json!("file_in_use"), "{fault}");
    assert!(fault["error"].as_str().unwrap().contains("mods/core.pak"), "{fault}");
    assert_eq!(world.tree(), before);
    goes_on(&world);
}

#[test]
fn a_folder_that_cannot_give_way_stops_an_update_before_any_change() {
    let world = World::on("true");
    world.publish(&pack());
    world.modsync("sync").exits(0);
    // The release has a file of this name, and removes others.
    world.sh(
        "mkdir player/pack/tool && echo mine > player/pack/tool/mine && chattr +i player/pack/tool",
    );
    let before = world.tree();
    world.publish(&next_pack().with("tool", noise(3, 900)));
    let refused = world.modsync("sync");
    world.sh("chattr -i player/pack/tool");
    refused.exits(1).says("pack/tool`: the file is in use");
    assert_eq!(world.tree(), before);
    assert!(!world.own("journal").exists(), "an apply was begun");
    world.modsync("sync").exits(0);
    world.modsync("rollback").exits(0);
    assert_eq!(world.tree(), before);
}

#[test]
fn a_file_that_cannot_be_replaced_from_some_change_on_is_waited_for_in_the_middle() {
    let world = with_an_update_to_come("true");
    world.sh("cp -a player before; cp -a state state-before");
    let mut waited = 0;
    before_changes(&world, 11, ANEW, |_, sync| {
        // It may be replaced already, or about to be.
        world.sh("chattr +i player/pack/mods/core.pak");
        sync.go_on();
        let ended = sync.end(LIMIT);
        world.sh("chattr -i player/pack/mods/core.pak");
        if ended.code != Some(0) {
            ended.exits(1).says("mods/core.pak").says("in use");
            waited += 1;
        }
        nothing_is_lost(&world);
        goes_on(&world);
    });
    assert!(waited > 2, "it was in use {waited} times only");
}

#[test]
fn a_disk_that_is_gone_or_replaced_is_neither_filled_nor_forgotten() {
    let world = with_an_update_to_come("mount -t tmpfs -o size=40m disk player");
    world.sh("mkdir -p elsewhere; mount --move player elsewhere; mkdir player/pack");
    let is_gone = |command: &str| {
        let fault = world.modsync(&format!("{command} --json"));
        assert_eq!(fault.exits(1).json()["kind"], json!("folder_gone"));
    };
    ["sync", "verify", "clean", "apply", "rollback"].into_iter().for_each(is_gone);
    assert_eq!(world.tree(), Tree::default());
    // Another disk, with a pack of somebody else.
    world.sh("cp -a elsewhere/pack player; echo '{}' > player/pack/.modsync/marker");
    ["sync", "verify", "clean"].into_iter().for_each(is_gone);
    world.sh("rm -r player/pack; mount --move elsewhere player");
    goes_on(&world);
}

#[test]
fn a_folder_that_goes_while_there_is_no_news_is_noticed_at_the_next_check_and_when_it_is_back() {
    let world = World::with(&pack());
    world.set("check_interval", "\"10s\"");
    let engine = world.follow();
    world.await_status("up to date", |status| status["phase"]["phase"] == "current");
    let away = world.at("away");
    fs::rename(world.pack(), &away).unwrap();
    world.await_status("gone", |status| status["fault"]["kind"] == "folder_gone");
    fs::rename(&away, world.pack()).unwrap();
    world.await_status("back", |status| {
        status["fault"].is_null() && status["phase"]["phase"] == "current"
    });
    world.has(&pack());
    engine.sigterm();
    engine.end(LIMIT).exits(0);
}

#[test]
fn a_disk_that_goes_in_the_middle_of_an_update_takes_nothing_with_it() {
    let world = with_an_update_to_come("mount -t tmpfs -o size=40m disk player");
    world.sh("cp -a player before; cp -a state state-before");
    before_changes(&world, 17, ANEW, |_, sync| {
        world.sh("mkdir -p elsewhere; mount --move player elsewhere");
        sync.go_on();
        sync.end(LIMIT);
        let beneath: Vec<_> = fs::read_dir(world.seen("player")).unwrap().collect();
        assert!(beneath.is_empty(), "{beneath:?}");
        world.modsync("sync").exits(1);
        world.sh("mount --move elsewhere player");
        nothing_is_lost(&world);
        goes_on(&world);
    });
}

#[test]
fn a_part_of_the_folder_on_another_disk_is_named_before_anything_is_fetched() {
    for (part, mount) in [
        ("mods", "mount -t tmpfs disk"),
        (".modsync", "mount -t tmpfs disk"),
        // Of one disk, and apart all the same.
        ("mods", "mount --bind aside"),
    ] {
        let world = with_an_update_to_come("true");
        let seeded = world.publish(&updated());
        let folder = format!("player/pack/{part}");
        world.sh(&format!(
            "mkdir aside; cp -a {folder}/. aside; {mount} {folder}; cp -au aside/. {folder} || true"
        ));
        let before = world.tree();
        let fault = world.modsync("sync --json").exits(1).json();
        assert_eq!(fault["kind"], json!("other_disk"), "{fault}");
        assert_eq!((world.seeder.sent(&seeded), world.tree()), (0, before));
        world.sh(&format!("umount {folder}"));
        goes_on(&world);
    }
}

/// Neither second names for files nor capitals that tell names apart.
const EXFAT: &str = "truncate -s 64M image
    mkfs.exfat image >/dev/null
    loop=$(losetup --find --show image)
    trap 'losetup --detach $loop' EXIT
    mount.exfat-fuse $loop player 2>/dev/null
    losetup --detach $loop
    trap - EXIT";

#[test]
fn a_disk_without_second_names_that_ignores_case_takes_updates_and_gives_them_back() {
    let world = with_an_update_to_come(EXFAT);
    goes_on(&world);
    assert!(world.trash_has(mine().bytes("config/game.toml")));
    world.modsync("rollback").exits(0);
    world.has(&pack().and(&mine()));
    // Capitals alone make no other file.
    let shouted = updated().without("readme.txt").with("README.txt", noise(77, 300));
    world.publish(&shouted);
    world.modsync("sync").exits(0);
    let names: Vec<_> = world.tree().0.into_keys().filter(|n| n.contains("txt")).collect();
    assert_eq!(names, ["README.txt", "notes.txt", "zz-last.txt"]);
    world.modsync("verify").exits(0);
}

#[test]
fn an_update_killed_before_any_change_on_a_disk_without_second_names_loses_nothing() {
    let world = with_an_update_to_come(EXFAT);
    world.sh("cp -r --preserve=timestamps player/pack before; cp -a state state-before");
    let anew = "rm -rf player/pack state/*; cp -r --preserve=timestamps before player/pack
        cp -a state-before/. state";
    before_changes(&world, 17, anew, |_, sync| {
        sync.sigkill();
        nothing_is_lost(&world);
        goes_on(&world);
    });
}

/// A player with an update to come to files that somebody else put there, and who may do this with the folders.
fn with_files_of_somebody_else(rights: u32) -> World {
    let mut world = World::new();
    theirs().write(&world.pack());
    world.run_as_a_stranger();
    world.publish(&theirs());
    world.modsync("sync").exits(0).says("0 new, 0 changed");
    for folder in ["", "mods", "mods/extra", "maps", "maps/old", "shaders", "config"] {
        let rights = fs::Permissions::from_mode(rights);
        fs::set_permissions(world.pack().join(folder), rights).unwrap();
    }
    world.publish(&next_of_theirs());
    world
}

fn theirs() -> Tree {
    pack().with("old name.pak", noise(6_003, 90_000))
}

fn next_of_theirs() -> Tree {
    let renamed = pack().with("new name.pak", noise(6_003, 90_000));
    renamed.damaged("maps/castle.map").without("shaders/wind.glsl")
}

#[test]
fn files_that_somebody_else_owns_are_renamed_replaced_removed_and_brought_back() {
    let world = with_files_of_somebody_else(0o777);
    world.modsync("sync").exits(0);
    world.has(&next_of_theirs());
    world.modsync("verify").exits(0);
    world.modsync("rollback").exits(0);
    world.has(&theirs());
}

#[test]
fn where_only_the_owner_may_take_a_file_away_nothing_of_an_update_is_begun() {
    let world = with_files_of_somebody_else(0o1777);
    let before = world.tree();
    let refused = world.modsync("sync --json").exits(1).json();
    assert_eq!(refused["kind"], "access_denied", "{refused}");
    assert!(!world.own("journal").exists());
    world.has(&before);
}

/// Files can share blocks there.
const XFS: &str = "truncate -s 320M image
    mkfs.xfs -q image
    mount -o loop image player";

#[test]
fn where_files_can_share_blocks_an_edited_and_a_doubled_file_need_room_for_what_is_new_alone() {
    let world = World::on(XFS);
    let (edited, doubled) = (noise(6_001, 24 << 20), noise(6_002, 16 << 20));
    let old = Tree::default().with("edited.pak", edited).with("one.pak", doubled.clone());
    world.publish(&old);
    world.modsync("sync").exits(0);
    let before = used(&world);
    let new = old.clone().damaged("edited.pak").with("two.pak", doubled);
    world.publish(&new);
    world.modsync("sync").exits(0);
    world.has(&new);
    let grown = used(&world).saturating_sub(before);
    assert!(grown < 2 << 20, "{grown} bytes more are used");
    world.modsync("verify").exits(0);
    world.modsync("rollback").exits(0);
    world.has(&old);
}

/// Bytes in use on the player's disk.
fn used(world: &World) -> u64 {
    world.sh("sync --file-system player");
    let disk = rustix::fs::statvfs(world.seen("player")).unwrap();
    (disk.f_blocks - disk.f_bfree) * disk.f_frsize
}

#[test]
fn other_names_of_a_file_keep_the_old_content_and_read_only_files_are_updated() {
    let world = World::with(&pack());
    let outside = world.at("outside.pak");
    fs::hard_link(world.pack().join("mods/core.pak"), &outside).unwrap();
    let read_only = world.pack().join("maps/castle.map");
    fs::set_permissions(&read_only, fs::Permissions::from_mode(0o444)).unwrap();
    world.publish(&next_pack());
    world.modsync("sync").exits(0);
    world.has(&next_pack());
    assert_eq!(fs::read(&outside).unwrap(), pack().bytes("mods/core.pak"));
    let one = |path: &std::path::Path| fs::metadata(path).unwrap().ino();
    assert_ne!(one(&outside), one(&world.pack().join("mods/core.pak")));
}

#[test]
fn whatever_stands_where_the_pack_has_a_file_goes_to_the_trash_whole() {
    let world = World::with(&pack().without("readme.txt").without("mods/core.pak"));
    let place = |path: &str| world.pack().join(path);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        place("readme.txt"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    symlink("nowhere", place("zz-last.txt")).unwrap();
    symlink("nowhere either", place("broken")).unwrap();
    let _socket = UnixListener::bind(place("mods/core.pak")).unwrap();
    world.publish(&next_pack());
    world.modsync("verify").exits(0);
    world.modsync("sync").exits(0);
    let now = world.tree();
    assert_eq!(now.difference(&next_pack()), ["broken"]);
    let trash = walkdir::WalkDir::new(world.own("trash")).into_iter().map(Result::unwrap);
    let kinds: Vec<_> = trash.map(|entry| entry.file_type()).collect();
    assert!(kinds.iter().any(FileTypeExt::is_fifo));
    assert!(kinds.iter().any(FileTypeExt::is_socket));
    assert!(kinds.iter().any(std::fs::FileType::is_symlink));
}

#[test]
fn a_file_whose_name_is_no_text_stays_where_it_is() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let world = World::with(&pack());
    let strange = world.pack().join(OsStr::from_bytes(b"mods/not \xff text"));
    fs::write(&strange, "mine").unwrap();
    world.publish(&next_pack());
    world.modsync("sync").exits(0);
    assert_eq!(fs::read(&strange).unwrap(), b"mine");
    world.modsync("verify").exits(0);
    world.modsync("clean").exits(0);
    world.modsync("rollback").exits(0);
    assert_eq!(fs::read(&strange).unwrap(), b"mine");
    fs::remove_file(strange).unwrap();
    world.has(&pack());
}
