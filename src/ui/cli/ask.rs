//! A command to one pack: sent, its way shown, its answer said.

use super::Exit;
use std::time::Duration;

use tokio::time::timeout;

use super::connect::{self, Connection, Purpose};
use super::output::{Failure, Output};
use crate::control::api::with_ok;
use crate::model::command::{Answer, Command};
use crate::model::fault::{Fault, Next};
use crate::model::report::PlanReport;
use crate::model::snapshot::{Phase, Snapshot};
use crate::paths::Paths;
use crate::ui::args::Asked;
use crate::ui::meter::Meter;
use crate::ui::signal::stop_signal;
use crate::ui::text;

/// How long a plan may come after the answer that speaks of it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks one pack for one thing.
pub(super) async fn ask(
    paths: &Paths,
    asked: Asked,
    command: Command,
    output: Output,
) -> Result<Exit, Failure> {
    let pack = connect::choose(paths, asked.pack.as_deref())?;
    let connection = Connection::open(paths, Purpose::Command).await?;
    let answer = tokio::select! {
        answer = send_and_show(&connection, &pack, command) => answer,
        () = stop_signal() => Err(connection.stopped()),
    };
    let plan = match &answer {
        Err(fault) if fault.kind.next() == Next::Ask => question(&connection, &pack).await,
        _ => None,
    };
    connection.close().await;
    match answer {
        Ok(answer) => {
            output.say(|| text::answer(&answer, &pack), || with_ok(&answer))?;
            Ok(exit_of(&answer))
        }
        Err(fault) => Err(Failure::from(fault).about(&pack, plan)),
    }
}

async fn send_and_show(
    connection: &Connection,
    pack: &str,
    command: Command,
) -> Result<Answer, Fault> {
    let mut meter = Meter::new(pack);
    let mut snapshots = connection.watch();
    let answer = connection.send(pack, command);
    tokio::pin!(answer);
    loop {
        tokio::select! {
            answer = &mut answer => return answer,
            Ok(()) = snapshots.changed() => meter.show(&snapshots.borrow_and_update().clone()),
        }
    }
}

/// The plan a pack asks a person about. A running engine shows it on another way than it answers, so it
/// may come a moment later.
async fn question(connection: &Connection, pack: &str) -> Option<PlanReport> {
    let asked = |snapshot: &Snapshot| {
        let pack = snapshot.packs.iter().find(|view| view.name == pack)?;
        let Phase::Blocked { plan, .. } = &pack.phase else { return None };
        plan.as_deref().cloned()
    };
    let mut snapshots = connection.watch();
    let shown = snapshots.wait_for(|snapshot| asked(snapshot).is_some());
    let shown = timeout(PATIENCE, shown).await.ok()?.ok()?;
    asked(&shown)
}

fn exit_of(answer: &Answer) -> Exit {
    match answer {
        Answer::Checked(report) if report.offered.is_some() && !report.held => {
            Exit::UpdateAvailable
        }
        Answer::Planned(report) if !report.is_empty() => Exit::UpdateAvailable,
        Answer::Verified(report) if !report.problems.is_empty() && report.repaired.is_none() => {
            Exit::ProblemsFound
        }
        Answer::Restored(report) if report.restored.is_empty() => Exit::Failed,
        Answer::Checked(_)
        | Answer::Planned(_)
        | Answer::Verified(_)
        | Answer::Restored(_)
        | Answer::Done
        | Answer::UpToDate { .. }
        | Answer::Applied(_)
        | Answer::Cleaned(_)
        | Answer::Trash { .. }
        | Answer::RolledBack(_) => Exit::Done,
    }
}
