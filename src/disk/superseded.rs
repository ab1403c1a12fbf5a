//! [`Superseded`]: what was fetched of releases that another one replaced before they were complete.
//!
//! Beside the pieces of a release in staging lies its torrent, which tells the paths of the files there. The file of
//! the same path in another release may well have the same bytes; whether it has is for its pieces to say.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use super::content::Pool;
use super::fs::{FsError, Root, read_exact_at};
use super::layout;
use super::pace::Pace;
use super::staging::{self, Staging};
use super::verify::Content;
use crate::model::manifest::{Entry, EntryIndex, InfoHash, Manifest};
use crate::model::path::RelPath;
use crate::origin::metainfo;

/// Files of other releases in staging, as those of one that has none of its own for the same paths.
#[derive(Debug)]
pub struct Superseded {
    root: Arc<Root>,
    /// Where an entry's bytes may lie, below the pack's folder.
    files: BTreeMap<EntryIndex, String>,
    own: Option<Staging>,
    pool: Pool,
}

impl Superseded {
    /// Looks what there is for a release. A release that is `wanted` by others keeps what it has.
    pub fn find(
        root: &Arc<Root>,
        manifest: &Arc<Manifest>,
        wanted: Option<InfoHash>,
    ) -> Result<Self, FsError> {
        let own = Staging::existing(Arc::clone(root), Arc::clone(manifest))?;
        let mut files = BTreeMap::new();
        for folder in folders(root, manifest.info_hash, wanted)? {
            let staged = staged(root, &folder)?;
            for (entry, path, length) in manifest.files() {
                if let Some((at, held)) = staged.get(path)
                    && *held <= length
                {
                    files.entry(entry).or_insert_with(|| at.clone());
                }
            }
        }
        if let Some(own) = own.as_ref().filter(|_| !files.is_empty()) {
            own.list()?.keys().for_each(|entry| drop(files.remove(entry)));
        }
        Ok(Self { root: Arc::clone(root), files, own, pool: Pool::default() })
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Moves the files into the staging folder of the release, and clears the folders of those that nobody wants.
    pub fn take_over(
        root: &Arc<Root>,
        manifest: &Arc<Manifest>,
        wanted: Option<InfoHash>,
    ) -> Result<(), FsError> {
        let folders = folders(root, manifest.info_hash, wanted)?;
        if folders.is_empty() {
            return Ok(());
        }
        let found = Self::find(root, manifest, wanted)?;
        let staging = Staging::create(Arc::clone(root), Arc::clone(manifest))?;
        found.files.iter().try_for_each(|(entry, at)| staging.adopt(*entry, at))?;
        folders.iter().try_for_each(|folder| root.remove_tree(folder))
    }
}

impl Content for Superseded {
    fn pace(&self) -> (usize, Pace) {
        self.root.pace()
    }

    fn read(&self, piece: usize, entry: EntryIndex, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        match (self.files.get(&entry), &self.own) {
            (Some(at), _) => {
                let open = || self.root.open_file(at).map_err(|e| e.source);
                read_exact_at(&*self.pool.get(entry, open)?, buf, offset)
            }
            (None, Some(own)) => own.read(piece, entry, offset, buf),
            (None, None) => Err(ErrorKind::NotFound.into()),
        }
    }
}

/// The staging folders of other releases than these.
fn folders(root: &Root, own: InfoHash, wanted: Option<InfoHash>) -> Result<Vec<String>, FsError> {
    let spared = [Some(own), wanted].map(|hash| hash.map(|hash| OsString::from(hash.to_string())));
    let names = root.list(layout::STAGING)?.into_iter().map(|(name, _)| name);
    let others = names.filter(|name| !spared.iter().flatten().any(|spared| spared == name));
    Ok(others.filter_map(|name| Some(format!("{}/{}", layout::STAGING, name.to_str()?))).collect())
}

/// By path, where the files of a release lie in its staging folder, and bytes. Of one whose torrent is not there
/// nothing is known.
fn staged(root: &Root, folder: &str) -> Result<BTreeMap<RelPath, (String, u64)>, FsError> {
    let torrent = format!("{folder}/{}", layout::STAGED_TORRENT);
    let torrent = root.read(torrent, metainfo::MAX_BYTES as u64)?;
    let Some(manifest) = torrent.and_then(|bytes| metainfo::parse(&bytes).ok()) else {
        return Ok(BTreeMap::new());
    };
    let known = staging::list(root, folder)?.into_iter().filter_map(|(entry, stat)| {
        let Entry { path, .. } = manifest.entries.get(entry)?;
        Some((path.clone()?, (format!("{folder}/{}", staging::place_of(entry)), stat.length)))
    });
    Ok(known.collect())
}
