//! [`OriginServer`]: a real HTTP server on loopback that publishes one `pack.torrent` as a good web server
//! does, and remembers who asked how.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use tokio::sync::oneshot;

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    /// Whether it asked for the body only if that changed.
    pub conditional: bool,
    pub status: u16,
}

/// Serves `/pack.torrent` until it is dropped.
#[derive(Debug)]
pub struct OriginServer {
    address: SocketAddr,
    desk: Arc<Desk>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the server and the test share.
#[derive(Debug, Default)]
struct Desk {
    inside: Mutex<Inside>,
    asked: Condvar,
}

#[derive(Debug, Default)]
struct Inside {
    published: Option<Published>,
    versions: u64,
    log: Vec<Request>,
}

#[derive(Debug, Clone)]
struct Published {
    bytes: Vec<u8>,
    etag: String,
    modified: String,
}

impl OriginServer {
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Arc::new(Desk::default());
        let (stop, stopped) = oneshot::channel();
        let app = Router::new().route("/pack.torrent", any(answer)).with_state(Arc::clone(&desk));
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    served = axum::serve(listener, app) => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self { address, desk, stop: Some(stop), thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}/pack.torrent", self.address)
    }

    /// Puts other bytes in place of the former, in one instant.
    pub fn publish(&self, bytes: impl Into<Vec<u8>>) {
        let mut inside = self.desk.lock();
        inside.versions += 1;
        inside.published = Some(Published {
            bytes: bytes.into(),
            etag: format!("\"v{}\"", inside.versions),
            modified: httpdate::fmt_http_date(SystemTime::now()),
        });
    }

    /// The requests since the last look.
    pub fn take_log(&self) -> Vec<Request> {
        std::mem::take(&mut self.desk.lock().log)
    }

    /// Waits until there are `count` requests since the last look.
    #[track_caller]
    pub fn await_requests(&self, count: usize, limit: Duration) {
        let end = Instant::now() + limit;
        let mut inside = self.desk.lock();
        while inside.log.len() < count {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "only {:?} in {limit:?}", inside.log);
            let waited = self.desk.asked.wait_timeout(inside, left);
            inside = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for OriginServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(State(desk): State<Arc<Desk>>, method: Method, headers: HeaderMap) -> Response {
    let given = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (known, since) = (given(header::IF_NONE_MATCH), given(header::IF_MODIFIED_SINCE));
    let mut inside = desk.lock();
    let response = match inside.published.clone() {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(Published { bytes, etag, modified }) => {
            // As RFC 9110 has it: the date counts only for who does not know the tag.
            let unchanged = match known {
                Some(known) => known == etag,
                None => since.is_some_and(|since| since == modified),
            };
            let body = if unchanged {
                StatusCode::NOT_MODIFIED.into_response()
            } else {
                bytes.into_response()
            };
            ([(header::ETAG, etag), (header::LAST_MODIFIED, modified)], body).into_response()
        }
    };
    inside.log.push(Request {
        method,
        conditional: known.or(since).is_some(),
        status: response.status().as_u16(),
    });
    desk.asked.notify_all();
    response
}
