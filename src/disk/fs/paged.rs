//! [`Paged`]: bytes on their way to a file, which lie to the pages of memory as they will lie to those of the file.
//!
//! A disk takes whole pages from a process (see [`Straight`](super::straight::Straight)). What lies otherwise is copied
//! first.

use std::ops::{Deref, DerefMut, Range};

use super::straight::WORTHWHILE;

/// Bytes by which memory, files and disks are cut. On ARM, pages may be as large.
pub(super) const PAGE: usize = if cfg!(target_arch = "aarch64") { 64 << 10 } else { 4 << 10 };

#[derive(Debug, Default)]
pub struct Paged {
    memory: Vec<u8>,
    bytes: Range<usize>,
}

impl Paged {
    /// `length` bytes for a place in a file. In memory that had others, any of those may be here again. Few bytes lie
    /// anywhere: to copy them on their way costs less than the room.
    pub fn bound_for(place: u64, length: usize, used: Self) -> Self {
        if length >= WORTHWHILE {
            return Self::at(place, length, used);
        }
        let mut memory = used.memory;
        memory.resize(length, 0);
        Self { memory, bytes: 0..length }
    }

    /// The same, however few they are.
    pub(super) fn at(place: u64, length: usize, used: Self) -> Self {
        let mut memory = used.memory;
        memory.resize(length + PAGE, 0);
        let to_page = memory.as_ptr().align_offset(PAGE);
        let in_page = usize::try_from(place % PAGE as u64).unwrap_or_default();
        let first = to_page.wrapping_add(in_page) % PAGE;
        Self { memory, bytes: first..first + length }
    }
}

impl Deref for Paged {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.bytes.clone()]
    }
}

impl DerefMut for Paged {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.bytes.clone()]
    }
}

/// Whether a disk takes these from where they are in memory.
pub(super) fn begins_a_page(bytes: &[u8]) -> bool {
    bytes.as_ptr().align_offset(PAGE) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_the_file_is_a_page_of_memory() {
        let mut paged = Paged::default();
        for (place, length) in [(0, 9), (1, 3 * PAGE), (u64::MAX, 2 * PAGE), (7 << 40, PAGE)] {
            paged = Paged::at(place, length, paged);
            assert_eq!(paged.len(), length);
            paged.fill(7);
            let to_page = (PAGE as u64 - place % PAGE as u64) % PAGE as u64;
            let to_page = usize::try_from(to_page).unwrap_or_default().min(length);
            assert!(length < PAGE || begins_a_page(&paged[to_page..]));
        }
    }
}
