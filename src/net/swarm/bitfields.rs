//! [`Bitfields`]: what librqbit is told to have of a torrent.
//!
//! It looks for `<info hash>.bitv` in its persistence folder: one bit a piece, most significant first. That spares its own
//! check, which runs on one thread and reads all. With every 16 MiB that come it writes that file anew and waits for the
//! disk to have it, as do all peers that its thread serves (*measured*: 23 ms each time, a quarter of a fetch at 200 MB/s).
//! Nobody needs that, since it is told anew whenever a torrent is added. So the file lies in memory where it can.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::disk::fs::{FsError, InMemory, Root};
use crate::model::manifest::{InfoHash, PieceSet};

/// How long a file stays open that was forgotten. librqbit may be following its name in another thread: were it closed at
/// once, the name might lead to what is opened next.
const LINGER: Duration = Duration::from_secs(1);

/// What all sessions have forgotten: one that ends does not wait for its threads for ever.
static FORGOTTEN: Mutex<VecDeque<(Instant, InMemory)>> = Mutex::new(VecDeque::new());

/// The bitfields in the persistence folder of a session.
#[derive(Debug)]
pub(super) struct Bitfields {
    folder: Root,
    in_memory: Mutex<BTreeMap<InfoHash, InMemory>>,
}

impl Bitfields {
    pub fn new(folder: Root) -> Self {
        Self { folder, in_memory: Mutex::default() }
    }

    /// Has the next torrent with this info hash `have` these pieces.
    pub fn tell(&self, info_hash: InfoHash, have: &PieceSet) -> Result<(), FsError> {
        self.forget(info_hash)?;
        let names = names(info_hash);
        if let Ok(file) = InMemory::with(have.as_bytes()) {
            let led = names.iter().try_for_each(|name| self.folder.lead_to(name, &file));
            // In any case: a name may lead to it.
            lock(&self.in_memory).insert(info_hash, file);
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
        let file = lock(&self.in_memory).remove(&info_hash);
        let mut forgotten = lock(&FORGOTTEN);
        let now = Instant::now();
        forgotten.extend(file.map(|file| (now, file)));
        while forgotten.front().is_some_and(|(since, _)| now - *since >= LINGER) {
            forgotten.pop_front();
        }
        Ok(())
    }
}

impl Drop for Bitfields {
    fn drop(&mut self) {
        let told: Vec<_> = lock(&self.in_memory).keys().copied().collect();
        for info_hash in told {
            if let Err(error) = self.forget(info_hash) {
                tracing::debug!("the name of a bitfield stays: {error}");
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where librqbit looks for a bitfield; and where it writes the one of a torrent that begins anew, before that takes the
/// first one's place. The one file does for both: of such a torrent nothing is there, whoever writes that last.
fn names(info_hash: InfoHash) -> [String; 2] {
    [format!("{info_hash}.bitv"), format!("{info_hash}.bitv.tmp")]
}

#[cfg(test)]
#[cfg(target_os = "linux")]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::path::{Path, PathBuf};

    use super::*;

    const INFO_HASH: InfoHash = InfoHash([7; 20]);

    #[test]
    fn librqbit_reads_what_it_was_told_last_whatever_it_writes_of_what_it_was_told_before() {
        let dir = tempfile::tempdir().unwrap();
        let bitfields = Bitfields::new(Root::open(dir.path()).unwrap());
        let [name, next] = places(dir.path());
        let mut have = PieceSet::none(12);
        for piece in [0, 9] {
            bitfields.tell(INFO_HASH, &have).unwrap();
            let mut before = fs::File::options().write(true).open(&name).unwrap();
            have.insert(piece);
            bitfields.tell(INFO_HASH, &have).unwrap();
            before.write_all(&[1, 2]).unwrap();
            assert_eq!(fs::read(&name).unwrap(), have.as_bytes());
        }
        // As it does with one that begins anew.
        fs::remove_file(&name).unwrap();
        fs::write(&next, [1, 2]).unwrap();
        fs::rename(&next, &name).unwrap();
        assert_eq!(fs::read(&name).unwrap(), [1, 2]);
        assert!(name.symlink_metadata().unwrap().is_symlink());
    }

    #[test]
    fn a_file_outlives_its_names_a_little_and_not_long() {
        let dir = tempfile::tempdir().unwrap();
        let names = || fs::read_dir(dir.path()).unwrap().count();
        let forgets = |bitfields: &Bitfields| {
            bitfields.tell(INFO_HASH, &PieceSet::all(12)).unwrap();
            bitfields.forget(INFO_HASH).unwrap();
            assert_eq!(names(), 0);
        };
        let bitfields = Bitfields::new(Root::open(dir.path()).unwrap());
        let begin = Instant::now();
        let lingering = || lock(&FORGOTTEN).iter().filter(|(since, _)| *since >= begin).count();
        forgets(&bitfields);
        assert!(lingering() >= 1 || begin.elapsed() >= LINGER);
        lock(&FORGOTTEN).iter_mut().for_each(|(since, _)| *since -= 3 * LINGER);
        forgets(&bitfields);
        assert!(lock(&FORGOTTEN).iter().all(|(since, _)| since.elapsed() < 3 * LINGER));
        bitfields.tell(INFO_HASH, &PieceSet::all(12)).unwrap();
        drop(bitfields);
        assert_eq!(names(), 0);
    }

    #[cfg(debug_assertions)]
    #[test]
    fn where_no_name_can_lead_to_memory_the_disk_has_it() {
        use crate::disk::fs::faults::{Failure, Faults};
        let have = PieceSet::all(12);
        // After the two that take back what was told before.
        for change in 3..=4 {
            let dir = tempfile::tempdir().unwrap();
            let faults = Faults::at(change, Failure::Error(std::io::ErrorKind::Unsupported));
            let root = Root::open(dir.path()).unwrap().with_faults(&faults);
            let bitfields = Bitfields::new(root);
            bitfields.tell(INFO_HASH, &have).unwrap();
            let [name, next] = places(dir.path());
            assert_eq!(fs::read(&name).unwrap(), have.as_bytes());
            assert!(name.symlink_metadata().unwrap().is_file());
            assert!(next.symlink_metadata().is_err() && lock(&bitfields.in_memory).is_empty());
        }
    }

    fn places(folder: &Path) -> [PathBuf; 2] {
        names(INFO_HASH).map(|name| folder.join(name))
    }
}
