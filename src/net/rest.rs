//! [`Rest`]: the swarm's thread sleeps while there is nothing for it to do.
//!
//! librqbit measures the speed of each torrent ten times a second, whether or not anybody is there: most of
//! what an idle program would cost. So while nothing is fetched and nobody is connected, the thread sleeps
//! through its timers, and whoever knocks is heard up to [`NAP`] later.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Much less than a peer waits for an answer.
const NAP: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Rest {
    /// How many need the thread.
    needed: Mutex<usize>,
    wanted: Condvar,
}

/// Needs the thread, until it is dropped.
#[derive(Debug)]
pub(super) struct Needed(Arc<Rest>);

impl Rest {
    pub fn needed(self: &Arc<Self>) -> Needed {
        *self.lock() += 1;
        self.wanted.notify_one();
        Needed(Arc::clone(self))
    }

    /// From now on there is no more rest.
    pub fn end(self: &Arc<Self>) {
        std::mem::forget(self.needed());
    }

    /// Blocks the thread while it may sleep; `nobody_there` is asked only when nobody needs it.
    pub fn nap(&self, nobody_there: impl FnOnce() -> bool) {
        let needed = self.lock();
        if *needed == 0 && nobody_there() {
            let slept = self.wanted.wait_timeout_while(needed, NAP, |needed| *needed == 0);
            drop(slept.unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.needed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Needed {
    fn drop(&mut self) {
        *self.0.lock() -= 1;
    }
}
