//! Packs as large as they get, for a program that may open few files and use little memory.

use std::fs::{self, File};

use sha1::{Digest, Sha1};

use super::{Tree, World, noise};
use crate::torrents::{file, torrent, torrent_of};
use crate::world::{Ran, Running, is_nightly};

const FEW_FILES: &[&str] = &["sh", "-c", "ulimit -n 256; exec \"$@\"", "sh"];
/// The most memory that may be in use, in bytes.
const MEMORY: u64 = 300 << 20;
/// Bytes per piece of the largest file.
const PIECE: u64 = 16 << 20;

/// Runs the program to its end, and asserts that it needed little memory.
#[track_caller]
fn with_little_memory(world: &World, arguments: &str) -> Ran {
    world.seeder.await_silence();
    let (ran, peak) = Running::start(world.command(arguments)).end_with_peak();
    assert!((1..MEMORY).contains(&peak), "{arguments}: {peak} bytes");
    ran
}

#[test]
fn a_pack_of_very_many_small_files_needs_few_handles_and_little_memory() {
    let count = if is_nightly() { 300_000 } else { 15_000 };
    let mut world = World::new();
    world.run_through(FEW_FILES);
    world.set("max_removed_files", "1000");
    let path = |n: u64| format!("{}/{}/{n}.pak", n % 97, n % 1009);
    let old = (0..count).fold(Tree::default(), |tree, n| tree.with(&path(n), noise(n, 100)));
    let changed = |n: u64| n % 600 == 7;
    let new = (0..count).filter(|n| n % 600 != 3).fold(Tree::default(), |tree, n| {
        let seed = if changed(n) { n + count } else { n };
        tree.with(&path(n), noise(seed, 100))
    });
    old.write(&world.pack());
    world.publish(&old);
    with_little_memory(&world, "sync").exits(0).says("0 B downloaded");
    world.publish(&new);
    with_little_memory(&world, "plan").exits(10);
    with_little_memory(&world, "sync").exits(0);
    world.has(&new);
    with_little_memory(&world, "verify").exits(0);
    with_little_memory(&world, "status --json").exits(0);
    with_little_memory(&world, "rollback").exits(0);
    world.has(&old);
}

#[test]
fn a_very_large_file_is_read_with_little_memory() {
    let length = if is_nightly() { 60 << 30 } else { 3 << 30 };
    let mut world = World::new();
    world.run_through(FEW_FILES);
    let zeros: [u8; 20] = Sha1::digest(vec![0; PIECE as usize]).into();
    let pieces = zeros.repeat((length / PIECE) as usize);
    let large = torrent(PIECE.cast_signed(), vec![file("large.pak", length.cast_signed())])
        .with("pieces", pieces);
    fs::create_dir_all(world.pack()).unwrap();
    let path = world.pack().join("large.pak");
    File::create(&path).unwrap().set_len(length).unwrap();
    world.origin.publish(large.encode());
    with_little_memory(&world, "sync").exits(0).says("0 B downloaded");
    with_little_memory(&world, "verify").exits(0);
    // One byte of it is another.
    rustix::io::pwrite(File::options().write(true).open(&path).unwrap(), b"x", length / 2).unwrap();
    let verdict = with_little_memory(&world, "verify --json").exits(11).json();
    assert_eq!(verdict["bad_bytes"], PIECE, "{verdict}");
}

#[test]
fn large_pieces_of_files_that_begin_and_end_anywhere_come_whole() {
    const MIB: usize = 1 << 20;
    let world = World::new();
    let release = |number: u64, tree: &Tree| {
        let folder = world.at(&number.to_string());
        tree.write(&folder.join("Pack"));
        let files: Vec<_> =
            tree.0.iter().map(|(path, bytes)| (path.as_str(), &bytes[..])).collect();
        let large = torrent_of("Pack", MIB, &files).encode();
        world.seeder.seed(&large, &folder);
        world.origin.publish(large);
    };
    let lengths = [3 * MIB + 17, 5, 70_000, 2 * MIB, 4096, MIB - 1, 8 * MIB + 4097, 65_536];
    let old = lengths.iter().zip(0..).fold(Tree::default(), |tree, (&length, n)| {
        tree.with(&format!("{n}.pak"), noise(n, length))
    });
    release(1, &old);
    world.modsync("sync").exits(0);
    world.has(&old);
    let new = old.damaged("6.pak").with("0.pak", noise(9, 3 * MIB)).without("5.pak");
    release(2, &new);
    world.modsync("sync").exits(0);
    world.has(&new);
    world.modsync("verify").exits(0);
}
