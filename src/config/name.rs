//! What a pack is called, given or derived.

use std::collections::BTreeSet;
use std::path::Path;

use percent_encoding::percent_decode_str;
use toml::Spanned;
use url::Url;

use super::Mistake;

const MOST_CHARS: usize = 64;

/// Two names with one key are one name.
pub(super) fn key(name: &str) -> String {
    name.to_lowercase()
}

/// Whether a name that was given can be used.
pub(super) fn check(given: &Spanned<String>) -> Result<(), Mistake> {
    let name = given.get_ref();
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.chars().count() > MOST_CHARS {
        "it is longer than 64 characters"
    } else if name.contains(char::is_control) {
        "it has a control character"
    } else if name.trim() != name {
        "it begins or ends with a space"
    } else if name.starts_with('-') {
        "it begins with `-`, which commands take for an option"
    } else {
        return Ok(());
    };
    let hint = "Write a short name such as \"survival\", or leave the key out.";
    Err(Mistake::new(given.span(), format!("`name`: {reason}"), hint))
}

/// The name of a pack that was given none, unlike all in `taken`, which it joins.
pub(super) fn derive(url: &Url, folder: &Path, taken: &mut BTreeSet<String>) -> String {
    let base = base(url, folder);
    let mut name = base.clone();
    let mut number = 1;
    while !taken.insert(key(&name)) {
        number += 1;
        let suffix = format!("-{number}");
        let room = MOST_CHARS - suffix.len();
        name = base.chars().take(room).collect::<String>() + &suffix;
    }
    name
}

fn base(url: &Url, folder: &Path) -> String {
    let segment = url.path_segments().and_then(|mut segments| segments.next_back());
    let file = percent_decode_str(segment.unwrap_or_default()).decode_utf8_lossy();
    let folder = folder.file_name().unwrap_or_default().to_string_lossy();
    [stem(&file), &folder, url.host_str().unwrap_or_default()]
        .map(safe)
        .into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| "pack".to_owned())
}

fn stem(file: &str) -> &str {
    const ENDING: &str = ".torrent";
    match file.len().checked_sub(ENDING.len()).and_then(|at| file.split_at_checked(at)) {
        Some((stem, ending)) if ending.eq_ignore_ascii_case(ENDING) => stem,
        _ => file,
    }
}

/// Only what can be typed and printed anywhere.
fn safe(text: &str) -> String {
    let is_safe = |c: char| c.is_alphanumeric() || " ._+()".contains(c);
    let text: String = text.chars().map(|c| if is_safe(c) { c } else { '-' }).collect();
    let is_rim = |c: char| " .-_".contains(c);
    let text: String = text.trim_matches(is_rim).chars().take(MOST_CHARS).collect();
    text.trim_end_matches(is_rim).to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_from_the_address_then_the_folder_then_the_host() {
        for (url, folder, name) in [
            ("https://h/packs/Survival.torrent", "/f", "Survival"),
            ("https://h/My%20Pack%20%2B1.TORRENT?v=2", "/f", "My Pack +1"),
            ("https://h/a%2F..%2F%E2%80%AEb.torrent", "/f", "a-..--b"),
            ("https://h/%D0%BC%D0%B8%D1%80.torrent", "/f", "мир"),
            ("https://h/.torrent", "/games/The Pack", "The Pack"),
            ("https://h/", "/games/___", "h"),
            ("https://[::1]/", "/", "1"),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(base(&url, Path::new(folder)), name, "{url}");
        }
    }

    #[test]
    fn a_derived_name_gives_way_and_stays_short() {
        let url = |name: &str| Url::parse(&format!("https://h/{name}.torrent")).unwrap();
        let mut taken = BTreeSet::new();
        let mut derive = |name: &str| super::derive(&url(name), Path::new("/f"), &mut taken);
        assert_eq!(derive("pack"), "pack");
        assert_eq!(derive("PACK"), "PACK-2");
        assert_eq!(derive("pack"), "pack-3");
        let long = "x".repeat(99);
        assert_eq!(derive(&long), "x".repeat(64));
        assert_eq!(derive(&long), "x".repeat(62) + "-2");
    }
}
