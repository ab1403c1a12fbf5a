//! A command to one pack: sent, its way shown, its answer said.

use super::Exit;
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
    let snapshot = connection.watch().borrow().clone();
    connection.close().await;
    match answer {
        Ok(answer) => {
            output.say(|| text::answer(&answer, &pack), || with_ok(&answer))?;
            Ok(exit_of(&answer))
        }
        Err(fault) => {
            let plan = question(&snapshot, &pack).filter(|_| fault.kind.next() == Next::Ask);
            Err(Failure::from(fault).about(&pack, plan.cloned()))
        }
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

/// The plan a pack asks a person about.
fn question<'a>(snapshot: &'a Snapshot, pack: &str) -> Option<&'a PlanReport> {
    let pack = snapshot.packs.iter().find(|p| p.name == pack)?;
    let Phase::Blocked { plan, .. } = &pack.phase else { return None };
    plan.as_deref()
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
