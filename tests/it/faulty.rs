//! [`Faulty`]: an HTTP server on loopback that answers each path exactly as badly as it is told to.
//!
//! It runs on threads of its own, so it serves tests with and without a runtime, and the built
//! binary. It writes down every request that it understood.

#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How a path is answered.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// As a good server would: 200, or 304 when the request knows this `ETag`. Two packs with one
    /// `ETag` make a server that lies.
    Pack { bytes: Vec<u8>, etag: String },
    /// A whole answer with a status line such as `404 Not Found`.
    Status { line: &'static str, headers: Vec<(&'static str, String)>, body: Vec<u8> },
    /// These bytes and the end of the connection.
    Raw(Vec<u8>),
    /// These bytes and then nothing until the client goes.
    Stall(Vec<u8>),
    /// These bytes and then one byte again and again, slowly.
    Drip(Vec<u8>, Duration),
    /// These bytes and then the others again and again, as fast as it goes.
    Flood(Vec<u8>, Vec<u8>),
    /// These bytes and then a reset instead of an end.
    Reset(Vec<u8>),
}

impl Behaviour {
    pub fn pack(bytes: impl Into<Vec<u8>>, etag: &str) -> Self {
        Self::Pack { bytes: bytes.into(), etag: etag.to_owned() }
    }

    pub fn status(line: &'static str) -> Self {
        Self::Status { line, headers: Vec::new(), body: b"<html>an error page</html>".to_vec() }
    }

    pub fn status_with(line: &'static str, name: &'static str, value: impl Into<String>) -> Self {
        Self::Status { line, headers: vec![(name, value.into())], body: Vec::new() }
    }

    pub fn redirect(to: impl Into<String>) -> Self {
        Self::status_with("302 Found", "Location", to)
    }

    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Raw(bytes.into())
    }

    /// A 200 whose body never ends.
    pub fn endless() -> Self {
        let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
        Self::Flood(head.to_vec(), vec![b'x'; 16 << 10])
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub when: Instant,
    /// With the query.
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
}

/// The server. It ends when it is dropped.
#[derive(Debug)]
pub struct Faulty {
    address: SocketAddr,
    tls: Option<Tls>,
    shared: Arc<Shared>,
}

#[derive(Debug, Clone)]
struct Tls {
    config: Arc<ServerConfig>,
    certificate: String,
}

#[derive(Debug, Default)]
struct Shared {
    behaviours: Mutex<BTreeMap<String, Behaviour>>,
    seen: Mutex<Vec<Seen>>,
    ended: AtomicBool,
}

impl Faulty {
    /// Speaks plain HTTP.
    pub fn start() -> Self {
        Self::listen(None)
    }

    /// Speaks HTTPS with a certificate that nobody trusts unless told to.
    pub fn start_tls() -> Self {
        Self::listen(Some(self_signed()))
    }

    fn listen(tls: Option<Tls>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { address: listener.local_addr().unwrap(), tls, shared: Arc::default() };
        let (shared, tls) = (server.shared.clone(), server.tls.clone());
        thread::spawn(move || accept(&listener, &shared, tls.as_ref()));
        server
    }

    /// Answers `path` like this from now on, and returns its address.
    pub fn set(&self, path: &str, behaviour: Behaviour) -> String {
        lock(&self.shared.behaviours).insert(path.to_owned(), behaviour);
        self.url(path)
    }

    pub fn url(&self, path: &str) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate as PEM, for a client that shall trust it.
    pub fn certificate(&self) -> Option<&str> {
        self.tls.as_ref().map(|tls| tls.certificate.as_str())
    }

    /// How often `path` was asked for, with any query.
    pub fn hits(&self, path: &str) -> usize {
        self.requests().iter().filter(|seen| without_query(&seen.path) == path).count()
    }

    pub fn requests(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

/// An address where nobody listens.
pub fn refused_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn self_signed() -> Tls {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    Tls { config: Arc::new(config), certificate: made.cert.pem() }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, tls: Option<&Tls>) {
    for stream in listener.incoming() {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let (shared, tls) = (shared.clone(), tls.cloned());
        // A client may leave at any moment: what cannot be written is not missed.
        thread::spawn(move || match tls {
            None => serve(stream, &shared),
            Some(tls) => {
                let connection = ServerConnection::new(tls.config).unwrap();
                serve(StreamOwned::new(connection, stream), &shared)
            }
        });
    }
}

fn serve(mut stream: impl Read + Write, shared: &Shared) -> Option<()> {
    let line = read_until(&mut stream, b"\r\n")?;
    let path = line.split(' ').nth(1)?.to_owned();
    let behaviour = {
        let behaviours = lock(&shared.behaviours);
        behaviours.get(&path).or_else(|| behaviours.get(without_query(&path))).cloned()
    };
    if let Some(Behaviour::Reset(bytes)) = behaviour {
        lock(&shared.seen).push(Seen { when: Instant::now(), path, headers: BTreeMap::new() });
        // Who closes a connection without having read all that came resets it.
        return send(&mut stream, &bytes);
    }
    let head = read_until(&mut stream, b"\r\n\r\n")?;
    let seen = Seen { when: Instant::now(), path, headers: headers(&head) };
    let known = seen.headers.get("if-none-match").cloned();
    lock(&shared.seen).push(seen);
    match behaviour.unwrap_or_else(|| Behaviour::status("404 Not Found")) {
        Behaviour::Pack { etag, .. } if known.as_ref() == Some(&etag) => {
            send(&mut stream, &answer("304 Not Modified", &[("ETag", etag)], b""))
        }
        Behaviour::Pack { bytes, etag } => {
            let modified = "Sun, 06 Nov 1994 08:49:37 GMT".to_owned();
            let headers = [("ETag", etag), ("Last-Modified", modified)];
            send(&mut stream, &answer("200 OK", &headers, &bytes))
        }
        Behaviour::Status { line, headers, body } => {
            send(&mut stream, &answer(line, &headers, &body))
        }
        Behaviour::Raw(bytes) => send(&mut stream, &bytes),
        Behaviour::Stall(bytes) => {
            send(&mut stream, &bytes)?;
            while stream.read(&mut [0]).is_ok_and(|read| read > 0) {}
            Some(())
        }
        Behaviour::Drip(bytes, pause) => {
            send(&mut stream, &bytes)?;
            loop {
                thread::sleep(pause);
                send(&mut stream, b"x")?;
            }
        }
        Behaviour::Flood(bytes, again) => {
            send(&mut stream, &bytes)?;
            loop {
                send(&mut stream, &again)?;
            }
        }
        Behaviour::Reset(_) => None,
    }
}

fn read_until(stream: &mut impl Read, end: &[u8]) -> Option<String> {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(end) && read.len() < 64 << 10 {
        stream.read_exact(&mut byte).ok()?;
        read.push(byte[0]);
    }
    Some(String::from_utf8_lossy(&read).into_owned())
}

fn headers(head: &str) -> BTreeMap<String, String> {
    let pairs = head.lines().filter_map(|line| line.split_once(": "));
    pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect()
}

/// A whole answer in bytes.
pub fn answer(line: &str, headers: &[(&str, String)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {line}\r\nConnection: close\r\n");
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let bodiless = line.starts_with("304");
    if !bodiless {
        let _ = write!(head, "Content-Length: {}\r\n", body.len());
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend(body);
    bytes
}

fn send(stream: &mut impl Write, bytes: &[u8]) -> Option<()> {
    stream.write_all(bytes).and_then(|()| stream.flush()).ok()
}

fn without_query(path: &str) -> &str {
    path.split('?').next().unwrap_or(path)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
