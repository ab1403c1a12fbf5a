//! [`Nginx`]: a real nginx on loopback that serves a folder as plain files.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::transmission::free_address;

const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(10);

/// A running server. It ends when this is dropped.
#[derive(Debug)]
pub struct Nginx {
    server: Child,
    folder: PathBuf,
    address: SocketAddr,
}

impl Nginx {
    /// Starts a server that keeps all it needs in `folder`, and waits until it listens.
    pub fn start(folder: &Path) -> Self {
        // Between choosing a free port and using it, somebody else may take it.
        (0..3)
            .find_map(|_| Self::try_start(folder))
            .expect("nginx does not answer; `tests/run.sh` installs it")
    }

    fn try_start(folder: &Path) -> Option<Self> {
        fs::create_dir_all(folder.join("www")).unwrap();
        let address = free_address();
        fs::write(folder.join("nginx.conf"), configuration(address)).unwrap();
        let server = Command::new(program())
            .arg("-p")
            .arg(folder)
            .args(["-c", "nginx.conf", "-e", "error.log"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("start.log")).unwrap())
            .spawn()
            .expect("nginx is not installed; `tests/run.sh` does that");
        let mut this = Self { server, folder: folder.to_owned(), address };
        this.is_ready().then_some(this)
    }

    fn is_ready(&mut self) -> bool {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end && self.server.try_wait().unwrap().is_none() {
            if TcpStream::connect(self.address).is_ok() {
                return true;
            }
            thread::sleep(LOOK);
        }
        false
    }

    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// Puts a file in place as an admin should: whole, in one instant.
    pub fn publish(&self, name: &str, bytes: &[u8]) {
        let new = self.folder.join("www").join(format!("{name}.new"));
        fs::write(&new, bytes).unwrap();
        fs::rename(new, self.folder.join("www").join(name)).unwrap();
    }

    /// The status of each answer so far.
    pub fn answers(&self) -> Vec<u16> {
        let log = fs::read_to_string(self.folder.join("access.log")).unwrap_or_default();
        log.lines().filter_map(|line| line.parse().ok()).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Debian puts it where only root looks.
fn program() -> &'static str {
    let usual = "/usr/sbin/nginx";
    if Path::new(usual).exists() { usual } else { "nginx" }
}

/// One process in the foreground, so that ending it ends all of it.
fn configuration(address: SocketAddr) -> String {
    format!(
        "daemon off;
master_process off;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 64; }}
http {{
    log_format status '$status';
    access_log access.log status;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    types {{ application/x-bittorrent torrent; }}
    server {{
        listen {address};
        root www;
        location / {{ try_files $uri =404; }}
    }}
}}
"
    )
}
