//! A job that panics, at whichever change it makes: its pack stops with a message, each file is old or new, the other
//! packs go on, and the next try finishes.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde_json::json;

use crate::faulty::{Behaviour, Faulty};
use crate::peer::{Manner, Peer, Release};
use crate::place::Place;
use crate::tree::{Tree, noise};
use crate::world::{LIMIT, Running};

/// So many players at once: most of the time they wait.
const PLAYERS: usize = 4;

#[test]
fn a_job_that_panics_at_any_change_stops_its_pack_alone_and_the_next_try_finishes() {
    let (changes, panicked) = (AtomicU64::new(1), AtomicU64::new(0));
    thread::scope(|scope| {
        let player = || {
            let two = TwoPacks::new();
            while two.panics_at(changes.fetch_add(1, Ordering::SeqCst)) {
                panicked.fetch_add(1, Ordering::SeqCst);
            }
        };
        (0..PLAYERS).for_each(|_| drop(scope.spawn(player)));
    });
    let panicked = panicked.into_inner();
    assert!(panicked > 50, "only {panicked} changes");
}

/// A player with two packs, for each of which there is an update.
struct TwoPacks {
    place: Place,
    // They end with it.
    _origin: Faulty,
    _seeder: Peer,
}

fn old() -> Tree {
    Tree::of(&[("edited.cfg", 300), ("gone/old.pak", 900), ("readme.txt", 500)])
        .with("becomes a folder", noise(20, 400))
        .with("mods/a.pak", noise(21, 40_000))
        .with("old name.pak", noise(22, 30_000))
}

fn new() -> Tree {
    old()
        .damaged("mods/a.pak")
        .without("gone/old.pak")
        .without("becomes a folder")
        .with("becomes a folder/inner.pak", noise(23, 600))
        .with("edited.cfg", noise(24, 310))
        .without("old name.pak")
        .with("new name.pak", noise(22, 30_000))
        .with("new/deep/one.pak", noise(25, 50_000))
}

/// Nothing of it need be fetched.
fn next_of_the_other() -> Tree {
    old().without("gone/old.pak")
}

fn mine() -> Tree {
    Tree::default().with("edited.cfg", "edited by the player").with("saves/one.sav", "mine")
}

impl TwoPacks {
    fn new() -> Self {
        let (place, origin) = (Place::new(), Faulty::start());
        let [before, after, other] =
            [old(), new(), next_of_the_other()].map(|tree| Release::of(&tree));
        let seeder = Peer::start(&after, Manner::default());
        let publish = |path, release: &Release, etag| {
            origin.set(path, Behaviour::pack(release.torrent.clone(), etag))
        };
        let (pack, other_pack) =
            (publish("/pack", &before, "old"), publish("/other", &before, "old"));
        place.follow(&pack);
        let peers = format!("peers = [{}]\nmax_removed_percent = 100", seeder.quoted());
        let folder = place.path("other").display().to_string();
        let second = format!("[[pack]]\nurl = {other_pack:?}\nfolder = {folder:?}\n{peers}");
        place.set("", &format!("{peers}\n{second}"));
        place.set_network("give_up_after = \"5s\"");
        for folder in ["pack", "other"] {
            old().write(&place.path(folder));
        }
        for folder in ["pack", "other"] {
            assert_eq!(place.run(&["sync", folder]).status.code(), Some(0));
            mine().without("edited.cfg").write(&place.path(folder));
        }
        mine().write(&place.path("pack"));
        publish("/pack", &after, "new");
        publish("/other", &other, "new");
        let two = Self { place, _origin: origin, _seeder: seeder };
        two.copy("", "before/");
        two
    }

    /// Makes the folders and our state as they were.
    fn begin_anew(&self) {
        self.copy("before/", "");
    }

    fn copy(&self, from: &str, to: &str) {
        for folder in ["pack", "other", "state"] {
            let [from, to] = [from, to].map(|place| self.place.path(&format!("{place}{folder}")));
            let _ = fs::remove_dir_all(&to);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
        }
    }

    /// A running engine that panics at this change of the first pack's folder.
    fn engine(&self, change: u64) -> Running {
        let mut engine = self.place.command(&["run"]);
        let folder = self.place.path("pack");
        engine.env("MODSYNC_FAULT", format!("panic:{change}:{}", folder.display()));
        let mut engine = Running::start(engine);
        engine.says("running");
        engine
    }

    /// Has a job panic at this change, unless there are fewer; whether it did.
    fn panics_at(&self, change: u64) -> bool {
        self.begin_anew();
        let engine = self.engine(change);
        let (code, answer) = self.place.ask(&["sync", "pack"]);
        self.each_file_is_old_or_new();
        let fault = self.place.status()["fault"]["kind"].clone();
        if code != Some(0) {
            assert_eq!((code, &answer["kind"]), (Some(1), &json!("bug")), "{change}: {answer}");
            assert_eq!(fault, json!("bug"), "{change}");
            // It was a passing one.
            let (code, answer) = self.place.ask(&["sync", "pack"]);
            assert_eq!(code, Some(0), "{change}: {answer}");
        }
        assert_eq!(self.place.ask(&["sync", "other"]).0, Some(0), "{change}");
        self.is_as_expected("pack", &new(), change);
        self.is_as_expected("other", &next_of_the_other(), change);
        self.nothing_is_lost();
        engine.sigterm();
        let ended = engine.end(LIMIT);
        let panicked = ended.exits(0).stderr.contains("panicked");
        // The first changes are of the engine's own look at the origin, which nobody asked for.
        assert!(code != Some(0) || !panicked || change < 3, "{change}: {}", ended.stderr);
        panicked
    }

    fn each_file_is_old_or_new(&self) {
        let known = [old(), new(), mine()];
        for (path, bytes) in Tree::read(&self.place.path("pack")).0 {
            let is_known = known.iter().any(|tree| tree.0.get(&path) == Some(&bytes));
            assert!(is_known, "`{path}` is neither old nor new");
        }
        self.nothing_is_lost();
    }

    /// A pack has its new release, and what the player added to it.
    fn is_as_expected(&self, folder: &str, release: &Tree, change: u64) {
        let expected = release.clone().and(&mine().without("edited.cfg"));
        let difference = Tree::read(&self.place.path(folder)).difference(&expected);
        assert!(difference.is_empty(), "{change}: not as they should be: {difference:?}");
    }

    fn nothing_is_lost(&self) {
        let all: BTreeMap<PathBuf, Vec<u8>> = walkdir::WalkDir::new(self.place.path("pack"))
            .into_iter()
            .map(|entry| entry.unwrap().into_path())
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        for (path, bytes) in mine().0 {
            assert!(all.values().any(|kept| *kept == bytes), "`{path}` is lost");
        }
    }
}
