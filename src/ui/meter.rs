//! Shows how a command goes while it goes: a bar on a terminal, a line a phase otherwise.

use std::io::{IsTerminal, Write, stderr};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::text;
use crate::model::snapshot::{Phase, Progress, Snapshot};

/// Shows how one pack's command goes, on standard error.
pub struct Meter {
    pack: String,
    bar: Option<ProgressBar>,
    /// The phase and the tenth of it that were shown last.
    last: (&'static str, u8),
}

impl Meter {
    pub fn new(pack: &str) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{prefix} {wide_bar} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { pack: pack.to_owned(), bar, last: ("", 0) }
    }

    pub fn show(&mut self, snapshot: &Snapshot) {
        let Some(pack) = snapshot.packs.iter().find(|pack| pack.name == self.pack) else {
            return;
        };
        match (&self.bar, pack.phase.progress()) {
            (Some(bar), Some(progress)) => {
                bar.set_message(text::progress(progress));
                bar.update(|state| {
                    state.set_len(progress.total.max(1));
                    state.set_pos(progress.done);
                });
                bar.set_prefix(pack.phase.name());
            }
            (None, progress) => {
                let tenth = progress.map_or(0, |progress| progress.percent() / 10);
                self.line(&pack.phase, progress, tenth);
            }
            (Some(_), None) => {}
        }
    }

    /// A line a phase, and one for each tenth of it.
    fn line(&mut self, phase: &Phase, progress: Option<&Progress>, tenth: u8) {
        let now = (phase.name(), tenth);
        let is_work = progress.is_some() || matches!(phase, Phase::Checking);
        if !is_work || now == self.last {
            return;
        }
        self.last = now;
        let how_far = progress.filter(|p| p.done > 0).map(text::progress).unwrap_or_default();
        let line = format!("{}: {} {how_far}", self.pack, phase.name());
        // Nobody may be reading: that is no reason to stop.
        let _ = writeln!(stderr(), "{}", line.trim_end());
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
