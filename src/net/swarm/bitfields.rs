//! [`Bitfields`]: what librqbit is told to have of a torrent.
//!
//! It looks for `<info hash>.bitv` in its persistence folder: one bit a piece, most significant first. That spares its own
//! check, which runs on one thread and reads all. With every 16 MiB that come it writes that file anew and waits for the
//! disk to have it, as do all peers that its thread serves (*measured*: 23 ms each time, a quarter of a fetch at 200 MB/s).
//! Nobody needs that, since it is told anew whenever a torrent is added. So the file lies in memory where it can.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::disk::fs::{FsError, Root, in_memory};
use crate::model::manifest::{InfoHash, PieceSet};

/// Forgotten files that are still open. librqbit may have followed a name already: were its file closed at once, the name
/// might lead it to another one.
const LINGERING: usize = 4;

/// The bitfields in the persistence folder of a session.
#[derive(Debug)]
pub(super) struct Bitfields {
    folder: Root,
    in_memory: Mutex<InMemory>,
}

#[derive(Debug, Default)]
struct InMemory {
    told: BTreeMap<InfoHash, File>,
    forgotten: VecDeque<File>,
}

impl Bitfields {
    pub fn new(folder: Root) -> Self {
        Self { folder, in_memory: Mutex::default() }
    }

    /// Has the next torrent with this info hash `have` these pieces.
    pub fn tell(&self, info_hash: InfoHash, have: &PieceSet) -> Result<(), FsError> {
        self.forget(info_hash)?;
        let names = names(info_hash);
        if let Ok(file) = in_memory(have.as_bytes()) {
            let led = names.iter().try_for_each(|name| self.folder.lead_to(name, &file));
            // In any case: a name may lead to it.
            self.lock().told.insert(info_hash, file);
            match led {
                Ok(()) => return Ok(()),
                Err(error) => tracing::debug!("a bitfield goes to the disk: {error}"),
            }
            self.forget(info_hash)?;
        }
        let [name, _] = names;
        self.folder.write_atomic(name, have.as_bytes())
    }

    /// Takes back what was told of a torrent, once it is left.
    pub fn forget(&self, info_hash: InfoHash) -> Result<(), FsError> {
        for name in names(info_hash) {
            self.folder.remove_file_if_there(name)?;
        }
        let mut in_memory = self.lock();
        let file = in_memory.told.remove(&info_hash);
        in_memory.forgotten.extend(file);
        if in_memory.forgotten.len() > LINGERING {
            in_memory.forgotten.pop_front();
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, InMemory> {
        self.in_memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While the files are still open, their names go.
impl Drop for Bitfields {
    fn drop(&mut self) {
        let told: Vec<_> = self.lock().told.keys().copied().collect();
        for info_hash in told {
            if let Err(error) = self.forget(info_hash) {
                tracing::debug!("the name of a bitfield stays: {error}");
            }
        }
    }
}

/// Where librqbit looks for a bitfield; and where it writes the one of a torrent that begins anew, before that takes the
/// first one's place. The one file does for both: of such a torrent nothing is there, whoever writes that last.
fn names(info_hash: InfoHash) -> [String; 2] {
    [format!("{info_hash}.bitv"), format!("{info_hash}.bitv.tmp")]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    const INFO_HASH: InfoHash = InfoHash([7; 20]);

    #[test]
    fn librqbit_reads_what_it_was_told_last_and_writes_where_nobody_reads() {
        let dir = tempfile::tempdir().unwrap();
        let bitfields = Bitfields::new(Root::open(dir.path()).unwrap());
        let [name, next] = places(dir.path());
        let mut have = PieceSet::none(12);
        for piece in [0, 9] {
            have.insert(piece);
            bitfields.tell(INFO_HASH, &have).unwrap();
            assert_eq!(fs::read(&name).unwrap(), have.as_bytes());
        }
        // As it does with one that begins anew.
        fs::remove_file(&name).unwrap();
        fs::write(&next, [1, 2]).unwrap();
        fs::rename(&next, &name).unwrap();
        assert_eq!(fs::read(&name).unwrap(), [1, 2]);
        assert_eq!(name.symlink_metadata().unwrap().is_symlink(), cfg!(target_os = "linux"));
        bitfields.tell(INFO_HASH, &have).unwrap();
        assert_eq!(fs::read(&name).unwrap(), have.as_bytes());
    }

    #[test]
    fn no_name_outlives_what_it_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        let names = || fs::read_dir(dir.path()).unwrap().count();
        let bitfields = Bitfields::new(Root::open(dir.path()).unwrap());
        let have = PieceSet::all(12);
        for nth in 0..9 {
            bitfields.tell(InfoHash([nth; 20]), &have).unwrap();
            bitfields.forget(InfoHash([nth; 20])).unwrap();
            assert_eq!(names(), 0);
        }
        assert!(bitfields.lock().forgotten.len() <= LINGERING);
        bitfields.tell(INFO_HASH, &have).unwrap();
        drop(bitfields);
        // Elsewhere than in memory it goes with the folder.
        assert_eq!(names() == 0, cfg!(target_os = "linux"));
    }

    #[cfg(all(debug_assertions, target_os = "linux"))]
    #[test]
    fn where_no_name_can_lead_to_memory_the_disk_has_it() {
        use crate::disk::fs::faults::{Failure, Faults};
        let have = PieceSet::all(12);
        // After the two that take back what was told before.
        for change in 3..=4 {
            let dir = tempfile::tempdir().unwrap();
            let faults = Faults::at(change, Failure::Error(std::io::ErrorKind::Unsupported));
            let root = Root::open(dir.path()).unwrap().with_faults(&faults);
            Bitfields::new(root).tell(INFO_HASH, &have).unwrap();
            let [name, next] = places(dir.path());
            assert_eq!(
                (fs::read(&name).unwrap(), next.exists()),
                (have.as_bytes().to_vec(), false)
            );
            assert!(name.symlink_metadata().unwrap().is_file());
        }
    }

    fn places(folder: &Path) -> [PathBuf; 2] {
        names(INFO_HASH).map(|name| folder.join(name))
    }
}
