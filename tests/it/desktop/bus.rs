//! [`Bus`]: a session bus of our own, on which nobody is but whom the test brings.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A session bus. It ends when this is dropped.
#[derive(Debug)]
pub struct Bus {
    daemon: Child,
    address: String,
    folder: Option<TempDir>,
}

impl Bus {
    /// Nothing is started on it because somebody asks for it.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("modsync-bus-").tempdir().unwrap();
        let mut this = Self::start_in(folder.path());
        this.folder = Some(folder);
        this
    }

    /// The next one in this folder has the same address.
    pub fn start_in(folder: &Path) -> Self {
        Self::start_with(folder, "")
    }

    /// One that starts the services that are installed when they are asked for, with this home.
    pub fn start_with_services(home: &Path) -> Self {
        fs::create_dir_all(home).unwrap();
        Self::start_with(home, "<standard_session_servicedirs/>")
    }

    fn start_with(folder: &Path, services: &str) -> Self {
        let (config, socket) = (folder.join("bus.conf"), folder.join("bus"));
        let _ = fs::remove_file(&socket);
        let text = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen>{services}\
             <auth>EXTERNAL</auth><policy context=\"default\">\
             <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/>\
             </policy></busconfig>",
            socket.display()
        );
        fs::write(&config, text).unwrap();
        let mut daemon = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--print-address"])
            .env("HOME", folder)
            .env("XDG_RUNTIME_DIR", folder)
            .env_remove("XDG_CONFIG_HOME")
            .stdout(Stdio::piped())
            // It would like more handles than it may have, and does without.
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon is installed by tests/run.sh");
        let mut address = String::new();
        BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut address).unwrap();
        assert!(!address.is_empty(), "dbus-daemon does not listen");
        Self { daemon, address: format!("unix:path={}", socket.display()), folder: None }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn connect(&self) -> zbus::blocking::Connection {
        zbus::blocking::connection::Builder::address(self.address()).unwrap().build().unwrap()
    }

    /// As a logout does.
    pub fn die(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.die();
        drop(self.folder.take());
    }
}
