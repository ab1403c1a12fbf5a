//! [`Turn`]: a torrent has one user at a time, since librqbit knows one by its info hash alone.
//!
//! Two packs may have one and the same torrent: two folders that follow one URL. Whoever fetches comes
//! before whoever seeds; apart from that, whoever asked first. A seeder is told that somebody waits to
//! fetch; it leaves then and asks for another turn. So every fetch gets its turn when the ones before
//! it have ended, and as long as nobody fetches, the torrent is seeded from one of the folders.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedMutexGuard, watch};

use super::rest::Needed;
use crate::model::manifest::InfoHash;

/// Some clients take no second connection from an address until they noticed that the first is gone.
const REJOIN: Duration = Duration::from_secs(2);

/// How long a peer may take to see that a connection was closed.
const NOTICED: Duration = Duration::from_secs(1);

/// The torrents of a session, and whose turn it is with each.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<BTreeMap<InfoHash, Arc<Place>>>);

/// A torrent's place in the session.
#[derive(Debug, Default)]
struct Place {
    /// Locked by whoever has the turn. When the last one ended.
    ended: Arc<tokio::sync::Mutex<Option<Instant>>>,
    /// How many wait to fetch.
    fetchers: watch::Sender<usize>,
}

/// The right to use a torrent. It passes on when this is dropped.
#[derive(Debug)]
pub struct Turn {
    pub(super) info_hash: InfoHash,
    place: Arc<Place>,
    ended: Ended,
    /// When the torrent's swarm was last left in this turn.
    parted: Mutex<Option<Instant>>,
    /// While it is there to fetch.
    pub(super) needed: Option<Needed>,
}

type Ended = OwnedMutexGuard<Option<Instant>>;

impl Turns {
    pub async fn to_fetch(&self, info_hash: InfoHash) -> Turn {
        let place = self.place(info_hash);
        let _waiting = Waiting::at(&place);
        let ended = place.free().await;
        Turn::after(ended, Arc::clone(&place), info_hash).await
    }

    pub async fn to_seed(&self, info_hash: InfoHash) -> Turn {
        let place = self.place(info_hash);
        let mut fetchers = place.fetchers.subscribe();
        loop {
            let _ = fetchers.wait_for(|fetchers| *fetchers == 0).await;
            let ended = place.free().await;
            if *fetchers.borrow() == 0 {
                return Turn::after(ended, place, info_hash).await;
            }
        }
    }

    fn place(&self, info_hash: InfoHash) -> Arc<Place> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(places.entry(info_hash).or_default())
    }
}

impl Place {
    async fn free(&self) -> Ended {
        Arc::clone(&self.ended).lock_owned().await
    }
}

impl Turn {
    async fn after(ended: Ended, place: Arc<Place>, info_hash: InfoHash) -> Self {
        rest(*ended, REJOIN).await;
        Self { info_hash, place, ended, parted: Mutex::default(), needed: None }
    }

    pub(super) fn part(&self) {
        *self.parted.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Waits until the peers that were left in this turn have most likely noticed.
    pub async fn is_noticed(&self) {
        let parted = *self.parted.lock().unwrap_or_else(PoisonError::into_inner);
        rest(parted, NOTICED).await;
    }

    /// Waits until somebody else waits to fetch the torrent.
    pub async fn is_wanted(&self) {
        let _ = self.place.fetchers.subscribe().wait_for(|fetchers| *fetchers > 0).await;
    }
}

/// Sleeps until so long after a moment.
async fn rest(since: Option<Instant>, long: Duration) {
    if let Some(rest) = since.and_then(|since| long.checked_sub(since.elapsed())) {
        tokio::time::sleep(rest).await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *self.ended = Some(Instant::now());
    }
}

/// Counts as one that waits to fetch.
struct Waiting<'a>(&'a Place);

impl<'a> Waiting<'a> {
    fn at(place: &'a Place) -> Self {
        place.fetchers.send_modify(|fetchers| *fetchers += 1);
        Self(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetchers.send_modify(|fetchers| *fetchers -= 1);
    }
}
