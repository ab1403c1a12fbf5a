//! One client, from its first byte to its last: whatever it sends, its answer says why.
//!
//! hyper answers what never becomes a request by itself, and without a reason. Here it is not heard: we answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::api::{self, LARGEST_REQUEST, failure, misunderstood, refused};
use crate::model::fault::Fault;

/// How long a client may take to say what it wants.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Headers of a request.
const HEADERS: usize = 100;
/// How long, and for how many bytes, a client is heard out that has its answer.
const FAREWELL: Duration = Duration::from_secs(1);
const LEFTOVER: u64 = 16 << 20;

/// A refusal before there is a request.
type Refusal = (StatusCode, Fault);

/// Answers the one request of a client, or what it sends in place of one.
pub(super) async fn serve(stream: TcpStream, router: Router) {
    let stream = Muted { inner: TokioIo::new(stream), has_request: Arc::default() };
    let (router, has_request) = (TowerToHyperService::new(router), stream.has_request.clone());
    let service = service_fn(move |request| {
        has_request.store(true, Ordering::Relaxed);
        router.call(request)
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(LARGEST_REQUEST)
        .max_header_size(LARGEST_REQUEST)
        .max_headers(HEADERS)
        .keep_alive(false)
        .serve_connection(stream, service);
    let served = (&mut connection).await;
    let stream = connection.into_parts().io;
    let refusal = served.err().and_then(|error| {
        tracing::debug!("a client of the control API left: {error}");
        refusal(&error).filter(|_| stream.is_muted())
    });
    let last_word = refusal.as_ref().map(written).unwrap_or_default();
    let _ = timeout(FAREWELL, say_farewell(stream.inner.into_inner(), &last_word)).await;
}

/// Says that there is no room, as far as that can be said without waiting.
pub(super) fn turn_away(stream: TcpStream, why: &str) {
    let refusal = (StatusCode::SERVICE_UNAVAILABLE, refused(why));
    if let Ok(mut stream) = stream.into_std() {
        let _ = io::Write::write(&mut stream, &written(&refusal));
    }
}

/// What is wrong with a head; nothing when the client went away.
fn refusal(error: &hyper::Error) -> Option<Refusal> {
    if error.is_parse_too_large() {
        let why = format!(
            "the head is larger than {LARGEST_REQUEST} bytes or has over {HEADERS} headers"
        );
        Some((StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, refused(&why)))
    } else if error.is_parse() {
        let why = format!("the head is not of HTTP/1.1: {error}");
        Some((StatusCode::BAD_REQUEST, misunderstood(&why)))
    } else if error.is_incomplete_message() {
        Some((StatusCode::BAD_REQUEST, refused("the head is cut off")))
    } else if error.is_timeout() {
        Some((StatusCode::REQUEST_TIMEOUT, refused("the head did not come in time")))
    } else {
        None
    }
}

/// The refusal as it goes over the wire.
fn written((status, fault): &Refusal) -> Vec<u8> {
    let body = api::json(&failure(fault));
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Ends our side, and drops what still comes: who is not heard out meets a reset and not the answer.
async fn say_farewell(mut stream: TcpStream, last_word: &[u8]) -> io::Result<u64> {
    stream.write_all(last_word).await?;
    stream.shutdown().await?;
    copy(&mut stream.take(LEFTOVER), &mut sink()).await
}

/// A stream on which nothing is said until there is a request.
struct Muted {
    inner: TokioIo<TcpStream>,
    has_request: Arc<AtomicBool>,
}

impl Muted {
    fn is_muted(&self) -> bool {
        !self.has_request.load(Ordering::Relaxed)
    }
}

impl Read for Muted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl Write for Muted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_muted() {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    /// Left to the farewell: hyper comes here when all it had to say is flushed.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
