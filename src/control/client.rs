//! [`Client`]: the engine of another process, asked as if it were our own.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::api::{ROOT, Request, fault_of};
use super::endpoint::Endpoint;
use crate::model::command::{Answer, Command};
use crate::model::fault::{Fault, FaultKind};
use crate::model::snapshot::Snapshot;
use crate::paths::Paths;

/// How long a connection over loopback may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// More than any snapshot has, in bytes.
const LARGEST: usize = 256 << 20;

/// The engine of another process.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    listening: JoinHandle<()>,
}

#[derive(Debug, thiserror::Error)]
enum ClientError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("{0}")]
    Request(#[from] hyper::http::Error),
    #[error("{0}")]
    Answer(#[from] serde_json::Error),
    #[error("the answer is cut off or too large")]
    Cut,
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("no answer in {PATIENCE:?}")]
    Late(#[from] tokio::time::error::Elapsed),
}

impl Client {
    /// The engine that runs on this state folder; `None` when none can be asked: a note may be of one that
    /// was killed, and its port may be another program's by now.
    pub async fn connect(paths: &Paths) -> Result<Option<Self>, Fault> {
        let Some(endpoint) = Endpoint::read(paths) else { return Ok(None) };
        match timeout(PATIENCE, endpoint.look()).await {
            Ok(Ok((snapshot, events))) => {
                let (publish, snapshots) = watch::channel(Arc::new(snapshot));
                let listening = tokio::spawn(listen(events, publish));
                Ok(Some(Self { endpoint, snapshots, listening }))
            }
            Ok(Err(ClientError::Answer(_))) if endpoint.version != env!("CARGO_PKG_VERSION") => {
                let what = format!("the ModSync that runs is of version {}", endpoint.version);
                Err(Fault::new(FaultKind::Refused, what, "End it, and start it again."))
            }
            Ok(Err(error @ ClientError::Status(StatusCode::SERVICE_UNAVAILABLE))) => {
                Err(lost(&error))
            }
            Ok(Err(error)) => {
                tracing::debug!("no engine answers: {error}");
                Ok(None)
            }
            Err(_) => Ok(None),
        }
    }

    /// Whether the engine stays and takes commands, rather than carrying out one.
    pub fn follows(&self) -> bool {
        self.endpoint.follows
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// Tells of every change; ends with the engine.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    /// Asks one pack for something and waits for the answer.
    pub async fn send(&self, pack: &str, command: Command) -> Result<Answer, Fault> {
        self.ask(Request::of(pack, command)).await
    }

    /// Asks for anything the API knows.
    pub async fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, Fault> {
        let (name, fields) = request.parts();
        let body = Full::new(Bytes::from(fields.to_string()));
        let response = self.endpoint.request(Method::POST, &name, body).await;
        read(response.map_err(|e| lost(&e))?).await
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Endpoint {
    /// What is, and the changes from then on.
    async fn look(&self) -> Result<(Snapshot, Incoming), ClientError> {
        let events = well(self.get("events").await?)?;
        let snapshot = well(self.get("snapshot").await?)?;
        let body = Limited::new(snapshot, LARGEST).collect().await;
        let bytes = body.map_err(|_| ClientError::Cut)?.to_bytes();
        Ok((serde_json::from_slice(&bytes)?, events))
    }

    async fn get(&self, name: &str) -> Result<Response<Incoming>, ClientError> {
        self.request(Method::GET, name, Full::default()).await
    }

    async fn request(
        &self,
        method: Method,
        name: &str,
        body: Full<Bytes>,
    ) -> Result<Response<Incoming>, ClientError> {
        let connecting = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        let stream = timeout(PATIENCE, connecting).await??;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = hyper::Request::builder()
            .method(method)
            .uri(format!("{ROOT}{name}"))
            .header(header::HOST, format!("127.0.0.1:{}", self.port))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .body(body)?;
        // A command may take hours: its answer is waited for without a limit.
        Ok(sender.send_request(request).await?)
    }
}

fn well(response: Response<Incoming>) -> Result<Incoming, ClientError> {
    let status = response.status();
    if status.is_success() { Ok(response.into_body()) } else { Err(ClientError::Status(status)) }
}

/// The answer, or the fault that is in its place.
async fn read<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T, Fault> {
    let is_well = response.status().is_success();
    let body = response.into_body().collect().await.map_err(|e| lost(&e.into()))?.to_bytes();
    if is_well {
        return serde_json::from_slice(&body).map_err(|e| lost(&e.into()));
    }
    let value: Value = serde_json::from_slice(&body).map_err(|e| lost(&e.into()))?;
    Err(fault_of(&value))
}

fn lost(error: &ClientError) -> Fault {
    let what = format!("could not talk to the ModSync that runs: {error}");
    Fault::new(FaultKind::Io, what, "It may have ended, or be of another version.")
}

/// Takes in server-sent events: each is one line `data: {…}` here.
async fn listen(mut body: Incoming, publish: watch::Sender<Arc<Snapshot>>) {
    let mut line = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Some(data) = frame.data_ref() else { continue };
        for piece in data.split_inclusive(|&byte| byte == b'\n') {
            line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                take_in(&line, &publish);
                line.clear();
            } else if line.len() > LARGEST {
                return;
            }
        }
    }
}

fn take_in(line: &[u8], publish: &watch::Sender<Arc<Snapshot>>) {
    let Some(json) = line.strip_prefix(b"data: ") else { return };
    match serde_json::from_slice::<Snapshot>(json) {
        Ok(snapshot) => {
            publish.send_replace(Arc::new(snapshot));
        }
        Err(error) => tracing::debug!("an event that makes no sense: {error}"),
    }
}
