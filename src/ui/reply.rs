//! PURE: the answer to what the user chose → what they are told, where no change of state tells it.

use crate::model::command::{Answer, Command};
use crate::model::fault::{Fault, FaultKind, Next};
use crate::ui::menu::Action;
use crate::ui::notices::Notice;
use crate::ui::text;

/// What the user is told about the answer of a pack to a command of theirs.
pub fn reply(pack: &str, command: &Command, answer: &Result<Answer, Fault>) -> Option<Notice> {
    match answer {
        Ok(answer) => said(pack, answer),
        // A person is asked, and what is tried again is told, as a change of state.
        Err(fault) if fault.kind.next() == Next::Ask => None,
        Err(fault) if fault.kind.needs_user() && is_tried_again(command) => None,
        Err(fault) if fault.kind == FaultKind::Cancelled => None,
        Err(fault) => Some(Notice {
            title: format!("{pack}: {} did not work", name(command)),
            body: format!("{}. {}", fault.what, fault.hint),
            ..notice(pack)
        }),
    }
}

fn is_tried_again(command: &Command) -> bool {
    match command {
        Command::Check
        | Command::Plan
        | Command::Sync
        | Command::Apply { .. }
        | Command::Verify { repair: true } => true,
        Command::Verify { repair: false }
        | Command::Clean { .. }
        | Command::Rollback
        | Command::Trash
        | Command::Restore { .. }
        | Command::Pause
        | Command::Resume => false,
    }
}

fn said(pack: &str, answer: &Answer) -> Option<Notice> {
    match answer {
        Answer::Checked(report) => match &report.offered {
            Some(_) if !report.held => None,
            Some(offered) => Some(Notice {
                title: format!("{pack}: no newer update"),
                body: format!("You went back from {}.", offered.label()),
                ..notice(pack)
            }),
            None => Some(Notice { title: format!("{pack} is up to date"), ..notice(pack) }),
        },
        Answer::UpToDate { .. } => {
            Some(Notice { title: format!("{pack} is up to date"), ..notice(pack) })
        }
        Answer::Cleaned(report) => {
            let entry = report.trash.clone()?;
            let restore = Action::Ask(pack.to_owned(), Command::Restore { entry });
            let moved = text::files(report.moved.len() as u64);
            Some(Notice {
                title: format!("{pack}: {moved} moved to the trash"),
                offers: vec![("Put back".to_owned(), Some(restore))],
                ..notice(pack)
            })
        }
        Answer::Restored(report) => Some(Notice {
            title: format!("{pack}: {} put back", text::files(report.restored.len() as u64)),
            ..notice(pack)
        }),
        Answer::Done
        | Answer::Planned(_)
        | Answer::Applied(_)
        | Answer::Verified(_)
        | Answer::RolledBack(_)
        | Answer::Trash { .. } => None,
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
