//! Torrents from outside: what is refused and why, what is read, and that nothing else happens.

use std::time::{Duration, Instant};

use modsync::model::manifest::Manifest;
use modsync::origin::metainfo::{MAX_BYTES, MAX_PIECE, MIN_PIECE, parse};
use sha1::{Digest, Sha1};

use crate::torrents::{acceptable, hostile, many_files, torrent_of};

#[test]
fn every_hostile_torrent_is_refused_with_its_reason() {
    let wrong: Vec<String> = hostile()
        .into_iter()
        .filter_map(|case| match parse(&case.bytes) {
            Ok(_) => Some(format!("{}: it was accepted", case.name)),
            Err(reason) => {
                let reason = reason.to_string();
                let good =
                    reason.contains(case.says) && reason.len() < 2000 && is_one_line(&reason);
                (!good).then(|| format!("{}: `{reason}` instead of `{}`", case.name, case.says))
            }
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_has_a_hostile_torrent_of_its_own() {
    let mut names: Vec<_> = hostile().into_iter().map(|case| case.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "two cases share a name");
    assert!(count >= 75, "only {count} hostile torrents");
}

#[test]
fn every_acceptable_torrent_is_read_whole() {
    for case in acceptable() {
        let name = case.name;
        let parsed = parse(&case.torrent.encode());
        assert_eq!(parsed.as_ref().err(), None, "{name}");
        let Ok(manifest) = parsed else { continue };
        let files = manifest.files().map(|(_, path, length)| (path.to_string(), length));
        assert_eq!(files.collect::<Vec<_>>(), case.files, "{name}");
        assert_eq!(manifest.name, case.title, "{name}");
        assert_eq!(manifest.entries.len(), case.entries, "{name}");
        assert_eq!(manifest.stream_length, case.total, "{name}");
        let info_hash = <[u8; 20]>::from(Sha1::digest(case.torrent.info().encode()));
        assert_eq!(manifest.info_hash.0, info_hash, "{name}");
        assert_sound(&manifest);
    }
}

#[test]
fn pieces_are_kept_in_order() {
    let content = [vec![1; 16 << 10], vec![2; 16 << 10]].concat();
    let manifest = parse(&torrent_of("t", 16 << 10, &[("a", &content)]).encode());
    let hashes = content.chunks(16 << 10).map(|piece| <[u8; 20]>::from(Sha1::digest(piece)));
    assert_eq!(manifest.map(|m| m.pieces), Ok(hashes.collect()));
}

#[test]
fn a_hundred_thousand_files_are_read_at_once() {
    let bytes = many_files(100_000).encode();
    let start = Instant::now();
    let manifest = parse(&bytes);
    let elapsed = start.elapsed();
    assert_eq!(manifest.map(|m| m.entries.len()), Ok(100_000));
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
}

#[test]
fn mutilated_torrents_are_refused_or_sound() {
    let originals: Vec<Vec<u8>> = acceptable().iter().map(|case| case.torrent.encode()).collect();
    let mut random = fastrand::Rng::with_seed(47);
    let mut accepted = 0;
    for _ in 0..6000 {
        let mut bytes = pick(&mut random, &originals).to_vec();
        for _ in 0..random.usize(1..4) {
            mutilate(&mut random, &mut bytes, &originals);
        }
        if let Ok(manifest) = parse(&bytes) {
            accepted += 1;
            assert_sound(&manifest);
        }
    }
    assert!(accepted > 100, "only {accepted} survived, so the test shows little");
}

fn mutilate(random: &mut fastrand::Rng, bytes: &mut Vec<u8>, originals: &[Vec<u8>]) {
    if bytes.is_empty() {
        return;
    }
    // Most of a torrent is hashes, where nothing can break: stay in its first part.
    let place = random.usize(..bytes.len().min(600));
    match random.u8(..6) {
        0 => bytes[place] ^= 1 << random.u8(..8),
        1 => bytes[place] = *random.choice(b"0123456789:deil-./\\\0\xff").unwrap_or(&0),
        2 => bytes.truncate(place),
        3 => drop(bytes.remove(place)),
        4 => bytes.insert(place, random.digit(10) as u8),
        _ => {
            let other = pick(random, originals);
            let start = random.usize(..other.len().min(600));
            let end = (start + random.usize(..40)).min(other.len());
            bytes.splice(place..place, other[start..end].iter().copied());
        }
    }
}

fn pick<'a>(random: &mut fastrand::Rng, originals: &'a [Vec<u8>]) -> &'a [u8] {
    &originals[random.usize(..originals.len())]
}

/// What every other part of the program relies on.
fn assert_sound(manifest: &Manifest) {
    let mut end = 0;
    for entry in &manifest.entries {
        assert_eq!(entry.offset, end);
        end += entry.length;
    }
    assert_eq!(manifest.stream_length, end);
    assert!((MIN_PIECE..=MAX_PIECE).contains(&manifest.piece_length));
    assert_eq!(manifest.pieces.len() as u64, end.div_ceil(manifest.piece_length));
    assert!(manifest.pieces.len() <= MAX_BYTES / 20);
    assert!(manifest.files().count() > 0);
    assert!(end > 0 && manifest.content_length() <= end);
    let mut keys: Vec<_> = manifest.files().map(|(_, path, _)| path.fold_key()).collect();
    keys.sort_unstable();
    assert!(keys.iter().zip(keys.iter().skip(1)).all(|(a, b)| a != b));
    for (_, path, _) in manifest.files() {
        let folders: Vec<_> = path.ancestors().map(modsync::model::path::fold).collect();
        assert!(folders.iter().all(|folder| keys.binary_search(folder).is_err()), "{path}");
    }
}

fn is_one_line(text: &str) -> bool {
    !text.chars().any(|c| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{feff}')
    })
}
