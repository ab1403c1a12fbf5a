//! A [`Job`] → what it does → an [`Outcome`] or a [`Fault`].
//!
//! Jobs decide nothing: they open folders, call `disk` and `net`, and report. What touches the disk
//! runs on a thread of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;

use super::facts::Facts;
use super::machine::{Checked, Fetched, Job, Outcome, Planned};
use super::progress::ProgressCell;
use super::session::Session;
use crate::disk::baseline::{self, Baseline};
use crate::disk::content::Live;
use crate::disk::fs::Root;
use crate::disk::inventory::{self, ScanError};
use crate::disk::journal::{self, Journal, Reason};
use crate::disk::layout::{self, LockedFolder};
use crate::disk::plan::{self, Action, Given, Plan};
use crate::disk::record::Loaded;
use crate::disk::staging::{self, Staged, Staging};
use crate::disk::verify::Cancel;
use crate::disk::{apply, trash};
use crate::model::fault::{Fault, FaultKind};
use crate::model::manifest::{Manifest, PieceSet};
use crate::model::pack::PackConfig;
use crate::model::release::{Digest, Release};
use crate::model::report::{
    ApplyReport, CleanReport, FileLine, Problem, ProblemKind, VerifyReport,
};
use crate::model::snapshot::{Progress, Unit};
use crate::net::http::{self, Http};
use crate::net::remote::{self, Fetched as Body};
use crate::net::swarm::{self, PackStorage, Standing, Torrent};
use crate::origin::metainfo;

/// A `.torrent` of ours is never larger than what the origin may send.
const MAX_TORRENT: u64 = metainfo::MAX_BYTES as u64;
/// Left free on the disk besides what the new content needs, in bytes.
const SPARE_ROOM: u64 = 16 << 20;
/// How often a fetch is looked at.
const TICK: Duration = Duration::from_millis(200);

/// What a job works with.
#[derive(Debug, Clone)]
pub struct Context {
    pub config: PackConfig,
    /// As they were when the job began.
    pub facts: Facts,
    /// The pack's state folder.
    pub state: Arc<Root>,
    pub http: Arc<Http>,
    pub session: Arc<Session>,
    /// A fetch without any progress for so long gives up.
    pub give_up_after: Duration,
    pub cancel: Arc<Cancel>,
    pub progress: Arc<ProgressCell>,
}

/// Does a job.
pub async fn run(job: Job, context: Context) -> Result<Outcome, Fault> {
    match job {
        Job::Check { full } => check(&context, full).await,
        Job::Fetch(planned) => fetch(&context, planned).await,
        job => spawn_blocking(move || run_on_disk(job, &context))
            .await
            .unwrap_or_else(|e| Err(Fault::bug(format!("a job ended early: {e}")))),
    }
}

fn run_on_disk(job: Job, context: &Context) -> Result<Outcome, Fault> {
    match job {
        Job::Recover => recover(context),
        Job::Scan { release, quick } => scan(context, release, quick),
        Job::Apply(planned, fetched) => apply_update(context, &planned, &fetched),
        Job::Verify { release } => verify(context, release),
        Job::Clean { release, dry_run } => clean(context, release, dry_run),
        Job::Rollback => roll_back(context),
        Job::Trash => list_trash(context),
        Job::Restore { entry } => restore(context, &entry),
        Job::Check { .. } | Job::Fetch(_) => Err(Fault::bug("not a job for the disk")),
    }
}

async fn check(context: &Context, full: bool) -> Result<Outcome, Fault> {
    let url = &context.config.url;
    let known = context.facts.origin.digest.filter(|_| !full);
    let condition = known.map(|_| &context.facts.origin.validators);
    let body = remote::fetch(&context.http, url, condition).await.map_err(|e| e.fault(url))?;
    let (bytes, validators) = match body {
        Body::Unchanged => {
            return Ok(Outcome::Checked(Checked { release: None, validators: None, full: false }));
        }
        Body::Bytes { bytes, validators } => (bytes, validators),
    };
    let digest = Digest(Sha256::digest(&bytes).into());
    let validators = Some(validators);
    if context.facts.origin.digest == Some(digest) {
        return Ok(Outcome::Checked(Checked { release: None, validators, full: true }));
    }
    let state = Arc::clone(&context.state);
    let release = spawn_blocking(move || accept(&state, digest, &bytes))
        .await
        .map_err(|e| Fault::bug(format!("reading a torrent ended early: {e}")))?
        .map_err(|fault| Fault {
            what: format!("{}: {}", http::shown(url), fault.what),
            ..fault
        })?;
    Ok(Outcome::Checked(Checked { release: Some(release), validators, full: true }))
}

/// Takes a `.torrent` if every rule allows it, and keeps it.
fn accept(state: &Root, digest: Digest, bytes: &[u8]) -> Result<Release, Fault> {
    let manifest = read_torrent(bytes)?;
    swarm::agrees(bytes, &manifest)?;
    state.create_dir_all("releases")?;
    for (name, _) in state.list("releases")? {
        state.remove_file_if_there(std::path::Path::new("releases").join(name))?;
    }
    state.write_atomic(kept_torrent(digest), bytes)?;
    Ok(Release {
        digest,
        info_hash: manifest.info_hash,
        name: manifest.name.clone(),
        length: manifest.content_length(),
        files: manifest.files().count() as u64,
        seen: SystemTime::now(),
    })
}

fn read_torrent(bytes: &[u8]) -> Result<Manifest, Fault> {
    metainfo::parse(bytes).map_err(|e| {
        let hint = "Ask the pack's admin to publish a correct torrent; what is installed stays.";
        Fault::new(FaultKind::BadMetainfo, format!("the torrent was refused: {e}"), hint)
    })
}

fn kept_torrent(digest: Digest) -> String {
    format!("releases/{digest}.torrent")
}

/// The `.torrent` of a release we know, from the state folder or the pack's own.
fn torrent_of(context: &Context, root: Option<&Root>, release: &Release) -> Result<Vec<u8>, Fault> {
    let mut found = context.state.read(kept_torrent(release.digest), MAX_TORRENT)?;
    if found.is_none()
        && let Some(root) = root
    {
        found = root.read(layout::release(release.digest), MAX_TORRENT)?;
    }
    found.filter(|bytes| Sha256::digest(bytes)[..] == release.digest.0).ok_or_else(|| {
        Fault::new(
            FaultKind::StateDamaged,
            format!("the torrent of {} is no longer on this machine", release.label()),
            "Run `modsync sync` to fetch it again.",
        )
    })
}

fn recover(context: &Context) -> Result<Outcome, Fault> {
    let (config, known) = (&context.config, context.facts.marker.as_ref());
    let Some(root) = layout::look(&config.folder, known)? else {
        return Ok(Outcome::Recovered { installed: None, marker: None, finished: None });
    };
    if root.stat(layout::OWN_FOLDER)?.is_none() {
        return Ok(Outcome::Recovered { installed: None, marker: None, finished: None });
    }
    let LockedFolder { root, marker, .. } = &layout::lock(&config.folder, known)?;
    let steps = |done| context.progress.set(done, 0, Unit::Steps);
    let finished = match apply::recover(root, &context.cancel, &steps)? {
        apply::Recovered::Nothing => None,
        apply::Recovered::Finished(journal) => {
            tracing::info!(pack = config.name, "finished what was cut off");
            report_of(&journal)
        }
        apply::Recovered::PutBack(_) => {
            tracing::warn!(
                pack = config.name,
                "put back what was cut off: new content was damaged"
            );
            None
        }
        apply::Recovered::JournalDamaged => {
            tracing::warn!(
                pack = config.name,
                "the journal was damaged; every file is looked at anew"
            );
            None
        }
        apply::Recovered::Interrupted => return Err(Fault::cancelled()),
    };
    expire_trash(context, root);
    let installed = match baseline::load(root)? {
        Loaded::Value(baseline) => Some(baseline.release),
        Loaded::Absent => None,
        Loaded::Damaged(path) => {
            tracing::warn!(
                pack = config.name,
                "the list of installed files was damaged and kept as `{}`; nothing is removed until \
                 the next update was applied",
                path.display()
            );
            None
        }
    };
    Ok(Outcome::Recovered { installed, marker: Some(marker.clone()), finished })
}

fn report_of(journal: &Journal) -> Option<ApplyReport> {
    let count =
        |of: fn(&journal::Step) -> bool| journal.steps.iter().filter(|s| of(s)).count() as u64;
    Some(ApplyReport {
        release: journal.release.clone()?,
        added: count(|step| matches!(step, journal::Step::Put { was: None, .. })),
        changed: count(|step| matches!(step, journal::Step::Put { was: Some(_), .. })),
        removed: count(|step| matches!(step, journal::Step::Remove { .. })),
        downloaded_bytes: 0,
        when: SystemTime::now(),
    })
}

/// Looks at the folder and plans. Nothing is changed.
fn scan(context: &Context, release: Release, quick: bool) -> Result<Outcome, Fault> {
    let root = layout::look(&context.config.folder, context.facts.marker.as_ref())?;
    let baseline = root.as_deref().map(baseline::peek).transpose()?.flatten();
    if let (true, Some(root), Some(baseline)) = (quick, &root, &baseline)
        && looks_installed(root, baseline, &context.config)?
    {
        return Ok(Outcome::AsInstalled);
    }
    let planned = plan_for(context, root, baseline, release)?;
    Ok(Outcome::Scanned(Arc::new(planned)))
}

fn looks_installed(root: &Root, baseline: &Baseline, config: &PackConfig) -> Result<bool, Fault> {
    for (path, installed) in &baseline.files {
        if config.policy.keep.matches(path) {
            continue;
        }
        if !root.stat(path)?.is_some_and(|stat| installed.looks_like(stat)) {
            return Ok(false);
        }
    }
    Ok(baseline.files.len() as u64 == baseline.release.files)
}

fn plan_for(
    context: &Context,
    root: Option<Arc<Root>>,
    baseline: Option<Baseline>,
    release: Release,
) -> Result<Planned, Fault> {
    let torrent = torrent_of(context, root.as_deref(), &release)?;
    let manifest = Arc::new(read_torrent(&torrent)?);
    context.progress.set(0, manifest.stream_length, Unit::Bytes);
    let scan = match root {
        Some(root) => {
            let done = |done| context.progress.set(done, manifest.stream_length, Unit::Bytes);
            inventory::scan(&root, &manifest, &context.cancel, &done)?
        }
        None => inventory::Scan::of_nothing(&manifest),
    };
    let plan = plan::plan(Given {
        release: &release,
        manifest: &manifest,
        scan: &scan,
        baseline: baseline.as_ref(),
        policy: &context.config.policy,
    })?;
    let report = plan.report(&manifest);
    Ok(Planned { plan, manifest, torrent, report })
}

/// Gets the missing pieces and completes the new content.
async fn fetch(context: &Context, planned: Arc<Planned>) -> Result<Outcome, Fault> {
    let opened = {
        let (context, planned) = (context.clone(), Arc::clone(&planned));
        spawn_blocking(move || open_for_fetch(&context, &planned))
    };
    let folder =
        opened.await.map_err(|e| Fault::bug(format!("opening a folder ended early: {e}")))??;
    let root = Arc::clone(&folder.root);
    let downloaded = if planned.plan.missing.count() == 0 {
        0
    } else {
        download(context, &planned, &root).await?
    };
    let context = context.clone();
    let completed = spawn_blocking(move || {
        let staging = Staging::create(Arc::clone(&root), Arc::clone(&planned.manifest))?;
        let total = planned.plan.download_bytes.max(1);
        let done = |_| context.progress.set(total, total, Unit::Bytes);
        let staged = staging::complete(&planned.plan, &staging, &context.cancel, &done)?;
        Ok(Outcome::Fetched(Box::new(Fetched {
            staged,
            downloaded,
            marker: folder.marker.clone(),
        })))
    });
    completed.await.map_err(|e| Fault::bug(format!("completing the new files ended early: {e}")))?
}

fn open_for_fetch(context: &Context, planned: &Planned) -> Result<LockedFolder, Fault> {
    let folder = layout::lock(&context.config.folder, context.facts.marker.as_ref())?;
    let root = &folder.root;
    for (name, _) in root.list(layout::STAGING)? {
        if name.to_str() != Some(&planned.manifest.info_hash.to_string()) {
            root.remove_tree(std::path::Path::new(layout::STAGING).join(name))?;
        }
    }
    let needed = planned.plan.disk_bytes;
    let available = root.available_space()?;
    if needed > 0 && available < needed + SPARE_ROOM {
        return Err(Fault::new(
            FaultKind::DiskFull,
            format!(
                "could not fetch {}: it needs {} free in `{}`, and there are {}",
                planned.plan.release.label(),
                bytesize::ByteSize(needed + SPARE_ROOM),
                root.path().display(),
                bytesize::ByteSize(available)
            ),
            crate::disk::fs::hint(FaultKind::DiskFull),
        ));
    }
    Ok(folder)
}

/// Fetches the missing pieces into staging. Returns the bytes that came from peers.
async fn download(context: &Context, planned: &Planned, root: &Arc<Root>) -> Result<u64, Fault> {
    let (plan, manifest) = (&planned.plan, &planned.manifest);
    let mut have = PieceSet::all(manifest.pieces.len());
    plan.missing.iter().for_each(|piece| have.remove(piece));
    for &entry in plan.edits.keys() {
        let only_of_edits = |piece: usize| !plan.wanted.contains(piece);
        manifest
            .pieces_of(entry)
            .filter(|&p| only_of_edits(p))
            .for_each(|piece| have.remove(piece));
    }
    let storage = Arc::new(PackStorage::fetching(
        Arc::clone(manifest),
        Live::new(Arc::clone(root), Arc::clone(manifest)),
        Staging::create(Arc::clone(root), Arc::clone(manifest))?,
        plan.wanted.clone(),
    ));
    let swarm = context.session.swarm().await?;
    let joined = swarm
        .add(Torrent {
            bytes: planned.torrent.clone(),
            have,
            unwanted: plan.edits.keys().copied().collect(),
            storage,
            peers: addresses(&context.config.peers).await,
        })
        .await?;
    let mut patience = Patience::new(context.give_up_after);
    let result = loop {
        let standing = joined.standing();
        context.progress.show(fetch_progress(&standing, plan.download_bytes));
        if context.cancel.is_cancelled() {
            break Err(Fault::cancelled());
        }
        if let Some(fault) = standing.failure {
            break Err(fault);
        }
        if standing.finished {
            break Ok(standing.fetched_bytes);
        }
        if let Err(fault) = patience.look(&standing, &plan.release) {
            break Err(fault);
        }
        tokio::time::sleep(TICK).await;
    };
    swarm.remove(manifest.info_hash).await;
    result
}

fn fetch_progress(standing: &Standing, total: u64) -> Progress {
    Progress {
        done: standing.verified_bytes.min(total),
        total,
        unit: Unit::Bytes,
        rate: standing.download_rate,
        peers: Some(standing.peers),
    }
}

/// Gives up when nothing has come for too long.
struct Patience {
    limit: Duration,
    last_bytes: u64,
    since: Instant,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self { limit, last_bytes: 0, since: Instant::now() }
    }

    fn look(&mut self, standing: &Standing, release: &Release) -> Result<(), Fault> {
        if standing.fetched_bytes > self.last_bytes {
            self.last_bytes = standing.fetched_bytes;
            self.since = Instant::now();
        }
        if self.since.elapsed() < self.limit {
            return Ok(());
        }
        let why = match standing.peers {
            0 => "nobody who has it can be reached".to_owned(),
            n => format!("none of {n} connected peers sent anything for {:?}", self.limit),
        };
        Err(Fault::new(
            FaultKind::NoPeers,
            format!("could not fetch {}: {why}", release.label()),
            "ModSync keeps what it has and tries again by itself; ask the admin whether a seeder runs.",
        ))
    }
}

/// Resolves `host:port`s. One that cannot be resolved is left out: another peer may do.
pub async fn addresses(peers: &[String]) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for peer in peers {
        match tokio::net::lookup_host(peer).await {
            Ok(addresses) => found.extend(addresses),
            Err(error) => tracing::warn!(peer, "could not resolve a peer: {error}"),
        }
    }
    found
}

fn apply_update(context: &Context, planned: &Planned, fetched: &Fetched) -> Result<Outcome, Fault> {
    let folder = layout::lock(&context.config.folder, Some(&fetched.marker))?;
    let root = &folder.root;
    let plan = &planned.plan;
    let before = baseline::peek(root)?;
    root.create_dir_all(layout::RELEASES)?;
    root.write_atomic(layout::release(plan.release.digest), &planned.torrent)?;
    let now = SystemTime::now();
    let id = trash::new_id(root, now)?;
    let is_repair = before.as_ref().is_some_and(|b| b.release.digest == plan.release.digest);
    let undoes = if is_repair {
        before.as_ref().and_then(|b| b.applied_as.clone())
    } else {
        Some(id.clone())
    };
    let next = Baseline {
        release: plan.release.clone(),
        files: next_files(plan, &planned.manifest, before.as_ref(), &fetched.staged),
        applied_as: undoes,
    };
    let journal = Journal {
        id,
        when: now,
        reason: if is_repair { Reason::Repair } else { Reason::Update },
        release: Some(plan.release.clone()),
        before: before.map(|b| b.release),
        links: apply::can_link(root, &layout::release(plan.release.digest))?,
        steps: journal::steps_of(plan, &fetched.staged),
    };
    if let Some(outcome) = carry_out(context, root, &journal, Some(&next))? {
        return Ok(outcome);
    }
    forget_old_torrents(root, &next)?;
    expire_trash(context, root);
    let report = ApplyReport {
        downloaded_bytes: fetched.downloaded,
        ..report_of(&journal).ok_or_else(|| Fault::bug("an update without a release"))?
    };
    Ok(Outcome::Applied { report, marker: folder.marker.clone() })
}

/// Carries a journal out, with progress. `Some` when it was interrupted.
fn carry_out(
    context: &Context,
    root: &Root,
    journal: &Journal,
    next: Option<&Baseline>,
) -> Result<Option<Outcome>, Fault> {
    let total = journal.steps.len() as u64;
    let done = |done| context.progress.set(done, total, Unit::Steps);
    Ok(match apply::apply(root, journal, next, &context.cancel, &done)? {
        apply::Applied::Finished => None,
        apply::Applied::Interrupted => Some(Outcome::Interrupted),
    })
}

fn next_files(
    plan: &Plan,
    manifest: &Manifest,
    before: Option<&Baseline>,
    staged: &Staged,
) -> std::collections::BTreeMap<crate::model::path::RelPath, baseline::Installed> {
    let mut files = plan.staying(manifest, before);
    files.extend(staged.unchanged.iter().map(|(path, stat)| (path.clone(), (*stat).into())));
    files.extend(staged.files.iter().map(|(path, file)| (path.clone(), file.looks)));
    files
}

/// Keeps the `.torrent` of the installed release and of those a rollback can reach.
fn forget_old_torrents(root: &Root, baseline: &Baseline) -> Result<(), Fault> {
    let mut needed = vec![baseline.release.digest];
    let mut entry = baseline.applied_as.clone();
    while let Some(id) = entry.take() {
        if let Some(older) = trash::baseline_of(root, &id)?
            && !needed.contains(&older.release.digest)
        {
            needed.push(older.release.digest);
            entry = older.applied_as;
        }
    }
    for (name, _) in root.list(layout::RELEASES)? {
        let is_needed = needed.iter().any(|d| name.to_str() == Some(&format!("{d}.torrent")));
        if !is_needed {
            root.remove_file_if_there(std::path::Path::new(layout::RELEASES).join(name))?;
        }
    }
    Ok(())
}

/// The trash is emptied beside other work; that it could not be is no reason to fail that.
fn expire_trash(context: &Context, root: &Root) {
    let policy = &context.config.policy;
    if let Err(error) = trash::expire(root, policy.trash_age, policy.trash_size, SystemTime::now())
    {
        tracing::warn!(pack = context.config.name, "could not empty the trash: {error}");
    }
}

fn verify(context: &Context, release: Release) -> Result<Outcome, Fault> {
    let root = layout::look(&context.config.folder, context.facts.marker.as_ref())?;
    let baseline = root.as_deref().map(baseline::peek).transpose()?.flatten();
    let planned = plan_for(context, root, baseline, release)?;
    let plan = &planned.plan;
    let problems = plan
        .actions
        .iter()
        .filter_map(|(&entry, action)| {
            let entry = planned.manifest.entries.get(entry)?;
            let path = entry.path.as_ref()?.to_string();
            let obstacle = plan.obstacles.contains_key(&path);
            let kind = problem(*action, entry.length, obstacle)?;
            Some(Problem { path, kind })
        })
        .collect();
    let report = VerifyReport {
        release: plan.release.clone(),
        files: plan.release.files,
        problems,
        kept: planned.report.kept.clone(),
        extra: planned.report.extra.clone(),
        bad_bytes: plan.wanted.iter().map(|piece| planned.manifest.piece_size(piece)).sum(),
        repaired: None,
    };
    Ok(Outcome::Verified(report, Arc::new(planned)))
}

fn problem(action: Action, length: u64, obstacle: bool) -> Option<ProblemKind> {
    match action {
        Action::Add if obstacle => Some(ProblemKind::Modified),
        Action::Add => Some(ProblemKind::Missing),
        Action::Change(stat) if stat.length < length => Some(ProblemKind::Truncated),
        Action::Change(stat) if stat.length == length => Some(ProblemKind::Corrupt),
        Action::Change(_) => Some(ProblemKind::Modified),
        Action::Compare(_) => None,
    }
}

fn clean(context: &Context, release: Release, dry_run: bool) -> Result<Outcome, Fault> {
    let known = context.facts.marker.as_ref();
    let Some(root) = layout::look(&context.config.folder, known)? else {
        return Ok(Outcome::Cleaned(CleanReport { dry_run, moved: Vec::new(), trash: None }));
    };
    let manifest = read_torrent(&torrent_of(context, Some(&root), &release)?)?;
    let inventory = inventory::list(&root, &context.cancel)?;
    let extras = plan::extras_of(&manifest, &inventory, &context.config.policy);
    let moved: Vec<_> = extras
        .iter()
        .map(|(path, stat)| FileLine { path: path.clone(), length: stat.length })
        .collect();
    if dry_run || moved.is_empty() {
        return Ok(Outcome::Cleaned(CleanReport { dry_run, moved, trash: None }));
    }
    let folder = layout::lock(&context.config.folder, known)?;
    let now = SystemTime::now();
    let id = trash::new_id(&folder.root, now)?;
    let journal = Journal {
        id: id.clone(),
        when: now,
        reason: Reason::Clean,
        release: Some(release.clone()),
        before: Some(release),
        links: false,
        steps: journal::steps_of_clean(&extras),
    };
    if let Some(outcome) = carry_out(context, &folder.root, &journal, None)? {
        return Ok(outcome);
    }
    expire_trash(context, &folder.root);
    Ok(Outcome::Cleaned(CleanReport { dry_run, moved, trash: Some(id) }))
}

fn roll_back(context: &Context) -> Result<Outcome, Fault> {
    let nothing = |why: &str| {
        Fault::new(
            FaultKind::NothingToRollBack,
            format!("could not go back: {why}"),
            "The trash keeps what an update replaced for a limited time only.",
        )
    };
    let folder = layout::lock(&context.config.folder, context.facts.marker.as_ref())?;
    let root = &folder.root;
    let Some(current) = baseline::peek(root)? else {
        return Err(nothing("nothing is installed"));
    };
    let Some(undone) = current.applied_as.clone() else {
        return Err(nothing("no earlier release was installed here"));
    };
    let (Some(done), Some(previous)) =
        (trash::record_of(root, &undone)?, trash::baseline_of(root, &undone)?)
    else {
        return Err(nothing("no earlier release is in the trash"));
    };
    let look = |path: &str| root.stat(path);
    let Some(steps) = journal::steps_back(&done, &look)? else {
        return Err(nothing("the trash no longer has all files of the earlier release"));
    };
    let now = SystemTime::now();
    let journal = Journal {
        id: trash::new_id(root, now)?,
        when: now,
        reason: Reason::Rollback,
        release: Some(previous.release.clone()),
        before: Some(current.release.clone()),
        links: apply::can_link(root, &layout::release(current.release.digest))?,
        steps,
    };
    // Another rollback goes further back, not forward again.
    if let Some(outcome) = carry_out(context, root, &journal, Some(&previous))? {
        return Ok(outcome);
    }
    let report = report_of(&journal).ok_or_else(|| Fault::bug("a rollback without a release"))?;
    Ok(Outcome::RolledBack { report, from: current.release })
}

fn list_trash(context: &Context) -> Result<Outcome, Fault> {
    let root = layout::look(&context.config.folder, context.facts.marker.as_ref())?;
    let entries = root.as_deref().map(trash::list).transpose()?.unwrap_or_default();
    Ok(Outcome::Trash(entries))
}

fn restore(context: &Context, entry: &str) -> Result<Outcome, Fault> {
    let folder = layout::lock(&context.config.folder, context.facts.marker.as_ref())?;
    let report = trash::restore(&folder.root, entry)?;
    report.map(Outcome::Restored).ok_or_else(|| {
        Fault::new(
            FaultKind::Refused,
            format!("there is no `{entry}` in the trash"),
            "`modsync trash` lists what is there.",
        )
    })
}

impl From<ScanError> for Fault {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Fs(e) => e.into(),
            ScanError::Cancelled(_) => Self::cancelled(),
        }
    }
}
