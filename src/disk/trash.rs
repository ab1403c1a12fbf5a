//! Where replaced, removed and extra files go; its list, its expiry, its restore.
//!
//! Each change to the folder has one entry, `trash/<id>/`: the files by number, the finished journal
//! as its `record`, and the `baseline` that held before. Emptying the trash is the only place where
//! bytes of the user are deleted, and it goes by age and size alone.

mod age;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::time::{Duration, SystemTime};

use self::age::Ages;
use super::baseline::{Baseline, Head as BaselineHead};
use super::fs::{FsError, Kind, Root, Stat};
use super::journal::{Journal, Step};
use super::layout::{BASELINE, JOURNAL, TRASH};
use super::record;
use crate::model::path::{ancestors, parent};
use crate::model::report::{FileLine, RestoreReport, TrashEntry};

/// What the name of an entry that is being removed ends with.
const GONE: &str = ".gone";

/// How many files that appeared in the way of one step are looked for.
const NEWCOMERS: usize = 4;

/// A file in the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// Where it lies, below the pack's folder.
    pub at: String,
    /// Where it came from.
    pub path: String,
    pub length: u64,
}

/// A name for a new entry; names sort by time.
pub fn new_id(root: &Root, now: SystemTime) -> Result<String, FsError> {
    let stamp = humantime::format_rfc3339_seconds(now).to_string().replace([':', '-'], "");
    let mut id = stamp.clone();
    for more in 2.. {
        if root.stat(format!("{TRASH}/{id}"))?.is_none() {
            break;
        }
        id = format!("{stamp}-{more}");
    }
    Ok(id)
}

/// What is in the trash, the newest first.
pub fn list(root: &Root) -> Result<Vec<TrashEntry>, FsError> {
    let mut entries = Vec::new();
    for journal in records(root)?.into_iter().rev() {
        let kept = kept(root, &journal)?;
        if !kept.is_empty() {
            entries.push(TrashEntry {
                id: journal.id.clone(),
                when: journal.when,
                reason: journal.reason.name().to_owned(),
                bytes: kept.iter().map(|file| file.length).sum(),
                files: kept
                    .into_iter()
                    .map(|Kept { path, length, .. }| FileLine { path, length })
                    .collect(),
            });
        }
    }
    Ok(entries)
}

/// What lies in the trash, of whichever entry.
pub(super) fn files(root: &Root) -> Result<Vec<Kept>, FsError> {
    let kept = records(root)?.into_iter().rev().map(|journal| kept(root, &journal));
    Ok(kept.collect::<Result<Vec<_>, _>>()?.concat())
}

/// How many files of an entry are there.
pub fn count(root: &Root, id: &str) -> Result<u64, FsError> {
    let journal = record_of(root, id)?;
    Ok(journal.map(|journal| kept(root, &journal)).transpose()?.map_or(0, |kept| kept.len() as u64))
}

/// Puts the files of an entry back where nothing stands in their place. `None`: no such entry.
pub fn restore(root: &Root, id: &str) -> Result<Option<RestoreReport>, FsError> {
    let Some(journal) = records(root)?.into_iter().find(|journal| journal.id == id) else {
        return Ok(None);
    };
    let mut report = RestoreReport { restored: Vec::new(), in_the_way: Vec::new() };
    for Kept { at, path, length } in kept(root, &journal)? {
        let line = FileLine { path: path.clone(), length };
        if root.stat(&path)?.is_some() || !has_room(root, &path)? {
            report.in_the_way.push(line);
            continue;
        }
        let folder = parent(&path);
        root.create_dir_all(folder)?;
        if !root.place_new(&at, &path)? {
            report.in_the_way.push(line);
            continue;
        }
        root.sync_dir(folder)?;
        report.restored.push(line);
    }
    drop_if_empty(root, &journal)?;
    Ok(Some(report))
}

/// Whether no file stands where `path` needs a folder.
pub(super) fn has_room(root: &Root, path: &str) -> Result<bool, FsError> {
    for folder in ancestors(path) {
        if root.stat(folder)?.is_some_and(|stat| stat.kind != Kind::Dir) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Deletes what has been there for `age`, then the oldest until no more than `size` bytes are left. The second rule
/// spares the newest, and what the caller names: which is the newest is not for a clock to say that may have been wrong.
pub fn expire(
    root: &Root,
    spared: &[&str],
    age: Duration,
    size: u64,
    now: SystemTime,
) -> Result<(), FsError> {
    let mut result = drop_unused(root);
    let mut entries = sizes(root)?;
    let ages = Ages::look(root, entries.iter().map(|entry| entry.id.as_str()), now)?;
    let newest = entries.last().map(|entry| entry.id.clone());
    let mut total: u64 = entries.iter().map(|entry| entry.bytes).sum();
    entries.sort_by_key(|entry| Reverse(ages.of(&entry.id)));
    for Size { id, bytes, .. } in entries {
        let is_spared = spared.contains(&id.as_str()) || newest.as_ref() == Some(&id);
        if ages.of(&id) >= age || (total > size && !is_spared) {
            result = result.and(remove(root, &id));
            total -= bytes;
        }
    }
    result
}

/// Removes an entry. One of which a part cannot be removed is none any more, and is tried again later.
fn remove(root: &Root, id: &str) -> Result<(), FsError> {
    let gone = format!("{TRASH}/{id}{GONE}");
    root.rename(format!("{TRASH}/{id}"), &gone)?;
    root.remove_tree(gone)
}

/// The record of an entry.
pub fn record_of(root: &Root, id: &str) -> Result<Option<Journal>, FsError> {
    record::peek(root, format!("{TRASH}/{id}/record"))
}

/// The baseline that held before the change of an entry.
pub fn baseline_of(root: &Root, id: &str) -> Result<Option<Baseline>, FsError> {
    record::peek(root, format!("{TRASH}/{id}/baseline"))
}

/// The same for what needs none of the files.
pub fn baseline_head_of(root: &Root, id: &str) -> Result<Option<BaselineHead>, FsError> {
    record::peek_part(root, format!("{TRASH}/{id}/baseline"))
}

/// Keeps the present baseline with the entry of the change that will replace it.
pub(super) fn keep_baseline(root: &Root, journal: &Journal) -> Result<(), FsError> {
    match record::peek::<Baseline>(root, BASELINE)? {
        Some(baseline) => record::save(root, format!("{}/baseline", journal.folder()), &baseline),
        None => Ok(()),
    }
}

/// Gives an entry its record as soon as the journal of its change is there.
pub(super) fn note(root: &Root, journal: &Journal) -> Result<(), FsError> {
    record::copy(root, JOURNAL, &format!("{}/record", journal.folder()))
}

/// Puts the journal of a finished change away as the record of its entry.
pub(super) fn close(root: &Root, journal: &Journal) -> Result<(), FsError> {
    if root.stat(JOURNAL)?.is_some() {
        root.rename(JOURNAL, format!("{}/record", journal.folder()))?;
        root.sync_dir(journal.folder())?;
    }
    drop_if_empty(root, journal)
}

/// Removes entries that a crash left before their change began, which hold no files, and what is left of those that
/// were about to be removed. Returns the first failure.
fn drop_unused(root: &Root) -> Result<(), FsError> {
    let mut result = Ok(());
    for (name, _) in root.list(TRASH)? {
        let Some(id) = name.to_str() else { continue };
        let folder = format!("{TRASH}/{id}");
        let is_unused = |(name, _): &(OsString, Stat)| name == "baseline" || name == "baseline.tmp";
        if id.ends_with(GONE) || root.list(&folder)?.iter().all(is_unused) {
            result = result.and(root.remove_tree(&folder));
        }
    }
    result
}

/// An entry without files is of use only while a baseline may name it: should another change get its name, a
/// rollback would take back that one.
fn drop_if_empty(root: &Root, journal: &Journal) -> Result<(), FsError> {
    if !journal.new_baseline && kept(root, journal)?.is_empty() {
        root.remove_tree(journal.folder())?;
    }
    Ok(())
}

/// How much an entry holds.
struct Size {
    id: String,
    bytes: u64,
}

/// The same of all entries, the oldest first. One record at a time is in memory, if its entry still has files: each may
/// name very many.
fn sizes(root: &Root) -> Result<Vec<Size>, FsError> {
    let mut sizes = Vec::new();
    for id in ids(root)? {
        if let Some(bytes) = size(root, &id)? {
            sizes.push(Size { id, bytes });
        }
    }
    Ok(sizes)
}

/// Bytes of an entry's files; `None` when nobody knows which they are.
fn size(root: &Root, id: &str) -> Result<Option<u64>, FsError> {
    let names = root.list(format!("{TRASH}/{id}"))?;
    let is_entry = names.iter().any(|(name, _)| name == "record");
    if is_entry && names.iter().all(|(name, _)| name == "record" || name == "baseline") {
        return Ok(Some(0));
    }
    let journal = record_of(root, id)?.filter(|journal| journal.id == id);
    let kept = journal.map(|journal| kept(root, &journal)).transpose()?;
    Ok(kept.map(|kept| kept.iter().map(|file| file.length).sum()))
}

fn ids(root: &Root) -> Result<impl Iterator<Item = String>, FsError> {
    let names = root.list(TRASH)?.into_iter().filter_map(|(name, _)| name.into_string().ok());
    Ok(names.filter(|name| !name.ends_with(GONE)))
}

/// The records of all entries, the oldest first.
fn records(root: &Root) -> Result<Vec<Journal>, FsError> {
    let mut records = Vec::new();
    for id in ids(root)? {
        records.extend(record_of(root, &id)?.filter(|journal| journal.id == id));
    }
    records.sort_by(|a, b| (a.when, &a.id).cmp(&(b.when, &b.id)));
    Ok(records)
}

/// The files of an entry that are still in it.
fn kept(root: &Root, journal: &Journal) -> Result<Vec<Kept>, FsError> {
    let names: BTreeMap<OsString, Stat> = root.list(journal.folder())?.into_iter().collect();
    let mut files = Vec::new();
    for step in &journal.steps {
        let (path, to) = match step {
            Step::Remove { path, to, .. }
            | Step::Link { path, to, .. }
            | Step::Put { path, to, .. } => (path.as_str(), *to),
            Step::Clear { path, to, .. } | Step::MakeDir { path, to, .. } => (path.as_str(), *to),
            Step::Prune { .. } | Step::Restore { .. } => continue,
        };
        let places =
            std::iter::once(journal.kept(to)).chain(journal.kept_newcomers(to).take(NEWCOMERS));
        for at in places {
            let name = at.rsplit_once('/').map_or("", |(_, name)| name);
            let Some(stat) = names.get(OsStr::new(name)) else { continue };
            let length = length_of(root, &at, *stat)?;
            files.push(Kept { at, path: path.to_owned(), length });
        }
    }
    Ok(files)
}

/// Bytes of a file, or of all files of a folder that was moved here whole.
fn length_of(root: &Root, at: &str, stat: Stat) -> Result<u64, FsError> {
    if stat.kind != Kind::Dir {
        return Ok(stat.length);
    }
    let mut total = 0;
    let mut pending = vec![std::path::PathBuf::from(at)];
    while let Some(folder) = pending.pop() {
        for (name, stat) in root.list(&folder)? {
            match stat.kind {
                Kind::Dir => pending.push(folder.join(name)),
                Kind::File | Kind::Link | Kind::Other => total += stat.length,
            }
        }
    }
    Ok(total)
}
