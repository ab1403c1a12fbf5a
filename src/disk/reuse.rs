//! Bytes of a release that another folder of this machine has already.

use std::io;

use super::content::Live;
use super::fs::FsError;
use super::staging::Staging;
use super::verify::{Cancel, Cancelled, verify};
use crate::model::fault::Fault;
use crate::model::manifest::PieceSet;

/// Bytes copied at once.
const BUFFER: usize = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum ReuseError {
    #[error(transparent)]
    Fs(#[from] FsError),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl From<ReuseError> for Fault {
    fn from(error: ReuseError) -> Self {
        match error {
            ReuseError::Fs(e) => e.into(),
            ReuseError::Cancelled(_) => Self::cancelled(),
        }
    }
}

/// Copies those of the `missing` pieces that are right in `other` to staging, and names them. That
/// folder is nobody's concern here: it is only read, and may change meanwhile.
pub fn reuse(
    missing: &PieceSet,
    other: &Live,
    staging: &Staging,
    cancel: &Cancel,
) -> Result<PieceSet, ReuseError> {
    let manifest = &staging.manifest;
    let right = verify(manifest, missing, other, cancel, &|_| {})?;
    let mut copied = PieceSet::none(manifest.pieces.len());
    let mut buffer = vec![0; BUFFER];
    for piece in right.iter() {
        if cancel.is_cancelled() {
            return Err(Cancelled.into());
        }
        if copy(piece, other, staging, &mut buffer)? {
            copied.insert(piece);
        }
    }
    // What changed under our eyes is told by another look.
    Ok(verify(manifest, &copied, staging, cancel, &|_| {})?)
}

/// Whether the whole piece could be read.
fn copy(piece: usize, other: &Live, staging: &Staging, buffer: &mut [u8]) -> Result<bool, FsError> {
    for span in staging.manifest.spans(piece) {
        for offset in (span.offset..span.offset + span.length).step_by(buffer.len()) {
            let left = usize::try_from(span.offset + span.length - offset).unwrap_or(usize::MAX);
            let size = left.min(buffer.len());
            let bytes = &mut buffer[..size];
            if other.read_at(span.entry, offset, bytes).is_err() {
                return Ok(false);
            }
            let error = |e: io::Error| staging.error("write", span.entry, e);
            staging.write_at(span.entry, offset, bytes).map_err(error)?;
        }
    }
    Ok(true)
}
