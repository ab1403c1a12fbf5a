//! What each kind of update has to fetch, beside other programs that have the old files too, and beside the
//! bytes that are really new.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::Options;
use crate::download::from;
use crate::it::nginx::Nginx;
use crate::measure::Cost;
use crate::peers::{Aria2, Client, Libtorrent, Rsync, Zsync};
use crate::shapes::{Release, TITLE};
use crate::source::Source;
use crate::table::{Table, kilobytes, seconds};
use crate::tree::{Tree, noise};
use crate::world::World;

const PIECE: usize = 256 << 10;
/// Bytes a second.
const SPEED: u32 = 20_000_000;
const MEMBERS: u64 = 24;

/// A kind of update.
struct Kind {
    name: &'static str,
    new: Tree,
    /// Bytes that are nowhere in the old files.
    least: usize,
}

pub fn run(options: Options) {
    let kib = if options.short { 64 } else { 1024 };
    let old = pack(kib << 10);
    let mut table = Table::new([
        "update",
        "at least",
        "ModSync",
        "pieces",
        "time",
        "libtorrent",
        "aria2",
        "rsync",
        "zsync",
    ]);
    let kinds = kinds(&old, kib << 10);
    for kind in kinds.into_iter().take(if options.short { 2 } else { usize::MAX }) {
        add(&mut table, &old, &kind);
    }
    table.note(format!(
        "Pieces of {} KiB; the seeder sends {} MB/s. libtorrent and aria2 find what lies at the same place of \
         the same file; zsync knows single files only.",
        PIECE >> 10,
        SPEED / 1_000_000
    ));
    table.print(options);
}

/// A pack of all kinds of files; `unit` bytes are a small one of the large ones.
fn pack(unit: usize) -> Tree {
    let mut seed = 0;
    let mut files = |pack: Tree, count: usize, length: usize, path: &dyn Fn(usize) -> String| {
        (0..count).fold(pack, |pack, n| {
            seed += 1;
            pack.with(&path(n), noise(seed, length + n % 7))
        })
    };
    let pack = files(Tree::default(), 1, 64 * unit, &|_| "big.pak".to_owned());
    let pack = files(pack, 20, 2 * unit, &|n| format!("mods/{n:02}.pak"));
    let pack = files(pack, 100, unit / 16, &|n| format!("textures/{n:03}.dds"));
    let pack = files(pack, 20, unit / 512, &|n| format!("config/{n:02}.toml"));
    pack.with("archive.zip", archive(&members(unit)))
}

fn members(unit: usize) -> Vec<Vec<u8>> {
    (0..MEMBERS).map(|n| noise(1000 + n, unit + 100 * n as usize)).collect()
}

fn kinds(old: &Tree, unit: usize) -> Vec<Kind> {
    let kind = |name, least, new| Kind { name, new, least };
    let big = old.bytes("big.pak");
    let (quarter, half) = (big.len() / 4, big.len() / 2);
    let with_big = |bytes: Vec<u8>| old.clone().with("big.pak", bytes);
    let bytes = |n: usize| old.bytes(&format!("mods/{n:02}.pak"));

    let edited = (0..5).fold(old.clone(), |new, n| {
        let mut bytes = bytes(n).to_vec();
        bytes[unit..unit + 100].copy_from_slice(&noise(2000 + n as u64, 100));
        new.with(&format!("mods/{n:02}.pak"), bytes)
    });
    let renamed = old.clone().without("mods/03.pak").with("mods/three.pak", bytes(3));
    let doubled = old.clone().with("mods/five again.pak", bytes(5));
    let in_front = [&noise(2100, 37)[..], big].concat();
    let elsewhere =
        [&big[..quarter], &big[quarter + 700..3 * quarter], &noise(2200, 500), &big[3 * quarter..]];
    let mut repacked = members(unit);
    repacked[7] = noise(2300, unit + 4321);
    let split = big
        .chunks(quarter + 1000)
        .zip(0..)
        .fold(old.clone(), |new, (part, n)| new.with(&format!("big.{n:03}"), part));
    let merged = (0..4).fold(old.clone(), |new, n| new.without(&format!("mods/{n:02}.pak")));
    let merged = merged.with("mods/all.pak", (0..4).map(bytes).collect::<Vec<_>>().concat());
    let exchanged = old.clone().without("mods/09.pak").with("mods/new.pak", noise(2400, 3 * unit));
    vec![
        kind("5 files edited in place", 5 * 100, edited),
        kind("a file renamed", 0, renamed),
        kind("a folder moved", 0, moved(old, "textures/", "assets/textures/")),
        kind("a file doubled", 0, doubled),
        kind("37 bytes put in front", 37, with_big(in_front)),
        kind("a part removed, another put in", 500, with_big(elsewhere.concat())),
        kind("20 insertions in one file", insertions(big).1, with_big(insertions(big).0)),
        kind(
            "an archive stored anew",
            unit + 4321,
            old.clone().with("archive.zip", archive(&repacked)),
        ),
        kind("a file split in four", 0, split.without("big.pak")),
        kind("four files merged", 0, merged),
        kind("a file added, one removed", 3 * unit, exchanged),
        kind("half of a file new", half, with_big([&big[..half], &noise(2500, half)].concat())),
    ]
}

fn moved(old: &Tree, from: &str, to: &str) -> Tree {
    let path =
        |path: &String| path.strip_prefix(from).map_or(path.clone(), |rest| format!("{to}{rest}"));
    Tree(old.0.iter().map(|(name, bytes)| (path(name), bytes.clone())).collect())
}

/// The file with 20 insertions of different lengths, and their sum.
fn insertions(file: &[u8]) -> (Vec<u8>, usize) {
    let parts = file.chunks(file.len().div_ceil(20)).zip(0..);
    let new: Vec<u8> =
        parts.flat_map(|(part, n)| [&noise(3000 + n, 11 + n as usize), part].concat()).collect();
    let inserted = new.len() - file.len();
    (new, inserted)
}

/// A ZIP of members that are stored as they are.
fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    let (mut files, mut directory) = (Vec::new(), Vec::new());
    for (member, n) in members.iter().zip(0..) {
        let name = format!("member {n:02}.bin");
        let (start, length) = (files.len() as u32, member.len() as u32);
        let mut about = [20_u16, 0, 0, 0, 0].map(u16::to_le_bytes).concat();
        about.extend([checksum(member), length, length].map(u32::to_le_bytes).concat());
        about.extend([name.len() as u16, 0].map(u16::to_le_bytes).concat());
        files.extend([b"PK\x03\x04", &about[..], name.as_bytes(), member].concat());
        let place = [&[0; 10][..], &start.to_le_bytes()].concat();
        let entry = [b"PK\x01\x02\x14\0", &about[..], &place, name.as_bytes()];
        directory.extend(entry.concat());
    }
    let count = (members.len() as u16).to_le_bytes();
    let sizes = [directory.len() as u32, files.len() as u32].map(u32::to_le_bytes).concat();
    let end = [b"PK\x05\x06\0\0\0\0", &count[..], &count, &sizes, b"\0\0"].concat();
    [files, directory, end].concat()
}

/// CRC-32 as ZIP has it.
fn checksum(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}

fn add(table: &mut Table, old: &Tree, kind: &Kind) {
    let world = World::new();
    // Nobody is here to agree that much goes.
    world.set("max_removed_percent", "100");
    world.set("max_removed_files", "1000000");
    old.write(&world.pack());
    let before = Release::of(old, PIECE, &world.at("before"));
    world.origin.publish(before.torrent);
    world.modsync("sync").exits(0);
    let after = Release::of(&kind.new, PIECE, &world.at("after"));
    let source = Source::start(&world, &after, Some(SPEED));

    world.origin.publish(after.torrent.clone());
    let (bytes, cost) = fetched(&source, &|| world.command("sync")).unwrap();
    world.has(&kind.new);
    let mut cells = vec![
        kind.name.to_owned(),
        kilobytes(kind.least as u64),
        kilobytes(bytes),
        format!("{:.1}", bytes as f64 / PIECE as f64),
        seconds(cost.wall),
    ];
    let torrent = world.at("after.torrent");
    fs::write(&torrent, &after.torrent).unwrap();
    let clients: [&dyn Client; 2] = [&Libtorrent::find(), &Aria2::find()];
    for client in clients {
        let folder = world.at(client.name());
        old.write(&folder.join(TITLE));
        let result = fetched(&source, &|| client.fetch(&torrent, &folder, &source));
        let who = format!("{}, {},", client.name(), kind.name);
        cells.push(table.cell(&who, &result, |(bytes, _)| kilobytes(*bytes)));
    }
    let synced = world.at("rsync");
    old.write(&synced);
    cells.push(kilobytes(Rsync::find().sent(&after.folder.join(TITLE), &synced)));
    cells.push(by_zsync(old, &kind.new, &world).map_or("–".to_owned(), kilobytes));
    table.row(cells);
}

/// Bytes that a command made the seeder send, and what else it costs.
fn fetched(source: &Source, command: &dyn Fn() -> Command) -> Result<(u64, Cost), String> {
    let before = source.sent_in_all();
    let cost = from(source, command)?;
    Ok((source.sent_in_all() - before, cost))
}

/// For the only file that changed or came: from the file in its place, or from those that go.
fn by_zsync(old: &Tree, new: &Tree, world: &World) -> Option<u64> {
    let changes: Vec<_> =
        new.0.iter().filter(|(path, bytes)| old.0.get(*path) != Some(bytes)).collect();
    let [(path, bytes)] = changes[..] else { return None };
    let goes = |name: &String| name == path || !new.0.contains_key(name);
    let like = |name: &String| world.at("before").join(TITLE).join(name);
    let known: Vec<PathBuf> = old.0.keys().filter(|name| goes(name)).map(like).collect();

    let (zsync, nginx) = (Zsync::find(), Nginx::start(&world.at("nginx")));
    nginx.publish("new.bin", bytes);
    let file = world.at("new.bin");
    fs::write(&file, bytes).unwrap();
    let description = zsync.describe(&file, &nginx.url("new.bin"));
    nginx.publish("new.zsync", &description);
    let fetched = zsync.fetched(&nginx.url("new.zsync"), &known, &world.at(""));
    Some(fetched + description.len() as u64)
}
