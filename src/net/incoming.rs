//! [`Incoming`]: pieces on their way, in memory until they are whole.
//!
//! librqbit writes a piece in blocks of 16 KiB (BEP 3) and reads it back to hash it. From here it reads what never
//! was on a disk, and a piece that is right is written once, however many files it touches.
//!
//! It does not promise room: a piece for which there is none is to be written as it comes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of all pieces together.
const ROOM: usize = 16 << 20;

#[derive(Debug, Default)]
pub(super) struct Incoming(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// `None`: for this one there was no room when it began.
    pieces: BTreeMap<usize, Option<Vec<u8>>>,
    /// Of pieces that are gone: memory that was touched is quicker than new.
    spare: Vec<Vec<u8>>,
    used: usize,
}

impl Incoming {
    /// Takes a block at an offset of a piece of this size; `false` when the piece has no room here.
    pub fn write(&self, piece: usize, size: usize, offset: usize, block: &[u8]) -> bool {
        let mut state = self.lock();
        let place = state.place(piece, size);
        let Some(room) = place.and_then(|bytes| bytes.get_mut(offset..offset + block.len())) else {
            return false;
        };
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

    /// Lets go of a piece, when `done` has had it if it is here.
    pub fn finish<T>(&self, piece: usize, done: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let bytes = self.lock().pieces.remove(&piece).flatten()?;
        let result = done(&bytes);
        let mut state = self.lock();
        state.used -= bytes.len();
        state.spare.push(bytes);
        Some(result)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn place(&mut self, piece: usize, size: usize) -> Option<&mut Vec<u8>> {
        if !self.pieces.contains_key(&piece) {
            let has_room = self.used + size <= ROOM;
            let bytes = has_room.then(|| {
                let mut bytes = self.spare.pop().unwrap_or_default();
                bytes.resize(size, 0);
                bytes
            });
            self.used += bytes.as_ref().map_or(0, Vec::len);
            self.pieces.insert(piece, bytes);
        }
        self.pieces.get_mut(&piece)?.as_mut()
    }
}
