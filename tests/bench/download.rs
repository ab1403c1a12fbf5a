//! What it costs to get a whole pack into an empty folder, from one real seeder on loopback.

use std::fs;
use std::path::Path;
use std::process::Command;

use walkdir::WalkDir;

use crate::Options;
use crate::measure::{Cost, Measured, Run, compare, run_from, settle};
use crate::peers::{Client, clients};
use crate::shapes::Shape;
use crate::source::Source;
use crate::table::{Table, megabytes, seconds};
use crate::world::World;

pub fn run(options: Options) {
    let short = options.short;
    let clients = clients(short);
    let mut table =
        Table::new(["", "program", "wall", "from the first byte", "CPU", "peak memory"]);
    let shapes = [Shape::mixed(short, 1 << 30), Shape::one(short, 1 << 30), Shape::small(short)];
    // Nothing is deleted before all is measured: for minutes ext4 searches long for what to use in place of very many
    // files that were just deleted, and the next one would pay for it.
    let mut worlds = Vec::new();
    for shape in shapes.into_iter().take(if short { 1 } else { 3 }) {
        let world = World::new();
        let results = of_shape(shape, &world, &clients, if short { 1 } else { 5 });
        empty(&world.at(""));
        worlds.push(world);
        for (name, result) in results {
            let who = format!("{name}, {},", shape.name);
            let mut cell = |show| table.cell(&who, &result, show);
            let cells = [
                cell(|cost: &Cost| seconds(cost.wall)),
                cell(|cost| seconds(cost.moving)),
                cell(|cost| seconds(cost.cpu)),
                cell(|cost| megabytes(cost.peak)),
            ];
            table.row([shape.name.to_owned(), name.to_owned()].into_iter().chain(cells));
        }
    }
    table.print(options);
}

fn of_shape(
    shape: Shape,
    world: &World,
    clients: &[Box<dyn Client>],
    rounds: usize,
) -> Vec<Measured> {
    let release = shape.write(&world.at("seeds"));
    world.origin.publish(release.torrent.clone());
    let source = Source::start(world, &release, None);
    let torrent = world.at("fetched.torrent");
    fs::write(&torrent, &release.torrent).unwrap();
    let folder = world.at("player");
    let fetch = |command: &dyn Fn() -> Command| {
        put_aside(world, &["player", "state"]);
        let cost = from(&source, command)?;
        assert_eq!(bytes_in(&folder), release.bytes, "not all of it came");
        Ok(cost)
    };

    let ours = || fetch(&|| world.command("sync"));
    let mut runs: Vec<Run> = vec![("ModSync", Box::new(ours))];
    for client in clients {
        let theirs = || fetch(&|| client.fetch(&torrent, &folder, &source));
        runs.push((client.name(), Box::new(theirs)));
    }
    compare(shape.name, rounds, &runs)
}

/// What a command costs that fetches from there.
pub fn from(source: &Source, command: &dyn Fn() -> Command) -> Result<Cost, String> {
    settle();
    let before = source.sent();
    run_from(command(), || source.sent() > before)
}

/// Makes empty folders in place of these, and empties the files in them.
fn put_aside(world: &World, folders: &[&str]) {
    let aside = tempfile::tempdir_in(world.at("")).unwrap().keep();
    for folder in folders {
        let place = world.at(folder);
        if place.exists() {
            fs::rename(&place, aside.join(folder)).unwrap();
        }
        fs::create_dir_all(place).unwrap();
    }
    empty(&aside);
    settle();
}

/// Gives back the memory and the disk that these files take, as deleting them would.
fn empty(folder: &Path) {
    let files = WalkDir::new(folder).into_iter().map(Result::unwrap);
    for file in files.filter(|entry| entry.file_type().is_file()) {
        fs::File::create(file.path()).unwrap();
    }
}

/// Of all files of a pack, without ModSync's and other programs' own.
fn bytes_in(folder: &Path) -> u64 {
    let files = WalkDir::new(folder).into_iter().map(Result::unwrap);
    let files = files.filter(|entry| entry.path().extension().is_some_and(|end| end == "pak"));
    files.map(|file| file.metadata().unwrap().len()).sum()
}
