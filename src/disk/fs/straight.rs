//! [`Straight`]: the way of large amounts to the disk, past the memory in which the system keeps what was read and written.
//!
//! They push nothing out there that others need. Where a disk takes pages from where they are (direct I/O), it costs half
//! of what a way through that memory costs, and a failure is told at once; but who writes waits for the disk, so this is
//! not for disks that turn: they are quicker when they may choose what to write first.
//!
//! It does not promise that anything is durable: a disk has memory of its own.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::sync::{Mutex, PoisonError};

use super::platform::{self, write_all_at};

/// Bytes of a page, by which memory, files and disks are cut.
pub(super) const PAGE: usize = 4096;
/// Bytes that a disk is given at once.
const BLOCK: usize = 1 << 20;

/// Memory on its way to the disk: it has to begin with a page.
#[derive(Debug, Default)]
pub(super) struct Straight(Mutex<Vec<u8>>);

impl Straight {
    /// Writes all of `bytes` at `offset`. What is written of a page in part stays in memory: the rest of it is still to
    /// come, and would have to wait until the page was read again.
    pub fn write(
        &self,
        file: &File,
        bytes: &[u8],
        offset: u64,
        may_wait: impl FnOnce() -> bool,
    ) -> io::Result<()> {
        let (head, pages, tail) = cut(bytes, offset);
        let (first, last) =
            (offset + head.len() as u64, offset + (bytes.len() - tail.len()) as u64);
        write_all_at(file, head, offset)?;
        if !pages.is_empty() {
            let direct = may_wait().then(|| platform::open_direct(file)).flatten();
            match direct.map(|file| self.write_direct(&file, pages, first)) {
                Some(Err(e)) if e.kind() == ErrorKind::InvalidInput => {
                    platform::write_through(file, pages, first)
                }
                Some(written) => written,
                None => platform::write_through(file, pages, first),
            }?;
        }
        write_all_at(file, tail, last)
    }

    fn write_direct(&self, file: &File, pages: &[u8], mut offset: u64) -> io::Result<()> {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.resize(BLOCK + PAGE, 0);
        let first_page = memory.as_ptr().align_offset(PAGE);
        for part in pages.chunks(BLOCK) {
            let block = memory.get_mut(first_page..first_page + part.len());
            let block = block.ok_or(ErrorKind::InvalidInput)?;
            block.copy_from_slice(part);
            write_all_at(file, block, offset)?;
            offset += part.len() as u64;
        }
        Ok(())
    }
}

/// What comes before the first whole page, the whole pages, and what comes after them.
fn cut(bytes: &[u8], offset: u64) -> (&[u8], &[u8], &[u8]) {
    let to_page = usize::try_from(offset.next_multiple_of(PAGE as u64) - offset).unwrap_or(PAGE);
    let (head, rest) = bytes.split_at(to_page.min(bytes.len()));
    let (pages, tail) = rest.split_at(rest.len() - rest.len() % PAGE);
    (head, pages, tail)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::disk::fs::Root;

    #[test]
    fn bytes_lie_where_they_were_written_whichever_way_they_went() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let (mut random, mut expected) = (fastrand::Rng::with_seed(7), Vec::new());
        let (straight, file) = (Straight::default(), root.open_sparse("f").unwrap());
        for round in 0..200 {
            let offset = random.usize(0..3 * BLOCK) & [!0, !(PAGE - 1)][round % 2];
            let length = random.usize(0..[3 * PAGE, 2 * BLOCK][round / 2 % 2]);
            let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
            let end = offset + length;
            expected.resize(expected.len().max(end), 0);
            expected[offset..end].copy_from_slice(&bytes);
            match round % 3 {
                0 => root.write_at(&file, &bytes, offset as u64).unwrap(),
                way => straight.write(&file, &bytes, offset as u64, || way == 1).unwrap(),
            }
            // What is kept in memory must not be older than what the disk has.
            let mut read = vec![0; length];
            platform::read_exact_at(&file, &mut read, offset as u64).unwrap();
            assert_eq!(read, bytes);
        }
        assert!(std::fs::read(dir.path().join("f")).unwrap() == expected);
    }

    #[test]
    fn only_whole_pages_are_cut_out() {
        let bytes = [0; 3 * PAGE];
        let lengths = |size, offset| {
            let (head, pages, tail) = cut(&bytes[..size], offset);
            (head.len(), pages.len(), tail.len())
        };
        assert_eq!(lengths(3 * PAGE, 0), (0, 3 * PAGE, 0));
        assert_eq!(lengths(3 * PAGE, 1), (PAGE - 1, 2 * PAGE, 1));
        assert_eq!(lengths(PAGE, 1), (PAGE - 1, 0, 1));
        assert_eq!(lengths(5, 1), (5, 0, 0));
        assert_eq!(lengths(0, 1), (0, 0, 0));
        assert_eq!(lengths(PAGE + 5, PAGE as u64), (0, PAGE, 5));
    }
}
