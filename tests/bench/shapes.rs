//! [`Shape`]: what a pack looks like, and [`Release`]: such a pack on the disk. The same shape has the same
//! bytes, always.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use sha1::{Digest, Sha1};

use crate::it::torrents::{Ben, dict, file, torrent, torrent_of};
use crate::tree::Tree;

/// Files lie below a folder of this name, except where ModSync has them.
pub const TITLE: &str = "Pack";
const MIB: u64 = 1 << 20;

/// How many files of which sizes.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub name: &'static str,
    files: u64,
    folders: u64,
    bytes: u64,
    /// A file is up to 2 to the power of this times as large as another.
    spread: u32,
    piece_length: usize,
}

/// A pack's files below `folder`, and its torrent.
#[derive(Debug)]
pub struct Release {
    pub folder: PathBuf,
    pub torrent: Vec<u8>,
    pub bytes: u64,
}

impl Shape {
    pub fn mixed(short: bool, bytes: u64) -> Self {
        let (name, files, bytes) =
            if short { ("40 files", 40, 8 * MIB) } else { ("2,000 mixed files", 2_000, bytes) };
        Self { name, files, folders: 20, bytes, spread: 9, piece_length: 1 << 20 }
    }

    pub fn small(short: bool) -> Self {
        let (name, files, folders) = if short {
            ("1,000 small files", 1_000, 10)
        } else {
            ("100,000 small files", 100_000, 1_000)
        };
        Self { name, files, folders, bytes: files * 4_000, spread: 1, piece_length: 256 << 10 }
    }

    pub fn one(short: bool, bytes: u64) -> Self {
        let bytes = if short { 8 * MIB } else { bytes };
        Self { name: "one file", files: 1, folders: 1, bytes, spread: 0, piece_length: 1 << 20 }
    }

    /// Writes it below a folder.
    pub fn write(&self, folder: &Path) -> Release {
        let mut random = Rng::with_seed(self.files);
        let mut pieces = Pieces::new(self.piece_length);
        let files = self.list();
        for (path, length) in &files {
            let path = folder.join(TITLE).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            pieces.write(&mut File::create(path).unwrap(), *length, &mut random);
        }
        let bytes = files.iter().map(|(_, length)| length).sum();
        let list = files.iter().map(|(path, length)| file(path, length.cast_signed())).collect();
        let torrent = torrent(self.piece_length.cast_signed() as i64, list);
        let torrent = torrent.with("name", TITLE).with("pieces", pieces.end());
        Release { folder: folder.to_owned(), torrent: with_info(torrent.info()), bytes }
    }

    /// Path and length of every file.
    pub fn list(&self) -> Vec<(String, u64)> {
        let mut random = Rng::with_seed(self.files);
        let mut weight = || random.u64(512..1024) << random.u32(0..=self.spread);
        let weights: Vec<u64> = (0..self.files).map(|_| weight()).collect();
        let sum: u64 = weights.iter().sum();
        let path = |n| format!("folder {}/file {n}.pak", n % self.folders);
        let length = |weight| self.bytes * weight / sum;
        (0..).map(path).zip(weights.into_iter().map(length)).collect()
    }
}

impl Release {
    /// Writes these files below a folder.
    pub fn of(tree: &Tree, piece_length: usize, folder: &Path) -> Self {
        tree.write(&folder.join(TITLE));
        let files: Vec<_> = tree.0.iter().map(|(path, bytes)| (&path[..], &bytes[..])).collect();
        let torrent = with_info(torrent_of(TITLE, piece_length, &files).info());
        let bytes = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        Self { folder: folder.to_owned(), torrent, bytes }
    }
}

/// Without the tracker that every torrent here names.
fn with_info(info: Ben) -> Vec<u8> {
    dict([("info", info)]).encode()
}

/// The hashes of pieces, made while their bytes are written.
struct Pieces {
    length: usize,
    current: Sha1,
    filled: usize,
    hashes: Vec<u8>,
}

impl Pieces {
    fn new(length: usize) -> Self {
        Self { length, current: Sha1::new(), filled: 0, hashes: Vec::new() }
    }

    fn write(&mut self, file: &mut File, length: u64, random: &mut Rng) {
        let (mut left, mut buffer) = (length as usize, vec![0; 256 << 10]);
        while left > 0 {
            let part = left.min(buffer.len()).min(self.length - self.filled);
            let bytes = &mut buffer[..part];
            random.fill(bytes);
            file.write_all(bytes).unwrap();
            self.current.update(bytes);
            self.filled += part;
            left -= part;
            if self.filled == self.length {
                self.close();
            }
        }
    }

    fn close(&mut self) {
        self.hashes.extend_from_slice(&self.current.finalize_reset());
        self.filled = 0;
    }

    fn end(mut self) -> Vec<u8> {
        if self.filled > 0 {
            self.close();
        }
        self.hashes
    }
}
