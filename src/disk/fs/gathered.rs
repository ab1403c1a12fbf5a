//! Pages that lie apart in memory, written as one: a disk takes large amounts quicker than small ones.
//!
//! A disk takes whole pages alone. Those that do not lie in memory as in the file, and those in which parts meet, are
//! copied.

use std::fs::File;
use std::io::{self, IoSlice, Seek, SeekFrom, Write};

use super::paged::{PAGE, Paged, begins_a_page};
use super::slices::{size_of, split_at, write_all};

/// Bytes that are copied at once.
const BLOCK: usize = 1 << 20;

/// Writes whole pages that lie in `parts`, one behind the other, at a place in a file that was opened for them. `copies` is
/// memory for those that are copied.
pub(super) fn write(
    mut direct: &File,
    parts: &[&[u8]],
    at: u64,
    copies: &mut Paged,
) -> io::Result<()> {
    direct.seek(SeekFrom::Start(at))?;
    gather(parts, copies, |slices| write_all(slices, |slices, _| direct.write_vectored(slices)))
}

/// Gives slices of whole pages, as many at once as need no more copies than a block.
fn gather(
    parts: &[&[u8]],
    copies: &mut Paged,
    mut give: impl FnMut(&mut [IoSlice<'_>]) -> io::Result<()>,
) -> io::Result<()> {
    let pages = pages_of(parts);
    let mut left = &pages[..];
    while !left.is_empty() {
        let (now, later) = left.split_at(with_copies_for_a_block(left));
        *copies = Paged::at(0, now.iter().map(Pages::copied).sum(), std::mem::take(copies));
        give(&mut slices_of(now, copies))?;
        left = later;
    }
    Ok(())
}

/// How many of these need no more copies than a block; each one needs no more.
fn with_copies_for_a_block(pages: &[Pages<'_>]) -> usize {
    let copied = pages.iter().scan(0, |sum, pages| {
        *sum += pages.copied();
        Some(*sum)
    });
    copied.take_while(|sum| *sum <= BLOCK).count()
}

/// Whole pages on their way to a disk.
enum Pages<'a> {
    /// It takes them from where they are.
    Lent(&'a [u8]),
    /// They begin elsewhere than a page of memory, or these parts meet in them.
    Copied(Vec<&'a [u8]>),
}

impl Pages<'_> {
    /// Bytes.
    fn copied(&self) -> usize {
        match self {
            Self::Lent(_) => 0,
            Self::Copied(parts) => size_of(parts),
        }
    }
}

/// The pages that lie in `parts`, one behind the other.
fn pages_of<'a>(parts: &[&'a [u8]]) -> Vec<Pages<'a>> {
    let (mut pages, mut at) = (Vec::new(), 0_usize);
    for part in parts {
        let (begun, rest) = split_at(part, at.next_multiple_of(PAGE) - at);
        let whole = if begins_a_page(rest) { rest.len() - rest.len() % PAGE } else { 0 };
        let (lent, rest) = rest.split_at(whole);
        copy(begun, &mut pages);
        if !lent.is_empty() {
            pages.push(Pages::Lent(lent));
        }
        copy(rest, &mut pages);
        at += part.len();
    }
    pages
}

/// Adds bytes that are to be copied, a block at most for each.
fn copy<'a>(mut bytes: &'a [u8], pages: &mut Vec<Pages<'a>>) {
    while !bytes.is_empty() {
        let begun = pages.last().map_or(0, Pages::copied) % BLOCK;
        let (now, later) = split_at(bytes, BLOCK - begun);
        match pages.last_mut() {
            Some(Pages::Copied(parts)) if begun > 0 => parts.push(now),
            _ => pages.push(Pages::Copied(vec![now])),
        }
        bytes = later;
    }
}

/// Copies what is not lent into `room`.
fn slices_of<'a>(pages: &[Pages<'a>], mut room: &'a mut [u8]) -> Vec<IoSlice<'a>> {
    let gathered = pages.iter().map(|pages| match pages {
        Pages::Lent(bytes) => IoSlice::new(bytes),
        Pages::Copied(parts) => {
            let (copy, rest) = std::mem::take(&mut room).split_at_mut(size_of(parts));
            room = rest;
            let mut at = 0;
            for part in parts {
                copy[at..at + part.len()].copy_from_slice(part);
                at += part.len();
            }
            IoSlice::new(copy)
        }
    });
    gathered.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_that_lie_otherwise_or_where_parts_meet_are_copied() {
        let bytes = Paged::at(0, 4 * PAGE, Paged::default());
        let copied =
            |parts: &[&[u8]]| pages_of(parts).iter().map(Pages::copied).collect::<Vec<_>>();
        assert_eq!(copied(&[&bytes]), [0]);
        assert_eq!(copied(&[&bytes[..PAGE], &bytes[..PAGE]]), [0, 0]);
        assert_eq!(copied(&[&bytes[1..=3 * PAGE]]), [3 * PAGE]);
        // The second lies in memory as in the file.
        assert_eq!(copied(&[&bytes[..PAGE + 9], &bytes[9..3 * PAGE]]), [0, PAGE, 0]);
        // The second lies otherwise, and so all of it is copied.
        assert_eq!(copied(&[&bytes[..PAGE + 9], &bytes[8..3 * PAGE - 1]]), [0, 3 * PAGE]);
        let few = [&bytes[..PAGE / 2], &bytes[..7], &bytes[..PAGE / 2 - 7], &bytes[..PAGE]];
        assert_eq!(copied(&few), [PAGE, 0]);
    }

    #[test]
    fn what_is_gathered_is_what_lies_in_the_parts_and_each_slice_is_whole_pages() {
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..200 {
            let most = [1 << 10, 64 << 10, 1 << 20][round % 3];
            let length = (random.usize(1..=9) * most).next_multiple_of(PAGE);
            let mut bytes = Paged::at(0, length, Paged::default());
            random.fill(&mut bytes);
            let mut parts = Vec::new();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (part, later) = split_at(rest, random.usize(1..3 * most));
                parts.push(part);
                rest = later;
            }
            // Some lie otherwise.
            let moved: Vec<_> = parts.iter().map(|part| part.to_vec()).collect();
            for (part, moved) in parts.iter_mut().zip(&moved).filter(|_| random.bool()) {
                *part = moved;
            }
            let (mut gathered, mut copies) = (Vec::new(), Paged::default());
            let take = |slices: &mut [IoSlice<'_>]| {
                for slice in slices {
                    assert!(begins_a_page(slice) && slice.len().is_multiple_of(PAGE));
                    gathered.extend_from_slice(slice);
                }
                Ok(())
            };
            gather(&parts, &mut copies, take).unwrap();
            assert!(gathered == *bytes && copies.len() <= BLOCK);
        }
    }
}
