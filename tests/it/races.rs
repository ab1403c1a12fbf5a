//! Others change the folder while we work in it: nothing outside it is read, written or removed, and nothing in it
//! is lost.

use std::collections::BTreeMap;
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::inotify;
use serde_json::Value;

use crate::faulty::{Behaviour, Faulty};
use crate::place::Place;
use crate::torrents::torrent_of;
use crate::tree::noise;

/// Each file has a piece of its own, so that all that is read of one is read from it alone.
const LENGTH: usize = 16 << 10;
const JOBS: [&str; 5] = ["plan", "sync", "verify", "clean", "rollback"];
/// For how many microseconds at most it is a folder and then a link: as fast as can be, alike, and mostly one of both.
const RHYTHMS: [(u64, u64); 5] =
    [(0, 0), (300_000, 500), (300, 300), (60_000, 10_000), (1_000, 50_000)];
const MAX_ROUNDS: usize = 100;

#[test]
fn a_folder_that_is_swapped_with_a_link_all_the_time_leads_nobody_outside() {
    let race = Race::new();
    let before = files(&race.outside);
    let watch = Watch::over(&race.outside);
    let (tallies, mine) = thread::scope(|scope| {
        let swapper = scope.spawn(|| race.swap());
        let tallies = race.run();
        (tallies, swapper.join().unwrap())
    });
    for (job, tally) in &tallies {
        assert!(tally.succeeded > 0 && tally.refused > 0, "`{job}`: {tallies:#?}");
    }
    assert_eq!(watch.seen(), [""; 0], "somebody was outside: {tallies:#?}");
    assert_eq!(files(&race.outside), before);
    assert_ne!(watch.seen(), [""; 0], "nobody would have been seen outside");

    let last = race.publish(MAX_ROUNDS + 1);
    assert_eq!(race.place.run(&["sync"]).status.code(), Some(0));
    let now = files(&race.place.path("pack"));
    for (path, bytes) in &last {
        assert_eq!(now.get(Path::new(path)), Some(bytes), "`{path}`");
    }
    for bytes in mine {
        assert!(now.values().any(|kept| *kept == bytes), "a file of the player is lost");
    }
    let secret = before.values().next().unwrap();
    assert_eq!(now.iter().find(|(_, bytes)| *bytes == secret), None, "it came from outside");
}

/// A player with a pack, one folder of which is about to be swapped.
struct Race {
    origin: Faulty,
    place: Place,
    outside: PathBuf,
    jobs: AtomicUsize,
    rhythm: AtomicUsize,
    swaps: AtomicUsize,
    done: AtomicBool,
}

/// What became of one kind of job.
#[derive(Debug, Default)]
struct Tally {
    /// It did all of its work though the folder was swapped meanwhile.
    succeeded: usize,
    /// It did not, for the link or for what had changed.
    refused: usize,
    /// It had nothing to do, or failed for another reason.
    otherwise: BTreeMap<String, usize>,
}

type Files = BTreeMap<String, Vec<u8>>;

impl Race {
    fn new() -> Self {
        let (origin, place) = (Faulty::start(), Place::new());
        let outside = place.path("outside");
        let race = Self {
            origin,
            outside,
            place,
            jobs: AtomicUsize::default(),
            rhythm: AtomicUsize::default(),
            swaps: AtomicUsize::default(),
            done: AtomicBool::default(),
        };
        fs::create_dir_all(race.outside.join("deep")).unwrap();
        for name in ["a.pak", "b.pak", "c.pak", "mine 0.txt", "deep/c.pak"] {
            fs::write(race.outside.join(name), noise(1_000, LENGTH)).unwrap();
        }
        for (path, bytes) in race.publish(0) {
            race.place.write(&path, &bytes);
        }
        assert_eq!(race.place.run(&["sync"]).status.code(), Some(0));
        race
    }

    /// Publishes a release. All that it needs lies on the player's machine already.
    fn publish(&self, number: usize) -> Files {
        let seed = number as u64;
        let mut release = Files::from([
            ("mods/a.pak".to_owned(), noise(1, LENGTH)),
            ("mods/b.pak".to_owned(), noise(2_000 + seed, LENGTH)),
            ("readme.txt".to_owned(), noise(2, LENGTH)),
        ]);
        if number.is_multiple_of(2) {
            release.insert("mods/c.pak".to_owned(), noise(3, LENGTH));
        }
        for (path, bytes) in &release {
            self.place.write(&format!("come/{path}"), bytes);
        }
        let named: Vec<_> = release.iter().map(|(path, bytes)| (&path[..], &bytes[..])).collect();
        let torrent = torrent_of("pack", LENGTH, &named).encode();
        let behaviour = Behaviour::pack(torrent, &number.to_string());
        self.place.follow(&self.origin.set("/pack.torrent", behaviour));
        self.place.set("", "max_removed_percent = 100\nignore = [\"come/\"]");
        self.place.set_network("give_up_after = \"1s\"");
        release
    }

    /// Has every job done again and again until each of them was seen to succeed and to be refused.
    fn run(&self) -> BTreeMap<&'static str, Tally> {
        let _ending = Ending(&self.done);
        let mut tallies: BTreeMap<_, Tally> = JOBS.map(|job| (job, Tally::default())).into();
        let is_seen = |tally: &Tally| tally.succeeded > 0 && tally.refused > 0;
        for round in 1..=MAX_ROUNDS {
            self.publish(round);
            for (number, job) in JOBS.into_iter().enumerate() {
                self.rhythm.store((round + number) % RHYTHMS.len(), Ordering::SeqCst);
                self.judge(job, tallies.get_mut(job).unwrap());
            }
            if round >= RHYTHMS.len() && tallies.values().all(is_seen) {
                break;
            }
        }
        tallies
    }

    fn judge(&self, job: &str, tally: &mut Tally) {
        let before = self.swaps.load(Ordering::SeqCst);
        self.jobs.fetch_add(1, Ordering::SeqCst);
        let (code, answer) = self.place.ask(&[job]);
        let was_swapped = self.swaps.load(Ordering::SeqCst) > before;
        let kind = answer["kind"].as_str().unwrap_or_default();
        assert!(matches!(code, Some(0 | 1 | 4 | 10 | 11)) && kind != "bug", "{code:?}: {answer}");
        if was_swapped && is_done(job, code, &answer) {
            tally.succeeded += 1;
        } else if ["link_in_the_way", "folder_changed"].contains(&kind) {
            tally.refused += 1;
        } else {
            *tally.otherwise.entry(format!("{code:?} {kind} {}", answer["error"])).or_default() +=
                1;
        }
    }

    /// Has the folder be a folder and a link by turns, and writes a file of the player into it now and then; says which.
    fn swap(&self) -> Vec<Vec<u8>> {
        let [folder, hidden] = ["pack/mods", "hidden"].map(|name| self.place.path(name));
        let mut mine = Vec::new();
        while !self.done.load(Ordering::SeqCst) {
            let (as_folder, as_link) = RHYTHMS[self.rhythm.load(Ordering::SeqCst)];
            rest(as_folder);
            if fs::rename(&folder, &hidden).is_err() {
                continue;
            }
            let number = mine.len();
            if number < self.jobs.load(Ordering::SeqCst) {
                let bytes = format!("mine, number {number}").into_bytes();
                fs::write(hidden.join(format!("mine {number}.txt")), &bytes).unwrap();
                mine.push(bytes);
            }
            if symlink(&self.outside, &folder).is_ok() {
                self.swaps.fetch_add(1, Ordering::SeqCst);
                rest(as_link);
                // It may lie in the trash already, as something of the player's that was in the way.
                let _ = fs::remove_file(&folder);
            }
            bring_back(&hidden, &folder);
        }
        mine
    }
}

/// Whether a job did all that there was for it to do.
fn is_done(job: &str, code: Option<i32>, answer: &Value) -> bool {
    let count = |key: &str| answer[key].as_u64().unwrap_or_default();
    match job {
        "plan" => matches!(code, Some(0 | 10)),
        "sync" => code == Some(0) && count("changed") > 0,
        "verify" => matches!(code, Some(0 | 11)),
        "clean" => {
            let is_mine = |file: &Value| file["path"].as_str().unwrap().starts_with("mods/mine");
            code == Some(0) && answer["moved"].as_array().unwrap().iter().any(is_mine)
        }
        _ => code == Some(0),
    }
}

fn rest(most: u64) {
    match most {
        0 => thread::yield_now(),
        most => thread::sleep(Duration::from_micros(fastrand::u64(..most))),
    }
}

fn bring_back(hidden: &Path, folder: &Path) {
    if fs::rename(hidden, folder).is_ok() {
        return;
    }
    // Somebody has made the folder anew meanwhile: it gets what it lacks.
    for file in fs::read_dir(hidden).unwrap() {
        let file = file.unwrap();
        let to = folder.join(file.file_name());
        while !to.exists() {
            let _ = fs::create_dir(folder);
            let _ = fs::rename(file.path(), &to);
        }
    }
    fs::remove_dir_all(hidden).unwrap();
}

/// Tells the other thread that it is over, even when it is over for a failure.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Sees whoever opens, changes or lists something in a folder.
struct Watch(OwnedFd);

impl Watch {
    fn over(folder: &Path) -> Self {
        // That something is closed tells nothing: until it runs, a program that another test starts has open whatever was
        // open here when it was started.
        let events = inotify::WatchFlags::ALL_EVENTS - inotify::WatchFlags::CLOSE;
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
        let all = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap);
        for entry in all.filter(|entry| entry.file_type().is_dir()).collect::<Vec<_>>() {
            inotify::add_watch(&watch, entry.path(), events).unwrap();
        }
        Self(watch)
    }

    /// What was seen since the last time.
    fn seen(&self) -> Vec<String> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.0, &mut buffer);
        let mut seen = Vec::new();
        while let Ok(event) = events.next() {
            seen.push(format!("{:?} {:?}", event.events(), event.file_name()));
        }
        seen
    }
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    walkdir::WalkDir::new(folder)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.is_file())
        .map(|path| (path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect()
}
