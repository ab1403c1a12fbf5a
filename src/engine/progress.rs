//! How far the running job is, for whoever looks.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::snapshot::{Progress, Unit};

/// Rates are averaged over about this long.
const WINDOW: Duration = Duration::from_secs(2);

/// The progress of one job, written by it and read by the engine.
#[derive(Debug)]
pub struct ProgressCell(Mutex<Meter>);

#[derive(Debug)]
struct Meter {
    shown: Progress,
    /// The last point a rate was taken at.
    mark: (Instant, u64),
}

impl Default for ProgressCell {
    fn default() -> Self {
        Self(Mutex::new(Meter { shown: Progress::default(), mark: (Instant::now(), 0) }))
    }
}

impl ProgressCell {
    pub fn get(&self) -> Progress {
        self.lock().shown
    }

    /// Tells how much is done; the rate follows from the calls.
    pub fn set(&self, done: u64, total: u64, unit: Unit) {
        let mut meter = self.lock();
        let (since, from) = meter.mark;
        let elapsed = since.elapsed();
        if elapsed >= WINDOW || done < from {
            meter.shown.rate = per_second(done.saturating_sub(from), elapsed);
            meter.mark = (Instant::now(), done);
        } else if meter.shown.rate == 0 && elapsed >= WINDOW / 8 {
            meter.shown.rate = per_second(done.saturating_sub(from), elapsed);
        }
        meter.shown = Progress { done, total, unit, rate: meter.shown.rate, peers: None };
    }

    /// Tells everything at once.
    pub fn show(&self, progress: Progress) {
        self.lock().shown = progress;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Meter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn per_second(amount: u64, elapsed: Duration) -> u64 {
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    amount.saturating_mul(1000) / millis
}
