//! [`Wine`]: one Wine for all tests, with the program built for Windows.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::desktop::screen::Screen;
use crate::world::Running;

/// A Wine of our own.
#[derive(Debug)]
pub struct Wine {
    /// Beside its own drives, programs that only tests need.
    folder: PathBuf,
    /// The program, as Linux names it.
    modsync: PathBuf,
    screen: Screen,
    desktop: Mutex<()>,
}

/// Where there is a taskbar.
#[derive(Debug)]
pub struct Desktop<'a> {
    wine: &'a Wine,
    _alone: MutexGuard<'a, ()>,
}

/// A program that has a file open. It closes it and ends when this is dropped.
#[derive(Debug)]
pub struct Held(Child);

impl Wine {
    /// It runs until the tests end, or it would start anew for each command: their end, however it comes,
    /// closes what its first program reads, which ends then, and Wine with it.
    pub fn get() -> &'static Self {
        static WINE: OnceLock<(Wine, Held)> = OnceLock::new();
        let (wine, _) = WINE.get_or_init(|| {
            let wine = Self::prepare();
            let keeper = wine.hold("read", &wine.folder.join("hold.exe"));
            (wine, keeper)
        });
        wine
    }

    fn prepare() -> Self {
        let built = Command::new(source("installer/windows/build.sh")).output().unwrap();
        let modsync = PathBuf::from(said(built).trim_end());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wine");
        fs::create_dir_all(&folder).unwrap();
        let wine = Self { folder, modsync, screen: Screen::start(), desktop: Mutex::default() };
        wine.make_drives();
        wine.compile("shim.c", &["-shared", "-o", "bcryptprimitives.dll"], &["-ladvapi32"]);
        wine.compile("hold.c", &["-municode", "-o", "hold.exe"], &[]);
        wine.compile("run.c", &["-o", "run.exe"], &[]);
        wine.compile("logout.c", &["-mwindows", "-o", "logout.exe"], &[]);
        wine
    }

    /// Its drives take long to make and are kept for the next time.
    fn make_drives(&self) {
        let lock = File::create(self.folder.join("lock")).unwrap();
        lock.lock().unwrap();
        let (drives, made) = (self.folder.join("prefix"), self.folder.join("made"));
        if !made.exists() {
            let _ = fs::remove_dir_all(&drives);
            let booted = self.linux_command("wineboot").arg("--init").output().expect(INSTALLED);
            // What it wrote is on the disk only when it has ended.
            said(self.linux_command("wineserver").arg("--wait").output().expect(INSTALLED));
            // The code that it ends with is not always that of its work, and this is the last it says.
            let said = String::from_utf8_lossy(&booted.stderr);
            assert!(said.contains("has been updated"), "{booted:?}");
            File::create(made).unwrap();
        }
    }

    fn compile(&self, file: &str, options: &[&str], libraries: &[&str]) {
        let mut compiler = Command::new("x86_64-w64-mingw32-gcc");
        compiler.args(["-O2", "-Wall", "-Werror"]).args(options);
        compiler.arg(source("tests/it/wine").join(file)).args(libraries);
        said(compiler.current_dir(&self.folder).output().expect(INSTALLED));
    }

    /// Runs the program, and says at last with which code it ended.
    pub fn modsync(&self) -> Command {
        let mut command = self.command("run.exe");
        command.arg(windows_path(&self.modsync));
        command
    }

    /// What the registry has below this key of the user's; nothing when there is no such key.
    pub fn registry(&self, key: &str) -> String {
        let mut query = self.linux_command("wine");
        query.args(["reg", "query", &format!(r"HKCU\Software\{key}")]);
        String::from_utf8_lossy(&query.output().expect(INSTALLED).stdout).into_owned()
    }

    /// The desktop, for one at a time.
    pub fn desktop(&self) -> Desktop<'_> {
        let alone = self.desktop.lock().unwrap_or_else(PoisonError::into_inner);
        Desktop { wine: self, _alone: alone }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.linux_command("wine");
        command.arg(self.folder.join(program));
        command
    }

    fn linux_command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", &self.folder)
            .env("LANG", "C.UTF-8")
            // From its first program on, or no later one gets a window.
            .env("DISPLAY", self.screen.display())
            .env("WINEPREFIX", self.folder.join("prefix"))
            .env("WINEARCH", "win64")
            .env("WINEDEBUG", "-all")
            .env("WINEDLLOVERRIDES", "mscoree=;mshtml=;winemenubuilder.exe=d")
            // Programs find here the libraries that Wine itself lacks.
            .env("WINEPATH", windows_path(&self.folder))
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        command
    }

    /// Starts a program that has a file open, and waits until it has.
    pub fn hold(&self, how: &str, file: &Path) -> Held {
        let mut command = self.command("hold.exe");
        command.arg(how).arg(windows_path(file)).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.stderr(Stdio::null()).spawn().expect(INSTALLED);
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), "holding", "{}", file.display());
        Held(holder)
    }
}

impl Desktop<'_> {
    pub fn screen(&self) -> &Screen {
        &self.wine.screen
    }

    /// The launcher.
    pub fn modsyncw(&self) -> Command {
        self.command(&self.wine.modsync.with_file_name("modsyncw.exe"))
    }

    /// Ends the session. That it did is for what ran in it to show: the shell may go first, and takes the code of
    /// its program with it, or hang.
    pub fn log_out(&self) -> Running {
        Running::start(self.command(&self.wine.folder.join("logout.exe")))
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = self.wine.linux_command("wine");
        // The desktop of this name has a taskbar.
        command.args(["explorer", "/desktop=shell,640x480"]).arg(windows_path(program));
        command
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

const INSTALLED: &str = "a part of the tests is not installed; `tests/run.sh` does that";

/// How Windows names a file of Linux.
pub fn windows_path(path: &Path) -> String {
    format!("Z:{}", path.to_str().unwrap().replace('/', "\\"))
}

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What a command that has to succeed said.
#[track_caller]
fn said(output: Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}
