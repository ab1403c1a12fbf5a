//! PURE: answers and snapshots → lines for a person.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use crate::demo::{self, Scene};
use crate::model::command::Answer;
use crate::model::fault::Fault;
use crate::model::release::Release;
use crate::model::report::{
    ApplyReport, CheckReport, CleanReport, FileLine, PlanReport, ProblemKind, RestoreReport,
    Summary, TrashEntry, VerifyReport,
};
use crate::model::size::size;
use crate::model::snapshot::{PackView, Phase, Progress, Snapshot, Unit};

/// A list longer than this is cut; `--json` has all of it.
const LINES: usize = 40;

pub const NO_PACKS: &str = "no packs yet; `modsync add URL FOLDER` follows one\n";

/// The answer that a pack gave to a command, as lines.
pub fn answer(answer: &Answer, pack: &str) -> String {
    match answer {
        Answer::Done => "done\n".to_owned(),
        Answer::UpToDate { held: false, .. } => "up to date\n".to_owned(),
        Answer::UpToDate { held: true, .. } => format!(
            "up to date with the release you went back to; `modsync apply {}` applies the newer one\n",
            argument(pack)
        ),
        Answer::Checked(report) => checked(report, pack),
        Answer::Planned(report) => plan(report, Some(pack)),
        Answer::Applied(report) => applied("applied", report),
        Answer::RolledBack(report) => applied("went back to", report),
        Answer::Verified(report) => verified(report, pack),
        Answer::Cleaned(report) => cleaned(report, pack),
        Answer::Trash { entries } => trash(entries),
        Answer::Restored(report) => restored(report),
    }
}

/// A scene of the demo.
pub fn scene(scene: &Scene<'_>) -> String {
    match scene {
        Scene::Says(words) => format!("\n{words}\n"),
        Scene::Command(command, result) => {
            format!("\n$ {command}\n{}", answer(result, demo::PACK))
        }
    }
}

pub fn fault(fault: &Fault) -> String {
    if fault.hint.is_empty() {
        fault.what.clone()
    } else {
        format!("{}\n  {}", fault.what, fault.hint)
    }
}

/// A name as one argument of a command line.
pub fn argument(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_.+@".contains(c);
    if name.chars().all(plain) { name.to_owned() } else { format!("\"{name}\"") }
}

/// How a person decides about a plan.
pub fn decision(pack: &str) -> String {
    let pack = argument(pack);
    format!(
        "  `modsync plan {pack}` shows the plan, `modsync apply --approve {pack}` applies exactly that\n"
    )
}

fn checked(report: &CheckReport, pack: &str) -> String {
    match (&report.offered, &report.installed) {
        (Some(offered), _) if report.held => {
            let (offered, pack) = (offered.label(), argument(pack));
            format!("you went back from {offered}; `modsync apply {pack}` applies it again\n")
        }
        (Some(offered), Some(installed)) => {
            format!("update available: {} (installed: {})\n", release(offered), installed.label())
        }
        (Some(offered), None) => format!("ready to install: {}\n", release(offered)),
        (None, Some(installed)) => format!("up to date: {}\n", release(installed)),
        (None, None) => "nothing is published and nothing is installed\n".to_owned(),
    }
}

fn release(release: &Release) -> String {
    format!("{}, {}, {}", release.label(), files(release.files), size(release.length))
}

/// A plan, before anything is touched; of which pack, if that is known.
pub fn plan(report: &PlanReport, pack: Option<&str>) -> String {
    let mut out = format!("{}\n", release(&report.release));
    if report.is_empty() {
        out.push_str("nothing to do: the folder is as the release says\n");
    } else {
        let _ = writeln!(out, "{}", summary(&report.summary()));
    }
    list(&mut out, "add", &report.added);
    list(&mut out, "change", &report.changed);
    list(&mut out, "remove", &report.removed);
    list(&mut out, "keep (edited by you)", &report.kept);
    list(&mut out, "move to the trash (yours, or edited by you)", &report.displaced);
    list(&mut out, "extra (in no release)", &report.extra);
    if !report.compared.is_empty() {
        let n = files(report.compared.len() as u64);
        let _ =
            writeln!(out, "{n} share pieces with changed ones and are compared after the download");
    }
    let _ = writeln!(
        out,
        "to download: {}, space needed: {}, {} unchanged",
        size(report.download_bytes),
        size(report.disk_bytes),
        files(report.unchanged)
    );
    if let Some(why) = &report.needs_approval {
        let pack = pack.map(argument).unwrap_or_default();
        let command = format!("modsync apply --approve {pack}");
        let _ = writeln!(
            out,
            "a person must decide: {why}\n  `{}` applies exactly this plan ({})",
            command.trim_end(),
            report.id
        );
    }
    out
}

/// `12 new, 3 changed, 1 removed · 412 MB to download`
pub fn summary(summary: &Summary) -> String {
    format!(
        "{} new, {} changed, {} removed · {} to download",
        summary.added,
        summary.changed,
        summary.removed,
        size(summary.download_bytes)
    )
}

fn applied(verb: &str, report: &ApplyReport) -> String {
    format!(
        "{verb} {}: {} new, {} changed, {} removed, {} downloaded\n",
        report.release.label(),
        report.added,
        report.changed,
        report.removed,
        size(report.downloaded_bytes)
    )
}

fn verified(report: &VerifyReport, pack: &str) -> String {
    let mut out = String::new();
    for problem in report.problems.iter().take(LINES) {
        let kind = match problem.kind {
            ProblemKind::Missing => "missing",
            ProblemKind::Corrupt => "corrupt",
            ProblemKind::Truncated => "truncated",
            ProblemKind::Modified => "modified",
            ProblemKind::Suspect => "suspect",
        };
        let _ = writeln!(out, "{kind:>9}  {}", problem.path);
    }
    more(&mut out, report.problems.len());
    list(&mut out, "edited by you, kept", &report.kept);
    list(&mut out, "extra (in no release)", &report.extra);
    match (report.problems.len() as u64, &report.repaired) {
        (0, _) => {
            let _ = writeln!(
                out,
                "all {} of {} are right",
                files(report.files),
                report.release.label()
            );
        }
        (_, Some(repair)) => {
            let bytes = size(repair.downloaded_bytes);
            let mended = files(repair.added + repair.changed);
            let _ = writeln!(out, "repaired {mended}, {bytes} downloaded");
        }
        (n, None) => {
            let bytes = size(report.bad_bytes);
            let _ = writeln!(
                out,
                "{n} of {} not right; `modsync verify --repair {}` fetches {bytes}",
                files(report.files),
                argument(pack)
            );
        }
    }
    out
}

fn cleaned(report: &CleanReport, pack: &str) -> String {
    let mut out = String::new();
    list(&mut out, if report.dry_run { "would move" } else { "moved" }, &report.moved);
    match &report.trash {
        Some(id) => {
            let n = files(report.moved.len() as u64);
            let _ = writeln!(
                out,
                "{n} moved to the trash; `modsync trash {} --restore {id}` puts back what was moved",
                argument(pack)
            );
        }
        None if report.moved.is_empty() => out.push_str("no extra files\n"),
        None => {}
    }
    out
}

fn trash(entries: &[TrashEntry]) -> String {
    let mut out = String::new();
    for entry in entries {
        let n = files(entry.files.len() as u64);
        let _ = writeln!(
            out,
            "{}  {} ago, {}: {n}, {}",
            entry.id,
            ago(entry.when, SystemTime::now()),
            entry.reason,
            size(entry.bytes)
        );
        for file in entry.files.iter().take(LINES) {
            let _ = writeln!(out, "    {}", file.path);
        }
        more(&mut out, entry.files.len());
    }
    if entries.is_empty() {
        out.push_str("the trash is empty\n");
    }
    out
}

fn restored(report: &RestoreReport) -> String {
    let mut out = String::new();
    list(&mut out, "put back", &report.restored);
    list(&mut out, "left in the trash (something stands in its place)", &report.in_the_way);
    if report.restored.is_empty() && report.in_the_way.is_empty() {
        out.push_str("nothing is left in this entry of the trash\n");
    }
    out
}

/// All packs, and what is wrong with the settings.
pub fn snapshot(snapshot: &Snapshot, now: SystemTime) -> String {
    let mut lines: String = snapshot.packs.iter().map(|pack| status(pack, now)).collect();
    if snapshot.packs.is_empty() {
        lines.push_str(NO_PACKS);
    }
    if let Some(wrong) = &snapshot.config_fault {
        let _ = writeln!(lines, "{}", fault(wrong));
    }
    lines
}

/// A pack in a few lines.
pub fn status(pack: &PackView, now: SystemTime) -> String {
    let mut out = format!("{}\n", headline(pack, now));
    if matches!(pack.phase, Phase::Blocked { .. }) {
        out.push_str(&decision(&pack.name));
    } else if let Some(fault) = pack.phase.fault().filter(|fault| !fault.hint.is_empty()) {
        let _ = writeln!(out, "  {}", fault.hint);
    } else if pack.awaits_apply() {
        let _ = writeln!(out, "  `modsync apply {}` applies it", argument(&pack.name));
    }
    let _ = writeln!(out, "  folder     {}", pack.folder.display());
    let _ = writeln!(out, "  origin     {}", pack.url);
    let installed = pack.installed.as_ref().map_or("nothing".to_owned(), release);
    let _ = writeln!(out, "  installed  {installed}");
    if let Some(offered) = &pack.offered {
        let held = if pack.held { " (you went back from it)" } else { "" };
        let _ = writeln!(out, "  offered    {}{held}", release(offered));
    }
    let checked =
        pack.last_check.map_or("never".to_owned(), |then| format!("{} ago", ago(then, now)));
    let _ = writeln!(out, "  checked    {checked}");
    if let Some(verdict) = pack.last_verify.filter(|verdict| verdict.problems > 0) {
        let (wrong, ago) = (files(verdict.problems), ago(verdict.when, now));
        let _ = writeln!(out, "  verified   {ago} ago: {wrong} not as installed");
    }
    if let Some(seeding) = &pack.seeding {
        let _ = writeln!(
            out,
            "  seeding    to {}, {}/s, {} so far",
            peers(seeding.peers),
            size(seeding.rate),
            size(seeding.uploaded_bytes)
        );
    }
    out
}

/// A pack and what it is doing, on one line.
pub fn headline(pack: &PackView, now: SystemTime) -> String {
    if pack.has_nothing() {
        format!("{}: nothing is installed yet", pack.name)
    } else if matches!(pack.phase, Phase::Paused) && pack.has_update() {
        format!("{}: paused, update available", pack.name)
    } else {
        format!("{}: {}", pack.name, phase(&pack.phase, now))
    }
}

/// What a pack is doing, on one line.
pub fn phase(phase: &Phase, now: SystemTime) -> String {
    let name = phase.name();
    match phase {
        Phase::UpdateAvailable { summary: Some(numbers) } => {
            format!("{name}: {}", summary(numbers))
        }
        Phase::Scanning { progress: p }
        | Phase::Fetching { progress: p }
        | Phase::Applying { progress: p }
        | Phase::Verifying { progress: p } => {
            format!("{name}: {}", progress(p)).trim_end_matches([':', ' ']).to_owned()
        }
        Phase::Waiting { fault, retry_at } => {
            let left = retry_at.duration_since(now).unwrap_or_default();
            format!("{name}: {fault} (again in {})", short(left))
        }
        Phase::Blocked { fault, .. } => format!("{name}: {fault}"),
        Phase::Starting
        | Phase::Current
        | Phase::UpdateAvailable { summary: None }
        | Phase::Checking
        | Phase::Paused => name.to_owned(),
    }
}

/// `42 %, 1.2 MB of 3 MB, 800 kB/s, 2s left, 3 peers`
pub fn progress(progress: &Progress) -> String {
    if progress.total == 0 {
        return String::new();
    }
    let mut out = format!("{} %", progress.percent());
    match progress.unit {
        Unit::Bytes => {
            let _ = write!(out, ", {} of {}", size(progress.done), size(progress.total));
            if progress.rate > 0 {
                let _ = write!(out, ", {}/s", size(progress.rate));
            }
        }
        Unit::Steps => {
            let _ = write!(out, ", step {} of {}", progress.done, progress.total);
        }
    }
    if let Some(eta) = progress.eta {
        let _ = write!(out, ", {} left", short(Duration::from_secs(eta)));
    }
    if let Some(peers) = progress.peers {
        let _ = write!(out, ", {}", self::peers(peers));
    }
    out
}

fn list(out: &mut String, title: &str, lines: &[FileLine]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "{title}:");
    for line in lines.iter().take(LINES) {
        let _ = writeln!(out, "    {}  {}", line.path, size(line.length));
    }
    more(out, lines.len());
}

fn more(out: &mut String, count: usize) {
    if count > LINES {
        let _ = writeln!(out, "    … and {} more", count - LINES);
    }
}

pub fn seconds(seconds: u64) -> String {
    short(Duration::from_secs(seconds))
}

pub fn files(count: u64) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

fn peers(count: u32) -> String {
    if count == 1 { "1 peer".to_owned() } else { format!("{count} peers") }
}

fn ago(then: SystemTime, now: SystemTime) -> String {
    short(now.duration_since(then).unwrap_or_default())
}

/// The two largest units of a time.
fn short(time: Duration) -> String {
    let whole = humantime::format_duration(Duration::from_secs(time.as_secs())).to_string();
    whole.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// What a `.torrent` describes.
pub fn manifest(manifest: &crate::model::manifest::Manifest) -> String {
    let mut out = format!(
        "{}\n  info hash     {}\n  piece length  {} bytes\n  pieces        {}\n  total         {}\n",
        manifest.name,
        manifest.info_hash,
        manifest.piece_length,
        manifest.pieces.len(),
        size(manifest.content_length())
    );
    for (_, path, length) in manifest.files() {
        let _ = writeln!(out, "  {path}  {}", size(length));
    }
    out
}

/// A sentence begins with a capital letter, and an address as it is written.
pub fn capital(text: &str) -> String {
    if text.split_whitespace().next().is_some_and(|word| word.contains("://")) {
        return text.to_owned();
    }
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
