//! What a plan takes from the user, and whether a person must approve that.

use std::collections::BTreeMap;

use super::{Action, Given};
use crate::disk::fs::{Kind, Stat};
use crate::model::fault::{Fault, FaultKind};
use crate::model::manifest::EntryIndex;
use crate::model::path::with_ancestors;

/// Pack files that were edited or never were ours, and what stands where the release has something else.
///
/// A file of which only a neighbour is known to be wrong most likely stays. It is named where it matters most: if it no
/// longer looks as we installed it, or if the user wants it spared.
pub(super) fn displaced(
    given: Given<'_>,
    actions: &BTreeMap<EntryIndex, Action>,
    obstacles: &BTreeMap<String, Kind>,
) -> BTreeMap<String, Stat> {
    let Given { manifest, scan, baseline, policy, .. } = given;
    let is_ours = |path, stat| baseline.is_some_and(|baseline| baseline.is_ours(path, stat));
    let changed = actions.iter().filter_map(|(&entry, action)| {
        let path = manifest.entries.get(entry)?.path.as_ref()?;
        let may_stay = matches!(action, Action::Compare(_));
        let is_named = !may_stay || baseline.is_some() || policy.spares(path.as_str());
        let stat = action.found().filter(|_| is_named)?;
        (!is_ours(path, stat)).then(|| (path.to_string(), stat))
    });
    let files = scan.inventory.files.iter().filter(|(path, stat)| !is_ours(path, **stat));
    let others = scan.inventory.others.iter().map(|(path, other)| (path.clone(), other.stat));
    let in_the_way = files
        .map(|(path, stat)| (path.to_string(), *stat))
        .chain(others)
        .filter(|(path, _)| with_ancestors(path).any(|path| obstacles.contains_key(path)));
    if obstacles.is_empty() { changed.collect() } else { changed.chain(in_the_way).collect() }
}

/// Why a person must approve: the release removes too much, or is another pack altogether.
pub(super) fn guard(
    given: Given<'_>,
    gone: usize,
    removed: usize,
    actions: &BTreeMap<EntryIndex, Action>,
    displaced: &BTreeMap<String, Stat>,
) -> Option<Fault> {
    let Given { baseline, was_installed, policy, .. } = given;
    let hint = "Approve it if that is what you want; `modsync plan` names the files.";
    if let Some(path) = displaced.keys().find(|path| policy.spares(path)) {
        let what = format!(
            "the new release takes the place of `{path}`, which you asked ModSync not to touch"
        );
        return Some(Fault::new(FaultKind::MassRemoval, what, hint));
    }
    let path = |entry: &EntryIndex| given.manifest.entries.get(*entry)?.path.as_ref();
    let may_stay = actions.iter().filter(|(_, action)| matches!(action, Action::Compare(_)));
    let may_stay = may_stay.filter_map(|(entry, _)| path(entry));
    let may_stay = may_stay.filter(|path| displaced.contains_key(path.as_str())).count();
    let lost = displaced.len() - may_stay;
    if was_installed && lost as u64 > policy.max_removed_files {
        let what = format!("the new release takes the place of {lost} files of yours");
        return Some(Fault::new(FaultKind::MassRemoval, what, hint));
    }
    let installed = &baseline?.files;
    let shared = installed.len() - gone;
    if shared * 5 < installed.len() {
        let what = format!(
            "the new release has only {shared} of the {} installed files in it: it may be another pack",
            installed.len()
        );
        return Some(Fault::new(FaultKind::UnrelatedRelease, what, hint));
    }
    policy.is_too_many(removed, installed.len()).then(|| {
        let what = format!("the new release removes {removed} of {} files", installed.len());
        Fault::new(FaultKind::MassRemoval, what, hint)
    })
}
