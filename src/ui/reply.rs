//! PURE: the answer to what the user chose → what they are told, unless the news tell it already.
//!
//! Whoever clicks gets an answer, unless they want none. It is left out only where [`notices::between`] has it: an update that is
//! new, a question that is new, a fault that is new, and what was applied or verified.

use crate::model::command::{Answer, Command};
use crate::model::fault::{Fault, FaultKind, Next};
use crate::model::report::{CheckReport, CleanReport, RestoreReport};
use crate::model::snapshot::{PackView, Snapshot};
use crate::ui::menu::Action;
use crate::ui::notices::{self, Change, FAULT, Notice, UPDATE, sentences};
use crate::ui::text;

/// What the user is told about the answer of a pack to a command of theirs. `before` is what was known
/// when they chose it, `after` what is known with the answer.
pub fn reply(
    pack: &str,
    command: &Command,
    answer: &Result<Answer, Fault>,
    before: &Snapshot,
    after: &Snapshot,
) -> Option<Notice> {
    if !after.notices.replies {
        return None;
    }
    let view = after.packs.iter().find(|view| view.name == pack);
    let is_told = |kind| view.is_some_and(|view| is_news(view, kind, before, after));
    match answer {
        Ok(Answer::Checked(report)) => {
            let comes = |view: &&PackView| is_told(UPDATE) || is_yet_to_be_told(view, after);
            checked(pack, report, view, view.as_ref().is_some_and(comes))
        }
        Ok(Answer::UpToDate { .. }) => {
            Some(Notice { title: format!("{pack} is up to date"), ..notice(pack) })
        }
        Ok(Answer::Cleaned(report)) => Some(cleaned(pack, report)),
        Ok(Answer::Restored(report)) => Some(restored(pack, report)),
        // What was applied or verified is told as news, and a switch shows itself. The tray asks for
        // neither plans nor lists.
        Ok(
            Answer::Done
            | Answer::Planned(_)
            | Answer::Applied(_)
            | Answer::Verified(_)
            | Answer::RolledBack(_)
            | Answer::Trash { .. },
        ) => None,
        // Only a person cancels, and knows.
        Err(fault) if fault.kind == FaultKind::Cancelled => None,
        Err(fault) if fault.kind.next() == Next::Ask => {
            let question = view.filter(|view| view.question.is_some()).and_then(notices::waits);
            let answer = question.unwrap_or_else(|| complaint(pack, command, fault));
            (!is_told(UPDATE)).then_some(answer)
        }
        Err(fault) => {
            let is_it = |view: &PackView| view.fault.as_ref().is_some_and(|f| f.kind == fault.kind);
            let is_told = view.is_some_and(is_it) && is_told(FAULT);
            (!is_told).then(|| complaint(pack, command, fault))
        }
    }
}

/// Whether a notice of this kind is among the news.
fn is_news(view: &PackView, kind: &str, before: &Snapshot, after: &Snapshot) -> bool {
    let key = notices::key(view, kind);
    let shown = |change: &Change| matches!(change, Change::Show(notice) if notice.key == key);
    notices::between(before, after).iter().any(shown)
}

fn checked(
    pack: &str,
    report: &CheckReport,
    view: Option<&PackView>,
    is_told: bool,
) -> Option<Notice> {
    let fault = view.and_then(|view| view.fault.as_ref());
    let body = fault.map(sentences).unwrap_or_default();
    match &report.offered {
        Some(offered) if report.held => Some(Notice {
            title: format!("{pack}: no newer update"),
            body: format!("You went back from {}. {body}", offered.label()).trim_end().to_owned(),
            ..notice(pack)
        }),
        Some(_) => view.filter(|_| !is_told).and_then(notices::waits),
        None if fault.is_some() => {
            Some(Notice { title: format!("{pack}: no newer update"), body, ..notice(pack) })
        }
        None => Some(Notice { title: format!("{pack} is up to date"), ..notice(pack) }),
    }
}

/// Whether the update that was found is worked out or applied by itself: then it is news.
fn is_yet_to_be_told(view: &PackView, after: &Snapshot) -> bool {
    let goes_on = !view.paused && view.question.is_none() && view.fault.is_none();
    let kinds = after.notices;
    let tells =
        if view.auto_apply { kinds.applied } else { kinds.update && view.summary.is_none() };
    goes_on && tells
}

fn cleaned(pack: &str, report: &CleanReport) -> Notice {
    let files = text::files(report.moved.len() as u64);
    match &report.trash {
        Some(entry) => {
            let restore = Command::Restore { entry: entry.clone() };
            Notice {
                title: format!("{pack}: {files} moved to the trash"),
                offers: vec![("Put back".to_owned(), Some(Action::Ask(pack.to_owned(), restore)))],
                ..notice(pack)
            }
        }
        None if report.moved.is_empty() => {
            Notice { title: format!("{pack}: nothing to remove"), ..notice(pack) }
        }
        None => Notice { title: format!("{pack}: {files} to remove"), ..notice(pack) },
    }
}

fn restored(pack: &str, report: &RestoreReport) -> Notice {
    let body = match report.in_the_way.len() as u64 {
        0 => String::new(),
        1 => "1 file stays in the trash: something stands in its place.".to_owned(),
        n => format!("{} stay in the trash: something stands in their place.", text::files(n)),
    };
    let files = text::files(report.restored.len() as u64);
    Notice { title: format!("{pack}: {files} put back"), body, ..notice(pack) }
}

fn complaint(pack: &str, command: &Command, fault: &Fault) -> Notice {
    Notice {
        title: format!("{pack}: {} did not work", name(command)),
        body: sentences(fault),
        ..notice(pack)
    }
}

fn notice(pack: &str) -> Notice {
    Notice {
        key: format!("{pack}/reply"),
        title: String::new(),
        body: String::new(),
        offers: Vec::new(),
        click: Some(Action::OpenFolder(pack.to_owned())),
        stays: false,
    }
}

fn name(command: &Command) -> &'static str {
    match command {
        Command::Check => "the check",
        Command::Plan => "the plan",
        Command::Sync | Command::Apply { .. } => "the update",
        Command::Verify { repair: false } => "the verification",
        Command::Verify { repair: true } => "the repair",
        Command::Clean { .. } => "the removal",
        Command::Rollback => "the undoing",
        Command::Trash | Command::Restore { .. } => "putting files back",
        Command::Pause | Command::Resume => "the pause",
    }
}
