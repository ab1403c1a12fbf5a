//! PURE: which sources most likely have the bytes of a file, by path and length alone.

use std::collections::HashMap;

use super::source::{Source, SourceIndex};

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

/// The sources by what tells one from another.
#[derive(Debug)]
pub struct Kinship<'a> {
    files: &'a [Source],
    /// By the path, and by its last few components; all folded.
    by_tail: HashMap<String, Vec<SourceIndex>>,
    by_length: HashMap<u64, Vec<SourceIndex>>,
}

impl<'a> Kinship<'a> {
    pub fn of(files: &'a [Source]) -> Self {
        let mut by_tail: HashMap<String, Vec<SourceIndex>> = HashMap::new();
        let mut by_length: HashMap<u64, Vec<SourceIndex>> = HashMap::new();
        for (index, source) in files.iter().enumerate() {
            let path = crate::model::path::fold(&source.path);
            for tail in tails(&path) {
                note(by_tail.entry(tail.to_owned()).or_default(), index);
            }
            note(by_length.entry(source.length).or_default(), index);
        }
        Self { files, by_tail, by_length }
    }

    /// Where a file's bytes may be, the likeliest first: in a source of the same length at the same place; in one
    /// of the same name before or after whatever was put in or taken out.
    pub fn origins(&self, path: &str, length: u64) -> Vec<Origin> {
        let path = crate::model::path::fold(path);
        let namesakes = tails(&path).filter_map(|tail| self.by_tail.get(tail)).flatten();
        let equals = self.by_length.get(&length).into_iter().flatten();
        let mut kin: Vec<SourceIndex> = Vec::new();
        for &source in namesakes.chain(equals) {
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

fn note(sources: &mut Vec<SourceIndex>, index: SourceIndex) {
    if sources.len() < LIKELY {
        sources.push(index);
    }
}

/// A path and the ends of it that are a few components long, the longest first.
fn tails(path: &str) -> impl Iterator<Item = &str> {
    let starts: Vec<usize> = path.rmatch_indices('/').map(|(at, _)| at + 1).take(TAIL).collect();
    std::iter::once(0).chain(starts.into_iter().rev()).map(|start| &path[start..])
}
