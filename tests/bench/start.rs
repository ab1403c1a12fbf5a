//! How long it takes until a pack that has not changed is ready, after the program starts.

use std::time::Instant;

use crate::Options;
use crate::measure::{Cost, Run, compare, run as measure, settle};
use crate::shapes::Shape;
use crate::table::{Table, megabytes, seconds};
use crate::verify::adopt;
use crate::world::{LIMIT, Running, World};

pub fn run(options: Options) {
    let world = World::new();
    let shape = Shape::small(options.short);
    adopt(&world, &shape.write(&world.at("seeds")));
    settle();

    let runs: Vec<Run> = vec![
        ("`run` until it answers", Box::new(|| Ok(until(&world, |_| ())))),
        ("`run` until it is up to date", Box::new(|| Ok(until(&world, await_current)))),
        ("`status`, nothing else running", Box::new(|| measure(world.command("status")))),
        ("`sync` with nothing new", Box::new(|| measure(world.command("sync")))),
    ];
    let mut table = Table::new([shape.name, "wall", "peak memory"]);
    for (name, result) in compare(shape.name, if options.short { 1 } else { 5 }, &runs) {
        let mut cell = |show| table.cell(name, &result, show);
        let cells = [cell(|cost: &Cost| seconds(cost.wall)), cell(|cost| megabytes(cost.peak))];
        table.row([name.to_owned()].into_iter().chain(cells));
    }
    table.print(options);
}

/// From the start of an engine until it says that it runs, and then until something more.
fn until(world: &World, more: impl Fn(&World)) -> Cost {
    let start = Instant::now();
    let mut engine = Running::start(world.command("run"));
    engine.says(" running ");
    more(world);
    let wall = start.elapsed();
    let peak = engine.peak_memory().unwrap_or_default();
    engine.sigterm();
    engine.end(LIMIT).exits(0);
    Cost { wall, peak, ..Cost::default() }
}

fn await_current(world: &World) {
    world.modsync("wait --until current --timeout 60s").exits(0);
}
