//! [`World`]: a player's computer with the built program, an origin, and a seeder that we did not write.
//!
//! Everything lies in one temporary folder and talks over loopback; nothing is shared between worlds.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::disks::Disks;
use super::origin_server::OriginServer;
use super::torrents::{dict, torrent_of};
use super::transmission::{Seeded, Transmission, make_torrent, sigterm};
use super::tree::{OWN, Stamps, Tree, stamps};

/// What every pack here is called by its torrent; files of the seeder lie below a folder of that name.
const TITLE: &str = "Pack";
const PIECE_KIB: u32 = 32;
/// No command may take longer.
pub const LIMIT: Duration = Duration::from_secs(90);
/// How often something is looked at that tells nobody.
const LOOK: Duration = Duration::from_millis(50);

/// A player's computer, an origin and a seeder.
#[derive(Debug)]
pub struct World {
    pub origin: OriginServer,
    pub seeder: Transmission,
    pack: RefCell<BTreeMap<&'static str, String>>,
    network: RefCell<BTreeMap<&'static str, String>>,
    releases: Cell<u32>,
    disks: Option<Disks>,
    /// What runs the program: words before its own.
    through: Vec<String>,
    program: PathBuf,
    // The last, so that what runs in it has ended when it goes.
    folder: TempDir,
}

impl World {
    /// A player who follows the origin with a folder that does not exist yet.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("modsync-it-").tempdir().unwrap();
        let seeder = Transmission::start(&folder.path().join("transmission"));
        let origin = OriginServer::start();
        let world = Self {
            pack: RefCell::default(),
            network: RefCell::default(),
            releases: Cell::default(),
            disks: None,
            through: Vec::new(),
            program: env!("CARGO_BIN_EXE_modsync").into(),
            origin,
            seeder,
            folder,
        };
        for (key, value) in [
            ("url", quoted(&world.origin.url())),
            ("folder", quoted(world.pack().to_str().unwrap())),
            ("peers", format!("[{}]", quoted(&world.seeder.peer()))),
        ] {
            world.pack.borrow_mut().insert(key, value);
        }
        for (key, value) in [
            ("dht", "false"),
            ("local_discovery", "false"),
            ("trackers", "false"),
            ("upnp", "false"),
            ("give_up_after", "\"40s\""),
        ] {
            world.network.borrow_mut().insert(key, value.to_owned());
        }
        world.write_settings("");
        world
    }

    /// A world in which a release is published and installed.
    pub fn with(tree: &Tree) -> Self {
        let world = Self::new();
        world.publish(tree);
        world.modsync("sync").exits(0);
        world.has(tree);
        world.origin.take_log();
        world
    }

    /// The same, with disks of the player's own: a shell script mounts them in the folder it is started in.
    pub fn on(mount: &str) -> Self {
        let mut world = Self::new();
        fs::create_dir_all(world.at("player")).unwrap();
        fs::create_dir_all(world.at("state")).unwrap();
        let disks = Disks::mount(world.folder.path(), mount);
        world.through = disks.entrance();
        world.disks = Some(disks);
        world
    }

    /// Changes the player's disks.
    #[track_caller]
    pub fn sh(&self, script: &str) {
        let disks = self.disks.as_ref().expect("a world with disks of its own");
        disks.sh(self.folder.path(), script);
    }

    /// The program runs with these words before its own from now on.
    pub fn run_through(&mut self, words: &[&str]) {
        self.through.extend(words.iter().map(|&word| word.to_owned()));
    }

    /// The program runs as somebody from now on who owns nothing, and may write in every folder there is so far.
    pub fn run_as_a_stranger(&mut self) {
        // They may not reach the one that was built.
        self.program = self.at("modsync");
        copy_program(&self.program);
        for folder in ["home", "tmp", "state", "player"] {
            fs::create_dir_all(self.at(folder)).unwrap();
        }
        let folders = walkdir::WalkDir::new(self.at("")).into_iter().map(Result::unwrap);
        for folder in folders.filter(|entry| entry.file_type().is_dir()) {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        }
        self.run_through(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// The folder that is kept equal to the pack, as seen from here.
    pub fn pack(&self) -> PathBuf {
        self.seen("player/pack")
    }

    /// A place on the player's disks, as seen from here.
    pub fn seen(&self, path: &str) -> PathBuf {
        let path = self.at(path);
        self.disks.as_ref().map_or_else(|| path.clone(), |disks| disks.seen(&path))
    }

    /// A file of ours inside it.
    pub fn own(&self, path: &str) -> PathBuf {
        self.pack().join(OWN).join(path)
    }

    /// Sets a key of the pack, as TOML.
    pub fn set(&self, key: &'static str, value: &str) {
        self.pack.borrow_mut().insert(key, value.to_owned());
        self.write_settings("");
    }

    /// Sets a key of the network, as TOML.
    pub fn set_network(&self, key: &'static str, value: &str) {
        self.network.borrow_mut().insert(key, value.to_owned());
        self.write_settings("");
    }

    /// Writes the settings with a line more in the pack, which may be wrong.
    pub fn write_settings(&self, line: &str) {
        let lines = |keys: &BTreeMap<_, _>| {
            let lines = keys.iter().map(|(key, value)| format!("{key} = {value}"));
            lines.collect::<Vec<_>>().join("\n")
        };
        let text = format!(
            "[[pack]]\n{}\n{line}\n[network]\n{}\n",
            lines(&self.pack.borrow()),
            lines(&self.network.borrow())
        );
        let new = self.at("config.new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.at("config.toml")).unwrap();
    }

    /// Publishes a release and seeds it.
    pub fn publish(&self, tree: &Tree) -> Seeded {
        let (torrent, seeded) = self.prepare(tree);
        self.origin.publish(torrent);
        seeded
    }

    /// Makes a release and seeds it; nobody is told of it.
    pub fn prepare(&self, tree: &Tree) -> (Vec<u8>, Seeded) {
        self.releases.set(self.releases.get() + 1);
        let folder = self.at(&format!("releases/{}", self.releases.get()));
        tree.write(&folder.join(TITLE));
        let torrent = torrent(tree, &folder.join(TITLE));
        let seeded = self.seeder.seed(&torrent, &folder);
        (torrent, seeded)
    }

    /// Runs the program to its end.
    #[track_caller]
    pub fn modsync(&self, arguments: &str) -> Ran {
        self.spawn(arguments).end(LIMIT)
    }

    /// Starts the program.
    #[track_caller]
    pub fn spawn(&self, arguments: &str) -> Running {
        if ["sync", "apply", "verify", "run"].iter().any(|verb| arguments.starts_with(verb)) {
            self.seeder.await_silence();
        }
        Running::start(self.command(arguments))
    }

    /// Runs the program to its end as another engine would, which knows nothing of the first.
    #[track_caller]
    pub fn modsync_of_another(&self, arguments: &str) -> Ran {
        self.seeder.await_silence();
        Running::start(self.command_with(arguments, &self.at("state of another"))).end(LIMIT)
    }

    /// The built program with these arguments, in the player's world and nothing else.
    pub fn command(&self, arguments: &str) -> Command {
        self.command_with(arguments, &self.at("state"))
    }

    fn command_with(&self, arguments: &str, state: &Path) -> Command {
        let (home, temporary) = (self.at("home"), self.at("tmp"));
        fs::create_dir_all(&home).unwrap();
        fs::create_dir_all(&temporary).unwrap();
        let mut line = self.through.clone();
        line.push(self.program.to_str().unwrap().to_owned());
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]);
        command.args(arguments.split_whitespace());
        command.arg("--config").arg(self.at("config.toml"));
        command.arg("--state").arg(state);
        command.env_clear().env("HOME", home).env("TMPDIR", temporary);
        command.current_dir(self.folder.path());
        command
    }

    /// Starts the program, which stops just before its n-th change of the pack's folder; how it ended, when it
    /// makes fewer.
    pub fn spawn_until(&self, change: u64, arguments: &str) -> Result<Running, Ran> {
        let mut running = self.spawn_with_fault("stop", change, arguments);
        if running.stops() { Ok(running) } else { Err(running.end(LIMIT)) }
    }

    /// Starts the program, to which this happens just before its n-th change of the pack's folder.
    pub fn spawn_with_fault(&self, what: &str, change: u64, arguments: &str) -> Running {
        self.seeder.await_silence();
        let mut command = self.command(arguments);
        let pack = self.at("player/pack");
        command.env("MODSYNC_FAULT", format!("{what}:{change}:{}", pack.display()));
        Running::start(command)
    }

    /// Keeps the player's folder and our state as they are, under a name.
    pub fn keep(&self, name: &str) {
        self.copy(Path::new(""), Path::new(name));
    }

    /// Makes the player's folder and our state as they were then.
    pub fn bring_back(&self, name: &str) {
        self.copy(Path::new(name), Path::new(""));
    }

    fn copy(&self, from: &Path, to: &Path) {
        for folder in ["player", "state"] {
            let [from, to] = [from, to].map(|place| self.folder.path().join(place).join(folder));
            let _ = fs::remove_dir_all(&to);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
        }
    }

    /// Starts an engine that follows the origin.
    #[track_caller]
    pub fn follow(&self) -> Running {
        let mut engine = self.spawn("run");
        engine.says(" running ");
        engine
    }

    /// What the pack does, as `status --json` shows it.
    #[track_caller]
    pub fn status(&self) -> Value {
        self.modsync("status --json").exits(0).json()["packs"][0].clone()
    }

    /// Waits until the running engine shows this of the pack.
    #[track_caller]
    pub fn await_status(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + LIMIT;
        loop {
            let status = self.status();
            if is_so(&status) {
                return status;
            }
            assert!(Instant::now() < end, "never {what}: {status:#}");
            thread::sleep(LOOK);
        }
    }

    /// The pack's folder without our own part of it.
    pub fn tree(&self) -> Tree {
        Tree::read(&self.pack())
    }

    /// All of the pack's folder, our own part of it included.
    pub fn stamps(&self) -> Stamps {
        stamps(&self.pack())
    }

    /// Asserts that the folder has these files, and no others.
    #[track_caller]
    pub fn has(&self, tree: &Tree) {
        let difference = self.tree().difference(tree);
        assert!(difference.is_empty(), "not as they should be: {difference:#?}");
    }

    /// Whether a file with these bytes lies in the trash.
    pub fn trash_has(&self, bytes: &[u8]) -> bool {
        let trash = self.own("trash");
        trash.exists() && Tree::read(&trash).0.values().any(|kept| kept == bytes)
    }
}

/// `transmission-create` leaves empty files out: a pack that has some gets a torrent of our own making.
fn torrent(tree: &Tree, folder: &Path) -> Vec<u8> {
    if tree.0.values().all(|bytes| !bytes.is_empty()) {
        return make_torrent(folder, PIECE_KIB);
    }
    let files: Vec<_> = tree.0.iter().map(|(path, bytes)| (&path[..], &bytes[..])).collect();
    let torrent = torrent_of(TITLE, PIECE_KIB as usize * 1024, &files);
    // Without the tracker that it names.
    dict([("info", torrent.info())]).encode()
}

/// Whether the long tests are asked for as well.
pub fn is_nightly() -> bool {
    std::env::var("MODSYNC_TESTS").is_ok_and(|which| which == "nightly")
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "\n{}{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        let said = self.stdout.contains(text) || self.stderr.contains(text);
        assert!(said, "it does not say `{text}`:\n{}{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("{e}:\n{}{}", self.stdout, self.stderr))
    }
}

/// A command that is running. It is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    process: Child,
    lines: Receiver<Line>,
    stdout: String,
    stderr: String,
}

#[derive(Debug)]
enum Line {
    Out(String),
    Err(String),
}

impl Running {
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = piped.spawn().unwrap();
        let (sender, lines) = channel();
        pass_on(process.stdout.take().unwrap(), Line::Out, sender.clone());
        pass_on(process.stderr.take().unwrap(), Line::Err, sender);
        Self { process, lines, stdout: String::new(), stderr: String::new() }
    }

    /// Waits until it says this, and gives the line.
    #[track_caller]
    pub fn says(&mut self, text: &str) -> String {
        let end = Instant::now() + LIMIT;
        loop {
            let line = match self.next_line(end) {
                Ok(line) => line,
                Err(why) => {
                    panic!("{why} and never says `{text}`:\n{}{}", self.stdout, self.stderr)
                }
            };
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Asks it to end, as a system does when it shuts down.
    pub fn sigterm(&self) {
        sigterm(&self.process);
    }

    /// Waits until it has stopped; says whether it has, and not ended.
    fn stops(&mut self) -> bool {
        let end = Instant::now() + LIMIT;
        while !self.has_ended() {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
            // <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>
            if stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T")) {
                return true;
            }
            assert!(Instant::now() < end, "neither ended nor stopped");
            thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// Lets it go on after it has stopped.
    pub fn go_on(&self) {
        let _ = Command::new("kill").args(["-CONT", &self.id().to_string()]).status();
    }

    /// Waits for its end, and tells the most memory that it had in use, in bytes.
    #[track_caller]
    pub fn end_with_peak(mut self) -> (Ran, u64) {
        // The largest packs of the nightly tests take their time.
        let end = Instant::now() + if is_nightly() { 10 * LIMIT } else { LIMIT };
        let mut peak = 0;
        while !self.has_ended() && Instant::now() < end {
            peak = self.peak_memory().unwrap_or(peak);
            thread::sleep(Duration::from_millis(2));
        }
        (self.end(Duration::from_secs(5)), peak)
    }

    /// The most memory that it had in use so far, in bytes; `None` when it has ended.
    pub fn peak_memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib * 1024)
    }

    /// Ends it as a power cut does.
    pub fn sigkill(mut self) -> Ran {
        let _ = self.process.kill();
        self.end(LIMIT)
    }

    /// What it said so far. How it would have ended is nobody's concern.
    pub fn leave(mut self) -> Ran {
        let (stdout, stderr) = (&mut self.stdout, &mut self.stderr);
        Ran { code: None, stdout: std::mem::take(stdout), stderr: std::mem::take(stderr) }
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self, limit: Duration) -> Ran {
        let end = Instant::now() + limit;
        loop {
            match self.next_line(end) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let _ = self.process.kill();
                    panic!("still running after {limit:?}:\n{}{}", self.stdout, self.stderr);
                }
            }
        }
        let code = self.process.wait().unwrap().code();
        Ran { code, ..self.leave() }
    }

    fn next_line(&mut self, end: Instant) -> Result<String, RecvTimeoutError> {
        let left = end.saturating_duration_since(Instant::now());
        let (line, said) = match self.lines.recv_timeout(left)? {
            Line::Out(line) => (line, &mut self.stdout),
            Line::Err(line) => (line, &mut self.stderr),
        };
        said.push_str(&line);
        Ok(line)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn pass_on(from: impl Read + Send + 'static, as_line: fn(String) -> Line, to: Sender<Line>) {
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).into_owned();
            line.clear();
            if to.send(as_line(text)).is_err() {
                break;
            }
        }
    });
}

/// Puts the built program there. Another process does it: nobody can run what somebody has open to write, and until it runs,
/// a program that another test starts has open whatever was open here when it was started.
pub fn copy_program(to: &Path) {
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_modsync")).arg(to).status().unwrap();
    assert!(copied.success());
}
