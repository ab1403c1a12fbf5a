//! [`Straight`]: the way of large amounts to the disk, past the memory in which the system keeps what was read and written.
//!
//! There they would push out what others need. Where a disk takes pages from a process (direct I/O), it costs half of what
//! the way through that memory does; but who writes waits for the disk. So this is for a disk alone that is not said to
//! turn, and for amounts that are worth the wait. Elsewhere the system is asked to forget what it was given, as far as it can
//! be asked.
//!
//! It does not promise that anything is durable: a disk has memory of its own. The disk is asked to empty that now and then,
//! or it would take long at the end, when all wait for it (*measured* on one of a virtual machine: 1.2 s for 1 GiB).

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::paged::{PAGE, Paged};
use super::platform::{self, write_all_at};
use super::{gathered, slices};

/// Bytes; what is smaller is left to the system, which writes much of it together.
const SMALL: usize = 64 << 10;
/// Bytes that are worth a wait for the disk: a disk that takes a millisecond for them is as quick as a line of a gigabit
/// a second.
pub(super) const WORTHWHILE: usize = 128 << 10;
/// Bytes that may lie in a disk's own memory before it is asked to write them down.
const UNFLUSHED: usize = 16 << 20;

#[derive(Default)]
pub(super) struct Straight {
    /// For what does not lie in memory as in the file.
    copies: Mutex<Paged>,
    /// A disk said that it takes pages, and then took none.
    is_refused: AtomicBool,
    /// Bytes that the disk took since it was asked to write them down.
    unflushed: AtomicUsize,
}

impl Straight {
    /// Writes all of `parts`, one behind the other, at `offset`.
    pub fn write(
        &self,
        file: &File,
        parts: &[&[u8]],
        offset: u64,
        turns: impl FnOnce() -> Option<bool>,
    ) -> io::Result<()> {
        let size = slices::size_of(parts);
        if size < SMALL {
            return slices::each(parts, offset, |bytes, at| write_all_at(file, bytes, at));
        }
        let goes_direct = size >= WORTHWHILE
            && !self.is_refused.load(Ordering::Relaxed)
            && turns() == Some(false);
        match goes_direct.then(|| platform::open_direct(file)).flatten() {
            Some(direct) => write_around(file, parts, offset, |pages, at| {
                self.write_pages(file, &direct, pages, at)
            }),
            None => platform::write_through(file, parts, offset),
        }
    }

    /// Gives whole pages to the disk, or to the system where the disk refuses them.
    fn write_pages(&self, file: &File, direct: &File, parts: &[&[u8]], at: u64) -> io::Result<()> {
        match self.write_direct(direct, parts, at) {
            Err(e) if is_refusal(&e) => {
                let may_pass = e.kind() == ErrorKind::OutOfMemory;
                self.is_refused.store(!may_pass, Ordering::Relaxed);
                platform::write_through(file, parts, at)
            }
            Err(e) => Err(e),
            Ok(()) => self.flush(direct, slices::size_of(parts)),
        }
    }

    fn write_direct(&self, direct: &File, parts: &[&[u8]], at: u64) -> io::Result<()> {
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        gathered::write(direct, parts, at, &mut copies)
    }

    /// Has the disk write down what it took, if that is much with these bytes of a file.
    fn flush(&self, file: &File, taken: usize) -> io::Result<()> {
        let unflushed = self.unflushed.fetch_add(taken, Ordering::Relaxed) + taken;
        if unflushed >= UNFLUSHED {
            // In memory may be what the disk has not, and who syncs the file later is not told again.
            file.sync_data().inspect_err(|_| platform::forget(file))?;
            self.unflushed.store(0, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Whether it was the way that something could not go, and not the place it was for.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidInput | ErrorKind::Unsupported | ErrorKind::OutOfMemory
    )
}

impl fmt::Debug for Straight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Straight").field("is_refused", &self.is_refused).finish_non_exhaustive()
    }
}

/// Writes all of `parts` at `offset`, whole pages by way of `pages`, and what comes before and after them as usual.
pub(super) fn write_around(
    file: &File,
    parts: &[&[u8]],
    offset: u64,
    pages: impl FnOnce(&[&[u8]], u64) -> io::Result<()>,
) -> io::Result<()> {
    let [head, middle, tail] = cut(parts, offset);
    let first = offset + slices::size_of(&head) as u64;
    slices::each(&head, offset, |bytes, at| write_all_at(file, bytes, at))?;
    pages(&middle, first)?;
    slices::each(&tail, first + slices::size_of(&middle) as u64, |bytes, at| {
        write_all_at(file, bytes, at)
    })
}

/// What comes before the first whole page, the whole pages, and what comes after them.
fn cut<'a>(parts: &[&'a [u8]], offset: u64) -> [Vec<&'a [u8]>; 3] {
    let to_page = usize::try_from(offset.next_multiple_of(PAGE as u64) - offset).unwrap_or(PAGE);
    let pages = slices::size_of(parts).saturating_sub(to_page) / PAGE * PAGE;
    slices::split(parts, [to_page, pages, usize::MAX])
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
            let offset = random.usize(0..3 << 20) & [!0, !(PAGE - 1)][round % 2];
            let length = random.usize(0..[3 * PAGE, 2 << 20][round / 2 % 2]);
            // What lies in memory as in the file is not copied.
            let place = [offset, random.usize(..PAGE)][round / 4 % 2];
            let mut bytes = Paged::at(place as u64, length, Paged::default());
            random.fill(&mut bytes);
            let end = offset + length;
            expected.resize(expected.len().max(end), 0);
            expected[offset..end].copy_from_slice(&bytes);
            let (parts, at) = (halves(&bytes, random.usize(..=length)), offset as u64);
            match round % 3 {
                0 => root.write_at(&file, &bytes, at).unwrap(),
                way => straight.write(&file, &parts, at, || Some(way == 1)).unwrap(),
            }
            // What is kept in memory must not be older than what the disk has.
            let mut read = vec![0; length];
            platform::read_exact_at(&file, &mut read, offset as u64).unwrap();
            assert!(read == *bytes);
        }
        assert!(std::fs::read(dir.path().join("f")).unwrap() == expected);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn file_systems_that_are_known_to_take_pages_are_given_them() {
        /// ext4 and XFS: <https://man7.org/linux/man-pages/man2/statfs.2.html>
        const TAKE_PAGES: [i128; 2] = [0xef53, 0x5846_5342];
        let file = tempfile::tempfile().unwrap();
        let kind = i128::from(rustix::fs::fstatfs(&file).unwrap().f_type);
        let tells = platform::linux_version() >= Some((6, 1));
        let direct = platform::open_direct(&file);
        assert!(direct.is_some() || !(tells && TAKE_PAGES.contains(&kind)), "{kind:#x}");
        let (straight, bytes) = (Straight::default(), vec![7; WORTHWHILE + 1]);
        if let Some(direct) = direct.as_ref().filter(|_| TAKE_PAGES.contains(&kind)) {
            // They take no part of one.
            assert!(is_refusal(&straight.write_direct(direct, &[&bytes[..9]], 0).unwrap_err()));
        }
        straight.write(&file, &[&bytes], 3, || Some(false)).unwrap();
        let mut read = vec![0; bytes.len()];
        platform::read_exact_at(&file, &mut read, 3).unwrap();
        assert!(read == bytes && !straight.is_refused.into_inner());
        // The disk itself took all pages but the first and the last, of which the system has a part each.
        let taken = if direct.is_some() { WORTHWHILE - PAGE } else { 0 };
        assert_eq!(straight.unflushed.into_inner(), taken);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_disk_that_took_much_is_asked_to_write_it_down_until_it_did() {
        let (straight, file) = (Straight::default(), tempfile::tempfile().unwrap());
        let cannot = File::open("/dev/null").unwrap();
        for _ in 0..2 {
            straight.flush(&cannot, UNFLUSHED - 1).unwrap();
            for taken in [1, 0] {
                let error = straight.flush(&cannot, taken).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
            }
            straight.flush(&file, 0).unwrap();
        }
    }

    #[test]
    fn only_whole_pages_are_cut_out() {
        let bytes = [0; 3 * PAGE];
        for first in [0, 1, 5, PAGE, 2 * PAGE + 7] {
            let sizes = |size: usize, offset| {
                let parts = halves(&bytes[..size], first.min(size));
                cut(&parts, offset).map(|parts| slices::size_of(&parts))
            };
            assert_eq!(sizes(3 * PAGE, 0), [0, 3 * PAGE, 0]);
            assert_eq!(sizes(3 * PAGE, 1), [PAGE - 1, 2 * PAGE, 1]);
            assert_eq!(sizes(PAGE, 1), [PAGE - 1, 0, 1]);
            assert_eq!(sizes(5, 1), [5, 0, 0]);
            assert_eq!(sizes(0, 1), [0, 0, 0]);
            assert_eq!(sizes(PAGE + 5, PAGE as u64), [0, PAGE, 5]);
        }
    }

    fn halves(bytes: &[u8], at: usize) -> [&[u8]; 2] {
        let (first, second) = bytes.split_at(at);
        [first, second]
    }
}
