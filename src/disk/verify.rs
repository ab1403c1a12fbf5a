//! Hashes pieces on all cores and says which are right.
//!
//! It reads through a [`Content`], so the same code judges the live folder, the staged content and a
//! mixture of both. It changes nothing and does not say *why* a piece is wrong.

use std::io;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use sha1::{Digest, Sha1};

use crate::model::manifest::{EntryIndex, Manifest, PieceSet};

/// Pieces handed to a thread at once: enough to keep neighbours in one file on one thread.
const BATCH: usize = 16;
/// Bytes read at once.
const BUFFER: usize = 1 << 20;

/// Bytes of the files of a manifest, wherever they are.
pub trait Content: Sync {
    /// Fills `buf` with the bytes of an entry as they stand in `piece`. An error means they are not
    /// there: the piece does not count.
    fn read(&self, piece: usize, entry: EntryIndex, offset: u64, buf: &mut [u8]) -> io::Result<()>;
}

/// A wish to stop, shared between who wishes and who works.
#[derive(Debug, Default)]
pub struct Cancel(AtomicBool);

impl Cancel {
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The work was stopped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped")]
pub struct Cancelled;

/// Which of `wanted` have the bytes the manifest says. `progress` is told bytes, the sum so far.
pub fn verify(
    manifest: &Manifest,
    wanted: &PieceSet,
    content: &impl Content,
    cancel: &Cancel,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<PieceSet, Cancelled> {
    let wanted: Vec<usize> = wanted.iter().collect();
    let next = AtomicUsize::new(0);
    let hashed = AtomicU64::new(0);
    let right = Mutex::new(PieceSet::none(manifest.pieces.len()));
    let work = || {
        let mut buffer = vec![0; BUFFER];
        let mut mine = Vec::new();
        while !cancel.is_cancelled() {
            let start = next.fetch_add(BATCH, Ordering::Relaxed);
            let Some(rest) = wanted.get(start..).filter(|rest| !rest.is_empty()) else {
                break;
            };
            for &piece in &rest[..rest.len().min(BATCH)] {
                if cancel.is_cancelled() {
                    break;
                }
                if is_right(manifest, piece, content, &mut buffer) {
                    mine.push(piece);
                }
                let size = manifest.piece_size(piece);
                progress(hashed.fetch_add(size, Ordering::Relaxed) + size);
            }
        }
        let mut right = right.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for piece in mine {
            right.insert(piece);
        }
    };
    std::thread::scope(|scope| {
        let threads = threads().min(wanted.len().div_ceil(BATCH));
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    if cancel.is_cancelled() {
        return Err(Cancelled);
    }
    Ok(right.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// Whether one piece has the bytes the manifest says.
fn is_right(manifest: &Manifest, piece: usize, content: &impl Content, buffer: &mut [u8]) -> bool {
    let mut hash = Sha1::new();
    for span in manifest.spans(piece) {
        let (mut offset, end) = (span.offset, span.offset + span.length);
        while offset < end {
            let size = usize::try_from(end - offset).unwrap_or(BUFFER).min(BUFFER);
            let chunk = &mut buffer[..size];
            if content.read(piece, span.entry, offset, chunk).is_err() {
                return false;
            }
            hash.update(&*chunk);
            offset += size as u64;
        }
    }
    manifest.pieces.get(piece).is_some_and(|expected| hash.finalize()[..] == expected[..])
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}
