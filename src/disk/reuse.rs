//! Bytes of a release that this machine has already, wherever they lie: renamed, moved, shifted, in the trash,
//! in another pack's folder.
//!
//! [`search`] only reads, so that a plan can tell what is left to download; [`copy`] puts what was found into
//! staging. A source is nobody's concern here: it may change meanwhile, and then its piece does not count.

mod kin;
mod needle;
mod probe;
mod search;
mod source;

use std::collections::BTreeSet;
use std::io;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha1::{Digest, Sha1};

pub use probe::Probing;
pub use search::{Recipe, Recipes, search, search_around};
pub use source::Sources;

use self::search::read_part;
use self::source::Reader;
use super::fs::FsError;
use super::staging::Staging;
use super::verify::{Cancel, Cancelled};
use crate::model::fault::Fault;
use crate::model::manifest::{EntryIndex, PieceSet};

/// Smaller files are copied: that is as quick.
const LARGE: u64 = 1 << 20;
/// Bytes of pieces that are held at once.
const HELD: u64 = 32 << 20;

#[derive(Debug, thiserror::Error)]
pub enum ReuseError {
    #[error(transparent)]
    Fs(#[from] FsError),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl From<ReuseError> for Fault {
    fn from(error: ReuseError) -> Self {
        match error {
            ReuseError::Fs(e) => e.into(),
            ReuseError::Cancelled(_) => Self::cancelled(),
        }
    }
}

/// Copies those of the `wanted` pieces for which there is a recipe to staging, as far as they are right still, but
/// for what is of files that need no copy. `arrived` is told each one that is there.
pub fn copy(
    wanted: &PieceSet,
    recipes: &Recipes,
    staging: &Staging,
    but: &BTreeSet<EntryIndex>,
    cancel: &Cancel,
    arrived: &(dyn Fn(usize) + Sync),
) -> Result<(), ReuseError> {
    let chosen: Vec<(usize, &Recipe)> = recipes
        .of
        .iter()
        .filter(|(piece, _)| wanted.contains(**piece))
        .map(|(&piece, recipe)| (piece, recipe))
        .collect();
    let reader = recipes.sources.reader();
    let entries = chosen.iter().flat_map(|(_, recipe)| recipe.iter().map(|(entry, _)| *entry));
    let shared = share(entries.filter(|entry| !but.contains(entry)), recipes, &reader, staging)?;
    let but = &(but | &shared);
    let next = AtomicUsize::new(0);
    let work = || -> Result<(), ReuseError> {
        let mut bytes = Vec::new();
        while let Some((piece, recipe)) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
            if cancel.is_cancelled() {
                return Err(Cancelled.into());
            }
            let is_needed = |(entry, _): &(EntryIndex, _)| !but.contains(entry);
            if !recipe.iter().any(is_needed) {
                arrived(*piece);
            } else if gather(*piece, recipe, &reader, staging, &mut bytes) {
                write(*piece, staging, but, &bytes)?;
                arrived(*piece);
            }
        }
        Ok(())
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let at_once = usize::try_from(HELD / staging.manifest.piece_length).unwrap_or(1);
    let helpers = cores.min(at_once).min(chosen.len()).saturating_sub(1);
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(work)).collect();
        let mine = work();
        let theirs = helpers.into_iter().map(|thread| thread.join().unwrap_or(Ok(())));
        theirs.fold(mine, Result::and)
    })
}

/// Has large files share the blocks of the sources that have all their bytes, where the file system can; which.
fn share(
    entries: impl Iterator<Item = EntryIndex>,
    recipes: &Recipes,
    reader: &Reader<'_>,
    staging: &Staging,
) -> Result<BTreeSet<EntryIndex>, FsError> {
    let is_large = |entry: &EntryIndex| staging.manifest.entries[*entry].length >= LARGE;
    let large: BTreeSet<EntryIndex> = entries.filter(is_large).collect();
    let mut shared = BTreeSet::new();
    if large.is_empty() {
        return Ok(shared);
    }
    let begun = staging.list()?;
    for entry in large.into_iter().filter(|entry| !begun.contains_key(entry)) {
        let Some(source) = recipes.whole(&staging.manifest, entry) else { continue };
        let Ok(file) = reader.open(source) else { continue };
        if !staging.clone_whole(entry, &file)? {
            break;
        }
        shared.insert(entry);
    }
    Ok(shared)
}

/// Reads a piece as its recipe says; whether it is right.
fn gather(
    piece: usize,
    recipe: &Recipe,
    reader: &Reader<'_>,
    staging: &Staging,
    bytes: &mut Vec<u8>,
) -> bool {
    let manifest = &staging.manifest;
    bytes.resize(usize::try_from(manifest.piece_size(piece)).unwrap_or(0), 0);
    let mut rest = bytes.as_mut_slice();
    for span in manifest.spans(piece) {
        let size = usize::try_from(span.length).unwrap_or(usize::MAX).min(rest.len());
        let (part, left) = rest.split_at_mut(size);
        if read_part(reader, recipe, span.entry, span.offset, part).is_err() {
            return false;
        }
        rest = left;
    }
    manifest.pieces.get(piece) == Some(&Sha1::digest(&bytes).into())
}

fn write(
    piece: usize,
    staging: &Staging,
    but: &BTreeSet<EntryIndex>,
    bytes: &[u8],
) -> Result<(), FsError> {
    let start = staging.manifest.piece_range(piece).start;
    for (span, part) in staging.manifest.cut(start, bytes) {
        let error = |e: io::Error| staging.error("write", span.entry, e);
        if !but.contains(&span.entry) {
            staging.write_at(span.entry, span.offset, part).map_err(error)?;
        }
    }
    Ok(())
}
