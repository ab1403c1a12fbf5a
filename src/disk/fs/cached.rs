//! [`Cached`]: a part of a file that the system holds in memory, and where it lies.
//!
//! Who is about to read it can have the processor fetch it meanwhile. Nobody reads from that memory itself: when the file
//! is cut off it is gone, and a process that reads there is ended by a signal.

use std::fs::File;
use std::ops::Range;

use memmap2::MmapRaw;

use super::platform;

#[derive(Debug)]
pub struct Cached {
    memory: MmapRaw,
    part: Range<u64>,
}

impl Cached {
    /// `None` where the disk would have to be asked for it, or the system does not tell.
    pub fn of(file: &File, part: Range<u64>) -> Option<Self> {
        let memory = platform::cached(file, &part)?;
        Some(Self { memory, part })
    }

    /// Whether a byte of the file is in the part.
    pub fn reaches(&self, offset: u64) -> bool {
        self.part.contains(&offset)
    }

    /// Where a byte of the part lies.
    pub fn address(&self, offset: u64) -> *const u8 {
        let distance = offset.saturating_sub(self.part.start);
        self.memory.as_ptr().wrapping_add(usize::try_from(distance).unwrap_or_default())
    }
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    #[expect(unsafe_code, reason = "the memory itself is looked at")]
    fn what_was_just_written_lies_in_memory_where_it_says() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        file.write_all(&bytes).unwrap();
        let cached = Cached::of(&file, 5_000..400_000).unwrap();
        assert_eq!(
            [4_999, 5_000, 399_999, 400_000].map(|at| cached.reaches(at)),
            [false, true, true, false]
        );
        for at in [5_000, 8_192, 100_001, 399_999] {
            // SAFETY: it is in the part, and nobody cuts the file off.
            assert_eq!(unsafe { *cached.address(at as u64) }, bytes[at], "byte {at}");
        }
    }

    #[test]
    fn what_the_disk_would_have_to_be_asked_for_is_not_there() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![1; 100_000]).unwrap();
        file.set_len(1 << 20).unwrap();
        assert!(Cached::of(&file, 0..1 << 20).is_none());
        assert!(Cached::of(&file, 0..100_000).is_some());
        assert!(Cached::of(&file, 2 << 20..3 << 20).is_none());
    }
}
