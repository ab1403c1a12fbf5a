//! [`Bitfields`]: what librqbit is told to have of a torrent.
//!
//! It looks for `<info hash>.bitv` in its persistence folder: one bit a piece, most significant first. That spares its own
//! check, which runs on one thread and reads all. With every 16 MiB that come it writes that file anew and waits for the
//! disk to have it, as do all peers that its thread serves (*measured*: 23 ms each time, a third of a fetch at 200 MB/s).
//! Nobody needs that, since it is told anew whenever a torrent is added. So the file lies in memory, where a system has
//! files that do.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::disk::fs::{FsError, Root};
use crate::model::manifest::{InfoHash, PieceSet};

/// The bitfields in the persistence folder of a session.
#[derive(Debug)]
pub(super) struct Bitfields {
    folder: Root,
    in_memory: Mutex<BTreeMap<InfoHash, Vec<File>>>,
}

/// Files that no name leads to any more. They are to be let go of in the thread that opens what the names lead to, or it
/// might just have followed one, to where another file is by then.
pub(super) type Replaced = Vec<File>;

impl Bitfields {
    pub fn new(folder: Root) -> Self {
        Self { folder, in_memory: Mutex::default() }
    }

    /// Has the next torrent with this info hash `have` these pieces.
    pub fn tell(&self, info_hash: InfoHash, have: &PieceSet) -> Result<Replaced, FsError> {
        let name = format!("{info_hash}.bitv");
        // Of a torrent that begins anew librqbit removes the one, and has the other take its place when it wrote that.
        let anew = format!("{name}.tmp");
        let told = self.make_in_memory(&name, have.as_bytes())?;
        let made = if let Some(told) = told {
            [told].into_iter().chain(self.make_in_memory(&anew, &[])?).collect()
        } else {
            self.folder.write_atomic(&name, have.as_bytes())?;
            Vec::new()
        };
        let mut in_memory = self.in_memory.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(in_memory.insert(info_hash, made).unwrap_or_default())
    }

    /// A file in memory by this name in the folder, where there can be one.
    fn make_in_memory(&self, name: &str, bytes: &[u8]) -> Result<Option<File>, FsError> {
        self.folder.remove_file_if_there(name)?;
        let made = make_in_memory(&self.folder.path().join(name), bytes).ok();
        if made.is_none() {
            self.folder.remove_file_if_there(name)?;
        }
        Ok(made)
    }
}

/// Makes a file that lies in memory for as long as it is open, and has this name lead to it
/// (<https://man7.org/linux/man-pages/man2/memfd_create.2.html>).
#[cfg(target_os = "linux")]
fn make_in_memory(name: &Path, bytes: &[u8]) -> io::Result<File> {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::symlink;

    use rustix::fs::{MemfdFlags, memfd_create};

    let mut file = File::from(memfd_create("bitfield", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    symlink(format!("/proc/self/fd/{}", file.as_raw_fd()), name)?;
    // It leads nowhere where `/proc` is not there.
    name.metadata()?;
    Ok(file)
}

#[cfg(not(target_os = "linux"))]
fn make_in_memory(_: &Path, _: &[u8]) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn librqbit_reads_what_it_was_told_last_and_writes_where_nobody_reads() {
        let dir = tempfile::tempdir().unwrap();
        let bitfields = Bitfields::new(Root::open(dir.path()).unwrap());
        let info_hash = InfoHash([7; 20]);
        let name = dir.path().join(format!("{info_hash}.bitv"));
        let mut have = PieceSet::none(12);
        for piece in [0, 9] {
            have.insert(piece);
            drop(bitfields.tell(info_hash, &have).unwrap());
            assert_eq!(fs::read(&name).unwrap(), have.as_bytes());
        }
        // As one that begins anew.
        let next = dir.path().join(format!("{info_hash}.bitv.tmp"));
        fs::remove_file(&name).unwrap();
        fs::write(&next, [1, 2]).unwrap();
        fs::rename(&next, &name).unwrap();
        assert_eq!(fs::read(&name).unwrap(), [1, 2]);
        assert_eq!(name.symlink_metadata().unwrap().is_symlink(), cfg!(target_os = "linux"));
        bitfields.tell(info_hash, &have).unwrap();
        assert_eq!(fs::read(&name).unwrap(), have.as_bytes());
    }
}
