//! [`RelPath`]: the only way to name a file of a pack. Every naming rule lives here.
//!
//! The rules are the same on every platform, so a pack that works on Linux works on Windows. A name
//! that breaks one is refused with the reason; it is never changed into one that fits.
//!
//! A `RelPath` says nothing about what is on disk: a link may still stand in its way.

use std::borrow::{Borrow, Cow};
use std::fmt;

use std::sync::Arc;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use unicode_normalization::UnicodeNormalization;

/// The folder of ours inside a pack's folder. No release may name anything below it.
pub const OWN_FOLDER: &str = ".modsync";

/// Longest component, in bytes of UTF-8 and in units of UTF-16 (NTFS and ext4 both stop at 255).
pub const MAX_COMPONENT: usize = 255;
/// Longest path, in bytes.
pub const MAX_PATH: usize = 1024;
/// Deepest path, in components.
pub const MAX_DEPTH: usize = 32;

/// Most paths are shorter, in bytes.
const LIKELY: usize = 100;

/// Why a name cannot be part of a pack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("it is empty")]
    Empty,
    #[error("it has an empty component")]
    EmptyComponent,
    #[error("it has a `{0}` component")]
    Dots(&'static str),
    #[error("it contains {0}, which not every system allows in a name")]
    Character(String),
    #[error("it is not valid UTF-8")]
    NotUtf8,
    #[error("a component is longer than {MAX_COMPONENT} bytes")]
    LongComponent,
    #[error("it is longer than {MAX_PATH} bytes")]
    Long,
    #[error("it is deeper than {MAX_DEPTH} levels")]
    Deep,
    #[error("`{0}` ends with a dot or a space, which Windows drops")]
    TrailingDotOrSpace(String),
    #[error("`{0}` is the name of a device on Windows")]
    Device(String),
    #[error("`{OWN_FOLDER}` is ModSync's own folder")]
    OwnFolder,
}

/// A relative path of a pack: components joined by `/`, each one legal on every platform. A plan, its steps and its
/// report name each path again, so they share the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Arc<str>);

impl RelPath {
    /// Checks a path written with `/` between its components.
    pub fn new(path: &str) -> Result<Self, PathError> {
        let mut checked = Checked::default();
        path.split('/').try_for_each(|component| checked.and(component))?;
        Ok(Self(path.into()))
    }

    /// Checks and joins the components of a path.
    pub fn from_components<'a>(
        components: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, PathError> {
        let mut checked = Checked::default();
        let mut joined = String::with_capacity(LIKELY);
        for component in components {
            checked.and(component)?;
            if !joined.is_empty() {
                joined.push('/');
            }
            joined.push_str(component);
        }
        if joined.is_empty() {
            return Err(PathError::Empty);
        }
        Ok(Self(joined.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The folders this path lies in, the innermost first. The pack's folder itself is not named.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        ancestors(&self.0)
    }

    /// What two names must share to be one file on a system that ignores case or composes accents.
    pub fn fold_key(&self) -> String {
        fold(&self.0)
    }
}

/// The first components of a path, each of which is legal.
#[derive(Default)]
struct Checked {
    depth: usize,
    /// Bytes, with what joins them.
    length: usize,
}

impl Checked {
    /// Checks one more.
    fn and(&mut self, component: &str) -> Result<(), PathError> {
        check_component(component)?;
        if self.depth == 0 && is_own_folder(component) {
            return Err(PathError::OwnFolder);
        }
        self.length += usize::from(self.depth > 0) + component.len();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(PathError::Deep);
        }
        if self.length > MAX_PATH {
            return Err(PathError::Long);
        }
        Ok(())
    }
}

/// Our folder's name, or one that NTFS may have given it as a short name.
fn is_own_folder(component: &str) -> bool {
    let name =
        if component.is_ascii() { Cow::Borrowed(component) } else { Cow::Owned(fold(component)) };
    name.eq_ignore_ascii_case(OWN_FOLDER) || is_own_short_name(&name)
}

/// `MODSYN~1`, `MO1A2B~1`.
fn is_own_short_name(name: &str) -> bool {
    let is_ours = |stem: &str| stem.get(..2).is_some_and(|it| it.eq_ignore_ascii_case("mo"));
    let is_number = |number: &str| number.bytes().all(|b| b.is_ascii_digit());
    name.len() <= 8
        && name.split_once('~').is_some_and(|(stem, number)| is_ours(stem) && is_number(number))
}

/// The folders a `/`-joined path lies in, the innermost first.
pub fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(path.rsplit_once('/'), |(parent, _)| parent.rsplit_once('/'))
        .map(|(parent, _)| parent)
}

/// The folder that a path lies in; empty for the pack's folder itself.
pub fn parent(path: &str) -> &str {
    ancestors(path).next().unwrap_or_default()
}

/// A path, and the folders it lies in.
pub fn with_ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::once(path).chain(ancestors(path))
}

/// NFC, then full case folding, then NFC again: folding can leave decomposed characters behind.
pub fn fold(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    caseless::default_case_fold_str(&composed(name)).nfc().collect()
}

/// The same name with each accent in its letter where there is such a one (NFC,
/// <https://www.unicode.org/reports/tr15/>).
pub fn composed(name: &str) -> Cow<'_, str> {
    if name.is_ascii() { Cow::Borrowed(name) } else { Cow::Owned(name.nfc().collect()) }
}

fn check_component(component: &str) -> Result<(), PathError> {
    match component {
        "" => return Err(PathError::EmptyComponent),
        "." => return Err(PathError::Dots(".")),
        ".." => return Err(PathError::Dots("..")),
        _ => {}
    }
    if component.len() > MAX_COMPONENT {
        return Err(PathError::LongComponent);
    }
    if let Some(bad) = first_refused(component) {
        return Err(PathError::Character(describe(bad)));
    }
    if component.ends_with(['.', ' ']) {
        return Err(PathError::TrailingDotOrSpace(component.to_owned()));
    }
    if is_device(component) {
        return Err(PathError::Device(component.to_owned()));
    }
    Ok(())
}

fn first_refused(component: &str) -> Option<char> {
    // Nearly all names are fine, and ASCII throughout: that is seen without decoding them.
    let is_fine = |b: u8| b.is_ascii() && !is_refused_ascii(b);
    if component.bytes().all(is_fine) {
        return None;
    }
    component.chars().find(|&c| is_refused(c))
}

fn is_refused(c: char) -> bool {
    let ascii = u8::try_from(c).ok().filter(u8::is_ascii);
    ascii.map_or_else(|| c.is_control() || is_invisible(c), is_refused_ascii)
}

fn is_refused_ascii(b: u8) -> bool {
    b.is_ascii_control()
        || matches!(b, b'/' | b'\\' | b':' | b'*' | b'?' | b'"' | b'<' | b'>' | b'|')
}

/// Characters that make a name look like another one: zero-width, joiners, direction marks, BOM.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

fn describe(c: char) -> String {
    if c.is_control() || is_invisible(c) {
        format!("the character U+{:04X}", u32::from(c))
    } else {
        format!("`{c}`")
    }
}

/// The reserved names of
/// <https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file>, with any extension.
fn is_device(component: &str) -> bool {
    const DEVICES: [&str; 7] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"];
    const PORTS: [&str; 2] = ["COM", "LPT"];
    let stem = component.split('.').next().unwrap_or(component).trim_end();
    let is_numbered_port = || {
        stem.split_at_checked(3).is_some_and(|(port, number)| {
            let mut chars = number.chars();
            PORTS.iter().any(|it| port.eq_ignore_ascii_case(it))
                && matches!((chars.next(), chars.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
        })
    };
    DEVICES.iter().any(|device| stem.eq_ignore_ascii_case(device)) || is_numbered_port()
}

impl AsRef<str> for RelPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// So that a map of paths can be asked for any text; both sort alike.
impl Borrow<str> for RelPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for RelPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Checks the text where it lies, since a record of ours may name very many paths.
impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = RelPath;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path")
            }

            fn visit_str<E: de::Error>(self, path: &str) -> Result<RelPath, E> {
                RelPath::new(path).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_and_foreign_names_are_accepted() {
        for name in [
            "a",
            "mods/a.pak",
            "Añadido/文件.txt",
            " leading",
            ".hidden",
            "console.txt",
            "com10",
            "COM",
            "comé1",
            "LPT1¹",
            "a.modsync",
            "x/.modsync",
            "x/mo~1",
            "modsyn~1a",
            "modsync~1",
        ] {
            assert_eq!(RelPath::new(name).map(|p| p.to_string()), Ok(name.to_owned()));
        }
    }

    #[test]
    fn names_that_would_leave_the_folder_or_clash_with_ours_are_refused() {
        for (name, reason) in [
            ("", PathError::EmptyComponent),
            ("/etc/passwd", PathError::EmptyComponent),
            ("a//b", PathError::EmptyComponent),
            ("../a", PathError::Dots("..")),
            ("a/./b", PathError::Dots(".")),
            (".modsync/journal", PathError::OwnFolder),
            (".MODSync", PathError::OwnFolder),
            ("MODSYN~1/journal", PathError::OwnFolder),
            ("C:/x", PathError::Character("`:`".into())),
            ("a\\b", PathError::Character("`\\`".into())),
            ("\u{feff}..", PathError::Character("the character U+FEFF".into())),
            ("photo\u{202e}gpj.exe", PathError::Character("the character U+202E".into())),
            ("name.", PathError::TrailingDotOrSpace("name.".into())),
            ("dir /x", PathError::TrailingDotOrSpace("dir ".into())),
            ("x/nul.tar.gz", PathError::Device("nul.tar.gz".into())),
            ("COM¹", PathError::Device("COM¹".into())),
            ("a/Con .b", PathError::Device("Con .b".into())),
            ("lpt0", PathError::Device("lpt0".into())),
            ("conout$.x", PathError::Device("conout$.x".into())),
            (".mod\u{17f}ync/a", PathError::OwnFolder),
            ("Mo~/a", PathError::OwnFolder),
            ("tab\t", PathError::Character("the character U+0009".into())),
            ("del\u{7f}é", PathError::Character("the character U+007F".into())),
            ("é\u{85}", PathError::Character("the character U+0085".into())),
        ] {
            assert_eq!(RelPath::new(name), Err(reason), "{name:?}");
        }
        assert_eq!(RelPath::new(&"x".repeat(256)), Err(PathError::LongComponent));
        assert_eq!(RelPath::new(&["d"; 33].join("/")), Err(PathError::Deep));
        assert_eq!(
            RelPath::new(&[&"d".repeat(200); 6].map(String::as_str).join("/")),
            Err(PathError::Long)
        );
    }

    #[test]
    fn names_that_are_one_file_somewhere_share_a_fold_key() {
        let key = |s: &str| RelPath::new(s).unwrap().fold_key();
        assert_eq!(key("Straße"), key("STRASSE"));
        assert_eq!(key("caf\u{e9}"), key("CAFE\u{301}"));
        assert_ne!(key("a"), key("b"));
    }
}
