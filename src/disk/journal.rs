//! [`Journal`]: the steps of one change to the folder, durable before the first is taken.
//!
//! A finished journal becomes the record of its trash entry, so what the trash knows is what was done.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::baseline::Installed;
use super::complete::Staged;
use super::fs::{FsError, Kind, Root, Stat};
use super::layout::{JOURNAL, TRASH};
use super::numbered::Numbered;
use super::plan::Plan;
use super::record::{self, Loaded};
use crate::model::path::{RelPath, ancestors, with_ancestors};
use crate::model::release::Release;
use crate::model::report::rfc3339;

/// The steps of one change to the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// Names the trash entry.
    pub id: String,
    #[serde(with = "rfc3339")]
    pub when: SystemTime,
    pub reason: Reason,
    /// What the folder holds afterwards; the same as `before` for a clean.
    pub release: Option<Release>,
    pub before: Option<Release>,
    /// Whether a second name can be given to a file here, which makes a replacement leave no gap.
    pub links: bool,
    /// Whether the baseline changes with it.
    pub new_baseline: bool,
    pub steps: Vec<Step>,
}

/// Why the folder was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    Update,
    Repair,
    Rollback,
    Clean,
}

/// One change. Every step can be taken again after a crash without harm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Moves a file of ours to the trash, if it still looks like this.
    Remove { path: RelPath, was: Installed, to: u32 },
    /// Moves whatever stands there to the trash, if it is of this kind.
    Clear { path: String, kind: Kind, length: u64, to: u32 },
    /// Removes a folder if it is empty.
    Prune { path: String },
    /// Makes a folder; what stands in its way goes to the trash. `new`: none was there before.
    MakeDir {
        path: String,
        to: u32,
        #[serde(default)]
        new: bool,
    },
    /// Moves something out of the trash, if nothing stands in its place.
    Restore { path: String, from: String },
    /// Gives a file that goes to the trash as number `kept` a name of the new release as well; what stood
    /// there goes to the trash.
    Link { path: RelPath, from: RelPath, kept: u32, looks: Installed, was: Option<Stat>, to: u32 },
    /// Puts new content in place; what stood there goes to the trash.
    Put { path: RelPath, from: Numbered, looks: Installed, was: Option<Stat>, to: u32 },
}

impl Step {
    /// The path that it changes.
    pub fn target(&self) -> &str {
        match self {
            Self::Remove { path, .. } | Self::Link { path, .. } | Self::Put { path, .. } => {
                path.as_str()
            }
            Self::Clear { path, .. }
            | Self::Prune { path }
            | Self::MakeDir { path, .. }
            | Self::Restore { path, .. } => path,
        }
    }
}

impl Journal {
    /// The folder of the trash entry.
    pub fn folder(&self) -> String {
        format!("{TRASH}/{}", self.id)
    }

    /// Where a step keeps what it takes away.
    pub fn kept(&self, to: u32) -> String {
        format!("{TRASH}/{}/{to}", self.id)
    }

    /// Where a step puts for a moment what stands in its place, to remove it or to file it away.
    pub fn aside(&self, to: u32) -> String {
        format!("{}.gone", self.kept(to))
    }

    /// Where a step keeps files that appeared in its way between plan and step, one after the other.
    pub fn kept_newcomers(&self, to: u32) -> impl Iterator<Item = String> {
        let kept = self.kept(to);
        (1..).map(move |nth| format!("{kept}.new{nth}"))
    }
}

/// The steps that carry out a plan: first what goes, then what is in the way, then what comes.
pub fn steps_of(plan: &Plan, staged: &Staged) -> Vec<Step> {
    let mut next = numbers();
    let numbers: BTreeMap<&RelPath, u32> = plan.remove.keys().map(|path| (path, next())).collect();
    let removes = plan.remove.iter().map(|(path, stat)| Step::Remove {
        path: path.clone(),
        was: Installed::from(*stat),
        to: numbers[path],
    });
    let mut steps: Vec<Step> = removes.collect();
    steps.extend(prunes(plan.remove.keys().map(RelPath::as_str)));
    steps.extend(plan.obstacles.iter().map(|(path, kind)| Step::Clear {
        path: path.clone(),
        kind: *kind,
        length: 0,
        to: next(),
    }));
    let is_new = |folder: &str| with_ancestors(folder).any(|it| plan.new_folders.contains(it));
    let comes = staged.files.keys().chain(staged.moved.keys());
    steps.extend(make_dirs(comes, is_new, &mut next));
    steps.extend(staged.moved.iter().filter_map(|(path, file)| {
        Some(Step::Link {
            path: path.clone(),
            from: file.from.clone(),
            kept: *numbers.get(&file.from)?,
            looks: file.looks,
            was: file.replaces,
            to: next(),
        })
    }));
    steps.extend(staged.files.iter().map(|(path, file)| Step::Put {
        path: path.clone(),
        from: file.from.clone(),
        looks: file.looks,
        was: file.replaces,
        to: next(),
    }));
    steps
}

/// Numbers for what the steps of one journal keep.
pub(super) fn numbers() -> impl FnMut() -> u32 {
    let mut numbers = 0..;
    move || numbers.next().unwrap_or(u32::MAX)
}

/// The steps that move extras to the trash.
pub fn steps_of_clean(extras: &BTreeMap<String, Stat>) -> Vec<Step> {
    let clears = extras.iter().zip(0..).map(|((path, stat), to)| Step::Clear {
        path: path.clone(),
        kind: stat.kind,
        length: stat.length,
        to,
    });
    clears.chain(prunes(extras.keys().map(String::as_str))).collect()
}

/// Removes the folders of these paths where they are left empty, the deepest first.
pub(super) fn prunes<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<Step> {
    let mut folders: Vec<&str> = paths.flat_map(ancestors).collect();
    folders.sort_unstable_by_key(|folder| (Reverse(folder.matches('/').count()), *folder));
    folders.dedup();
    folders.into_iter().map(|path| Step::Prune { path: path.to_owned() }).collect()
}

/// Makes the folders that these files need, the outer ones first.
pub(super) fn make_dirs<'a>(
    paths: impl Iterator<Item = &'a RelPath>,
    is_new: impl Fn(&str) -> bool,
    next: &mut dyn FnMut() -> u32,
) -> Vec<Step> {
    let folders: BTreeSet<&str> = paths.flat_map(RelPath::ancestors).collect();
    let make = |path: &str| Step::MakeDir { path: path.to_owned(), to: next(), new: is_new(path) };
    folders.into_iter().map(make).collect()
}

impl Reason {
    pub fn name(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Repair => "repair",
            Self::Rollback => "rollback",
            Self::Clean => "clean",
        }
    }
}

pub fn load(root: &Root) -> Result<Loaded<Journal>, FsError> {
    record::load(root, JOURNAL)
}

/// Whether an apply is under way or was cut off.
pub fn is_there(root: &Root) -> Result<bool, FsError> {
    Ok(root.stat(JOURNAL)?.is_some())
}

pub fn save(root: &Root, journal: &Journal) -> Result<(), FsError> {
    record::save(root, JOURNAL, journal)
}
