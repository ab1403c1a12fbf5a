//! How long a fetch without progress goes on, and with whom: [`Patience`] and [`Company`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::model::fault::{Fault, FaultKind};
use crate::model::release::Release;
use crate::net::swarm::Standing;

/// Bytes that may be wrong or in flight, besides twice what is fetched.
const GARBAGE: u64 = 128 << 20;
/// In so many parts of the time after which a fetch is given up, other peers are tried: short enough for a
/// second choice, and long enough for somebody busy to give something.
const TRIES: u32 = 3;
/// When those who are away are asked again if nobody is there at all, and nobody on the way; twice as long the next
/// time, and so on. Transmission refuses whoever comes from an address from which another connection has not said yet
/// what it wants, for up to 30 s, and so may a server that is just starting.
const ASK_AGAIN: Duration = Duration::from_secs(8);

/// Whom to ask when nothing comes: those who are away, or others than those who keep what was asked of them.
///
/// librqbit waits ever longer before it tries somebody again who could not be reached: ten seconds, then a minute. And it
/// takes a piece from a slow peer only for one that has given a whole piece already, so one that is quick to promise
/// the last pieces could keep them from everybody else for ever. Peers that trackers and the DHT know are theirs to find
/// again, unless they were connected.
pub(super) struct Company {
    /// By the user.
    named: Vec<SocketAddr>,
    /// Whoever was connected at some time.
    met: BTreeSet<SocketAddr>,
    /// Whom we do without since the last change.
    left_out: BTreeSet<SocketAddr>,
    changed: Option<Instant>,
    /// How often everybody was away.
    in_vain: u32,
    /// What had come when those who were away were asked again.
    came_before: Option<Came>,
}

impl Company {
    pub fn of(named: Vec<SocketAddr>) -> Self {
        let (met, left_out) = (BTreeSet::new(), BTreeSet::new());
        Self { named, met, left_out, changed: None, in_vain: 0, came_before: None }
    }

    /// The peers to go on with; `None` while there is no reason to change them. `connected`: who is, and
    /// whether they gave anything. To be [noted](Self::are_asked) once they are asked.
    pub fn whom_to_ask(
        &mut self,
        patience: &Patience,
        connected: impl FnOnce() -> BTreeMap<SocketAddr, bool>,
    ) -> Option<Vec<SocketAddr>> {
        let quiet_since = self.changed.map_or(patience.since, |time| time.max(patience.since));
        let (quiet, enough) = (quiet_since.elapsed(), patience.limit / TRIES);
        let soon = ASK_AGAIN.saturating_mul(1 << self.in_vain.min(16));
        if quiet < enough.min(soon) {
            return None;
        }
        let connected = connected();
        if quiet < enough && (!connected.is_empty() || patience.is_trying) {
            return None;
        }
        self.met.extend(connected.keys());
        let mut next = if self.left_out.is_empty() {
            others(&connected)
        } else {
            std::mem::take(&mut self.left_out)
        };
        next.extend(self.away_again(&connected, patience.came));
        // Who only has others before us gives something again.
        let is_stuck = connected.len() == 1
            && connected.values().all(|gave| *gave)
            && patience.since.elapsed() >= enough * 2;
        if next.is_empty() || (next.iter().eq(connected.keys()) && !is_stuck) {
            return None;
        }
        self.left_out = self.met.difference(&next).copied().collect();
        self.in_vain = if connected.is_empty() { self.in_vain + 1 } else { 0 };
        Some(next.into_iter().collect())
    }

    /// Those who are connected and gave something, or else those whom the user named.
    pub fn givers(&self, connected: &BTreeMap<SocketAddr, bool>) -> Vec<SocketAddr> {
        let gave = connected.iter().filter(|(_, gave)| **gave).map(|(peer, _)| *peer);
        let gave: Vec<_> = gave.collect();
        if gave.is_empty() { self.named.clone() } else { gave }
    }

    /// They were just asked.
    pub fn are_asked(&mut self) {
        self.changed = Some(Instant::now());
    }

    /// Those who are not connected, unless what came since they were last asked again is not right: that could go on for
    /// ever.
    fn away_again(
        &mut self,
        connected: &BTreeMap<SocketAddr, bool>,
        came: Came,
    ) -> Vec<SocketAddr> {
        let is_garbage = |before: Came| {
            came.fetched_bytes > before.fetched_bytes
                && came.verified_bytes == before.verified_bytes
        };
        if self.came_before.is_some_and(is_garbage) {
            return Vec::new();
        }
        let known = self.named.iter().chain(&self.met);
        let away: Vec<_> = known.filter(|peer| !connected.contains_key(peer)).copied().collect();
        if !away.is_empty() {
            self.came_before = Some(came);
        }
        away
    }
}

/// Those who gave nothing yet: they were not asked. When all were or nobody was, chance takes a half. Who is alone stays:
/// it is asked anew if it gave something, over another connection, since this one may be dead.
fn others(connected: &BTreeMap<SocketAddr, bool>) -> BTreeSet<SocketAddr> {
    if connected.len() == 1 {
        return connected.keys().copied().collect();
    }
    let asked = connected.values().filter(|gave| **gave).count();
    let odd = usize::from(fastrand::bool());
    let all = connected.iter().enumerate();
    all.filter(|(place, (_, gave))| match asked {
        0 => place % 2 == odd,
        asked if asked == connected.len() => place % 2 == odd,
        _ => !**gave,
    })
    .map(|(_, (peer, _))| *peer)
    .collect()
}

/// Gives up when nothing has come for too long.
pub(super) struct Patience {
    limit: Duration,
    /// Bytes to fetch.
    expected: u64,
    came: Came,
    since: Instant,
    /// Whether somebody is about to be connected.
    is_trying: bool,
}

/// What came from peers.
#[derive(Clone, Copy, Default)]
pub(super) struct Came {
    pub fetched_bytes: u64,
    pub verified_bytes: u64,
}

impl Came {
    pub fn of(standing: &Standing) -> Self {
        let Standing { fetched_bytes, verified_bytes, .. } = *standing;
        Self { fetched_bytes, verified_bytes }
    }

    /// What came since.
    pub fn since(&self, standing: &Standing) -> Standing {
        Standing {
            fetched_bytes: standing.fetched_bytes - self.fetched_bytes,
            verified_bytes: standing.verified_bytes - self.verified_bytes,
            ..standing.clone()
        }
    }

    pub fn and(&self, standing: &Standing) -> Standing {
        Standing {
            fetched_bytes: self.fetched_bytes + standing.fetched_bytes,
            verified_bytes: self.verified_bytes + standing.verified_bytes,
            ..standing.clone()
        }
    }
}

impl Patience {
    pub fn new(limit: Duration, expected: u64) -> Self {
        let since = Instant::now();
        Self { limit, expected, came: Came::default(), since, is_trying: false }
    }

    pub fn look(&mut self, standing: &Standing, release: &Release) -> Result<(), Fault> {
        let came = Came::of(standing);
        if came.fetched_bytes > self.came.fetched_bytes {
            self.since = Instant::now();
        }
        self.came = came;
        self.is_trying = standing.connecting > 0;
        // Bytes that keep coming and are never right are no progress.
        let garbage = came.fetched_bytes.saturating_sub(came.verified_bytes);
        let is_too_much = garbage > self.expected.saturating_mul(2) + GARBAGE;
        if self.since.elapsed() < self.limit && !is_too_much {
            return Ok(());
        }
        let why = match standing.peers {
            0 => "nobody who has it can be reached".to_owned(),
            _ if is_too_much => "what the peers send is not what was published".to_owned(),
            n => format!("none of {n} connected peers sent anything for {:?}", self.limit),
        };
        Err(Fault::new(
            FaultKind::NoPeers,
            format!("could not fetch {}: {why}", release.label()),
            "What was fetched is kept; ask the admin whether a seeder runs.",
        ))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn who_gave_something_and_stalls_is_left_out_until_the_others_stall_as_well() {
        let [stalls, other] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let mut patience = Patience::new(Duration::from_secs(9), 1000);
        let mut company = Company::of(Vec::new());
        let both = || BTreeMap::from([(stalls, true), (other, false)]);
        assert_eq!(company.whom_to_ask(&patience, both), None);

        patience.since = Instant::now().checked_sub(Duration::from_secs(4)).unwrap();
        assert_eq!(company.whom_to_ask(&patience, both), Some(vec![other]));
        company.are_asked();
        assert_eq!(company.whom_to_ask(&patience, both), None);
        for (asked, next) in [(other, stalls), (stalls, other)] {
            company.changed = None;
            let connected = || BTreeMap::from([(asked, false)]);
            assert_eq!(company.whom_to_ask(&patience, connected), Some(vec![next]));
        }
    }

    #[test]
    fn who_is_away_is_asked_again_unless_garbage_came_of_it() {
        let [named, met] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let mut patience = Patience::new(Duration::from_secs(9), 1000);
        let mut company = Company::of(vec![named]);
        assert_eq!(company.whom_to_ask(&patience, BTreeMap::new), None);

        patience.since = Instant::now().checked_sub(Duration::from_secs(4)).unwrap();
        assert_eq!(company.whom_to_ask(&patience, BTreeMap::new), Some(vec![named]));
        company.are_asked();
        assert_eq!(company.whom_to_ask(&patience, BTreeMap::new), None);
        company.changed = None;
        let has_nothing = || BTreeMap::from([(met, false)]);
        assert_eq!(company.whom_to_ask(&patience, has_nothing), Some(vec![named, met]));
        company.changed = None;
        patience.came = Came { fetched_bytes: 9, verified_bytes: 9 };
        assert_eq!(company.whom_to_ask(&patience, BTreeMap::new), Some(vec![named, met]));
        company.changed = None;
        patience.came.fetched_bytes = 10;
        assert_eq!(company.whom_to_ask(&patience, BTreeMap::new), None);
    }

    #[test]
    fn nobody_is_there_for_long_without_being_asked_again() {
        let named = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut patience = Patience::new(Duration::from_mins(1), 1000);
        let mut company = Company::of(vec![named]);
        let here = || BTreeMap::from([(named, false)]);
        let quiet_for = |time| Instant::now().checked_sub(time).unwrap();

        patience.since = quiet_for(ASK_AGAIN / 2);
        assert_eq!(company.whom_to_ask(&patience, BTreeMap::new), None);
        patience.since = quiet_for(ASK_AGAIN);
        assert_eq!(company.whom_to_ask(&patience, here), None);
        patience.is_trying = true;
        assert_eq!(company.whom_to_ask(&patience, BTreeMap::new), None);
        patience.is_trying = false;
        assert_eq!(company.whom_to_ask(&patience, BTreeMap::new), Some(vec![named]));
        // Less and less often.
        assert_eq!(company.whom_to_ask(&patience, BTreeMap::new), None);
        patience.since = quiet_for(ASK_AGAIN * 2);
        assert_eq!(company.whom_to_ask(&patience, BTreeMap::new), Some(vec![named]));
    }

    #[test]
    fn nobody_is_left_out_who_is_alone_and_of_two_strangers_each_gets_a_chance() {
        let peers = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let mut patience = Patience::new(Duration::from_secs(9), 1000);
        patience.since = Instant::now().checked_sub(Duration::from_secs(4)).unwrap();
        for gave in [true, false] {
            let mut company = Company::of(Vec::new());
            // One that gave may be there no more, though nobody said so.
            let alone = || BTreeMap::from([(peers[0], gave)]);
            assert_eq!(company.whom_to_ask(&patience, alone), None);
            patience.since = Instant::now().checked_sub(Duration::from_secs(6)).unwrap();
            let anew = gave.then(|| vec![peers[0]]);
            assert_eq!(company.whom_to_ask(&patience, alone), anew);
            company = Company::of(Vec::new());
            let both = || peers.into_iter().map(|peer| (peer, gave)).collect();
            let first = company.whom_to_ask(&patience, both).unwrap();
            company.changed = None;
            let second = company.whom_to_ask(&patience, both).unwrap();
            assert_eq!((first.len(), second.len()), (1, 1));
            assert_ne!(first, second);
        }
    }
}
