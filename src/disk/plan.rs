//! PURE: manifest, inventory, baseline and policy → [`Plan`].
//!
//! A plan says what would be done to which file and which pieces are needed for it. Making one reads
//! nothing and changes nothing; the same values give the same plan.

mod guard;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use sha2::{Digest, Sha256};

use self::guard::{displaced, guard};
use super::baseline::{Baseline, Installed};
use super::fs::{Kind, Stat};
use super::inventory::{Inventory, Scan};
use super::names::Names;
use crate::model::fault::{Fault, FaultKind};
use crate::model::manifest::{EntryIndex, Manifest, PieceSet, hex};
use crate::model::pack::Policy;
use crate::model::path::{RelPath, parent, with_ancestors};
use crate::model::release::Release;
use crate::model::report::{FileLine, PlanReport};

/// What would be done to the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub release: Release,
    /// Files of the release that need other bytes, or may.
    pub actions: BTreeMap<EntryIndex, Action>,
    /// Files of the release that are right as they are.
    pub unchanged: BTreeMap<EntryIndex, Stat>,
    /// Files of the release whose local edits stay.
    pub edits: BTreeMap<EntryIndex, Stat>,
    /// Files we installed that the release no longer has.
    pub remove: BTreeMap<RelPath, Stat>,
    /// Files the release no longer has that were edited: they stay and become extras.
    pub let_go: BTreeMap<RelPath, Stat>,
    /// Those of `actions` that are another file of `remove`, byte for byte: it needs a new name and nothing else.
    pub moves: BTreeMap<EntryIndex, RelPath>,
    /// Things that stand where the release has a file or a folder; moved to the trash whole.
    pub obstacles: BTreeMap<String, Kind>,
    /// Files of the user's that go to the trash: something of the release takes their place.
    pub displaced: BTreeMap<String, Stat>,
    /// Folders of the release that are not there yet, without those inside them.
    pub new_folders: BTreeSet<String>,
    /// What no release names, without what the user ignores.
    pub extras: BTreeMap<String, Stat>,
    /// Pieces the new content needs that the folder does not have.
    pub wanted: PieceSet,
    /// Those of `wanted` that are not in staging.
    pub missing: PieceSet,
    /// Those of `missing` that lie elsewhere on this machine: the others must be fetched.
    pub elsewhere: PieceSet,
    /// Pieces that are not right for a kept edit in them, and that nothing else needs.
    pub edited: PieceSet,
    /// Why a person must approve it.
    pub guard: Option<Fault>,
    pub installed: Option<Release>,
    pub download_bytes: u64,
    /// Free space that applying it asks for.
    pub disk_bytes: u64,
}

/// What a file of the release needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing stands there yet.
    Add,
    /// Other bytes stand there.
    Change(Stat),
    /// It shares a wrong piece with others, and nothing tells which of them has other bytes.
    Suspect(Stat),
    /// It shares a piece with changed files. Its own bytes are compared once the piece is here.
    Compare(Stat),
}

impl Action {
    /// What stands there.
    pub fn found(self) -> Option<Stat> {
        match self {
            Self::Add => None,
            Self::Change(stat) | Self::Suspect(stat) | Self::Compare(stat) => Some(stat),
        }
    }
}

/// Left free on the disk besides what the new content needs, in bytes.
const SPARE_ROOM: u64 = 16 << 20;

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    pub release: &'a Release,
    pub manifest: &'a Manifest,
    pub scan: &'a Scan,
    pub baseline: Option<&'a Baseline>,
    /// Whether the folder was installed to before, be the baseline of that still known or not.
    pub was_installed: bool,
    pub policy: &'a Policy,
}

/// Refuses a folder in which a link stands in place of a folder of the release.
pub fn check_folders(manifest: &Manifest, inventory: &Inventory) -> Result<(), Fault> {
    let links = inventory.others.iter().filter(|(_, other)| other.stat.kind == Kind::Link);
    let links: BTreeSet<&str> = links.map(|(path, _)| path.as_str()).collect();
    if links.is_empty() {
        return Ok(());
    }
    let is_link = |dir: &&str| links.contains(dir);
    match manifest.files().flat_map(|(_, path, _)| path.ancestors()).find(is_link) {
        Some(dir) => Err(link_in_the_way(dir)),
        None => Ok(()),
    }
}

/// Makes the plan.
pub fn plan(given: Given<'_>) -> Plan {
    let Given { release, manifest, scan, baseline, policy, .. } = given;
    let edits = edits(given);
    let wanted = wanted(given, &edits);
    let mut missing = wanted.clone();
    scan.staged.iter().for_each(|piece| missing.remove(piece));
    let mut elsewhere = PieceSet::none(manifest.pieces.len());
    let found = scan.elsewhere.of.keys().filter(|piece| missing.contains(**piece));
    found.for_each(|&piece| elsewhere.insert(piece));
    let (actions, unchanged) = actions(given, &edits, &wanted);
    let gone = gone(given);
    let (remove, let_go) = dropped(&scan.inventory, &gone);
    let folders = folders(manifest);
    let obstacles = obstacles(scan, &folders, &remove);
    let displaced = displaced(given, &actions, &obstacles);
    let moves = moves(given, &actions, &remove);
    let bytes =
        |pieces: &PieceSet| pieces.iter().map(|piece| manifest.piece_size(piece)).sum::<u64>();
    let is_new_content = |(entry, action): &(&EntryIndex, &Action)| {
        !matches!(action, Action::Compare(_)) && !moves.contains_key(entry)
    };
    let new_files = || actions.iter().filter(is_new_content).map(|(&entry, _)| entry);
    let new_content: u64 = new_files().map(|entry| manifest.entries[entry].length).sum();
    let begun: u64 = new_files().filter_map(|entry| scan.begun.get(&entry)).sum();
    let staged_bytes = (bytes(&wanted) - bytes(&missing)).max(begun);
    let moved_bytes: u64 = moves.keys().map(|&entry| manifest.entries[entry].length).sum();
    let wanted_bytes = bytes(&wanted).saturating_sub(moved_bytes);
    let new_bytes = new_content.max(wanted_bytes).saturating_sub(staged_bytes);
    Plan {
        guard: guard(given, gone.len(), remove.len(), &actions, &displaced),
        extras: extras(&scan.places.unnamed, policy)
            .filter(|(path, _)| !remove.contains_key(&path[..]) && !let_go.contains_key(&path[..]))
            .filter(|(path, _)| !with_ancestors(path).any(|path| obstacles.contains_key(path)))
            .collect(),
        download_bytes: bytes(&missing) - bytes(&elsewhere),
        disk_bytes: if new_bytes == 0 { 0 } else { new_bytes + SPARE_ROOM },
        installed: baseline.map(|b| b.release.clone()),
        release: release.clone(),
        actions,
        unchanged,
        edits,
        remove,
        let_go,
        moves,
        obstacles,
        displaced,
        new_folders: new_folders(&folders, &scan.inventory),
        edited: scan.live.missing_from_both(&wanted),
        wanted,
        missing,
        elsewhere,
    }
}

/// The folders of a release.
fn folders(manifest: &Manifest) -> HashSet<&str> {
    let mut folders = HashSet::new();
    for (_, path, _) in manifest.files() {
        // One that is known was noted with those it lies in.
        path.ancestors().take_while(|dir| folders.insert(*dir)).for_each(drop);
    }
    folders
}

/// Files of the release that the user edited and asked to keep.
fn edits(given: Given<'_>) -> BTreeMap<EntryIndex, Stat> {
    let Given { manifest, scan, baseline, policy, .. } = given;
    manifest
        .files()
        .filter(|(_, path, _)| policy.keep.matches(path))
        .filter_map(|(entry, path, length)| {
            let stat = scan.places.at(entry)?;
            let ours = baseline.is_some_and(|b| b.is_ours(path, stat));
            let right = is_right(manifest, &scan.live, entry, length, stat);
            (!ours && !right).then_some((entry, stat))
        })
        .collect()
}

fn is_right(
    manifest: &Manifest,
    live: &PieceSet,
    entry: EntryIndex,
    length: u64,
    stat: Stat,
) -> bool {
    stat.length == length && manifest.pieces_of(entry).all(|piece| live.contains(piece))
}

/// Pieces that are not right in the folder and hold bytes of a file that needs them.
///
/// A piece with a kept edit in it can never be right. Its other files do not need it while they look
/// as they were installed; one that may get new content needs it like any other of its pieces.
fn wanted(given: Given<'_>, edits: &BTreeMap<EntryIndex, Stat>) -> PieceSet {
    let Given { manifest, scan, .. } = given;
    let mut wanted = PieceSet::none(manifest.pieces.len());
    for piece in (0..manifest.pieces.len()).filter(|&piece| !scan.live.contains(piece)) {
        let has_edit = manifest.spans(piece).any(|span| edits.contains_key(&span.entry));
        let needs = |entry: EntryIndex| {
            let Some(path) = &manifest.entries[entry].path else { return false };
            if edits.contains_key(&entry) {
                return false;
            }
            let stat = scan.places.at(entry);
            !(has_edit && stat.is_some_and(|stat| is_as_installed(given, path, stat)))
        };
        if manifest.spans(piece).any(|span| needs(span.entry)) {
            wanted.insert(piece);
        }
    }
    let of_whole_files = (0..manifest.entries.len()).filter(|entry| !edits.contains_key(entry));
    // There and back, since a file may bring its neighbour on either side into it.
    for entry in of_whole_files.clone().chain(of_whole_files.rev()) {
        if manifest.pieces_of(entry).any(|piece| wanted.contains(piece)) {
            let lacking = manifest.pieces_of(entry).filter(|&piece| !scan.live.contains(piece));
            lacking.for_each(|piece| wanted.insert(piece));
        }
    }
    wanted
}

/// Whether a file of the installed release looks as it was installed, when that is the release.
fn is_as_installed(given: Given<'_>, path: &RelPath, stat: Stat) -> bool {
    of_this_release(given).is_some_and(|baseline| baseline.is_ours(path, stat))
}

/// The baseline, when the installed release is the one that is planned for.
fn of_this_release(given: Given<'_>) -> Option<&Baseline> {
    given.baseline.filter(|baseline| baseline.release.digest == given.release.digest)
}

type Actions = (BTreeMap<EntryIndex, Action>, BTreeMap<EntryIndex, Stat>);

/// What each file needs.
///
/// A wrong piece names no culprit. A file that is missing or has another length is one for sure, so
/// is the only file of a wrong piece, and so is one that was edited since this release was installed.
/// Where a wrong piece has a sure one, its other files most likely stay; where it has none, each of
/// them is suspect.
fn actions(given: Given<'_>, edits: &BTreeMap<EntryIndex, Stat>, wanted: &PieceSet) -> Actions {
    let Given { manifest, scan, .. } = given;
    let mut actions = BTreeMap::new();
    let mut unchanged = BTreeMap::new();
    let mut doubtful = BTreeMap::new();
    for (entry, _, length) in manifest.files().filter(|(entry, _, _)| !edits.contains_key(entry)) {
        match scan.places.at(entry) {
            None => {
                actions.insert(entry, Action::Add);
            }
            Some(stat) if stat.length != length => {
                actions.insert(entry, Action::Change(stat));
            }
            Some(stat) if manifest.pieces_of(entry).all(|piece| !wanted.contains(piece)) => {
                unchanged.insert(entry, stat);
            }
            Some(stat) => {
                doubtful.insert(entry, stat);
            }
        }
    }
    let files_of = |piece: usize| {
        let is_file = |entry: EntryIndex| manifest.entries[entry].path.is_some();
        manifest.spans(piece).map(|span| span.entry).filter(move |&entry| is_file(entry))
    };
    for piece in wanted.iter() {
        let mut files = files_of(piece);
        if let (Some(only), None) = (files.next(), files.next())
            && let Some(&stat) = doubtful.get(&only)
        {
            actions.insert(only, Action::Change(stat));
        }
    }
    for (&entry, &stat) in &doubtful {
        if is_edited(given, entry, stat) {
            actions.insert(entry, Action::Change(stat));
        }
    }
    let sure: BTreeSet<EntryIndex> = actions.keys().chain(edits.keys()).copied().collect();
    for piece in wanted.iter() {
        let explained = files_of(piece).any(|entry| sure.contains(&entry));
        for entry in files_of(piece) {
            let Some(&stat) = doubtful.get(&entry) else { continue };
            let action = actions.entry(entry).or_insert(Action::Compare(stat));
            if !explained {
                *action = Action::Suspect(stat);
            }
        }
    }
    (actions, unchanged)
}

/// Whether a file of the installed release no longer looks as it was installed.
fn is_edited(given: Given<'_>, entry: EntryIndex, stat: Stat) -> bool {
    let path = given.manifest.entries[entry].path.as_ref();
    path.zip(of_this_release(given)).is_some_and(|(path, baseline)| !baseline.is_ours(path, stat))
}

type Gone<'a> = Vec<(&'a RelPath, Installed)>;

/// Files of the installed release that the new one does not have.
fn gone(given: Given<'_>) -> Gone<'_> {
    let Given { release, manifest, scan, baseline, .. } = given;
    let Some(baseline) = baseline.filter(|baseline| baseline.release.digest != release.digest)
    else {
        return Gone::new();
    };
    let names = Names::of(manifest, &scan.inventory);
    let gone = baseline.files.iter().filter(|(path, _)| !names.contains(path.as_str()));
    gone.map(|(path, installed)| (path, *installed)).collect()
}

/// Those of them that are still ours, and those that were edited since.
fn dropped(
    inventory: &Inventory,
    gone: &Gone<'_>,
) -> (BTreeMap<RelPath, Stat>, BTreeMap<RelPath, Stat>) {
    gone.iter()
        .filter_map(|(path, installed)| Some((*path, installed, inventory.find(path.as_str())?)))
        .map(|(path, installed, stat)| (path.clone(), stat, installed.looks_like(stat)))
        .fold(Default::default(), |(mut remove, mut let_go), (path, stat, ours)| {
            if ours { &mut remove } else { &mut let_go }.insert(path, stat);
            (remove, let_go)
        })
}

/// New files that are nothing but a file that goes, under another path. Each of those has one new path at most.
fn moves(
    given: Given<'_>,
    actions: &BTreeMap<EntryIndex, Action>,
    remove: &BTreeMap<RelPath, Stat>,
) -> BTreeMap<EntryIndex, RelPath> {
    let Given { manifest, scan, .. } = given;
    let is_new = |action: &Action| matches!(action, Action::Add | Action::Change(_));
    let mut taken = BTreeSet::new();
    actions
        .iter()
        .filter(|(_, action)| is_new(action))
        .filter_map(|(&entry, _)| {
            let former = scan.elsewhere.whole_file(manifest, entry)?;
            let (former, _) = remove.get_key_value(former)?;
            taken.insert(former).then(|| (entry, former.clone()))
        })
        .collect()
}

/// What stands where the release has something of another kind.
fn obstacles(
    scan: &Scan,
    folders: &HashSet<&str>,
    remove: &BTreeMap<RelPath, Stat>,
) -> BTreeMap<String, Kind> {
    let inventory = &scan.inventory;
    let is_file = |dir: &str| inventory.find(dir).is_some() && !remove.contains_key(dir);
    let files = folders.iter().filter(|dir| is_file(dir)).map(|dir| (*dir, Kind::File));
    let others = inventory.others.iter().map(|(path, other)| (path.as_str(), other.stat.kind));
    let for_folders = others.filter(|(path, _)| folders.contains(path)).chain(files);
    let for_folders = for_folders.map(|(path, kind)| (path.to_owned(), kind));
    scan.places.obstacles.clone().into_iter().chain(for_folders).collect()
}

fn new_folders(folders: &HashSet<&str>, inventory: &Inventory) -> BTreeSet<String> {
    let there: HashSet<_> = inventory.dirs.iter().map(|dir| inventory.key(dir)).collect();
    let is_there = |dir: &str| dir.is_empty() || there.contains(&inventory.key(dir));
    let outermost = folders.iter().filter(|dir| !is_there(dir) && is_there(parent(dir)));
    outermost.map(|dir| (*dir).to_owned()).collect()
}

fn link_in_the_way(path: &str) -> Fault {
    Fault::new(
        FaultKind::LinkInTheWay,
        format!("could not plan for `{path}`: it is a link, and the release has a folder there"),
        super::fs::hint(FaultKind::LinkInTheWay),
    )
}

/// Of what no release names, what the user does not ignore.
pub fn extras(
    unnamed: &BTreeMap<String, Stat>,
    policy: &Policy,
) -> impl Iterator<Item = (String, Stat)> {
    let extras = unnamed.iter().filter(|(path, _)| !policy.spares(path));
    extras.map(|(path, stat)| (path.clone(), *stat))
}

impl Plan {
    /// Whether applying it would change nothing in the folder.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty() && self.remove.is_empty() && self.obstacles.is_empty()
    }

    /// Names exactly this plan: the release, what is done to which file, and which of the user's that takes away.
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.release.digest.0);
        for (entry, action) in &self.actions {
            let kind = match action {
                Action::Add => "add",
                Action::Change(_) | Action::Suspect(_) => "change",
                Action::Compare(_) => "compare",
            };
            hash.update(format!("\n{kind} {entry}"));
        }
        for path in self.remove.keys() {
            hash.update(format!("\nremove {path}"));
        }
        for path in self.obstacles.keys() {
            hash.update(format!("\nclear {path}"));
        }
        for path in self.displaced.keys() {
            hash.update(format!("\ndisplace {path}"));
        }
        hex(&hash.finalize()[..6])
    }

    /// What applying it makes, replaces or takes away.
    pub fn touched<'a>(&'a self, manifest: &'a Manifest) -> impl Iterator<Item = &'a str> {
        let changed = self.actions.iter().filter_map(|(&entry, action)| match action {
            Action::Add | Action::Change(_) | Action::Suspect(_) => {
                manifest.entries.get(entry)?.path.as_ref().map(RelPath::as_str)
            }
            Action::Compare(_) => None,
        });
        let others = self.obstacles.keys().chain(&self.new_folders).map(String::as_str);
        changed.chain(self.remove.keys().map(RelPath::as_str)).chain(others)
    }

    /// How the files that stay looked, and the kept edits as we once installed them: the part of the
    /// next baseline that does not come from this apply.
    pub fn staying(
        &self,
        manifest: &Manifest,
        baseline: Option<&Baseline>,
    ) -> BTreeMap<RelPath, Installed> {
        let path = |entry: &EntryIndex| manifest.entries.get(*entry)?.path.clone();
        let unchanged = self
            .unchanged
            .iter()
            .filter_map(|(entry, stat)| Some((path(entry)?, Installed::from(*stat))));
        let edits = self.edits.keys().filter_map(|entry| {
            let path = path(entry)?;
            let installed = *baseline?.files.get(&path)?;
            Some((path, installed))
        });
        unchanged.chain(edits).collect()
    }

    pub fn report(&self, manifest: &Manifest) -> PlanReport {
        let line = |path: &str, length: u64| FileLine { path: path.to_owned(), length };
        let files = |wanted: fn(&Action) -> bool| {
            self.actions
                .iter()
                .filter(|(_, action)| wanted(action))
                .filter_map(|(&entry, _)| manifest.entries.get(entry))
                .filter_map(|entry| Some(line(entry.path.as_ref()?.as_str(), entry.length)))
                .collect::<Vec<_>>()
        };
        let edits = self.edits.iter().filter_map(|(&entry, stat)| {
            let path = manifest.entries.get(entry)?.path.as_ref()?;
            Some(line(path.as_str(), stat.length))
        });
        PlanReport {
            id: self.id(),
            release: self.release.clone(),
            installed: self.installed.clone(),
            added: files(|action| matches!(action, Action::Add)),
            changed: files(|action| matches!(action, Action::Change(_) | Action::Suspect(_))),
            compared: files(|action| matches!(action, Action::Compare(_))),
            removed: self.remove.iter().map(|(p, s)| line(p.as_str(), s.length)).collect(),
            kept: edits
                .chain(self.let_go.iter().map(|(p, s)| line(p.as_str(), s.length)))
                .collect(),
            displaced: self.displaced.iter().map(|(p, s)| line(p, s.length)).collect(),
            extra: self.extras.iter().map(|(p, s)| line(p, s.length)).collect(),
            unchanged: self.unchanged.len() as u64,
            download_bytes: self.download_bytes,
            disk_bytes: self.disk_bytes,
            needs_approval: self.guard.as_ref().map(|fault| fault.what.clone()),
        }
    }
}
