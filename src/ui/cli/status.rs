//! `status`: what every pack is doing, once or for as long as somebody looks.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stdout};
use std::time::{Duration, SystemTime};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::{self, Failure, Output, Reader, with_ok};
use super::{Exit, connect};
use crate::engine::{self, Handle, Mode, StartError};
use crate::model::snapshot::{PackView, Phase, Snapshot};
use crate::paths::Paths;
use crate::ui::args::Asked;
use crate::ui::text;

/// How often a running engine is looked at.
const LOOK: Duration = Duration::from_millis(500);

pub(super) async fn status(
    paths: &Paths,
    asked: &Asked,
    watch: bool,
    output: Output,
) -> Result<Exit, Failure> {
    let pack = match &asked.pack {
        Some(pack) => Some(connect::choose(paths, Some(pack))?),
        None => None,
    };
    let mut snapshot = of_pack(look(paths).await?, pack.as_deref());
    if !watch {
        let words = || text::snapshot(&snapshot, SystemTime::now());
        output.say(words, || with_ok(&snapshot))?;
        return Ok(Exit::Done);
    }
    let mut view = View::new(output);
    let mut ran = engine::left_snapshot(paths).is_some();
    while view.show(&snapshot)? == Reader::There {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = connect::stop_signal() => break,
        }
        // Only an engine that follows the packs changes anything; nobody is kept from starting one.
        let runs = engine::left_snapshot(paths).is_some();
        if runs || ran {
            snapshot = look(paths).await.map_or(snapshot, |seen| of_pack(seen, pack.as_deref()));
        }
        ran = runs;
    }
    Ok(Exit::Done)
}

/// What the running engine shows, or what an engine of our own finds.
async fn look(paths: &Paths) -> Result<Snapshot, StartError> {
    if let Some(snapshot) = engine::left_snapshot(paths).filter(|_| engine::is_running(paths)) {
        return Ok(snapshot);
    }
    let handle = match connect::start(paths, Mode::Once).await {
        Ok(handle) => handle,
        Err(error) => return engine::left_snapshot(paths).ok_or(error),
    };
    let snapshot = settled(&handle).await;
    handle.shutdown().await;
    Ok(snapshot)
}

/// The first snapshot in which no pack is still starting.
async fn settled(handle: &Handle) -> Snapshot {
    let starting = |s: &Snapshot| s.packs.iter().any(|p| matches!(p.phase, Phase::Starting));
    let mut snapshots = handle.watch();
    let settled = snapshots.wait_for(|snapshot| !starting(snapshot)).await;
    settled.map(|snapshot| Snapshot::clone(&snapshot)).unwrap_or_default()
}

fn of_pack(mut snapshot: Snapshot, pack: Option<&str>) -> Snapshot {
    snapshot.packs.retain(|view| pack.is_none_or(|pack| pack == view.name));
    snapshot
}

/// How a status that changes is shown.
enum View {
    /// Drawn anew in its place.
    Screen(ProgressBar),
    /// All of it once, then a line for each pack that has news.
    Lines(Option<BTreeMap<String, News>>),
    /// A line whenever anything changed.
    Values(String),
}

/// What is worth a line: the phase, a tenth of its way, its fault.
type News = (&'static str, u8, String);

impl View {
    fn new(output: Output) -> Self {
        if output.json {
            Self::Values(String::new())
        } else if stdout().is_terminal() {
            let screen = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
            let style = ProgressStyle::with_template("{msg}");
            screen.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            Self::Screen(screen)
        } else {
            Self::Lines(None)
        }
    }

    fn show(&mut self, snapshot: &Snapshot) -> Result<Reader, Failure> {
        let now = SystemTime::now();
        let lines = match self {
            Self::Screen(screen) => {
                screen.set_message(text::snapshot(snapshot, now).trim_end().to_owned());
                return Ok(Reader::There);
            }
            Self::Lines(told) => {
                let news = snapshot.packs.iter().map(|pack| (pack.name.clone(), news(pack)));
                let news: BTreeMap<String, News> = news.collect();
                match told.replace(news.clone()) {
                    None => text::snapshot(snapshot, now),
                    Some(told) => {
                        let is_new = |p: &&PackView| told.get(&p.name) != news.get(&p.name);
                        let changed = snapshot.packs.iter().filter(is_new);
                        changed.map(|pack| text::headline(pack, now) + "\n").collect()
                    }
                }
            }
            Self::Values(told) => {
                let line = output::line(&with_ok(snapshot));
                if *told == line {
                    String::new()
                } else {
                    told.clone_from(&line);
                    line
                }
            }
        };
        if lines.is_empty() { Ok(output::reader()) } else { output::print(&lines) }
    }
}

impl Drop for View {
    /// What was drawn last stays on the screen.
    fn drop(&mut self) {
        if let Self::Screen(screen) = self {
            screen.abandon();
        }
    }
}

fn news(pack: &PackView) -> News {
    let tenth = pack.phase.progress().map_or(0, |progress| progress.percent() / 10);
    let fault = pack.phase.fault().map(|fault| fault.what.clone()).unwrap_or_default();
    (pack.phase.name(), tenth, fault)
}
