//! [`Facts`]: what is remembered of a pack across restarts, besides what lies in its folder.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::job::{Checked, Found, InTrash};
use crate::disk::layout::Marker;
use crate::model::manifest::InfoHash;
use crate::model::release::{Digest, Release};
use crate::model::report::{ApplyReport, CleanReport, Summary, VerifyReport, rfc3339};
use crate::model::snapshot::{Question, Removed, Verdict};
use crate::net::remote::Validators;

/// The name of the record in a pack's state folder.
pub const RECORD: &str = "facts";

/// How often a day one and the same release is applied by itself.
const TURNS: usize = 2;
/// How long a turn counts.
const DAY: Duration = Duration::from_hours(24);
/// No more turns than these are remembered.
const MOST_TURNS: usize = 64;

/// What is remembered of a pack across restarts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// The mark we left in the folder; without it the folder is not the one we know.
    pub marker: Option<Marker>,
    pub origin: Origin,
    /// As the baseline said when it was last read.
    pub installed: Option<Release>,
    /// A release that is not installed: an update that waits.
    pub offered: Option<Release>,
    /// The release the user went back from. It is applied again only when asked for.
    pub held: Option<Digest>,
    /// The release that the folder says was gone back from, when that is taken in here already.
    pub went_back_from: Option<Digest>,
    /// What applying the offered release would do, as far as it was worked out.
    pub summary: Option<Summary>,
    /// What a person must decide, about the plan that was last shown.
    pub question: Option<Question>,
    pub paused: bool,
    pub last_apply: Option<ApplyReport>,
    pub last_verify: Option<Verdict>,
    /// Files that no release names, when they were counted last.
    pub extras: Option<u64>,
    /// Whether the trash has the previous release.
    pub can_go_back: bool,
    /// What the last clean moved to the trash, while it is there.
    pub removed: Option<Removed>,
    /// Faults in a row, for the back-off.
    pub failures: u32,
    /// What was applied in the last day, the oldest first.
    pub turns: Vec<Turn>,
}

/// A release came into the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    pub info_hash: InfoHash,
    #[serde(with = "rfc3339")]
    pub when: SystemTime,
}

/// What the origin said last.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    pub validators: Validators,
    /// The release it published when we last looked.
    pub digest: Option<Digest>,
    #[serde(with = "rfc3339::option")]
    pub checked: Option<SystemTime>,
    /// When the whole body was last read, since a server may answer "not modified" wrongly.
    #[serde(with = "rfc3339::option")]
    pub read: Option<SystemTime>,
}

impl Facts {
    /// Takes in what the folder says.
    pub fn recovered(&mut self, found: Found, now: SystemTime) {
        if let Some(report) = &found.finished {
            self.had_its_turn(&report.release, now);
        }
        self.marker = found.marker.or(self.marker.take());
        let digest = |release: &Option<Release>| release.as_ref().map(|release| release.digest);
        if digest(&self.installed) != digest(&found.installed) {
            self.forget_what_was_seen();
        }
        self.installed = found.installed;
        self.in_trash(found.in_trash);
        self.last_apply = found.finished.or(self.last_apply.take());
        // A release that the origin has withdrawn since is neither offered nor held.
        let published = self.origin.digest;
        let from = found.went_back_from;
        let from = from.filter(|from| published.is_none_or(|digest| digest == from.digest));
        let is_known = from.as_ref().map(|from| from.digest) == self.went_back_from;
        if let Some(from) = from.filter(|_| !is_known) {
            self.went_back_from = Some(from.digest);
            let offered = self.offered.get_or_insert_with(|| from.clone());
            if offered.digest == from.digest {
                self.held = Some(from.digest);
            }
        }
        self.forget_offered_if_installed();
        let installed = self.installed.as_ref().map(|release| release.digest);
        if self.offered.is_none() && published.is_some() && published != installed {
            // What the origin publishes is neither installed nor known any more: read it anew.
            self.origin = Origin::default();
        }
    }

    /// Takes in what the origin said; `true` if it offers another release than before.
    pub fn checked(&mut self, checked: Checked, now: SystemTime) -> bool {
        self.origin.checked = Some(now);
        if checked.full {
            self.origin.read = Some(now);
        }
        if let Some(validators) = checked.validators {
            self.origin.validators = validators;
        }
        if let Some(in_trash) = checked.in_trash {
            self.in_trash(in_trash);
        }
        let Some(release) = checked.release else { return false };
        self.origin.digest = Some(release.digest);
        if self.offered.as_ref().is_some_and(|offered| offered.digest == release.digest) {
            return false;
        }
        if self.held.is_some_and(|held| held != release.digest) {
            self.held = None;
        }
        self.summary = None;
        self.question = None;
        self.offered = Some(release);
        self.forget_offered_if_installed();
        true
    }

    pub fn applied(
        &mut self,
        report: &ApplyReport,
        marker: Marker,
        in_trash: InTrash,
        now: SystemTime,
    ) {
        self.had_its_turn(&report.release, now);
        self.marker = Some(marker);
        self.in_trash(in_trash);
        self.last_verify = None;
        self.installed = Some(report.release.clone());
        self.last_apply = Some(report.clone());
        self.question = None;
        self.went_back_from = None;
        if self.held == Some(report.release.digest) {
            self.held = None;
        }
        self.forget_offered_if_installed();
    }

    /// The release the user went back from is held. What the origin offers is not forgotten for it.
    pub fn rolled_back(&mut self, report: &ApplyReport, from: Release, in_trash: InTrash) {
        self.in_trash(in_trash);
        self.extras = None;
        self.installed = Some(report.release.clone());
        self.last_apply = Some(report.clone());
        self.went_back_from = Some(from.digest);
        let offered = self.offered.get_or_insert(from);
        self.held = Some(offered.digest);
        self.summary = None;
        self.question = None;
    }

    pub fn verified(&mut self, report: &VerifyReport, now: SystemTime) {
        self.extras = Some(report.extra.len() as u64);
        self.last_verify = Some(Verdict {
            when: now,
            files: report.files,
            problems: report.problems.len() as u64,
            bad_bytes: report.bad_bytes,
        });
    }

    pub fn cleaned(&mut self, report: &CleanReport) {
        let left = if report.dry_run { report.moved.len() } else { 0 };
        self.extras = Some(left as u64);
    }

    /// Takes in what the trash can give back.
    pub fn in_trash(&mut self, found: InTrash) {
        self.can_go_back = found.can_go_back;
        self.removed = found.removed;
    }

    /// The mark that the folder must have: without one, nothing of ours can be lost there.
    pub fn known_marker(&self) -> Option<&Marker> {
        self.marker.as_ref().filter(|_| self.installed.is_some())
    }

    pub fn is_held(&self) -> bool {
        let offered = self.offered.as_ref().map(|offered| offered.digest);
        self.installed.is_some() && offered.is_some() && offered == self.held
    }

    /// Whether the origin goes back and forth: the release it offers was applied in the last day as often
    /// as that is done without being asked.
    pub fn is_back_too_often(&self, now: SystemTime) -> bool {
        self.offered.as_ref().is_some_and(|offered| {
            let turns = self.turns.iter().filter(|turn| turn.info_hash == offered.info_hash);
            turns.filter(|turn| turn.counts(now)).count() >= TURNS
        })
    }

    fn had_its_turn(&mut self, release: &Release, now: SystemTime) {
        let is_repair = self.installed.as_ref().is_some_and(|r| r.digest == release.digest);
        if is_repair {
            return;
        }
        self.turns.retain(|turn| turn.counts(now));
        self.turns.push(Turn { info_hash: release.info_hash, when: now });
        let excess = self.turns.len().saturating_sub(MOST_TURNS);
        self.turns.drain(..excess);
    }

    /// The release to make the folder equal to, and whether a look at lengths and times will do.
    pub fn target(&self, even_held: bool) -> Option<(Release, bool)> {
        let offered = self.offered.clone().filter(|_| even_held || !self.is_held());
        offered
            .map(|release| (release, false))
            .or_else(|| self.installed.clone().map(|release| (release, true)))
    }

    /// What was worked out about the folder is about another release.
    fn forget_what_was_seen(&mut self) {
        self.summary = None;
        self.question = None;
        self.extras = None;
        self.last_verify = None;
    }

    fn forget_offered_if_installed(&mut self) {
        let digest = |release: &Option<Release>| release.as_ref().map(|r| r.digest);
        if self.installed.is_some() && digest(&self.offered) == digest(&self.installed) {
            self.offered = None;
            self.summary = None;
            self.question = None;
        }
    }
}

impl Turn {
    /// One from the future is of a clock that went wrong.
    fn counts(&self, now: SystemTime) -> bool {
        now.duration_since(self.when).is_ok_and(|age| age < DAY)
    }
}
