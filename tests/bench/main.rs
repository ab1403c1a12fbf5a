//! What the program costs, in numbers to read. Only `worst` fails by them: what comes from outside may cost a second
//! at most.
//!
//!     cargo bench --bench cost [-- [--short] [--markdown] [NAME…]]
//!
//! `--short` shows only that it all still runs. `--markdown` prints tables for the README, with the machine
//! and the versions of the other programs. All data lies in the system's temporary folder: `TMPDIR` says on
//! which disk that is.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation
)]

mod download;
mod idle;
mod it;
mod measure;
mod peers;
mod shapes;
mod source;
mod start;
mod table;
mod update;
mod verify;
mod worst;

use it::{transmission, tree, world};

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub short: bool,
    pub markdown: bool,
}

type Benchmark = (&'static str, fn(Options));
const ALL: &[Benchmark] = &[
    ("download", download::run),
    ("idle", idle::run),
    ("start", start::run),
    ("update", update::run),
    ("verify", verify::run),
    ("worst", worst::run),
];

fn main() {
    // cargo adds flags of its own.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let options = Options { short: has("--short"), markdown: has("--markdown") };
    let names: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let unknown = names.iter().find(|name| ALL.iter().all(|(known, _)| known != *name));
    assert!(unknown.is_none(), "no benchmark is called `{}`", unknown.unwrap());
    for (name, run) in ALL {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            println!("== {name}");
            run(options);
        }
    }
    if options.markdown {
        println!("{}", table::origin(&names));
    }
}
