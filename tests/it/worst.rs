//! The worst inputs of the greatest size that is read: whatever costs the most time or memory to refuse or take.

use std::fmt::Write;

use modsync::origin::metainfo::MAX_BYTES;

use super::tree::noise;

/// Torrents of [`MAX_BYTES`], by what is too much in them.
pub fn torrents() -> Vec<(&'static str, Vec<u8>)> {
    let entry = |n: usize| format!("d6:lengthi0e4:pathl{0}:{n:x}ee", format!("{n:x}").len());
    let deep = |n: usize| format!("d6:lengthi1e4:pathl{}5:{n:05x}ee", "1:a".repeat(31));
    let folders = |n: usize| {
        let parts = (0..30).fold(String::new(), |mut parts, part| {
            let _ = write!(parts, "7:{n:05x}{part:02x}");
            parts
        });
        format!("d6:lengthi1e4:pathl{parts}ee")
    };
    vec![
        ("files", with_files(entry)),
        ("deep files", with_files(deep)),
        ("folders", with_files(folders)),
        ("pieces", with_pieces()),
        ("lists", vec![b'l'; MAX_BYTES]),
        ("dictionaries", b"d1:a".iter().copied().cycle().take(MAX_BYTES).collect()),
        ("keys", with_keys()),
        ("digits", vec![b'9'; MAX_BYTES]),
        ("a title", with_title()),
        ("noise", noise(1, MAX_BYTES)),
        ("a web page", page()),
    ]
}

/// As many entries as there is room for, and the pieces that their lengths need.
fn with_files(entry: impl Fn(usize) -> String) -> Vec<u8> {
    let mut files = String::new();
    for n in 0.. {
        files.push_str(&entry(n));
        if files.len() > MAX_BYTES - 4_000 {
            break;
        }
    }
    let pieces = 20 * files.matches("lengthi1e").count().div_ceil(16 << 10).max(1);
    let filler = if files.contains("lengthi1e") { "" } else { "d6:lengthi1e4:pathl4:lastee" };
    let head = format!(
        "d4:infod5:filesl{files}{filler}e4:name4:pack12:piece lengthi16384e6:pieces{pieces}:"
    );
    [head.as_bytes(), &vec![0; pieces], b"ee"].concat()
}

fn with_pieces() -> Vec<u8> {
    let count = (MAX_BYTES - 200) / 20;
    let length = count << 14;
    let head = format!(
        "d4:infod6:lengthi{length}e4:name4:pack12:piece lengthi16384e6:pieces{}:",
        count * 20
    );
    [head.as_bytes(), &vec![7; count * 20], b"ee"].concat()
}

fn with_keys() -> Vec<u8> {
    let mut text = "d".to_owned();
    for n in 0.. {
        if text.len() > MAX_BYTES - 100 {
            break;
        }
        let _ = write!(text, "6:{n:06x}0:");
    }
    text.push('e');
    text.into_bytes()
}

fn with_title() -> Vec<u8> {
    let title = MAX_BYTES - 200;
    let head = format!("d4:infod6:lengthi1e4:name{title}:");
    let tail = b"12:piece lengthi16384e6:pieces20:12345678901234567890ee";
    [head.as_bytes(), &vec![b'a'; title], tail].concat()
}

fn page() -> Vec<u8> {
    let mut page = b"<!DOCTYPE html><html>".to_vec();
    page.resize(MAX_BYTES, b' ');
    page
}
