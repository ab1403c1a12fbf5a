//! More than one thing at a time: [`both`] of two, and much of the same [`in_parts`].
//!
//! All of it is done where no thread can be had, too, one after the other.

use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};

use super::pace::Pace;

/// What `work` makes of each part of many values, in their order. There are no more parts than threads, and none but the
/// last has fewer than `least` values: for these a thread is worth its start.
pub fn in_parts<T: Sync, R: Send>(
    values: &[T],
    least: usize,
    (threads, pace): (usize, Pace),
    work: impl Fn(&[T]) -> R + Sync,
) -> Vec<R> {
    let part = values.len().div_ceil(threads).max(least);
    if part >= values.len() {
        return vec![work(values)];
    }
    thread::scope(|scope| {
        let work = &work;
        let start = |part| {
            let gently = move || {
                pace.take();
                work(part)
            };
            thread::Builder::new().spawn_scoped(scope, gently).map_err(|_| work(part))
        };
        let parts: Vec<_> = values.chunks(part).map(start).collect();
        let parts = parts.into_iter();
        parts.map(|part| part.map_or_else(|done_already| done_already, joined)).collect()
    })
}

/// What two things make that are done at the same time.
pub fn both<A: Send, B>(aside: impl Fn() -> A + Sync, here: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, &aside);
        let here = here();
        (thread.map_or_else(|_| aside(), joined), here)
    })
}

fn joined<R>(thread: ScopedJoinHandle<R>) -> R {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_all_values_in_their_order() {
        for count in [0, 1, 9, 10, 11, 1_000] {
            let values: Vec<usize> = (0..count).collect();
            let parts = in_parts(&values, 10, (3, Pace::default()), <[usize]>::to_vec);
            let (last, others) = parts.split_last().map_or((0, &[][..]), |(l, o)| (l.len(), o));
            assert!(others.iter().all(|part| part.len() >= 10 && part.len() >= last));
            assert_eq!(parts.concat(), values);
        }
    }
}
