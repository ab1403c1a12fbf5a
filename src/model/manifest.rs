//! [`Manifest`]: what a release should look like on disk.
//!
//! A manifest is only made by `origin::metainfo`, which checks every rule; code that holds one may
//! rely on its sums. Whether the bytes on disk agree is another question (`disk::verify`).

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::path::RelPath;

/// A SHA-1 digest of one piece (BEP 3).
pub type PieceHash = [u8; 20];

/// The SHA-1 of the raw bytes of a torrent's `info` dictionary (BEP 3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InfoHash(pub [u8; 20]);

/// The place of an entry in the torrent's file list, padding included: the number librqbit knows it by.
pub type EntryIndex = usize;

/// One entry of the torrent's file list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `None` for padding (BEP 47), which is counted in pieces and never on disk.
    pub path: Option<RelPath>,
    /// Bytes.
    pub length: u64,
    /// Where the entry begins in the concatenation of all entries, in bytes.
    pub offset: u64,
}

/// Files, lengths and pieces of one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The torrent's title. It is shown and never used as a path.
    pub name: String,
    pub info_hash: InfoHash,
    /// Bytes in every piece but the last.
    pub piece_length: u64,
    pub pieces: Vec<PieceHash>,
    /// In the torrent's order.
    pub entries: Vec<Entry>,
    /// Bytes of all entries, padding included.
    pub stream_length: u64,
}

/// The part of a piece that lies in one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub entry: EntryIndex,
    /// Where the part begins in the entry, in bytes.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

impl Manifest {
    /// The entries that are files, in the torrent's order.
    pub fn files(&self) -> impl Iterator<Item = (EntryIndex, &RelPath, u64)> {
        self.entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| Some((index, entry.path.as_ref()?, entry.length)))
    }

    /// Bytes of all files, padding left out.
    pub fn content_length(&self) -> u64 {
        self.files().map(|(_, _, length)| length).sum()
    }

    /// Where a piece lies in the concatenation of all entries, in bytes.
    pub fn piece_range(&self, piece: usize) -> Range<u64> {
        let start = piece as u64 * self.piece_length;
        start..(start + self.piece_length).min(self.stream_length)
    }

    /// Bytes in a piece.
    pub fn piece_size(&self, piece: usize) -> u64 {
        let range = self.piece_range(piece);
        range.end - range.start
    }

    /// The parts of entries that a piece is made of, in order; empty entries are left out.
    pub fn spans(&self, piece: usize) -> impl Iterator<Item = Span> + '_ {
        self.spans_in(self.piece_range(piece))
    }

    /// The same of a part of the concatenation of all entries, in bytes.
    pub fn spans_in(&self, range: Range<u64>) -> impl Iterator<Item = Span> + '_ {
        let first = self.entries.partition_point(|e| e.offset + e.length <= range.start);
        self.entries
            .iter()
            .enumerate()
            .skip(first)
            .take_while(move |(_, e)| e.offset < range.end)
            .filter(|(_, e)| e.length > 0)
            .map(move |(entry, e)| {
                let start = e.offset.max(range.start);
                let end = (e.offset + e.length).min(range.end);
                Span { entry, offset: start - e.offset, length: end - start }
            })
    }

    /// Whether an entry is nothing to keep: its bytes are zeros (BEP 47).
    pub fn is_padding(&self, entry: EntryIndex) -> bool {
        self.entries.get(entry).is_none_or(|e| e.path.is_none())
    }

    pub fn has_padding(&self) -> bool {
        self.entries.iter().any(|entry| entry.path.is_none())
    }

    /// Bytes that begin at a place in the concatenation of all entries, cut where entries meet.
    pub fn cut<'a>(
        &'a self,
        at: u64,
        mut bytes: &'a [u8],
    ) -> impl Iterator<Item = (Span, &'a [u8])> {
        self.spans_in(at..at + bytes.len() as u64).map(move |span| {
            let size = usize::try_from(span.length).unwrap_or(usize::MAX).min(bytes.len());
            let (part, rest) = bytes.split_at(size);
            bytes = rest;
            (span, part)
        })
    }

    /// The file in a piece that has parts of no other one, beside padding.
    pub fn only_file_of(&self, piece: usize) -> Option<EntryIndex> {
        let entries = self.spans(piece).map(|span| span.entry);
        let mut files = entries.filter(|&entry| self.entries[entry].path.is_some());
        files.next().filter(|_| files.next().is_none())
    }

    /// Where a piece begins in the file that has most of it, in bytes; below zero, which wraps, where it begins before
    /// that file.
    pub fn place_of(&self, piece: usize) -> u64 {
        let files = self.spans(piece).filter(|span| !self.is_padding(span.entry));
        let most = files.max_by_key(|span| span.length).and_then(|s| self.entries.get(s.entry));
        most.map_or(0, |entry| self.piece_range(piece).start.wrapping_sub(entry.offset))
    }

    /// The pieces that hold bytes of an entry; none for an empty one.
    pub fn pieces_of(&self, entry: EntryIndex) -> Range<usize> {
        let Some(e) = self.entries.get(entry).filter(|e| e.length > 0) else {
            return 0..0;
        };
        let first = e.offset / self.piece_length;
        let last = (e.offset + e.length - 1) / self.piece_length;
        index(first)..index(last) + 1
    }
}

/// A piece number as an index. A manifest has at most `u32::MAX` pieces.
fn index(piece: u64) -> usize {
    usize::try_from(piece).unwrap_or(usize::MAX)
}

/// Which pieces of a manifest are there.
#[derive(Clone, PartialEq, Eq)]
pub struct PieceSet {
    bits: Vec<u8>,
    len: usize,
}

impl PieceSet {
    /// A set of none out of `len` pieces.
    pub fn none(len: usize) -> Self {
        Self { bits: vec![0; len.div_ceil(8)], len }
    }

    /// A set of all of `len` pieces.
    pub fn all(len: usize) -> Self {
        Self::of(len, 0..len)
    }

    /// A set of these out of `len` pieces.
    pub fn of(len: usize, pieces: impl IntoIterator<Item = usize>) -> Self {
        let mut set = Self::none(len);
        pieces.into_iter().for_each(|piece| set.insert(piece));
        set
    }

    /// How many pieces the manifest has.
    pub fn capacity(&self) -> usize {
        self.len
    }

    pub fn contains(&self, piece: usize) -> bool {
        piece < self.len && self.bits[piece / 8] & (0x80 >> (piece % 8)) != 0
    }

    /// Pieces past the end are ignored.
    pub fn insert(&mut self, piece: usize) {
        if piece < self.len {
            self.bits[piece / 8] |= 0x80 >> (piece % 8);
        }
    }

    pub fn remove(&mut self, piece: usize) {
        if piece < self.len {
            self.bits[piece / 8] &= !(0x80 >> (piece % 8));
        }
    }

    pub fn count(&self) -> usize {
        self.bits.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    pub fn is_full(&self) -> bool {
        self.count() == self.len
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        (0..self.len).filter(|&piece| self.contains(piece))
    }

    /// The pieces that are in neither set.
    pub fn missing_from_both(&self, other: &Self) -> Self {
        let is_missing = |piece: &usize| !self.contains(*piece) && !other.contains(*piece);
        Self::of(self.len, (0..self.len).filter(is_missing))
    }

    /// The pieces of this set that are not in the other.
    pub fn without(&self, other: &Self) -> Self {
        Self::of(self.len, self.iter().filter(|&piece| !other.contains(piece)))
    }

    /// The pieces that are in both sets.
    pub fn in_both(&self, other: &Self) -> Self {
        Self::of(self.len, self.iter().filter(|&piece| other.contains(piece)))
    }

    /// One bit a piece, most significant first: the wire format of BEP 3.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bits
    }
}

impl fmt::Debug for PieceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PieceSet({} of {})", self.count(), self.len)
    }
}

impl FromIterator<usize> for PieceSet {
    /// A set as large as its largest piece; meant for tests.
    fn from_iter<I: IntoIterator<Item = usize>>(pieces: I) -> Self {
        let pieces: Vec<usize> = pieces.into_iter().collect();
        let mut set = Self::none(pieces.iter().max().map_or(0, |max| max + 1));
        pieces.into_iter().for_each(|piece| set.insert(piece));
        set
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The bytes of exactly `2 * N` hexadecimal digits.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InfoHash({self})")
    }
}

impl TryFrom<String> for InfoHash {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        unhex(&text).map(Self).ok_or_else(|| format!("`{text}` is not an info hash"))
    }
}

impl From<InfoHash> for String {
    fn from(hash: InfoHash) -> Self {
        hash.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;

    /// A manifest of files of these lengths, without anything in them.
    pub(crate) fn manifest(piece_length: u64, lengths: &[u64]) -> Manifest {
        let mut offset = 0;
        let entries = lengths
            .iter()
            .enumerate()
            .map(|(i, &length)| {
                let entry = Entry { path: RelPath::new(&format!("f{i}")).ok(), length, offset };
                offset += length;
                entry
            })
            .collect();
        Manifest {
            name: "t".into(),
            info_hash: InfoHash([0; 20]),
            piece_length,
            pieces: vec![[0; 20]; usize::try_from(offset.div_ceil(piece_length)).unwrap()],
            entries,
            stream_length: offset,
        }
    }

    #[test]
    fn a_piece_is_the_spans_of_the_files_it_crosses() {
        let m = manifest(10, &[4, 0, 9, 12]);
        let spans =
            |piece| m.spans(piece).map(|s| (s.entry, s.offset, s.length)).collect::<Vec<_>>();
        assert_eq!(spans(0), [(0, 0, 4), (2, 0, 6)]);
        assert_eq!(spans(1), [(2, 6, 3), (3, 0, 7)]);
        assert_eq!(spans(2), [(3, 7, 5)]);
        assert_eq!(m.pieces_of(0), 0..1);
        assert_eq!(m.pieces_of(1), 0..0);
        assert_eq!(m.pieces_of(3), 1..3);
        assert_eq!(m.piece_size(2), 5);
    }

    #[test]
    fn a_piece_has_its_place_in_the_file_that_has_most_of_it() {
        let mut m = manifest(10, &[4, 0, 9, 12]);
        assert_eq!(
            [0, 1, 2].map(|piece| m.place_of(piece)),
            [4_u64.wrapping_neg(), u64::MAX - 2, 7]
        );
        m.entries[3].path = None;
        assert_eq!([0, 1, 2].map(|piece| m.place_of(piece)), [4_u64.wrapping_neg(), 6, 0]);
    }

    #[test]
    fn a_piece_set_writes_its_bits_most_significant_first() {
        let mut set = PieceSet::none(10);
        set.insert(0);
        set.insert(9);
        set.insert(10);
        assert_eq!(set.as_bytes(), [0b1000_0000, 0b0100_0000]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 9]);
        assert!(PieceSet::all(10).is_full());
    }

    #[test]
    fn hexadecimal_goes_both_ways() {
        assert_eq!(unhex(&hex(&[0, 255, 16])), Some([0, 255, 16]));
        assert_eq!(unhex::<1>("zz"), None);
        assert_eq!(unhex::<1>("+1"), None);
    }
}
