//! [`Incoming`]: pieces on their way, in memory until they are written.
//!
//! librqbit gives a piece in blocks of 16 KiB (BEP 3) and reads it back to hash it. From here it reads what never
//! was on a disk, and a piece that is right is written once, however many files it touches.
//!
//! It does not promise room: a piece for which there is none is to be written as it comes.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::disk::fs::Paged;

/// Bytes of all pieces together, and of the largest that may be here.
const ROOM: usize = 16 << 20;
/// So many pieces may be here though they take more: one that comes, one that waits and one that is written.
const PIECES: usize = 3;

#[derive(Debug, Default)]
pub(super) struct Incoming {
    state: Mutex<State>,
    /// A piece was let go.
    let_go: Condvar,
    /// Whether pieces have bytes that do not come, and are zeros.
    has_gaps: bool,
}

#[derive(Debug, Default)]
struct State {
    /// `None`: for this one there was no room when it began.
    pieces: BTreeMap<usize, Option<Arc<Paged>>>,
    /// Of pieces that are gone: memory that was touched is quicker than new.
    spare: Vec<Paged>,
    used: usize,
    /// Pieces that somebody writes.
    handed_over: usize,
    is_closed: bool,
}

/// A piece of which all blocks have come.
pub(super) enum Came {
    /// It is to be written, and then to be [let go](Incoming::let_go).
    Whole(Arc<Paged>),
    /// It was written as it came.
    Written,
    /// Nothing is taken any more.
    TooLate,
}

impl Incoming {
    /// For pieces with gaps, which are zeros, or without.
    pub fn new(has_gaps: bool) -> Self {
        Self { has_gaps, ..Self::default() }
    }

    /// Takes a block at an offset of a piece of this size, which is to go to a `place` in a file; `false` when the piece
    /// has no room here. Waits for room while pieces are written. Once it is closed, blocks are dropped.
    pub fn write(
        &self,
        piece: usize,
        size: usize,
        place: impl FnOnce() -> u64,
        offset: usize,
        block: &[u8],
    ) -> bool {
        let mut state = self.lock();
        while !state.is_closed && state.is_full_for(piece, size) && state.handed_over > 0 {
            state = self.let_go.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_closed {
            return true;
        }
        let Some(bytes) = state.room_for(piece, size, place, self.has_gaps) else { return false };
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
    pub fn let_go(&self, piece: usize, handed_over: Arc<Paged>) {
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

    fn room_for(
        &mut self,
        piece: usize,
        size: usize,
        place: impl FnOnce() -> u64,
        has_gaps: bool,
    ) -> Option<&mut Arc<Paged>> {
        if !self.pieces.contains_key(&piece) {
            let has_room = !self.is_full_for(piece, size);
            let bytes = has_room.then(|| {
                let spare = self.spare.pop().unwrap_or_default();
                let mut bytes = Paged::bound_for(place(), size, spare);
                if has_gaps {
                    bytes.fill(0);
                }
                Arc::new(bytes)
            });
            self.used += bytes.as_ref().map_or(0, |bytes| bytes.len());
            self.pieces.insert(piece, bytes);
        }
        self.pieces.get_mut(&piece)?.as_mut()
    }
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// Writes all of a piece; whether it is here.
    fn takes(incoming: &Incoming, piece: usize, size: usize) -> bool {
        incoming.write(piece, size, || 0, 0, &vec![1; size])
    }

    #[test]
    fn three_pieces_have_room_however_large_and_small_ones_as_much_as_there_is() {
        let incoming = Incoming::default();
        assert!(!takes(&incoming, 9, ROOM + 1));
        assert_eq!(
            [0, 1, 2, 3].map(|piece| takes(&incoming, piece, ROOM)),
            [true, true, true, false]
        );
        let incoming = Incoming::default();
        let held = (0..99).take_while(|&piece| takes(&incoming, piece, ROOM / 8)).count();
        assert_eq!(held, 8);
    }

    #[test]
    fn who_waits_for_room_goes_on_when_a_piece_is_let_go_or_nothing_is_taken_any_more() {
        for lets_go in [true, false] {
            let incoming = Incoming::default();
            assert!((0..PIECES).all(|piece| takes(&incoming, piece, ROOM)));
            let Came::Whole(bytes) = incoming.hand_over(0) else { panic!("it is here") };
            thread::scope(|scope| {
                let (took, was_taken) = mpsc::channel();
                let incoming = &incoming;
                scope.spawn(move || took.send(takes(incoming, PIECES, ROOM)));
                assert!(was_taken.recv_timeout(Duration::from_millis(20)).is_err());
                if lets_go {
                    incoming.let_go(0, bytes);
                    assert_eq!(was_taken.recv(), Ok(true));
                } else {
                    scope.spawn(move || incoming.close());
                    assert_eq!(was_taken.recv(), Ok(true));
                    incoming.let_go(0, bytes);
                }
            });
            assert_eq!(incoming.read(PIECES, 0, &mut [0; 9]), lets_go);
        }
    }

    #[test]
    fn gaps_are_zeros_in_memory_that_was_another_piece() {
        let incoming = Incoming::new(true);
        assert!(takes(&incoming, 0, 9));
        let Came::Whole(bytes) = incoming.hand_over(0) else { panic!("it is here") };
        incoming.let_go(0, bytes);
        assert!(incoming.write(1, 9, || 0, 0, &[2; 4]));
        let mut piece = [7; 9];
        assert!(incoming.read(1, 0, &mut piece));
        assert_eq!(piece, [2, 2, 2, 2, 0, 0, 0, 0, 0]);
    }
}
