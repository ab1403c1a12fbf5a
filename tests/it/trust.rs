//! Which pieces of a new release need not be read.

use std::collections::BTreeMap;
use std::time::SystemTime;

use modsync::disk::baseline::{Baseline, Installed};
use modsync::disk::fs::{Kind, Stat};
use modsync::disk::inventory::Inventory;
use modsync::disk::trust::Known;
use modsync::model::manifest::{Manifest, PieceSet};
use modsync::model::path::RelPath;
use modsync::model::release::{Digest, Release};
use modsync::origin::metainfo;

use crate::torrents::torrent_of;
use crate::tree::noise;

const PIECE: usize = 16384;
/// When the baseline was written; the files before that.
const WRITTEN: i64 = 1_000;

fn manifest(files: &[(&str, &[u8])]) -> Manifest {
    metainfo::parse(&torrent_of("pack", PIECE, files).encode()).unwrap()
}

/// The pieces that are trusted when a file of the installed release has this time now.
fn trusted(installed: &Manifest, release: &Manifest, changed: &str, mtime_ns: i64) -> Vec<usize> {
    let (baseline, inventory) = seen(installed, changed, mtime_ns);
    let known = Known { manifest: installed, baseline: &baseline, written_ns: WRITTEN };
    known.trusted(release, &inventory).iter().collect()
}

/// The baseline of an installed release, and what is there when a file of it has this time now.
fn seen(installed: &Manifest, changed: &str, mtime_ns: i64) -> (Baseline, Inventory) {
    let files: BTreeMap<RelPath, Installed> = installed
        .files()
        .map(|(_, path, length)| {
            let is_it = path.as_str() == changed && mtime_ns >= WRITTEN;
            let mtime_ns = if is_it { mtime_ns } else { WRITTEN - 1 };
            (path.clone(), Installed { length, mtime_ns })
        })
        .collect();
    let stats = installed.files().map(|(_, path, length)| {
        let mtime_ns = if path.as_str() == changed { mtime_ns } else { WRITTEN - 1 };
        (path.clone(), Stat { kind: Kind::File, length, mtime_ns })
    });
    let inventory = Inventory { files: stats.collect(), ..Inventory::default() };
    let release_of_baseline = Release {
        digest: Digest([1; 32]),
        info_hash: installed.info_hash,
        name: "pack".to_owned(),
        length: 0,
        files: 0,
        seen: SystemTime::UNIX_EPOCH,
    };
    let baseline =
        Baseline { release: release_of_baseline, files, applied_as: None, went_back_from: None };
    (baseline, inventory)
}

#[test]
fn a_piece_of_files_that_look_as_installed_is_trusted_where_it_was() {
    let (a, b) = (noise(1, 2 * PIECE), noise(2, 2 * PIECE));
    let old = manifest(&[("a", &a), ("b", &b)]);
    assert_eq!(trusted(&old, &old, "", 0), [0, 1, 2, 3]);
    // A file that was touched, and one that changed in the moment in which the baseline was written.
    assert_eq!(trusted(&old, &old, "a", WRITTEN - 5), [2, 3]);
    assert_eq!(trusted(&old, &old, "a", WRITTEN), [2, 3]);

    let changed = [&a[..PIECE], &noise(3, PIECE)].concat();
    let new = manifest(&[("a", &changed), ("b", &b), ("c", &b)]);
    assert_eq!(trusted(&old, &new, "", 0), [0, 2, 3]);
    // The same bytes under another name are not there.
    let renamed = manifest(&[("x", &a), ("y", &b)]);
    assert_eq!(trusted(&old, &renamed, "", 0), [0_usize; 0]);
}

#[test]
fn what_was_right_before_a_file_changed_is_not_trusted_any_more() {
    // One has the same bytes twice, the other has them as well.
    let (a, b) = ([noise(1, PIECE), noise(1, PIECE)].concat(), noise(1, 2 * PIECE));
    let release = manifest(&[("a", &a), ("b", &b)]);
    let right = PieceSet::of(4, [0, 1, 3]);
    let still_right = |changed, mtime_ns| {
        let (baseline, inventory) = seen(&release, changed, mtime_ns);
        let known = Known { manifest: &release, baseline: &baseline, written_ns: WRITTEN };
        known.still_right(&right, &inventory)
    };
    assert_eq!(still_right("", 0), right);
    // It was edited between the check of its pieces and the look at it.
    assert_eq!(still_right("a", WRITTEN + 5), PieceSet::of(4, [3]));
    assert_eq!(still_right("b", WRITTEN - 5), PieceSet::of(4, [0, 1]));
}
