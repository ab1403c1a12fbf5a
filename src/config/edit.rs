//! Adding and removing a pack in the user's own file: every comment and blank line of theirs stays.
//!
//! The new text is checked before it is written, and the file is replaced in one instant.

use std::fs;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml_edit::{Document, DocumentMut, Item, Table, TableLike, TomlError};

use super::{Config, ConfigError, EXAMPLE, Mistake, name, parse, read};
use crate::model::pack::PackConfig;

/// A pack to add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPack {
    pub url: String,
    /// A relative one is meant from the current folder.
    pub folder: PathBuf,
    /// Derived from the address when absent.
    pub name: Option<String>,
}

/// Adds a pack, making the file when it is missing.
pub fn add_pack(file: &Path, own_state: &Path, new: &NewPack) -> Result<PackConfig, ConfigError> {
    let text = read(file)?;
    let before = parse(&text, file, own_state)?;
    let check = |text: &str| parse(text, file, own_state).map_err(|error| not_added(file, error));

    let name = match &new.name {
        Some(name) => name.clone(),
        // The name that it would get is written down, so that it stays when other packs go.
        None => last(check(&with_pack(file, &text, new, None)?)?, file)?.name,
    };
    if let Some(other) = before.pack(&name) {
        let cause = format!("there is a pack called `{}`", other.name);
        return Err(refused(file, cause, "Choose another name."));
    }
    let text = with_pack(file, &text, new, Some(&name))?;
    let added = last(check(&text)?, file)?;
    write(file, &text)?;
    Ok(added)
}

/// Says of all packs whether they apply updates without asking.
pub fn set_auto_apply(file: &Path, own_state: &Path, on: bool) -> Result<(), ConfigError> {
    let text = read(file)?;
    parse(&text, file, own_state)?;
    let mut document = document(&text).map_err(|mistake| mistake.in_file(file, &text))?;
    let packs = packs_key(&document);
    let (key, wish) = ("auto_apply", toml_edit::value(on));
    match document.get_mut(packs) {
        Some(Item::ArrayOfTables(packs)) => {
            packs.iter_mut().for_each(|pack| set(pack, key, &wish));
        }
        Some(packs) => {
            let inline = packs.as_array_mut().into_iter().flat_map(|packs| packs.iter_mut());
            inline
                .filter_map(|pack| pack.as_inline_table_mut())
                .for_each(|pack| set(pack, key, &wish));
        }
        None => {}
    }
    let ending = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let text = document.to_string().replace("\r\n", "\n").replace('\n', ending);
    parse(&text, file, own_state)?;
    write(file, &text)
}

/// Sets a key and leaves the comments beside it.
fn set(pack: &mut dyn TableLike, key: &str, wish: &Item) {
    let decor = pack.get(key).and_then(Item::as_value).map(|value| value.decor().clone());
    let mut wish = wish.clone();
    if let (Some(decor), Some(value)) = (decor, wish.as_value_mut()) {
        *value.decor_mut() = decor;
    }
    match pack.get_mut(key) {
        Some(item) => *item = wish,
        None => {
            pack.insert(key, wish);
        }
    }
}

/// Makes the file when it is missing: every key, commented out.
pub fn ensure(file: &Path) -> Result<(), ConfigError> {
    if file.exists() {
        return Ok(());
    }
    let commented = |line: &str| match line {
        "" => "\n".to_owned(),
        line if line.starts_with('#') => format!("{line}\n"),
        line => format!("# {line}\n"),
    };
    write(file, &EXAMPLE.lines().map(commented).collect::<String>())
}

/// Removes the pack from the settings. Its folder stays as it is.
pub fn remove_pack(file: &Path, own_state: &Path, name: &str) -> Result<(), ConfigError> {
    let text = read(file)?;
    let config = parse(&text, file, own_state)?;
    let found = config.packs.iter().position(|pack| name::key(&pack.name) == name::key(name));
    let index = found
        .ok_or_else(|| ConfigError::NoSuchPack { file: file.to_owned(), name: name.to_owned() })?;
    let text = without_pack(&text, index).map_err(|mistake| mistake.in_file(file, &text))?;
    parse(&text, file, own_state)?;
    write(file, &text)
}

fn last(mut config: Config, file: &Path) -> Result<PackConfig, ConfigError> {
    config.packs.pop().ok_or_else(|| refused(file, "the file takes no pack", "Look at the file."))
}

fn not_added(file: &Path, error: ConfigError) -> ConfigError {
    match error {
        // The line is one of a text that nobody will see.
        ConfigError::Wrong { cause, hint, .. } => refused(file, cause, &hint),
        ConfigError::Io { .. } | ConfigError::NotAdded { .. } | ConfigError::NoSuchPack { .. } => {
            error
        }
    }
}

fn refused(file: &Path, cause: impl Into<String>, hint: &str) -> ConfigError {
    ConfigError::NotAdded { file: file.to_owned(), cause: cause.into(), hint: hint.to_owned() }
}

/// The text with the pack at its end.
fn with_pack(
    file: &Path,
    text: &str,
    new: &NewPack,
    name: Option<&str>,
) -> Result<String, ConfigError> {
    let mut table = Table::new();
    if let Some(name) = name {
        table.insert("name", toml_edit::value(name));
    }
    table.insert("url", toml_edit::value(&new.url));
    table.insert("folder", toml_edit::value(folder_text(file, &new.folder)?));

    let mut document = document(text).map_err(|mistake| mistake.in_file(file, text))?;
    let key = packs_key(&document);
    if let Some(list) = document.get_mut(key).and_then(Item::as_array_mut) {
        list.push(table.into_inline_table());
        return Ok(document.to_string());
    }
    // Appending keeps every byte of what is there, even after a last comment.
    let gap = match text {
        "" => "",
        text if text.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    let added = format!("{gap}[[{key}]]\n{table}");
    let ending = if text.contains("\r\n") { "\r\n" } else { "\n" };
    Ok(text.to_owned() + &added.replace('\n', ending))
}

fn folder_text(file: &Path, folder: &Path) -> Result<String, ConfigError> {
    let folder = if folder.starts_with("~") {
        folder.to_owned()
    } else {
        std::path::absolute(folder)
            .map_err(|e| refused(file, format!("`{}`: {e}", folder.display()), "Name a folder."))?
    };
    let text = folder.to_str().ok_or_else(|| {
        let cause = format!("`{}` is not Unicode", folder.display());
        refused(file, cause, "Choose a folder whose name is ordinary text.")
    })?;
    Ok(text.to_owned())
}

/// The text without one pack and the comment right above it.
fn without_pack(text: &str, index: usize) -> Result<String, Mistake> {
    let mut document = document(text)?;
    let key = packs_key(&document);
    if let Some(list) = document.get_mut(key).and_then(Item::as_array_mut) {
        list.remove(index);
        return Ok(document.to_string());
    }
    let Some(span) = span_of_pack(text, key, index)? else {
        return Ok(text.to_owned());
    };
    let start = comment_above(text, line_start(text, span.start));
    let end = line_end(text, span.end);
    let blank = text[end..].find(|c| c != '\r' && c != '\n').unwrap_or(text.len() - end);
    Ok(format!("{}{}", &text[..start], &text[end + blank..]))
}

/// From a pack's `[[pack]]` to the end of its last value.
fn span_of_pack(text: &str, key: &str, index: usize) -> Result<Option<Range<usize>>, Mistake> {
    let document = Document::parse(text).map_err(|error| broken(&error))?;
    let packs = document.get(key).and_then(Item::as_array_of_tables);
    let Some(pack) = packs.and_then(|packs| packs.get(index)) else {
        return Ok(None);
    };
    let values = pack.iter().filter_map(|(_, value)| value.span());
    Ok(pack.span().map(|header| {
        let end = values.map(|value| value.end).max().unwrap_or(header.end);
        header.start..end
    }))
}

fn document(text: &str) -> Result<DocumentMut, Mistake> {
    text.parse().map_err(|error| broken(&error))
}

fn broken(error: &TomlError) -> Mistake {
    let span = error.span().unwrap_or(0..0);
    Mistake::new(span, error.message(), "Put the line right.")
}

fn packs_key(document: &DocumentMut) -> &'static str {
    if document.contains_key("packs") { "packs" } else { "pack" }
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1)
}

/// The start of the block of comment lines that ends at `start`.
fn comment_above(text: &str, start: usize) -> usize {
    let above = line_start(text, start.saturating_sub(1));
    if start > 0 && text[above..start].trim_start().starts_with('#') {
        comment_above(text, above)
    } else {
        start
    }
}

/// Replaces the file, or the file that a link of this name leads to, in one instant.
fn write(file: &Path, text: &str) -> Result<(), ConfigError> {
    let target = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let folder = target.parent().unwrap_or(Path::new("."));
    replace(&target, folder, text).map_err(|source| ConfigError::Io {
        verb: "write",
        file: file.to_owned(),
        source,
    })
}

fn replace(target: &Path, folder: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    // The cause alone: the name of a file that is never there for long helps nobody.
    let cause = |error: io::Error| io::Error::from(error.kind());
    let mut new = tempfile::NamedTempFile::new_in(folder).map_err(cause)?;
    new.write_all(text.as_bytes())?;
    if let Ok(old) = fs::metadata(target) {
        new.as_file().set_permissions(old.permissions())?;
    }
    new.as_file().sync_all()?;
    new.persist(target).map_err(|error| error.error)?;
    if cfg!(unix) {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}
