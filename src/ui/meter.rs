//! Shows how a command goes while it goes: a bar on a terminal, a line a phase otherwise.

use std::io::{IsTerminal, Write, stderr};
use std::time::SystemTime;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::text;
use crate::model::snapshot::{Phase, Snapshot};

/// Shows how one pack's command goes, on standard error.
pub struct Meter {
    pack: String,
    bar: Option<ProgressBar>,
    last: &'static str,
}

impl Meter {
    pub fn new(pack: &str) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{prefix} {wide_bar} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { pack: pack.to_owned(), bar, last: "" }
    }

    pub fn show(&mut self, snapshot: &Snapshot) {
        let Some(pack) = snapshot.packs.iter().find(|pack| pack.name == self.pack) else {
            return;
        };
        let is_work = pack.phase.progress().is_some() || matches!(pack.phase, Phase::Checking);
        let is_news = is_work && pack.phase.name() != self.last;
        self.last = pack.phase.name();
        match (&self.bar, pack.phase.progress()) {
            (Some(bar), Some(progress)) => {
                bar.set_prefix(pack.phase.name());
                bar.set_length(progress.total.max(1));
                bar.set_position(progress.done);
                bar.set_message(text::progress(progress));
            }
            (None, _) if is_news => {
                // Nobody may be reading: that is no reason to stop.
                let _ = writeln!(
                    stderr(),
                    "{}: {}",
                    self.pack,
                    text::phase(&pack.phase, SystemTime::now())
                );
            }
            _ => {}
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
