//! Files of our own that are damaged or gone: nothing is deleted for it, and it goes on.

use std::fs;

use serde_json::json;

use crate::faulty::Faulty;
use crate::place::Place;

const V1: &[(&str, &[u8])] = &[("a.pak", b"one"), ("b.pak", b"two")];
const V2: &[(&str, &[u8])] = &[("a.pak", b"one")];

#[test]
fn a_damaged_baseline_makes_every_file_the_users_and_is_kept_beside() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    let baseline = place.path("pack/.modsync/baseline");
    fs::write(&baseline, "damaged").unwrap();
    place.publish(&origin, V2);
    assert_eq!(place.run(&["sync"]).status.code(), Some(0));
    // `b.pak` is no longer known to be ours: it stays.
    assert_eq!(fs::read(place.path("pack/b.pak")).unwrap(), b"two");
    assert_eq!(fs::read(place.path("pack/.modsync/baseline.bad")).unwrap(), b"damaged");
    let (code, verdict) = place.ask(&["verify"]);
    assert_eq!((code, &verdict["extra"][0]["path"]), (Some(0), &json!("b.pak")));
}

#[test]
fn a_baseline_with_one_wrong_digit_is_damaged() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    let baseline = place.path("pack/.modsync/baseline");
    let text = fs::read_to_string(&baseline).unwrap().replace("\"length\":3", "\"length\":4");
    fs::write(&baseline, text).unwrap();
    assert_eq!(place.run(&["sync"]).status.code(), Some(0));
    assert!(place.path("pack/.modsync/baseline.bad").exists());
    assert_eq!(place.ask(&["verify"]).0, Some(0));
}

#[test]
fn damaged_facts_are_kept_beside_and_the_folder_is_known_again_by_its_mark() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    let pack = fs::read_dir(place.path("state/packs")).unwrap().next().unwrap().unwrap().path();
    fs::write(pack.join("facts"), "damaged").unwrap();
    let before = place.files();
    assert_eq!(place.run(&["sync"]).status.code(), Some(0));
    assert_eq!(place.files(), before);
    assert_eq!(fs::read(pack.join("facts.bad")).unwrap(), b"damaged");
}

#[test]
fn what_is_known_already_is_not_put_at_risk_by_writing_it_anew() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    let pack = fs::read_dir(place.path("state/packs")).unwrap().next().unwrap().unwrap().path();
    let written = || fs::metadata(pack.join("facts")).unwrap().modified().unwrap();
    let before = written();
    assert_eq!(place.ask(&["trash"]).0, Some(0));
    assert_eq!(written(), before);
    assert_eq!(place.ask(&["check"]).0, Some(0));
    assert_ne!(written(), before);
}

#[test]
fn settings_that_do_not_parse_stop_a_command_with_their_line() {
    let place = Place::new();
    fs::write(place.path("config.toml"), "[[pack]]\nurl = 5\n").unwrap();
    let output = place.run(&["sync"]);
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(words.contains("line 2"), "{words}");
    assert_eq!(fs::read_to_string(place.path("config.toml")).unwrap(), "[[pack]]\nurl = 5\n");
}

#[test]
fn a_vanished_folder_is_neither_filled_nor_forgotten() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    fs::rename(place.path("pack"), place.path("unplugged")).unwrap();
    fs::create_dir(place.path("pack")).unwrap();
    for command in ["sync", "verify", "clean", "apply", "plan"] {
        let (code, answer) = place.ask(&[command]);
        assert_eq!(
            (code, &answer["kind"]),
            (Some(1), &json!("folder_gone")),
            "{command}: {answer}"
        );
    }
    assert_eq!(fs::read_dir(place.path("pack")).unwrap().count(), 0);
    // It comes back, and all is well.
    fs::remove_dir(place.path("pack")).unwrap();
    fs::rename(place.path("unplugged"), place.path("pack")).unwrap();
    assert_eq!(place.run(&["sync"]).status.code(), Some(0));
}

#[cfg(unix)]
mod links {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_in_place_of_a_folder_of_the_pack_is_not_gone_through() {
        let origin = Faulty::start();
        let place = Place::new();
        place.publish(&origin, &[("mods/a.pak", b"new")]);
        fs::create_dir_all(place.path("outside")).unwrap();
        fs::create_dir_all(place.path("pack")).unwrap();
        fs::write(place.path("outside/a.pak"), "not ours").unwrap();
        symlink(place.path("outside"), place.path("pack/mods")).unwrap();
        let (code, answer) = place.ask(&["sync"]);
        assert_eq!((code, &answer["kind"]), (Some(1), &json!("link_in_the_way")), "{answer}");
        assert_eq!(fs::read(place.path("outside/a.pak")).unwrap(), b"not ours");
        assert!(place.path("pack/mods").is_symlink());
    }

    #[test]
    fn cleaning_moves_a_link_and_not_what_it_leads_to() {
        let origin = Faulty::start();
        let place = Place::with_installed(&origin, V1);
        fs::create_dir_all(place.path("outside")).unwrap();
        fs::write(place.path("outside/precious"), "not ours").unwrap();
        symlink(place.path("outside"), place.path("pack/shortcut")).unwrap();
        let (code, answer) = place.ask(&["clean"]);
        assert_eq!((code, &answer["moved"][0]["path"]), (Some(0), &json!("shortcut")));
        assert_eq!(fs::read(place.path("outside/precious")).unwrap(), b"not ours");
        assert!(!place.path("pack/shortcut").is_symlink());
    }

    #[test]
    fn a_link_in_place_of_a_file_of_the_pack_goes_to_the_trash_as_a_link() {
        let origin = Faulty::start();
        let place = Place::new();
        place.publish(&origin, &[("a.pak", b""), ("b.pak", b"two")]);
        place.write("b.pak", b"two");
        fs::write(place.path("target"), "not ours").unwrap();
        symlink(place.path("target"), place.path("pack/a.pak")).unwrap();
        assert_eq!(place.run(&["sync"]).status.code(), Some(0));
        assert_eq!(fs::read(place.path("target")).unwrap(), b"not ours");
        assert!(!place.path("pack/a.pak").is_symlink());
        let (_, trash) = place.ask(&["trash"]);
        assert_eq!(trash["entries"][0]["files"][0]["path"], json!("a.pak"));
    }
}
