//! A folder → a `.torrent`, and a look at one.
//!
//! What it makes is deterministic: the same files give the same bytes. Files lie directly below the
//! pack's folder, in the order of their names; hidden files are files like any other.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha1::{Digest, Sha1};
use walkdir::WalkDir;

use crate::model::manifest::Manifest;
use crate::model::path::{PathError, RelPath};
use crate::origin::metainfo::{self, MetainfoError};

#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("could not read `{}`: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}` cannot be part of a pack: {source}", path.display())]
    Name { path: PathBuf, source: PathError },
}

#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    #[error("could not read `{}`: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}`: {source}", path.display())]
    Refused { path: PathBuf, source: MetainfoError },
}

/// Reads a `.torrent` by the rules that hold for a published one.
pub fn inspect(path: &Path) -> Result<Manifest, InspectError> {
    let mut bytes = Vec::new();
    // One byte more than is allowed, so that the parser sees that it is too much.
    let limit = metainfo::MAX_BYTES as u64 + 1;
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|source| InspectError::Read { path: path.to_owned(), source })?;
    metainfo::parse(&bytes)
        .map_err(|source| InspectError::Refused { path: path.to_owned(), source })
}

/// Makes the `.torrent` of all files below a folder. `piece_length` is in bytes.
pub fn make_torrent(
    folder: &Path,
    title: &str,
    piece_length: usize,
) -> Result<Vec<u8>, PublishError> {
    let mut pieces = Pieces::new(piece_length);
    let mut list = Vec::new();
    for (path, name) in files(folder)? {
        let error = |source| PublishError::Read { path: path.clone(), source };
        let length = pieces.add(&mut File::open(&path).map_err(error)?).map_err(error)?;
        list.extend(format!("d6:lengthi{length}e4:pathl").into_bytes());
        name.components().for_each(|component| string(&mut list, component.as_bytes()));
        list.extend(b"ee");
    }
    let mut torrent = b"d4:infod5:filesl".to_vec();
    torrent.extend(list);
    torrent.extend(b"e4:name");
    string(&mut torrent, title.as_bytes());
    torrent.extend(format!("12:piece lengthi{piece_length}e6:pieces").into_bytes());
    string(&mut torrent, &pieces.finish());
    torrent.extend(b"ee");
    Ok(torrent)
}

fn files(folder: &Path) -> Result<Vec<(PathBuf, RelPath)>, PublishError> {
    let mut files = Vec::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.map_err(|e| PublishError::Read {
            path: e.path().unwrap_or(folder).to_owned(),
            source: e.into(),
        })?;
        if !entry.file_type().is_file() {
            continue;
        }
        let path = entry.path().to_owned();
        let below = path.strip_prefix(folder).unwrap_or(&path);
        let components: Option<Vec<&str>> = below.iter().map(|part| part.to_str()).collect();
        let name = components.ok_or(PathError::NotUtf8).and_then(RelPath::from_components);
        let name = name.map_err(|source| PublishError::Name { path: path.clone(), source })?;
        files.push((path, name));
    }
    Ok(files)
}

/// The digests of the concatenation of files.
struct Pieces {
    buffer: Vec<u8>,
    filled: usize,
    digests: Vec<u8>,
}

impl Pieces {
    fn new(piece_length: usize) -> Self {
        Self { buffer: vec![0; piece_length], filled: 0, digests: Vec::new() }
    }

    /// Adds a file; returns its length in bytes.
    fn add(&mut self, file: &mut File) -> io::Result<u64> {
        let mut length = 0;
        loop {
            let read = file.read(&mut self.buffer[self.filled..])?;
            if read == 0 {
                return Ok(length);
            }
            length += read as u64;
            self.filled += read;
            if self.filled == self.buffer.len() {
                self.close();
            }
        }
    }

    fn close(&mut self) {
        self.digests.extend(Sha1::digest(&self.buffer[..self.filled]));
        self.filled = 0;
    }

    fn finish(mut self) -> Vec<u8> {
        if self.filled > 0 {
            self.close();
        }
        self.digests
    }
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(format!("{}:", bytes.len()).into_bytes());
    out.extend(bytes);
}
