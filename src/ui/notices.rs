//! PURE: two snapshots → what the user is told of between them.
//!
//! News are facts that differ, so a snapshot that was skipped loses none. A check that found nothing is
//! no news, nor is a try again that failed as before.

use crate::model::command::Command;
use crate::model::fault::Fault;
use crate::model::release::Digest;
use crate::model::size::size;
use crate::model::snapshot::{NoticeKinds, PackView, Phase, Snapshot};
use crate::ui::menu::{self, Action};
use crate::ui::text::{self, capital};

/// The life of an update: found, decided, applied. One notice, replaced in its place.
pub(super) const UPDATE: &str = "update";
const VERIFY: &str = "verify";
pub(super) const FAULT: &str = "fault";
/// Of no pack.
const SETTINGS: &str = "settings";

/// What the user is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// A notice replaces the one of the same key.
    pub key: String,
    pub title: String,
    pub body: String,
    /// What it offers, each also in the menu. `None` is not to be bothered any more.
    pub offers: Vec<(String, Option<Action>)>,
    /// What a click on the notice itself does.
    pub click: Option<Action>,
    /// Whether it stays until the user has seen it.
    pub stays: bool,
}

/// What changes on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Show(Notice),
    /// What this notice said is over.
    Close(String),
}

/// The news in `new`. Of a pack that `old` does not have, or does not know yet, what waits for the user
/// is news, and what has happened is not.
pub fn between(old: &Snapshot, new: &Snapshot) -> Vec<Change> {
    let is_same = |a: &PackView, b: &PackView| a.name == b.name && a.folder == b.folder;
    let gone = old.packs.iter().filter(|old| !new.packs.iter().any(|new| is_same(old, new)));
    let nothing_left = |old| PackView { last_verify: None, ..unknown(old) };
    let gone = gone.flat_map(|old| over(old, &nothing_left(old))).map(Change::Close);
    let known = new.packs.iter().filter(|pack| !is_starting(pack));
    let news = known.flat_map(|pack| {
        let old = old.packs.iter().find(|old| is_same(old, pack) && !is_starting(old));
        of_pack(old.unwrap_or(&unknown(pack)), pack, new.notices)
    });
    settings(old, new).into_iter().chain(gone).chain(news).collect()
}

/// What is wrong with the settings, or that nothing is any more.
fn settings(old: &Snapshot, new: &Snapshot) -> Option<Change> {
    let Some(fault) = new.config_fault.as_ref().filter(|_| new.notices.fault) else {
        return old.config_fault.as_ref().map(|_| Change::Close(SETTINGS.to_owned()));
    };
    (old.config_fault != new.config_fault).then(|| {
        Change::Show(Notice {
            key: SETTINGS.to_owned(),
            title: "ModSync: the settings have a mistake".to_owned(),
            body: sentences(fault),
            offers: vec![("Edit settings".to_owned(), Some(Action::EditSettings))],
            click: Some(Action::EditSettings),
            stays: true,
        })
    })
}

fn is_starting(pack: &PackView) -> bool {
    matches!(pack.phase, Phase::Starting)
}

/// The pack while nothing waits for the user.
fn unknown(pack: &PackView) -> PackView {
    PackView { offered: None, summary: None, question: None, fault: None, ..pack.clone() }
}

fn of_pack(old: &PackView, new: &PackView, kinds: NoticeKinds) -> Vec<Change> {
    let told = [
        (kinds.update, update(old, new)),
        (kinds.decision, decision(old, new)),
        (kinds.applied, applied(old, new)),
        (kinds.verified, verified(old, new)),
        (kinds.fault, fault(old, new)),
        (kinds.recovered, recovered(old, new)),
    ];
    let wanted = told.into_iter().filter(|(wanted, _)| *wanted);
    let shown: Vec<Notice> = wanted.filter_map(|(_, notice)| notice).collect();
    let mut changes = over(old, new);
    changes.retain(|key| shown.iter().all(|notice| notice.key != *key));
    let closed = changes.into_iter().map(Change::Close);
    closed.chain(shown.into_iter().map(Change::Show)).collect()
}

fn update(old: &PackView, new: &PackView) -> Option<Notice> {
    new.summary.filter(|_| new.question.is_none() && !new.held)?;
    let was_told = old.summary.is_some() && old.question.is_none() && offer(old) == offer(new);
    if new.auto_apply || was_told { None } else { waits(new) }
}

fn decision(old: &PackView, new: &PackView) -> Option<Notice> {
    let is_new = new.question.is_some() && old.question != new.question;
    is_new.then(|| waits(new)).flatten()
}

/// The update that waits for the user's word, whether they were told of it or not.
pub(super) fn waits(pack: &PackView) -> Option<Notice> {
    if let Some(question) = &pack.question {
        let removed = pack.summary.map_or(0, |summary| summary.removed);
        return Some(Notice {
            title: format!("{}: you must decide", pack.name),
            body: sentences(&question.why),
            offers: vec![
                (menu::approval(removed), Some(menu::approve(pack, question))),
                ("Keep them".to_owned(), None),
            ],
            stays: true,
            ..notice(pack, UPDATE)
        });
    }
    let offered = pack.offered.as_ref().filter(|_| pack.has_update())?;
    let apply = menu::apply(pack);
    let body = match pack.summary {
        Some(summary) => text::summary(&summary),
        None => format!("{} · {}", offered.label(), size(offered.length)),
    };
    Some(Notice {
        title: format!("{}: an update is available", pack.name),
        body,
        offers: vec![("Update now".to_owned(), Some(apply.clone())), ("Later".to_owned(), None)],
        click: Some(apply),
        stays: true,
        ..notice(pack, UPDATE)
    })
}

fn applied(old: &PackView, new: &PackView) -> Option<Notice> {
    let report = new.last_apply.as_ref().filter(|_| old.last_apply != new.last_apply)?;
    let title = if old.installed == new.installed {
        format!("{}: repaired", new.name)
    } else {
        format!("{}: {} is installed", new.name, report.release.label())
    };
    let body = format!(
        "{} new, {} changed, {} removed · {} downloaded",
        report.added,
        report.changed,
        report.removed,
        size(report.downloaded_bytes)
    );
    let click = Some(Action::OpenFolder(new.name.clone()));
    Some(Notice { title, body, click, ..notice(new, UPDATE) })
}

fn verified(old: &PackView, new: &PackView) -> Option<Notice> {
    let verdict = new.last_verify.filter(|_| old.last_verify != new.last_verify)?;
    if verdict.problems == 0 {
        let title = format!("{}: all {} are right", new.name, text::files(verdict.files));
        return Some(Notice { title, ..notice(new, VERIFY) });
    }
    let repair = Action::Ask(new.name.clone(), Command::Verify { repair: true });
    Some(Notice {
        title: format!("{}: {} not right", new.name, text::files(verdict.problems)),
        body: format!("A repair downloads {}.", size(verdict.bad_bytes)),
        offers: vec![("Repair".to_owned(), Some(repair))],
        stays: true,
        ..notice(new, VERIFY)
    })
}

/// Something that only the user can mend, told once for as long as it lasts.
fn fault(old: &PackView, new: &PackView) -> Option<Notice> {
    let fault =
        trouble(new).filter(|fault| trouble(old).is_none_or(|old| old.kind != fault.kind))?;
    Some(Notice {
        title: format!("{}: {}", new.name, fault.what),
        body: fault.hint.clone(),
        click: menu::has_folder(new).then(|| Action::OpenFolder(new.name.clone())),
        stays: true,
        ..notice(new, FAULT)
    })
}

fn recovered(old: &PackView, new: &PackView) -> Option<Notice> {
    trouble(old)?;
    // Who pauses mends nothing, and a fault or a question may follow.
    if new.fault.is_some() || new.question.is_some() || new.paused {
        return None;
    }
    let title = format!("{}: back to normal", new.name);
    Some(Notice { title, ..notice(new, FAULT) })
}

/// What lasts until the user does something.
fn trouble(pack: &PackView) -> Option<&Fault> {
    pack.fault.as_ref().filter(|fault| fault.kind.needs_user())
}

/// The keys of notices whose reason is gone.
fn over(old: &PackView, new: &PackView) -> Vec<String> {
    let is_over = |key: &str| match key {
        UPDATE => {
            offer(old).is_some() && offer(old) != offer(new)
                || old.question.is_some() && new.question.is_none()
        }
        VERIFY => old.last_verify.is_some() && new.last_verify.is_none(),
        _ => trouble(old).is_some() && trouble(new).is_none(),
    };
    [UPDATE, VERIFY, FAULT]
        .into_iter()
        .filter(|key| is_over(key))
        .map(|kind| key(new, kind))
        .collect()
}

/// The release that waits to be applied.
fn offer(pack: &PackView) -> Option<Digest> {
    pack.offered.as_ref().filter(|_| pack.has_update()).map(|release| release.digest)
}

/// A notice that says nothing yet, and goes by itself.
fn notice(pack: &PackView, kind: &str) -> Notice {
    Notice {
        key: key(pack, kind),
        title: String::new(),
        body: String::new(),
        offers: Vec::new(),
        click: None,
        stays: false,
    }
}

pub(super) fn key(pack: &PackView, kind: &str) -> String {
    format!("{}/{kind}", pack.name)
}

/// What went wrong and what to do about it.
pub(super) fn sentences(fault: &Fault) -> String {
    format!("{}. {}", capital(&fault.what), fault.hint).trim_end().to_owned()
}
