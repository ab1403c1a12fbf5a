//! Hashes pieces on all cores and says which are right.
//!
//! It reads through a [`Content`], so the same code judges the live folder, the staged content and a
//! mixture of both. It changes nothing and does not say *why* a piece is wrong.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::fs::Cached;
use super::hash::{BLOCK, Engine, Message, digests};
use super::pace::Pace;
use crate::model::fault::Fault;
use crate::model::manifest::{EntryIndex, Manifest, PieceSet, Span};

/// Pieces handed to a thread at once: enough to keep neighbours in one file on one thread.
const BATCH: usize = 16;

/// Bytes of the files of a manifest, wherever they are.
pub trait Content: Sync {
    /// How many threads may read at once, and how gently.
    fn pace(&self) -> (usize, Pace) {
        (Pace::default().threads(|| false), Pace::default())
    }

    /// Fills `buf` with the bytes of an entry as they stand in `piece`. An error means they are not
    /// there: the piece does not count.
    fn read(&self, piece: usize, entry: EntryIndex, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// A part of an entry around a place, if the system holds it in memory and it is worth a look.
    fn cached(&self, _: EntryIndex, _: u64) -> Option<Arc<Cached>> {
        None
    }
}

/// A wish to stop, shared between who wishes and who works.
#[derive(Debug, Default)]
pub struct Cancel(AtomicBool);

impl Cancel {
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The work was stopped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped")]
pub struct Cancelled;

impl From<Cancelled> for Fault {
    fn from(_: Cancelled) -> Self {
        Self::cancelled()
    }
}

/// Which of `wanted` have the bytes the manifest says. `progress` is told bytes, the sum so far.
pub fn verify(
    manifest: &Manifest,
    wanted: &PieceSet,
    content: &impl Content,
    cancel: &Cancel,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<PieceSet, Cancelled> {
    verify_until(Until::AllAreJudged, manifest, wanted, content, cancel, progress)
}

/// The same of all pieces, of which none is begun any more once one is wrong.
pub fn verify_until_wrong(
    manifest: &Manifest,
    content: &impl Content,
    cancel: &Cancel,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<PieceSet, Cancelled> {
    let all = PieceSet::all(manifest.pieces.len());
    verify_until(Until::OneIsWrong, manifest, &all, content, cancel, progress)
}

fn verify_until(
    until: Until,
    manifest: &Manifest,
    wanted: &PieceSet,
    content: &impl Content,
    cancel: &Cancel,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<PieceSet, Cancelled> {
    let wanted: Vec<Try<'_, _>> = wanted.iter().map(|piece| Try { piece, content }).collect();
    let right = judge_until(until, manifest, &wanted, cancel, progress)?;
    Ok(PieceSet::of(manifest.pieces.len(), right.into_iter().map(|nth| wanted[nth].piece)))
}

/// A piece, and where its bytes may be.
#[derive(Debug)]
pub struct Try<'a, C> {
    pub piece: usize,
    pub content: &'a C,
}

/// Which of the tries, by their number and in no order, have the bytes the manifest says. `progress` is told
/// bytes, the sum so far.
pub fn judge<C: Content>(
    manifest: &Manifest,
    tries: &[Try<'_, C>],
    cancel: &Cancel,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<usize>, Cancelled> {
    judge_until(Until::AllAreJudged, manifest, tries, cancel, progress)
}

/// When no more tries are begun.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    AllAreJudged,
    OneIsWrong,
}

fn judge_until<C: Content>(
    until: Until,
    manifest: &Manifest,
    tries: &[Try<'_, C>],
    cancel: &Cancel,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<usize>, Cancelled> {
    let is_enough = AtomicBool::new(false);
    let goes_on = || !cancel.is_cancelled() && !is_enough.load(Ordering::Relaxed);
    let next = AtomicUsize::new(0);
    let hashed = AtomicU64::new(0);
    let right = Mutex::new(Vec::new());
    let work = || {
        let mut batch = 0..0;
        let pieces = std::iter::from_fn(|| {
            if batch.is_empty() {
                let start = next.fetch_add(BATCH, Ordering::Relaxed).min(tries.len());
                batch = start..(start + BATCH).min(tries.len());
            }
            let nth = batch.next()?;
            let it = tries.get(nth).filter(|_| goes_on())?;
            Some(Piece::new(nth, it, manifest, cancel))
        });
        let mut mine = Vec::new();
        digests(Engine::best(), pieces, |piece, digest| {
            let expected = manifest.pieces.get(piece.number);
            let is_right = digest.is_ok_and(|digest| Some(&digest) == expected);
            if is_right {
                mine.push(piece.nth);
            } else if until == Until::OneIsWrong {
                is_enough.store(true, Ordering::Relaxed);
            }
            let size = manifest.piece_size(piece.number);
            progress(hashed.fetch_add(size, Ordering::Relaxed) + size);
            !cancel.is_cancelled()
        });
        right.lock().unwrap_or_else(PoisonError::into_inner).append(&mut mine);
    };
    let Some(first) = tries.first() else { return Ok(Vec::new()) };
    let (threads, pace) = first.content.pace();
    std::thread::scope(|scope| {
        let threads = threads.min(tries.len().div_ceil(BATCH));
        // Who has stepped back cannot step forward again: the calling thread waits.
        for _ in 0..threads {
            scope.spawn(|| {
                pace.take();
                work();
            });
        }
    });
    if cancel.is_cancelled() {
        return Err(Cancelled);
    }
    Ok(right.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// The bytes of a piece, read from wherever they are.
struct Piece<'a, C> {
    /// Which of the tries it is.
    nth: usize,
    number: usize,
    content: &'a C,
    cancel: &'a Cancel,
    /// What is not read yet.
    spans: Box<dyn Iterator<Item = Span> + 'a>,
    span: Option<Span>,
    look: Option<Look>,
    /// Whether it was so with an earlier look.
    was_torn: bool,
}

/// What was found in memory of an entry. What is not found is not looked for again in the same piece: to ask takes time.
struct Look {
    of: EntryIndex,
    found: Option<Arc<Cached>>,
    /// Where in the entry ends what was lent of it.
    end: u64,
}

impl Look {
    /// Whether something that was lent was not there any more when it was used.
    fn is_torn(&self) -> bool {
        self.end > 0 && self.found.as_ref().is_some_and(|found| found.is_torn(self.end))
    }
}

impl<'a, C: Content> Piece<'a, C> {
    fn new(nth: usize, it: &Try<'a, C>, manifest: &'a Manifest, cancel: &'a Cancel) -> Self {
        let Try { piece: number, content } = *it;
        let spans = Box::new(manifest.spans(number));
        Self { nth, number, content, cancel, spans, span: None, look: None, was_torn: false }
    }

    fn next_span(&mut self) -> Option<Span> {
        self.span.take().or_else(|| self.spans.next())
    }

    /// Keeps what is left of a span.
    fn keep(&mut self, span: Span, taken: usize) {
        let taken = taken as u64;
        let (offset, length) = (span.offset + taken, span.length - taken);
        self.span = (length > 0).then_some(Span { offset, length, ..span });
    }

    /// The bytes of an entry from a place on, where they lie in memory: whole blocks.
    fn find(&mut self, entry: EntryIndex, offset: u64, most: usize) -> Option<Bytes> {
        let holds = |look: &Look| {
            look.of == entry && look.found.as_ref().is_none_or(|found| found.holds(offset))
        };
        if !self.look.as_ref().is_some_and(holds) {
            // What is not needed any more makes room.
            let used = self.look.take();
            self.was_torn |= used.is_some_and(|look| look.is_torn());
            let found = self.content.cached(entry, offset);
            self.look = Some(Look { of: entry, found, end: 0 });
        }
        let look = self.look.as_mut()?;
        let mut bytes = look.found.as_ref()?.from(offset, most)?;
        bytes.truncate(bytes.len() - bytes.len() % BLOCK);
        look.end = offset + bytes.len() as u64;
        (!bytes.is_empty()).then_some(bytes)
    }
}

impl<C: Content> Message for Piece<'_, C> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.was_torn || self.look.as_ref().is_some_and(Look::is_torn) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut read = 0;
        while read < buf.len() {
            let Some(span) = self.next_span() else { break };
            let size = (buf.len() - read).min(usize::try_from(span.length).unwrap_or(usize::MAX));
            self.content.read(self.number, span.entry, span.offset, &mut buf[read..read + size])?;
            read += size;
            self.keep(span, size);
        }
        Ok(read)
    }

    fn lend(&mut self, most: usize) -> Option<Bytes> {
        // Whoever reads is told.
        if self.cancel.is_cancelled() {
            return None;
        }
        let span = self.next_span()?;
        let most = usize::try_from(span.length).map_or(most, |length| length.min(most));
        let lent = if most < BLOCK { None } else { self.find(span.entry, span.offset, most) };
        self.keep(span, lent.as_ref().map_or(0, Bytes::len));
        lent
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sha1::{Digest, Sha1};

    use super::*;
    use crate::disk::content::Live;
    use crate::disk::fs::Root;
    use crate::model::manifest::tests::manifest;

    #[test]
    fn a_piece_lends_what_the_system_holds_and_the_rest_of_it_is_read() {
        const MIB: usize = 1 << 20;
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = vec![0; 17 * MIB + 1_000];
        fastrand::Rng::with_seed(1).fill(&mut bytes);
        std::fs::write(dir.path().join("f0"), &bytes).unwrap();
        let root = Arc::new(Root::open(dir.path()).unwrap());
        let manifest = Arc::new(manifest(3 << 20, &[bytes.len() as u64]));
        let live = Live::new(root, Arc::clone(&manifest));
        let cancel = Cancel::default();

        let (mut buffer, mut found, mut lent) = (vec![0; MIB], Vec::new(), Vec::new());
        for number in 0..6 {
            let it = Try { piece: number, content: &live };
            let mut piece = Piece::new(0, &it, &manifest, &cancel);
            loop {
                if let Some(bytes) = piece.lend(MIB) {
                    found.extend_from_slice(&bytes);
                    lent.push(bytes.len());
                    continue;
                }
                let read = piece.read(&mut buffer).unwrap();
                found.extend_from_slice(&buffer[..read]);
                if read < buffer.len() {
                    break;
                }
            }
        }
        assert!(found == bytes);
        if let Some(view) = live.cached(0, 0) {
            let same = |offset| live.cached(0, offset).is_some_and(|it| Arc::ptr_eq(&it, &view));
            assert_eq!([1, (8 << 20) - 1, 8 << 20].map(same), [true, true, false]);
            assert_eq!(lent, [vec![MIB; 17], vec![960]].concat());
        } else {
            assert!(lent.is_empty());
        }

        cancel.cancel();
        let it = Try { piece: 0, content: &live };
        assert!(Piece::new(0, &it, &manifest, &cancel).lend(MIB).is_none());
    }

    const MIB: u64 = 1 << 20;

    /// The live folder, whose one file others cut off and make as long again.
    #[derive(Debug)]
    struct Cut<'a> {
        live: &'a Live,
        file: &'a std::fs::File,
        /// When it is: as the memory of this place is looked for, before or after it is found.
        at: (When, u64),
        left: u64,
        back: Back,
    }

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum When {
        Before,
        After,
    }

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Back {
        Never,
        /// As the memory of this place is looked for.
        At(u64),
        /// When what was lent was used.
        Used,
    }

    impl Cut<'_> {
        fn make(&self, length: u64, is_now: bool) {
            if is_now {
                self.file.set_len(length).unwrap();
            }
        }
    }

    impl Content for Cut<'_> {
        fn read(&self, _: usize, it: EntryIndex, at: u64, buf: &mut [u8]) -> io::Result<()> {
            self.live.read_at(it, at, buf)
        }

        fn cached(&self, entry: EntryIndex, offset: u64) -> Option<Arc<Cached>> {
            self.make(10 * MIB, self.back == Back::At(offset));
            self.make(self.left, self.at == (When::Before, offset));
            let found = self.live.cached(entry, offset);
            self.make(self.left, self.at == (When::After, offset));
            found
        }
    }

    struct CutPiece<'a>(Piece<'a, Cut<'a>>);

    impl Message for CutPiece<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let Self(piece) = self;
            piece.content.make(10 * MIB, piece.content.back == Back::Used);
            piece.read(buf)
        }

        fn lend(&mut self, most: usize) -> Option<Bytes> {
            self.0.lend(most)
        }
    }

    #[test]
    fn zeros_that_were_cut_off_are_not_right_and_those_before_them_are() {
        use {Back::*, When::*};
        let cases = [
            (5, (Before, 0), 10 * MIB - 64, Never, vec![0]),
            (5, (After, 0), 10 * MIB - 64, Never, vec![0]),
            (5, (After, 0), 1, Never, vec![]),
            (5, (After, 0), 0, Used, vec![1]),
            (5, (After, 0), MIB, Used, vec![1]),
            (5, (After, 5 * MIB), 6 * MIB, At(8 * MIB), vec![0]),
            (5, (Before, 8 * MIB), 10 * MIB - 64, Never, vec![0]),
            (5, (After, 8 * MIB), 9 * MIB, Never, vec![0]),
            (1, (Before, 8 * MIB), 10 * MIB - 64, Never, (0..9).collect()),
            (1, (After, 4 * MIB), 6 * MIB, Never, (0..6).collect()),
        ];
        for (size, at, left, back, wanted) in cases {
            let mut manifest = manifest(size * MIB, &[10 * MIB]);
            let zeros = vec![0; usize::try_from(size * MIB).unwrap()];
            manifest.pieces.fill(Sha1::digest(zeros).into());
            let (manifest, cancel) = (Arc::new(manifest), Cancel::default());
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("f0");
            std::fs::write(&path, vec![0; 10 << 20]).unwrap();
            let file = &std::fs::File::options().write(true).open(&path).unwrap();
            let root = Arc::new(Root::open(dir.path()).unwrap());
            let live = &Live::new(root, Arc::clone(&manifest));
            let tells = live.cached(0, 0).is_some();
            let content = Cut { live, file, at, left, back };
            let pieces = 0..manifest.pieces.len();
            let tries: Vec<_> = pieces.map(|piece| Try { piece, content: &content }).collect();
            let pieces = tries.iter().map(|it| CutPiece(Piece::new(0, it, &manifest, &cancel)));
            let mut right = Vec::new();
            digests(Engine::taking_lent(), pieces, |CutPiece(piece), digest| {
                if digest.is_ok_and(|digest| digest == manifest.pieces[0]) {
                    right.push(piece.number);
                }
                true
            });
            let how = (size, at, left, back);
            assert!(right == wanted || !tells, "{right:?} are right: {how:?}");
        }
    }

    #[test]
    fn once_one_is_wrong_no_other_is_begun_and_none_that_is_right_is_lost() {
        struct Bytes<'a>(&'a AtomicUsize);
        impl Content for Bytes<'_> {
            fn pace(&self) -> (usize, Pace) {
                (1, Pace::default())
            }

            fn read(&self, piece: usize, _: EntryIndex, _: u64, buf: &mut [u8]) -> io::Result<()> {
                self.0.fetch_add(1, Ordering::Relaxed);
                buf.fill(u8::from(piece == 100));
                Ok(())
            }
        }
        let mut manifest = manifest(100, &[100_000]);
        manifest.pieces.fill(Sha1::digest([0; 100]).into());
        let (read, cancel) = (AtomicUsize::new(0), Cancel::default());
        let right = verify_until_wrong(&manifest, &Bytes(&read), &cancel, &|_| {}).unwrap();
        let read = read.into_inner();
        assert!((101..200).contains(&read), "{read}");
        assert_eq!(right, PieceSet::of(1_000, (0..read).filter(|&piece| piece != 100)));
    }
}
