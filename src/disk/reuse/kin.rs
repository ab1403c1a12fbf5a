//! PURE: which sources most likely have the bytes of a file, by path and length alone.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::source::{Source, SourceIndex};
use crate::model::path::fold;

/// Sources that are looked at for one reason, at most.
const LIKELY: usize = 8;
/// Components from the end of a path that tell a file which moved with its folder.
const TAIL: usize = 3;

/// A place in a source for the bytes of a file: the byte at `n` of the file is at `n + shift` of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    pub source: SourceIndex,
    /// Bytes.
    pub shift: i64,
}

/// The sources by what tells one from another. There may be very many of them, so this is sorted and not a map.
#[derive(Debug)]
pub struct Kinship<'a> {
    files: &'a [Source],
    /// By the path and by the ends of it, folded; of each a hash.
    by_tail: Vec<(u64, u32)>,
    by_length: Vec<(u64, u32)>,
}

impl<'a> Kinship<'a> {
    pub fn of(files: &'a [Source]) -> Self {
        let numbered = || (0..).zip(files);
        let by_length = numbered().map(|(index, source)| (source.length, index));
        let by_tail = numbered().flat_map(|(index, source)| {
            let path = fold(&source.path);
            tails(&path).map(|tail| (hash(tail), index)).collect::<Vec<_>>()
        });
        let (mut by_length, mut by_tail): (Vec<_>, Vec<_>) =
            (by_length.collect(), by_tail.collect());
        by_length.sort_unstable();
        by_tail.sort_unstable();
        Self { files, by_tail, by_length }
    }

    /// Where a file's bytes may be, the likeliest first: in a source of the same length at the same place; in one
    /// of the same name before or after whatever was put in or taken out.
    pub fn origins(&self, path: &str, length: u64) -> Vec<Origin> {
        let path = fold(path);
        let namesakes = tails(&path).flat_map(|tail| those_with(&self.by_tail, hash(tail)));
        let equals = those_with(&self.by_length, length);
        let mut kin: Vec<SourceIndex> = Vec::new();
        for source in namesakes.chain(equals) {
            if !kin.contains(&source) {
                kin.push(source);
            }
        }
        let (same, other): (Vec<_>, Vec<_>) =
            kin.into_iter().partition(|&source| self.files[source].length == length);
        let whole = same.into_iter().map(|source| Origin { source, shift: 0 });
        let ends = other.into_iter().flat_map(|source| {
            let tail = difference(self.files[source].length, length);
            [0, tail].map(|shift| Origin { source, shift })
        });
        whole.chain(ends).collect()
    }
}

/// `a - b`.
pub fn difference(a: u64, b: u64) -> i64 {
    i64::try_from(i128::from(a) - i128::from(b)).unwrap_or(i64::MAX)
}

/// The first few sources that are sorted under a key.
fn those_with(sorted: &[(u64, u32)], key: u64) -> impl Iterator<Item = SourceIndex> + '_ {
    let start = sorted.partition_point(|(other, _)| *other < key);
    let same = sorted[start..].iter().take_while(move |(other, _)| *other == key);
    same.take(LIKELY).map(|(_, index)| *index as SourceIndex)
}

fn hash(tail: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    tail.hash(&mut hasher);
    hasher.finish()
}

/// A path and the ends of it that are a few components long, the longest first.
fn tails(path: &str) -> impl Iterator<Item = &str> {
    let starts: Vec<usize> = path.rmatch_indices('/').map(|(at, _)| at + 1).take(TAIL).collect();
    std::iter::once(0).chain(starts.into_iter().rev()).map(|start| &path[start..])
}
