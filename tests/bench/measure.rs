//! What a process costs from its start to its end, and how several are compared.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::world::{Ran, Running};

/// No run may take longer.
const PATIENCE: Duration = Duration::from_mins(3);
/// How often a running process is looked at. Its end is seen when it comes.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 4_000_000 };
/// See `USER_HZ` in proc(5).
const TICK: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// From start to end.
    pub wall: Duration,
    /// The part of it after the first byte came.
    pub moving: Duration,
    /// Of all threads, and of children that ended.
    pub cpu: Duration,
    /// The most memory in use, in bytes.
    pub peak: u64,
}

/// Something to measure, by its name in tables.
pub type Run<'a> = (&'static str, Box<dyn Fn() -> Result<Cost, String> + 'a>);

/// What was measured, by its name in tables.
pub type Measured = (&'static str, Result<Cost, String>);

/// Every run once a round, so that what else the machine does hurts all alike; the median of each.
pub fn compare(what: &str, rounds: usize, runs: &[Run]) -> Vec<Measured> {
    let mut costs: Vec<Vec<_>> = vec![Vec::new(); runs.len()];
    for _ in 0..rounds {
        for ((name, run), costs) in runs.iter().zip(&mut costs) {
            // Who fails once is not tried again.
            if costs.iter().all(Result::is_ok) {
                let result = run();
                // A round takes minutes.
                eprintln!("{what}, {name}: {result:.2?}");
                costs.push(result);
            }
        }
    }
    let results = costs.into_iter().map(|costs| costs.into_iter().collect());
    let medians = results.map(|costs: Result<Vec<_>, _>| costs.map(|costs| median(&costs)));
    runs.iter().map(|(name, _)| *name).zip(medians).collect()
}

/// Of each number by itself.
fn median(costs: &[Cost]) -> Cost {
    fn middle<T: Ord>(all: impl Iterator<Item = T>) -> T {
        let mut all: Vec<_> = all.collect();
        all.sort();
        let middle = all.len() / 2;
        all.swap_remove(middle)
    }
    Cost {
        wall: middle(costs.iter().map(|cost| cost.wall)),
        moving: middle(costs.iter().map(|cost| cost.moving)),
        cpu: middle(costs.iter().map(|cost| cost.cpu)),
        peak: middle(costs.iter().map(|cost| cost.peak)),
    }
}

/// Runs a command to its end.
pub fn run(command: Command) -> Result<Cost, String> {
    run_from(command, || true)
}

/// The same; `has_begun` says whether the first byte came.
pub fn run_from(command: Command, has_begun: impl Fn() -> bool) -> Result<Cost, String> {
    let (ran, cost) = end_of(command, has_begun)?;
    if ran.code == Some(0) { Ok(cost) } else { Err(last_words(&ran)) }
}

/// Runs a command to its end, whether it goes well or not.
pub fn end_of(command: Command, has_begun: impl Fn() -> bool) -> Result<(Ran, Cost), String> {
    let (start, mut begin) = (Instant::now(), None);
    let running = Running::start(command);
    let process = i32::try_from(running.id()).ok().and_then(Pid::from_raw).unwrap();
    let ends = pidfd_open(process, PidfdFlags::empty()).unwrap();
    let mut peak = 0;
    while start.elapsed() < PATIENCE {
        peak = running.peak_memory().unwrap_or(peak);
        let has_ended = poll(&mut [PollFd::new(&ends, PollFlags::IN)], Some(&LOOK)).unwrap() > 0;
        if has_ended {
            let wall = start.elapsed();
            // It stays readable until its end is asked for.
            let cpu = used_by(running.id());
            let ran = running.end(Duration::from_secs(5));
            let moving = begin.map_or(wall, |begin: Instant| wall.saturating_sub(begin - start));
            return Ok((ran, Cost { wall, moving, cpu, peak }));
        }
        if begin.is_none() && has_begun() {
            begin = Some(Instant::now());
        }
    }
    Err(format!("still running after {PATIENCE:?}: {}", last_words(&running.sigkill())))
}

/// How it ended, and what it said of it.
fn last_words(ran: &Ran) -> String {
    let said = if ran.stderr.trim().is_empty() { &ran.stdout } else { &ran.stderr };
    let mut lines = said.trim().lines();
    let error = lines.clone().find(|line| line.contains("rror"));
    let code = ran.code.map_or("killed".to_owned(), |code| format!("exit code {code}"));
    format!("{code}: {}", error.or(lines.next_back()).unwrap_or_default())
}

/// The time on a CPU of a process and of its children that ended.
fn used_by(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    let ticks: u32 = fields.skip(11).take(4).map(|ticks| ticks.parse::<u32>().unwrap()).sum();
    TICK * ticks
}

/// Writes out what is still on its way to a disk, so that nobody pays for who came before.
pub fn settle() {
    let _ = Command::new("sync").arg("--file-system").arg(std::env::temp_dir()).status();
}
