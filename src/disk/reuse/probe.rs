//! PURE: which pieces of a changed file to fetch first, so that what lies between its edits is found here.
//!
//! Where several edits moved what is between them, nothing but a piece of it tells how far. So one is fetched from
//! the middle of each long gap. Where it is found in the former file, its neighbours are too, up to the next edit
//! on either side; where it is not, it was new, and had to be fetched anyway.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::model::manifest::{EntryIndex, Manifest, PieceSet};

/// A gap of fewer pieces is most likely an edit, and all of it new.
const SHORT: usize = 4;
/// Bytes in gaps that are worth asking twice for: peers may take some seconds to answer again.
const WORTHWHILE: u64 = 1 << 20;
/// In a gap of so many pieces, of which nothing is known, several places are tried at once: asking again takes time.
const LONG: usize = 16;
/// A file of which neither end is known most likely has nothing of the former one. Only of a large one is it tried.
const LARGE: usize = 64;
/// Times that peers are asked for probes.
const ROUNDS: usize = 10;
/// Rounds in a row that may find nothing in a file.
const PATIENCE: usize = 2;

/// What was learned of each file that has gaps.
#[derive(Debug, Default)]
pub struct Probing {
    rounds: usize,
    /// By file: rounds since something was found.
    barren: BTreeMap<EntryIndex, usize>,
    /// Files of which nothing is known.
    doubtful: BTreeSet<EntryIndex>,
    asked: BTreeSet<usize>,
}

impl Probing {
    /// The pieces to fetch before the others; none when all may be fetched. `left`: what is lacking still;
    /// `kin`: the files that may have a former one here.
    pub fn next(
        &mut self,
        manifest: &Manifest,
        left: &PieceSet,
        kin: &BTreeSet<EntryIndex>,
    ) -> PieceSet {
        let mut probes = PieceSet::none(manifest.pieces.len());
        if self.rounds == ROUNDS {
            return probes;
        }
        let mut spared = 0;
        for (entry, gaps) in gaps(manifest, left) {
            if !kin.contains(&entry)
                || self.barren.get(&entry).is_some_and(|&rounds| rounds >= PATIENCE)
            {
                continue;
            }
            let is_first = !self.barren.contains_key(&entry);
            let inner = manifest.pieces_of(entry);
            for gap in gaps.into_iter().filter(|gap| gap.len() >= SHORT) {
                if is_first && gap.start <= inner.start + 1 && gap.end + 1 >= inner.end {
                    self.doubtful.insert(entry);
                    if gap.len() < LARGE {
                        continue;
                    }
                }
                spared += gap.len() as u64 * manifest.piece_length;
                let places = if is_first && gap.len() >= LONG { 3 } else { 1 };
                for place in 1..=places {
                    probes.insert(gap.start + gap.len() * place / (places + 1));
                }
            }
        }
        if spared < WORTHWHILE {
            return PieceSet::none(manifest.pieces.len());
        }
        self.rounds += 1;
        self.asked = probes.iter().collect();
        probes
    }

    /// Tells what the last probes led to: the pieces that need not be fetched.
    pub fn found(&mut self, manifest: &Manifest, found: impl Iterator<Item = usize>) {
        let files_of = |piece| manifest.spans(piece).map(|span| span.entry);
        let fruitful: BTreeSet<EntryIndex> = found.flat_map(files_of).collect();
        for entry in self.asked.iter().flat_map(|&piece| files_of(piece)) {
            let rounds = self.barren.entry(entry).or_default();
            *rounds = match fruitful.contains(&entry) {
                true => 0,
                false if self.doubtful.contains(&entry) => PATIENCE,
                false => *rounds + 1,
            };
        }
    }
}

/// The runs of lacking pieces that hold nothing but one file, by file.
fn gaps(manifest: &Manifest, left: &PieceSet) -> BTreeMap<EntryIndex, Vec<Range<usize>>> {
    let mut gaps: BTreeMap<EntryIndex, Vec<Range<usize>>> = BTreeMap::new();
    for piece in left.iter() {
        let Some(entry) = manifest.only_file_of(piece) else { continue };
        let gaps = gaps.entry(entry).or_default();
        match gaps.last_mut() {
            Some(last) if last.end == piece => last.end += 1,
            _ => gaps.push(piece..piece + 1),
        }
    }
    gaps
}
