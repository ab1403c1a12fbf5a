//! PURE: what is known → the tray's icon, tooltip and menu, as values.

use crate::model::command::{Approval, Command};
use crate::model::fault::FaultKind;
use crate::model::size::size;
use crate::model::snapshot::{
    PackView, Phase, Progress, Question, Removed, Snapshot, Unit, Verdict,
};
use crate::ui::text;

/// The first line of a tooltip: whose icon it is.
pub const NAME: &str = "ModSync";
/// Windows shows no more of a tooltip, in UTF-16 units.
const TOOLTIP: usize = 127;
/// The icon of work shows its progress in so many steps.
pub const STEPS: u8 = 8;

/// Everything the tray shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Menu {
    pub icon: Icon,
    pub tooltip: String,
    pub items: Vec<Item>,
}

/// What the icon says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Icon {
    Idle,
    Paused,
    UpdateAvailable,
    /// How far, of [`STEPS`].
    Working(u8),
    NeedsAttention,
}

/// One line of the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Says something and cannot be chosen.
    Line(String),
    Entry {
        label: String,
        action: Action,
        enabled: bool,
    },
    Check {
        label: String,
        action: Action,
        checked: bool,
        enabled: bool,
    },
    Submenu {
        label: String,
        items: Vec<Item>,
    },
    Separator,
}

/// What choosing an item asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A command to the pack of this name.
    Ask(String, Command),
    OpenFolder(String),
    CheckAll,
    /// Pauses all packs, or has all go on.
    PauseAll(bool),
    /// Whether all packs apply updates without asking.
    AutomaticUpdates(bool),
    LaunchAtLogin(bool),
    EditSettings,
    ShowLog,
    Quit,
}

impl Action {
    /// The name of the switch it turns, if it turns one: both ways are one switch.
    pub fn switch(&self) -> Option<String> {
        match self {
            Self::Ask(pack, Command::Pause | Command::Resume) => Some(format!("pause pack {pack}")),
            Self::PauseAll(_) => Some("pause all".to_owned()),
            Self::AutomaticUpdates(_) => Some("automatic updates".to_owned()),
            Self::LaunchAtLogin(_) => Some("launch at login".to_owned()),
            Self::Ask(..)
            | Self::OpenFolder(_)
            | Self::CheckAll
            | Self::EditSettings
            | Self::ShowLog
            | Self::Quit => None,
        }
    }
}

/// The menu for what is. `at_login`: whether we are launched at login, if that can be told here.
pub fn menu(snapshot: &Snapshot, at_login: Option<bool>) -> Menu {
    let packs = &snapshot.packs;
    let mut items = Vec::new();
    if let Some(fault) = &snapshot.config_fault {
        items.push(line(&fault.what));
        let former = (!packs.is_empty()).then_some("Until it is mended, the former settings hold");
        items.extend(former.map(line));
    }
    match packs.as_slice() {
        [] if snapshot.config_fault.is_some() => {}
        [] => items.push(line("No packs yet: add one with `modsync add URL FOLDER`")),
        [pack] => items.extend(of_pack(pack)),
        packs => items.extend(
            packs.iter().map(|pack| Item::Submenu { label: headline(pack), items: of_pack(pack) }),
        ),
    }
    items.push(Item::Separator);
    items.extend(of_all(packs, at_login));
    let icon = packs.iter().map(icon).max().unwrap_or(Icon::Idle);
    let icon = if snapshot.config_fault.is_some() { Icon::NeedsAttention } else { icon };
    Menu { icon, tooltip: tooltip(snapshot), items }
}

/// The menu while there is no engine, and why there is none yet.
pub fn waiting(why: Option<&str>, at_login: Option<bool>) -> Menu {
    let why = why.map_or("starting".to_owned(), |why| format!("waiting: {why}"));
    let mut items = vec![line(&text::capital(&why)), Item::Separator];
    items.extend(of_all(&[], at_login));
    Menu { icon: Icon::Idle, tooltip: format!("{NAME}\n{why}"), items }
}

fn of_pack(pack: &PackView) -> Vec<Item> {
    let free = is_free(pack);
    let installed = pack.installed.is_some();
    let ask = |label: &str, command: Command, enabled: bool| {
        entry(label, Action::Ask(pack.name.clone(), command), enabled)
    };
    let mut items = vec![line(&headline(pack))];
    items.extend(
        pack.installed
            .as_ref()
            .map(|release| line(&format!("{} · {}", release.label(), size(release.length)))),
    );
    items.extend(pack.fault.as_ref().filter(|fault| !fault.hint.is_empty()).map(|f| line(&f.hint)));
    items.push(Item::Separator);
    items.push(ask("Check for updates", Command::Check, free));
    items.push(update(pack, free));
    items.push(ask("Verify files", Command::Verify { repair: false }, free && installed));
    let damaged = damaged(pack);
    items.push(ask(
        &damaged.map_or("Repair".to_owned(), |v| format!("Repair ({})", size(v.bad_bytes))),
        Command::Verify { repair: true },
        free && installed && damaged.is_some(),
    ));
    // Nobody has counted them yet: then a try shows whether there are any.
    let label = match pack.extras {
        None | Some(0) => "Remove extra files…".to_owned(),
        Some(extras) => format!("Remove extra files ({extras})…"),
    };
    let may_clean = free && installed && pack.extras != Some(0);
    items.push(ask(&label, Command::Clean { dry_run: false }, may_clean));
    items.push(put_back(pack, free));
    items.push(ask("Undo last update", Command::Rollback, free && pack.can_go_back));
    items.push(entry("Open folder", Action::OpenFolder(pack.name.clone()), has_folder(pack)));
    let wish = if pack.paused { Command::Resume } else { Command::Pause };
    items.push(Item::Check {
        label: "Pause".to_owned(),
        action: Action::Ask(pack.name.clone(), wish),
        checked: pack.paused,
        enabled: true,
    });
    items
}

/// What the last look at every byte found, if something was not right.
fn damaged(pack: &PackView) -> Option<Verdict> {
    pack.last_verify.filter(|verdict| verdict.problems > 0)
}

/// Whether there is a folder to open.
pub fn has_folder(pack: &PackView) -> bool {
    let is_gone = pack.fault.as_ref().is_some_and(|fault| fault.kind == FaultKind::FolderGone);
    pack.installed.is_some() && !is_gone
}

/// "Update now", or, when a person must decide, what the update would do.
fn update(pack: &PackView, free: bool) -> Item {
    if let Some(question) = &pack.question {
        let removed = pack.summary.map_or(0, |summary| summary.removed);
        return entry(&approval(removed), approve(pack, question), free);
    }
    let again = if pack.held { "Update again" } else { "Update now" };
    let bytes = pack.summary.map(|summary| summary.download_bytes);
    entry(
        &bytes.map_or(again.to_owned(), |bytes| format!("{again} ({})", size(bytes))),
        apply(pack),
        free && pack.offered.is_some(),
    )
}

/// Puts back what the last clean removed.
fn put_back(pack: &PackView, free: bool) -> Item {
    let label = match &pack.removed {
        Some(removed) => format!("Put back {}", text::files(removed.files)),
        None => "Put removed files back".to_owned(),
    };
    let entry_of = |removed: &Removed| removed.entry.clone();
    let command =
        Command::Restore { entry: pack.removed.as_ref().map(entry_of).unwrap_or_default() };
    let action = Action::Ask(pack.name.clone(), command);
    entry(&label, action, free && pack.removed.is_some())
}

/// Applies the offered release.
pub fn apply(pack: &PackView) -> Action {
    Action::Ask(pack.name.clone(), Command::Apply { approve: Approval::None })
}

/// Approves the plan that a person was asked about, and no other.
pub fn approve(pack: &PackView, question: &Question) -> Action {
    let approve = Approval::Plan(question.plan.clone());
    Action::Ask(pack.name.clone(), Command::Apply { approve })
}

/// `Remove 812 files and update`
pub fn approval(removed: u64) -> String {
    match removed {
        0 => "Update all the same".to_owned(),
        removed => format!("Remove {} and update", text::files(removed)),
    }
}

fn of_all(packs: &[PackView], at_login: Option<bool>) -> Vec<Item> {
    let any = !packs.is_empty();
    let mut items = Vec::new();
    if packs.len() > 1 {
        let all_paused = packs.iter().all(|pack| pack.paused);
        items.push(entry("Check all", Action::CheckAll, packs.iter().any(is_free)));
        items.push(Item::Check {
            label: "Pause all".to_owned(),
            action: Action::PauseAll(!all_paused),
            checked: all_paused,
            enabled: true,
        });
    }
    let automatic = any && packs.iter().all(|pack| pack.auto_apply);
    items.push(Item::Check {
        label: "Automatic updates".to_owned(),
        action: Action::AutomaticUpdates(!automatic),
        checked: automatic,
        enabled: any,
    });
    items.extend(at_login.map(|is_on| Item::Check {
        label: "Launch at login".to_owned(),
        action: Action::LaunchAtLogin(!is_on),
        checked: is_on,
        enabled: true,
    }));
    items.push(entry("Edit settings", Action::EditSettings, true));
    items.push(entry("Show log", Action::ShowLog, true));
    items.push(Item::Separator);
    items.push(entry("Quit", Action::Quit, true));
    items
}

/// A pack and what it is doing, for a player.
pub fn headline(pack: &PackView) -> String {
    let doing = match &pack.phase {
        Phase::Starting => "starting".to_owned(),
        Phase::Current if pack.installed.is_none() => "nothing installed yet".to_owned(),
        Phase::Current if damaged(pack).is_some() => {
            match damaged(pack).map_or(0, |v| v.problems) {
                1 => "1 file is not right".to_owned(),
                files => format!("{files} files are not right"),
            }
        }
        Phase::Current if pack.held => "the update before is back".to_owned(),
        Phase::Current => "up to date".to_owned(),
        Phase::UpdateAvailable { summary: Some(summary) } => {
            format!("update available, {}", size(summary.download_bytes))
        }
        Phase::UpdateAvailable { summary: None } => "update available".to_owned(),
        Phase::Checking => "checking for updates".to_owned(),
        Phase::Scanning { progress } => how_far("looking at the files", progress),
        Phase::Fetching { progress } => how_far("downloading", progress),
        Phase::Applying { progress } => how_far("updating", progress),
        Phase::Verifying { progress } => how_far("verifying", progress),
        Phase::Waiting { fault, .. } | Phase::Blocked { fault, .. } => fault.what.clone(),
        Phase::Paused if pack.has_update() => "paused, update available".to_owned(),
        Phase::Paused => "paused".to_owned(),
    };
    format!("{}: {doing}", pack.name)
}

/// `downloading 42 %, 1.2 MB/s, 2m left`
fn how_far(doing: &str, progress: &Progress) -> String {
    if progress.total == 0 {
        return doing.to_owned();
    }
    let mut words = format!("{doing} {} %", progress.percent());
    if progress.rate > 0 && progress.unit == Unit::Bytes {
        words = format!("{words}, {}/s", size(progress.rate));
    }
    match progress.eta {
        Some(left) => format!("{words}, {} left", text::seconds(left)),
        None => words,
    }
}

fn tooltip(snapshot: &Snapshot) -> String {
    let mistake = snapshot.config_fault.as_ref().map(|_| "the settings have a mistake".to_owned());
    let packs = snapshot.packs.iter().map(headline);
    let mut lines: Vec<String> = mistake.into_iter().chain(packs).collect();
    if lines.is_empty() {
        lines.push("no packs yet".to_owned());
    }
    shortened(&format!("{NAME}\n{}", lines.join("\n")), TOOLTIP)
}

/// The text, cut at a character so that it has at most `limit` UTF-16 units.
fn shortened(text: &str, limit: usize) -> String {
    if text.encode_utf16().count() <= limit {
        return text.to_owned();
    }
    let mut left = limit - 1;
    let fits = |c: &char| {
        let fits = c.len_utf16() <= left;
        left -= if fits { c.len_utf16() } else { 0 };
        fits
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

fn icon(pack: &PackView) -> Icon {
    let working = |progress: &Progress| {
        Icon::Working(
            u8::try_from(u32::from(progress.percent()) * u32::from(STEPS) / 100).unwrap_or(STEPS),
        )
    };
    match &pack.phase {
        Phase::Blocked { .. } => Icon::NeedsAttention,
        Phase::Waiting { fault, .. } if fault.kind.needs_user() => Icon::NeedsAttention,
        Phase::Scanning { progress }
        | Phase::Fetching { progress }
        | Phase::Applying { progress }
        | Phase::Verifying { progress } => working(progress),
        Phase::UpdateAvailable { .. } => Icon::UpdateAvailable,
        Phase::Paused => Icon::Paused,
        _ if damaged(pack).is_some() => Icon::NeedsAttention,
        // A look every few minutes shall not make the icon blink.
        Phase::Starting | Phase::Checking | Phase::Current | Phase::Waiting { .. } => {
            match (pack.paused, pack.has_update()) {
                (_, true) => Icon::UpdateAvailable,
                (true, false) => Icon::Paused,
                (false, false) => Icon::Idle,
            }
        }
    }
}

/// Whether it would begin at once with what it is asked for.
fn is_free(pack: &PackView) -> bool {
    match pack.phase {
        Phase::Current
        | Phase::UpdateAvailable { .. }
        | Phase::Waiting { .. }
        | Phase::Blocked { .. }
        | Phase::Paused => true,
        Phase::Starting
        | Phase::Checking
        | Phase::Scanning { .. }
        | Phase::Fetching { .. }
        | Phase::Applying { .. }
        | Phase::Verifying { .. } => false,
    }
}

fn line(text: &str) -> Item {
    Item::Line(text.to_owned())
}

fn entry(label: &str, action: Action, enabled: bool) -> Item {
    Item::Entry { label: label.to_owned(), action, enabled }
}
