//! The engine for other processes: the user's own commands reach it, nobody else's do, and nothing that is
//! sent to it keeps it from its work.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::faulty::{Behaviour, Faulty};
use crate::place::Place;
use crate::torrents::torrent_of;
use crate::world::{LIMIT, Running};

const V1: &[(&str, &[u8])] = &[("a.pak", b"one"), ("b.pak", b"two")];
const V2: &[(&str, &[u8])] = &[("a.pak", b"one")];

/// A running engine with something installed.
fn running() -> (Faulty, Place, Running) {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    let engine = place.running();
    (origin, place, engine)
}

/// What the engine wrote down for its user's other processes.
fn note(state: &Path) -> Value {
    serde_json::from_slice(&fs::read(state.join("control.json")).unwrap()).unwrap()
}

/// Has the engine of this state folder end, as another process does.
pub fn quit(state: &Path) {
    let (status, answer) = ask(state, "POST /v1/quit", &[], "");
    assert_eq!((status, answer), (200, json!({ "ok": true })));
}

fn connect(state: &Path) -> TcpStream {
    let port = note(state)["port"].as_u64().unwrap() as u16;
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Sends bytes to the engine.
fn sent(state: &Path, bytes: &[u8]) -> TcpStream {
    let mut stream = connect(state);
    stream.write_all(bytes).unwrap();
    stream
}

/// The status and the body of the whole answer.
fn answer(mut stream: TcpStream) -> (u16, Value) {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {answer}")))
}

/// A request whose head has these lines besides the right ones that it does not replace.
fn request(state: &Path, line: &str, replaced: &[(&str, &str)], body: &str) -> Vec<u8> {
    let note = note(state);
    let host = format!("127.0.0.1:{}", note["port"]);
    let token = format!("Bearer {}", note["token"].as_str().unwrap());
    let mut head = format!("{line} HTTP/1.1\r\nContent-Length: {}\r\n", body.len());
    for (name, right) in [("Host", &host), ("Authorization", &token)] {
        let replaced = replaced.iter().find(|(replaced, _)| *replaced == name);
        let value = replaced.map_or(right.as_str(), |(_, value)| value);
        head = format!("{head}{name}: {value}\r\n");
    }
    format!("{head}\r\n{body}").into_bytes()
}

pub fn ask(state: &Path, line: &str, replaced: &[(&str, &str)], body: &str) -> (u16, Value) {
    answer(sent(state, &request(state, line, replaced, body)))
}

/// A request that is right, with a head of this size.
fn head_of(state: &Path, size: usize) -> Vec<u8> {
    let mut request = request(state, "GET /v1/snapshot", &[], "");
    request.truncate(request.len() - 2);
    let filling = size - request.len() - "X: \r\n\r\n".len();
    request.extend_from_slice(format!("X: {}\r\n\r\n", "x".repeat(filling)).as_bytes());
    request
}

/// The answer to what is not even looked into.
fn refused(why: &str) -> Value {
    json!({ "ok": false, "error": why, "kind": "refused", "hint": "" })
}

const TOO_LARGE: &str = "the head is larger than 65536 bytes or has over 100 headers";

#[test]
fn a_command_is_carried_out_by_the_engine_that_runs() {
    let (_origin, place, engine) = running();
    assert_eq!(place.ask(&["check"]).0, Some(0));
    place.write("a.pak", b"eno");
    let (code, verdict) = place.ask(&["verify"]);
    assert_eq!((code, &verdict["problems"][0]["path"]), (Some(11), &json!("a.pak")));

    assert_eq!(place.ask(&["pause"]).0, Some(0));
    assert_eq!(place.status()["phase"]["phase"], "paused");
    assert_eq!(place.ask(&["resume"]).0, Some(0));
    engine.sigterm();
    engine.end(LIMIT).exits(0);
    assert!(!place.path("state/control.json").exists());
}

#[test]
fn a_pack_that_is_added_or_removed_is_known_to_the_engine_at_once() {
    let (origin, place, _engine) = running();
    let torrent = torrent_of("other", 16384, &[("x", b"x")]).encode();
    let url = origin.set("/other.torrent", Behaviour::pack(torrent, "other"));
    let folder = place.path("other").display().to_string();
    assert_eq!(place.ask(&["add", &url, &folder]).0, Some(0));
    let (_, status) = place.ask(&["status", "other"]);
    assert_eq!(status["packs"][0]["url"], url);
    assert_eq!(place.ask(&["remove", "other"]).0, Some(0));
    let (_, status) = place.ask(&["status"]);
    assert_eq!(status["packs"].as_array().unwrap().len(), 1);
}

#[test]
fn an_approval_holds_for_the_plan_it_names_and_no_other() {
    let (origin, place, _engine) = running();
    place.publish(&origin, V2);
    assert_eq!(place.ask(&["sync"]).0, Some(4));
    let plan = place.status()["phase"]["plan"]["id"].as_str().unwrap().to_owned();

    let other = json!({ "pack": "pack", "plan": "0000" }).to_string();
    let (status, refused) = ask(&place.path("state"), "POST /v1/approve", &[], &other);
    assert_eq!((status, &refused["kind"]), (409, &json!("mass_removal")));
    let this = json!({ "pack": "pack", "plan": plan }).to_string();
    let (status, applied) = ask(&place.path("state"), "POST /v1/approve", &[], &this);
    assert_eq!((status, &applied["removed"]), (200, &json!(1)), "{applied}");
}

#[test]
fn a_script_can_wait_for_it() {
    let (origin, place, engine) = running();
    let current = place.run(&["wait", "--until", "current", "--timeout", "60s"]);
    assert_eq!(current.status.code(), Some(0));
    place.publish(&origin, V2);
    assert_eq!(place.ask(&["check"]).0, Some(10));
    let available = ["wait", "pack", "--until", "update-available", "--timeout", "60s"];
    assert_eq!(place.ask(&available).0, Some(0));
    assert_eq!(place.ask(&["sync"]).0, Some(4));
    // A person must decide first: waiting any longer is of no use.
    assert_eq!(place.ask(&["wait", "--until", "current"]).0, Some(4));

    engine.sigterm();
    engine.end(LIMIT).exits(0);
    assert_eq!(place.ask(&["wait", "--until", "current"]).0, Some(1));
}

#[test]
fn an_engine_that_was_killed_leaves_nothing_that_stops_the_next_command() {
    let (_origin, place, engine) = running();
    engine.sigkill();
    assert!(place.path("state/control.json").exists());
    assert_eq!(place.ask(&["check"]).0, Some(0));
    assert_eq!(place.status()["phase"]["phase"], "current");
}

#[test]
fn it_can_be_told_to_quit() {
    let (_origin, place, engine) = running();
    quit(&place.path("state"));
    engine.end(LIMIT).exits(0).says("stopped");
}

#[cfg(unix)]
#[test]
fn only_the_user_can_read_the_token() {
    use std::os::unix::fs::PermissionsExt;
    let (_origin, place, _engine) = running();
    let mode = fs::metadata(place.path("state/control.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_is_forged_garbled_or_too_large_is_refused_with_its_reason() {
    let (_origin, place, _engine) = running();
    let large = format!("{{\"pack\":\"{}\"}}", "x".repeat(1 << 20));
    let check = r#"{"pack":"pack"}"#;
    let much = "x".repeat(80_000);
    let host = format!("127.0.0.1:{}", note(&place.path("state"))["port"]);
    let two = format!("{host}\r\nHost: {host}");
    for (line, replaced, body, status, why) in [
        ("POST /v1/check", &[("Authorization", "")][..], check, 401, "token"),
        ("POST /v1/check", &[("Authorization", "Bearer 00")], check, 401, "token"),
        ("GET /v1/snapshot", &[("Authorization", "Basic abc")], "", 401, "token"),
        ("GET /v1/events", &[("Authorization", "Bearer")], "", 401, "token"),
        ("POST /v1/check", &[("Host", "evil.example.org")], check, 403, "Host"),
        ("POST /v1/check", &[("Host", "127.0.0.1")], check, 403, "Host"),
        ("POST /v1/check", &[("Host", "")], check, 403, "Host"),
        ("GET /v1/check", &[], "", 404, "there is no `GET /v1/check`"),
        ("POST /v2/check", &[], check, 404, "there is no"),
        ("POST /v1/defragment", &[], check, 400, "unknown variant `defragment`"),
        ("POST /v1/check", &[], "", 400, "missing field `pack`"),
        ("POST /v1/check", &[], "[]", 400, "not a JSON object"),
        ("POST /v1/check", &[], "{", 400, "not JSON"),
        ("POST /v1/check", &[], r#"{"pack":"pack","force":true}"#, 400, "unknown field `force`"),
        ("POST /v1/check", &[], r#"{"pack":"other"}"#, 409, "there is no pack `other`"),
        ("POST /v1/check", &[], &large, 413, "65536 bytes"),
        ("OPTIONS /v1/check", &[], "", 404, "there is no"),
        ("POST /v1/%ff%00", &[], "", 404, "there is no"),
        ("GET /v1/snapshot", &[("Authorization", &much)], "", 431, "65536 bytes"),
        ("GET /v1/snapshot", &[("Host", &two)], "", 403, "Host"),
    ] {
        let (got, answer) = ask(&place.path("state"), line, replaced, body);
        let case = format!("{line} {replaced:?}: {answer}");
        assert_eq!((got, &answer["ok"]), (status, &json!(false)), "{case}");
        assert!(answer["error"].as_str().unwrap().contains(why), "{case}");
        // Who is not understood may be newer.
        let hint = answer["hint"].as_str().unwrap();
        assert_eq!(hint.contains("started again"), matches!(status, 400 | 404), "{case}");
    }
    assert_eq!(place.ask(&["check"]).0, Some(0));
}

#[test]
fn what_is_not_http_is_refused_with_what_is_wrong() {
    let (_origin, place, _engine) = running();
    let state = place.path("state");
    let hint = format!(
        "This is ModSync {}, whose API is below /v1/. A program that is newer needs it to be \
         started again.",
        env!("CARGO_PKG_VERSION")
    );
    let noise = vec![b'\xff'; 1 << 20];
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03garbage for a key and ciphers";
    for (bytes, why) in [
        (&b"\0\xff garbage"[..], "invalid HTTP method parsed"),
        (&noise, "invalid HTTP method parsed"),
        (tls, "invalid HTTP method parsed"),
        (b"GET / HTTP/9\r\n\r\n", "invalid HTTP version parsed"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "invalid HTTP version parsed (found HTTP2 preface)"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", "invalid HTTP header parsed"),
    ] {
        let why = format!("the head is not of HTTP/1.1: {why}");
        let refused = json!({ "ok": false, "error": why, "kind": "refused", "hint": hint });
        assert_eq!(answer(sent(&state, bytes)), (400, refused));
    }
    assert_eq!(place.ask(&["check"]).0, Some(0));
}

#[test]
fn a_head_may_have_64_kib_and_100_headers() {
    let (_origin, place, _engine) = running();
    let state = place.path("state");
    let with_headers = |count: usize| {
        let request = request(&state, "GET /v1/snapshot", &[], "");
        // Three are there already.
        [&request[..request.len() - 2], "X: y\r\n".repeat(count - 3).as_bytes(), b"\r\n"].concat()
    };
    for largest in [head_of(&state, 64 << 10), with_headers(100)] {
        let (status, snapshot) = answer(sent(&state, &largest));
        assert_eq!((status, &snapshot["ok"]), (200, &json!(true)));
    }
    for larger in [
        head_of(&state, (64 << 10) + 1),
        head_of(&state, 1 << 20),
        head_of(&state, 8 << 20),
        with_headers(101),
        with_headers(200),
    ] {
        assert_eq!(answer(sent(&state, &larger)), (431, refused(TOO_LARGE)));
    }
    assert_eq!(place.ask(&["check"]).0, Some(0));
}

#[test]
fn what_is_cut_off_is_refused() {
    let (_origin, place, _engine) = running();
    let state = place.path("state");
    let whole = request(&state, "POST /v1/check", &[], r#"{"pack":"pack"}"#);
    for (bytes, why) in
        [(&whole[..whole.len() - 1], "the body is cut off"), (&whole[..20], "the head is cut off")]
    {
        let stream = sent(&state, bytes);
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(answer(stream), (400, refused(why)));
    }
    assert_eq!(place.ask(&["check"]).0, Some(0));
}

#[test]
fn what_does_not_come_in_time_is_refused() {
    let (_origin, place, _engine) = running();
    let state = place.path("state");
    let silent = connect(&state);
    let whole = request(&state, "POST /v1/check", &[], r#"{"pack":"pack"}"#);
    let held_back = sent(&state, &whole[..whole.len() - 1]);
    let mut dripping = sent(&state, b"GET /v1/snapshot HTTP/1.1\r\nX: ");
    dripping.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    while dripping.peek(&mut [0]).is_err() {
        dripping.write_all(b"x").unwrap();
    }
    dripping.set_read_timeout(Some(LIMIT)).unwrap();
    assert_eq!(answer(dripping), (408, refused("the head did not come in time")));
    assert_eq!(answer(silent), (408, refused("the head did not come in time")));
    assert_eq!(answer(held_back), (408, refused("the body did not come in time")));
    assert_eq!(place.ask(&["check"]).0, Some(0));
}

#[test]
fn ten_thousand_connections_are_turned_away_and_forgotten() {
    let (_origin, place, _engine) = running();
    let state = place.path("state");
    let port = note(&state)["port"].as_u64().unwrap() as u16;
    for _ in 0..10_000 {
        drop(TcpStream::connect(("127.0.0.1", port)));
    }
    // More than it takes at one time, all silent: the others lose their places after a while.
    let silent: Vec<_> = (0..64).map(|_| connect(&state)).collect();
    let turned_away = (503, refused("32 clients are served already"));
    let (away, kept): (Vec<_>, Vec<_>) =
        silent.into_iter().map(answer).partition(|answer| *answer == turned_away);
    assert!(away.len() >= 32, "{} are turned away", away.len());
    let late = (408, refused("the head did not come in time"));
    assert!(kept.iter().all(|answer| *answer == late), "{kept:?}");
    assert_eq!(place.ask(&["check"]).0, Some(0));
}

#[test]
fn who_does_not_read_the_events_keeps_nobody_waiting_and_misses_some() {
    let origin = Faulty::start();
    let names: Vec<String> = (0..2_000).map(|n| format!("{n}-{}.pak", "x".repeat(100))).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
    let place = Place::with_installed(&origin, &files);
    let engine = place.running();
    // What it would remove is part of every event.
    place.publish(&origin, &files[..1]);
    assert_eq!(place.ask(&["sync"]).0, Some(4));
    let state = place.path("state");
    let events = request(&state, "GET /v1/events", &[], "");
    let mut readers: Vec<_> = (0..8).map(|_| sent(&state, &events)).collect();
    let one = ask(&state, "GET /v1/snapshot", &[], "").1.to_string().len();
    let turns = 40;
    for _ in 0..turns {
        for request in ["POST /v1/pause", "POST /v1/resume"] {
            assert_eq!(ask(&state, request, &[], r#"{"pack":"pack"}"#).0, 200);
        }
    }
    quit(&state);
    engine.end(LIMIT).exits(0);
    let mut got = Vec::new();
    let _ = readers[0].read_to_end(&mut got);
    assert!(got.len() < turns * one, "{} of {} bytes", got.len(), 2 * turns * one);
}

#[test]
fn a_command_at_work_can_be_watched_and_is_not_disturbed() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    let url = origin.set("/pack.torrent", Behaviour::Stall(Vec::new()));
    place.follow(&url);
    let mut check = Running::start(place.command(&["check"]));
    check.says("checking");
    assert_eq!(place.status()["phase"]["phase"], "checking");
    let (code, refused) = place.ask(&["verify"]);
    assert_eq!(code, Some(1));
    assert!(refused["error"].as_str().unwrap().contains("another ModSync is running"));
    check.sigterm();
    check.end(LIMIT).exits(1).says("stopped");
}
