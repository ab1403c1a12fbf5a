//! [`in_parts`]: much of the same, done by several threads at once.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

/// What `work` makes of each part of many values, in their order. There are no more parts than cores, and none but the
/// last has fewer than `least` values: for these a thread is worth its start.
pub fn in_parts<T: Sync, R: Send>(
    values: &[T],
    least: usize,
    work: impl Fn(&[T]) -> R + Sync,
) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let part = values.len().div_ceil(threads).max(least);
    if part >= values.len() {
        return vec![work(values)];
    }
    thread::scope(|scope| {
        let work = &work;
        let parts: Vec<_> =
            values.chunks(part).map(|part| scope.spawn(move || work(part))).collect();
        let done = parts.into_iter().map(|part| part.join().unwrap_or_else(|it| resume_unwind(it)));
        done.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_all_values_in_their_order() {
        for count in [0, 1, 9, 10, 11, 1_000] {
            let values: Vec<usize> = (0..count).collect();
            let parts = in_parts(&values, 10, <[usize]>::to_vec);
            let (last, others) = parts.split_last().map_or((0, &[][..]), |(l, o)| (l.len(), o));
            assert!(others.iter().all(|part| part.len() >= 10 && part.len() >= last));
            assert_eq!(parts.concat(), values);
        }
    }
}
