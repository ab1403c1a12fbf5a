//! What the app costs while there is nothing to do: in a tray, one pack up to date and seeding.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::Options;
use crate::it::bus::Bus;
use crate::it::tray_host::TrayHost;
use crate::it::tree::Tree;
use crate::it::world::{LIMIT, Running, World};

pub fn run(options: Options) {
    let (settling, measured) = if options.short { (0, 1) } else { (30, 60) };
    let files: Vec<_> =
        (0..200).map(|n| (format!("folder {}/file {n}.pak", n % 20), 20_000)).collect();
    let files: Vec<_> = files.iter().map(|(path, length)| (path.as_str(), *length)).collect();
    let (bus, world) = (Bus::start(), World::with(&Tree::of(&files)));
    let mut host = TrayHost::start(&bus);
    let mut command = world.command("");
    command.env("DBUS_SESSION_BUS_ADDRESS", bus.address());
    let app = Running::start(command);
    host.await_icon();
    host.await_line("(pack: up to date)");
    thread::sleep(Duration::from_secs(settling));

    let (before, since) = (Used::by(app.id()), Instant::now());
    thread::sleep(Duration::from_secs(measured));
    let (after, minutes) = (Used::by(app.id()), since.elapsed().as_secs_f64() / 60.0);
    // What a thread used is gone when it ends.
    let per_minute = |before: u64, after: u64| after.saturating_sub(before) as f64 / minutes;
    println!("memory    {:8.1} MB resident", after.resident as f64 / 1e6);
    println!("threads   {:8}", after.threads);
    println!(
        "CPU       {:8.1} ms a minute",
        per_minute(before.nanoseconds, after.nanoseconds) / 1e6
    );
    println!("wake-ups  {:8.0} a minute", per_minute(before.switches, after.switches));

    host.click("Quit");
    app.end(LIMIT).exits(0);
}

/// What a process used so far.
struct Used {
    /// Bytes.
    resident: u64,
    threads: usize,
    /// On a CPU.
    nanoseconds: u64,
    /// How often a thread gave the CPU back by itself, which is how often it was woken.
    switches: u64,
}

impl Used {
    /// See proc(5). A thread may end while it is looked at.
    fn by(process: u32) -> Self {
        let process = Path::new("/proc").join(process.to_string());
        let tasks: Vec<_> = fs::read_dir(process.join("task"))
            .unwrap()
            .filter_map(|task| Some(task.ok()?.path()))
            .collect();
        let nanoseconds = |thread: &PathBuf| {
            let text = fs::read_to_string(thread.join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        };
        let switches = |thread: &PathBuf| field(thread, "voluntary_ctxt_switches:");
        Self {
            resident: field(&process, "VmRSS:").unwrap() * 1024,
            threads: tasks.len(),
            nanoseconds: tasks.iter().filter_map(nanoseconds).sum(),
            switches: tasks.iter().filter_map(switches).sum(),
        }
    }
}

/// `None` when it has ended.
fn field(process: &Path, name: &str) -> Option<u64> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
