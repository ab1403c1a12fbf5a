//! Torrents for tests: ordinary ones, and every kind that must be refused.
//!
//! They are made byte by byte and without the crate under test, so that both cannot share a
//! mistake.

use sha1::{Digest, Sha1};

pub const KIB: i64 = 1024;
const PIECE: i64 = 16 * KIB;

/// A bencoded value. Dictionaries are written in the order given, so they can be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ben {
    Int(i64),
    Bytes(Vec<u8>),
    List(Vec<Ben>),
    Dict(Vec<(Vec<u8>, Ben)>),
    /// Written as it is, well-formed or not.
    Raw(Vec<u8>),
}

impl Ben {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Int(number) => out.extend(format!("i{number}e").as_bytes()),
            Self::Bytes(bytes) => write_bytes(bytes, out),
            Self::List(items) => {
                out.push(b'l');
                items.iter().for_each(|item| item.write(out));
                out.push(b'e');
            }
            Self::Dict(pairs) => {
                out.push(b'd');
                for (key, value) in pairs {
                    write_bytes(key, out);
                    value.write(out);
                }
                out.push(b'e');
            }
            Self::Raw(bytes) => out.extend(bytes),
        }
    }
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend(format!("{}:", bytes.len()).as_bytes());
    out.extend(bytes);
}

impl From<i64> for Ben {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<&str> for Ben {
    fn from(text: &str) -> Self {
        Self::Bytes(text.into())
    }
}

impl From<&[u8]> for Ben {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<Vec<u8>> for Ben {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<Ben>> for Ben {
    fn from(items: Vec<Ben>) -> Self {
        Self::List(items)
    }
}

/// A list of values of one type, such as the components of a path.
pub fn list<T: Into<Ben>>(items: impl IntoIterator<Item = T>) -> Ben {
    Ben::List(items.into_iter().map(Into::into).collect())
}

/// A dictionary in the order of its keys.
pub fn dict<const N: usize>(pairs: [(&str, Ben); N]) -> Ben {
    let mut pairs = pairs.map(|(key, value)| (key.into(), value)).to_vec();
    pairs.sort_by(|(a, _): &(Vec<u8>, Ben), (b, _)| a.cmp(b));
    Ben::Dict(pairs)
}

/// A torrent in the making; its methods bend it.
#[derive(Debug, Clone)]
pub struct Torrent {
    top: Vec<(Vec<u8>, Ben)>,
    info: Vec<(Vec<u8>, Ben)>,
}

/// One entry of a file list.
pub fn file(path: &str, length: i64) -> Ben {
    file_at(list(path.split('/')), length)
}

/// One entry of a file list, with its path as a value of its own.
pub fn file_at(path: Ben, length: i64) -> Ben {
    dict([("length", length.into()), ("path", path)])
}

/// One entry of a file list with one more key.
pub fn file_with(path: &str, length: i64, key: &str, value: impl Into<Ben>) -> Ben {
    dict([("length", length.into()), ("path", list(path.split('/'))), (key, value.into())])
}

/// A torrent of many files with the right number of pieces, each with a hash of zeros.
pub fn torrent(piece_length: i64, files: Vec<Ben>) -> Torrent {
    let total = files.iter().map(length_of).fold(0, i64::wrapping_add);
    Torrent::empty(piece_length, total).with("files", files)
}

/// A torrent of one file with the right number of pieces, each with a hash of zeros.
pub fn single(name: &str, length: i64, piece_length: i64) -> Torrent {
    Torrent::empty(piece_length, length).with("name", name).with("length", length)
}

/// A torrent of real contents with real hashes.
pub fn torrent_of(title: &str, piece_length: usize, files: &[(&str, &[u8])]) -> Torrent {
    let stream: Vec<u8> = files.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
    let hashes =
        stream.chunks(piece_length).flat_map(|piece| <[u8; 20]>::from(Sha1::digest(piece)));
    let entries = files.iter().map(|(path, bytes)| file(path, number(bytes.len()))).collect();
    let pieces: Vec<u8> = hashes.collect();
    torrent(number(piece_length), entries).with("name", title).with("pieces", pieces)
}

fn number(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn length_of(file: &Ben) -> i64 {
    let Ben::Dict(pairs) = file else { return 0 };
    match pairs.iter().find(|(key, _)| key == b"length") {
        Some((_, Ben::Int(length))) => *length,
        _ => 0,
    }
}

fn zero_hashes(count: i64) -> Vec<u8> {
    vec![0; usize::try_from(count).unwrap_or(0) * 20]
}

impl Torrent {
    fn empty(piece_length: i64, total: i64) -> Self {
        let count =
            if total <= 0 || piece_length <= 0 { 0 } else { (total - 1) / piece_length + 1 };
        let count = if count > 1 << 16 { 1 } else { count };
        Self { top: vec![(b"announce".to_vec(), "udp://tracker.invalid:1".into())], info: vec![] }
            .with("name", "pack")
            .with("piece length", piece_length)
            .with("pieces", zero_hashes(count))
    }

    /// Sets a key of the info dictionary and keeps the keys sorted.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Ben>) -> Self {
        set(&mut self.info, key, value.into());
        self
    }

    #[must_use]
    pub fn without(mut self, key: &str) -> Self {
        self.info.retain(|(name, _)| name != key.as_bytes());
        self
    }

    /// Sets a key beside the info dictionary and keeps the keys sorted.
    #[must_use]
    pub fn with_top(mut self, key: &str, value: impl Into<Ben>) -> Self {
        set(&mut self.top, key, value.into());
        self
    }

    /// Appends a key to the info dictionary, wherever it belongs and even if it is there.
    #[must_use]
    pub fn append(mut self, key: &str, value: impl Into<Ben>) -> Self {
        self.info.push((key.into(), value.into()));
        self
    }

    pub fn info(&self) -> Ben {
        Ben::Dict(self.info.clone())
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut top = self.top.clone();
        if !top.iter().any(|(key, _)| key == b"info") {
            set(&mut top, "info", self.info());
        }
        Ben::Dict(top).encode()
    }
}

fn set(pairs: &mut Vec<(Vec<u8>, Ben)>, key: &str, value: Ben) {
    pairs.retain(|(name, _)| name != key.as_bytes());
    let place = pairs.partition_point(|(name, _)| name.as_slice() < key.as_bytes());
    pairs.insert(place, (key.into(), value));
}

/// A torrent that must be refused.
#[derive(Debug)]
pub struct Hostile {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    /// A part of the reason; it names the file or the number.
    pub says: &'static str,
}

/// At least one for every rule.
pub fn hostile() -> Vec<Hostile> {
    let mut all = Vec::new();
    let mut add = |name, bytes: Vec<u8>, says| all.push(Hostile { name, bytes, says });
    not_a_torrent(&mut add);
    bad_bencode(&mut add);
    bad_shape(&mut add);
    bad_pieces(&mut add);
    bad_lengths(&mut add);
    bad_titles(&mut add);
    bad_paths(&mut add);
    bad_company(&mut add);
    bad_extensions(&mut add);
    all
}

type Add<'a> = &'a mut dyn FnMut(&'static str, Vec<u8>, &'static str);

fn good() -> Torrent {
    torrent(PIECE, vec![file("a.txt", 5), file("mods/b.pak", 40_000)])
}

#[rustfmt::skip] // a table, one case a line
fn not_a_torrent(add: Add) {
    add("an empty body", vec![], "not a torrent: it is empty");
    let page = b"<!DOCTYPE html><html><body>404</body></html>";
    add("a web page", page.to_vec(), "web page (HTML)");
    add("a web page after blanks", b"\r\n  <html></html>".to_vec(), "web page (HTML)");
    add("a web page after a BOM", b"\xef\xbb\xbf<html>".to_vec(), "web page (HTML)");
    add("JSON", br#"{"error":"not found"}"#.to_vec(), "does not begin like one");
    add("blanks alone", b" \n ".to_vec(), "does not begin like one");
    add("a torrent in gzip", b"\x1f\x8b\x08\0\0\0\0\0".to_vec(), "does not begin like one");
    add("a list", b"l4:infoe".to_vec(), "does not begin like one");
    add("a blank in front", [b" ", good().encode().as_slice()].concat(), "does not begin like one");
    let large = good().with_top("comment", vec![b'x'; 16 << 20]).encode();
    add("more than 16 MiB", large, "16777216 bytes that a torrent may have");
}

#[rustfmt::skip] // a table, one case a line
fn bad_bencode(add: Add) {
    let bytes = good().encode();
    let raw = |value: &str| good().with("x", Ben::Raw(value.into())).encode();
    let top = |value: &[u8]| good().with_top("zzz", Ben::Raw(value.to_vec())).encode();

    add("one byte after the end", [&bytes[..], b"\n"].concat(), "1 bytes after its end");
    add("two torrents in one", [&bytes[..], &bytes].concat(), "bytes after its end");
    add("the last byte cut", bytes[..bytes.len() - 1].to_vec(), "in the middle of a value");
    add("cut in the info", bytes[..100].to_vec(), "not a valid torrent");
    add("nothing but its beginning", b"d".to_vec(), "ends at byte 1");
    add("a leading zero", raw("i007e"), "number at byte");
    add("a leading zero in a negative", raw("i-07e"), "number at byte");
    add("a negative zero", raw("i-0e"), "number at byte");
    add("an empty number", raw("ie"), "number at byte");
    add("a lonely minus", raw("i-e"), "number at byte");
    add("a plus sign", raw("i+1e"), "number at byte");
    add("a fraction", raw("i1.5e"), "number at byte");
    add("a blank in a number", raw("i 1e"), "number at byte");
    add("a number past 64 bits", raw("i9223372036854775808e"), "does not fit into 64 bits");
    add("a number past minus 64 bits", raw("i-9223372036854775809e"), "does not fit into 64 bits");
    let digits = ["i", &"9".repeat(1 << 20), "e"].concat();
    add("a number of a million digits", raw(&digits), "does not fit into 64 bits");
    add("a string with a zero in front", raw("01:x"), "number at byte");
    add("a string of negative length", raw("-1:x"), "does not begin a value");
    add("a string past the end", raw("999999999:x"), "claims 999999999 bytes");
    add("a string of 2^63", raw("9223372036854775808:x"), "claims 9223372036854775808 bytes");
    add("a string of 2^64 - 1", raw("18446744073709551615:x"), "claims 18446744073709551615 bytes");
    add("a string of 2^64", raw("18446744073709551616:x"), "does not fit into 64 bits");
    add("a string without a colon", raw("1x"), "number at byte");
    add("an unknown type", raw("x"), "does not begin a value");
    add("a lonely end", top(b"li1eee"), "bytes after its end");
    add("a key that is a number", raw("di1e1:xe"), "does not begin a string");
    add("a key without a value", raw("d1:ae"), "does not begin a value");
    add("a key twice", good().append("length", 1).append("length", 2).encode(), "stands twice");
    add("a key twice, apart", raw("d1:b0:1:a0:1:b0:e"), "stands twice");
    add("a key twice in a list", raw("ld1:a0:1:a0:ee"), "stands twice");
    let twice = [&bytes[..bytes.len() - 1], b"4:info", &good().info().encode(), b"e"].concat();
    add("two infos", twice, "stands twice");
    let nested = |levels| [b"l".repeat(levels), b"e".repeat(levels)].concat();
    add("nested 65 deep", top(&nested(64)), "deeper than 64 levels");
    add("nested a million deep", top(&nested(1 << 20)), "deeper than 64 levels");
    add("lists without end", top(&b"l".repeat(1 << 20)), "deeper than 64 levels");
    add("dictionaries without end", top(&b"d1:a".repeat(1 << 18)), "deeper than 64 levels");
}

#[rustfmt::skip] // a table, one case a line
fn bad_shape(add: Add) {
    add("no info", b"d8:announce3:urle".to_vec(), "has no `info`");
    add("an empty dictionary", b"de".to_vec(), "has no `info`");
    add("info is a list", good().with_top("info", list(["x"])).encode(), "`info` is not a dictionary");
    add("info is a string", good().with_top("info", "x").encode(), "`info` is not a dictionary");
    add("an empty info", b"d4:infodee".to_vec(), "neither `length` nor `files`");
    add("neither length nor files", good().without("files").encode(), "neither `length` nor `files`");
    add("both length and files", good().with("length", 40_005).encode(), "both `length` and `files`");
    add("an empty file list", torrent(PIECE, vec![]).encode(), "has no files");
    add("files is a dictionary", good().with("files", dict([])).encode(), "`files` is not a list");
    let odd = torrent(PIECE, vec![file("a", 5), "b".into()]).encode();
    add("a file that is a string", odd, "file 2: `files` is not a list of dictionaries");
    let odd = torrent(PIECE, vec![file("a", 5), dict([("length", 5.into())])]).encode();
    add("a file without a path", odd, "file 2: it has no `path`");
    let odd = torrent(PIECE, vec![dict([("length", 5.into()), ("path.utf-8", list(["a"]))])]);
    add("a file with path.utf-8 alone", odd.encode(), "file 1: it has no `path`");
    add("only padding", only_padding().encode(), "has no files");
    let version2 = good().without("files").without("pieces").with("meta version", 2);
    let version2 = version2.with("file tree", file_tree("a.txt", 5));
    add("version 2 alone", version2.encode(), "version 2 torrent (BEP 52)");
}

fn only_padding() -> Torrent {
    torrent(PIECE, vec![file_with(".pad/100", 100, "attr", "p")])
}

fn file_tree(path: &str, length: i64) -> Ben {
    let root = vec![7_u8; 32];
    let leaf = dict([("", dict([("length", length.into()), ("pieces root", root.into())]))]);
    path.rsplit('/').fold(leaf, |below, name| dict([(name, below)]))
}

#[rustfmt::skip] // a table, one case a line
fn bad_pieces(add: Add) {
    let pieces = |bytes: usize| good().with("pieces", vec![0; bytes]).encode();
    let piece_length = |length: i64| good().with("piece length", length).encode();

    add("no pieces", good().without("pieces").encode(), "has no `pieces`");
    add("pieces is a list", good().with("pieces", list(["x"])).encode(), "`pieces` is not a string");
    add("pieces of 61 bytes", pieces(61), "`pieces` is 61 bytes long");
    add("pieces of 19 bytes", pieces(19), "`pieces` is 19 bytes long");
    add("too few pieces", pieces(40), "2 piece hashes do not fit 40005 bytes");
    add("too many pieces", pieces(80), "4 piece hashes do not fit 40005 bytes");
    add("pieces for nothing", pieces(0), "0 piece hashes do not fit 40005 bytes");
    add("no piece length", good().without("piece length").encode(), "has no `piece length`");
    let text = good().with("piece length", "16384").encode();
    add("piece length is a string", text, "`piece length` is not a number");
    add("piece length 0", piece_length(0), "piece length 0 is not between 16384 and 67108864");
    add("piece length 1", piece_length(1), "piece length 1 is not");
    add("piece length -16384", piece_length(-PIECE), "piece length -16384 is not");
    add("piece length 16383", piece_length(PIECE - 1), "piece length 16383 is not");
    add("piece length 64 MiB + 1", piece_length((64 << 20) + 1), "piece length 67108865 is not");
    add("piece length 2^32", piece_length(1 << 32), "piece length 4294967296 is not");
    add("piece length 2^63 - 1", piece_length(i64::MAX), "piece length 9223372036854775807 is not");
}

#[rustfmt::skip] // a table, one case a line
fn bad_lengths(add: Add) {
    let two = |length| torrent(PIECE, vec![file("a", 5), file("b", length)]).encode();
    let path_only = dict([("path", list(["b"]))]);
    let text = dict([("length", "5".into()), ("path", list(["b"]))]);

    add("no length", torrent(PIECE, vec![file("a", 5), path_only]).encode(), "file 2 `b`: it has no `length`");
    add("length is a string", torrent(PIECE, vec![text]).encode(), "file 1: `length` is not a number");
    add("a length of -1", two(-1), "file 2 `b`: its length -1 is negative");
    add("a length of -2^63", two(i64::MIN), "its length -9223372036854775808 is negative");
    add("a single length of -1", single("a", -1, PIECE).encode(), "file 1 `a`: its length -1");
    add("lengths past 2^63", two(i64::MAX), "file 2 `b`: with its length 9223372036854775807");
    let wrapping = vec![file("a", i64::MAX), file("b", i64::MAX), file("c", 2 + 5)];
    add("lengths that wrap to 5", torrent(PIECE, wrapping).encode(), "file 2 `b`: with its length");
    let huge = single("a", i64::MAX, PIECE).encode();
    add("a file of 2^63 - 1", huge, "1 piece hashes do not fit 9223372036854775807 bytes");
    let empty = torrent(PIECE, vec![file("a", 0), file("b", 0)]);
    add("empty files alone", empty.encode(), "0 bytes long together");
    add("pieces of empty files", empty.with("pieces", zero_hashes(1)).encode(), "0 bytes long together");
}

#[rustfmt::skip] // a table, one case a line
fn bad_titles(add: Add) {
    let title = |title: &str| good().with("name", title).encode();

    add("no title", good().without("name").encode(), "has no `name`");
    add("no name of a single file", single("a", 5, PIECE).without("name").encode(), "has no `name`");
    add("the title is a number", good().with("name", 5).encode(), "`name` is not a string");
    add("a title not in UTF-8", good().with("name", b"caf\xe9".as_slice()).encode(), "not valid UTF-8");
    add("an empty title", title(""), "title `` cannot be used: it is empty");
    add("a title of two lines", title("pack\nOK"), "title `pack\\nOK` cannot be used");
    add("a title with NUL", title("pack\0"), "the character U+0000");
    add("a title with an escape code", title("\u{1b}[2J"), "the character U+001B");
    add("a title that turns around", title("pack \u{202e}gpj"), "the character U+202E");
    add("a title of a megabyte", title(&"x".repeat(1 << 20)), "longer than 255 bytes");
    let two = good().with("name.utf-8", "other").encode();
    add("two titles", two, "it has another name in `name.utf-8`");
    add("a single file above", single("../a", 5, PIECE).encode(), "file 1 `../a`: it contains `/`");
    add("a single file named ..", single("..", 5, PIECE).encode(), "file 1 `..`: it has a `..`");
    add("a single file named NUL", single("nul", 5, PIECE).encode(), "file 1 `nul`: `nul` is the name");
    add("a single .modsync", single(".modsync", 5, PIECE).encode(), "ModSync's own folder");
    let two = single("a", 5, PIECE).with("name.utf-8", "b").encode();
    add("two names of a single file", two, "file 1 `b`: it has another name in `name.utf-8`");
}

#[rustfmt::skip] // a table, one case a line
fn bad_paths(add: Add) {
    let at = |path: Ben| torrent(PIECE, vec![file("a", 5), file_at(path, 40_000)]).encode();
    let path = |path: &str| at(list(path.split('/')));

    add("path is a string", at("b".into()), "file 2: `path` is not a list of strings");
    add("a component is a number", at(list([5])), "file 2: `path` is not a list of strings");
    add("a component is a list", at(list([list(["b"])])), "file 2: `path` is not a list of strings");
    add("an empty path", at(list::<&str>([])), "file 2 ``: it is empty");
    add("one empty component", path(""), "file 2 ``: it has an empty component");
    add("an absolute path", path("/etc/passwd"), "file 2 `/etc/passwd`: it has an empty component");
    add("an empty component within", path("x//y"), "file 2 `x//y`: it has an empty component");
    add("a component .", path("./b"), "file 2 `./b`: it has a `.` component");
    add("a component ..", path("../b"), "file 2 `../b`: it has a `..` component");
    add("a component .. within", path("x/../../b"), "file 2 `x/../../b`: it has a `..`");
    add("a component .. last", path("x/.."), "file 2 `x/..`: it has a `..` component");
    add("a BOM before ..", path("\u{feff}../b"), "the character U+FEFF");
    add("a slash in a component", at(list(["../b"])), "it contains `/`");
    add("a backslash", path("..\\b"), "file 2 `..\\\\b`: it contains `\\`");
    add("a drive", path("C:/b"), "file 2 `C:/b`: it contains `:`");
    add("a stream", path("b.txt:hidden"), "it contains `:`");
    add("a star", path("b*"), "it contains `*`");
    add("a question mark", path("b?"), "it contains `?`");
    add("a quotation mark", path("b\""), "it contains `\"`");
    add("a less-than sign", path("<b"), "it contains `<`");
    add("a greater-than sign", path("b>"), "it contains `>`");
    add("a pipe", path("b|c"), "it contains `|`");
    add("a NUL", path("b.txt\0.exe"), "file 2 `b.txt\\0.exe`: it contains the character U+0000");
    add("a newline", path("b\nc"), "file 2 `b\\nc`: it contains the character U+000A");
    add("an escape code", path("b\u{1b}[2J"), "the character U+001B");
    add("a delete", path("b\u{7f}"), "the character U+007F");
    add("a C1 control", path("b\u{9b}"), "the character U+009B");
    add("a zero-width space", path("b\u{200b}"), "file 2 `b\\u{200b}`: it contains the character U+200B");
    add("a zero-width joiner", path("b\u{200d}c"), "the character U+200D");
    add("a word joiner", path("b\u{2060}"), "the character U+2060");
    add("a right-to-left override", path("b\u{202e}gpj.exe"), "the character U+202E");
    add("a direction isolate", path("b\u{2066}c"), "the character U+2066");
    add("a line separator", path("b\u{2028}c"), "the character U+2028");
    add("a BOM within", path("b\u{feff}c"), "the character U+FEFF");
    let bytes = |bytes: &[u8]| at(list([bytes]));
    add("Latin-1", bytes(b"caf\xe9"), "file 2 `caf\u{fffd}`: it is not valid UTF-8");
    add("a surrogate", bytes(b"\xed\xa0\x80"), "it is not valid UTF-8");
    add("an overlong ..", bytes(b"\xc0\xae\xc0\xae"), "it is not valid UTF-8");
    add("a device", path("mods/nul"), "file 2 `mods/nul`: `nul` is the name of a device");
    add("a device with an extension", path("mods/nul.txt"), "file 2 `mods/nul.txt`: `nul.txt` is the name");
    add("a device with two", path("CON.tar.gz"), "`CON.tar.gz` is the name of a device");
    add("a device as a folder", path("aux/b"), "`aux` is the name of a device");
    add("a serial port", path("Com1.log"), "`Com1.log` is the name of a device");
    add("a printer", path("lpt9"), "`lpt9` is the name of a device");
    add("a printer of superscript", path("LPT²"), "`LPT²` is the name of a device");
    add("a device before blanks", path("prn .txt"), "`prn .txt` is the name of a device");
    add("the console", path("CONOUT$"), "`CONOUT$` is the name of a device");
    add("a dot at the end", path("b."), "`b.` ends with a dot or a space");
    add("three dots", path("..."), "`...` ends with a dot or a space");
    add("a space at the end", path("b "), "`b ` ends with a dot or a space");
    add("a folder with a dot at the end", path("x./b"), "`x.` ends with a dot or a space");
    add("our folder", path(".modsync/journal"), "file 2 `.modsync/journal`: `.modsync` is ModSync's own");
    add("our folder in capitals", path(".MODSYNC/lock"), "ModSync's own folder");
    add("our folder in odd letters", path(".mod\u{17f}ync/lock"), "ModSync's own folder");
    add("our folder as a file", path(".ModSync"), "ModSync's own folder");
    add("a component of 256 bytes", path(&"x".repeat(256)), "file 2 `xxxxxxxx");
    add("a component of 256 bytes in 128 letters", path(&"é".repeat(128)), "longer than 255 bytes");
    add("a component of a megabyte", path(&"x".repeat(1 << 20)), "longer than 255 bytes");
    add("a path of 1025 bytes", path(&long_path(1025)), "longer than 1024 bytes");
    add("33 levels", path(&["d"; 33].join("/")), "deeper than 32 levels");
    add("a million levels", at(list(vec!["d"; 1 << 20])), "deeper than 32 levels");
}

/// A path of components that are as long as they may be.
fn long_path(bytes: usize) -> String {
    let mut path = format!("{}/", "x".repeat(200)).repeat(8);
    path.truncate(bytes);
    path
}

#[rustfmt::skip] // a table, one case a line
fn bad_company(add: Add) {
    let two = |a, b| torrent(PIECE, vec![file("0", 5), file(a, 5), file(b, 5)]).encode();

    add("a name twice", two("x/b", "x/b"), "file 3 `x/b`: it is the same name as file 2 `x/b`");
    add("a name in two cases", two("Mods/B", "mods/b"), "file 3 `mods/b`: it is the same name as file 2");
    add("a name composed and not", two("caf\u{e9}", "cafe\u{301}"), "file 3 `cafe\\u{301}`: it is the same");
    add("ß and SS", two("stra\u{df}e", "STRASSE"), "it is the same name as file 2");
    add("the Kelvin sign", two("\u{212a}", "k"), "it is the same name as file 2");
    add("a final sigma", two("ΣΑΣ", "σας"), "it is the same name as file 2");
    add("a file that is a folder", two("x", "x/b"), "file 2 `x`: it is also the folder of file 3 `x/b`");
    add("a folder that is a file", two("x/b", "x"), "file 3 `x`: it is also the folder of file 2 `x/b`");
    add("a file that is a folder of a folder", two("x/y", "x/y/z/b"), "file 2 `x/y`: it is also the folder");
    add("a file that is a folder in capitals", two("Mods", "mods/b"), "file 2 `Mods`: it is also the folder");
    let between = ["x", "x b", "x!", "x.b", "X/b"].map(|path| file(path, 5)).to_vec();
    add("a file apart from its folder", torrent(PIECE, between).encode(), "file 1 `x`: it is also");
    let mut many: Vec<Ben> = (0..20_000).map(|i| file(&format!("d/{i}"), 5)).collect();
    many.push(file("D/777", 5));
    add("a name twice among 20,000", torrent(PIECE, many).encode(), "file 20001 `D/777`: it is the same");
}

#[rustfmt::skip] // a table, one case a line
fn bad_extensions(add: Add) {
    let with = |key, value: Ben| torrent(PIECE, vec![file("a", 5), file_with("b", 5, key, value)]).encode();

    add("a link by attribute", with("attr", "l".into()), "file 2 `b`: it is a symbolic link");
    add("a link among attributes", with("attr", "xhl".into()), "file 2 `b`: it is a symbolic link");
    add("a link by target", with("symlink path", list(["..", "x"])), "file 2 `b`: it is a symbolic link");
    let bare = dict([("attr", "l".into()), ("path", list(["b"])), ("symlink path", list(["a"]))]);
    add("a link without length", torrent(PIECE, vec![file("a", 5), bare]).encode(), "a symbolic link");
    add("a single link", single("a", 5, PIECE).with("attr", "l").encode(), "file 1 `a`: it is a symbolic");
    add("attr is a number", with("attr", 5.into()), "file 2: `attr` is not a string");
    add("padding with a wicked path", wicked_padding().encode(), "file 2 `../100`: it has a `..` component");
    add("a single file of padding", single("a", 5, PIECE).with("attr", "p").encode(), "has no files");
    let unsaid = vec![file("a", PIECE - 5), file(".pad/5", 5), file("b", PIECE - 5), file(".pad/5", 5)];
    add("equal padding that does not say so", torrent(PIECE, unsaid).encode(), "file 4 `.pad/5`: it is the same");
    add("two paths", with("path.utf-8", list(["c"])), "file 2 `c`: it has another name in `path.utf-8`");
    add("a path.utf-8 that leaves", utf8_path("../c"), "file 1 `../c`: it has a `..` component");
    add("a path.utf-8 not in UTF-8", with("path.utf-8", list([b"\xff".as_slice()])), "not valid UTF-8");
    add("path.utf-8 is a string", with("path.utf-8", "b".into()), "file 2: `path.utf-8` is not a list");
    let hybrid = torrent(PIECE, vec![file("../a", 5)]).with("meta version", 2);
    add("a hybrid that leaves", hybrid.with("file tree", file_tree("a", 5)).encode(), "file 1 `../a`");
}

fn wicked_padding() -> Torrent {
    torrent(PIECE, vec![file("a", 5), file_with("../100", 100, "attr", "p")])
}

/// A torrent of one file whose plain path is not readable.
fn utf8_path(path: &str) -> Vec<u8> {
    torrent(PIECE, vec![named_twice(b"\xe9", path, 5)]).encode()
}

fn named_twice(plain: &[u8], utf8: &str, length: i64) -> Ben {
    dict([
        ("length", length.into()),
        ("path", list([plain])),
        ("path.utf-8", list(utf8.split('/'))),
    ])
}

/// A torrent that must be read, and what must be found in it.
#[derive(Debug)]
pub struct Acceptable {
    pub name: &'static str,
    pub torrent: Torrent,
    pub title: &'static str,
    /// Path and length of every file that lies on the disk.
    pub files: Vec<(String, u64)>,
    /// Entries, padding included.
    pub entries: usize,
    /// Bytes, padding included.
    pub total: u64,
}

/// What real clients write.
#[rustfmt::skip] // a table
pub fn acceptable() -> Vec<Acceptable> {
    let mut all = Vec::new();
    let mut add = |name, title, torrent: Torrent, entries, files: &[(&str, u64)]| {
        let files: Vec<_> = files.iter().map(|&(path, length)| (path.to_owned(), length)).collect();
        let total = stream_length(&torrent);
        all.push(Acceptable { name, torrent, title, files, entries, total });
    };
    let plain: [(&str, u64); 2] = [("a.txt", 5), ("mods/b.pak", 40_000)];

    add("many files", "pack", good(), 2, &plain);
    let unsorted = good().without("files").append("files", vec![file("a.txt", 5), file("mods/b.pak", 40_000)]);
    add("unsorted keys", "pack", unsorted, 2, &plain);
    add("one file", "b.pak", single("b.pak", 40_000, PIECE), 1, &[("b.pak", 40_000)]);
    add("one file of one byte", "b", single("b", 1, 64 << 20), 1, &[("b", 1)]);
    add("one file of one whole piece", "b", single("b", PIECE, PIECE), 1, &[("b", 16_384)]);
    let large = single("b", 52 << 30, 64 << 20);
    add("one file of 52 GiB", "b", large, 1, &[("b", 52 << 30)]);
    let one_in_list = torrent(PIECE, vec![file("b.pak", 5)]);
    add("a list of one file", "pack", one_in_list, 1, &[("b.pak", 5)]);
    let real = torrent_of("real", 16 << 10, &[("a", b"old"), ("b/c", &[7; 4_000])]);
    add("real contents", "real", real, 2, &[("a", 3), ("b/c", 4_000)]);
    for (name, piece_length) in [("pieces of 48 KiB", 48 * KIB), ("pieces of 20,000 bytes", 20_000)] {
        add(name, "pack", torrent(piece_length, vec![file("a", 100_000)]), 1, &[("a", 100_000)]);
    }
    let empty = vec![file("0", 0), file("x/a", 5), file("x/0", 0), file("z", 0)];
    add("empty files", "pack", torrent(PIECE, empty), 4, &[("0", 0), ("x/a", 5), ("x/0", 0), ("z", 0)]);
    let foreign = ["Añadido/文件.txt", "Ελλάς/ΣΑΣ", " mods/it's (1) & [2] ~$%#@!.pak", "עברית", "🎮/x"];
    let torrent_of_foreign = torrent(PIECE, foreign.iter().map(|path| file(path, 5)).collect());
    add("names of the world", "pack", torrent_of_foreign, 5, &foreign.map(|path| (path, 5)));
    add("a title of the world", "文件 «pack»: 1/2?", good().with("name", "文件 «pack»: 1/2?"), 2, &plain);
    let edge = ["x".repeat(255), ["d"; 32].join("/"), long_path(1024)];
    let edge = edge.each_ref().map(String::as_str);
    let at_the_edge = torrent(PIECE, edge.iter().map(|path| file(path, 5)).collect());
    add("names as long as may be", "pack", at_the_edge, 3, &edge.map(|path| (path, 5)));
    let near = ["x", "x.b", "xb/x", "nully", "com10", ".modsyncs/a", "sub/.modsync/a", "..x", ".pad"];
    let near_misses = torrent(PIECE, near.iter().map(|path| file(path, 5)).collect());
    add("names that nearly break a rule", "pack", near_misses, 9, &near.map(|path| (path, 5)));
    let folders = torrent(PIECE, vec![file("Mods/a", 5), file("mods/b", 5)]);
    add("a folder in two cases", "pack", folders, 2, &[("Mods/a", 5), ("mods/b", 5)]);

    let extras = good()
        .with("private", 1)
        .with("source", "site")
        .with("x-unknown", list([dict([("k", list([1, -1]))])]))
        .with_top("announce-list", list([list(["udp://a.invalid:1"]), list(["http://b.invalid/"])]))
        .with_top("comment", b"caf\xe9".as_slice())
        .with_top("created by", "client 1.0")
        .with_top("creation date", 1_700_000_000)
        .with_top("encoding", "UTF-8")
        .with_top("nodes", list([list([Ben::from("127.0.0.1"), Ben::from(6881)])]))
        .with_top("url-list", list(["http://seed.invalid/"]));
    add("all kinds of other keys", "pack", extras, 2, &plain);
    let sums = torrent(
        PIECE,
        vec![
            file_with("a", 5, "md5sum", "0123456789abcdef0123456789abcdef"),
            file_with("b", 5, "sha1", vec![7; 20]),
            file_with("c", 5, "attr", "xh"),
            file_with("d", 5, "mtime", 1_700_000_000),
        ],
    );
    add("other keys of files", "pack", sums, 4, &[("a", 5), ("b", 5), ("c", 5), ("d", 5)]);
    let utf8 = torrent(PIECE, vec![named_twice(b"caf\xe9", "caf\u{e9}", 5), named_twice(b"b", "b", 5)]);
    let utf8 = utf8.with("name", b"\xe9t\xe9".as_slice()).with("name.utf-8", "été");
    add("names in an old encoding", "été", utf8, 2, &[("café", 5), ("b", 5)]);

    let padded = |attribute: bool, names: [&str; 2]| {
        let pad = |name, length| {
            if attribute { file_with(name, length, "attr", "p") } else { file(name, length) }
        };
        let [first, second] = names;
        let third = PIECE - 5;
        torrent(PIECE, vec![file("a", 5), pad(first, third), file("b", 5), pad(second, third), file("c", 5)])
    };
    let rest: [(&str, u64); 3] = [("a", 5), ("b", 5), ("c", 5)];
    let mut pad = |name, torrent| add(name, "pack", torrent, 5, &rest);
    pad("padding", padded(true, [".pad/16379", ".pad/16379"]));
    pad("padding of any name", padded(true, ["a", "x/y"]));
    let bitcomet = ["_____padding_file_0_please update____", "_____padding_file_1_请升级____"];
    pad("padding of BitComet", padded(false, bitcomet));
    let hybrid_tree = Ben::Dict(
        ["a", "b", "c"]
            .map(|name| {
                (name.into(), dict([("", dict([("length", 5.into()), ("pieces root", vec![7; 32].into())]))]))
            })
            .to_vec(),
    );
    let hybrid = padded(true, [".pad/16379", ".pad/16379"]);
    let layers = Ben::Dict(vec![(vec![7; 32], vec![9; 64].into())]);
    pad(
        "a hybrid",
        hybrid.with("meta version", 2).with("file tree", hybrid_tree).with_top("piece layers", layers),
    );
    let single_hybrid = single("a", 5, PIECE).with("meta version", 2).with("file tree", file_tree("a", 5));
    add("a hybrid of one file", "a", single_hybrid, 1, &[("a", 5)]);
    let unsaid = torrent(PIECE, vec![file("a", 5), file(".pad/16379", PIECE - 5), file("b", 5)]);
    add("padding by its name", "pack", unsaid, 3, &[("a", 5), ("b", 5)]);
    let unlike = torrent(PIECE, vec![file(".pad/100", 100), file(".pad/200", 100)]);
    add("what only looks like padding", "pack", unlike, 2, &[(".pad/100", 100), (".pad/200", 100)]);
    all
}

fn stream_length(torrent: &Torrent) -> u64 {
    let value = |key: &str| torrent.info.iter().find(|(name, _)| name == key.as_bytes());
    let lengths: i64 = match (value("files"), value("length")) {
        (Some((_, Ben::List(files))), _) => files.iter().map(length_of).sum(),
        (_, Some((_, Ben::Int(length)))) => *length,
        _ => 0,
    };
    lengths.unsigned_abs()
}

/// A torrent as large as packs get.
pub fn many_files(count: usize) -> Torrent {
    let name = |i| format!("folder {}/sub-{}/file {i}.pak", i % 97, i % 1009);
    torrent(256 * KIB, (0..count).map(|i| file(&name(i), 1000)).collect())
}
