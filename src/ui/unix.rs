//! What Unix does its own way.

use std::io;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::signal::unix::{SignalKind, signal};

/// Whether standard output has lost its reader, as far as the system tells before a write.
pub(super) fn reader_is_gone() -> bool {
    let out = io::stdout();
    let mut polled = [PollFd::new(&out, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&at_once)).is_ok()
        && polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// Lets all threads share one heap. By itself glibc gives each its own, and what one has freed stays out of reach of the
/// next: a quarter of all memory with a pack of 100,000 files
/// (<https://man7.org/linux/man-pages/man3/mallopt.3.html>).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "only the C library can be asked for it")]
pub(super) fn share_heap() {
    // SAFETY: a number is set, before there are other threads.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn share_heap() {}

/// Waits for the system's request to end, or for the end of the terminal.
pub(super) async fn termination() {
    let (Ok(mut terminate), Ok(mut hangup)) =
        (signal(SignalKind::terminate()), signal(SignalKind::hangup()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}
