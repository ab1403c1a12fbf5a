//! Looks at the folder and plans. Nothing is changed.

use std::sync::Arc;

use bytes::Bytes;

use super::{Context, change, torrent_of};
use crate::disk::baseline::{self, Baseline};
use crate::disk::fs::Root;
use crate::disk::inventory::{self, Inventory, Scan, ScanError};
use crate::disk::layout;
use crate::disk::parts::both;
use crate::disk::plan::{self, Given};
use crate::disk::superseded::Superseded;
use crate::disk::trust::Known;
use crate::engine::job::{Look, Outcome, Planned};
use crate::heap;
use crate::model::fault::Fault;
use crate::model::manifest::{Manifest, PieceSet};
use crate::model::pack::PackConfig;
use crate::model::release::Release;
use crate::model::snapshot::Unit;

/// Looks at the folder and plans. Nothing is changed.
pub(super) fn scan(context: &Context, release: Release, look: Look) -> Result<Outcome, Fault> {
    let root = layout::look(&context.config.folder, context.facts.known_marker())?;
    let baseline = root.as_deref().map(baseline::peek).transpose()?.flatten();
    if context.is_news(baseline.as_ref().map(|baseline| &baseline.release)) {
        return change::recover(context);
    }
    if let (Look::Quick, Some(root), Some(baseline)) = (look, &root, &baseline)
        && looks_installed(root, baseline, &context.config)?
    {
        return Ok(Outcome::AsInstalled);
    }
    root.iter().for_each(|root| root.set_pace(context.pace));
    let (parsed, inventory) = both(
        || parse(context, root.as_deref(), &release),
        || root.as_deref().map(|root| inventory::list(root, &context.cancel)).transpose(),
    );
    let (parsed, inventory) = (parsed?, inventory?);
    let manifest = &parsed.manifest;
    let scan = match root.as_ref().zip(inventory) {
        Some((root, inventory)) => {
            let trusted = match &baseline {
                Some(baseline) if look != Look::Whole => {
                    trusted(context, root, baseline, manifest, &inventory)?
                }
                _ => PieceSet::none(manifest.pieces.len()),
            };
            read(context, root, manifest, inventory, &trusted, 0)?
        }
        None => Scan::of_nothing(manifest),
    };
    let planned = plan_of(context, root, baseline, parsed, scan, release)?;
    Ok(Outcome::Scanned(Arc::new(planned)))
}

fn looks_installed(root: &Root, baseline: &Baseline, config: &PackConfig) -> Result<bool, Fault> {
    let Some(written) = root.stat(layout::BASELINE)? else { return Ok(false) };
    for (path, installed) in &baseline.files {
        let is_fine = match root.stat(path)? {
            Some(stat) => {
                let is_kept = config.policy.keep.matches(path);
                is_kept || installed.is_untouched(stat, written.mtime_ns)
            }
            None => false,
        };
        if !is_fine {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The torrent of a release, and what it says.
pub(super) struct Parsed {
    torrent: Bytes,
    pub manifest: Arc<Manifest>,
}

/// Reads the torrent of a release.
pub(super) fn parse(
    context: &Context,
    root: Option<&Root>,
    release: &Release,
) -> Result<Parsed, Fault> {
    let (torrent, manifest) = torrent_of(context, root, release)?;
    context.progress.set(0, manifest.stream_length, Unit::Bytes);
    Ok(Parsed { torrent: torrent.into(), manifest: Arc::new(manifest) })
}

/// Reads what lies in the places of the release, but the pieces that are trusted to be right. So many bytes of
/// it were read before.
pub(super) fn read(
    context: &Context,
    root: &Arc<Root>,
    manifest: &Arc<Manifest>,
    inventory: Inventory,
    trusted: &PieceSet,
    before: u64,
) -> Result<Scan, Fault> {
    let done = |done| context.progress.set(before + done, manifest.stream_length, Unit::Bytes);
    plan::check_folders(manifest, &inventory)?;
    let superseded = Superseded::find(root, manifest, context.offered_hash())?;
    let cancel = &context.cancel;
    let scan = inventory::scan(inventory, root, manifest, trusted, cancel, &done)?;
    Ok(scan.and_superseded(&superseded, manifest, cancel).map_err(ScanError::from)?)
}

/// Plans for what was seen and read.
pub(super) fn plan_of(
    context: &Context,
    root: Option<Arc<Root>>,
    baseline: Option<Baseline>,
    parsed: Parsed,
    scan: Scan,
    release: Release,
) -> Result<Planned, Fault> {
    let Parsed { torrent, manifest } = parsed;
    let others = context.neighbours.iter().filter_map(|folder| Root::open(folder).ok());
    let others: Vec<_> = others.inspect(|root| root.set_pace(context.pace)).collect();
    let scan = scan.and_elsewhere(root.as_deref(), &others, &manifest, &context.cancel)?;
    let was_installed = match (&baseline, &root) {
        (None, Some(root)) => baseline::was_lost(root)?,
        (known, _) => known.is_some(),
    };
    let plan = plan::plan(Given {
        release: &release,
        manifest: &manifest,
        scan: &scan,
        baseline: baseline.as_ref(),
        was_installed,
        policy: &context.config.policy,
    });
    let Scan { elsewhere, inventory, places, .. } = scan;
    heap::drop_aside((inventory, places, baseline));
    Ok(Planned { plan, manifest, torrent, elsewhere, arrived: Arc::default() })
}

/// Pieces of a release that lie in files that look as they were installed, and are the same there.
fn trusted(
    context: &Context,
    root: &Root,
    baseline: &Baseline,
    manifest: &Manifest,
    inventory: &Inventory,
) -> Result<PieceSet, Fault> {
    let former = torrent_of(context, Some(root), &baseline.release);
    let written = root.stat(layout::BASELINE)?;
    let (Ok((_, former)), Some(written)) = (former, written) else {
        return Ok(PieceSet::none(manifest.pieces.len()));
    };
    let known = Known { manifest: &former, baseline, written_ns: written.mtime_ns };
    Ok(known.trusted(manifest, inventory))
}

impl From<ScanError> for Fault {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Fs(e) => e.into(),
            ScanError::Cancelled(_) => Self::cancelled(),
        }
    }
}
