//! [`digests`]: the SHA-1 of many messages, several at once on one core.
//!
//! SHA-1 ([FIPS 180-4](https://doi.org/10.6028/NIST.FIPS.180-4)) is a chain: each step waits for the one before,
//! and a core has most of its units idle. Messages that have nothing to do with each other fill them: one in
//! each lane of a vector register. Where the processor has no such registers, the library hashes one after the
//! other. It knows nothing of files and starts no threads.

#[cfg(target_arch = "x86_64")]
mod x86;

use std::io;
use std::sync::OnceLock;

use bytes::Bytes;
use sha1::block_api::compress;

/// Bytes of a block, the unit of SHA-1.
pub const BLOCK: usize = 64;
/// Bytes of one message that are held at once. Those of sixteen lanes fit a core's own cache; more of them are no slower.
const HELD: usize = 64 << 10;
/// The most blocks that the end of a message takes, in bytes.
const LAST: usize = 2 * BLOCK;
/// The end of a message: a bit that is set, and its length in bits.
const END: usize = 1 + 8;
/// The most lanes an engine has.
const LANES: usize = 32;

type State = [u32; 5];
const START: State = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

/// For each lane the blocks that are to be taken into its state; all have one length.
type Blocks<'a> = [Option<&'a [u8]>; LANES];

type Compress = fn(&mut [State; LANES], &Blocks);

/// What computes.
#[derive(Debug, Clone, Copy)]
pub struct Engine {
    pub name: &'static str,
    /// How many messages it hashes at once.
    lanes: usize,
    /// With fewer messages than this the library is faster.
    worthwhile: usize,
    /// Whether bytes that lie in memory are better hashed there than read first.
    takes_lent: bool,
    compress: Compress,
}

/// The `sha1` crate: one message after the other, by the processor's own SHA-1 steps where it has them.
const LIBRARY: Engine =
    Engine { name: "library", lanes: 1, worthwhile: 0, takes_lent: false, compress: one_by_one };

/// A message that is read piece by piece.
pub trait Message {
    /// Fills `buf` with the next bytes; says how many, fewer than asked for only at the end.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// The next bytes where they lie in memory, when they do: whole blocks, one or more, `most` bytes at most. They count as read,
    /// unless the next [`Self::read`] fails, which comes after they were used.
    fn lend(&mut self, _most: usize) -> Option<Bytes> {
        None
    }
}

impl Engine {
    /// The fastest one of this machine.
    pub fn best() -> Self {
        // To ask the processor takes a while where it is not a real one.
        static BEST: OnceLock<Engine> = OnceLock::new();
        // Without optimization, the vectors are slower than the library, which is always optimized.
        *BEST.get_or_init(|| if cfg!(debug_assertions) { LIBRARY } else { Self::all()[0] })
    }

    /// The library, to which messages may lend.
    #[cfg(test)]
    pub fn taking_lent() -> Self {
        Self { takes_lent: true, ..LIBRARY }
    }

    /// Those that this machine has, the fastest first.
    pub fn all() -> Vec<Self> {
        let mut all = in_vectors();
        all.push(LIBRARY);
        all
    }

    fn compress(&self, states: &mut [State; LANES], blocks: &Blocks) {
        let busy = blocks.iter().flatten().count();
        if busy < self.worthwhile {
            one_by_one(states, blocks);
        } else {
            (self.compress)(states, blocks);
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn in_vectors() -> Vec<Engine> {
    x86::engines()
}

#[cfg(not(target_arch = "x86_64"))]
fn in_vectors() -> Vec<Engine> {
    Vec::new()
}

fn one_by_one(states: &mut [State; LANES], blocks: &Blocks) {
    for (state, blocks) in states.iter_mut().zip(blocks) {
        if let Some(blocks) = blocks {
            compress(state, blocks.as_chunks().0);
        }
    }
}

/// Hashes all messages of an iterator. `done` is told the digest of each, in no order; the error of one that
/// could not be read; and says whether to go on.
pub fn digests<M: Message>(
    engine: Engine,
    messages: impl Iterator<Item = M>,
    mut done: impl FnMut(M, io::Result<[u8; 20]>) -> bool,
) {
    let mut messages = messages.fuse();
    let mut lanes: Vec<Lane<M>> = (0..engine.lanes).map(|_| Lane::new()).collect();
    let mut states = [START; LANES];
    loop {
        for (lane, state) in lanes.iter_mut().zip(&mut states) {
            while lane.is_empty() {
                match lane.advance(state, &mut messages, engine.takes_lent) {
                    Advanced::Filled => {}
                    Advanced::Done(message, digest) => {
                        if !done(message, digest) {
                            return;
                        }
                    }
                    Advanced::Idle => break,
                }
            }
        }
        let Some(size) = lanes.iter().filter(|lane| !lane.is_empty()).map(Lane::held).min() else {
            return;
        };
        let mut blocks = [None; LANES];
        for (number, lane) in lanes.iter().enumerate().filter(|(_, lane)| !lane.is_empty()) {
            blocks[number] = Some(&lane.bytes()[lane.at..lane.at + size]);
        }
        engine.compress(&mut states, &blocks);
        lanes.iter_mut().filter(|lane| !lane.is_empty()).for_each(|lane| lane.at += size);
    }
}

/// One message under way, and what is held of it.
struct Lane<M> {
    message: Option<M>,
    /// What it lent. If there is something, it is held instead of what is in `buffer`.
    lent: Option<Bytes>,
    buffer: Box<[u8]>,
    /// Where the buffer begins, which is where a line of the cache does.
    start: usize,
    /// Whole blocks, from `at` to `end` of what is held not taken yet.
    at: usize,
    end: usize,
    /// Bytes of the message that were read.
    length: u64,
    is_padded: bool,
}

enum Advanced<M> {
    Filled,
    Done(M, io::Result<[u8; 20]>),
    Idle,
}

impl<M: Message> Lane<M> {
    fn new() -> Self {
        let buffer = vec![0; HELD + LAST + BLOCK].into_boxed_slice();
        let start = buffer.as_ptr().align_offset(BLOCK).min(BLOCK);
        let (message, lent, is_padded) = (None, None, false);
        Self { message, lent, buffer, start, at: 0, end: 0, length: 0, is_padded }
    }

    fn bytes(&self) -> &[u8] {
        self.lent.as_deref().unwrap_or(&self.buffer[self.start..])
    }

    fn is_empty(&self) -> bool {
        self.at == self.end
    }

    fn held(&self) -> usize {
        self.end - self.at
    }

    /// Reads on, or ends the message and begins the next one.
    fn advance(
        &mut self,
        state: &mut State,
        messages: &mut impl Iterator<Item = M>,
        takes_lent: bool,
    ) -> Advanced<M> {
        let Some(mut message) = self.message.take() else {
            *state = START;
            (self.length, self.is_padded) = (0, false);
            self.message = messages.next();
            return match &self.message {
                Some(_) => self.advance(state, messages, takes_lent),
                None => Advanced::Idle,
            };
        };
        if self.is_padded {
            return Advanced::Done(message, Ok(digest(state)));
        }
        // Before it lends more: what it lent takes room.
        self.lent = None;
        self.lent = if takes_lent { message.lend(HELD) } else { None };
        let held = match &self.lent {
            Some(lent) => {
                debug_assert!((BLOCK..=HELD).contains(&lent.len()));
                debug_assert!(lent.len().is_multiple_of(BLOCK));
                Ok(lent.len())
            }
            None => message.read(&mut self.buffer[self.start..][..HELD]),
        };
        match held {
            Ok(held) => {
                (self.at, self.end) = (0, held);
                self.length += held as u64;
                if held < HELD && self.lent.is_none() {
                    self.pad();
                }
                self.message = Some(message);
                Advanced::Filled
            }
            Err(error) => Advanced::Done(message, Err(error)),
        }
    }

    /// Ends the message as FIPS 180-4 says in section 5.1.1.
    fn pad(&mut self) {
        let end = (self.end + END).next_multiple_of(BLOCK);
        let buffer = &mut self.buffer[self.start..];
        buffer[self.end..end].fill(0);
        buffer[self.end] = 0x80;
        buffer[end - 8..end].copy_from_slice(&(self.length * 8).to_be_bytes());
        (self.end, self.is_padded) = (end, true);
    }
}

fn digest(state: &State) -> [u8; 20] {
    let mut digest = [0; 20];
    for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use sha1::{Digest, Sha1};

    use super::*;

    /// A message in memory with its number. It is read in full buffers, and now and then lends some of it.
    struct Numbered(usize, Bytes, usize);

    /// Bytes of one that cannot be read.
    const BROKEN: usize = 5_001;

    impl Message for Numbered {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let Self(_, bytes, at) = self;
            if bytes.len() == BROKEN {
                return Err(io::ErrorKind::NotFound.into());
            }
            let size = buf.len().min(bytes.len() - *at);
            buf[..size].copy_from_slice(&bytes[*at..*at + size]);
            *at += size;
            Ok(size)
        }

        fn lend(&mut self, most: usize) -> Option<Bytes> {
            let Self(number, bytes, at) = self;
            let most = [0, BLOCK, most / 2, most][(*number + *at / BLOCK) % 4];
            let rest = bytes.get(*at..)?;
            let size = most.min(rest.len() / BLOCK * BLOCK);
            let lent = bytes.slice(*at..*at + size);
            *at += size;
            (size > 0).then_some(lent)
        }
    }

    fn messages(lengths: &[usize]) -> impl Iterator<Item = Numbered> {
        lengths.iter().enumerate().map(|(number, &length)| {
            let mut bytes = vec![0; length];
            fastrand::Rng::with_seed(number as u64).fill(&mut bytes);
            Numbered(number, bytes.into(), 0)
        })
    }

    /// Those that take what is lent, and those that do not.
    fn engines() -> Vec<Engine> {
        let all = |takes_lent| {
            let mut all = Engine::all();
            all.iter_mut().for_each(|engine| engine.takes_lent = takes_lent);
            all
        };
        [all(false), all(true)].concat()
    }

    #[test]
    fn every_engine_agrees_with_the_library_on_messages_of_all_lengths() {
        let around = |length: usize| length.saturating_sub(70)..length + 70;
        let lengths: Vec<usize> =
            (0..300).chain(around(HELD)).chain(around(2 * HELD)).chain([0, 1_000_000]).collect();
        let wanted: BTreeMap<usize, [u8; 20]> = messages(&lengths)
            .map(|message| (message.0, Sha1::digest(&message.1).into()))
            .collect();
        for engine in engines() {
            for count in [lengths.len(), 1, 3, 5, 17] {
                let mut found = BTreeMap::new();
                digests(engine, messages(&lengths[..count]), |message, digest| {
                    found.insert(message.0, digest.unwrap()).is_none()
                });
                let wanted = wanted.iter().take(count).map(|(&number, &digest)| (number, digest));
                assert_eq!(found, wanted.collect(), "{}", engine.name);
            }
        }
    }

    #[test]
    fn a_message_that_cannot_be_read_is_told_and_hurts_no_other() {
        for engine in engines() {
            let (mut right, mut failed) = (0, 0);
            let broken = messages(&[5_000; 60]).map(|message| match message.0 % 7 {
                3 => Numbered(message.0, vec![0; BROKEN].into(), 0),
                _ => message,
            });
            digests(engine, broken, |message, digest| {
                match digest {
                    Ok(digest) => {
                        assert_eq!(digest, <[u8; 20]>::from(Sha1::digest(&message.1)));
                        right += 1;
                    }
                    Err(_) => failed += 1,
                }
                true
            });
            assert_eq!((right, failed), (51, 9), "{}", engine.name);
        }
    }

    #[test]
    fn it_ends_when_it_is_told_to() {
        for engine in engines() {
            let mut told = 0;
            digests(engine, messages(&[1_000; 100]), |_, _| {
                told += 1;
                told < 10
            });
            assert_eq!(told, 10);
        }
    }
}
