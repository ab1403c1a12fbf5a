//! What the program costs, in numbers to read: nothing here passes or fails by them.
//!
//!     cargo bench --bench cost [-- [--short] [NAME…]]
//!
//! `--short` shows only that it all still runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation
)]

mod idle;
mod it;
mod worst;

use it::world;

type Benchmark = (&'static str, fn(short: bool));
const ALL: &[Benchmark] = &[("idle", idle::run), ("worst", worst::run)];

fn main() {
    // cargo adds flags of its own.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let short = arguments.iter().any(|argument| argument == "--short");
    let names: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let unknown = names.iter().find(|name| ALL.iter().all(|(known, _)| known != *name));
    assert!(unknown.is_none(), "no benchmark is called `{}`", unknown.unwrap());
    for (name, run) in ALL {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            println!("== {name}");
            run(short);
        }
    }
}
