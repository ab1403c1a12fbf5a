//! Packs as a front end sees them, each with little to say.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use modsync::model::fault::{Fault, FaultKind};
use modsync::model::manifest::InfoHash;
use modsync::model::release::{Digest, Release};
use modsync::model::report::{ApplyReport, Summary};
use modsync::model::snapshot::{PackView, Phase, Progress, Question, Snapshot, Unit, Verdict};

/// Release 1 is installed and nothing is to be done.
pub fn pack(name: &str) -> PackView {
    PackView {
        name: name.to_owned(),
        url: "https://example.org/pack.torrent".to_owned(),
        folder: format!("/games/{name}").into(),
        phase: Phase::Current,
        installed: Some(release(1)),
        offered: None,
        summary: None,
        question: None,
        held: false,
        last_check: None,
        next_check: None,
        last_apply: None,
        last_verify: None,
        fault: None,
        extras: Some(0),
        can_go_back: false,
        removed: None,
        auto_apply: false,
        paused: false,
        seeding: None,
    }
}

pub fn in_phase(phase: Phase) -> PackView {
    PackView { phase, ..pack("p") }
}

/// Release 2 is offered and waits to be applied.
pub fn offered(name: &str) -> PackView {
    let summary = Some(summary());
    let phase = Phase::UpdateAvailable { summary };
    PackView { phase, offered: Some(release(2)), summary, ..pack(name) }
}

/// Release 2 is offered and removes so much that a person must decide.
pub fn asked(name: &str) -> PackView {
    let why = fault(FaultKind::MassRemoval, "the new release removes 812 of 900 files");
    let phase = Phase::Blocked { fault: why.clone(), plan: None };
    let summary = Some(Summary { removed: 812, ..summary() });
    let question = Some(Question { plan: "plan-7".to_owned(), why });
    PackView { phase, summary, question, ..offered(name) }
}

/// A fault stands in the way and passes by itself.
pub fn waiting(name: &str, kind: FaultKind, what: &str) -> PackView {
    let fault = fault(kind, what);
    let phase = Phase::Waiting { fault: fault.clone(), retry_at: at(60) };
    PackView { phase, fault: Some(fault), ..pack(name) }
}

pub fn snapshot(packs: &[PackView]) -> Snapshot {
    Snapshot { packs: packs.to_vec(), ..Snapshot::default() }
}

pub fn release(n: u8) -> Release {
    Release {
        digest: Digest([n; 32]),
        info_hash: InfoHash([n; 20]),
        name: "Pack".to_owned(),
        length: 1_500_000_000,
        files: 900,
        seen: at(0),
    }
}

pub fn summary() -> Summary {
    Summary { added: 12, changed: 3, removed: 1, download_bytes: 412_000_000 }
}

pub fn applied(n: u8) -> ApplyReport {
    ApplyReport {
        release: release(n),
        added: 12,
        changed: 3,
        removed: 1,
        downloaded_bytes: 400_000_000,
        when: at(100),
    }
}

pub fn verdict(problems: u64) -> Verdict {
    Verdict { when: at(200), files: 900, problems, bad_bytes: problems * 1_000_000 }
}

pub fn fault(kind: FaultKind, what: &str) -> Fault {
    Fault::new(kind, what, "Do this.")
}

pub fn progress(percent: u64) -> Progress {
    Progress {
        done: percent * 10_000_000,
        total: 1_000_000_000,
        unit: Unit::Bytes,
        rate: 5_000_000,
        peers: Some(3),
        eta: None,
    }
    .with_eta()
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}
