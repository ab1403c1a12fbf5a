//! [`Arrived`]: which pieces of a release this process has brought into staging.
//!
//! A piece whose bytes were right when they were written need not be read again, as long as its files look as
//! they were left. Who else writes there, or makes a file anew, has all pieces of that file read again. Nothing of
//! this outlives the process.

use std::collections::BTreeSet;
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
    /// How the files were left, by their entry. There may be very many.
    left: Vec<Left>,
}

#[derive(Debug, Clone, Copy, Default)]
enum Left {
    /// Nothing of these pieces was written there.
    #[default]
    Alone,
    /// By when it was last written, in nanoseconds since 1970.
    At(i64),
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
            if state.left.len() <= entry {
                state.left.resize(entry + 1, Left::default());
            }
            let left = &mut state.left[entry];
            let is_as_left = before.is_none_or(|before| match *left {
                Left::Alone => true,
                Left::At(mtime_ns) => before.mtime_ns == mtime_ns,
                Left::Touched => false,
            });
            *left = if is_as_left { Left::At(after.mtime_ns) } else { Left::Touched };
        }
        state.pieces.insert(piece);
        state.right.insert(piece);
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
        let is_as_left = |entry: EntryIndex| match state.left.get(entry) {
            Some(Left::At(mtime_ns)) => {
                look(entry).is_some_and(|stat| stat.is_file() && stat.mtime_ns == *mtime_ns)
            }
            Some(Left::Alone | Left::Touched) | None => false,
        };
        let is_padding = |entry: EntryIndex| manifest.entries[entry].path.is_none();
        let mut untouched = PieceSet::none(manifest.pieces.len());
        for &piece in &state.right {
            let mut entries = manifest.spans(piece).map(|span| span.entry);
            if entries.all(|entry| is_padding(entry) || is_as_left(entry)) {
                untouched.insert(piece);
            }
        }
        untouched
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
