//! [`Http`]: one client with limits: TLS always checked, and size, time and redirects bounded.
//!
//! It fetches one address and gives back the status, the headers and, for a 200, the body. It does
//! not promise that a body is what was asked for, nor that a body without an announced length is
//! whole: HTTP cannot tell, so whoever reads the bytes checks them.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Client, Proxy, Response, StatusCode, Url, redirect};

/// What an origin may cost us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Until a connection stands.
    pub connect: Duration,
    /// Between two pieces of an answer, and before the first.
    pub idle: Duration,
    /// For one address with all its redirects.
    pub total: Duration,
    /// Of one body.
    pub max_bytes: usize,
    pub redirects: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            idle: Duration::from_secs(30),
            total: Duration::from_mins(5),
            max_bytes: 16 << 20,
            redirects: 5,
        }
    }
}

/// An HTTP client. It keeps no connection open between two requests: they are minutes apart, and a
/// connection from before a sleep only looks alive.
#[derive(Debug, Clone)]
pub struct Http {
    route: Arc<Route>,
    /// For this very machine, which no proxy can reach.
    loopback: Arc<Route>,
    limits: Limits,
}

/// A way to servers. Its client is built when it is first used: reading the system's certificates takes longer than much
/// that needs no server.
#[derive(Debug)]
struct Route {
    through: Through,
    client: Mutex<Option<Ready>>,
}

#[derive(Debug)]
enum Through {
    Proxy(Box<Proxy>),
    /// The system's proxy, if there is one.
    System,
    Nothing,
}

#[derive(Debug, Clone)]
struct Ready {
    client: Client,
    /// Whether there are certificates to trust.
    has_roots: bool,
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Empty unless the status is 200.
    pub body: Vec<u8>,
}

/// Why there is no answer that we take.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("could not use the proxy `{proxy}`: {}", cause(source))]
    Proxy { proxy: String, source: reqwest::Error },
    #[error("could not set up the HTTP client: {}", cause(.0))]
    Client(#[source] reqwest::Error),
    #[error("it is not an http or https address")]
    Address,
    #[error("could not connect: {}", cause(.0))]
    Connect(#[source] reqwest::Error),
    #[error("the secure connection failed: {}", cause(.0))]
    Tls(#[source] reqwest::Error),
    #[error("this system has no list of trusted certificates")]
    NoRoots(#[source] reqwest::Error),
    #[error("the server did not answer in time")]
    Stalled(#[source] reqwest::Error),
    #[error("the answer was not complete after {}", humantime::format_duration(*.0))]
    Slow(Duration),
    #[error("the answer broke off or is not HTTP: {}", cause(.0))]
    Broken(#[source] reqwest::Error),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error(transparent)]
    Redirect(#[from] RedirectError),
}

/// Why we do not go where a server sends us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    #[error("the server redirects in a circle, back to `{0}`")]
    Loop(String),
    #[error("the server redirects more than {0} times")]
    TooMany(usize),
    #[error("the server redirects to `{0}`, which is neither http nor https")]
    Scheme(String),
    #[error("the server redirects from https to `{0}`, which is not secure")]
    Downgrade(String),
    #[error("the server redirects to something that is not an address")]
    Unreadable,
}

impl Http {
    /// A client that goes through `proxy`, or else through the system's proxy if there is one.
    pub fn new(proxy: Option<&str>, limits: Limits) -> Result<Self, HttpError> {
        let through = match proxy {
            Some(proxy) => {
                let proxy = Proxy::all(proxy).map_err(|e| unusable(proxy, e))?;
                Through::Proxy(Box::new(proxy))
            }
            None => Through::System,
        };
        let [route, loopback] = [through, Through::Nothing].map(Route::new).map(Arc::new);
        Ok(Self { route, loopback, limits })
    }

    /// Fetches `url`, following redirects as far as the limits and [`RedirectError`] allow.
    pub async fn get(&self, url: &str, headers: &HeaderMap) -> Result<Answer, HttpError> {
        let url = Url::parse(url).map_err(|_| HttpError::Address)?;
        if !is_web(&url) {
            return Err(HttpError::Address);
        }
        tokio::time::timeout(self.limits.total, self.follow(url, headers))
            .await
            .unwrap_or(Err(HttpError::Slow(self.limits.total)))
    }

    async fn follow(&self, first: Url, headers: &HeaderMap) -> Result<Answer, HttpError> {
        let mut visited = Vec::new();
        let mut url = first;
        loop {
            let route = self.route(&url);
            let client = route.ready(&self.limits)?;
            let answer = client.send(&url, headers).await;
            if matches!(answer, Err(HttpError::Connect(_))) {
                route.forget();
            }
            let response = answer?;
            visited.push(url);
            match location(&response) {
                Some(location) => url = next_hop(&visited, &location, self.limits.redirects)?,
                None => return client.read(response, self.limits.max_bytes).await,
            }
        }
    }

    fn route(&self, url: &Url) -> &Route {
        if is_loopback(url) { &self.loopback } else { &self.route }
    }
}

impl Route {
    fn new(through: Through) -> Self {
        Self { through, client: Mutex::default() }
    }

    /// Its client. Without certificates it serves for once: the next one may find some.
    fn ready(&self, limits: &Limits) -> Result<Ready, HttpError> {
        if let Some(ready) = &*self.client() {
            return Ok(ready.clone());
        }
        let built = self.build(limits)?;
        if built.has_roots {
            *self.client() = Some(built.clone());
        }
        Ok(built)
    }

    /// Has the client built anew, which asks for the system's proxy: this machine may be in another network by now.
    fn forget(&self) {
        *self.client() = None;
    }

    fn client(&self) -> MutexGuard<'_, Option<Ready>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A system without certificates to trust gets a client that trusts nobody, so that plain http still works.
    fn build(&self, limits: &Limits) -> Result<Ready, HttpError> {
        let builder = || {
            let builder = Client::builder()
                .user_agent(concat!("modsync/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(limits.connect)
                .read_timeout(limits.idle)
                .redirect(redirect::Policy::none())
                .referer(false)
                .pool_max_idle_per_host(0);
            match &self.through {
                Through::Proxy(proxy) => builder.proxy(Proxy::clone(proxy)),
                Through::System => builder,
                Through::Nothing => builder.no_proxy(),
            }
        };
        if let Ok(client) = builder().build() {
            return Ok(Ready { client, has_roots: true });
        }
        let client = builder().tls_certs_only([]).build().map_err(HttpError::Client)?;
        Ok(Ready { client, has_roots: false })
    }
}

impl Ready {
    async fn send(&self, url: &Url, headers: &HeaderMap) -> Result<Response, HttpError> {
        let request = self.client.get(url.clone()).headers(headers.clone());
        request.send().await.map_err(|error| self.classify(error))
    }

    async fn read(&self, mut response: Response, limit: usize) -> Result<Answer, HttpError> {
        let mut body = Vec::new();
        if response.status() == StatusCode::OK {
            let announced = response.content_length().unwrap_or(0);
            if usize::try_from(announced).map_or(true, |announced| announced > limit) {
                return Err(HttpError::TooLarge(limit));
            }
            while let Some(chunk) = response.chunk().await.map_err(|e| self.classify(e))? {
                if chunk.len() > limit - body.len() {
                    return Err(HttpError::TooLarge(limit));
                }
                body.extend_from_slice(&chunk);
            }
        }
        Ok(Answer {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body,
        })
    }

    fn classify(&self, error: reqwest::Error) -> HttpError {
        let error = error.without_url();
        let reading = error.is_body() || error.is_decode();
        match error {
            e if e.is_timeout() => HttpError::Stalled(e),
            e if reading => HttpError::Broken(e),
            e if is_tls(&e) && self.has_roots => HttpError::Tls(e),
            e if is_tls(&e) => HttpError::NoRoots(e),
            e if e.is_connect() => HttpError::Connect(e),
            e => HttpError::Broken(e),
        }
    }
}

/// An address as it may be shown: without the user, the password and the query, which can be secrets.
pub fn shown(url: &str) -> String {
    Url::parse(url).map_or_else(|_| "an unreadable address".to_owned(), |url| bare(&url))
}

fn bare(url: &Url) -> String {
    let mut url = url.clone();
    // Both refuse only addresses that cannot have a user.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

fn unusable(proxy: &str, source: reqwest::Error) -> HttpError {
    HttpError::Proxy { proxy: shown(proxy), source: source.without_url() }
}

fn location(response: &Response) -> Option<String> {
    let moved = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION).filter(|_| moved)?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

/// Where a redirect leads from the last of `visited`, or why we do not go there.
fn next_hop(visited: &[Url], location: &str, limit: usize) -> Result<Url, RedirectError> {
    let here = visited.last().ok_or(RedirectError::Unreadable)?;
    let next = here.join(location).map_err(|_| RedirectError::Unreadable)?;
    if !is_web(&next) {
        Err(RedirectError::Scheme(bare(&next)))
    } else if here.scheme() == "https" && next.scheme() == "http" {
        Err(RedirectError::Downgrade(bare(&next)))
    } else if visited.contains(&next) {
        Err(RedirectError::Loop(bare(&next)))
    } else if visited.len() > limit {
        Err(RedirectError::TooMany(limit))
    } else {
        Ok(next)
    }
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// The TLS library reports through I/O errors of this kind, and nothing else does before a body.
fn is_tls(error: &reqwest::Error) -> bool {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::InvalidData)
}

/// The innermost cause, which is the one a person can do something about.
fn cause(error: &reqwest::Error) -> impl fmt::Display {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error.downcast_ref::<io::Error>() {
            // An I/O error's `source` passes over the error it wraps.
            Some(error) => error.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn hop(visited: &[&str], location: &str) -> Result<String, RedirectError> {
        let visited: Vec<_> = visited.iter().map(|url| Url::parse(url).unwrap()).collect();
        next_hop(&visited, location, 2).map(String::from)
    }

    #[test]
    fn redirects_lead_to_web_addresses_only_and_never_from_https_to_http() {
        for (from, to, next) in [
            ("http://a/x/y", "z", "http://a/x/z"),
            ("http://a/x", "https://b/y", "https://b/y"),
            ("https://a/x", "//b/y", "https://b/y"),
        ] {
            assert_eq!(hop(&[from], to), Ok(next.to_owned()));
        }
        for (from, to, reason) in [
            ("https://a/x", "http://a/x", RedirectError::Downgrade("http://a/x".into())),
            (
                "http://a/x",
                "file:///etc/passwd",
                RedirectError::Scheme("file:///etc/passwd".into()),
            ),
            ("http://a/x", "javascript:1", RedirectError::Scheme("javascript:1".into())),
            ("http://a/x", "http://", RedirectError::Unreadable),
        ] {
            assert_eq!(hop(&[from], to), Err(reason));
        }
    }

    #[test]
    fn redirects_end() {
        assert_eq!(hop(&["http://a/1"], "/1"), Err(RedirectError::Loop("http://a/1".into())));
        assert_eq!(hop(&["http://a/1", "http://a/2"], "/1?"), Ok("http://a/1?".into()),);
        assert_eq!(
            hop(&["http://a/1", "http://a/2", "http://a/3"], "/4"),
            Err(RedirectError::TooMany(2))
        );
    }

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        assert_eq!(shown("https://me:pw@host/a/p.torrent?key=1#x"), "https://host/a/p.torrent");
        assert_eq!(shown("nonsense?key=1"), "an unreadable address");
    }

    #[test]
    fn this_machine_is_known_by_its_names() {
        for (url, expected) in [
            ("http://127.0.0.1:1/", true),
            ("http://localhost/", true),
            ("http://[::1]/", true),
            ("http://10.0.0.1/", false),
            ("http://localhost.example/", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }
}
