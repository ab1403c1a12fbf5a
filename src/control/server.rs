//! The engine's side: one answer a connection, at most [`CLIENTS`] of them, each bounded in size and time.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request as HttpRequest, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Bytes;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::WatchStream;

use super::api::{self, LARGEST_REQUEST, Request, failure, misunderstood, refused, with_ok};
use super::connection::{self, PATIENCE};
use super::endpoint::Endpoint;
use crate::disk::fs::FsError;
use crate::engine::{Change, Handle, Mode};
use crate::model::command::{Approval, Command};
use crate::model::fault::{Fault, FaultKind};
use crate::model::manifest::hex;
use crate::paths::Paths;

/// Clients at one time; more are turned away.
const CLIENTS: u32 = 32;
/// How long we wait when the system gives us no connection.
const BREATH: Duration = Duration::from_millis(100);
/// How long a client may take to read its answer when we end.
const FAREWELL: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("could not listen on loopback: {0}")]
    Listen(#[from] io::Error),
    #[error(transparent)]
    Note(#[from] FsError),
}

/// What a client wants of the program rather than of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Show,
    Quit,
}

/// A server that listens until this is dropped.
#[derive(Debug)]
pub struct Server {
    /// Each with the way to say whether it is granted.
    pub wishes: mpsc::Receiver<(Wish, oneshot::Sender<bool>)>,
    paths: Paths,
    listening: JoinHandle<()>,
    places: Arc<Semaphore>,
}

/// Who is being answered while the server has stopped listening.
#[derive(Debug)]
pub struct Clients(Arc<Semaphore>);

impl Server {
    /// Listens no more.
    pub fn stop(self) -> Clients {
        Clients(Arc::clone(&self.places))
    }
}

impl Clients {
    /// Lets everybody have their answer, but waits for nobody who does not take it.
    pub async fn leave(self) {
        let _ = timeout(FAREWELL, self.0.acquire_many(CLIENTS)).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        Endpoint::remove(&self.paths);
        self.listening.abort();
    }
}

/// What every request is answered from.
struct Desk {
    handle: Handle,
    endpoint: Endpoint,
    wishes: mpsc::Sender<(Wish, oneshot::Sender<bool>)>,
}

/// Listens for the user's other processes, and leaves a note where. An engine that carries out one
/// command only shows itself.
pub async fn start(paths: &Paths, handle: Handle, mode: Mode) -> Result<Server, ControlError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(io::Error::other)?;
    let endpoint = Endpoint {
        port: listener.local_addr()?.port(),
        token: hex(&secret),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        follows: mode.follows(),
    };
    endpoint.write(paths)?;
    let (sender, wishes) = mpsc::channel(4);
    let desk = Arc::new(Desk { handle, endpoint, wishes: sender });
    let places = Arc::new(Semaphore::new(CLIENTS as usize));
    let listening = tokio::spawn(listen(listener, router(desk), Arc::clone(&places)));
    Ok(Server { wishes, paths: paths.clone(), listening, places })
}

fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/v1/snapshot", get(snapshot))
        .route("/v1/events", get(events))
        .route("/v1/{request}", post(command))
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .layer(from_fn_with_state(Arc::clone(&desk), admit))
        .with_state(desk)
}

async fn listen(listener: TcpListener, router: Router, places: Arc<Semaphore>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of handles, perhaps: that passes.
            sleep(BREATH).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            connection::turn_away(stream, &format!("{CLIENTS} clients are served already"));
            continue;
        };
        let served = connection::serve(stream, router.clone());
        tokio::spawn(async move {
            served.await;
            drop(place);
        });
    }
}

/// Lets through who names us and knows the token. A page in a browser can do neither: another site
/// that resolves to loopback comes with its own name (DNS rebinding).
async fn admit(State(desk): State<Arc<Desk>>, request: HttpRequest, next: Next) -> Response {
    let headers = request.headers();
    let port = desk.endpoint.port;
    let ours = [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    if !text(headers, header::HOST).is_some_and(|host| ours.iter().any(|name| name == host)) {
        return refuse(StatusCode::FORBIDDEN, "the Host header does not name this program");
    }
    let token = text(headers, header::AUTHORIZATION).and_then(|value| value.split_once(' '));
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"));
    let token = token.map(|(_, token)| token);
    if !token.is_some_and(|token| is_same(token, &desk.endpoint.token)) {
        return refuse(StatusCode::UNAUTHORIZED, "the token is missing or wrong");
    }
    next.run(request).await
}

/// A header that is there once.
fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
}

/// Compares in a time that does not tell where the difference is.
fn is_same(a: &str, b: &str) -> bool {
    let differing = a.bytes().zip(b.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && differing == 0
}

async fn snapshot(State(desk): State<Arc<Desk>>) -> Response {
    answer(StatusCode::OK, api::json(&with_ok(&*desk.handle.snapshot())))
}

/// Every change, as server-sent events; a slow reader gets the newest snapshot only.
async fn events(State(desk): State<Arc<Desk>>) -> impl IntoResponse {
    let snapshots = WatchStream::new(desk.handle.watch());
    let events = snapshots
        .map(|snapshot| serde_json::to_string(&*snapshot))
        .map(|json| json.map(|json| Event::default().data(json)));
    Sse::new(events).keep_alive(KeepAlive::default())
}

async fn command(
    State(desk): State<Arc<Desk>>,
    name: Result<Path<String>, PathRejection>,
    request: HttpRequest,
) -> Response {
    let Ok(Path(name)) = name else { return unknown(request).await };
    let body = match whole(request.into_body()).await {
        Ok(body) => body,
        Err((status, why)) => return refuse(status, &why),
    };
    let request = match Request::of_parts(&name, &body) {
        Ok(request) => request,
        Err(why) => return failed(StatusCode::BAD_REQUEST, &misunderstood(&why)),
    };
    if !desk.endpoint.follows {
        let fault = Fault::new(
            FaultKind::FolderBusy,
            "another command is at work",
            "Wait until it has ended; `modsync status` shows how far it is.",
        );
        return failed(StatusCode::CONFLICT, &fault);
    }
    match desk.carry_out(request).await {
        Ok(done) => answer(StatusCode::OK, done),
        Err(fault) => failed(StatusCode::CONFLICT, &fault),
    }
}

/// The whole body, within the limits.
async fn whole(body: Body) -> Result<Bytes, (StatusCode, String)> {
    match timeout(PATIENCE, Limited::new(body, LARGEST_REQUEST).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let why = format!("the body is larger than {LARGEST_REQUEST} bytes");
            Err((StatusCode::PAYLOAD_TOO_LARGE, why))
        }
        Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, "the body is cut off".to_owned())),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body did not come in time".to_owned())),
    }
}

async fn unknown(request: HttpRequest) -> Response {
    let why = format!("there is no `{} {}`", request.method(), request.uri().path());
    failed(StatusCode::NOT_FOUND, &misunderstood(&why))
}

fn refuse(status: StatusCode, why: &str) -> Response {
    failed(status, &refused(why))
}

fn failed(status: StatusCode, fault: &Fault) -> Response {
    answer(status, api::json(&failure(fault)))
}

fn answer(status: StatusCode, json: String) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, Body::from(json)).into_response()
}

impl Desk {
    /// Does what is asked for; the answer as JSON.
    async fn carry_out(&self, request: Request) -> Result<String, Fault> {
        let (pack, command) = match request {
            Request::Check { pack } => (pack, Command::Check),
            Request::Plan { pack } => (pack, Command::Plan),
            Request::Sync { pack } => (pack, Command::Sync),
            Request::Apply { pack } => (pack, Command::Apply { approve: Approval::None }),
            Request::Approve { pack, plan } => {
                let approve = plan.map_or(Approval::Shown, Approval::Plan);
                (pack, Command::Apply { approve })
            }
            Request::Verify { pack } => (pack, Command::Verify { repair: false }),
            Request::Repair { pack } => (pack, Command::Verify { repair: true }),
            Request::Clean { pack, dry_run } => (pack, Command::Clean { dry_run }),
            Request::Rollback { pack } => (pack, Command::Rollback),
            Request::Trash { pack } => (pack, Command::Trash),
            Request::Restore { pack, entry } => (pack, Command::Restore { entry }),
            Request::Pause { pack } => (pack, Command::Pause),
            Request::Resume { pack } => (pack, Command::Resume),
            Request::Add(new) => return self.change(Change::Add(new)).await,
            Request::Remove { pack } => return self.change(Change::Remove(pack)).await,
            Request::Reload => return self.change(Change::Reload).await,
            Request::Show => return self.pass_on(Wish::Show).await,
            Request::Quit => return self.pass_on(Wish::Quit).await,
        };
        Ok(api::json(&with_ok(self.handle.send(&pack, command).await?)))
    }

    async fn change(&self, change: Change) -> Result<String, Fault> {
        let pack = self.handle.change(change).await?;
        Ok(api::json(&with_ok(pack.map_or_else(|| json!({}), |name| json!({ "name": name })))))
    }

    /// Whoever lives in the tray can show it; an engine without a face can only quit.
    async fn pass_on(&self, wish: Wish) -> Result<String, Fault> {
        let (reply, granted) = oneshot::channel();
        let sent = self.wishes.send((wish, reply)).await.is_ok();
        if sent && granted.await.unwrap_or(false) {
            return Ok(api::json(&with_ok(json!({}))));
        }
        Err(Fault::new(
            FaultKind::Refused,
            "this ModSync has no icon that it could show",
            "It runs without one, or is about to end; `modsync status` shows what it does.",
        ))
    }
}
