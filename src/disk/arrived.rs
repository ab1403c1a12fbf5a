//! [`Arrived`]: which pieces of a release this process has brought into staging.
//!
//! A piece whose bytes were right when they were written need not be read again, as long as its files look as
//! they were left. Who else writes there, or makes a file anew, has all pieces of that file read again. Nothing of
//! this outlives the process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::baseline::Installed;
use super::fs::Stat;
use crate::model::manifest::{EntryIndex, Manifest, PieceSet};

#[derive(Debug, Default)]
pub struct Arrived(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    pieces: BTreeSet<usize>,
    /// Those that were right when they were written.
    right: BTreeSet<usize>,
    /// How the files of these were left.
    left: BTreeMap<EntryIndex, Left>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    As(Installed),
    /// Somebody else wrote there as well.
    Touched,
}

/// How a file in staging looked before and after a part of a piece was written into it.
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

    /// A piece whose bytes were right was written.
    pub fn note_right(&self, piece: usize, written: &[Written]) {
        let mut state = self.lock();
        for &Written { entry, before, after } in written {
            let is_as_left = match (state.left.get(&entry), before) {
                (Some(Left::As(left)), Some(before)) => left.looks_like(before),
                (Some(Left::Touched), Some(_)) => false,
                (_, None) | (None, _) => true,
            };
            let left = if is_as_left { Left::As(after.into()) } else { Left::Touched };
            state.left.insert(entry, left);
        }
        state.pieces.insert(piece);
        state.right.insert(piece);
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
        let is_as_left = |(entry, left): (&EntryIndex, &Left)| match left {
            Left::As(left) if look(*entry).is_some_and(|stat| left.looks_like(stat)) => {
                Some(*entry)
            }
            Left::As(_) | Left::Touched => None,
        };
        let as_left: BTreeSet<EntryIndex> = state.left.iter().filter_map(is_as_left).collect();
        let mut untouched = PieceSet::none(manifest.pieces.len());
        let is_padding = |entry: EntryIndex| manifest.entries[entry].path.is_none();
        for &piece in &state.right {
            let mut entries = manifest.spans(piece).map(|span| span.entry);
            if entries.all(|entry| as_left.contains(&entry) || is_padding(entry)) {
                untouched.insert(piece);
            }
        }
        untouched
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
