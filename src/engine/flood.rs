//! [`Flood`]: strangers must not fill our memory.
//!
//! librqbit keeps every address that a peer names and every block that somebody asks for, as many as they may be, and
//! tells nobody how many. So it is the memory of the whole process that is looked at: when it has grown by far more than
//! anything of ours needs, whoever is in a swarm leaves it and joins it anew, which drops all of that. It does not say who
//! it was: they may come again.

use std::time::Duration;

use memory_stats::memory_stats;

use crate::heap;

/// Bytes. A fetch holds 16 MiB of what comes, or three pieces, which may have 64 MiB each; checks beside it have 128 MiB
/// of files in reach, which count like memory.
const MOST: u64 = 512 << 20;
/// How often it is looked at; a quick line brings some hundred megabytes meanwhile.
const LOOK: Duration = Duration::from_secs(2);

/// How much memory was in use at some time, where the system tells.
#[derive(Debug)]
pub struct Flood {
    before: Option<u64>,
}

impl Flood {
    /// Looks at what is in use, without what is free.
    pub fn watch() -> Self {
        heap::give_back();
        Self { before: used() }
    }

    /// Whether far more is in use now.
    pub fn is_here(&self) -> bool {
        self.before.zip(used()).is_some_and(|(before, now)| now > before.saturating_add(MOST))
    }

    /// Waits until far more is in use.
    pub async fn comes(&self) {
        while !self.is_here() {
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn used() -> Option<u64> {
    memory_stats().map(|stats| stats.physical_mem as u64)
}
