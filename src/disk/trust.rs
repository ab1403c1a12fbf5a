//! PURE: which pieces of a release need not be read, since the files they lie in look as they were installed.
//!
//! A piece is trusted when the installed release has the same piece of the same files at the same places. That a file
//! looks as it did is told by its length and its time, so a change that leaves both is not seen here; `verify` reads
//! every byte.

use std::collections::HashMap;

use super::baseline::Baseline;
use super::inventory::Inventory;
use crate::model::manifest::{Manifest, PieceHash, PieceSet};
use crate::model::path::RelPath;

/// What the trust rests on.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    pub manifest: &'a Manifest,
    pub baseline: &'a Baseline,
    /// When the baseline was written, by the folder's own clock: nanoseconds since 1970.
    pub written_ns: i64,
}

impl Known<'_> {
    /// The pieces of a release that are right in the folder without being read.
    pub fn trusted(&self, release: &Manifest, inventory: &Inventory) -> PieceSet {
        let untouched = self.untouched(inventory);
        let by_hash: HashMap<&PieceHash, usize> =
            untouched.iter().map(|piece| (&self.manifest.pieces[piece], piece)).collect();
        let mut trusted = PieceSet::none(release.pieces.len());
        for (piece, hash) in release.pieces.iter().enumerate() {
            if by_hash
                .get(hash)
                .is_some_and(|&old| parts(release, piece).eq(parts(self.manifest, old)))
            {
                trusted.insert(piece);
            }
        }
        trusted
    }

    /// Of pieces of the known release whose bytes were right before the folder was listed, those that still are: a file
    /// may have changed since, and then looks otherwise than it was installed.
    pub fn still_right(&self, right: &PieceSet, inventory: &Inventory) -> PieceSet {
        right.in_both(&self.untouched(inventory))
    }

    /// The pieces of the known release in files that look as they were installed.
    fn untouched(&self, inventory: &Inventory) -> PieceSet {
        let Manifest { entries, pieces, .. } = self.manifest;
        let is_untouched = |path: &RelPath| self.is_untouched(path, inventory);
        let untouched: Vec<bool> =
            entries.iter().map(|entry| entry.path.as_ref().is_none_or(is_untouched)).collect();
        let lies_there =
            |piece: &usize| self.manifest.spans(*piece).all(|span| untouched[span.entry]);
        PieceSet::of(pieces.len(), (0..pieces.len()).filter(lies_there))
    }

    fn is_untouched(&self, path: &RelPath, inventory: &Inventory) -> bool {
        let installed = self.baseline.files.get(path);
        let stat = inventory.find(path.as_str());
        installed.zip(stat).is_some_and(|(it, stat)| it.is_untouched(stat, self.written_ns))
    }
}

/// Which parts of which files a piece is made of.
fn parts(manifest: &Manifest, piece: usize) -> impl Iterator<Item = (Option<&RelPath>, u64, u64)> {
    let path = |entry: usize| manifest.entries[entry].path.as_ref();
    manifest.spans(piece).map(move |span| (path(span.entry), span.offset, span.length))
}
