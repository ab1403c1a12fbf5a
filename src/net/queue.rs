//! [`Queue`]: whole pieces in memory that are to be written, in the order in which they are.
//!
//! Each way to a disk costs as much as many bytes on it, so pieces that follow each other are written together.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::disk::fs::Paged;

/// Bytes that are worth a way to the disk of their own.
pub(super) const ENOUGH: usize = 4 << 20;

#[derive(Debug, Default)]
pub(super) struct Queue {
    pieces: BTreeMap<usize, Arc<Paged>>,
    /// Bytes of them all.
    size: usize,
    /// Behind the last that was taken. As in a lift, nobody waits for ever where one goes on upwards.
    next: usize,
    /// Whether those that are here are to wait for no others.
    is_due: bool,
}

/// A piece with its number.
pub(super) type Piece = (usize, Arc<Paged>);

impl Queue {
    /// Whether it was not here yet.
    pub fn push(&mut self, (piece, bytes): Piece) -> bool {
        self.size += bytes.len();
        let former = self.pieces.insert(piece, bytes);
        self.size -= former.as_ref().map_or(0, |bytes| bytes.len());
        former.is_none()
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Has those that are here wait for no others.
    pub fn hurry(&mut self) {
        self.is_due = !self.is_empty();
    }

    /// Whether there is something to be taken that should wait for no more.
    pub fn is_due(&self) -> bool {
        self.is_due || self.size >= ENOUGH
    }

    /// Takes pieces that follow each other, as many as are enough. Others, for which these did not wait either, are due.
    pub fn take_run(&mut self) -> Vec<Piece> {
        let onwards = self.pieces.range(self.next..).next();
        let first = onwards.or_else(|| self.pieces.first_key_value());
        self.next = first.map_or(0, |(piece, _)| *piece);
        let (mut run, mut size) = (Vec::new(), 0);
        while size < ENOUGH
            && let Some(bytes) = self.pieces.remove(&self.next)
        {
            size += bytes.len();
            run.push((self.next, bytes));
            self.next += 1;
        }
        self.size -= size;
        self.is_due = !self.is_empty() && (self.is_due || size < ENOUGH);
        run
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_each_other_is_taken_together_and_upwards_from_what_was_taken_last() {
        let mut queue = Queue::default();
        assert!([8, 5, 6, 2].into_iter().all(|piece| queue.push(of_size(1, piece))));
        assert_eq!(numbers(&queue.take_run()), [2]);
        assert!([4, 7, 1, 0].into_iter().all(|piece| queue.push(of_size(1, piece))));
        assert_eq!(numbers(&queue.take_run()), [4, 5, 6, 7, 8]);
        assert_eq!(numbers(&queue.take_run()), [0, 1]);
        assert!(queue.is_empty() && queue.take_run().is_empty());
    }

    #[test]
    fn no_more_is_taken_than_is_enough_and_the_rest_waits_for_more() {
        let mut queue = Queue::default();
        assert!((0..5).all(|piece| queue.push(of_size(ENOUGH / 2, piece))));
        assert!(queue.is_due());
        assert_eq!(numbers(&queue.take_run()), [0, 1]);
        assert!(queue.is_due());
        assert_eq!(numbers(&queue.take_run()), [2, 3]);
        assert!(!queue.is_due());
    }

    #[test]
    fn what_is_in_a_hurry_is_due_and_what_lies_elsewhere_with_it() {
        let mut queue = Queue::default();
        queue.hurry();
        assert!([1, 3].into_iter().all(|piece| queue.push(of_size(1, piece))));
        assert!(!queue.is_due());
        queue.hurry();
        assert!(queue.is_due());
        assert_eq!(numbers(&queue.take_run()), [1]);
        assert!(queue.is_due());
        assert_eq!(numbers(&queue.take_run()), [3]);
        assert!(queue.push(of_size(ENOUGH, 5)) && queue.push(of_size(1, 6)));
        queue.hurry();
        assert_eq!(numbers(&queue.take_run()), [5]);
        assert!(queue.is_due());
        assert_eq!(numbers(&queue.take_run()), [6]);
        assert!(queue.push(of_size(1, 7)) && !queue.is_due());
    }

    #[test]
    fn what_comes_twice_is_there_once() {
        let mut queue = Queue::default();
        assert!(queue.push(of_size(ENOUGH - 1, 7)));
        assert!(!queue.push(of_size(ENOUGH - 1, 7)) && !queue.is_due());
        assert!(queue.push(of_size(1, 9)) && queue.is_due());
        assert_eq!(numbers(&queue.take_run()), [7]);
    }

    fn of_size(size: usize, piece: usize) -> Piece {
        (piece, Arc::new(Paged::bound_for(0, size, Paged::default())))
    }

    fn numbers(run: &[Piece]) -> Vec<usize> {
        run.iter().map(|(piece, _)| *piece).collect()
    }
}
