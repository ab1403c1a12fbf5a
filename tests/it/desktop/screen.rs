//! [`Screen`]: an X server that nobody sees.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::world::LIMIT;

/// A screen. It goes when this is dropped, or when the tests end, however they do.
#[derive(Debug)]
pub struct Screen {
    /// Waits for the end of its input, and takes the server with it then.
    server: Child,
    display: String,
}

impl Screen {
    pub fn start() -> Self {
        let mut server = Command::new("sh")
            .args(["-c", r#"Xvfb "$@" </dev/null & exec >&-; read -r end; kill "$!"; wait "$!""#])
            .args(["Xvfb", "-displayfd", "1", "-screen", "0", "640x480x24"])
            .args(["-nolisten", "tcp", "-noreset"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut number = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut number).unwrap();
        assert!(!number.is_empty(), "Xvfb is not installed; `tests/run.sh` does that");
        Self { server, display: format!(":{}", number.trim()) }
    }

    pub fn display(&self) -> &str {
        &self.display
    }

    /// Moves the mouse there and clicks with this button.
    pub fn click(&self, (x, y): (usize, usize), button: &str) {
        let done = Command::new("xdotool")
            .args(["mousemove", &x.to_string(), &y.to_string(), "click", button])
            .env("DISPLAY", self.display())
            .status()
            .expect("xdotool is not installed; `tests/run.sh` does that");
        assert!(done.success());
    }

    /// Waits until the screen is as it should be. What it was like at last stays in a file of this name.
    pub fn await_shot(&self, name: &str, is_so: impl Fn(&Shot) -> bool) -> Shot {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
        fs::create_dir_all(&folder).unwrap();
        let (file, end) = (folder.join(name).with_extension("png"), Instant::now() + LIMIT);
        loop {
            let shot = self.shot(&file);
            if is_so(&shot) {
                return shot;
            }
            assert!(Instant::now() < end, "see {}", file.display());
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn shot(&self, file: &Path) -> Shot {
        let done = Command::new("scrot")
            .args(["--overwrite", file.to_str().unwrap()])
            .env("DISPLAY", self.display())
            .status()
            .expect("scrot is not installed; `tests/run.sh` does that");
        assert!(done.success());
        let decoder = png::Decoder::new(BufReader::new(File::open(file).unwrap()));
        let mut reader = decoder.read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        let samples = info.color_type.samples();
        let points = bytes[..info.buffer_size()].chunks_exact(samples).map(|p| [p[0], p[1], p[2]]);
        Shot { width: info.width as usize, points: points.collect() }
    }
}

/// Buttons of the mouse.
pub const LEFT: &str = "1";
pub const RIGHT: &str = "3";

/// The colour of the icon's disc when all is well, and when there is an update.
pub const GREEN: Point = [0x1f, 0x9d, 0x61];
pub const ORANGE: Point = [0xe0, 0x7b, 0x00];

/// Red, green, blue.
pub type Point = [u8; 3];

/// What was on a screen, row by row.
#[derive(Debug)]
pub struct Shot {
    pub width: usize,
    pub points: Vec<Point>,
}

impl Shot {
    /// Where the first point of this colour is: x, y.
    pub fn first(&self, colour: Point) -> (usize, usize) {
        let at = self.points.iter().position(|point| *point == colour).unwrap();
        (at % self.width, at / self.width)
    }

    /// The part that differs.
    pub fn changed_from(&self, other: &Self) -> Area {
        let pairs = self.points.iter().zip(&other.points).enumerate();
        let changed = pairs.filter(|(_, (new, old))| new != old).map(|(at, _)| at);
        let none = Area { left: usize::MAX, top: usize::MAX, ..Area::default() };
        changed.fold(none, |area, at| Area {
            left: area.left.min(at % self.width),
            top: area.top.min(at / self.width),
            right: area.right.max(at % self.width),
            bottom: area.bottom.max(at / self.width),
        })
    }
}

/// From point to point, all of them within.
#[derive(Debug, Clone, Copy, Default)]
pub struct Area {
    pub left: usize,
    pub top: usize,
    pub right: usize,
    pub bottom: usize,
}

impl Area {
    /// Whether a menu with its many lines may fill it.
    pub fn is_a_menu(&self) -> bool {
        self.right.saturating_sub(self.left) > 150 && self.bottom.saturating_sub(self.top) > 250
    }

    pub fn middle(&self) -> usize {
        self.left.midpoint(self.right)
    }
}

/// How many points have this colour.
pub fn count(points: &[Point], colour: Point) -> usize {
    points.iter().filter(|point| **point == colour).count()
}

impl Drop for Screen {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        let _ = self.server.wait();
    }
}
