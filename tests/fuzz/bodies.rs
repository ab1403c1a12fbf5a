//! What must hold for any bytes from outside. Each function is the body of a fuzz target, and the tests run it on
//! the corpus of that name.
//!
//!     cd tests/fuzz && cargo +nightly fuzz run --fuzz-dir . metainfo

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path};

use modsync::control::api::Request;
use modsync::disk::apply::recover;
use modsync::disk::baseline::Baseline;
use modsync::disk::fs::Root;
use modsync::disk::journal::{self, Journal};
use modsync::disk::layout::OWN_FOLDER;
use modsync::disk::verify::Cancel;
use modsync::model::path::RelPath;
use modsync::origin::metainfo as torrent;

/// A torrent is refused, or every file of it stays in the folder and every piece lies in it.
pub fn metainfo(bytes: &[u8]) {
    let Ok(manifest) = torrent::parse(bytes) else { return };
    let mut length = 0;
    for (entry, path, file) in manifest.files() {
        stays_inside(path);
        length += file;
        for piece in manifest.pieces_of(entry) {
            assert!(manifest.spans(piece).any(|span| span.entry == entry && span.length > 0));
        }
    }
    assert_eq!(length, manifest.content_length());
}

/// A path is refused, or stays in the folder by the rules of every system.
pub fn rel_path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(path) = RelPath::new(text) else { return };
    assert_eq!(path.as_str(), text);
    stays_inside(&path);
}

/// A journal, however it came into the folder, changes nothing outside it.
pub fn journal(bytes: &[u8]) {
    let Ok(found) = serde_json::from_slice::<Journal>(bytes) else { return };
    let place = tempfile::tempdir().unwrap();
    let (pack, outside) = (place.path().join("pack"), place.path().join("outside"));
    for folder in [pack.join(OWN_FOLDER), pack.join("d"), outside.clone()] {
        fs::create_dir_all(folder).unwrap();
    }
    for file in ["outside/7", "outside/a", "pack/a", "pack/b", "pack/d/7"] {
        fs::write(place.path().join(file), file).unwrap();
    }
    let root = Root::open(&pack).unwrap();
    if journal::save(&root, &found).is_ok() {
        let _ = recover(&root, &Cancel::default(), &|_| {});
    }
    let names = |folder| {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        names.collect::<BTreeSet<_>>()
    };
    assert_eq!(names(outside.clone()), ["7", "a"].map(Into::into).into());
    assert_eq!(names(place.path().to_owned()).len(), 2);
    for file in ["outside/7", "outside/a"] {
        assert_eq!(fs::read_to_string(place.path().join(file)).unwrap(), file);
    }
}

/// A baseline names nothing outside.
pub fn baseline(bytes: &[u8]) {
    let Ok(found) = serde_json::from_slice::<Baseline>(bytes) else { return };
    found.files.keys().for_each(stays_inside);
    let again = serde_json::from_slice(&serde_json::to_vec(&found).unwrap()).unwrap();
    assert_eq!(found, again);
}

/// A request, given as its name, a line's end and its body, is refused or comes back from its parts.
pub fn request(bytes: &[u8]) {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return };
    let Ok(name) = std::str::from_utf8(&bytes[..end]) else { return };
    let Ok(request) = Request::of_parts(name, &bytes[end + 1..]) else { return };
    let (name, fields) = request.parts();
    assert_eq!(Request::of_parts(&name, fields.to_string().as_bytes()), Ok(request));
}

/// By rules written down once more, those of Unix and of Windows together.
pub fn stays_inside(path: &RelPath) {
    let text = path.as_str();
    for name in text.split(['/', '\\']) {
        assert!(!matches!(name, "" | "." | ".."), "{text:?}");
        assert!(!name.ends_with(['.', ' ']), "{text:?}");
        assert!(!name.contains(|c: char| c.is_control() || "<>:\"|?*".contains(c)), "{text:?}");
        let stem = name.split('.').next().unwrap().trim_end().to_ascii_uppercase();
        let numbered = |device: &str| {
            let number = stem.strip_prefix(device).map(|number| number.chars().collect::<Vec<_>>());
            number.is_some_and(|n| n.len() == 1 && "0123456789¹²³".contains(n[0]))
        };
        let is_device =
            matches!(&*stem, "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$");
        assert!(!is_device && !numbered("COM") && !numbered("LPT"), "{text:?}");
    }
    assert!(!text.contains('\\'), "{text:?}");
    let first = text.split('/').next().unwrap().to_lowercase();
    assert!(first != OWN_FOLDER && first != "modsyn~1", "{text:?}");
    let joined = Path::new("root").join(path);
    let below: Vec<_> = joined.components().skip(1).collect();
    assert!(below.iter().all(|part| matches!(part, Component::Normal(_))), "{text:?}");
    assert_eq!(below.len(), text.split('/').count(), "{text:?}");
}
