//! [`Screen`]: an X server that nobody sees.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A screen. It goes when this is dropped.
#[derive(Debug)]
pub struct Screen {
    server: Child,
    display: String,
}

impl Screen {
    pub fn start() -> Self {
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "640x480x24", "-nolisten", "tcp"])
            .args(["-noreset"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb is not installed; `tests/run.sh` does that");
        let mut number = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut number).unwrap();
        Self { server, display: format!(":{}", number.trim()) }
    }

    pub fn display(&self) -> &str {
        &self.display
    }

    /// Moves the mouse there and clicks with this button.
    pub fn click(&self, x: u32, y: u32, button: u32) {
        let at = [x, y].map(|n| n.to_string());
        let done = Command::new("xdotool")
            .args(["mousemove", &at[0], &at[1], "click", &button.to_string()])
            .env("DISPLAY", self.display())
            .status()
            .expect("xdotool is not installed; `tests/run.sh` does that");
        assert!(done.success());
    }

    /// What is on it, as a picture in this file: width, and red, green, blue of each point.
    pub fn shot(&self, file: &Path) -> (usize, Vec<[u8; 3]>) {
        let done = Command::new("scrot")
            .args(["--overwrite", file.to_str().unwrap()])
            .env("DISPLAY", self.display())
            .status()
            .expect("scrot is not installed; `tests/run.sh` does that");
        assert!(done.success());
        let decoder = png::Decoder::new(BufReader::new(std::fs::File::open(file).unwrap()));
        let mut reader = decoder.read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        let samples = info.color_type.samples();
        let points = bytes[..info.buffer_size()].chunks_exact(samples).map(|p| [p[0], p[1], p[2]]);
        (info.width as usize, points.collect())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
