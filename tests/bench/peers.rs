//! Programs that do what ModSync does, or a part of it: how each is found, and which command does a task.
//! All of them stay on loopback and end by themselves.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shapes::TITLE;
use crate::source::Source;
use crate::transmission::free_address;
use crate::world::Running;

/// Where those are installed that the system has no package of.
const ROOM: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/peers");

/// A BitTorrent client. Files lie in `folder` below the torrent's title.
pub trait Client {
    fn name(&self) -> &'static str;
    /// Checks files that are complete, from scratch.
    fn check(&self, torrent: &Path, folder: &Path) -> Command;
    /// Fetches what is missing.
    fn fetch(&self, torrent: &Path, folder: &Path, from: &Source) -> Command;
}

/// Those that this run compares. The one that takes minutes to install only comes to the long ones.
pub fn clients(short: bool) -> Vec<Box<dyn Client>> {
    let mut clients: Vec<Box<dyn Client>> =
        vec![Box::new(Libtorrent::find()), Box::new(Aria2::find())];
    if short {
        println!("rqbit is left out of the short run: it would have to be built first");
    } else {
        clients.push(Box::new(Rqbit::find()));
    }
    clients
}

#[derive(Debug)]
pub struct Aria2 {
    program: &'static str,
}

impl Aria2 {
    pub fn find() -> Self {
        Self { program: installed("aria2c") }
    }

    fn command(&self, torrent: &Path, folder: &Path) -> Command {
        let mut command = bare(self.program, folder);
        command
            .args(["--no-conf", "--quiet", "--seed-time=0", "--file-allocation=none"])
            .args(["--check-integrity=true", "--allow-overwrite=true", "--interface=127.0.0.1"])
            .args(["--enable-dht=false", "--enable-dht6=false", "--enable-peer-exchange=false"])
            .arg(format!("--listen-port={}", free_address().port()))
            .arg("--dir")
            .arg(folder)
            .arg(torrent);
        command
    }
}

impl Client for Aria2 {
    fn name(&self) -> &'static str {
        "aria2"
    }

    fn check(&self, torrent: &Path, folder: &Path) -> Command {
        let mut command = self.command(torrent, folder);
        command.arg("--hash-check-only=true");
        command
    }

    fn fetch(&self, torrent: &Path, folder: &Path, from: &Source) -> Command {
        let mut command = self.command(torrent, folder);
        command.arg(format!("--bt-tracker={}", from.tracker()));
        command
    }
}

/// Through its Python binding, with a thread that hashes for every core.
#[derive(Debug)]
pub struct Libtorrent {
    python: PathBuf,
}

impl Libtorrent {
    pub fn find() -> Self {
        let room = Path::new(ROOM).join("libtorrent");
        let python = room.join("bin/python");
        let is_there = Command::new(&python).args(["-c", "import libtorrent"]).output();
        if !is_there.is_ok_and(|output| output.status.success()) {
            println!("installing libtorrent");
            succeeds(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&room));
            let install = ["-m", "pip", "install", "--quiet", "libtorrent"];
            succeeds(Command::new(&python).args(install));
        }
        Self { python }
    }

    /// A seeder that sends so many bytes a second, or 0 for as many as it can. When it has verified all files, it
    /// says its port; what it sent so far stands in the file `counter`.
    pub fn seed(&self, torrent: &Path, folder: &Path, counter: &Path, limit: u32) -> Running {
        let mut command = self.command("seed", torrent, folder);
        command.arg(counter).arg(limit.to_string());
        Running::start(command)
    }

    fn command(&self, task: &str, torrent: &Path, folder: &Path) -> Command {
        let mut command = bare(&self.python, folder);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/libtorrent_client.py"));
        command.arg(task).args([torrent, folder]);
        command
    }
}

impl Client for Libtorrent {
    fn name(&self) -> &'static str {
        "libtorrent"
    }

    fn check(&self, torrent: &Path, folder: &Path) -> Command {
        self.command("check", torrent, folder)
    }

    fn fetch(&self, torrent: &Path, folder: &Path, from: &Source) -> Command {
        let mut command = self.command("fetch", torrent, folder);
        command.arg(from.peer());
        command
    }
}

#[derive(Debug)]
pub struct Rqbit {
    program: PathBuf,
}

impl Rqbit {
    pub fn find() -> Self {
        let room = Path::new(ROOM).join("rqbit");
        let program = room.join("bin/rqbit");
        if !program.exists() {
            println!("building rqbit, which takes some minutes");
            let features = ["--no-default-features", "--features", "rust-tls"];
            let mut install = Command::new(env!("CARGO"));
            install.args(["install", "rqbit", "--locked", "--quiet", "--root"]).arg(&room);
            succeeds(install.args(features));
        }
        Self { program }
    }

    fn command(&self, torrent: &Path, folder: &Path) -> Command {
        let mut command = bare(&self.program, folder);
        command
            .args(["-v", "error", "--disable-dht", "--disable-lsd", "--disable-trackers"])
            .args(["--disable-upnp-port-forward", "--disable-tcp-listen", "download"])
            .args(["--disable-http-api", "--exit-on-finish", "--overwrite", "--output-folder"])
            .arg(folder)
            // By itself it makes one only for more than one file.
            .args(["--sub-folder", TITLE])
            .arg(torrent);
        command
    }
}

impl Client for Rqbit {
    fn name(&self) -> &'static str {
        "rqbit"
    }

    fn check(&self, torrent: &Path, folder: &Path) -> Command {
        self.command(torrent, folder)
    }

    fn fetch(&self, torrent: &Path, folder: &Path, from: &Source) -> Command {
        let mut command = self.command(torrent, folder);
        command.args(["--initial-peers", &from.peer()]);
        command
    }
}

#[derive(Debug)]
pub struct Rsync {
    program: &'static str,
}

impl Rsync {
    pub fn find() -> Self {
        Self { program: installed("rsync") }
    }

    /// Bytes sent to who has the files of `old` and wants those of `new`; `old` becomes like it.
    pub fn sent(&self, new: &Path, old: &Path) -> u64 {
        let mut command = bare(self.program, old);
        command
            .args(["--recursive", "--checksum", "--no-whole-file", "--fuzzy", "--delete-delay"])
            .args(["--stats", "--no-human-readable"])
            .arg(new.join(""))
            .arg(old.join(""));
        number_after("Total bytes sent: ", &succeeds(&mut command))
    }
}

#[derive(Debug)]
pub struct Zsync {
    make: &'static str,
    program: &'static str,
}

impl Zsync {
    pub fn find() -> Self {
        Self { make: installed("zsyncmake"), program: installed("zsync") }
    }

    /// What describes a file that others get from `url`.
    pub fn describe(&self, file: &Path, url: &str) -> Vec<u8> {
        let folder = file.parent().unwrap();
        let description = folder.join("described.zsync");
        let mut command = bare(self.make, folder);
        succeeds(command.args(["-u", url, "-o"]).arg(&description).arg(file));
        std::fs::read(description).unwrap()
    }

    /// Bytes of the file that are fetched by who has `old`, besides its description.
    pub fn fetched(&self, url: &str, old: &[PathBuf], into: &Path) -> u64 {
        let mut command = bare(self.program, into);
        old.iter().for_each(|file| {
            command.arg("-i").arg(file);
        });
        number_after("fetched ", &succeeds(command.arg("-o").arg(into.join("zsync.new")).arg(url)))
    }
}

/// What was compared with, and which version of it.
pub fn versions() -> Vec<String> {
    let libtorrent = Path::new(ROOM).join("libtorrent/bin/python");
    let script = "import libtorrent; print(libtorrent.__version__)";
    let rqbit = Path::new(ROOM).join("rqbit/bin/rqbit");
    let version = |name, program: &Path, arguments: &[&str]| {
        let said = bare(program, Path::new("/")).args(arguments).output().ok()?;
        let said = [said.stdout, said.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        let words = said.split_whitespace().map(|word| word.trim_start_matches('v'));
        let is_version = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
        Some(format!("{name} {}", words.into_iter().find(is_version)?))
    };
    [
        version("Transmission", Path::new("transmission-daemon"), &["--version"]),
        version("libtorrent", &libtorrent, &["-c", script]),
        version("aria2", Path::new("aria2c"), &["--version"]),
        version("rqbit", &rqbit, &["--version"]),
        version("rsync", Path::new("rsync"), &["--version"]),
        version("zsync", Path::new("zsync"), &["-V"]),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A program that sees nothing of who starts it: no settings, no proxy.
fn bare(program: impl AsRef<OsStr>, home: &Path) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).env("HOME", home);
    command.env("LC_ALL", "C.UTF-8").env("NO_COLOR", "1");
    command.current_dir(home);
    command
}

fn installed(program: &'static str) -> &'static str {
    let found = Command::new("which").arg(program).output().is_ok_and(|o| o.status.success());
    assert!(found, "{program} is not installed; `tests/run.sh` does that");
    program
}

/// Runs it to its end, and gives what it said.
fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn number_after(words: &str, said: &str) -> u64 {
    let rest = said.rsplit_once(words).unwrap_or_else(|| panic!("no `{words}` in {said}")).1;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}
