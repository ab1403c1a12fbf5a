//! What a power cut may leave: the system is asked, call by call, what an apply makes durable before what.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use modsync::model::path::{ancestors, parent};

use super::{Tree, World, next_pack, noise, pack};
use crate::world::{LIMIT, Running};

#[test]
fn an_apply_makes_everything_durable_before_what_relies_on_it() {
    in_order(&next_pack(), 6);
}

/// Their new content lies in more than one folder.
#[test]
fn an_apply_of_many_files_makes_each_durable_before_what_relies_on_it() {
    in_order(&with_many(210, |n| format!("many/{n}.txt")), 216);
}

/// So many files and folders are made durable together.
#[test]
fn an_apply_of_very_many_files_makes_them_durable_before_what_relies_on_them() {
    in_order(&with_many(300, |n| format!("many/{n}/file.txt")), 306);
}

fn with_many(files: usize, path: impl Fn(usize) -> String) -> Tree {
    let with = |tree: Tree, n: usize| tree.with(&path(n), noise(500 + n as u64, 90));
    (0..files).fold(next_pack(), with)
}

/// Updates to `next`, which puts so many files, and looks at the order of the calls.
fn in_order(next: &Tree, files: usize) {
    let world = World::with(&pack());
    world.publish(next);
    let log = world.at("calls");
    world.seeder.await_silence();
    Running::start(traced(&world.command("sync"), &log)).end(LIMIT).exits(0);
    world.has(next);
    let calls = calls(&fs::read_to_string(&log).unwrap(), &world.pack());
    let first = |is_it: &dyn Fn(&Call) -> bool| calls.iter().position(is_it).expect("no such call");
    let own = |path: &str| path.starts_with(".modsync");

    // The journal, before anything outside our folder changes.
    let journal = first(&|call| call.puts("/journal"));
    let change = first(&|call| call.changed().iter().any(|path| !own(path)));
    let durable = first(&|call| call.name == "fsync" && call.paths == [".modsync/journal.tmp"]);
    assert!(durable < journal && is_synced(&calls[journal..change], ".modsync"), "{calls:#?}");

    // New content, before it gets its name.
    let mut put = 0;
    for (at, call) in calls.iter().enumerate() {
        let [from, to] = call.paths.as_slice() else { continue };
        if call.name == "rename" && own(from) && !own(to) {
            let written = calls[..at].iter().rposition(|call| call.writes(from));
            let written = written.unwrap_or_else(|| panic!("{from} was never written"));
            assert!(is_synced(&calls[written..at], from), "{from} is put before it is durable");
            for folder in ancestors(from).take_while(|folder| *folder != ".modsync/staging") {
                assert!(is_synced(&calls[..journal], folder), "{folder} has no durable names");
            }
            for folder in ancestors(to) {
                let made = calls[..at].iter().rposition(|call| call.makes(folder));
                let is_durable = |made| is_synced(&calls[made..at], parent(folder));
                assert!(made.is_none_or(is_durable), "{to} is put before {folder} is durable");
            }
            put += 1;
        }
    }
    assert_eq!(put, files);

    // Every folder of the pack, before the baseline says that it is so.
    let baseline = calls.iter().rposition(|call| call.puts("/baseline")).unwrap();
    let mut last = BTreeMap::new();
    for (at, call) in calls[..baseline].iter().enumerate() {
        for path in call.changed().into_iter().filter(|path| !own(path)) {
            last.insert(parent(path).to_owned(), at);
        }
    }
    last.retain(|folder, _| world.pack().join(folder).is_dir());
    for (folder, at) in &last {
        assert!(is_synced(&calls[*at..baseline], folder), "`{folder}` is not durable in time");
    }
    assert!(last.len() >= 5, "{last:?}");
    let content = first(&|call| call.name == "fsync" && call.paths[0].contains("baseline.next"));
    assert!(content < baseline);

    // The baseline, before the journal goes.
    let gone =
        calls.iter().rposition(|call| call.paths.first().is_some_and(|p| p.ends_with("/journal")));
    let gone = gone.unwrap();
    assert!(
        baseline < gone && is_synced(&calls[baseline..gone], ".modsync"),
        "{:#?}",
        &calls[baseline..]
    );
}

/// A call to the system that changes a folder or makes it durable.
#[derive(Debug)]
struct Call {
    /// Without what tells its kinds apart: `rename` stands for `renameat2` as well.
    name: String,
    /// Relative to the pack's folder.
    paths: Vec<String>,
}

impl Call {
    /// Whether something gets a name that ends so.
    fn puts(&self, name: &str) -> bool {
        self.name == "rename" && self.paths[1].ends_with(name)
    }

    fn writes(&self, path: &str) -> bool {
        matches!(&*self.name, "write" | "create") && self.paths == [path]
    }

    fn makes(&self, folder: &str) -> bool {
        self.name == "mkdir" && self.paths == [folder]
    }

    /// The names that it changes.
    fn changed(&self) -> Vec<&str> {
        let changes = matches!(&*self.name, "rename" | "link" | "unlink" | "mkdir" | "rmdir");
        let paths = self.paths.iter().map(String::as_str);
        if changes { paths.collect() } else { Vec::new() }
    }
}

fn is_synced(calls: &[Call], path: &str) -> bool {
    calls.iter().any(|call| match &*call.name {
        "fsync" => call.paths == [path],
        "syncfs" => true,
        _ => false,
    })
}

/// The same command, with a log of what it asks the system.
fn traced(command: &Command, log: &Path) -> Command {
    const CALLS: &str = "trace=fsync,fdatasync,syncfs,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,\
                         mkdirat,rmdir,write,pwrite64,openat,openat2";
    let mut traced = Command::new("strace");
    traced.args(["-f", "-y", "-qq", "-s", "0", "-e", CALLS, "-o"]).arg(log);
    traced.arg(command.get_program()).args(command.get_args()).env_clear();
    traced.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    traced.env("PATH", std::env::var_os("PATH").unwrap());
    traced.current_dir(command.get_current_dir().unwrap());
    traced
}

/// The calls of a log that went well and that are about this folder, in the order in which they ended.
fn calls(log: &str, folder: &Path) -> Vec<Call> {
    let mut begun = BTreeMap::new();
    let mut calls = Vec::new();
    for line in log.lines() {
        let (thread, text) = line.split_once(' ').unwrap();
        let text = text.trim_start();
        if let Some(start) = text.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, start.to_owned());
        } else if let Some(rest) = text.strip_prefix("<... ") {
            let start = begun.remove(thread).unwrap_or_default();
            let rest = rest.split_once("resumed>").unwrap().1;
            calls.extend(call(&(start + rest), folder));
        } else {
            calls.extend(call(text, folder));
        }
    }
    calls
}

fn call(text: &str, folder: &Path) -> Option<Call> {
    let (call, result) = text.rsplit_once(" = ")?;
    let (name, arguments) = call.split_once('(')?;
    if result.starts_with('-') {
        return None;
    }
    let name = match name {
        "openat" | "openat2" if arguments.contains("O_CREAT") => "create",
        "openat" | "openat2" => return None,
        "pwrite64" => "write",
        "fdatasync" => "fsync",
        "unlinkat" if arguments.contains("AT_REMOVEDIR") => "rmdir",
        name => name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches("at"),
    };
    let folder = folder.to_str().unwrap();
    let mut paths = Vec::new();
    // Handles are written as `3</folder>`, and a name below one follows it.
    for part in arguments.split('<').skip(1) {
        let (open, after) = part.split_once('>')?;
        let below = after.strip_prefix(", \"").and_then(|name| name.split_once('"'));
        // What is written is left out, and looks like a name without letters.
        let below = below.filter(|(name, _)| !name.is_empty());
        let path = below.map_or(open.to_owned(), |(name, _)| format!("{open}/{name}"));
        let path = path.strip_prefix(folder)?.trim_start_matches('/').trim_end_matches("/.");
        paths.push(path.to_owned());
    }
    (!paths.is_empty()).then(|| Call { name: name.to_owned(), paths })
}
