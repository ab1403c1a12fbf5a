//! [`Ages`]: how long each entry has been in the trash, as far as somebody saw it there.
//!
//! A clock may be years wrong, for an hour or until its battery is replaced. So no time of day is believed:
//! between two looks an entry grows older by what the clock says, and by [`LONGEST`] at most. A trash that
//! nobody looks at for months is kept longer than asked for, and never shorter.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::disk::fs::{FsError, Root};
use crate::disk::layout::TRASH_AGES;
use crate::disk::record;
use crate::model::report::rfc3339;

/// What counts at most from one look to the next.
const LONGEST: Duration = Duration::from_hours(48);
/// What is too short to be written down.
const SHORTEST: Duration = Duration::from_hours(6);

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ages {
    #[serde(with = "rfc3339")]
    looked: SystemTime,
    /// In seconds, by the name of the entry.
    entries: BTreeMap<String, u64>,
}

impl Ages {
    /// The ages of these entries now. They are written down when that is worth it.
    pub fn look<'a>(
        root: &Root,
        entries: impl Iterator<Item = &'a str>,
        now: SystemTime,
    ) -> Result<Self, FsError> {
        let before: Option<Self> = record::peek(root, TRASH_AGES)?;
        let since = before.as_ref().map(|before| now.duration_since(before.looked));
        let passed = match since {
            Some(Ok(passed)) => passed.min(LONGEST),
            // The first look, or the clock went back.
            None | Some(Err(_)) => Duration::ZERO,
        };
        let known = |id: &str| before.as_ref().and_then(|before| before.entries.get(id).copied());
        let age = |id: &str| known(id).map_or(0, |age| age.saturating_add(passed.as_secs()));
        let ages =
            Self { looked: now, entries: entries.map(|id| (id.to_owned(), age(id))).collect() };
        let is_news = match since {
            Some(Ok(passed)) => passed >= SHORTEST,
            Some(Err(back)) => back.duration() >= SHORTEST,
            None => !ages.entries.is_empty(),
        };
        if is_news {
            record::save(root, TRASH_AGES, &ages)?;
        }
        Ok(ages)
    }

    pub fn of(&self, id: &str) -> Duration {
        Duration::from_secs(self.entries.get(id).copied().unwrap_or(0))
    }
}
