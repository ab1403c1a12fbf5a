//! [`Pack`]: a machine with a clock in the test's hand, and what its jobs may answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use modsync::disk::complete::Staged;
use modsync::disk::inventory::Scan;
use modsync::disk::layout::Marker;
use modsync::disk::plan::{Given, plan};
use modsync::engine::facts::Facts;
use modsync::engine::job::{Checked, Fetched, Found, InTrash, Job, Look, Outcome, Planned};
use modsync::engine::machine::{Effect, Input, Machine, Now};
use modsync::model::command::{Answer, Command};
use modsync::model::fault::{Fault, FaultKind};
use modsync::model::manifest::InfoHash;
use modsync::model::pack::{PackConfig, Policy};
use modsync::model::release::{Digest, Release};
use modsync::model::report::{ApplyReport, Problem, ProblemKind, VerifyReport};
use modsync::model::snapshot::{Phase, Progress};
use modsync::net::remote::Validators;
use modsync::origin::metainfo;

use crate::torrents::torrent_of;

/// A machine with a clock in the test's hand.
pub struct Pack {
    pub machine: Machine,
    pub time: SystemTime,
    pub dice: f64,
    ticket: u64,
}

impl Pack {
    pub fn new(auto_apply: bool) -> Self {
        let time = UNIX_EPOCH + Duration::from_hours(1_000_000);
        Self { machine: machine(auto_apply, Facts::default(), time), time, dice: 0.5, ticket: 0 }
    }

    /// After the first look at an empty folder.
    pub fn ready(auto_apply: bool) -> Self {
        let mut pack = Self::new(auto_apply);
        pack.clock();
        pack.done(nothing_installed());
        pack
    }

    /// After the first look at a folder with a release in it.
    pub fn with_installed(number: u8, auto_apply: bool) -> Self {
        let mut pack = Self::new(auto_apply);
        pack.clock();
        pack.done(installed(number));
        pack
    }

    /// The next start of the program, up to the first job.
    pub fn restarted(self) -> Self {
        let auto_apply = self.machine.config().auto_apply;
        let machine = machine(auto_apply, self.machine.facts().clone(), self.time);
        let mut pack = Self { machine, ..self };
        assert_eq!(pack.clock(), ["recover"]);
        pack
    }

    pub fn wait(&mut self, time: Duration) {
        self.time += time;
    }

    /// Lets time pass until the clock starts something.
    pub fn wait_until_it_acts(&mut self) -> Duration {
        let from = self.time;
        for _ in 0..100_000 {
            self.wait(Duration::from_secs(1));
            if !self.clock().is_empty() {
                return self.time.duration_since(from).unwrap();
            }
        }
        panic!("it never acted");
    }

    pub fn clock(&mut self) -> Vec<String> {
        self.on(Input::Clock)
    }

    pub fn command(&mut self, command: Command) -> Vec<String> {
        self.ticket += 1;
        self.on(Input::Command(self.ticket, command))
    }

    pub fn done(&mut self, result: Result<Outcome, Fault>) -> Vec<String> {
        let effects = self.on(Input::Done(result));
        if effects.iter().all(|e| e == "remember") && self.is_idle() && effects.len() == 1 {
            return vec!["remember".to_owned(), "nothing".to_owned()];
        }
        effects
    }

    pub fn is_idle(&self) -> bool {
        ["current", "update available", "blocked"].contains(&self.phase())
    }

    pub fn on(&mut self, input: Input) -> Vec<String> {
        let now = Now { time: self.time, dice: self.dice };
        self.machine.on(input, now).iter().map(word).collect()
    }

    /// What stands in the way.
    pub fn fault(&self) -> Option<FaultKind> {
        let view = self.machine.view(Progress::default(), None);
        view.fault.map(|fault| fault.kind)
    }

    pub fn phase(&self) -> &'static str {
        let phase: Phase = self.machine.view(Progress::default(), None).phase;
        phase.name()
    }
}

/// An effect in a word or two.
pub fn word(effect: &Effect) -> String {
    match effect {
        Effect::Start(job) => match job {
            Job::Recover => "recover".to_owned(),
            Job::Check { full } => if *full { "check full" } else { "check" }.to_owned(),
            Job::Scan { release, look } => {
                let how = match look {
                    Look::Quick => " quickly",
                    Look::Trusting => "",
                    Look::Whole => " wholly",
                };
                format!("scan {}{how}", release.digest.0[0])
            }
            Job::Fetch(_) => "fetch".to_owned(),
            Job::Apply(..) => "apply".to_owned(),
            Job::Verify { .. } => "verify".to_owned(),
            Job::Clean { .. } => "clean".to_owned(),
            Job::Rollback => "rollback".to_owned(),
            Job::Trash => "list trash".to_owned(),
            Job::Restore { .. } => "restore".to_owned(),
        },
        Effect::Cancel => "cancel".to_owned(),
        Effect::Seed(true) => "seed".to_owned(),
        Effect::Seed(false) => "stop seeding".to_owned(),
        Effect::Remember => "remember".to_owned(),
        Effect::Answer(_, answer) => match answer.as_ref() {
            Ok(Answer::Done) => "answer done".to_owned(),
            Ok(Answer::Checked(_)) => "answer checked".to_owned(),
            Ok(Answer::Applied(_)) => "answer applied".to_owned(),
            Ok(Answer::RolledBack(_)) => "answer rolled back".to_owned(),
            Ok(Answer::UpToDate { .. }) => "answer up to date".to_owned(),
            Ok(other) => format!("answer {other:?}"),
            Err(fault) => {
                format!("answer {}", serde_json::to_value(fault.kind).unwrap().as_str().unwrap())
            }
        },
    }
}

pub fn machine(auto_apply: bool, facts: Facts, time: SystemTime) -> Machine {
    let config = PackConfig {
        name: "pack".to_owned(),
        url: "http://origin/pack.torrent".to_owned(),
        folder: "/games/pack".into(),
        policy: Policy::default(),
        auto_apply,
        auto_clean: false,
        seed: true,
        check_interval: Duration::from_mins(10),
        peers: Vec::new(),
    };
    Machine::new(config, facts, Some(time))
}

pub fn torrent() -> Vec<u8> {
    torrent_of("pack", 16 * 1024, &[("a.txt", b"hello")]).encode()
}

pub fn release(number: u8) -> Release {
    Release {
        digest: Digest([number; 32]),
        info_hash: InfoHash([number; 20]),
        name: format!("release {number}"),
        length: 5,
        files: 1,
        seen: UNIX_EPOCH,
    }
}

pub fn marker() -> Marker {
    Marker { id: "m".to_owned() }
}

pub fn fault(kind: FaultKind) -> Fault {
    Fault::new(kind, "it failed", "")
}

pub fn nothing_installed() -> Result<Outcome, Fault> {
    Ok(Outcome::Recovered(Found::default()))
}

pub fn installed(number: u8) -> Result<Outcome, Fault> {
    let (installed, marker) = (Some(release(number)), Some(marker()));
    Ok(Outcome::Recovered(Found { installed, marker, ..Found::default() }))
}

pub fn found(number: u8) -> Result<Outcome, Fault> {
    Ok(Outcome::Checked(Checked {
        release: Some(release(number)),
        validators: Some(Validators::default()),
        full: true,
        in_trash: None,
        gone: None,
    }))
}

pub fn same() -> Result<Outcome, Fault> {
    same_and(None)
}

/// The origin offers nothing new, and the trash was emptied.
pub fn same_and(in_trash: Option<InTrash>) -> Result<Outcome, Fault> {
    let validators = Some(Validators::default());
    Ok(Outcome::Checked(Checked { release: None, validators, full: true, in_trash, gone: None }))
}

pub fn planned(number: u8, guard: Option<Fault>) -> Arc<Planned> {
    let torrent = torrent();
    let manifest = Arc::new(metainfo::parse(&torrent).unwrap());
    let scan = Scan::of_nothing(&manifest);
    let release = release(number);
    let policy = Policy::default();
    let given = Given {
        release: &release,
        manifest: &manifest,
        scan: &scan,
        baseline: None,
        was_installed: false,
        policy: &policy,
    };
    let mut plan = plan(given);
    plan.guard = guard;
    Arc::new(Planned {
        plan,
        manifest,
        torrent: torrent.into(),
        elsewhere: scan.elsewhere,
        arrived: Arc::default(),
    })
}

pub fn scanned(number: u8) -> Result<Outcome, Fault> {
    Ok(Outcome::Scanned(planned(number, None)))
}

pub fn scanned_with_question(number: u8) -> Result<Outcome, Fault> {
    Ok(Outcome::Scanned(planned(number, Some(fault(FaultKind::MassRemoval)))))
}

pub fn verified(problems: usize) -> Result<Outcome, Fault> {
    let problem = Problem { path: "a.txt".to_owned(), kind: ProblemKind::Corrupt };
    let problems = vec![problem; problems];
    let report = VerifyReport { problems, bad_bytes: 5, ..VerifyReport::of(release(1)) };
    let planned = (!report.problems.is_empty()).then(|| planned(1, None));
    Ok(Outcome::Verified(report, planned))
}

pub fn fetched() -> Result<Outcome, Fault> {
    let (files, unchanged) = (BTreeMap::new(), BTreeMap::new());
    let staged = Staged { files, moved: BTreeMap::new(), unchanged };
    Ok(Outcome::Fetched(Fetched { staged, downloaded: 5, marker: marker() }))
}

pub fn report(number: u8) -> ApplyReport {
    ApplyReport {
        release: release(number),
        added: 1,
        changed: 0,
        removed: 0,
        downloaded_bytes: 5,
        when: UNIX_EPOCH,
    }
}

pub fn applied(number: u8) -> Result<Outcome, Fault> {
    let in_trash = InTrash { can_go_back: true, removed: None };
    Ok(Outcome::Applied { report: report(number), marker: marker(), in_trash })
}

pub fn rolled_back(to: u8, from: u8) -> Result<Outcome, Fault> {
    let in_trash = InTrash::default();
    Ok(Outcome::RolledBack { report: report(to), from: release(from), in_trash })
}
