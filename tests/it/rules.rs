//! What a user may rely on from one command to the next.

use std::fs;

use serde_json::json;

use crate::control::{ask, quit};
use crate::faulty::Faulty;
use crate::place::Place;
use crate::world::{LIMIT, Running};

const V1: &[(&str, &[u8])] =
    &[("a.pak", b"one"), ("b.pak", b"two"), ("c.pak", b"three"), ("conf/d.ini", b"four")];
const V2: &[(&str, &[u8])] = &[("a.pak", b"one"), ("b.pak", b"two"), ("c.pak", b"three")];

#[test]
fn a_hold_that_another_release_has_ended_does_not_come_back() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    place.publish(&origin, V2);
    assert_eq!(place.ask(&["sync"]).0, Some(0));
    assert_eq!(place.ask(&["rollback"]).0, Some(0));
    assert_eq!(place.ask(&["check"]).1["held"], true);

    place.publish(&origin, V1);
    assert_eq!(place.ask(&["check"]).0, Some(0));
    place.publish(&origin, V2);
    assert_eq!(place.ask(&["check"]).0, Some(10));
    let (code, applied) = place.ask(&["sync"]);
    assert_eq!((code, &applied["removed"]), (Some(0), &json!(1)), "{applied}");
}

#[test]
fn a_baseline_that_is_lost_under_a_hold_is_made_anew() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    place.publish(&origin, V2);
    assert_eq!(place.ask(&["sync"]).0, Some(0));
    assert_eq!(place.ask(&["rollback"]).0, Some(0));
    fs::write(place.path("pack/.modsync/baseline"), "damaged").unwrap();

    let sync = place.run(&["sync"]);
    assert_eq!(sync.status.code(), Some(0));
    assert_ne!(place.status()["installed"], json!(null));
    assert_eq!(place.ask(&["verify"]).0, Some(0));
    // What nobody knows to be ours stays.
    assert_eq!(fs::read(place.path("pack/conf/d.ini")).unwrap(), b"four");
}

#[test]
fn a_list_of_installed_files_that_was_damaged_is_told() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    fs::write(place.path("pack/.modsync/baseline"), "damaged").unwrap();
    let sync = place.run(&["sync"]);
    let said = String::from_utf8_lossy(&sync.stderr).into_owned();
    assert!(said.contains("the list of installed files was damaged"), "{said}");
}

#[test]
fn an_edit_that_is_kept_is_not_cleaned_away_when_the_release_drops_its_file() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    place.write("conf/d.ini", b"my own");
    place.publish(&origin, V2);
    place.set("", "keep = [\"conf/**\"]\nauto_clean = true");
    let (_, plan) = place.ask(&["plan"]);
    assert_eq!((&plan["kept"][0]["path"], &plan["extra"]), (&json!("conf/d.ini"), &json!([])));
    assert_eq!(place.ask(&["sync"]).0, Some(0));
    assert_eq!(place.ask(&["clean"]).1["moved"], json!([]));
    assert_eq!(fs::read(place.path("pack/conf/d.ini")).unwrap(), b"my own");
}

#[test]
fn a_plan_names_every_file_of_the_user_that_goes_to_the_trash() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    place.write("a.pak", b"edited");
    place.write("n", b"mine");
    place.write("c.pak.d/mine", b"mine");
    place.write("o", b"mine");
    let next: &[(&str, &[u8])] = &[
        ("a.pak", b"ONE!!"),
        ("b.pak", b"TWO"),
        ("c.pak.d", b"a file"),
        ("n/n", b"new"),
        ("o", b"new!"),
    ];
    place.publish(&origin, next);
    let (_, plan) = place.ask(&["plan"]);
    let displaced: Vec<&str> = plan["displaced"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    assert_eq!(displaced, ["a.pak", "c.pak.d/mine", "n", "o"], "{plan:#}");
}

#[test]
fn a_person_is_asked_before_something_they_ignore_is_replaced_be_the_new_file_as_long_or_not() {
    for save in [&b"my save"[..], b"a save", b"saves"] {
        let origin = Faulty::start();
        let place = Place::with_installed(&origin, V1);
        place.write("saves/1.sav", save);
        place.publish(&origin, &[V1, &[("saves/1.sav", b"theirs")]].concat());
        place.set("", "ignore = [\"saves/\"]");
        let (_, plan) = place.ask(&["plan"]);
        let why = plan["needs_approval"].as_str().unwrap_or_default();
        assert!(why.contains("takes the place of `saves/1.sav`"), "{plan:#}");
    }
}

#[test]
fn a_plan_that_costs_the_user_more_than_the_one_they_saw_is_another_plan() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    place.publish(&origin, &[("a.pak", b"ONE!"), ("b.pak", b"TWO!"), ("c.pak", b"THREE!")]);
    let id = || place.ask(&["plan"]).1["id"].as_str().unwrap().to_owned();
    let seen = id();
    assert_eq!(seen, id());
    place.write("a.pak", b"edited");
    assert_ne!(seen, id());
}

#[test]
fn with_the_list_of_installed_files_lost_a_person_is_asked_before_many_files_go_to_the_trash() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    place.set("", "max_removed_files = 1");
    for path in ["a.pak", "b.pak"] {
        place.write(path, b"edited");
    }
    fs::write(place.path("pack/.modsync/baseline"), "damaged").unwrap();
    for command in ["plan", "status", "plan"] {
        let (_, answer) = place.ask(&[command]);
        if command == "plan" {
            let why = answer["needs_approval"].as_str().unwrap_or_default();
            assert!(why.contains("takes the place of 2 files of yours"), "{answer:#}");
        }
    }
}

#[test]
fn a_folder_that_never_had_a_release_may_go() {
    let origin = Faulty::start();
    let place = Place::new();
    place.publish(&origin, V1);
    let config = fs::read_to_string(place.path("config.toml")).unwrap();
    fs::write(place.path("config.toml"), config + "give_up_after = \"1s\"\n").unwrap();
    assert_eq!(place.ask(&["sync"]).1["kind"], "no_peers");
    assert_eq!(place.run(&["status"]).status.code(), Some(0));
    fs::remove_dir_all(place.path("pack")).unwrap();
    assert_eq!(place.ask(&["sync"]).1["kind"], "no_peers");
}

#[test]
fn what_was_cleaned_last_can_be_put_back_however_small_the_trash_may_be() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    place.set("", "trash_size = \"0\"");
    place.write("extra.txt", b"mine");
    let (_, cleaned) = place.ask(&["clean"]);
    let entry = cleaned["trash"].as_str().unwrap();
    assert_eq!(place.ask(&["trash", "--restore", entry]).0, Some(0));
    assert_eq!(fs::read(place.path("pack/extra.txt")).unwrap(), b"mine");
}

#[test]
fn settings_that_were_named_must_be_there() {
    let place = Place::new();
    for arguments in [&["list"][..], &["run"], &["status"]] {
        let config = place.path("typo.toml").display().to_string();
        let (code, answer) = {
            let output = place.run(&[arguments, &["--config", &config]].concat());
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        assert_eq!(code, Some(2), "{answer}");
        assert!(answer.contains("there are no settings at"), "{answer}");
    }
}

#[test]
fn settings_that_vanish_leave_the_former_ones_in_force() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    let mut engine = place.running();
    fs::remove_file(place.path("config.toml")).unwrap();
    engine.says("the former ones stay in force");
    place.follow(&origin.url("/pack.torrent"));
    engine.says("the settings changed and are in force");
    assert_eq!(place.ask(&["verify"]).0, Some(0));
}

#[test]
fn settings_that_are_as_they_were_are_not_called_changed() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    let mut engine = place.running();
    let reloaded = || ask(&place.path("state"), "POST /v1/reload", &[], "");
    assert_eq!(reloaded(), (200, json!({ "ok": true })));
    engine.says("nothing changed in the settings");
    quit(&place.path("state"));
    let said = engine.end(LIMIT).exits(0).stderr.clone();
    assert!(!said.contains("the settings changed"), "{said}");
}

#[test]
fn a_demo_that_is_stopped_leaves_nothing_behind() {
    // It may be over before it is stopped.
    let stopped = (0..20).find_map(|_| {
        let place = Place::new();
        fs::create_dir(place.path("tmp")).unwrap();
        let mut command = place.command(&["demo"]);
        command.env("TMPDIR", place.path("tmp"));
        let mut demo = Running::start(command);
        demo.says("An admin has a pack");
        demo.sigterm();
        let ran = demo.end(LIMIT);
        assert_eq!(fs::read_dir(place.path("tmp")).unwrap().count(), 0);
        (ran.code != Some(0)).then_some(ran)
    });
    stopped.expect("it is never stopped").exits(1).says("stopped");
}

#[test]
fn an_update_that_is_found_during_a_pause_is_shown() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    let status = || String::from_utf8(place.run(&["status"]).stdout).unwrap();
    assert_eq!(place.run(&["pause"]).status.code(), Some(0));
    assert!(status().starts_with("pack: paused\n"), "{}", status());
    place.publish(&origin, &V1[..3]);
    assert_eq!(place.run(&["check"]).status.code(), Some(10));
    assert!(status().starts_with("pack: paused, update available\n"), "{}", status());
}
