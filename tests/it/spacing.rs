//! How often an origin that fails is asked, as its own log has it.

use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use modsync::model::fault::FaultKind;
use modsync::net::http::{Http, Limits};
use modsync::net::remote;

use crate::faulty::{Behaviour, Faulty};
use crate::machine::pack::{Pack, fault, found, same};
use crate::place::Place;
use crate::world::is_nightly;

/// How often the engine looks at its clock.
const TICK: Duration = Duration::from_secs(2);
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

#[tokio::test]
async fn an_origin_that_fails_is_asked_after_a_minute_and_then_ever_more_rarely() {
    let mut player = Player::new(Behaviour::status("500 Internal Server Error"));
    player.is_asked(300).await;
    for (failures, spacing) in (0_u32..).zip(player.spacings()) {
        let planned = (MINUTE << failures.min(9)).min(6 * HOUR);
        let least = (planned * 3 / 4).max(MINUTE);
        let most = (planned * 5 / 4).min(6 * HOUR);
        assert!((least..=most + 2).contains(&spacing), "failure {failures}: {spacing} s");
    }
}

#[tokio::test]
async fn a_server_that_says_when_to_come_back_is_not_asked_before() {
    let busy = Behaviour::status_with("429 Too Many Requests", "Retry-After", "1000");
    let mut player = Player::new(busy);
    player.is_asked(20).await;
    let spacings = player.spacings();
    assert!(spacings.iter().all(|spacing| *spacing >= 1000), "{spacings:?}");
    assert!(spacings[..3].iter().all(|spacing| *spacing <= 1002), "{spacings:?}");
    assert!(spacings[10..].iter().all(|spacing| *spacing > 4 * HOUR), "{spacings:?}");
}

#[tokio::test]
async fn an_origin_that_is_back_is_asked_at_the_usual_interval_and_then_after_a_minute_again() {
    let mut player = Player::new(Behaviour::status("502 Bad Gateway"));
    player.is_asked(8).await;
    player.answers(Behaviour::pack("d8", "\"1\""));
    player.is_asked(3).await;
    player.answers(Behaviour::status("502 Bad Gateway"));
    player.is_asked(3).await;
    let spacings = player.spacings();
    assert!(spacings[8..11].iter().all(|spacing| (540..=662).contains(spacing)), "{spacings:?}");
    assert!((60..=77).contains(&spacings[11]), "{spacings:?}");
    assert!((90..=152).contains(&spacings[12]), "{spacings:?}");
}

#[tokio::test]
async fn what_stands_in_the_way_here_makes_nobody_ask_a_failing_origin_more_often() {
    let mut player = Player::new(Behaviour::pack("d8", "\"1\""));
    player.offers_an_update = true;
    player.is_asked(1).await;
    player.answers(Behaviour::status("500 Internal Server Error"));
    player.is_asked(12).await;
    let spacings = player.spacings();
    assert!(spacings[1..].is_sorted_by(|a, b| b * 4 >= a * 3), "{spacings:?}");
    assert!(*spacings.last().unwrap() > 4 * HOUR, "{spacings:?}");
}

#[test]
fn a_running_engine_keeps_to_these_spacings() {
    let origin = Faulty::start();
    let place = Place::new();
    place.follow(&origin.set("/500", Behaviour::status("500 Internal Server Error")));
    let busy = Behaviour::status_with("503 Service Unavailable", "Retry-After", "80");
    let busy = origin.set("/busy", busy);
    let folder = place.path("other");
    place.set("", &format!("[[pack]]\nname = \"busy\"\nurl = {busy:?}\nfolder = {folder:?}"));
    let engine = place.running();
    let more = if is_nightly() { 2 } else { 0 };
    let (failing, busy) = (asked(&origin, "/500", 2 + more), asked(&origin, "/busy", 2));
    engine.sigkill();
    for (spacing, (least, most)) in failing.iter().zip([(60, 75), (90, 150), (180, 300)]) {
        // The clock is looked at every two seconds, and a busy machine is late.
        let most = most + 5;
        assert!((least..=most).contains(&spacing.as_secs()), "{failing:?}");
    }
    assert!((80..=85).contains(&busy[0].as_secs()), "{busy:?}");
}

/// Waits until a path was asked for so often; the times between.
fn asked(origin: &Faulty, path: &str, count: usize) -> Vec<Duration> {
    let end = Instant::now() + Duration::from_mins(10);
    while origin.hits(path) < count {
        assert!(Instant::now() < end, "{path} was asked for {} times", origin.hits(path));
        thread::sleep(Duration::from_millis(100));
    }
    let requests = origin.requests().into_iter().filter(|seen| seen.path == path);
    let times: Vec<_> = requests.map(|seen| seen.when).collect();
    times.windows(2).map(|two| two[1] - two[0]).collect()
}

/// A pack whose clock is in the test's hand, and whose checks really ask a server. Each request says in its
/// address what that clock showed. Its folder is away whenever it wants to look there.
struct Player {
    origin: Faulty,
    http: Http,
    pack: Pack,
    effects: Vec<String>,
    chance: fastrand::Rng,
    offers_an_update: bool,
}

impl Player {
    fn new(behaviour: Behaviour) -> Self {
        let origin = Faulty::start();
        origin.set("/p", behaviour);
        Self {
            origin,
            http: Http::new(None, Limits::default()).unwrap(),
            pack: Pack::with_installed(1, true),
            effects: Vec::new(),
            chance: fastrand::Rng::with_seed(5),
            offers_an_update: false,
        }
    }

    fn answers(&self, behaviour: Behaviour) {
        self.origin.set("/p", behaviour);
    }

    /// Lets time pass until the origin was asked so often.
    async fn is_asked(&mut self, mut times: usize) {
        while times > 0 {
            self.pack.dice = self.chance.f64();
            self.effects = match self.effects.last().map(String::as_str) {
                Some(job) if job.starts_with("check") => {
                    times -= 1;
                    self.ask().await
                }
                Some(job) if job.starts_with("scan") => {
                    self.pack.done(Err(fault(FaultKind::FolderGone)))
                }
                _ => {
                    self.pack.wait(TICK);
                    self.pack.clock()
                }
            };
        }
    }

    async fn ask(&mut self) -> Vec<String> {
        let now = self.pack.time.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let url = self.origin.url(&format!("/p?{now}"));
        let answer = match remote::fetch(&self.http, &url, None).await {
            Ok(_) if self.offers_an_update => found(2),
            Ok(_) => same(),
            Err(error) => Err(error.fault(&url)),
        };
        self.pack.done(answer)
    }

    /// Seconds between two requests.
    fn spacings(&self) -> Vec<u64> {
        let requests = self.origin.requests();
        let times = requests.iter().map(|seen| seen.path.strip_prefix("/p?").unwrap().parse());
        let times: Vec<u64> = times.map(Result::unwrap).collect();
        times.windows(2).map(|two| two[1] - two[0]).collect()
    }
}
