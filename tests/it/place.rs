//! [`Place`]: a player's computer without peers. A pack is adopted as it lies in the folder, so that nothing
//! needs to be fetched.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use modsync::model::manifest::hex;
use serde_json::Value;
use sha1::{Digest, Sha1};

use crate::faulty::{Behaviour, Faulty};
use crate::torrents::torrent_of;
use crate::world::Running;

/// Settings, state and a pack's folder, all in one temporary folder.
pub struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path("pack").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub fn follow(&self, url: &str) {
        let text = format!(
            "[[pack]]\nurl = {url:?}\nfolder = '{}'\n\
             [network]\ndht = false\nlocal_discovery = false\ntrackers = false\nupnp = false\n",
            self.path("pack").display()
        );
        fs::write(self.path("config.toml"), text).unwrap();
    }

    /// Sets keys of the pack, or others above it, as TOML.
    pub fn set(&self, above: &str, of_pack: &str) {
        let text = fs::read_to_string(self.path("config.toml")).unwrap();
        let text = text.replace("[network]", &format!("{of_pack}\n[network]"));
        fs::write(self.path("config.toml"), format!("{above}\n{text}")).unwrap();
    }

    /// Sets a key of the network, as TOML.
    pub fn set_network(&self, line: &str) {
        let text = fs::read_to_string(self.path("config.toml")).unwrap();
        fs::write(self.path("config.toml"), format!("{text}{line}\n")).unwrap();
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_modsync"));
        command
            .args(arguments)
            .env("MODSYNC_CONFIG", self.path("config.toml"))
            .env("MODSYNC_STATE", self.path("state"));
        command
    }

    /// A running engine that follows the packs and can be asked.
    pub fn running(&self) -> Running {
        let mut running = Running::start(self.command(&["run"]));
        running.says("running");
        running
    }

    pub fn status(&self) -> Value {
        let output = self.run(&["status", "--json"]);
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["packs"][0].clone()
    }

    /// Every file of the pack's folder but our own.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let own = self.path("pack/.modsync");
        self.tree().into_iter().filter(|(path, _)| !path.starts_with(&own)).collect()
    }

    /// Every file of the pack's folder, our own folder included.
    pub fn tree(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        walkdir::WalkDir::new(self.path("pack"))
            .into_iter()
            .map(|entry| entry.unwrap().into_path())
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), fs::read(&path).unwrap()))
            .collect()
    }

    /// Publishes a release with these files.
    pub fn publish(&self, origin: &Faulty, files: &[(&str, &[u8])]) {
        let torrent = torrent_of("pack", 16384, files).encode();
        let etag = hex(&Sha1::digest(&torrent));
        self.follow(&origin.set("/pack.torrent", Behaviour::pack(torrent, &etag)));
    }

    /// A folder in which these files are installed and followed.
    pub fn with_installed(origin: &Faulty, files: &[(&str, &[u8])]) -> Self {
        let place = Self::new();
        place.publish(origin, files);
        files.iter().for_each(|(path, bytes)| place.write(path, bytes));
        assert_eq!(place.run(&["sync"]).status.code(), Some(0));
        place
    }

    /// The answer of a command for programs, and its exit code.
    pub fn ask(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let output = self.run(&[arguments, &["--json"]].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let answer = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        (output.status.code(), answer)
    }
}
