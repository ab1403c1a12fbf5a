//! The conditional GET of a `.torrent`: unchanged, or bytes.
//!
//! Bytes are only bytes here. Whether they are a torrent is for the metainfo parser to say, and whether
//! they are a new release is for their digest: a validator that lies costs at most a later full GET.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, LAST_MODIFIED, RETRY_AFTER,
};
use serde::{Deserialize, Serialize};

use super::http::{Http, HttpError, shown};
use crate::model::fault::{Fault, FaultKind};

/// A longer validator is of no use to anybody.
const MAX_VALIDATOR: usize = 1024;
/// However long a server asks us to stay away.
const LONGEST_WAIT: Duration = Duration::from_hours(6);

/// What a server gave us to ask "is it still the same?" with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Validators {
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

/// What an origin answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// As it was when the validators were given.
    Unchanged,
    Bytes {
        bytes: Vec<u8>,
        validators: Validators,
    },
}

/// Why an origin gave us nothing. The words leave the address to [`RemoteError::fault`].
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("the server answered {}", words(*status))]
    Status { status: StatusCode, retry_after: Option<Duration> },
    #[error("the server answered {} although we have nothing yet", words(StatusCode::NOT_MODIFIED))]
    UnchangedFromNothing,
}

/// Asks for the bytes at `url`, unless they are still those of `validators`.
pub async fn fetch(
    http: &Http,
    url: &str,
    validators: Option<&Validators>,
) -> Result<Fetched, RemoteError> {
    let conditions = validators.map(Validators::conditions).unwrap_or_default();
    let conditional = !conditions.is_empty();
    let mut headers = conditions;
    headers.insert(ACCEPT, HeaderValue::from_static("application/x-bittorrent, */*;q=0.8"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));

    let answer = http.get(url, &headers).await?;
    match answer.status {
        StatusCode::OK => {
            Ok(Fetched::Bytes { bytes: answer.body, validators: Validators::of(&answer.headers) })
        }
        StatusCode::NOT_MODIFIED if conditional => Ok(Fetched::Unchanged),
        StatusCode::NOT_MODIFIED => Err(RemoteError::UnchangedFromNothing),
        status => Err(RemoteError::Status {
            status,
            retry_after: retry_after(status, &answer.headers, SystemTime::now()),
        }),
    }
}

impl Validators {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name| {
            let value: &HeaderValue = headers.get(name)?;
            let text = value.to_str().ok()?;
            // `*` asks whether there is anything at all, and there always is.
            let is_of_use = !matches!(text, "" | "*") && text.len() <= MAX_VALIDATOR;
            is_of_use.then(|| text.to_owned())
        };
        Self { etag: text(ETAG), last_modified: text(LAST_MODIFIED) }
    }

    /// The request's conditions. They come from a file, so what is not a header's value is left out.
    fn conditions(&self) -> HeaderMap {
        let condition = |name: HeaderName, text: &Option<String>| {
            let text = text.as_ref().filter(|text| text.len() <= MAX_VALIDATOR)?;
            Some((name, HeaderValue::from_str(text).ok()?))
        };
        [condition(IF_NONE_MATCH, &self.etag), condition(IF_MODIFIED_SINCE, &self.last_modified)]
            .into_iter()
            .flatten()
            .collect()
    }
}

impl RemoteError {
    /// When the server asks us to come back, at most six hours from now.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Http(_) | Self::UnchangedFromNothing => None,
        }
    }

    /// The same for a person, about `url`.
    pub fn fault(&self, url: &str) -> Fault {
        let (kind, hint) = match self {
            Self::Http(error) => judge(error),
            Self::Status { status, .. } => judge_status(*status),
            Self::UnchangedFromNothing => (FaultKind::OriginRefused, TELL_PUBLISHER),
        };
        let what = format!("could not fetch `{}`: {self}", shown(url));
        let retry_after = self.retry_after().map(|after| after.as_secs());
        Fault { retry_after, ..Fault::new(kind, what, hint) }
    }
}

const WAIT: &str = "What is installed stays as it is; tell the admin if it lasts.";
const CONNECTION: &str = "Check the internet connection and the pack's address.";
const CHECK_ADDRESS: &str = "Check the pack's address with whoever publishes the pack.";
const TELL_PUBLISHER: &str = "Tell whoever publishes the pack that their server answers wrongly.";
const CHECK_CLOCK: &str = "Check the pack's address and this computer's date and time; \
    if both are right, tell whoever publishes the pack about the certificate.";
const INSTALL_ROOTS: &str = "Install your system's certificates (on Debian and Ubuntu the \
    package `ca-certificates`) and start ModSync again.";
const CHECK_PROXY: &str = "Check `proxy` under `[network]` in the settings.";

fn judge(error: &HttpError) -> (FaultKind, &'static str) {
    match error {
        HttpError::Connect(_) => (FaultKind::Offline, CONNECTION),
        HttpError::Stalled(_) | HttpError::Slow(_) | HttpError::Broken(_) => {
            (FaultKind::OriginUnreachable, WAIT)
        }
        HttpError::Tls(_) => (FaultKind::OriginRefused, CHECK_CLOCK),
        HttpError::NoRoots(_) => (FaultKind::OriginRefused, INSTALL_ROOTS),
        HttpError::Proxy { .. } | HttpError::Client(_) => (FaultKind::OriginRefused, CHECK_PROXY),
        HttpError::Address | HttpError::TooLarge(_) => (FaultKind::OriginRefused, CHECK_ADDRESS),
        HttpError::Redirect(_) => (FaultKind::OriginRefused, TELL_PUBLISHER),
    }
}

fn judge_status(status: StatusCode) -> (FaultKind, &'static str) {
    match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            (FaultKind::OriginUnreachable, WAIT)
        }
        status if status.is_server_error() => (FaultKind::OriginUnreachable, WAIT),
        status if status.is_client_error() => (FaultKind::OriginRefused, CHECK_ADDRESS),
        _ => (FaultKind::OriginRefused, TELL_PUBLISHER),
    }
}

fn words(status: StatusCode) -> String {
    let words = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
    words.trim_end().to_owned()
}

fn retry_after(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let asked = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status);
    let text = headers.get(RETRY_AFTER).filter(|_| asked)?.to_str().ok()?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let wait = if is_number {
        // Digits that do not fit are a long time.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let when = httpdate::parse_http_date(text).ok()?;
        when.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_at_most_six_hours() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, seconds) in [
            ("0", Some(0)),
            (" 90 ", Some(90)),
            ("99999999999999999999999999", Some(6 * 60 * 60)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("Sat, 06 Nov 2094 08:00:00 GMT", Some(6 * 60 * 60)),
            ("-5", None),
            ("soon", None),
            ("", None),
        ] {
            let headers = [(RETRY_AFTER, HeaderValue::from_static(text))].into_iter().collect();
            let wait = |status| retry_after(status, &headers, now).map(|wait| wait.as_secs());
            assert_eq!(wait(StatusCode::SERVICE_UNAVAILABLE), seconds, "{text:?}");
            assert_eq!(wait(StatusCode::NOT_FOUND), None, "{text:?}");
        }
    }

    #[test]
    fn validators_that_are_no_header_values_or_too_long_are_left_out() {
        let conditions = |etag: &str, last_modified: &str| {
            let validators =
                Validators { etag: Some(etag.into()), last_modified: Some(last_modified.into()) };
            validators.conditions().len()
        };
        assert_eq!(conditions("\"a\"", "yesterday"), 2);
        assert_eq!(conditions("a\r\nHost: evil", "yesterday"), 1);
        assert_eq!(conditions(&"x".repeat(1025), "\0"), 0);
    }
}
