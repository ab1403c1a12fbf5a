//! A [`Job`] → what it does → an [`Outcome`] or a [`Fault`].
//!
//! Jobs decide nothing: they open folders, call `disk` and `net`, and report. What touches the disk
//! runs on a thread of its own.

mod change;
mod check;
mod download;
mod fetch;
mod look;
mod patience;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;

use super::facts::Facts;
use super::job::{Job, Outcome};
use super::progress::ProgressCell;
use super::session::Session;
use crate::disk::baseline::KnownHead;
use crate::disk::fs::Root;
use crate::disk::layout;
use crate::disk::pace::Pace;
use crate::disk::parts::both;
use crate::disk::verify::Cancel;
use crate::heap;
use crate::model::fault::{Fault, FaultKind};
use crate::model::manifest::{InfoHash, Manifest};
use crate::model::pack::PackConfig;
use crate::model::release::{Digest, Release};
use crate::net::http::Http;
use crate::origin::metainfo::{self, MetainfoError};

/// A `.torrent` of ours is never larger than what the origin may send.
const MAX_TORRENT: u64 = metainfo::MAX_BYTES as u64;

/// What a job works with.
#[derive(Debug, Clone)]
pub struct Context {
    pub config: PackConfig,
    /// The folders of the other packs.
    pub neighbours: Vec<PathBuf>,
    /// How hard the folder is read.
    pub pace: Pace,
    /// As they were when the job began.
    pub facts: Facts,
    pub known_head: Arc<KnownHead>,
    /// The pack's state folder.
    pub state: Arc<Root>,
    pub http: Arc<Http>,
    pub session: Arc<Session>,
    /// A fetch without any progress for so long gives up.
    pub give_up_after: Duration,
    pub cancel: Arc<Cancel>,
    pub progress: Arc<ProgressCell>,
}

impl Context {
    /// Whether the folder has another release than we know of: somebody else of us was at work there.
    fn is_news(&self, found: Option<&Release>) -> bool {
        let installed = self.facts.installed.as_ref().map(|release| release.digest);
        found.is_some_and(|found| Some(found.digest) != installed)
    }

    /// The offered release.
    fn offered_hash(&self) -> Option<InfoHash> {
        self.facts.offered.as_ref().map(|release| release.info_hash)
    }
}

/// Does a job. Where the folder has another release than we knew of, that is all it brings.
pub async fn run(job: Job, context: Context) -> Result<Outcome, Fault> {
    let done = carry_out(job, context).await;
    // The next one may be long in coming.
    heap::give_back_aside();
    done
}

async fn carry_out(job: Job, context: Context) -> Result<Outcome, Fault> {
    match job {
        Job::Check { full } => check::check(&context, full).await,
        Job::Fetch(planned) => fetch::fetch(&context, planned).await,
        Job::Recover => on_disk(move || change::recover(&context)).await,
        Job::Scan { release, look } => on_disk(move || look::scan(&context, release, look)).await,
        Job::Apply(planned, fetched) => {
            on_disk(move || change::apply_update(&context, &planned, &fetched)).await
        }
        Job::Verify { release } => on_disk(move || verify::verify(&context, release)).await,
        Job::Clean { release, dry_run, automatic } => {
            on_disk(move || change::clean(&context, release, dry_run, automatic)).await
        }
        Job::Rollback => on_disk(move || change::roll_back(&context)).await,
        Job::Trash => on_disk(move || change::list_trash(&context)).await,
        Job::Restore { entry } => on_disk(move || change::restore(&context, &entry)).await,
    }
}

/// Gives blocking work a thread of its own. A panic in it is a fault of this job alone.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let ended = spawn_blocking(work).await;
    ended.unwrap_or_else(|e| Err(Fault::bug(format!("a job ended early: {e}"))))
}

/// The `.torrent` of a release we know, from the state folder or the pack's own, and what it says. That it is the right one
/// is made sure of while it is read.
fn torrent_of(
    context: &Context,
    root: Option<&Root>,
    release: &Release,
) -> Result<(Vec<u8>, Manifest), Fault> {
    let mut found = context.state.read(kept_torrent(release.digest), MAX_TORRENT)?;
    if found.is_none()
        && let Some(root) = root
    {
        found = root.read(layout::release(release.digest), MAX_TORRENT)?;
    }
    let is_gone = || {
        Fault::new(
            FaultKind::StateDamaged,
            format!("the torrent of {} is no longer on this machine", release.label()),
            "Run `modsync sync` to fetch it again.",
        )
    };
    let torrent = found.ok_or_else(is_gone)?;
    let is_it = || Sha256::digest(&torrent)[..] == release.digest.0;
    match both(is_it, || read_torrent(&torrent)) {
        (true, manifest) => Ok((torrent, manifest?)),
        (false, _) => Err(is_gone()),
    }
}

fn read_torrent(bytes: &[u8]) -> Result<Manifest, Fault> {
    metainfo::parse(bytes).map_err(|e| {
        let hint = if e == MetainfoError::WebPage {
            "Open the pack's address in a browser: a network that wants a login answers so. Otherwise ask the \
             pack's admin to publish a correct torrent."
        } else {
            "Ask the pack's admin to publish a correct torrent; what is installed stays."
        };
        Fault::new(FaultKind::BadMetainfo, format!("the torrent was refused: {e}"), hint)
    })
}

fn kept_torrent(digest: Digest) -> String {
    format!("releases/{digest}.torrent")
}
