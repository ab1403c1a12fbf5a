//! [`Mapped`]: a part of a file in the memory where the system holds it, to be read there.
//!
//! When a file is cut off, or its disk fails once the system has given up some of what it held, nothing is left to be
//! read there, and the system ends a process that tries: by `SIGBUS`, says
//! [mmap(2)](https://man7.org/linux/man-pages/man2/mmap.2.html). So that signal is taken: what is gone reads as zeros, and
//! [`Mapped::is_torn`] tells. Where anything else is the reason, whoever took the signal before has it from then on: nothing
//! more is mapped, and what is mapped already is as it would be without this.

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use libc::{c_int, c_void, sigaction, siginfo_t};
use linux_raw_sys::general::{__NR_cachestat, cachestat, cachestat_range};
use memmap2::{Advice, MmapOptions, MmapRaw};

use super::paged::PAGE;

#[derive(Debug)]
pub struct Mapped {
    // It ends before the memory is given back, where something else can be mapped then.
    watch: Watch,
    memory: MmapRaw,
}

impl Mapped {
    /// `length` bytes of a file from `offset` on. `None` where the disk would have to be asked for some of them, as far as
    /// the system tells; where it does not tell; and while much is mapped already.
    pub fn of(file: &File, offset: u64, length: u64) -> Option<Self> {
        if cached_bytes(file, offset, length)? < length {
            return None;
        }
        let length = usize::try_from(length).ok()?;
        let memory = MmapOptions::new().offset(offset).len(length).map_raw_read_only(file).ok()?;
        let watch = Watch::over(&memory)?;
        memory.advise(Advice::Sequential).ok()?;
        memory.advise(Advice::PopulateRead).ok()?;
        Some(Self { watch, memory })
    }

    /// Whether something that was read was gone. Where a file ends within a page, the rest of that page reads as zeros, and
    /// this does not tell.
    pub fn is_torn(&self) -> bool {
        // What was read was read before.
        fence(Ordering::Acquire);
        self.watch.0.is_torn.load(Ordering::Acquire)
    }
}

impl AsRef<[u8]> for Mapped {
    /// The bytes as they are. Others may change them while they are looked at, which Rust does not allow for: no more may
    /// depend on them than the result of a computation, and that must be allowed to be wrong.
    #[expect(unsafe_code, reason = "what others do to a file is not for the compiler to know")]
    fn as_ref(&self) -> &[u8] {
        // SAFETY: it is mapped while this lives, and what is gone reads as zeros or ends the process.
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

/// Has [`on_bus_error`] know of memory for as long as this lives.
#[derive(Debug)]
struct Watch(&'static Slot);

#[derive(Debug)]
struct Slot {
    /// The number of the first page, shifted by [`COUNT`] bits, and how many there are. 0 where there are none.
    pages: AtomicU64,
    /// Whether one of them was gone.
    is_torn: AtomicBool,
}

const COUNT: u32 = 16;

static SLOTS: [Slot; 128] =
    [const { Slot { pages: AtomicU64::new(0), is_torn: AtomicBool::new(false) } }; 128];

/// Whether the signal is ours.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// Who took it before.
static BEFORE: OnceLock<sigaction> = OnceLock::new();

impl Watch {
    fn over(memory: &MmapRaw) -> Option<Self> {
        BEFORE.get_or_init(take_signal);
        let start = memory.as_ptr().addr();
        let (first, end) = (start / PAGE, (start + memory.len()).div_ceil(PAGE));
        let count = u16::try_from(end - first).ok()?;
        let pages = (first as u64) << COUNT | u64::from(count);
        let claim = |slot: &&Slot| {
            slot.pages.compare_exchange(0, pages, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        let watch = Self(SLOTS.iter().find(claim)?);
        IS_TAKEN.load(Ordering::Relaxed).then_some(watch)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.is_torn.store(false, Ordering::Relaxed);
        self.0.pages.store(0, Ordering::Release);
    }
}

/// Has [`on_bus_error`] called; says who was before.
#[expect(unsafe_code, reason = "a signal can be taken in no other way")]
fn take_signal() -> sigaction {
    // SAFETY: all of it may be zero, and the system fills it; the function does only what a signal's may.
    unsafe {
        let mut ours = MaybeUninit::<sigaction>::zeroed().assume_init();
        ours.sa_sigaction = on_bus_error as *const () as usize;
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        let mut before = MaybeUninit::<sigaction>::zeroed();
        let answer = libc::sigaction(libc::SIGBUS, &raw const ours, before.as_mut_ptr());
        IS_TAKEN.store(answer == 0, Ordering::Relaxed);
        before.assume_init()
    }
}

/// Puts zeros where there is nothing left to be read. Like all that a signal has done, it may come between any two
/// instructions: it takes no lock and no memory of the heap.
#[expect(unsafe_code, reason = "a signal can be taken in no other way")]
extern "C" fn on_bus_error(signal: c_int, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: the system fills it.
    let (address, code) = unsafe { ((*info).si_addr().addr(), (*info).si_code) };
    let slot = SLOTS.iter().find(|slot| slot.holds(address));
    if let Some(slot) = slot.filter(|_| code == libc::BUS_ADRERR) {
        // Before other threads can read the zeros.
        slot.is_torn.store(true, Ordering::Release);
        if put_zeros(address) {
            return;
        }
    }
    IS_TAKEN.store(false, Ordering::Relaxed);
    // SAFETY: who took the signal before is put back, as the system told it, or the system itself.
    unsafe {
        let system = MaybeUninit::<sigaction>::zeroed().assume_init();
        libc::sigaction(signal, BEFORE.get().unwrap_or(&system), ptr::null_mut());
        // Where memory was the reason, it will be again.
        if code <= 0 {
            libc::raise(signal);
        }
    }
}

impl Slot {
    fn holds(&self, address: usize) -> bool {
        let pages = self.pages.load(Ordering::Relaxed);
        let (first, count) = (pages >> COUNT, pages & ((1 << COUNT) - 1));
        ((address / PAGE) as u64).checked_sub(first).is_some_and(|distance| distance < count)
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

    /// A file of ones, mapped whole.
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
        let mapped = Mapped { watch: Watch::over(&memory).unwrap(), memory };
        assert!(mapped.as_ref().iter().all(|byte| *byte == 1) && !mapped.is_torn());
        for left in [PAGES - 1, 1] {
            file.set_len((left * PAGE) as u64).unwrap();
            let (there, gone) = mapped.as_ref().split_at(left * PAGE);
            assert!(there.iter().all(|byte| *byte == 1));
            assert!(gone.iter().all(|byte| *byte == 0) && mapped.is_torn());
        }
    }

    #[test]
    fn a_slot_is_free_again_after_use_and_knows_its_pages() {
        for _ in 0..2 * SLOTS.len() {
            let (_, memory) = ones();
            let watch = Watch::over(&memory).unwrap();
            let (start, end) = (memory.as_ptr().addr(), memory.as_ptr().addr() + memory.len());
            let held = [start - 1, start, end - 1, end].map(|address| watch.0.holds(address));
            assert_eq!(held, [false, true, true, false]);
            assert!(!watch.0.is_torn.load(Ordering::Relaxed));
        }
    }

    /// How it ends as a child, which is this test once more.
    #[test]
    #[expect(unsafe_code, reason = "what is not watched is looked at")]
    fn whatever_else_is_cut_off_or_sent_ends_the_process_as_before() {
        const NAME: &str = "whatever_else_is_cut_off_or_sent_ends_the_process_as_before";
        const CHILD: &str = "MODSYNC_TEST_ENDS_BY";
        let (file, memory) = ones();
        let watched = Watch::over(&memory).map(|_| ()).is_some();
        match std::env::var(CHILD).as_deref() {
            Ok("reading") => {
                file.set_len(0).unwrap();
                // SAFETY: it is mapped.
                unsafe { memory.as_ptr().read_volatile() };
            }
            Ok(_) => {
                // Rust's own answer to the first one is to leave those that follow to the system.
                for _ in 0..2 {
                    // SAFETY: it sends a signal.
                    unsafe { libc::raise(libc::SIGBUS) };
                    assert!(watched && Watch::over(&memory).is_none());
                }
            }
            Err(_) => {
                for way in ["reading", "a signal"] {
                    let mut child = Command::new(std::env::current_exe().unwrap());
                    child.args(["--exact", &format!("disk::fs::mapped::tests::{NAME}")]);
                    child.env(CHILD, way).stdout(Stdio::null()).stderr(Stdio::null());
                    assert_eq!(child.status().unwrap().signal(), Some(libc::SIGBUS), "{way}");
                }
            }
        }
    }
}
