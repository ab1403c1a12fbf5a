//! [`Arrived`]: which pieces of a release this process has brought into staging.
//!
//! A piece whose bytes were right when they were written need not be read again, as long as its files look as
//! they were left: as long and as old. Who else writes there, or makes a file anew, has all pieces of that file read
//! again, unless it happens within one tick of the file system's clock. Nothing of this outlives the process, and
//! what was right no longer counts when another fetch begins: nobody knows whether the disk took it.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::fs::Stat;
use crate::model::manifest::{EntryIndex, Manifest, PieceSet};

#[derive(Debug, Default)]
pub struct Arrived(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    pieces: BTreeSet<usize>,
    /// Those that were right when they were written.
    right: BTreeSet<usize>,
    /// How the files were left that these lie in, by their entry. There may be very many.
    looks: Vec<Looks>,
}

#[derive(Debug, Clone, Copy, Default)]
enum Looks {
    /// Nothing of these pieces was written there.
    #[default]
    Untold,
    As(Stat),
    /// Somebody else wrote there as well.
    Touched,
}

/// How a file in staging looked before and after parts of pieces were written into it.
#[derive(Debug, Clone, Copy)]
pub struct Written {
    pub entry: EntryIndex,
    /// `None`: nothing of what it had stays.
    pub before: Option<Stat>,
    pub after: Stat,
}

impl Arrived {
    /// A piece is there, as far as whoever notes it knows.
    pub fn note(&self, piece: usize) {
        self.lock().pieces.insert(piece);
    }

    /// Pieces whose bytes were right were written.
    pub fn note_right(&self, pieces: Range<usize>, written: &[Written]) {
        let mut state = self.lock();
        for &Written { entry, before, after } in written {
            if state.looks.len() <= entry {
                state.looks.resize(entry + 1, Looks::default());
            }
            let looks = &mut state.looks[entry];
            let is_as_left = before.is_none_or(|before| match *looks {
                Looks::Untold => true,
                Looks::As(left) => before == left,
                Looks::Touched => false,
            });
            *looks = if is_as_left { Looks::As(after) } else { Looks::Touched };
        }
        state.pieces.extend(pieces.clone());
        state.right.extend(pieces);
    }

    /// Has all that came so far read again.
    pub fn distrust(&self) {
        let mut state = self.lock();
        state.right.clear();
        state.looks.clear();
    }

    pub fn has(&self, piece: usize) -> bool {
        self.lock().pieces.contains(&piece)
    }

    pub fn has_all_of(&self, wanted: &PieceSet) -> bool {
        let state = self.lock();
        wanted.iter().all(|piece| state.pieces.contains(&piece))
    }

    /// The same set without what has come.
    pub fn left_of(&self, wanted: &PieceSet) -> PieceSet {
        let mut left = wanted.clone();
        self.lock().pieces.iter().for_each(|&piece| left.remove(piece));
        left
    }

    /// The pieces that need not be read again; `look` tells how a file in staging looks now.
    pub fn untouched(
        &self,
        manifest: &Manifest,
        look: impl Fn(EntryIndex) -> Option<Stat>,
    ) -> PieceSet {
        let state = self.lock();
        let is_as_left = |entry: EntryIndex| match state.looks.get(entry) {
            Some(Looks::As(left)) => look(entry) == Some(*left),
            Some(Looks::Untold | Looks::Touched) | None => false,
        };
        let mut untouched = PieceSet::none(manifest.pieces.len());
        for &piece in &state.right {
            let mut entries = manifest.spans(piece).map(|span| span.entry);
            if entries.all(|entry| manifest.is_padding(entry) || is_as_left(entry)) {
                untouched.insert(piece);
            }
        }
        untouched
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
