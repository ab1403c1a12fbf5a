//! [`in_parts`]: much of the same, done by several threads at once.

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
        let end = |part: ScopedJoinHandle<R>| part.join().unwrap_or_else(|it| resume_unwind(it));
        // Where no thread could be had, the part is done already.
        parts.into_iter().map(|part| part.map_or_else(|done| done, end)).collect()
    })
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
