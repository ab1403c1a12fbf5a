//! The built program against torrents and origins that are wrong: it says why, keeps what is installed,
//! and does not ask again at once.

use std::fs;

use modsync::origin::metainfo::MAX_BYTES;
use serde_json::{Value, json};

use crate::faulty::{Behaviour, Faulty};
use crate::place::Place;
use crate::torrents::{acceptable, hostile, torrent_of};

#[test]
fn inspect_refuses_every_hostile_torrent_with_its_reason() {
    let place = Place::new();
    let file = place.path("hostile.torrent");
    for case in hostile() {
        fs::write(&file, &case.bytes).unwrap();
        let output = place.run(&["inspect", file.to_str().unwrap(), "--json"]);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", case.name);
        assert_eq!(answer["ok"], json!(false), "{}", case.name);
        let reason = answer["error"].as_str().unwrap();
        assert!(reason.contains(case.says), "{}: {reason}", case.name);
    }
}

#[test]
fn inspect_reads_every_acceptable_torrent_whole() {
    let place = Place::new();
    let file = place.path("good.torrent");
    for case in acceptable() {
        fs::write(&file, case.torrent.encode()).unwrap();
        let output = place.run(&["inspect", file.to_str().unwrap(), "--json"]);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let files: Vec<Value> = case
            .files
            .iter()
            .map(|(path, length)| json!({ "path": path, "length": length }))
            .collect();
        let total: u64 = case.files.iter().map(|(_, length)| length).sum();
        assert_eq!(output.status.code(), Some(0), "{}", case.name);
        assert_eq!(
            (&answer["ok"], &answer["name"], &answer["total"], &answer["files"]),
            (&json!(true), &json!(case.title), &json!(total), &json!(files)),
            "{}",
            case.name
        );
    }
}

#[test]
fn check_refuses_every_hostile_torrent_and_the_installed_release_stays() {
    let origin = Faulty::start();
    let place = Place::new();
    let files: &[(&str, &[u8])] = &[("mods/a.pak", b"installed"), ("b.txt", b"too")];
    let good = torrent_of("pack", 16384, files).encode();
    place.follow(&origin.set("/pack.torrent", Behaviour::pack(good.clone(), "good")));
    // Adopted as it lies there: nothing needs to be fetched.
    files.iter().for_each(|(path, bytes)| place.write(path, bytes));
    assert_eq!(place.run(&["sync"]).status.code(), Some(0));
    let before = (place.tree(), place.status()["installed"].clone());

    for case in hostile() {
        let is_too_large = case.bytes.len() > MAX_BYTES;
        origin.set("/pack.torrent", Behaviour::pack(case.bytes, case.name));
        let output = place.run(&["check", "--json"]);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", case.name);
        // What is too large never gets as far as the parser.
        let (kind, says) = if is_too_large {
            ("origin_refused", "larger than")
        } else {
            ("bad_metainfo", case.says)
        };
        assert_eq!(answer["kind"], json!(kind), "{}: {answer}", case.name);
        let reason = answer["error"].as_str().unwrap();
        assert!(reason.contains(says), "{}: {reason}", case.name);
    }
    assert_eq!((place.tree(), place.status()["installed"].clone()), before);
    // Once the origin is right again, all is as it was.
    origin.set("/pack.torrent", Behaviour::pack(good, "good"));
    assert_eq!(place.run(&["check"]).status.code(), Some(0));
}

#[test]
fn a_faulty_origin_is_named_and_never_costs_the_installed_release() {
    let origin = Faulty::start();
    let place = Place::new();
    let good = torrent_of("pack", 16384, &[("a", b"installed")]).encode();
    place.follow(&origin.set("/pack.torrent", Behaviour::pack(good, "good")));
    place.write("a", b"installed");
    assert_eq!(place.run(&["sync"]).status.code(), Some(0));
    let before = place.tree();

    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nd4:info".to_vec();
    for (behaviour, kind, says) in [
        (Behaviour::status("404 Not Found"), "origin_refused", "404 Not Found"),
        (Behaviour::status("500 Internal Server Error"), "origin_unreachable", "500"),
        (
            Behaviour::status_with("503 Service Unavailable", "Retry-After", "90"),
            "origin_unreachable",
            "503",
        ),
        (
            Behaviour::status_with("429 Too Many Requests", "Retry-After", "90"),
            "origin_unreachable",
            "429",
        ),
        (Behaviour::pack("<!DOCTYPE html><html>hello</html>", "html"), "bad_metainfo", "web page"),
        (Behaviour::pack("", "empty"), "bad_metainfo", "empty"),
        (Behaviour::Raw(cut), "origin_unreachable", "could not fetch"),
        (Behaviour::endless(), "origin_refused", "16"),
        (Behaviour::redirect("/pack.torrent"), "origin_refused", "redirect"),
        (Behaviour::Raw(Vec::new()), "origin_unreachable", "could not fetch"),
    ] {
        origin.set("/pack.torrent", behaviour.clone());
        let output = place.run(&["check", "--json"]);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["kind"], json!(kind), "{behaviour:?}: {answer}");
        let words = answer["error"].as_str().unwrap().to_lowercase();
        assert!(words.contains(&says.to_lowercase()), "{words} lacks {says}");
    }
    assert_eq!(place.tree(), before);
}
