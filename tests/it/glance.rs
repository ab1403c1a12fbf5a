//! A check by a glance says the same as one that looks at every file first.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use modsync::disk::fs::{Root, Stat};
use modsync::disk::inventory::{Glance, Glanced, list, scan};
use modsync::disk::verify::Cancel;
use modsync::model::manifest::{Manifest, PieceSet};
use modsync::origin::metainfo;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::torrents::torrent_of;
use crate::tree::noise;

const PIECE: usize = 16384;

/// Something that may befall a folder; it is left as it is where that cannot be done.
type Change = (&'static str, fn(&Path) -> std::io::Result<()>);

/// What leaves the release as it is.
const HARMLESS: &[Change] = &[
    ("nothing", |_| Ok(())),
    ("a file of the user's", |dir| fs::write(dir.join("notes.txt"), "mine")),
    ("an empty one, in a folder", |dir| {
        fs::create_dir(dir.join("saves"))?;
        fs::write(dir.join("saves/one.sav"), "")
    }),
    ("a name that no release could have", |dir| fs::write(dir.join("maps/a:b"), "mine")),
    ("a name that is no text", |dir| fs::write(dir.join(OsStr::from_bytes(b"\xff")), "mine")),
    ("a link", |dir| symlink("readme.txt", dir.join("link"))),
    ("a link to a folder", |dir| symlink("maps", dir.join("more"))),
    ("a pipe", |dir| pipe(&dir.join("pipe"))),
    ("a folder of ours", |dir| {
        fs::create_dir(dir.join(".modsync"))?;
        fs::write(dir.join(".modsync/journal"), "ours")
    }),
    ("a name that differs in case", |dir| fs::write(dir.join("README.txt"), "mine")),
];

/// What does not.
const HARMFUL: &[Change] = &[
    ("a byte is wrong", |dir| {
        let mut bytes = fs::read(dir.join("maps/castle.map"))?;
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(dir.join("maps/castle.map"), bytes)
    }),
    ("a file goes on", |dir| longer(&dir.join("maps/castle.map"))),
    ("a small file goes on", |dir| longer(&dir.join("maps/b"))),
    ("an empty file is none", |dir| longer(&dir.join("maps/empty"))),
    ("a file ends early", |dir| {
        fs::File::options().write(true).open(dir.join("readme.txt"))?.set_len(10)
    }),
    ("a file is gone", |dir| fs::remove_file(dir.join("readme.txt"))),
    ("an empty file is gone", |dir| fs::remove_file(dir.join("maps/empty"))),
    ("an empty file is a pipe", |dir| {
        fs::remove_file(dir.join("maps/empty"))?;
        pipe(&dir.join("maps/empty"))
    }),
    ("an empty file is a link", |dir| {
        fs::rename(dir.join("maps/empty"), dir.join("elsewhere"))?;
        symlink("../elsewhere", dir.join("maps/empty"))
    }),
    ("a file is a link", |dir| {
        fs::rename(dir.join("maps/b"), dir.join("elsewhere"))?;
        symlink("../elsewhere", dir.join("maps/b"))
    }),
    ("a file is a folder", |dir| {
        fs::remove_file(dir.join("maps/b"))?;
        fs::create_dir(dir.join("maps/b"))
    }),
    ("a file has another name", |dir| fs::rename(dir.join("maps/b"), dir.join("maps/c"))),
    ("a name is spelled otherwise", |dir| fs::rename(dir.join("maps/b"), dir.join("maps/B"))),
    ("two files changed places", |dir| {
        fs::rename(dir.join("maps/a"), dir.join("maps/spare"))?;
        fs::rename(dir.join("maps/b"), dir.join("maps/a"))?;
        fs::rename(dir.join("maps/spare"), dir.join("maps/b"))
    }),
];

/// A file with pieces of its own, small ones that share one, one without any, and padding, which nobody keeps.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("maps/castle.map", noise(1, 5 * PIECE + 100)),
        ("maps/a", noise(2, 3_000)),
        ("maps/b", noise(3, 3_000)),
        ("maps/empty", Vec::new()),
        (".pad/10284", vec![0; PIECE - 6_100]),
        ("readme.txt", noise(4, 900)),
    ]
}

#[test]
fn a_glance_finds_whole_what_is_whole_and_tells_what_is_beside_it() {
    for (change, change_it) in HARMLESS {
        let (dir, manifest) = folder();
        change_it(dir.path()).unwrap();
        let (glanced, looked) = both_say(dir.path(), &manifest);
        assert!(looked.is_some(), "{change}");
        assert_eq!(glanced, looked, "{change}");
    }
}

#[test]
fn a_glance_is_as_strict_as_a_look_at_every_file() {
    let all = || HARMLESS.iter().chain(HARMFUL);
    for (first, change_first) in all() {
        // The same once more may take it back.
        for (second, change_second) in HARMFUL.iter().filter(|(second, _)| second != first) {
            let (dir, manifest) = folder();
            // The first may have taken what the second wants.
            change_first(dir.path()).unwrap();
            let _ = change_second(dir.path());
            let (glanced, looked) = both_say(dir.path(), &manifest);
            assert_eq!(looked, None, "{first}, {second}");
            assert_eq!(glanced, None, "{first}, {second}");
        }
    }
}

#[test]
fn what_a_glance_read_before_it_met_a_fault_was_not_read_in_vain() {
    let (dir, manifest) = folder();
    let root = Arc::new(Root::open(dir.path()).unwrap());
    let cancel = Cancel::default();
    let glance = Glance::at(&root, &cancel).unwrap();
    // It happens after the glance.
    let last = manifest.pieces.len() - 1;
    fs::remove_file(dir.path().join("readme.txt")).unwrap();
    let Glanced::Unsure { right } = glance.check(&root, &manifest, &cancel, &|_| {}).unwrap()
    else {
        panic!("a file is gone")
    };
    assert_eq!(right, PieceSet::of(manifest.pieces.len(), 0..last));

    cancel.cancel();
    assert!(glance.check(&root, &manifest, &cancel, &|_| {}).is_err());
    assert!(Glance::at(&root, &cancel).is_none());
}

fn folder() -> (tempfile::TempDir, Arc<Manifest>) {
    let (dir, files) = (tempfile::tempdir().unwrap(), files());
    let of: Vec<_> = files.iter().map(|(path, bytes)| (*path, bytes.as_slice())).collect();
    let manifest = Arc::new(metainfo::parse(&torrent_of("t", PIECE, &of).encode()).unwrap());
    assert!(manifest.has_padding());
    fs::create_dir(dir.path().join("maps")).unwrap();
    for (_, path, _) in manifest.files() {
        let (_, bytes) = files.iter().find(|(name, _)| *name == path.as_str()).unwrap();
        fs::write(dir.path().join(path.as_str()), bytes).unwrap();
    }
    (dir, manifest)
}

/// What lies beside the release, if all of it is right: by a glance, and by a look at every file.
fn both_say(dir: &Path, manifest: &Arc<Manifest>) -> (Option<Unnamed>, Option<Unnamed>) {
    let root = Arc::new(Root::open(dir).unwrap());
    let cancel = Cancel::default();
    let glance = Glance::at(&root, &cancel).unwrap();
    let glanced = glance.check(&root, manifest, &cancel, &|_| {}).unwrap();
    let none = PieceSet::none(manifest.pieces.len());
    let inventory = list(&root, &cancel).unwrap();
    let look = scan(inventory, &root, manifest, &none, &cancel, &|_| {}).unwrap();
    let looked = look.is_all_right(manifest).then_some(look.places.unnamed);
    match glanced {
        Glanced::Whole { unnamed } => (Some(unnamed), looked),
        Glanced::Unsure { right } => {
            // Who looks after all finds the same with what was right already.
            let inventory = list(&root, &cancel).unwrap();
            let again = scan(inventory, &root, manifest, &right, &cancel, &|_| {}).unwrap();
            assert_eq!(again.live, look.live);
            (None, looked)
        }
    }
}

type Unnamed = BTreeMap<String, Stat>;

fn longer(path: &Path) -> std::io::Result<()> {
    // Who reads a pipe waits.
    if !fs::metadata(path)?.is_file() {
        return Ok(());
    }
    let bytes = fs::read(path)?;
    fs::write(path, [&bytes[..], b" and more"].concat())
}

fn pipe(path: &Path) -> std::io::Result<()> {
    Ok(mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o644), 0)?)
}
