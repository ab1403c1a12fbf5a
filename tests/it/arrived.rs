//! Which pieces in staging need not be read again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use modsync::disk::arrived::Arrived;
use modsync::disk::fs::{Root, Stat};
use modsync::disk::layout;
use modsync::disk::staging::Staging;
use modsync::model::manifest::Manifest;
use modsync::origin::metainfo;

use crate::torrents::torrent_of;
use crate::tree::noise;

const PIECE: usize = 16384;

/// New content on its way: `a.pak` is in pieces 0 to 2, `b.txt` and `c.txt` are in 2, `d.pak` in 2 to 4.
struct Fetch {
    dir: tempfile::TempDir,
    manifest: Arc<Manifest>,
    staging: Staging,
    arrived: Arrived,
    bytes: Vec<u8>,
}

impl Fetch {
    fn new() -> Self {
        let files = [
            ("a.pak", noise(1, 2 * PIECE + 100)),
            ("b.txt", noise(2, 10)),
            ("c.txt", noise(3, 20)),
            ("d.pak", noise(4, 2 * PIECE)),
        ];
        let shown: Vec<(&str, &[u8])> =
            files.iter().map(|(path, bytes)| (*path, bytes.as_slice())).collect();
        let torrent = torrent_of("pack", PIECE, &shown).encode();
        let manifest = Arc::new(metainfo::parse(&torrent).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let root = Arc::new(Root::open(dir.path()).unwrap());
        let staging = Staging::create(root, Arc::clone(&manifest)).unwrap();
        let bytes = files.into_iter().flat_map(|(_, bytes)| bytes).collect();
        Self { dir, manifest, staging, arrived: Arrived::default(), bytes }
    }

    fn receive(&self, piece: usize) {
        let range = self.manifest.piece_range(piece);
        let mut bytes = &self.bytes[range.start as usize..range.end as usize];
        let mut written = Vec::new();
        for span in self.manifest.spans(piece) {
            let (part, rest) = bytes.split_at(span.length as usize);
            written.extend(self.staging.write_right(span.entry, span.offset, &[part]).unwrap());
            bytes = rest;
        }
        self.arrived.note_right(piece..piece + 1, &written);
    }

    /// Where the new content of an entry lies.
    fn file(&self, entry: usize) -> PathBuf {
        let folder = layout::staging(self.manifest.info_hash);
        self.dir.path().join(folder).join(format!("shelf-0/{entry}"))
    }

    fn untouched(&self) -> Vec<usize> {
        let look = |entry| Stat::of_file(&File::open(self.file(entry)).ok()?).ok();
        self.arrived.untouched(&self.manifest, look).iter().collect()
    }
}

#[test]
fn what_was_right_when_it_was_written_is_not_read_again() {
    let fetch = Fetch::new();
    (0..5).for_each(|piece| fetch.receive(piece));
    assert_eq!(fetch.untouched(), [0, 1, 2, 3, 4]);
    let staged = (0..4).flat_map(|entry| fs::read(fetch.file(entry)).unwrap());
    assert!(staged.eq(fetch.bytes.iter().copied()), "other bytes than came");
}

#[test]
fn a_piece_of_which_nobody_knows_whether_it_is_right_is_read() {
    let fetch = Fetch::new();
    fetch.receive(0);
    fetch.arrived.note(1);
    assert_eq!(fetch.untouched(), [0]);
}

#[test]
fn all_of_a_file_in_which_somebody_else_wrote_is_read() {
    let fetch = Fetch::new();
    (0..5).for_each(|piece| fetch.receive(piece));
    write_later(&fetch.file(0), &noise(9, 2 * PIECE + 100));
    assert_eq!(fetch.untouched(), [3, 4]);
}

#[test]
fn all_of_a_file_that_was_made_anew_meanwhile_is_read() {
    let fetch = Fetch::new();
    fetch.receive(0);
    fs::remove_file(fetch.file(0)).unwrap();
    write_later(&fetch.file(0), b"");
    // Whoever fetches on knows nothing of it.
    let root = Arc::new(Root::open(fetch.dir.path()).unwrap());
    let staging = Staging::create(root, Arc::clone(&fetch.manifest)).unwrap();
    let fetch = Fetch { staging, ..fetch };
    (1..5).for_each(|piece| fetch.receive(piece));
    assert_eq!(fetch.untouched(), [3, 4]);
}

#[test]
fn all_of_a_file_that_was_cut_off_is_read_whatever_its_time() {
    let fetch = Fetch::new();
    (0..5).for_each(|piece| fetch.receive(piece));
    let file = File::options().write(true).open(fetch.file(3)).unwrap();
    let written = file.metadata().unwrap().modified().unwrap();
    file.set_len(5).unwrap();
    file.set_modified(written).unwrap();
    assert_eq!(fetch.untouched(), [0, 1]);
}

#[test]
fn what_came_in_an_earlier_fetch_is_read() {
    let fetch = Fetch::new();
    (0..3).for_each(|piece| fetch.receive(piece));
    fetch.arrived.distrust();
    (3..5).for_each(|piece| fetch.receive(piece));
    assert_eq!(fetch.untouched(), [3, 4]);
    assert!((0..5).all(|piece| fetch.arrived.has(piece)));
}

#[test]
fn a_file_that_is_gone_is_not_taken_to_be_there() {
    let fetch = Fetch::new();
    (0..5).for_each(|piece| fetch.receive(piece));
    fs::remove_file(fetch.file(1)).unwrap();
    assert_eq!(fetch.untouched(), [0, 1, 3, 4]);
}

/// As somebody else does, in another tick of the file system's clock.
fn write_later(file: &Path, bytes: &[u8]) {
    fs::write(file, bytes).unwrap();
    let later = SystemTime::now() + Duration::from_secs(2);
    File::options().write(true).open(file).unwrap().set_modified(later).unwrap();
}
