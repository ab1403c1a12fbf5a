//! What glibc is asked for, so that little of its heap is memory that nobody uses. Other C libraries need no asking.

use std::thread;

/// Lets all threads share four heaps. By itself glibc gives each its own, and what one has freed stays out of reach of
/// the next: a quarter of all memory with a pack of 100,000 files. In two heaps they wait for each other, a tenth of the
/// time that a check of such a pack takes, and need no less than in four
/// (<https://man7.org/linux/man-pages/man3/mallopt.3.html>).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "only the C library can be asked for it")]
pub fn share() {
    // SAFETY: a number is set, before there are other threads.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 4) };
}

/// Drops a value and gives back to the system what is free between what is in use, both beside other work: with a large
/// pack it takes a while, and nobody need wait for it.
pub fn drop_aside<T: Send + 'static>(value: T) {
    // Where no thread can be had, the value is dropped all the same.
    let _ = thread::Builder::new().spawn(move || {
        drop(value);
        give_back();
    });
}

/// Gives back to the system what is free, beside other work.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn give_back_aside() {
    drop_aside(());
}

/// Gives back to the system what is free between what is in use: <https://man7.org/linux/man-pages/man3/malloc_trim.3.html>
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "only the C library can be asked for it")]
pub fn give_back() {
    // SAFETY: it may be called at any time, by any thread.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn share() {}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_back_aside() {}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_back() {}
