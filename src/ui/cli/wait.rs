//! `wait`: for scripts, until the packs are where they should be.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep, timeout};

use super::Exit;
use super::connect::{self, PATIENCE, TRY};
use super::output::{Failure, Output};
use crate::control::api::with_ok;
use crate::control::client::Client;
use crate::model::fault::{Fault, FaultKind};
use crate::model::snapshot::{PackView, Phase, Snapshot};
use crate::paths::Paths;
use crate::ui::args::{Asked, Until};
use crate::ui::text;

pub(super) async fn wait(
    paths: &Paths,
    asked: &Asked,
    until: Until,
    limit: Option<Duration>,
    output: Output,
) -> Result<Exit, Failure> {
    let pack = match &asked.pack {
        Some(pack) => Some(connect::choose(paths, Some(pack))?),
        None => None,
    };
    let client = engine(paths, limit.unwrap_or(PATIENCE).min(PATIENCE)).await?;
    let mut snapshots = client.watch();
    let is_over = |now: &Arc<Snapshot>| verdict(now, pack.as_deref(), until).is_some();
    let ready = async { snapshots.wait_for(is_over).await.map(|snapshot| snapshot.clone()) };
    let ready = match limit {
        Some(limit) => timeout(limit, ready).await.map_err(|_| limit),
        None => Ok(ready.await),
    };
    let snapshot = match ready {
        Ok(Ok(snapshot)) => snapshot,
        Ok(Err(_)) => return Err(Fault::new(FaultKind::Cancelled, "ModSync has ended", "").into()),
        Err(limit) => return Err(too_late(limit, &snapshots.borrow(), pack.as_deref(), until)),
    };
    if let Some(Err((pack, fault))) = verdict(&snapshot, pack.as_deref(), until) {
        return Err(Failure::from(fault).about(&pack, None));
    }
    output.say(|| text::snapshot(&snapshot, SystemTime::now()), || with_ok(&*snapshot))?;
    Ok(Exit::Done)
}

/// The engine that runs, or is just starting.
async fn engine(paths: &Paths, patience: Duration) -> Result<Client, Failure> {
    let begun = Instant::now();
    loop {
        if let Some(client) = Client::connect(paths).await?.filter(Client::follows) {
            return Ok(client);
        }
        if begun.elapsed() >= patience {
            let hint = "Start it with `modsync run`; `modsync sync` needs none.";
            return Err(Fault::new(FaultKind::Refused, "no ModSync is running", hint).into());
        }
        sleep(TRY).await;
    }
}

/// Whether the wait is over, and how: all are there, or one needs a person first.
fn verdict(
    snapshot: &Snapshot,
    pack: Option<&str>,
    until: Until,
) -> Option<Result<(), (String, Fault)>> {
    let mut packs = asked_for(snapshot, pack);
    let blocked = packs.clone().find(|view| matches!(view.phase, Phase::Blocked { .. }));
    let blocked = blocked.and_then(|view| Some((view.name.clone(), view.phase.fault()?.clone())));
    if until == Until::Current && blocked.is_some() {
        return blocked.map(Err);
    }
    let some = packs.clone().next().is_some();
    (some && packs.all(|view| is_there(view, until))).then_some(Ok(()))
}

fn asked_for<'a>(
    snapshot: &'a Snapshot,
    pack: Option<&'a str>,
) -> impl Iterator<Item = &'a PackView> + Clone {
    snapshot.packs.iter().filter(move |view| pack.is_none_or(|pack| pack == view.name))
}

fn is_there(view: &PackView, until: Until) -> bool {
    match until {
        Until::Current => matches!(view.phase, Phase::Current) && view.installed.is_some(),
        Until::UpdateAvailable => view.offered.is_some() && !view.held,
    }
}

/// What the packs are doing that are not there.
fn too_late(limit: Duration, snapshot: &Snapshot, pack: Option<&str>, until: Until) -> Failure {
    let late = asked_for(snapshot, pack).filter(|view| !is_there(view, until));
    let late: Vec<_> = late.map(|view| text::headline(view, SystemTime::now())).collect();
    let limit = humantime::format_duration(limit);
    let what = format!("waited for {limit} in vain: {}", late.join("; "));
    Fault::new(FaultKind::Cancelled, what, "`modsync status` shows more.").into()
}
