//! [`Intake`]: what comes from peers, from blocks to whole pieces in staging.
//!
//! A thread of its own writes them: librqbit has one for all that it does, which asks nobody for more while it waits
//! for a disk.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::anyhow;
use tokio::sync::Notify;

use super::incoming::Incoming;
use super::queue::Piece;
use crate::disk::arrived::Arrived;
use crate::disk::content::read_stream;
use crate::disk::fs::FsError;
use crate::disk::staging::Staging;
use crate::model::fault::{Fault, FaultKind};
use crate::model::manifest::{EntryIndex, Manifest, Span};

/// The first thing that went wrong: librqbit only says that something did.
#[derive(Debug, Default)]
pub(super) struct Failure(Mutex<Option<Fault>>);

impl Failure {
    pub fn get(&self) -> Option<Fault> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers a fault, and puts it as librqbit wants it.
    fn note(&self, fault: Fault) -> anyhow::Error {
        let text = anyhow!("{fault}");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
        text
    }

    /// Does something that librqbit asks for. A panic would end one of its tasks, and nobody would be told why nothing
    /// comes any more.
    pub fn guard(&self, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
            Err(self.note(Fault::bug("a fetch ended early: what came could not be taken")))
        })
    }
}

/// The way of pieces into staging.
#[derive(Debug)]
pub(super) struct Intake {
    way: Arc<Way>,
    writer: Option<JoinHandle<()>>,
}

impl Intake {
    pub fn start(
        manifest: Arc<Manifest>,
        staging: Staging,
        arrived: Arc<Arrived>,
        failure: Arc<Failure>,
    ) -> io::Result<Self> {
        // librqbit gives nothing of padding.
        let incoming = Incoming::new(manifest.has_padding());
        let (awaited, came) = (AtomicUsize::new(usize::MAX), Notify::new());
        let way = Way { manifest, staging, incoming, arrived, failure, awaited, came };
        let way = Arc::new(way);
        let writing = Arc::clone(&way);
        let writer = std::thread::Builder::new()
            .name("intake".to_owned())
            .spawn(move || writing.write_all())?;
        Ok(Self { way, writer: Some(writer) })
    }

    /// Reads a part of a piece, at its place in the stream of all entries.
    pub fn read(&self, piece: usize, at: u64, buf: &mut [u8]) -> io::Result<()> {
        if self.way.incoming.read(piece, self.way.in_piece(at), buf) {
            return Ok(());
        }
        read_stream(&self.way.staging, &self.way.manifest, piece, at, buf)
    }

    /// Takes a part of a piece, at its place in the stream of all entries.
    pub fn write(&self, piece: usize, at: u64, buf: &[u8]) -> anyhow::Result<()> {
        let size = usize::try_from(self.way.manifest.piece_size(piece))?;
        let place = || self.way.manifest.place_of(piece);
        if self.way.incoming.write(piece, size, place, self.way.in_piece(at), buf) {
            return Ok(());
        }
        self.way.write(at, buf)
    }

    /// Has a piece that is right written to where it belongs.
    pub fn complete(&self, piece: usize) {
        if !self.way.incoming.hand_over(piece) {
            self.way.arrived.note(piece);
            self.way.tell(piece);
        } else if self.way.is_awaited(piece) {
            self.way.incoming.hurry();
        }
    }

    /// Waits for a piece to be in staging. One alone may wait, and for one piece: who waits later takes its place.
    pub async fn came(&self, piece: usize) {
        self.way.awaited.store(piece, Ordering::SeqCst);
        self.way.incoming.hurry();
        while !self.way.arrived.has(piece) {
            self.way.came.notified().await;
        }
    }

    /// Waits until all that is right and whole is written.
    pub fn settle(&self) {
        self.way.incoming.settle();
    }

    /// Takes nothing any more, and waits until all that was taken is written.
    pub fn close(&self) {
        self.way.incoming.close();
    }
}

/// Nothing is written once it is gone.
impl Drop for Intake {
    fn drop(&mut self) {
        self.way.incoming.end();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

#[derive(Debug)]
struct Way {
    manifest: Arc<Manifest>,
    staging: Staging,
    incoming: Incoming,
    arrived: Arc<Arrived>,
    failure: Arc<Failure>,
    /// The piece that was last waited for.
    awaited: AtomicUsize,
    /// It was written, or could not be.
    came: Notify,
}

impl Way {
    fn write_all(&self) {
        while let Some(run) = self.incoming.take() {
            let pieces: Vec<_> = run.iter().map(|(piece, _)| *piece).collect();
            self.store_as_far_as_possible(&run);
            self.incoming.let_go(run);
            pieces.into_iter().for_each(|piece| self.tell(piece));
        }
    }

    /// Who waits for a piece asks for the failure now and then.
    fn store_as_far_as_possible(&self, run: &[Piece]) {
        let stored = self.failure.guard(|| self.store(run));
        if stored.is_err() && run.len() > 1 {
            // What lies before the failure need not come again.
            for alone in run.chunks(1) {
                let _ = self.failure.guard(|| self.store(alone));
            }
        }
    }

    /// Wakes who waits for this piece; to wake somebody for each one would cost time that nobody needs.
    fn tell(&self, piece: usize) {
        if self.is_awaited(piece) {
            self.came.notify_one();
        }
    }

    fn is_awaited(&self, piece: usize) -> bool {
        self.awaited.load(Ordering::SeqCst) == piece
    }

    /// Writes pieces that follow each other, what goes to one file at once.
    fn store(&self, run: &[Piece]) -> anyhow::Result<()> {
        let cut = |piece, bytes| self.manifest.cut(self.manifest.piece_range(piece).start, bytes);
        let cuts: Vec<_> = run.iter().flat_map(|(piece, bytes)| cut(*piece, bytes)).collect();
        let mut written = Vec::new();
        for cuts in cuts.chunk_by(|(span, _), (next, _)| span.entry == next.entry) {
            let Span { entry, offset, .. } = cuts[0].0;
            let parts: Vec<_> = cuts.iter().map(|(_, part)| *part).collect();
            if self.manifest.is_padding(entry) && !parts.iter().all(|part| are_zeros(part)) {
                return Err(self.failure.note(odd_padding()));
            }
            let result = self.staging.write_right(entry, offset, &parts);
            written.extend(result.map_err(|source| self.failed(entry, source))?);
        }
        let first = run[0].0;
        self.arrived.note_right(first..first + run.len(), &written);
        Ok(())
    }

    /// Writes something as it comes: nobody knows yet whether it is right.
    fn write(&self, at: u64, bytes: &[u8]) -> anyhow::Result<()> {
        for (Span { entry, offset, .. }, part) in self.manifest.cut(at, bytes) {
            let written = self.staging.write_at(entry, offset, part);
            written.map_err(|source| self.failed(entry, source))?;
        }
        Ok(())
    }

    /// Where a place in the stream lies in its piece. A piece is not longer than memory.
    fn in_piece(&self, at: u64) -> usize {
        usize::try_from(at % self.manifest.piece_length).unwrap_or(usize::MAX)
    }

    fn failed(&self, entry: EntryIndex, source: io::Error) -> anyhow::Error {
        let path = self.manifest.entries.get(entry).and_then(|e| e.path.as_ref());
        let path = path.map_or_else(Default::default, |path| path.as_str().into());
        let verb = "write the new content of";
        self.failure.note(FsError { verb, path, source }.into())
    }
}

fn are_zeros(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Nobody keeps padding, so nobody could find such a piece right again, or give it to others. (One that is written as it
/// comes is not found right to begin with.)
fn odd_padding() -> Fault {
    Fault::new(
        FaultKind::BadMetainfo,
        "the torrent counts bytes of padding that are not zero (BEP 47)",
        "Ask the pack's admin to make the torrent anew.",
    )
}

// Release builds have no faults.
#[cfg(all(test, debug_assertions))]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::disk::fs::faults::{Failure, Faults};
    use crate::disk::fs::{Paged, Root};
    use crate::model::manifest::tests::manifest;

    #[tokio::test]
    async fn who_waits_for_a_piece_is_woken_when_it_is_in_staging() {
        let dir = tempfile::tempdir().unwrap();
        let intake = intake(dir.path(), 4, &[3, 9]);
        let completes = async {
            tokio::task::yield_now().await;
            for piece in [0, 2, 1] {
                intake.write(piece, 4 * piece as u64, &[7; 4]).unwrap();
                intake.complete(piece);
            }
        };
        let waits = async {
            intake.came(1).await;
            intake.came(2).await;
        };
        let (came, ()) = tokio::join!(timeout(Duration::from_secs(9), waits), completes);
        assert_eq!(came, Ok(()));
        let mut read = [0; 4];
        intake.read(1, 4, &mut read).unwrap();
        assert_eq!(read, [7; 4]);
    }

    #[test]
    fn pieces_lie_where_they_belong_however_they_came() {
        let mut random = fastrand::Rng::with_seed(7);
        let files = [100, 1 << 20, 3, 0, 13 << 20, 70_000, 1, 2, 9 << 20];
        let bytes = noise(&mut random, &files);
        for piece_length in [5, 64, 768, 4096].map(|kib| kib << 10) {
            let dir = tempfile::tempdir().unwrap();
            let intake = intake(dir.path(), piece_length, &files);
            let manifest = Arc::clone(&intake.way.manifest);
            let halves = |piece: usize| {
                let range = manifest.piece_range(piece);
                let part = &bytes[range.start as usize..range.end as usize];
                let (first, second) = part.split_at(part.len() / 2);
                [(range.start, first), (range.start + first.len() as u64, second)]
            };
            let mut pieces: Vec<_> = (0..manifest.pieces.len()).collect();
            // Some do not come. More may have begun than there is room for.
            pieces.retain(|_| random.u8(..20) > 0);
            for begun in pieces.chunks_mut(30) {
                for half in 0..2 {
                    random.shuffle(begun);
                    for &piece in &*begun {
                        let (at, bytes) = halves(piece)[half];
                        intake.write(piece, at, bytes).unwrap();
                        if half == 1 {
                            intake.complete(piece);
                        }
                    }
                }
            }
            intake.settle();
            assert_eq!(intake.way.failure.get(), None);
            for piece in pieces {
                for (at, bytes) in halves(piece) {
                    let mut read = vec![0; bytes.len()];
                    read_stream(&intake.way.staging, &manifest, piece, at, &mut read).unwrap();
                    assert!(read == bytes && intake.way.arrived.has(piece), "{piece}");
                }
            }
        }
    }

    #[test]
    fn what_goes_to_one_file_is_written_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let faults = Faults::default();
        let intake = intake_with(dir.path(), &faults, 4, &[10, 1, 5]);
        intake.way.store(&[0, 1, 2, 3].map(of_four)).unwrap();
        assert_eq!(faults.writes(), 3);
    }

    #[test]
    fn what_comes_before_a_failure_need_not_come_again() {
        let dir = tempfile::tempdir().unwrap();
        let faults = Faults::at_write(2, Failure::Error(io::ErrorKind::StorageFull));
        let intake = intake_with(dir.path(), &faults, 4, &[8, 4, 4]);
        intake.way.store_as_far_as_possible(&[0, 1, 2, 3].map(of_four));
        assert_eq!(intake.way.failure.get().map(|fault| fault.kind), Some(FaultKind::DiskFull));
        assert!([0, 1].into_iter().all(|piece| intake.way.arrived.has(piece)));
    }

    fn intake(folder: &Path, piece_length: u64, files: &[u64]) -> Intake {
        intake_with(folder, &Faults::default(), piece_length, files)
    }

    fn intake_with(folder: &Path, faults: &Faults, piece_length: u64, files: &[u64]) -> Intake {
        let root = Arc::new(Root::open(folder).unwrap().with_faults(faults));
        let manifest = Arc::new(manifest(piece_length, files));
        let staging = Staging::create(root, Arc::clone(&manifest)).unwrap();
        Intake::start(manifest, staging, Arc::default(), Arc::default()).unwrap()
    }

    fn noise(random: &mut fastrand::Rng, files: &[u64]) -> Vec<u8> {
        let mut bytes = vec![0; files.iter().sum::<u64>() as usize];
        random.fill(&mut bytes);
        bytes
    }

    fn of_four(piece: usize) -> Piece {
        (piece, Arc::new(Paged::bound_for(0, 4, Paged::default())))
    }
}
