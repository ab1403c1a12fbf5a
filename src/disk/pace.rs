//! [`Pace`]: how hard the disk and the processor are worked.

use std::num::NonZero;

use thread_priority::{ThreadPriority, set_current_thread_priority};

/// How hard the disk and the processor are worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    /// How many files are read at once. `None`: one on a hard disk, as far as the system says that it is one, or
    /// its head would go to and fro; elsewhere one for each core.
    pub readers: Option<NonZero<usize>>,
    /// Whether everything else on this machine goes first.
    pub is_gentle: bool,
}

impl Pace {
    /// Threads that read and hash; `spins`: whether they read from a hard disk.
    pub(super) fn threads(self, spins: impl FnOnce() -> bool) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
        self.readers.map_or_else(|| if spins() { 1 } else { cores() }, NonZero::get)
    }

    /// Lets the calling thread step back, if this is a gentle pace. It stays so to its end.
    pub(super) fn take(self) {
        if self.is_gentle
            && let Err(error) = set_current_thread_priority(ThreadPriority::Min)
        {
            tracing::debug!("the system does not let a thread step back: {error}");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_reader_is_kind_to_a_hard_disk_unless_the_user_says_otherwise() {
        let cores = std::thread::available_parallelism().unwrap().get();
        let pace = |readers| Pace { readers: NonZero::new(readers), is_gentle: false };
        assert_eq!((pace(0).threads(|| true), pace(0).threads(|| false)), (1, cores));
        assert_eq!((pace(3).threads(|| true), pace(3).threads(|| false)), (3, 3));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_gentle_thread_lets_all_others_go_first() {
        let niceness = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            let after_name = stat.rsplit_once(')').unwrap().1;
            after_name.split_whitespace().nth(16).unwrap().parse::<i32>().unwrap()
        };
        let of = |is_gentle| {
            let work = move || {
                Pace { readers: None, is_gentle }.take();
                niceness()
            };
            std::thread::spawn(work).join().unwrap()
        };
        assert_eq!((of(true), of(false)), (19, niceness()));
    }
}
