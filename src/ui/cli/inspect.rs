//! `modsync inspect`: what a torrent says, or why it is refused.

use std::path::Path;

use serde::Serialize;
use serde_json::json;

use super::Exit;
use super::output::{self, Failure, Output};
use crate::control::api::with_ok;
use crate::model::manifest::{InfoHash, Manifest};
use crate::model::path::RelPath;
use crate::publish;
use crate::ui::text;

pub(super) fn inspect(file: &Path, output: Output) -> Result<Exit, Failure> {
    let manifest = match publish::inspect(file) {
        Ok(manifest) => manifest,
        // Programs that read torrents expect these two keys and no others.
        Err(error) if output.json => {
            let value = json!({ "ok": false, "error": error.to_string() });
            output::print(&output::line(&value))?;
            return Ok(Exit::Failed);
        }
        Err(error) => return Err(anyhow::Error::from(error).into()),
    };
    output.say(|| text::manifest(&manifest), || with_ok(Inspected::of(&manifest)))?;
    Ok(Exit::Done)
}

/// What a torrent says, as every program reads it.
#[derive(Serialize)]
struct Inspected<'a> {
    name: &'a str,
    info_hash: InfoHash,
    /// Bytes.
    piece_length: u64,
    pieces: usize,
    /// Bytes.
    total: u64,
    files: Vec<InspectedFile<'a>>,
}

#[derive(Serialize)]
struct InspectedFile<'a> {
    path: &'a RelPath,
    /// Bytes.
    length: u64,
}

impl<'a> Inspected<'a> {
    fn of(manifest: &'a Manifest) -> Self {
        let file = |(_, path, length)| InspectedFile { path, length };
        Self {
            name: &manifest.name,
            info_hash: manifest.info_hash,
            piece_length: manifest.piece_length,
            pieces: manifest.pieces.len(),
            total: manifest.content_length(),
            files: manifest.files().map(file).collect(),
        }
    }
}
