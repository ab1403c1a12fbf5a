//! What the trash can give back is offered while it is there, and not for longer.

use serde_json::{Value, json};

use crate::control::ask;
use crate::faulty::Faulty;
use crate::place::Place;
use crate::world::Running;

const V1: &[(&str, &[u8])] =
    &[("a.pak", b"1"), ("b.pak", b"2"), ("c.pak", b"3"), ("d.pak", b"4"), ("e.pak", b"5")];

/// A running engine that has applied an update, which took a file away.
fn updated(origin: &Faulty) -> (Place, Running) {
    let place = Place::with_installed(origin, V1);
    let engine = place.running();
    place.publish(origin, &V1[..4]);
    set(&place, "");
    assert_eq!(place.ask(&["sync"]).0, Some(0));
    assert_eq!(offered(&place), (json!(true), Value::Null));
    (place, engine)
}

/// Sets a key of the pack, in force at once.
fn set(place: &Place, key: &str) {
    place.set("", key);
    let (status, _) = ask(&place.path("state"), "POST /v1/reload", &[], "{}");
    assert_eq!(status, 200);
}

/// Whether the last update can be undone, and what can be put back.
fn offered(place: &Place) -> (Value, Value) {
    let status = place.status();
    (status["can_go_back"].clone(), status["removed"].clone())
}

#[test]
fn what_a_clean_removed_can_be_put_back_until_it_was() {
    let origin = Faulty::start();
    let (place, _engine) = updated(&origin);
    ["x.txt", "y.txt"].iter().for_each(|name| place.write(name, b"mine"));

    let (_, cleaned) = place.ask(&["clean"]);
    let entry = cleaned["trash"].as_str().unwrap();
    assert_eq!(offered(&place), (json!(true), json!({ "entry": entry, "files": 2 })));
    // A clean that finds nothing leaves it as it is.
    place.ask(&["clean"]);
    place.write("y.txt", b"in the way");
    place.ask(&["trash", "--restore", entry]);
    assert_eq!(offered(&place), (json!(true), json!({ "entry": entry, "files": 1 })));
    std::fs::remove_file(place.path("pack/y.txt")).unwrap();
    place.ask(&["trash", "--restore", entry]);
    assert_eq!(offered(&place), (json!(true), Value::Null));
}

#[test]
fn what_a_clean_removed_is_known_after_a_restart() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    place.write("x.txt", b"mine");
    let (_, cleaned) = place.ask(&["clean"]);
    assert_eq!(offered(&place).1, json!({ "entry": cleaned["trash"], "files": 1 }));
    std::fs::remove_dir_all(place.path("pack/.modsync/trash")).unwrap();
    assert_eq!(offered(&place).1, Value::Null);
}

#[test]
fn an_update_can_be_undone_and_a_clean_put_back_however_small_the_trash_may_be() {
    let origin = Faulty::start();
    let (place, _engine) = updated(&origin);
    set(&place, "trash_size = 1");
    place.write("x.txt", b"mine");
    let (_, cleaned) = place.ask(&["clean"]);
    let removed = json!({ "entry": cleaned["trash"], "files": 1 });
    assert_eq!(offered(&place), (json!(true), removed));
    assert_eq!(place.ask(&["rollback"]).0, Some(0));
}

#[test]
fn what_is_left_of_an_entry_that_was_being_removed_is_no_entry_and_goes_with_the_next_change() {
    let origin = Faulty::start();
    let (place, _engine) = updated(&origin);
    let left = ".modsync/trash/20260101T000000Z.gone";
    place.write(&format!("{left}/0"), b"left");
    let entries = |place: &Place| place.ask(&["trash"]).1["entries"].as_array().unwrap().len();
    assert_eq!(entries(&place), 1);
    place.write("x.txt", b"mine");
    assert_eq!(place.ask(&["clean"]).0, Some(0));
    assert_eq!(entries(&place), 2);
    assert!(!place.path("pack").join(left).exists());
}

#[test]
fn an_update_that_is_too_old_for_the_trash_can_no_longer_be_undone() {
    let origin = Faulty::start();
    let (place, _engine) = updated(&origin);
    place.publish(&origin, &V1[..3]);
    set(&place, "trash_age = '0s'");
    assert_eq!(place.ask(&["check"]).0, Some(10));
    assert_eq!(offered(&place), (json!(false), Value::Null));
}
