//! What the API answers, word for word. A change here is a change for every program that asks: `snapshots/`
//! holds the answers, and `INSTA_UPDATE=always` writes them anew.

use insta::assert_json_snapshot;
use modsync::model::fault::FaultKind;
use modsync::model::snapshot::{PackView, Phase, Removed, Seeding};
use serde_json::{Value, json};

use crate::control::ask;
use crate::faulty::{Behaviour, Faulty};
use crate::place::Place;
use crate::torrents::torrent_of;
use crate::views::{
    applied, asked, fault, in_phase, offered, progress, snapshot, verdict, waiting,
};
use crate::world::LIMIT;

#[test]
fn a_pack_of_which_all_is_known_reads_so() {
    let pack = PackView {
        last_apply: Some(applied(1)),
        last_verify: Some(verdict(3)),
        fault: Some(fault(FaultKind::DiskFull, "no connection")),
        extras: Some(7),
        can_go_back: true,
        removed: Some(Removed { entry: "20261231T235959Z".to_owned(), files: 3 }),
        auto_apply: true,
        seeding: Some(Seeding { peers: 4, uploaded_bytes: 1000, rate: 10 }),
        ..asked("p")
    };
    assert_json_snapshot!(snapshot(&[pack]));
}

#[test]
fn each_phase_reads_so() {
    let phases = [
        in_phase(Phase::Starting),
        in_phase(Phase::Current),
        offered("p"),
        in_phase(Phase::Checking),
        in_phase(Phase::Scanning { progress: progress(10) }),
        in_phase(Phase::Fetching { progress: progress(20) }),
        in_phase(Phase::Applying { progress: progress(100) }),
        in_phase(Phase::Verifying { progress: progress(0) }),
        waiting("p", FaultKind::DiskFull, "the disk is full"),
        asked("p"),
        in_phase(Phase::Paused),
    ];
    assert_json_snapshot!(phases.map(|pack| pack.phase));
}

#[test]
fn each_request_is_answered_so() {
    let files: &[(&str, &[u8])] = &[("a.pak", b"one"), ("b.pak", b"two")];
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, files);
    place.write("mine.txt", b"mine");
    let engine = place.running();
    let answer = |line: &str, body: Value| {
        let (status, answer) = ask(&place.path("state"), line, &[], &body.to_string());
        json!({ "request": line, "fields": body, "status": status, "answer": answer })
    };
    let post = |name: &str, fields: Value| answer(&format!("POST /v1/{name}"), fields);
    let of_pack = |name: &str| post(name, json!({ "pack": "pack" }));

    let mut answers: Vec<Value> = ["check", "plan", "sync", "verify", "repair"].map(of_pack).into();
    answers.push(post("clean", json!({ "pack": "pack", "dry_run": true })));
    let cleaned = of_pack("clean");
    let entry = cleaned["answer"]["trash"].clone();
    answers.extend([cleaned, of_pack("trash")]);
    answers.push(post("restore", json!({ "pack": "pack", "entry": entry })));

    place.publish(&origin, &files[..1]);
    let plan = of_pack("plan");
    let id = plan["answer"]["id"].clone();
    answers.extend([of_pack("check"), plan, of_pack("apply")]);
    answers.push(post("approve", json!({ "pack": "pack", "plan": id })));
    answers.extend(["rollback", "pause", "resume"].map(of_pack));

    let other = torrent_of("other", 16384, &[("x", b"x")]).encode();
    let url = origin.set("/other.torrent", Behaviour::pack(other, "other"));
    answers.push(post("add", json!({ "url": url, "folder": place.path("other") })));
    answers.push(post("remove", json!({ "pack": "other" })));
    answers.push(of_pack("nonsense"));
    answers.extend(["reload", "show", "quit"].map(|name| post(name, json!({}))));
    engine.end(LIMIT).exits(0);
    assert_json_snapshot!(masked(&Value::from(answers), &origin, &place));
}

/// Without what differs from run to run: times, places, and names that are made of them.
fn masked(answers: &Value, origin: &Faulty, place: &Place) -> Value {
    match answers {
        Value::String(text) => {
            let folder = place.path("").display().to_string();
            let text = text.replace(&origin.url(""), "ORIGIN").replace(&folder, "PLACE/");
            let is_time = |text: &str| humantime::parse_rfc3339_weak(text).is_ok();
            Value::from(if is_time(&text) { "TIME".to_owned() } else { text })
        }
        Value::Array(all) => all.iter().map(|value| masked(value, origin, place)).collect(),
        Value::Object(all) => {
            let masked = |(key, value): (&String, &Value)| {
                // Named by its time, as in 20261231T235959Z.
                let is_entry = matches!(key.as_str(), "trash" | "entry" | "id")
                    && value.as_str().is_some_and(|id| id.contains('T'));
                let value = if is_entry { json!("ENTRY") } else { masked(value, origin, place) };
                (key.clone(), value)
            };
            all.iter().map(masked).collect()
        }
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain.clone(),
    }
}
