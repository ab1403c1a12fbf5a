//! An engine that runs for months: nothing in it grows, and no clock that goes wrong makes it lose or forget.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::{World, next_pack, noise, pack};
use crate::control::ask;
use crate::world::{LIMIT, Running, is_nightly};

/// What a process and its files take up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    handles: u64,
    threads: u64,
    /// Bytes.
    memory: u64,
    /// Bytes of our state, and of our own part of the pack's folder.
    state: u64,
    /// Bytes.
    log: u64,
}

impl Size {
    fn of(world: &World, engine: &Running) -> Self {
        let process = Path::new("/proc").join(engine.id().to_string());
        let status = fs::read_to_string(process.join("status")).unwrap();
        let field = |name: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(name)).expect(name);
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        let log = bytes_below(&world.at("state/logs"));
        Self {
            handles: fs::read_dir(process.join("fd")).unwrap().count() as u64,
            threads: field("Threads:"),
            memory: field("VmRSS:") * 1024,
            state: bytes_below(&world.at("state")) - log + bytes_below(&world.own("")),
            log,
        }
    }

    /// No larger than `early`, but for what comes and goes.
    #[track_caller]
    fn is_hardly_more_than(&self, early: &Self) {
        let flat = self.handles <= early.handles + 8
            && self.threads <= early.threads + 4
            && self.memory <= early.memory + early.memory / 4 + (4 << 20)
            && self.state <= early.state + early.state / 4 + (64 << 10)
            // Five files of 4 MiB.
            && self.log <= 21 << 20;
        assert!(flat, "at first {early:#?}, at last {self:#?}");
    }
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok);
    entries
        .filter_map(|entry| entry.metadata().ok())
        .filter(fs::Metadata::is_file)
        .map(|m| m.len())
        .sum()
}

#[test]
fn nothing_grows_with_the_number_of_checks_and_releases() {
    let (checks, releases) = if is_nightly() { (10_000, 500) } else { (600, 12) };
    let world = World::new();
    world.set("auto_apply", "true");
    world.set("trash_size", "\"500 KiB\"");
    world.publish(&pack());
    let engine = world.follow();
    world.await_status("installed", |status| !status["installed"].is_null());
    let check = || {
        let (status, answer) = ask(&world.at("state"), "POST /v1/check", &[], r#"{"pack":"pack"}"#);
        assert_eq!((status, &answer["ok"]), (200, &json!(true)), "{answer}");
    };
    let mut early = None;
    for release in 0..releases {
        let next = pack()
            .with("config/game.toml", noise(release, 700))
            .with(&format!("maps/season {}.map", release % 3), noise(release, 100_000));
        world.seeder.await_silence();
        world.publish(&next);
        check();
        world.await_status("updated", |status| {
            status["phase"]["phase"] == "current" && status["offered"].is_null()
        });
        world.has(&next);
        (0..checks / releases).for_each(|_| check());
        if release == releases / 3 {
            early = Some(Size::of(&world, &engine));
        }
    }
    let (early, last) = (early.unwrap(), Size::of(&world, &engine));
    last.is_hardly_more_than(&early);
    engine.sigterm();
    engine.end(LIMIT).exits(0);
}

/// Stands between a program and the clock, for who asks the system's library for the time. The loader knows
/// what `$LIB` is.
const FAKE_TIME: &str = "/usr/$LIB/faketime/libfaketime.so.1";

/// The wall clock of a program, ahead of ours by some days. Its other clocks go on as they do.
fn set_clock(world: &World, days: i64) {
    let new = world.at("clock.new");
    fs::write(&new, format!("{days:+}d\n")).unwrap();
    fs::rename(new, world.at("clock")).unwrap();
}

#[test]
fn a_wall_clock_that_jumps_by_years_makes_nobody_forget_to_check_nor_empties_the_trash() {
    let world = World::with(&pack());
    world.publish(&next_pack());
    world.modsync("sync").exits(0);
    world.set("check_interval", "\"10s\"");
    set_clock(&world, 0);
    let mut command = world.command("run");
    command.env("LD_PRELOAD", FAKE_TIME);
    command.env("FAKETIME_TIMESTAMP_FILE", world.at("clock"));
    command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command.env("NO_FAKE_STAT", "1");
    let mut engine = Running::start(command);
    engine.says(" running ");
    let years = 3_653;
    for days in [years, 0, -years, 0] {
        set_clock(&world, days);
        world.origin.take_log();
        world.origin.await_requests(2, Duration::from_mins(1));
        let checked = world.await_status("checked", |status| !status["last_check"].is_null());
        let year = checked["last_check"].as_str().unwrap()[..4].parse::<i64>().unwrap();
        let today = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 86_400;
        let expected = 1970 + (today.cast_signed() + days) / 365;
        assert!((year - expected).abs() <= 1, "{checked:#}");
    }
    world.has(&next_pack());
    engine.sigterm();
    engine.end(LIMIT).exits(0);
    world.modsync("rollback").exits(0);
    world.has(&pack());
}
