//! [`Incoming`]: pieces on their way, in memory until they are written.
//!
//! librqbit gives a piece in blocks of 16 KiB (BEP 3) and reads it back to hash it. From here it reads what never
//! was on a disk, and a piece that is right is written once, however many files it touches. It waits a little for others
//! to be written with.
//!
//! It does not promise room: a piece for which there is none is to be written as it comes.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::queue::{Piece, Queue};
use crate::disk::fs::Paged;

/// Bytes of all pieces together, and of the largest that may be here.
const ROOM: usize = 16 << 20;
/// So many pieces may be here though they take more: one that comes, one that waits and one that is written.
const PIECES: usize = 3;
/// How long a piece waits for others to be written with: at a gigabit a second, 1.2 MB come meanwhile.
const PATIENCE: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct Incoming {
    state: Mutex<State>,
    /// There is something to be taken, or it is due, or all is over.
    to_take: Condvar,
    /// A piece was let go.
    let_go: Condvar,
    /// Whether pieces have bytes that do not come, and are zeros.
    has_gaps: bool,
    patience: Duration,
}

#[derive(Debug, Default)]
struct State {
    /// `None`: for this one there was no room when it began.
    pieces: BTreeMap<usize, Option<Arc<Paged>>>,
    /// Of pieces that are gone: memory that was touched is quicker than new.
    spare: Vec<Paged>,
    used: usize,
    queue: Queue,
    /// Pieces of the queue, and those that somebody writes.
    handed_over: usize,
    is_closed: bool,
    is_over: bool,
}

impl Incoming {
    /// For pieces with gaps, which are zeros, or without.
    pub fn new(has_gaps: bool) -> Self {
        let (state, to_take, let_go) = Default::default();
        Self { state, to_take, let_go, has_gaps, patience: PATIENCE }
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
            state = self.wait(state);
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

    /// Hands a piece over to who writes it; `false` when it is not here, as it was written as it came. It can be read here
    /// until it is let go. Once it is closed, pieces are dropped.
    pub fn hand_over(&self, piece: usize) -> bool {
        let mut state = self.lock();
        if state.is_closed {
            return true;
        }
        let Some(Some(bytes)) = state.pieces.get(&piece) else {
            state.pieces.remove(&piece);
            return false;
        };
        let bytes = Arc::clone(bytes);
        let is_first = state.queue.is_empty();
        // It may come, and be handed over, twice.
        state.handed_over += usize::from(state.queue.push((piece, bytes)));
        if is_first || state.queue.is_due() {
            self.to_take.notify_one();
        }
        true
    }

    /// Has what was handed over wait for nothing more to be written with.
    pub fn hurry(&self) {
        self.lock().queue.hurry();
        self.to_take.notify_one();
    }

    /// Takes pieces that follow each other, to write them and then [let go](Self::let_go) of them. Waits for the first one
    /// to be handed over, and then a little for more, unless they are due. One alone may take. `None` when it is over.
    pub fn take(&self) -> Option<Vec<Piece>> {
        let is_idle = |state: &mut State| state.queue.is_empty() && !state.is_over;
        let has_some = self.to_take.wait_while(self.lock(), is_idle);
        let has_some = has_some.unwrap_or_else(PoisonError::into_inner);
        let may_wait = |state: &mut State| !state.queue.is_due() && !state.is_over;
        let gathered = self.to_take.wait_timeout_while(has_some, self.patience, may_wait);
        let (mut state, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        let run = state.queue.take_run();
        (!run.is_empty()).then_some(run)
    }

    /// Lets go of pieces that were taken.
    pub fn let_go(&self, taken: Vec<Piece>) {
        let mut state = self.lock();
        for (piece, bytes) in taken {
            drop(bytes);
            state.handed_over -= 1;
            if let Some(bytes) = state.pieces.remove(&piece).flatten() {
                state.used -= bytes.len();
                // It may have come, and been handed over, twice.
                state.spare.extend(Arc::into_inner(bytes));
            }
        }
        self.let_go.notify_all();
    }

    /// Has who takes pieces end when all are written.
    pub fn end(&self) {
        self.lock().is_over = true;
        self.to_take.notify_one();
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
            state = self.wait(state);
        }
    }

    /// Waits for pieces to be let go, and has them not wait for others.
    fn wait<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.queue.hurry();
        self.to_take.notify_one();
        self.let_go.wait(state).unwrap_or_else(PoisonError::into_inner)
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
#[allow(clippy::unwrap_used)]
mod tests {
    use std::ops::Range;
    use std::sync::mpsc;
    use std::thread;

    use super::super::queue::ENOUGH;
    use super::*;

    /// Writes all of a piece; whether it is here.
    fn takes(incoming: &Incoming, piece: usize, size: usize) -> bool {
        incoming.write(piece, size, || 0, 0, &vec![1; size])
    }

    #[test]
    fn three_pieces_have_room_however_large_and_small_ones_as_much_as_there_is() {
        let incoming = Incoming::new(false);
        assert!(!takes(&incoming, 9, ROOM + 1));
        assert_eq!(
            [0, 1, 2, 3].map(|piece| takes(&incoming, piece, ROOM)),
            [true, true, true, false]
        );
        let incoming = Incoming::new(false);
        let held = (0..99).take_while(|&piece| takes(&incoming, piece, ROOM / 8)).count();
        assert_eq!(held, 8);
    }

    #[test]
    fn who_waits_for_room_goes_on_when_a_piece_is_let_go_or_nothing_is_taken_any_more() {
        for lets_go in [true, false] {
            let incoming = Incoming::new(false);
            assert!((0..PIECES).all(|piece| takes(&incoming, piece, ROOM)));
            let taken = hands_over(&incoming, [0]);
            thread::scope(|scope| {
                let (took, was_taken) = mpsc::channel();
                let incoming = &incoming;
                scope.spawn(move || took.send(takes(incoming, PIECES, ROOM)));
                assert!(was_taken.recv_timeout(Duration::from_millis(20)).is_err());
                if lets_go {
                    incoming.let_go(taken);
                    assert_eq!(was_taken.recv(), Ok(true));
                } else {
                    scope.spawn(move || incoming.close());
                    assert_eq!(was_taken.recv(), Ok(true));
                    incoming.let_go(taken);
                }
            });
            assert_eq!(incoming.read(PIECES, 0, &mut [0; 9]), lets_go);
        }
    }

    #[test]
    fn who_writes_has_pieces_when_they_are_enough_or_due_or_all_is_over() {
        let patience = Duration::from_hours(1);
        let (incoming, taken) = writing(Incoming { patience, ..Incoming::new(false) });
        let next = || taken.recv_timeout(Duration::from_secs(20));
        let hand_over = |pieces: Range<usize>, size| {
            for piece in pieces {
                assert!(takes(&incoming, piece, size) && incoming.hand_over(piece));
            }
        };
        hand_over(0..4, ENOUGH / 4);
        assert_eq!(next(), Ok(vec![0, 1, 2, 3]));
        hand_over(6..9, 1);
        incoming.hurry();
        assert_eq!(next(), Ok(vec![6, 7, 8]));
        hand_over(2..3, 1);
        let settling = Arc::clone(&incoming);
        let settling = thread::spawn(move || settling.settle());
        assert_eq!(next(), Ok(vec![2]));
        settling.join().unwrap();
        hand_over(3..5, 1);
        incoming.end();
        assert_eq!(next(), Ok(vec![3, 4]));
        assert_eq!(next(), Err(mpsc::RecvTimeoutError::Disconnected));
    }

    #[test]
    fn a_piece_with_which_no_other_comes_is_written_alone() {
        let (incoming, taken) = writing(Incoming::new(false));
        for piece in 0..3 {
            assert!(takes(&incoming, piece, 9) && incoming.hand_over(piece));
            assert_eq!(taken.recv_timeout(Duration::from_secs(20)), Ok(vec![piece]));
        }
        incoming.end();
    }

    /// Has somebody take all that is handed over, who tells what it was and lets it go.
    fn writing(incoming: Incoming) -> (Arc<Incoming>, mpsc::Receiver<Vec<usize>>) {
        let incoming = Arc::new(incoming);
        let (took, taken) = mpsc::channel();
        let writer = Arc::clone(&incoming);
        thread::spawn(move || {
            while let Some(run) = writer.take() {
                took.send(numbers(&run)).unwrap();
                writer.let_go(run);
            }
        });
        (incoming, taken)
    }

    #[test]
    fn a_piece_that_is_handed_over_twice_leaves_nothing_to_wait_for() {
        let incoming = Incoming::new(false);
        assert!(takes(&incoming, 7, 9));
        let taken = hands_over(&incoming, [7, 7]);
        assert_eq!(numbers(&taken), [7]);
        let again = hands_over(&incoming, [7]);
        incoming.let_go(taken);
        incoming.let_go(again);
        incoming.settle();
        assert!(!incoming.read(7, 0, &mut [0; 9]));
        assert_eq!(incoming.lock().used, 0);
    }

    #[test]
    fn gaps_are_zeros_in_memory_that_was_another_piece() {
        let incoming = Incoming::new(true);
        assert!(takes(&incoming, 0, 9));
        incoming.let_go(hands_over(&incoming, [0]));
        assert!(incoming.write(1, 9, || 0, 0, &[2; 4]));
        let mut piece = [7; 9];
        assert!(incoming.read(1, 0, &mut piece));
        assert_eq!(piece, [2, 2, 2, 2, 0, 0, 0, 0, 0]);
    }

    /// Hands pieces over that are here, and takes what it gets.
    fn hands_over<const N: usize>(incoming: &Incoming, pieces: [usize; N]) -> Vec<Piece> {
        assert_eq!(pieces.map(|piece| incoming.hand_over(piece)), [true; N]);
        incoming.take().unwrap()
    }

    fn numbers(taken: &[Piece]) -> Vec<usize> {
        taken.iter().map(|(piece, _)| *piece).collect()
    }
}
