//! A command to one pack: sent, its way shown, its answer said.

use super::output::{Failure, Output, with_ok};
use super::{Exit, connect};
use crate::engine::{Handle, Mode};
use crate::model::command::{Answer, Command};
use crate::model::fault::{Fault, FaultKind, Next};
use crate::model::report::PlanReport;
use crate::model::snapshot::{Phase, Snapshot};
use crate::paths::Paths;
use crate::ui::args::Asked;
use crate::ui::meter::Meter;
use crate::ui::text;

/// Asks one pack for one thing, in an engine of our own.
pub(super) async fn ask(
    paths: &Paths,
    asked: Asked,
    command: Command,
    output: Output,
) -> Result<Exit, Failure> {
    let pack = connect::choose(paths, asked.pack.as_deref())?;
    let handle = connect::start(paths, Mode::Once).await?;
    let answer = tokio::select! {
        answer = send_and_show(&handle, &pack, command) => answer,
        () = connect::stop_signal() => {
            let hint = "It goes on where it was the next time.";
            Err(Fault::new(FaultKind::Cancelled, "stopped", hint))
        }
    };
    let snapshot = handle.snapshot();
    handle.shutdown().await;
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

async fn send_and_show(handle: &Handle, pack: &str, command: Command) -> Result<Answer, Fault> {
    let mut meter = Meter::new(pack);
    let mut snapshots = handle.watch();
    let answer = handle.send(pack, command);
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
