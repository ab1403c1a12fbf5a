//! PURE: answers and snapshots → lines for a person.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use bytesize::ByteSize;

use crate::demo::Scene;
use crate::model::command::Answer;
use crate::model::fault::Fault;
use crate::model::release::Release;
use crate::model::report::{
    ApplyReport, CheckReport, CleanReport, FileLine, PlanReport, ProblemKind, RestoreReport,
    Summary, TrashEntry, VerifyReport,
};
use crate::model::snapshot::{PackView, Phase, Progress, Unit};

/// A list longer than this is cut; `--json` has all of it.
const LINES: usize = 40;

/// The answer to a command, as lines.
pub fn answer(answer: &Answer) -> String {
    match answer {
        Answer::Done => "done\n".to_owned(),
        Answer::UpToDate { .. } => "up to date\n".to_owned(),
        Answer::Checked(report) => checked(report),
        Answer::Planned(report) => plan(report),
        Answer::Applied(report) => applied("applied", report),
        Answer::RolledBack(report) => applied("went back to", report),
        Answer::Verified(report) => verified(report),
        Answer::Cleaned(report) => cleaned(report),
        Answer::Trash { entries } => trash(entries),
        Answer::Restored(report) => restored(report),
    }
}

/// A scene of the demo.
pub fn scene(scene: &Scene<'_>) -> String {
    match scene {
        Scene::Says(words) => format!("{words}\n"),
        Scene::Command(command, result) => format!("\n$ {command}\n{}\n", answer(result)),
    }
}

pub fn fault(fault: &Fault) -> String {
    if fault.hint.is_empty() {
        fault.what.clone()
    } else {
        format!("{}\n  {}", fault.what, fault.hint)
    }
}

fn checked(report: &CheckReport) -> String {
    match (&report.offered, &report.installed) {
        (Some(offered), _) if report.held => {
            format!("you went back from {}; `modsync apply` applies it again\n", offered.label())
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
    format!("{}, {}, {}", release.label(), files(release.files), ByteSize(release.length))
}

/// A plan, before anything is touched.
pub fn plan(report: &PlanReport) -> String {
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
    list(&mut out, "extra (in no release)", &report.extra);
    if !report.compared.is_empty() {
        let n = files(report.compared.len() as u64);
        let _ =
            writeln!(out, "{n} share pieces with changed ones and are compared after the download");
    }
    let _ = writeln!(
        out,
        "to download: {}, space needed: {}, {} unchanged",
        ByteSize(report.download_bytes),
        ByteSize(report.disk_bytes),
        files(report.unchanged)
    );
    if let Some(why) = &report.needs_approval {
        let _ = writeln!(
            out,
            "a person must decide: {why}\n  `modsync apply --approve` applies exactly this plan ({})",
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
        ByteSize(summary.download_bytes)
    )
}

fn applied(verb: &str, report: &ApplyReport) -> String {
    format!(
        "{verb} {}: {} new, {} changed, {} removed, {} downloaded\n",
        report.release.label(),
        report.added,
        report.changed,
        report.removed,
        ByteSize(report.downloaded_bytes)
    )
}

fn verified(report: &VerifyReport) -> String {
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
        (n, Some(repair)) => {
            let bytes = ByteSize(repair.downloaded_bytes);
            let _ = writeln!(out, "repaired {}, {bytes} downloaded", files(n));
        }
        (n, None) => {
            let bytes = ByteSize(report.bad_bytes);
            let _ = writeln!(
                out,
                "{} of {} not right; `modsync verify --repair` fetches {bytes}",
                n,
                files(report.files)
            );
        }
    }
    out
}

fn cleaned(report: &CleanReport) -> String {
    let mut out = String::new();
    list(&mut out, if report.dry_run { "would move" } else { "moved" }, &report.moved);
    match &report.trash {
        Some(id) => {
            let n = files(report.moved.len() as u64);
            let _ = writeln!(
                out,
                "{n} moved to the trash; `modsync trash --restore {id}` puts them back"
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
            ByteSize(entry.bytes)
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
    out
}

/// A pack in a few lines.
pub fn status(pack: &PackView, now: SystemTime) -> String {
    let mut out = format!("{}: {}\n", pack.name, phase(&pack.phase, now));
    let _ = writeln!(out, "  folder     {}", pack.folder.display());
    let _ = writeln!(out, "  origin     {}", pack.url);
    let installed = pack.installed.as_ref().map_or("nothing".to_owned(), release);
    let _ = writeln!(out, "  installed  {installed}");
    if let Some(offered) = &pack.offered {
        let held = if pack.held { " (you went back from it)" } else { "" };
        let _ = writeln!(out, "  offered    {}{held}", release(offered));
    }
    if let Some(checked) = pack.last_check {
        let _ = writeln!(out, "  checked    {} ago", ago(checked, now));
    }
    if let Some(seeding) = &pack.seeding {
        let _ = writeln!(
            out,
            "  seeding    to {} peers, {}/s, {} so far",
            seeding.peers,
            ByteSize(seeding.rate),
            ByteSize(seeding.uploaded_bytes)
        );
    }
    out
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

/// `42 %, 1.2 MiB of 3 MiB, 800 KiB/s, 2s left, 3 peers`
pub fn progress(progress: &Progress) -> String {
    if progress.total == 0 {
        return String::new();
    }
    let mut out = format!("{} %", progress.percent());
    match progress.unit {
        Unit::Bytes => {
            let _ = write!(out, ", {} of {}", ByteSize(progress.done), ByteSize(progress.total));
            if progress.rate > 0 {
                let _ = write!(out, ", {}/s", ByteSize(progress.rate));
            }
        }
        Unit::Steps => {
            let _ = write!(out, ", step {} of {}", progress.done, progress.total);
        }
    }
    if let Some(eta) = progress.eta().filter(|_| progress.done < progress.total) {
        let _ = write!(out, ", {} left", short(Duration::from_secs(eta)));
    }
    if let Some(peers) = progress.peers {
        let _ = write!(out, ", {peers} peers");
    }
    out
}

fn list(out: &mut String, title: &str, lines: &[FileLine]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "{title}:");
    for line in lines.iter().take(LINES) {
        let _ = writeln!(out, "    {}  {}", line.path, ByteSize(line.length));
    }
    more(out, lines.len());
}

fn more(out: &mut String, count: usize) {
    if count > LINES {
        let _ = writeln!(out, "    … and {} more", count - LINES);
    }
}

fn files(count: u64) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
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
        "{}\n  info hash     {}\n  piece length  {}\n  pieces        {}\n  total         {}\n",
        manifest.name,
        manifest.info_hash,
        ByteSize(manifest.piece_length),
        manifest.pieces.len(),
        ByteSize(manifest.content_length())
    );
    for (_, path, length) in manifest.files() {
        let _ = writeln!(out, "  {path}  {}", ByteSize(length));
    }
    out
}
