//! A torrent as one file: what librqbit is told of one of which nothing is here yet.
//!
//! librqbit walks its whole list of files for each block that comes and for each piece that it chooses (*measured*, of
//! 100,000 files: 0.1 ms a block and 4 ms a piece). To it, files are nothing but parts of one long stream, and which of
//! them are where is our own concern. But the list is made of the torrent, and another one is heeded only when a
//! torrent that could not begin begins anew. So it fails to begin once: see [`View`](super::storage::View).
//!
//! A torrent that begins anew is read from its first byte to its last, so this is for one of which nothing is here.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, ensure};
use librqbit::file_info::FileInfo;
use librqbit::{FileDetailsAttrs, ManagedTorrent, Session, TorrentMetadata};
use librqbit_core::torrent_metainfo::TorrentMetaV1Info;

use crate::heap;

/// What the one file is called. A torrent's own name need not be a file's.
const NAME: &str = "all";

/// Begins anew, as one file, with a torrent that was added and paused and could not begin.
pub(super) async fn begin_anew(
    session: &Arc<Session>,
    torrent: &Arc<ManagedTorrent>,
) -> anyhow::Result<()> {
    let has_begun = torrent.wait_until_initialized().await.is_ok();
    ensure!(!has_begun, "it began with its own list of files");
    let metadata = torrent.metadata.swap(None).context("it has no list of files")?;
    torrent.metadata.store(Some(Arc::new(as_one_file(&metadata)?)));
    heap::drop_aside(metadata);
    session.unpause(torrent).await
}

/// The lists of a large torrent are large: they are not kept.
fn as_one_file(metadata: &TorrentMetadata) -> anyhow::Result<TorrentMetadata> {
    let (listed, lengths) = (metadata.info.info(), metadata.lengths());
    let info = TorrentMetaV1Info {
        name: Some(NAME.as_bytes().into()),
        pieces: listed.pieces.clone(),
        piece_length: listed.piece_length,
        length: Some(lengths.total_length()),
        private: listed.private,
        ..TorrentMetaV1Info::default()
    };
    let all = FileInfo {
        relative_filename: PathBuf::from(NAME),
        offset_in_torrent: 0,
        piece_range: 0..lengths.total_pieces(),
        attrs: FileDetailsAttrs::default(),
        len: lengths.total_length(),
    };
    Ok(TorrentMetadata {
        info: info.validate()?,
        torrent_bytes: metadata.torrent_bytes.clone(),
        info_bytes: metadata.info_bytes.clone(),
        file_infos: vec![all],
    })
}
