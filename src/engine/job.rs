//! What passes between the machine and its jobs: the work wanted, and what it brought.

use std::sync::Arc;

use bytes::Bytes;

use crate::disk::arrived::Arrived;
use crate::disk::complete::Staged;
use crate::disk::layout::Marker;
use crate::disk::plan::Plan;
use crate::disk::reuse::Recipes;
use crate::model::fault::Fault;
use crate::model::manifest::Manifest;
use crate::model::release::Release;
use crate::model::report::{
    ApplyReport, CleanReport, PlanReport, RestoreReport, TrashEntry, VerifyReport,
};
use crate::model::snapshot::Removed;
use crate::net::remote::Validators;

/// One piece of work.
#[derive(Debug)]
pub enum Job {
    /// Finish what a crash cut off, and read the baseline.
    Recover,
    Check {
        full: bool,
    },
    /// Look at the folder and plan for a release.
    Scan {
        release: Release,
        look: Look,
    },
    /// Get the missing pieces and complete the new content.
    Fetch(Arc<Planned>),
    Apply(Arc<Planned>, Arc<Fetched>),
    Verify {
        release: Release,
    },
    Clean {
        release: Release,
        dry_run: bool,
        automatic: bool,
    },
    Rollback,
    Trash,
    Restore {
        entry: String,
    },
}

/// How closely a folder is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Only whether all files look as they were installed; trusting when they do not.
    Quick,
    /// What looks as it was installed is not read.
    Trusting,
    /// Every byte is read.
    Whole,
}

/// A plan with what is needed to carry it out.
#[derive(Debug)]
pub struct Planned {
    pub plan: Plan,
    pub manifest: Arc<Manifest>,
    /// The `.torrent`.
    pub torrent: Bytes,
    /// Where on this machine pieces lie that the folder lacks.
    pub elsewhere: Recipes,
    /// Pieces that came since the plan was made: a fetch that is tried again leaves them out.
    pub arrived: Arc<Arrived>,
}

impl Planned {
    /// What it would do, in words for people. Of a large pack it is large.
    pub fn report(&self) -> PlanReport {
        self.plan.report(&self.manifest)
    }
}

/// New content, ready to be applied.
#[derive(Debug)]
pub struct Fetched {
    pub staged: Staged,
    /// Bytes that came from peers.
    pub downloaded: u64,
    pub marker: Marker,
}

/// What a job brought.
#[derive(Debug)]
pub enum Outcome {
    Recovered(Found),
    Checked(Checked),
    /// The folder looks as the baseline says.
    AsInstalled,
    Scanned(Arc<Planned>),
    Fetched(Fetched),
    Applied {
        report: ApplyReport,
        marker: Marker,
        in_trash: InTrash,
    },
    /// Asked to stop in the middle; the journal stays.
    Interrupted,
    /// With the plan that puts the problems right, if there are any.
    Verified(VerifyReport, Option<Arc<Planned>>),
    Cleaned {
        report: CleanReport,
        /// `None`: the trash is as it was.
        in_trash: Option<InTrash>,
    },
    RolledBack {
        report: ApplyReport,
        from: Release,
        in_trash: InTrash,
    },
    Trash(Vec<TrashEntry>),
    Restored {
        report: RestoreReport,
        in_trash: Option<InTrash>,
    },
}

/// What the trash can give back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InTrash {
    /// Whether it has the previous release.
    pub can_go_back: bool,
    /// What the last clean moved there.
    pub removed: Option<Removed>,
}

/// What a look at the folder's own records brought.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    pub installed: Option<Release>,
    /// The release the user went back from to the installed one.
    pub went_back_from: Option<Release>,
    pub in_trash: InTrash,
    pub marker: Option<Marker>,
    /// An apply that was cut off and is finished now.
    pub finished: Option<ApplyReport>,
    /// Whether that was a rollback.
    pub went_back: bool,
    /// Whether something that was cut off was finished or put back.
    pub changed: bool,
}

/// What the origin said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// `None`: the same as last time.
    pub release: Option<Release>,
    pub validators: Option<Validators>,
    /// Whether the whole body was read.
    pub full: bool,
    /// What is left in the trash, if it was emptied.
    pub in_trash: Option<InTrash>,
    /// Why the folder is not there, where something is installed.
    pub gone: Option<Fault>,
}
