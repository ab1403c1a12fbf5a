//! What commands say, to a person and to a program, and where they say it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Child, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::faulty::{Faulty, refused_address};
use crate::place::Place;
use crate::world::LIMIT;

const V1: &[(&str, &[u8])] = &[("a.pak", b"one"), ("b.pak", b"two")];

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[track_caller]
fn says(output: &Output, code: i32, all: &[&str]) {
    let words = words(output);
    assert_eq!(output.status.code(), Some(code), "{words}");
    for text in all {
        assert!(words.contains(text), "it does not say `{text}`:\n{words}");
    }
}

/// The exit code of a process that ends by itself; it is killed when it does not.
fn end_of(process: &mut Child) -> Option<i32> {
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        if let Some(status) = process.try_wait().unwrap() {
            return status.code();
        }
        thread::sleep(Duration::from_millis(20));
    }
    process.kill().unwrap();
    process.wait().unwrap().code()
}

#[test]
fn a_result_that_cannot_be_written_is_a_failure() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    for arguments in [&["list"][..], &["status", "--json"], &["plan"], &["trash", "--json"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = place.command(arguments).stdout(full).output().unwrap();
        says(&output, 1, &["could not write to standard output"]);
    }
}

#[test]
fn a_fault_is_told_once() {
    let place = Place::new();
    place.follow(&format!("http://{}/pack.torrent", refused_address()));
    for command in ["check", "plan", "sync"] {
        let words = words(&place.run(&[command]));
        assert_eq!(words.matches("could not connect").count(), 1, "{words}");
    }
}

#[test]
fn a_status_that_is_watched_ends_when_nobody_reads_it_any_more() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    for arguments in [&["status", "--watch"][..], &["status", "--watch", "--json"]] {
        let mut watch = place.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(watch.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("current"), "{line}");
        assert_eq!(end_of(&mut watch), Some(0));
    }
}

#[test]
fn a_pack_that_was_just_added_is_not_called_current() {
    let place = Place::new();
    let folder = place.path("pack").display().to_string();
    let added = place.run(&["add", "https://example.org/pack.torrent", &folder]);
    says(&added, 0, &["following `pack`", "modsync sync pack"]);
    says(&place.run(&["status"]), 0, &["pack: nothing is installed yet", "checked    never"]);
}

#[test]
fn adding_and_removing_answer_programs_too() {
    let place = Place::new();
    let folder = place.path("pack").display().to_string();
    let url = "https://example.org/friday.torrent";
    let (code, added) = place.ask(&["add", url, &folder, "--name", "My Pack"]);
    let pack = json!({ "ok": true, "name": "My Pack", "url": url, "folder": folder });
    assert_eq!((code, added), (Some(0), pack));

    let (code, refused) = place.ask(&["add", "ftp://example.org/p.torrent", "/srv/pack"]);
    assert_eq!(
        (code, &refused["ok"], &refused["kind"]),
        (Some(2), &json!(false), &json!("refused"))
    );
    assert_ne!(refused["hint"], "");

    let (code, unknown) = place.ask(&["remove", "other"]);
    assert_eq!((code, &unknown["hint"]), (Some(2), &json!("There are: My Pack.")));
    let (code, removed) = place.ask(&["remove", "my pack"]);
    assert_eq!((code, removed), (Some(0), json!({ "ok": true, "name": "My Pack" })));
}

#[test]
fn a_wrong_use_tells_a_program_as_well() {
    let place = Place::new();
    for arguments in [&["sync", "--nonsense"][..], &["add"], &["nonsense"]] {
        let (code, answer) = place.ask(arguments);
        assert_eq!((code, &answer["ok"]), (Some(2), &json!(false)), "{answer}");
        assert_eq!(answer["kind"], "refused", "{answer}");
    }
    let (code, answer) = place.ask(&["check"]);
    let hint = "`modsync add URL FOLDER` follows one.";
    assert_eq!((code, &answer["hint"]), (Some(2), &json!(hint)));
}

#[test]
fn a_mistake_in_the_settings_comes_with_what_to_do() {
    let place = Place::new();
    let text = "[[pack]]\nurl = \"https://example.org/p.torrent\"\nfolder = \"D:\\Games\\Pack\"\n";
    fs::write(place.path("config.toml"), text).unwrap();
    says(&place.run(&["check"]), 1, &["line 3", "single quotes take it as it is"]);
    assert_eq!(place.ask(&["list"]).1["kind"], "refused");
}

#[test]
fn settings_that_cannot_be_written_are_no_wrong_use() {
    let place = Place::new();
    // Nobody makes a file there, not even an administrator.
    let config = "/proc/modsync-config.toml";
    let mut add = place.command(&["add", "https://example.org/p.torrent", "/srv/pack"]);
    let output = add.env("MODSYNC_CONFIG", config).output().unwrap();
    says(
        &output,
        1,
        &["could not write `/proc/modsync-config.toml`", "Check that the file and its folder"],
    );
    assert!(!words(&output).contains(".tmp"), "{}", words(&output));
}

#[test]
fn a_name_with_a_blank_is_quoted_where_a_command_is_proposed() {
    let place = Place::new();
    let folder = place.path("pack").display().to_string();
    let url = "https://example.org/friday.torrent";
    let added = place.run(&["add", url, &folder, "--name", "My Pack"]);
    says(&added, 0, &["`modsync sync \"My Pack\"`"]);
}

#[test]
fn an_emptied_entry_of_the_trash_is_no_success() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    place.write("extra.txt", b"mine");
    let (_, cleaned) = place.ask(&["clean"]);
    let entry = cleaned["trash"].as_str().unwrap().to_owned();
    place.write("extra.txt", b"new");
    let restore = place.run(&["trash", "--restore", &entry]);
    says(&restore, 1, &["left in the trash (something stands in its place)", "extra.txt"]);

    fs::remove_file(place.path("pack/extra.txt")).unwrap();
    says(&place.run(&["trash", "--restore", &entry]), 0, &["put back", "extra.txt"]);
    says(
        &place.run(&["trash", "--restore", &entry]),
        1,
        &[&entry, "`modsync trash` lists what is there"],
    );
}

#[test]
fn a_question_is_shown_by_the_status_until_it_is_answered() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    place.publish(&origin, &[("a.pak", b"one")]);
    let output = place.run(&["sync"]);
    says(&output, 4, &["the new release removes 1 of 2 files", "modsync apply --approve pack"]);

    let output = place.run(&["status"]);
    says(
        &output,
        0,
        &["pack: blocked: the new release removes 1 of 2 files", "apply --approve pack"],
    );
    let phase: Value = place.status()["phase"].clone();
    assert_eq!(phase["phase"], "blocked");

    says(&place.run(&["apply", "--approve"]), 0, &["1 removed"]);
    assert_eq!(place.status()["phase"]["phase"], "current");
}

#[test]
fn looking_for_extras_is_not_shown_as_applying() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    place.write("extra.txt", b"mine");
    let output = place.run(&["clean", "--dry-run"]);
    says(&output, 0, &["would move", "extra.txt"]);
    assert!(!words(&output).contains("applying"), "{}", words(&output));
}
