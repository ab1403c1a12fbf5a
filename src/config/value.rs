//! One key's text or number → its value, or a mistake that names the key.

use std::fmt::Display;
use std::net::Ipv6Addr;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;
use humantime::format_duration;
use toml::{Spanned, Value};
use url::Url;

use super::{Mistake, Trackers};
use crate::model::pack::Globs;

/// Peers send blocks of this size: a lower limit never lets one pass.
const LEAST_RATE: u64 = 16 << 10;
const MOST_RATE: u64 = u32::MAX as u64;

fn wrong<T>(key: &str, at: &Spanned<T>, cause: impl Display, hint: &str) -> Mistake {
    Mistake::new(at.span(), format!("`{key}`: {cause}"), hint)
}

/// A whole number in a range that fits `N`.
pub(super) fn number<N: TryFrom<i64>>(
    key: &str,
    given: Option<&Spanned<i64>>,
    range: RangeInclusive<i64>,
) -> Result<Option<N>, Mistake> {
    let Some(given) = given else { return Ok(None) };
    let value = *given.get_ref();
    match N::try_from(value) {
        Ok(fitting) if range.contains(&value) => Ok(Some(fitting)),
        _ => {
            let cause = format!("{value} is not from {} to {}", range.start(), range.end());
            let hint = "Write a number in that range, or leave the key out.";
            Err(wrong(key, given, cause, hint))
        }
    }
}

/// A text such as `10m`.
pub(super) fn duration(
    key: &str,
    given: Option<&Spanned<String>>,
    range: RangeInclusive<Duration>,
) -> Result<Option<Duration>, Mistake> {
    let Some(given) = given else { return Ok(None) };
    let text = given.get_ref();
    let value = humantime::parse_duration(text).map_err(|e| {
        let hint = "Write a number and a unit, such as \"90s\", \"10m\", \"2h\" or \"30d\".";
        wrong(key, given, format!("`{text}` is not a time: {e}"), hint)
    })?;
    let excess = if value < *range.start() {
        format!("less than {}", format_duration(*range.start()))
    } else if value > *range.end() {
        format!("more than {} days", range.end().as_secs() / (24 * 60 * 60))
    } else {
        return Ok(Some(value));
    };
    Err(wrong(key, given, format!("`{text}` is {excess}"), "Write a time within the limit."))
}

/// A number of bytes or a text such as `20 GiB`.
pub(super) fn size(key: &str, given: Option<&Spanned<Value>>) -> Result<Option<u64>, Mistake> {
    let Some(given) = given else { return Ok(None) };
    let size = bytes(given).ok_or_else(|| {
        let hint = "Write a size such as \"500 MB\" or \"20 GiB\", or a number of bytes.";
        wrong(key, given, format!("{} is not a size", given.get_ref()), hint)
    })?;
    Ok(Some(size))
}

/// Bytes per second, as a number or a text such as `2 MiB/s`.
pub(super) fn rate(key: &str, given: Option<&Spanned<Value>>) -> Result<Option<u64>, Mistake> {
    let Some(given) = given else { return Ok(None) };
    let (reason, hint) = match bytes(given) {
        None => ("is not a speed", "Write a speed such as \"500 KB/s\" or \"2 MiB/s\"."),
        Some(..LEAST_RATE) => (
            "is less than 16 KiB/s, and BitTorrent cannot go so slowly",
            "Write at least \"16 KiB/s\", or leave the key out for no limit.",
        ),
        Some(rate @ LEAST_RATE..=MOST_RATE) => return Ok(Some(rate)),
        Some(_) => ("is more than 4 GiB/s", "Leave the key out for no limit."),
    };
    Err(wrong(key, given, format!("{} {reason}", given.get_ref()), hint))
}

fn bytes(given: &Spanned<Value>) -> Option<u64> {
    if let Some(number) = given.get_ref().as_integer() {
        return number.try_into().ok();
    }
    let text = given.get_ref().as_str()?.trim();
    let text = text.strip_suffix("/s").unwrap_or(text).trim_end();
    text.parse::<ByteSize>().ok().map(|size| size.as_u64())
}

pub(super) fn globs(key: &str, given: &[Spanned<String>]) -> Result<Globs, Mistake> {
    for pattern in given {
        let text = pattern.get_ref();
        let cause = match Globs::new(vec![text.clone()]) {
            _ if text.trim_matches('/').is_empty() => "an empty pattern".to_owned(),
            _ if text.contains('\\') => format!("`{text}` has a backslash"),
            Ok(_) => continue,
            Err(e) => format!("`{text}` is not a pattern: {}", e.kind()),
        };
        let hint = "Write patterns such as \"saves/\", \"*.log\" or \"config/*.ini\", \
                    with `/` between folders.";
        return Err(wrong(key, pattern, cause, hint));
    }
    let patterns = given.iter().map(|pattern| pattern.get_ref().clone()).collect();
    let place = given.first().map_or(0..0, Spanned::span);
    Globs::new(patterns).map_err(|e| {
        Mistake::new(place, format!("`{key}`: {e}"), "Write fewer or simpler patterns.")
    })
}

/// An address that the `.torrent` can be fetched from.
pub(super) fn url(given: &Spanned<String>) -> Result<Url, Mistake> {
    let hint = "Write the full address of the .torrent file, \
                such as \"https://example.org/pack.torrent\".";
    web_address("url", given, &["http", "https"], hint)
}

pub(super) fn proxy(given: &Spanned<String>) -> Result<String, Mistake> {
    let hint =
        "Write an address such as \"socks5://127.0.0.1:1080\" or \"http://proxy.example:3128\".";
    let url = web_address("proxy", given, &["http", "https", "socks5"], hint)?;
    if url.scheme() == "socks5" && url.port().is_none() {
        return Err(wrong("proxy", given, "the address names no port", hint));
    }
    Ok(given.get_ref().clone())
}

/// Never shows the text: an address can hold a password.
fn web_address(
    key: &str,
    given: &Spanned<String>,
    schemes: &[&str],
    hint: &str,
) -> Result<Url, Mistake> {
    let text = given.get_ref();
    let is_plain = !text.contains(|c: char| c.is_control() || c.is_whitespace());
    let Some(url) = Url::parse(text).ok().filter(|_| is_plain) else {
        return Err(wrong(key, given, "this is not an address", hint));
    };
    if !schemes.contains(&url.scheme()) {
        let cause = format!(
            "an address that begins with `{}:` is not among {}",
            url.scheme(),
            schemes.join(", ")
        );
        return Err(wrong(key, given, cause, hint));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(wrong(key, given, "the address names no host", hint));
    }
    Ok(url)
}

pub(super) fn peers(given: &[Spanned<String>]) -> Result<Vec<String>, Mistake> {
    if let Some(peer) = given.iter().find(|peer| !is_peer(peer.get_ref())) {
        let hint = "Write a name or an IP address and a port from 1 to 65535, \
                    such as \"seed.example.org:6881\" or \"[2001:db8::1]:6881\".";
        let cause = format!("`{}` is not `host:port`", peer.get_ref());
        return Err(wrong("peers", peer, cause, hint));
    }
    Ok(given.iter().map(|peer| peer.get_ref().clone()).collect())
}

fn is_peer(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let is_port = digits && port.parse().is_ok_and(|port: u16| port > 0);
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => v6.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(|c| c.is_alphanumeric() || "-._".contains(c)),
    };
    is_port && is_host
}

/// `true`, `false`, or addresses to be asked besides those of the torrent.
pub(super) fn trackers(given: &Spanned<Value>) -> Result<Trackers, Mistake> {
    let hint = "Write true, false or a list of addresses, \
                such as [\"udp://tracker.example.org:6969/announce\"].";
    if let Some(of_torrent) = given.get_ref().as_bool() {
        return Ok(Trackers { of_torrent, extra: Vec::new() });
    }
    let Some(list) = given.get_ref().as_array() else {
        return Err(wrong("trackers", given, "it is neither true, false nor a list", hint));
    };
    let mut trackers = Trackers::default();
    for entry in list {
        let text = entry
            .as_str()
            .ok_or_else(|| wrong("trackers", given, format!("{entry} is not a text"), hint))?;
        let text = Spanned::new(given.span(), text.to_owned());
        web_address("trackers", &text, &["http", "https", "udp"], hint)?;
        trackers.extra.push(text.into_inner());
    }
    Ok(trackers)
}
