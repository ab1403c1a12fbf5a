//! [`Disks`]: file systems that only one player's computer has. They are mounted in a namespace of their own,
//! which goes with the process that keeps it, so nothing is left behind.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What has a program go without the rights of root over other users' files, as root runs the tests.
pub const WITHOUT_RIGHTS: &[&str] = &["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"];

#[derive(Debug)]
pub struct Disks {
    keeper: Child,
    namespace: u32,
}

impl Disks {
    /// Has a shell script mount them.
    #[track_caller]
    pub fn mount(folder: &Path, script: &str) -> Self {
        let mut unshare = Command::new("unshare");
        if !is_root() {
            unshare.args(["--user", "--map-root-user"]);
        }
        let mut keeper = unshare
            .args(["--mount", "--propagation", "private", "sh", "-ec"])
            // It ends with us, when nobody holds the other end any more.
            .arg(format!("{script}\necho $$\nexec cat"))
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let namespace = line.trim().parse().expect("could not mount what the test needs");
        Self { keeper, namespace }
    }

    /// Has a shell script change them.
    #[track_caller]
    pub fn sh(&self, folder: &Path, script: &str) {
        let enter = self.entrance();
        let script = format!("cd '{}'\n{script}", folder.display());
        let status =
            Command::new(&enter[0]).args(&enter[1..]).args(["sh", "-ec", &script]).status();
        assert!(status.unwrap().success(), "{script}");
    }

    /// The words that run what follows on these disks.
    pub fn entrance(&self) -> Vec<String> {
        let target = format!("--target={}", self.namespace);
        let user: &[&str] = if is_root() { &[] } else { &["--user", "--preserve-credentials"] };
        let words = [&["nsenter", &target, "--mount"], user, &["--"]].concat();
        words.into_iter().map(str::to_owned).collect()
    }

    /// A place on these disks, as seen from outside.
    pub fn seen(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.namespace));
        root.join(path.strip_prefix("/").unwrap())
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
