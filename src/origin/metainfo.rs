//! [`parse`]: the bytes of a `.torrent` → a [`Manifest`], or the reason why not.
//!
//! This is the guard at the door: what it refuses reaches neither librqbit nor the disk. It is
//! strict: a torrent that breaks a rule is refused with the file or number named, and nothing is
//! renamed, cut or skipped to make it fit. It reads version 1 torrents
//! ([BEP 3](https://www.bittorrent.org/beps/bep_0003.html)), knows padding files and symbolic links
//! ([BEP 47](https://www.bittorrent.org/beps/bep_0047.html)) and uses hybrid torrents
//! ([BEP 52](https://www.bittorrent.org/beps/bep_0052.html)) by their version 1 half alone: it does
//! not compare the two.
//!
//! Trackers, web seeds and all other keys are read over, but must be well-formed. Nothing is said
//! about what lies on the disk, nor about who made the torrent.
//!
//! The work is bounded by [`MAX_BYTES`]: an entry takes at least twenty bytes and a piece exactly
//! twenty, so there are fewer than 840,000 of either.

use sha1::{Digest, Sha1};

use super::bencode::{Kind, Reader};
use crate::model::manifest::{Entry, InfoHash, Manifest, PieceHash};
use crate::model::path::{MAX_COMPONENT, MAX_DEPTH, PathError, RelPath};

pub use super::bencode::{BencodeError, MAX_NESTING};

/// At most 16 MiB of metainfo.
pub const MAX_BYTES: usize = 16 << 20;
/// Bytes in a piece: 16 KiB is the unit in which peers ask.
pub const MIN_PIECE: u64 = 16 << 10;
/// Bytes in a piece: one is held in memory while it is checked.
pub const MAX_PIECE: u64 = 64 << 20;

/// How much of a hostile name a message repeats, in characters.
const SHOWN: usize = 80;

/// Why bytes are not a torrent that a pack can follow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetainfoError {
    #[error("not a torrent: it is empty")]
    Empty,
    #[error("not a torrent: it is a web page (HTML)")]
    WebPage,
    #[error("not a torrent: it does not begin like one")]
    Foreign,
    #[error("it is longer than the {MAX_BYTES} bytes that a torrent may have")]
    TooLarge,
    #[error("not a valid torrent: {0}")]
    Bencode(#[from] BencodeError),
    #[error("`{key}` is not {wanted}")]
    Type { key: &'static str, wanted: &'static str },
    #[error("the torrent has no `{0}`")]
    Missing(&'static str),
    #[error(
        "it is a version 2 torrent (BEP 52), which is not supported; publish a hybrid or version 1 torrent"
    )]
    OnlyVersion2,
    #[error("the title `{title}` cannot be used: {cause}")]
    Title { title: String, cause: Reason },
    #[error("piece length {0} is not between {MIN_PIECE} and {MAX_PIECE}")]
    PieceLength(i64),
    #[error("`pieces` is {0} bytes long, which is not a multiple of 20")]
    PieceHashes(usize),
    #[error(
        "{found} piece hashes do not fit {length} bytes in pieces of {piece_length}, which need {needed}"
    )]
    PieceCount { found: usize, needed: u64, length: u64, piece_length: u64 },
    #[error("it has both `length` and `files`, so it is not clear what it describes")]
    TwoShapes,
    #[error("it has neither `length` nor `files`")]
    NoShape,
    #[error("it has no files")]
    NoFiles,
    #[error("its files are 0 bytes long together, so it has nothing to share")]
    NoContent,
    /// One entry of the file list, counted from 1.
    #[error("{file}: {cause}")]
    File { file: String, cause: Reason },
}

/// Why one entry, or the title, is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error(transparent)]
    Path(#[from] PathError),
    #[error("it has another name in `{0}`")]
    Ambiguous(&'static str),
    #[error("it has no `{0}`")]
    Missing(&'static str),
    #[error("`{key}` is not {wanted}")]
    Type { key: &'static str, wanted: &'static str },
    #[error("its length {0} is negative")]
    NegativeLength(i64),
    #[error("with its length {0} the sum of all lengths does not fit into 64 bits")]
    Sum(u64),
    #[error("it is a symbolic link, which a pack may not have")]
    Link,
    #[error("it is the same name as {0} on systems that ignore case or accents")]
    Same(String),
    #[error("it is also the folder of {0}")]
    Folder(String),
}

/// Reads a torrent by the strict rules; see the module.
pub fn parse(bytes: &[u8]) -> Result<Manifest, MetainfoError> {
    check_look(bytes)?;
    let mut reader = Reader::new(bytes);
    let mut found = None;
    reader.dictionary(|key, reader| {
        match key {
            b"info" => found = Some(reader.with_raw(Info::read)?),
            _ => reader.skip()?,
        }
        Ok::<_, MetainfoError>(())
    })?;
    reader.end()?;
    let (info, raw) = found.ok_or(MetainfoError::Missing("info"))?;
    info.into_manifest(InfoHash(Sha1::digest(raw).into()))
}

/// Tells what is no torrent at all, in words for somebody who mistyped a URL.
fn check_look(bytes: &[u8]) -> Result<(), MetainfoError> {
    if bytes.len() > MAX_BYTES {
        return Err(MetainfoError::TooLarge);
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    match (bytes.first(), text.first()) {
        (None, _) => Err(MetainfoError::Empty),
        (Some(b'd'), _) => Ok(()),
        (Some(_), Some(b'<')) => Err(MetainfoError::WebPage),
        (Some(_), _) => Err(MetainfoError::Foreign),
    }
}

/// The `info` dictionary as it is written.
#[derive(Default)]
struct Info<'a> {
    /// The name is a title or, without `files`, the one file.
    name: RawName<'a>,
    only: RawFile,
    files: Option<Vec<File>>,
    piece_length: Option<i64>,
    pieces: Option<&'a [u8]>,
    version2: bool,
}

impl<'a> Info<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, MetainfoError> {
        let mut info = Self::default();
        expect(reader, Kind::Dictionary, "info", "a dictionary")?;
        reader.dictionary(|key, reader| {
            match key {
                b"name" => info.name.plain = Some(vec![string(reader, "name")?]),
                b"name.utf-8" => info.name.utf8 = Some(vec![string(reader, "name.utf-8")?]),
                b"files" => info.files = Some(read_files(reader)?),
                b"piece length" => info.piece_length = Some(number(reader, "piece length")?),
                b"pieces" => info.pieces = Some(string(reader, "pieces")?),
                b"meta version" | b"file tree" => {
                    info.version2 = true;
                    reader.skip()?;
                }
                _ => info.only.read(key, reader)?,
            }
            Ok::<_, MetainfoError>(())
        })?;
        Ok(info)
    }

    fn into_manifest(self, info_hash: InfoHash) -> Result<Manifest, MetainfoError> {
        let version1 = self.pieces.is_some() || self.files.is_some() || self.only.length.is_some();
        if self.version2 && !version1 {
            return Err(MetainfoError::OnlyVersion2);
        }
        let (name, files) = match (self.only.length, self.files) {
            (Some(_), Some(_)) => return Err(MetainfoError::TwoShapes),
            (None, None) => return Err(MetainfoError::NoShape),
            (None, Some(files)) => (title(&self.name)?, files),
            (Some(_), None) => {
                self.name.plain.as_ref().ok_or(MetainfoError::Missing("name"))?;
                let file = self.only.check(1, &self.name, "name.utf-8")?;
                (file.path.to_string(), vec![file])
            }
        };
        check_distinct(&files)?;
        let piece_length = piece_length(self.piece_length)?;
        let (entries, stream_length) = lay_out(files, piece_length)?;
        let pieces = piece_hashes(self.pieces, stream_length, piece_length)?;
        Ok(Manifest { name, info_hash, piece_length, pieces, entries, stream_length })
    }
}

/// The title of a torrent of many files. It is shown and never a path, so only what would disturb
/// a line of text is refused.
fn title(name: &RawName) -> Result<String, MetainfoError> {
    let refused = |cause| MetainfoError::Title { title: name.shown(), cause };
    name.plain.as_ref().ok_or(MetainfoError::Missing("name"))?;
    let title = name.components("name.utf-8").map_err(refused)?.concat();
    if title.is_empty() {
        return Err(refused(PathError::Empty.into()));
    }
    if title.len() > MAX_COMPONENT {
        return Err(refused(PathError::LongComponent.into()));
    }
    match title.chars().find(|&c| disturbs_text(c)) {
        Some(c) => {
            let name = format!("the character U+{:04X}", u32::from(c));
            Err(refused(PathError::Character(name).into()))
        }
        None => Ok(title),
    }
}

/// Control characters, line and paragraph separators, the BOM, and all that turns the direction.
fn disturbs_text(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn piece_length(claimed: Option<i64>) -> Result<u64, MetainfoError> {
    let claimed = claimed.ok_or(MetainfoError::Missing("piece length"))?;
    u64::try_from(claimed)
        .ok()
        .filter(|length| (MIN_PIECE..=MAX_PIECE).contains(length))
        .ok_or(MetainfoError::PieceLength(claimed))
}

fn piece_hashes(
    pieces: Option<&[u8]>,
    length: u64,
    piece_length: u64,
) -> Result<Vec<PieceHash>, MetainfoError> {
    let pieces = pieces.ok_or(MetainfoError::Missing("pieces"))?;
    let (hashes, rest) = pieces.as_chunks();
    if !rest.is_empty() {
        return Err(MetainfoError::PieceHashes(pieces.len()));
    }
    let (found, needed) = (hashes.len(), length.div_ceil(piece_length));
    if found as u64 != needed {
        return Err(MetainfoError::PieceCount { found, needed, length, piece_length });
    }
    Ok(hashes.to_vec())
}

/// One entry of the file list: its own name and length are in order, its company is not yet known.
struct File {
    path: RelPath,
    length: u64,
    /// It says that it is padding (attribute `p`).
    padding: bool,
}

fn read_files(reader: &mut Reader) -> Result<Vec<File>, MetainfoError> {
    let mut files = Vec::new();
    expect(reader, Kind::List, "files", "a list")?;
    reader.list(|reader| {
        files.push(read_file(files.len() + 1, reader)?);
        Ok::<_, MetainfoError>(())
    })?;
    Ok(files)
}

fn read_file(number: usize, reader: &mut Reader) -> Result<File, MetainfoError> {
    let mut name = RawName::default();
    let mut file = RawFile::default();
    expect(reader, Kind::Dictionary, "files", "a list of dictionaries")
        .and_then(|()| {
            reader.dictionary(|key, reader| {
                match key {
                    b"path" => name.plain = Some(components(reader, "path")?),
                    b"path.utf-8" => name.utf8 = Some(components(reader, "path.utf-8")?),
                    _ => file.read(key, reader)?,
                }
                Ok(())
            })
        })
        .map_err(|error| in_file(number, error))?;
    file.check(number, &name, "path.utf-8")
}

fn in_file(number: usize, error: MetainfoError) -> MetainfoError {
    if let MetainfoError::Type { key, wanted } = error {
        let cause = Reason::Type { key, wanted };
        MetainfoError::File { file: format!("file {number}"), cause }
    } else {
        error
    }
}

/// A path, or a name as a path of one component, as it is written.
#[derive(Default)]
struct RawName<'a> {
    plain: Option<Vec<&'a [u8]>>,
    /// The same in UTF-8, from clients that wrote `plain` in the encoding of their system.
    utf8: Option<Vec<&'a [u8]>>,
}

impl<'a> RawName<'a> {
    /// The name in UTF-8. Two readable names that differ are refused: other clients would go by
    /// the other one.
    fn components(&self, utf8_key: &'static str) -> Result<Vec<&'a str>, Reason> {
        let plain = self.plain.as_ref().ok_or(Reason::Missing("path"))?;
        let plain = in_utf8(plain);
        let Some(utf8) = &self.utf8 else {
            return Ok(plain?);
        };
        let utf8 = in_utf8(utf8)?;
        if plain.is_ok_and(|plain| plain != utf8) {
            return Err(Reason::Ambiguous(utf8_key));
        }
        Ok(utf8)
    }

    /// For messages: short, and with everything invisible escaped.
    fn shown(&self) -> String {
        let mut shown = String::new();
        let name = self.utf8.as_ref().or(self.plain.as_ref());
        for (index, component) in name.into_iter().flatten().enumerate() {
            if index > 0 {
                shown.push('/');
            }
            let start = component.get(..4 * SHOWN).unwrap_or(component);
            shown.push_str(&String::from_utf8_lossy(start));
        }
        escaped(&shown)
    }
}

fn in_utf8<'a>(components: &[&'a [u8]]) -> Result<Vec<&'a str>, PathError> {
    let each = components.iter().map(|component| str::from_utf8(component));
    each.collect::<Result<_, _>>().map_err(|_| PathError::NotUtf8)
}

/// What one dictionary says of one file, its name left out.
#[derive(Default)]
struct RawFile {
    length: Option<i64>,
    padding: bool,
    link: bool,
}

impl RawFile {
    fn read(&mut self, key: &[u8], reader: &mut Reader) -> Result<(), MetainfoError> {
        match key {
            b"length" => self.length = Some(number(reader, "length")?),
            b"attr" => {
                let attributes = string(reader, "attr")?;
                self.padding |= attributes.contains(&b'p');
                self.link |= attributes.contains(&b'l');
            }
            b"symlink path" => {
                self.link = true;
                reader.skip()?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    }

    /// The file, when its name and length obey the rules; padding too, because clients that do not
    /// know what it is write it to their disks.
    fn check(
        &self,
        number: usize,
        name: &RawName,
        utf8_key: &'static str,
    ) -> Result<File, MetainfoError> {
        let refused = |cause| {
            let file = match name.plain {
                Some(_) => format!("file {number} `{}`", name.shown()),
                None => format!("file {number}"),
            };
            MetainfoError::File { file, cause }
        };
        let components = name.components(utf8_key).map_err(refused)?;
        let path = RelPath::from_components(components).map_err(|cause| refused(cause.into()))?;
        if self.link {
            return Err(refused(Reason::Link));
        }
        let length = self.length.ok_or_else(|| refused(Reason::Missing("length")))?;
        let length = u64::try_from(length).map_err(|_| refused(Reason::NegativeLength(length)))?;
        Ok(File { path, length, padding: self.padding })
    }
}

/// No two files may be one on any system, and no file may be the folder of another. What says that
/// it is padding is left out: no client writes it to the disk, and equal lengths make equal names.
fn check_distinct(files: &[File]) -> Result<(), MetainfoError> {
    // No name contains NUL. In place of `/` it sorts before everything else, so whatever lies
    // below a name follows it directly.
    let key = |file: &File| {
        let mut key = file.path.fold_key().into_bytes();
        key.iter_mut().filter(|byte| **byte == b'/').for_each(|byte| *byte = 0);
        key
    };
    let mut keys: Vec<(Vec<u8>, usize)> = files
        .iter()
        .enumerate()
        .filter(|(_, file)| !file.padding)
        .map(|(index, file)| (key(file), index))
        .collect();
    keys.sort_unstable();
    let label = |index: usize| {
        let path = files.get(index).map_or("", |file| file.path.as_str());
        format!("file {} `{}`", index + 1, escaped(path))
    };
    for ((name, first), (next, second)) in keys.iter().zip(keys.iter().skip(1)) {
        match next.strip_prefix(name.as_slice()) {
            Some([]) => {
                let cause = Reason::Same(label(*first));
                return Err(MetainfoError::File { file: label(*second), cause });
            }
            Some([0, ..]) => {
                let cause = Reason::Folder(label(*second));
                return Err(MetainfoError::File { file: label(*first), cause });
            }
            Some(_) | None => {}
        }
    }
    Ok(())
}

/// Puts the files one behind the other; also says where the last one ends.
fn lay_out(files: Vec<File>, piece_length: u64) -> Result<(Vec<Entry>, u64), MetainfoError> {
    let mut entries = Vec::with_capacity(files.len());
    let mut offset = 0;
    for File { path, length, padding } in files {
        let end = i64::try_from(length).ok().and_then(|length| length.checked_add(offset));
        let Some(end) = end else {
            let file = format!("file {} `{}`", entries.len() + 1, escaped(path.as_str()));
            return Err(MetainfoError::File { file, cause: Reason::Sum(length) });
        };
        let padding = padding || is_padding(&path, length, end.unsigned_abs(), piece_length);
        let path = (!padding).then_some(path);
        entries.push(Entry { path, length, offset: offset.unsigned_abs() });
        offset = end;
    }
    if entries.iter().all(|entry| entry.path.is_none()) {
        return Err(MetainfoError::NoFiles);
    }
    if offset == 0 {
        return Err(MetainfoError::NoContent);
    }
    Ok((entries, offset.unsigned_abs()))
}

/// Padding that does not say so by an attribute: it fills a piece, and it has the name that BEP 47
/// recommends or the one of the client `BitComet`.
fn is_padding(path: &RelPath, length: u64, end: u64, piece_length: u64) -> bool {
    if length >= piece_length || !end.is_multiple_of(piece_length) {
        return false;
    }
    let last = path.components().last().unwrap_or_default();
    path.as_str() == format!(".pad/{length}") || last.starts_with("_____padding_file_")
}

fn expect(
    reader: &Reader,
    kind: Kind,
    key: &'static str,
    wanted: &'static str,
) -> Result<(), MetainfoError> {
    // What is no value at all is told better by the reader itself.
    match reader.kind() {
        Some(found) if found != kind => Err(MetainfoError::Type { key, wanted }),
        Some(_) | None => Ok(()),
    }
}

fn number(reader: &mut Reader, key: &'static str) -> Result<i64, MetainfoError> {
    expect(reader, Kind::Number, key, "a number")?;
    Ok(reader.number()?)
}

fn string<'a>(reader: &mut Reader<'a>, key: &'static str) -> Result<&'a [u8], MetainfoError> {
    expect(reader, Kind::String, key, "a string")?;
    Ok(reader.string()?)
}

/// A list of strings. Of a path that is too deep no more is kept than shows it.
fn components<'a>(
    reader: &mut Reader<'a>,
    key: &'static str,
) -> Result<Vec<&'a [u8]>, MetainfoError> {
    let mut components = Vec::new();
    expect(reader, Kind::List, key, "a list of strings")?;
    reader.list(|reader| {
        expect(reader, Kind::String, key, "a list of strings")?;
        let component = reader.string()?;
        if components.len() <= MAX_DEPTH {
            components.push(component);
        }
        Ok::<_, MetainfoError>(())
    })?;
    Ok(components)
}

/// A name for a message: cut when long, and with everything invisible escaped.
fn escaped(name: &str) -> String {
    let mut shown = String::new();
    for c in name.chars().take(SHOWN) {
        match c {
            '\'' | '"' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
    }
    if name.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
