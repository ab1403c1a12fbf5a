//! [`Incoming`]: pieces on their way, in memory until they are written.
//!
//! librqbit gives a piece in blocks of 16 KiB (BEP 3) and reads it back to hash it. From here it reads what never
//! was on a disk, and a piece that is right is written once, however many files it touches.
//!
//! It does not promise room: a piece for which there is none is to be written as it comes.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes of all pieces together, and of one that may be here.
const ROOM: usize = 16 << 20;
/// However large, so many pieces may be here: one that comes, one that waits and one that is written.
const PIECES: usize = 3;

#[derive(Debug, Default)]
pub(super) struct Incoming {
    state: Mutex<State>,
    /// A piece was let go.
    let_go: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// `None`: for this one there was no room when it began.
    pieces: BTreeMap<usize, Option<Arc<Vec<u8>>>>,
    /// Of pieces that are gone: memory that was touched is quicker than new.
    spare: Vec<Vec<u8>>,
    used: usize,
    /// Pieces that somebody writes.
    handed_over: usize,
    is_closed: bool,
}

/// A piece of which all blocks have come.
pub(super) enum Came {
    /// It is to be written, and then to be [let go](Incoming::let_go).
    Whole(Arc<Vec<u8>>),
    /// It was written as it came.
    Written,
    /// Nothing is taken any more.
    TooLate,
}

impl Incoming {
    /// Takes a block at an offset of a piece of this size; `false` when the piece has no room here. Waits for room
    /// while pieces are written. Once it is closed, blocks are dropped.
    pub fn write(&self, piece: usize, size: usize, offset: usize, block: &[u8]) -> bool {
        let mut state = self.lock();
        while !state.is_closed && state.is_full_for(piece, size) && state.handed_over > 0 {
            state = self.let_go.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_closed {
            return true;
        }
        let Some(bytes) = state.place(piece, size) else { return false };
        // What is being written is right, and needs no block again.
        let Some(bytes) = Arc::get_mut(bytes) else { return true };
        let Some(room) = bytes.get_mut(offset..offset + block.len()) else { return false };
        room.copy_from_slice(block);
        true
    }

    /// Gives a part of a piece; `false` when the piece is not here.
    pub fn read(&self, piece: usize, offset: usize, buf: &mut [u8]) -> bool {
        let state = self.lock();
        let bytes = state.pieces.get(&piece).and_then(Option::as_ref);
        let Some(part) = bytes.and_then(|bytes| bytes.get(offset..offset + buf.len())) else {
            return false;
        };
        buf.copy_from_slice(part);
        true
    }

    /// Hands a piece over to who writes it. It can be read here until it is let go.
    pub fn hand_over(&self, piece: usize) -> Came {
        let mut state = self.lock();
        if state.is_closed {
            return Came::TooLate;
        }
        if let Some(Some(bytes)) = state.pieces.get(&piece) {
            let bytes = Arc::clone(bytes);
            state.handed_over += 1;
            return Came::Whole(bytes);
        }
        state.pieces.remove(&piece);
        Came::Written
    }

    /// Lets go of a piece that was handed over.
    pub fn let_go(&self, piece: usize, handed_over: Arc<Vec<u8>>) {
        drop(handed_over);
        let mut state = self.lock();
        state.handed_over -= 1;
        if let Some(bytes) = state.pieces.remove(&piece).flatten() {
            state.used -= bytes.len();
            // It may have come, and been handed over, twice.
            state.spare.extend(Arc::into_inner(bytes));
        }
        self.let_go.notify_all();
    }

    /// Takes nothing from now on, and waits until all that was handed over is let go.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.let_go.notify_all();
        self.settle();
    }

    /// Waits until all that was handed over is let go.
    pub fn settle(&self) {
        let mut state = self.lock();
        while state.handed_over > 0 {
            state = self.let_go.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_full_for(&self, piece: usize, size: usize) -> bool {
        let is_new = !self.pieces.contains_key(&piece);
        let held = || self.pieces.values().flatten().count();
        is_new && self.used + size > ROOM && (size > ROOM || held() >= PIECES)
    }

    fn place(&mut self, piece: usize, size: usize) -> Option<&mut Arc<Vec<u8>>> {
        if !self.pieces.contains_key(&piece) {
            let has_room = !self.is_full_for(piece, size);
            let bytes = has_room.then(|| {
                let mut bytes = self.spare.pop().unwrap_or_default();
                bytes.resize(size, 0);
                Arc::new(bytes)
            });
            self.used += bytes.as_ref().map_or(0, |bytes| bytes.len());
            self.pieces.insert(piece, bytes);
        }
        self.pieces.get_mut(&piece)?.as_mut()
    }
}
