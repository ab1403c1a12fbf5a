//! How long it takes to check a complete pack from scratch, beside other programs and beside reading alone.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Options;
use crate::measure::{Cost, Measured, Run, compare, run as measure, settle};
use crate::peers::{Client, clients};
use crate::shapes::{Release, Shape, TITLE};
use crate::table::{Table, ratio, seconds};
use crate::transmission::Seeded;
use crate::world::World;

/// Bytes that a thread reads before it looks for more to do.
const PART: u64 = 4 << 20;
const BUFFER: usize = 256 << 10;

pub fn run(options: Options) {
    let short = options.short;
    let clients = clients(short);
    let shapes = [Shape::mixed(short, 4 << 30), Shape::small(short), Shape::one(short, 2 << 30)];
    let mut table: Option<Table> = None;
    for shape in shapes {
        let measured = of_shape(shape, &clients, if short { 1 } else { 5 });
        let names = measured.iter().map(|(name, _)| *name);
        let heading = [""].into_iter().chain(names).chain(["peer ÷ ModSync", "ModSync ÷ reading"]);
        let table = table.get_or_insert_with(|| Table::new(heading));
        add(table, shape.name, &measured);
    }
    table.unwrap().print(options);
}

fn of_shape(shape: Shape, clients: &[Box<dyn Client>], rounds: usize) -> Vec<Measured> {
    let world = World::new();
    let release = shape.write(&world.at("seeds"));
    let torrent = world.at("checked.torrent");
    fs::write(&torrent, &release.torrent).unwrap();
    let seeded = world.seeder.seed(&release.torrent, &release.folder);
    adopt(&world, &release);
    settle();
    let (folder, files) = (release.folder.join(TITLE), shape.list());

    let reading = || reading(&folder, &files);
    let mut runs: Vec<Run> = vec![
        ("ModSync", Box::new(|| measure(world.command("verify")))),
        ("Transmission", Box::new(|| Ok(by_transmission(&world, &seeded)))),
    ];
    for client in clients {
        let check = || measure(client.check(&torrent, &release.folder));
        runs.push((client.name(), Box::new(check)));
    }
    runs.push(("reading alone", Box::new(|| Ok(reading()))));
    // Transmission and aria2 have the system forget what they read.
    let warm = |(name, run): (_, Box<dyn Fn() -> _>)| -> Run {
        (name, Box::new(move || (reading(), run()).1))
    };
    compare(shape.name, rounds, &runs.into_iter().map(warm).collect::<Vec<_>>())
}

/// Makes ModSync follow the files where they lie.
pub fn adopt(world: &World, release: &Release) {
    world.set("folder", &format!("'{}'", release.folder.join(TITLE).display()));
    world.origin.publish(release.torrent.clone());
    measure(world.command("sync")).unwrap();
}

fn by_transmission(world: &World, seeded: &Seeded) -> Cost {
    let start = Instant::now();
    world.seeder.call("torrent-verify", json!({ "ids": [seeded.info_hash] }));
    world.seeder.await_seeding(&seeded.info_hash, seeded.layout.files.len());
    Cost { wall: start.elapsed(), ..Cost::default() }
}

/// Reads these files of a folder, on all cores.
fn reading(folder: &Path, files: &[(String, u64)]) -> Cost {
    let start = Instant::now();
    let parts: Vec<(PathBuf, u64)> = files
        .iter()
        .flat_map(|(path, length)| {
            let path = folder.join(path);
            (0..*length).step_by(PART as usize).map(move |start| (path.clone(), start))
        })
        .collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut buffer = vec![0; BUFFER];
        while let Some((path, start)) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
            read_part(&File::open(path).unwrap(), *start, &mut buffer);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().unwrap().get() {
            scope.spawn(work);
        }
    });
    Cost { wall: start.elapsed(), ..Cost::default() }
}

fn read_part(file: &File, start: u64, buffer: &mut [u8]) {
    let mut at = start;
    while at < start + PART {
        match file.read_at(buffer, at).unwrap() {
            0 => return,
            read => at += read as u64,
        }
    }
}

fn add(table: &mut Table, shape: &str, measured: &[Measured]) {
    let mut cells = vec![shape.to_owned()];
    for (name, result) in measured {
        cells.push(table.cell(&format!("{name}, {shape},"), result, |cost| seconds(cost.wall)));
    }
    let wall = |(_, result): &Measured| result.as_ref().map_or(Duration::MAX, |cost| cost.wall);
    let [ours, others @ .., floor] = measured else { return };
    let fastest = others.iter().map(wall).min().unwrap();
    cells.extend([ratio(fastest, wall(ours)), ratio(wall(ours), wall(floor))]);
    table.row(cells);
}
