//! `status`: what every pack is doing, once or for as long as somebody looks.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stdout};
use std::time::{Duration, SystemTime};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use tokio::time::sleep;

use super::Exit;
use super::connect::{self, Connection, Purpose};
use super::output::{self, Failure, Output, Reader};
use crate::control::api::with_ok;
use crate::control::client::Client;
use crate::model::snapshot::{PackView, Snapshot};
use crate::paths::Paths;
use crate::ui::args::Asked;
use crate::ui::platform;
use crate::ui::signal::stop_signal;
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
    if watch {
        let mut view = View::new(output);
        return tokio::select! {
            ended = follow(paths, pack.as_deref(), &mut view) => ended.map(|()| Exit::Done),
            () = stop_signal() => Ok(Exit::Done),
        };
    }
    let connection = Connection::open(paths, Purpose::Look).await?;
    let snapshot = of_pack(&*connection.snapshot().await, pack.as_deref());
    connection.close().await;
    output.say(|| text::snapshot(&snapshot, SystemTime::now()), || with_ok(&snapshot))?;
    Ok(Exit::Done)
}

/// Shows what is until nobody looks any more. Only an engine that runs changes anything, and nobody is
/// kept from starting one.
async fn follow(paths: &Paths, pack: Option<&str>, view: &mut View) -> Result<(), Failure> {
    loop {
        let connection = Connection::open(paths, Purpose::Look).await?;
        let mut snapshots = connection.watch();
        let mut snapshot = of_pack(&*connection.snapshot().await, pack);
        if matches!(connection, Connection::Running(_)) {
            let mut ended = false;
            while !ended {
                if view.show(&snapshot)? == Reader::Gone {
                    return Ok(());
                }
                sleep(LOOK).await;
                ended = snapshots.has_changed().is_err();
                snapshot = of_pack(&snapshots.borrow_and_update().clone(), pack);
            }
        }
        connection.close().await;
        while Client::connect(paths).await?.is_none() {
            if view.show(&snapshot)? == Reader::Gone {
                return Ok(());
            }
            sleep(LOOK).await;
        }
    }
}

fn of_pack(snapshot: &Snapshot, pack: Option<&str>) -> Snapshot {
    let mut snapshot = snapshot.clone();
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
        match lines.as_str() {
            "" if platform::reader_is_gone() => Ok(Reader::Gone),
            "" => Ok(Reader::There),
            lines => output::print(lines),
        }
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
