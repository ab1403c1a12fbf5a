//! [`Cached`]: a part of a file that the system holds in memory, and where it lies.
//!
//! Who is about to read it can have the processor fetch it meanwhile. Nobody reads from that memory itself: when the file
//! is cut off it is gone, and a process that reads there is ended by a signal.
//!
//! *Measured* on two cores of a Xeon (Emerald Rapids), a check of one file of 2 GiB: a tenth to a quarter less time where
//! the system holds it in large parts, as it does what was written or read ahead; where it holds it page by page, neither
//! more nor less.

use std::fs::File;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::MmapRaw;

use super::platform;

/// Bytes that are in reach at once: they count as memory of this process. Four threads read as many at once in pieces of
/// 1 MiB, and two in pieces of 4 MiB; others do without.
const MOST: u64 = 128 << 20;

static TAKEN: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
pub struct Cached {
    memory: MmapRaw,
    part: Range<u64>,
    _room: Room,
}

impl Cached {
    /// `None` where the disk would have to be asked for some of it, as far as the system tells; where it does not tell; and
    /// while others take all the room there is.
    pub fn of(file: &File, part: Range<u64>) -> Option<Self> {
        let length = part.end.checked_sub(part.start)?;
        let room = Room::take(&TAKEN, length)?;
        let memory = platform::cached(file, part.start, length)?;
        Some(Self { memory, part, _room: room })
    }

    /// Where a byte of the file lies, if it is in this part.
    pub fn address(&self, offset: u64) -> Option<*const u8> {
        let distance = self.part.contains(&offset).then(|| offset - self.part.start)?;
        Some(self.memory.as_ptr().wrapping_add(usize::try_from(distance).ok()?))
    }
}

/// A part of [`MOST`], which is given back when it is dropped.
#[derive(Debug)]
struct Room {
    taken: &'static AtomicU64,
    length: u64,
}

impl Room {
    fn take(taken: &'static AtomicU64, length: u64) -> Option<Self> {
        let more = |now: u64| now.checked_add(length).filter(|sum| *sum <= MOST);
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self { taken, length })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.length, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_while_there_is_some_and_comes_back() {
        static TAKEN: AtomicU64 = AtomicU64::new(0);
        let most = Room::take(&TAKEN, MOST - 1).unwrap();
        assert!(Room::take(&TAKEN, 2).is_none());
        assert!(Room::take(&TAKEN, u64::MAX).is_none());
        let rest = Room::take(&TAKEN, 1).unwrap();
        drop(most);
        assert!(Room::take(&TAKEN, MOST).is_none());
        drop(rest);
        assert!(Room::take(&TAKEN, MOST).is_some());
    }

    #[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
    #[test]
    #[expect(unsafe_code, reason = "the memory itself is looked at")]
    fn what_was_just_written_lies_in_memory_where_it_says() {
        use std::io::{Seek, SeekFrom, Write};

        use crate::disk::fs::paged::PAGE;
        const HOLE: u64 = 10 * PAGE as u64;
        /// ext4 and XFS: <https://man7.org/linux/man-pages/man2/statfs.2.html>
        const TELL: [i128; 2] = [0xef53, 0x5846_5342];
        let mut file = tempfile::tempfile().unwrap();
        file.seek(SeekFrom::Start(HOLE)).unwrap();
        let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        file.write_all(&bytes).unwrap();
        let (start, end) = (HOLE + 5_000, HOLE + 400_000);
        let kind = i128::from(rustix::fs::fstatfs(&file).unwrap().f_type);
        let tells = TELL.contains(&kind) && platform::linux_version() >= Some((6, 5));
        let cached = Cached::of(&file, start..end).filter(|_| TELL.contains(&kind));
        let Some(cached) = cached else { return assert!(!tells, "{kind:#x}") };
        for at in [start, start + 3_192, start + 95_001, end - 1] {
            // SAFETY: it is in the part, and nobody cuts the file off.
            let byte = unsafe { *cached.address(at).unwrap() };
            assert_eq!(byte, bytes[usize::try_from(at - HOLE).unwrap()], "byte {at}");
        }
        assert_eq!([start - 1, end].map(|at| cached.address(at)), [None, None]);
        assert!(Cached::of(&file, 0..end).is_none(), "the disk would be asked for the hole");
        assert!(
            Cached::of(&file, end..end + (1 << 20)).is_none(),
            "there is nothing after the end"
        );
    }
}
