//! [`Mapped`]: a part of a file in the memory where the system holds it, to be read there.
//!
//! When a file is cut off, or its disk fails once the system has given up some of what it held, nothing is left to be
//! read there, and the system ends a process that tries: by `SIGBUS`, says
//! [mmap(2)](https://man7.org/linux/man-pages/man2/mmap.2.html). So that signal is taken, and what is gone reads as zeros.
//! Where anything else is the reason, whoever took the signal before has it, as if this were not here.

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use libc::{c_int, c_void, sigaction, siginfo_t};
use linux_raw_sys::general::{__NR_cachestat, cachestat, cachestat_range};
use memmap2::{Advice, MmapOptions, MmapRaw};

use super::paged::PAGE;

#[derive(Debug)]
pub struct Mapped {
    // It is let go of before the memory is given back, where something else can be mapped then.
    _watched: Watched,
    memory: MmapRaw,
}

impl Mapped {
    /// `length` bytes of a file from `offset` on. `None` where the disk would have to be asked for some of them, as far as
    /// the system tells, and where it does not tell.
    pub fn of(file: &File, offset: u64, length: u64) -> Option<Self> {
        if cached_bytes(file, offset, length)? < length {
            return None;
        }
        let length = usize::try_from(length).ok()?;
        let memory = MmapOptions::new().offset(offset).len(length).map_raw_read_only(file).ok()?;
        let watched = Watched::new(&memory)?;
        memory.advise(Advice::Sequential).ok()?;
        memory.advise(Advice::PopulateRead).ok()?;
        Some(Self { _watched: watched, memory })
    }
}

impl AsRef<[u8]> for Mapped {
    /// The bytes as they are: others may change them while they are looked at.
    #[expect(unsafe_code, reason = "what others do to a file is not for the compiler to know")]
    fn as_ref(&self) -> &[u8] {
        // SAFETY: it is mapped while this lives, and what was cut off reads as zeros. Whoever computes from bytes that
        // change meanwhile gets a wrong result, and must take any.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr(), self.memory.len()) }
    }
}

/// How much of a part of a file lies in memory: bytes, in whole pages. Linux tells since 6.5, and later only those who may
/// write the file or own it (`cachestat` in <https://github.com/torvalds/linux/blob/v6.18/mm/filemap.c>).
#[expect(unsafe_code, reason = "only the system itself can be asked for it")]
fn cached_bytes(file: &File, offset: u64, length: u64) -> Option<u64> {
    let part = cachestat_range { off: offset, len: length };
    let mut found = cachestat {
        nr_cache: 0,
        nr_dirty: 0,
        nr_writeback: 0,
        nr_evicted: 0,
        nr_recently_evicted: 0,
    };
    // SAFETY: the file is open, and what is passed is what the system takes and fills.
    let answer = unsafe {
        let file = file.as_raw_fd();
        libc::syscall(__NR_cachestat.into(), file, &raw const part, &raw mut found, 0)
    };
    (answer == 0).then(|| found.nr_cache.saturating_mul(PAGE as u64))
}

/// A place in which what is mapped is written down for as long as this lives.
#[derive(Debug)]
struct Watched(&'static Place);

/// Addresses of the first byte and of the one after the last; both 0 where there are none.
#[derive(Debug)]
struct Place {
    start: AtomicUsize,
    end: AtomicUsize,
}

static PLACES: [Place; 64] =
    [const { Place { start: AtomicUsize::new(0), end: AtomicUsize::new(0) } }; 64];

impl Watched {
    /// `None` where too much is mapped already, or the system does not let the signal be taken.
    fn new(memory: &MmapRaw) -> Option<Self> {
        take_signal()?;
        let start = memory.as_ptr().addr();
        let claim = |place: &&Place| {
            place.start.compare_exchange(0, start, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        let place = PLACES.iter().find(claim)?;
        place.end.store(start + memory.len(), Ordering::Relaxed);
        Some(Self(place))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.end.store(0, Ordering::Relaxed);
        self.0.start.store(0, Ordering::Release);
    }
}

/// Who took the signal before.
static BEFORE: OnceLock<sigaction> = OnceLock::new();

/// Has [`on_bus_error`] called, from now on and for good.
#[expect(unsafe_code, reason = "a signal can be taken in no other way")]
fn take_signal() -> Option<()> {
    static TAKEN: OnceLock<Option<()>> = OnceLock::new();
    *TAKEN.get_or_init(|| {
        // SAFETY: all of it may be zero, and the system fills it; the function does only what a signal's may.
        unsafe {
            let mut before = MaybeUninit::<sigaction>::zeroed();
            (libc::sigaction(libc::SIGBUS, ptr::null(), before.as_mut_ptr()) == 0).then_some(())?;
            BEFORE.get_or_init(|| before.assume_init());
            let mut ours = MaybeUninit::<sigaction>::zeroed().assume_init();
            ours.sa_sigaction = on_bus_error as *const () as usize;
            ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            (libc::sigaction(libc::SIGBUS, &raw const ours, ptr::null_mut()) == 0).then_some(())
        }
    })
}

/// Puts zeros where there is nothing left to be read. What it does may be done at any time
/// ([signal-safety(7)](https://man7.org/linux/man-pages/man7/signal-safety.7.html)).
#[expect(unsafe_code, reason = "a signal can be taken in no other way")]
extern "C" fn on_bus_error(signal: c_int, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: the system fills it.
    let (address, reason) = unsafe { ((*info).si_addr().addr(), (*info).si_code) };
    let is_ours = |place: &Place| {
        let [start, end] = [&place.start, &place.end].map(|at| at.load(Ordering::Relaxed));
        (start..end).contains(&address)
    };
    let was_read = reason > 0;
    if was_read && PLACES.iter().any(is_ours) && put_zeros(address) {
        return;
    }
    // It comes once more, and to whom it came before.
    // SAFETY: this was the system's own answer.
    unsafe {
        let before = BEFORE.get().map_or(ptr::null(), ptr::from_ref);
        libc::sigaction(signal, before, ptr::null_mut());
        libc::raise(signal);
    }
}

/// Whether the page around an address reads as zeros now. It must be one of ours.
#[expect(unsafe_code, reason = "only the system itself can do it")]
fn put_zeros(address: usize) -> bool {
    let page = ptr::without_provenance_mut(address - address % PAGE);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    // SAFETY: the page is mapped, and given back as a part of what it lies in.
    unsafe { libc::mmap(page, PAGE, libc::PROT_READ, flags, -1, 0) != libc::MAP_FAILED }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    use super::*;

    const PAGES: usize = 4;

    /// A file of ones, mapped whole. The system tells of what memory alone holds, too.
    fn ones() -> (File, MmapRaw) {
        use std::io::Write;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; PAGES * PAGE]).unwrap();
        let memory = MmapOptions::new().map_raw_read_only(&file).unwrap();
        (file, memory)
    }

    #[test]
    fn what_is_cut_off_reads_as_zeros_and_the_rest_as_it_was() {
        let (file, memory) = ones();
        let mapped = Mapped { _watched: Watched::new(&memory).unwrap(), memory };
        for left in [PAGES - 1, 1] {
            file.set_len((left * PAGE) as u64).unwrap();
            let (there, gone) = mapped.as_ref().split_at(left * PAGE);
            assert!(there.iter().all(|byte| *byte == 1));
            assert!(gone.iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn a_place_is_free_again_after_use() {
        for _ in 0..2 * PLACES.len() {
            let (_, memory) = ones();
            assert!(Watched::new(&memory).is_some());
        }
    }

    #[test]
    #[expect(unsafe_code, reason = "what is not watched is looked at")]
    fn whatever_else_is_cut_off_or_sent_ends_the_process_as_before() {
        const NAME: &str = "whatever_else_is_cut_off_or_sent_ends_the_process_as_before";
        const CHILD: &str = "MODSYNC_TEST_ENDS_BY";
        let Ok(way) = std::env::var(CHILD) else {
            for way in ["reading", "a signal"] {
                let mut child = Command::new(std::env::current_exe().unwrap());
                child.args(["--exact", &format!("disk::fs::mapped::tests::{NAME}")]);
                child.env(CHILD, way).stdout(Stdio::null()).stderr(Stdio::null());
                assert_eq!(child.status().unwrap().signal(), Some(libc::SIGBUS), "{way}");
            }
            return;
        };
        let (file, memory) = ones();
        take_signal().unwrap();
        if way == "reading" {
            file.set_len(0).unwrap();
            // SAFETY: it is mapped; nothing comes after.
            unsafe { memory.as_ptr().read_volatile() };
        }
        // Rust's own answer to the first one is to leave those that follow to the system.
        // SAFETY: it does no more than to send a signal.
        (0..2).for_each(|_| unsafe { assert_eq!(libc::raise(libc::SIGBUS), 0) });
    }
}
