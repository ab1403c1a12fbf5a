//! [`search`]: which of the lacking pieces this machine has somewhere else.
//!
//! Names and lengths tell where to look, and a piece's SHA-1 alone whether it was found. What nobody would guess
//! from names, lengths and neighbours is not found.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::Arc;

use super::kin::{Kinship, Origin, difference};
use super::needle::{self, Needle};
use super::source::{Reader, SourceIndex, Sources};
use crate::disk::staging::Staging;
use crate::disk::verify::{Cancel, Cancelled, Content, Try, judge};
use crate::model::manifest::{EntryIndex, Manifest, PieceSet};

/// Ways to put one piece together that are tried at most.
const WAYS: usize = 24;
/// Places for one part of such a piece.
const PLACES: usize = 4;
/// Neighbours of a piece that are tried at once, at most.
const STRIDE: usize = 64;
/// Sources, or files of the release, that are tried where another one ends.
const NEIGHBOURS: usize = 64;
/// Bytes hashed to try mere possibilities, besides a part of those that are lacking: reading is quicker than fetching,
/// and takes its time as well.
const CURIOSITY: u64 = 256 << 20;
const CURIOSITY_PART: u64 = 8;
/// Bytes that are hashed in the time that a file takes to be opened, about.
const OPEN: u64 = 32 << 10;

/// For each part of a piece that is of a file, where it is; by the number of the file.
pub type Recipe = Vec<(EntryIndex, Origin)>;

/// Pieces that are on this machine already, and where.
#[derive(Debug, Clone, Default)]
pub struct Recipes {
    pub sources: Arc<Sources>,
    pub of: BTreeMap<usize, Recipe>,
    /// Files with lacking pieces that may have a former one here.
    pub kin: BTreeSet<EntryIndex>,
}

impl Recipes {
    /// The path of the file in the pack's own folder that has all bytes of this one, and no others.
    pub fn whole_file(&self, manifest: &Manifest, entry: EntryIndex) -> Option<&str> {
        let source = &self.sources.files[self.whole(manifest, entry)?];
        source.is_in_place.then_some(source.path.as_str())
    }

    /// The source that has all bytes of a file, and no others.
    pub(super) fn whole(&self, manifest: &Manifest, entry: EntryIndex) -> Option<SourceIndex> {
        let mut origins = manifest.pieces_of(entry).map(|piece| {
            let recipe = self.of.get(&piece)?;
            let place = recipe.binary_search_by_key(&entry, |(entry, _)| *entry).ok()?;
            Some(recipe[place].1)
        });
        let first = origins.next()??;
        let is_whole = first.shift == 0
            && self.sources.files[first.source].length == manifest.entries[entry].length
            && origins.all(|origin| origin == Some(first));
        is_whole.then_some(first.source)
    }
}

/// Finds what it can of the `lacking` pieces.
pub fn search(
    manifest: &Manifest,
    lacking: &PieceSet,
    sources: Arc<Sources>,
    cancel: &Cancel,
) -> Result<Recipes, Cancelled> {
    if lacking.count() == 0 || sources.files.is_empty() {
        return Ok(Recipes::default());
    }
    let mut search = Search::new(manifest, lacking, &sources, cancel);
    let kin = search.find_in_kin()?;
    search.find_parted_and_joined()?;
    search.find_mixed()?;
    let of = search.found;
    Ok(Recipes { sources, of, kin })
}

/// Finds lacking pieces around those that have `arrived`: what a piece ends with, or begins with, is looked for in
/// sources that are kin to its file, and its neighbours are tried from there on, until one is not right.
pub fn search_around(
    arrived: &PieceSet,
    lacking: &PieceSet,
    staging: &Staging,
    sources: &Arc<Sources>,
    cancel: &Cancel,
) -> Result<Recipes, Cancelled> {
    let manifest = &*staging.manifest;
    let mut search = Search::new(manifest, lacking, sources, cancel);
    let mut needles = Vec::new();
    for piece in arrived.iter() {
        let Some(entry) = manifest.only_file_of(piece) else { continue };
        needles.extend(needle::needles_of(piece, entry, staging));
    }
    let path = |entry: EntryIndex| manifest.entries[entry].path.as_ref();
    let mut haystacks: BTreeMap<SourceIndex, Vec<&Needle>> = BTreeMap::new();
    for needle in &needles {
        let Some(path) = path(needle.entry) else { continue };
        let origins = search.kinship.origins(path.as_str(), manifest.entries[needle.entry].length);
        let kin: BTreeSet<SourceIndex> = origins.iter().map(|origin| origin.source).collect();
        kin.into_iter().for_each(|source| haystacks.entry(source).or_default().push(needle));
    }
    let mut runs = Vec::new();
    for (source, needles) in haystacks {
        let length = sources.files[source].length;
        let read = |offset: u64, buf: &mut [u8]| search.reader.read_at(source, offset, buf);
        for (needle, at) in needle::find(&needles, length, read, cancel)? {
            let origin = Origin { source, shift: difference(at, needle.offset) };
            runs.extend([1, -1].map(|step| Run::from(needle.piece, (needle.entry, origin), step)));
        }
    }
    runs.sort_unstable();
    runs.dedup();
    search.follow(runs)?;
    let of = search.found;
    Ok(Recipes { sources: Arc::clone(sources), of, kin: BTreeSet::new() })
}

/// Neighbouring pieces that are tried from one place, until one is not right.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    guess: Guess,
    /// The next piece, and where it goes from there.
    next: Option<usize>,
    step: isize,
    /// How many are tried at once.
    stride: usize,
}

impl Run {
    fn from(piece: usize, guess: Guess, step: isize) -> Self {
        Self { guess, next: piece.checked_add_signed(step), step, stride: 1 }
    }
}

/// The guess that a file's bytes come from one place.
type Guess = (EntryIndex, Origin);

struct Search<'a> {
    manifest: &'a Manifest,
    sources: &'a Sources,
    reader: Reader<'a>,
    kinship: Kinship<'a>,
    cancel: &'a Cancel,
    /// Not found yet.
    lacking: PieceSet,
    found: BTreeMap<usize, Recipe>,
    /// Guesses that gave a piece.
    confirmed: HashMap<EntryIndex, Vec<Origin>>,
    /// Bytes that may still be hashed for mere possibilities.
    curiosity: u64,
}

impl<'a> Search<'a> {
    fn new(
        manifest: &'a Manifest,
        lacking: &PieceSet,
        sources: &'a Sources,
        cancel: &'a Cancel,
    ) -> Self {
        let bytes: u64 = lacking.iter().map(|piece| manifest.piece_size(piece)).sum();
        Self {
            manifest,
            sources,
            reader: sources.reader(),
            kinship: Kinship::of(&sources.files),
            cancel,
            lacking: lacking.clone(),
            found: BTreeMap::new(),
            confirmed: HashMap::new(),
            curiosity: CURIOSITY + bytes / CURIOSITY_PART,
        }
    }

    /// Files that were renamed, moved, doubled, or changed in one place. Returns those that have kin at all.
    fn find_in_kin(&mut self) -> Result<BTreeSet<EntryIndex>, Cancelled> {
        let mut guesses = Vec::new();
        for (entry, path, length) in self.manifest.files() {
            if self.inner(entry).next().is_some() {
                let origins = self.kinship.origins(path.as_str(), length);
                guesses.extend(origins.into_iter().map(|origin| (entry, origin)));
            }
        }
        self.confirm(&guesses)?;
        Ok(guesses.into_iter().map(|(entry, _)| entry).collect())
    }

    /// Files that were split or joined: where one ends, another begins.
    fn find_parted_and_joined(&mut self) -> Result<(), Cancelled> {
        let loose = self.loose_sources();
        let lonely: Vec<EntryIndex> = (0..self.manifest.entries.len())
            .filter(|entry| self.inner(*entry).next().is_some())
            .collect();
        let mut tried = BTreeSet::new();
        let heads = lonely.iter().filter(|entry| !self.confirmed.contains_key(entry));
        let heads = heads.take(NEIGHBOURS).flat_map(|&entry| {
            let sources = loose.iter().take(NEIGHBOURS);
            sources.map(move |&source| (entry, Origin { source, shift: 0 }))
        });
        let mut guesses: Vec<Guess> = heads.collect();
        let known = self.confirmed.iter();
        let mut hits: Vec<Guess> =
            known.flat_map(|(&entry, origins)| origins.iter().map(move |o| (entry, *o))).collect();
        while !guesses.is_empty() || !hits.is_empty() {
            guesses.extend(hits.iter().flat_map(|hit| self.beyond(*hit, &loose, &lonely)));
            guesses.retain(|guess| tried.insert(*guess) && self.can_afford(*guess));
            hits = self.confirm(&std::mem::take(&mut guesses))?;
        }
        Ok(())
    }

    /// Pieces with parts of several files.
    fn find_mixed(&mut self) -> Result<(), Cancelled> {
        let is_mixed = |piece: &usize| self.manifest.only_file_of(*piece).is_none();
        let mixed: Vec<usize> = self.lacking.iter().filter(is_mixed).collect();
        let likely = mixed.iter().filter_map(|&piece| Some((piece, self.ways(piece)?.likely)));
        let likely: BTreeMap<usize, Recipe> = likely.collect();
        self.try_all(likely.clone().into_iter().collect())?;
        let mut others = Vec::new();
        for piece in mixed {
            if self.lacking.contains(piece)
                && let Some(ways) = self.ways(piece)
            {
                let untried = ways.all().filter(|way| likely.get(&piece) != Some(way));
                let affordable = untried.take_while(|way| self.can_pay(piece, way.len()));
                others.extend(affordable.map(|way| (piece, way)));
            }
        }
        self.try_all(others)?;
        Ok(())
    }

    /// Sources whose path the release does not name.
    fn loose_sources(&self) -> Vec<SourceIndex> {
        let named: BTreeSet<&str> =
            self.manifest.files().map(|(_, path, _)| path.as_str()).collect();
        let files = self.sources.files.iter().enumerate();
        files.filter(|(_, source)| !named.contains(source.path.as_str())).map(|(i, _)| i).collect()
    }

    /// What may follow where a source ends within a file, or a file within a source.
    fn beyond(&self, hit: Guess, loose: &[SourceIndex], lonely: &[EntryIndex]) -> Vec<Guess> {
        let (entry, Origin { source, shift }) = hit;
        let length = self.manifest.entries[entry].length;
        let end_of_source = difference(self.sources.files[source].length, 0) - shift;
        let end_of_file = difference(length, 0) + shift;
        let lacks = self.inner(entry).next().is_some();
        let next_sources = loose.iter().filter(|&&next| next != source);
        let joined = next_sources
            .take(NEIGHBOURS)
            .map(|&source| (entry, Origin { source, shift: -end_of_source }))
            .filter(|_| lacks && end_of_source > 0 && end_of_source < difference(length, 0));
        let next_files = lonely.iter().filter(|&&next| next != entry);
        let parted = next_files
            .filter(|entry| self.inner(**entry).next().is_some())
            .take(NEIGHBOURS)
            .map(|&entry| (entry, Origin { source, shift: end_of_file }))
            .filter(|_| end_of_file > 0 && end_of_source > difference(length, 0));
        joined.chain(parted).collect()
    }

    /// Tries guesses on a few pieces each, and where one of them is right on all pieces of that file. Returns
    /// those that were right.
    fn confirm(&mut self, guesses: &[Guess]) -> Result<Vec<Guess>, Cancelled> {
        let samples = guesses.iter().flat_map(|guess| {
            let samples = self.samples(*guess);
            samples.into_iter().map(|piece| (piece, vec![*guess]))
        });
        let right = self.try_all(samples.collect())?;
        let right: BTreeSet<Guess> = right.iter().map(|recipe| recipe[0]).collect();
        let hits: Vec<Guess> =
            guesses.iter().filter(|guess| right.contains(guess)).copied().collect();
        let mut of_files: BTreeMap<EntryIndex, VecDeque<Guess>> = BTreeMap::new();
        for guess in &hits {
            of_files.entry(guess.0).or_default().push_back(*guess);
            self.confirmed.entry(guess.0).or_default().push(guess.1);
        }
        // What one guess has found of a file is not tried by the next one.
        while !of_files.is_empty() {
            let next: Vec<Guess> = of_files.values_mut().filter_map(VecDeque::pop_front).collect();
            of_files.retain(|_, guesses| !guesses.is_empty());
            let rest = next.iter().flat_map(|guess| {
                let pieces = self.inner(guess.0).filter(|piece| self.fits(*piece, *guess));
                pieces.map(|piece| (piece, vec![*guess])).collect::<Vec<_>>()
            });
            self.try_all(rest.collect())?;
        }
        Ok(hits)
    }

    /// The first, the middle and the last piece that the guess is about.
    fn samples(&self, guess: Guess) -> BTreeSet<usize> {
        let pieces: Vec<usize> =
            self.inner(guess.0).filter(|piece| self.fits(*piece, guess)).collect();
        let picked = [pieces.first(), pieces.get(pieces.len() / 2), pieces.last()];
        picked.into_iter().flatten().copied().collect()
    }

    fn can_afford(&mut self, guess: Guess) -> bool {
        let samples = self.samples(guess);
        !samples.is_empty() && samples.into_iter().all(|piece| self.can_pay(piece, 1))
    }

    /// Takes what a try of a piece costs that is read from so many files, if it is there.
    fn can_pay(&mut self, piece: usize, files: usize) -> bool {
        let cost = self.manifest.piece_size(piece).max(files as u64 * OPEN);
        let left = self.curiosity.checked_sub(cost);
        self.curiosity = left.unwrap_or(self.curiosity);
        left.is_some()
    }

    /// Goes on with each run as long as its pieces are right, with more of them at a time.
    fn follow(&mut self, mut runs: Vec<Run>) -> Result<(), Cancelled> {
        while !runs.is_empty() {
            let mut tries = Vec::new();
            runs.retain_mut(|run| {
                let pieces = self.pieces_of(run);
                tries.extend(pieces.iter().map(|&piece| (piece, vec![run.guess])));
                run.next = pieces.last().and_then(|last| last.checked_add_signed(run.step));
                run.stride = (run.stride * 2).min(STRIDE);
                !pieces.is_empty()
            });
            self.try_all(tries)?;
            let is_right = |run: &Run| {
                let last = run.next.and_then(|next| next.checked_add_signed(-run.step));
                last.is_some_and(|last| self.found.contains_key(&last))
            };
            runs.retain(is_right);
        }
        Ok(())
    }

    /// The next pieces of a run.
    fn pieces_of(&self, run: &Run) -> Vec<usize> {
        let along = std::iter::successors(run.next, |piece| piece.checked_add_signed(run.step));
        let is_one = |piece: &usize| {
            let is_lacking = self.lacking.contains(*piece);
            is_lacking
                && self.manifest.only_file_of(*piece) == Some(run.guess.0)
                && self.fits(*piece, run.guess)
        };
        along.take(run.stride).take_while(is_one).collect()
    }

    /// Hashes what the recipes give and notes those that are right; returns these.
    fn try_all(&mut self, recipes: Vec<(usize, Recipe)>) -> Result<Vec<Recipe>, Cancelled> {
        let attempts: Vec<Attempt<'_>> = recipes
            .into_iter()
            .map(|(piece, recipe)| Attempt { piece, recipe, reader: &self.reader })
            .collect();
        let tries: Vec<Try<'_, _>> =
            attempts.iter().map(|attempt| Try { piece: attempt.piece, content: attempt }).collect();
        let mut right = judge(self.manifest, &tries, self.cancel, &|_| {})?;
        right.sort_unstable();
        let mut recipes = Vec::new();
        for nth in right {
            let Attempt { piece, recipe, .. } = &attempts[nth];
            self.lacking.remove(*piece);
            self.found.entry(*piece).or_insert_with(|| recipe.clone());
            recipes.push(recipe.clone());
        }
        Ok(recipes)
    }

    /// Lacking pieces in which this is the only file.
    fn inner(&self, entry: EntryIndex) -> impl Iterator<Item = usize> + '_ {
        let pieces: Range<usize> = self.manifest.pieces_of(entry);
        let is_inside = |piece: usize, range: &Range<usize>| {
            (piece > range.start && piece + 1 < range.end)
                || self.manifest.only_file_of(piece).is_some()
        };
        let range = pieces.clone();
        pieces.filter(move |&piece| self.lacking.contains(piece) && is_inside(piece, &range))
    }

    /// Whether all that a piece has of the file would lie within the source.
    fn fits(&self, piece: usize, (entry, origin): Guess) -> bool {
        let mut spans = self.manifest.spans(piece).filter(|span| span.entry == entry);
        spans.all(|span| self.has(origin, span.offset, span.length))
    }

    fn has(&self, origin: Origin, offset: u64, length: u64) -> bool {
        let end = self.sources.files[origin.source].length;
        offset.checked_add_signed(origin.shift).is_some_and(|start| start + length <= end)
    }

    /// How a piece may be put together; `None` when a part of it has no place at all.
    fn ways(&self, piece: usize) -> Option<Ways> {
        let mut likely = Recipe::new();
        let mut others = Recipe::new();
        for span in self.manifest.spans(piece) {
            let Some(path) = &self.manifest.entries[span.entry].path else { continue };
            let length = self.manifest.entries[span.entry].length;
            let near = [piece.wrapping_sub(1), piece + 1].into_iter().filter_map(|next| {
                let recipe = self.found.get(&next)?;
                recipe.iter().find(|(entry, _)| *entry == span.entry).map(|(_, origin)| *origin)
            });
            let confirmed = self.confirmed.get(&span.entry).into_iter().flatten().copied();
            let kin = self.kinship.origins(path.as_str(), length);
            let mut places: Vec<Origin> = Vec::new();
            for origin in near.chain(confirmed).chain(kin) {
                if !places.contains(&origin) && self.has(origin, span.offset, span.length) {
                    places.push(origin);
                }
            }
            let mut places = places.into_iter().take(PLACES).map(|origin| (span.entry, origin));
            likely.push(places.next()?);
            others.extend(places);
        }
        Some(Ways { likely, others })
    }
}

/// How one piece may be put together.
struct Ways {
    /// Each part from its likeliest place.
    likely: Recipe,
    /// Other places for a part.
    others: Recipe,
}

impl Ways {
    /// The likeliest one, then those with one part from another place.
    fn all(&self) -> impl Iterator<Item = Recipe> {
        let with = |other: &(EntryIndex, Origin)| {
            let part = |it: &(EntryIndex, Origin)| if it.0 == other.0 { *other } else { *it };
            self.likely.iter().map(part).collect()
        };
        std::iter::once(self.likely.clone()).chain(self.others.iter().take(WAYS).map(with))
    }
}

/// A piece as a recipe gives it.
#[derive(Debug)]
struct Attempt<'a> {
    piece: usize,
    recipe: Recipe,
    reader: &'a Reader<'a>,
}

impl Content for Attempt<'_> {
    fn read(&self, _: usize, entry: EntryIndex, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        read_part(self.reader, &self.recipe, entry, offset, buf)
    }
}

/// Reads what a recipe gives of one file; padding has no place, and is zeros.
pub(super) fn read_part(
    reader: &Reader<'_>,
    recipe: &Recipe,
    entry: EntryIndex,
    offset: u64,
    buf: &mut [u8],
) -> io::Result<()> {
    let Ok(place) = recipe.binary_search_by_key(&entry, |(entry, _)| *entry) else {
        buf.fill(0);
        return Ok(());
    };
    let Origin { source, shift } = recipe[place].1;
    let at = offset.checked_add_signed(shift).ok_or(ErrorKind::InvalidInput)?;
    reader.read_at(source, at, buf)
}
