//! [`find`]: where a few bytes stand in a long file.

use std::io;

use memchr::memmem::Finder;

use crate::disk::staging::Staging;
use crate::disk::verify::{Cancel, Cancelled};
use crate::model::manifest::EntryIndex;

/// Bytes of a needle.
const LENGTH: usize = 64;
/// A needle of fewer different bytes may stand anywhere.
const VARIETY: usize = 12;
/// How far from the end of a piece a needle is taken, at most.
const REACH: usize = 64 << 10;
/// How far from its place in the new file a needle is looked for, in bytes.
const AROUND: u64 = 256 << 20;
/// Bytes looked through at once.
const WINDOW: usize = 4 << 20;
/// Places of one needle that are told.
const PLACES: usize = 4;

/// A few bytes from the end or the beginning of a piece.
#[derive(Debug)]
pub struct Needle {
    pub piece: usize,
    pub entry: EntryIndex,
    /// Where they stand in the file.
    pub offset: u64,
    bytes: [u8; LENGTH],
}

/// One from each end of a piece that has arrived, where there are bytes that tell it from others.
pub fn needles_of(piece: usize, entry: EntryIndex, staging: &Staging) -> Vec<Needle> {
    let Some(span) = staging.manifest.spans(piece).find(|span| span.entry == entry) else {
        return Vec::new();
    };
    let size = usize::try_from(span.length).unwrap_or(usize::MAX).min(REACH);
    let mut bytes = vec![0; size];
    let ends = [(span.offset, false), (span.offset + span.length - size as u64, true)];
    let needle = |(start, is_end): (u64, bool)| {
        staging.read_at(entry, start, &mut bytes).ok()?;
        let is_telling = |at: &usize| is_telling(&bytes[*at..*at + LENGTH]);
        let mut places = (0..=size.checked_sub(LENGTH)?).step_by(LENGTH);
        let at = if is_end {
            places.map(|at| size - LENGTH - at).find(is_telling)?
        } else {
            places.find(is_telling)?
        };
        let found = bytes[at..at + LENGTH].try_into().ok()?;
        Some(Needle { piece, entry, offset: start + at as u64, bytes: found })
    };
    ends.into_iter().filter_map(needle).collect()
}

fn is_telling(bytes: &[u8]) -> bool {
    let mut seen = [false; 256];
    bytes.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    seen.into_iter().filter(|seen| *seen).count() >= VARIETY
}

/// A few places of each needle in a file of this length, not too far from where it stands in the new one.
pub fn find<'n>(
    needles: &[&'n Needle],
    length: u64,
    read: impl Fn(u64, &mut [u8]) -> io::Result<()>,
    cancel: &Cancel,
) -> Result<Vec<(&'n Needle, u64)>, Cancelled> {
    let mut finders: Vec<_> =
        needles.iter().map(|needle| (*needle, Finder::new(&needle.bytes), 0)).collect();
    let mut found = Vec::new();
    let mut window = vec![0; WINDOW];
    let far = |needle: &&Needle| needle.offset.saturating_add(AROUND);
    let length = needles.iter().map(far).max().unwrap_or(0).min(length);
    let near = needles.iter().map(|needle| needle.offset.saturating_sub(AROUND)).min();
    let mut start = near.unwrap_or(0);
    while start < length && !finders.is_empty() {
        if cancel.is_cancelled() {
            return Err(Cancelled);
        }
        let size = usize::try_from(length - start).unwrap_or(usize::MAX).min(WINDOW);
        let bytes = &mut window[..size];
        if read(start, bytes).is_err() {
            break;
        }
        for (needle, finder, places) in &mut finders {
            for at in finder.find_iter(bytes).take(PLACES - *places) {
                found.push((*needle, start + at as u64));
                *places += 1;
            }
        }
        finders.retain(|(_, _, places)| *places < PLACES);
        if start + size as u64 == length {
            break;
        }
        // One that stands across the border is found with the next bytes.
        start += (size - (LENGTH - 1)) as u64;
    }
    Ok(found)
}
