//! Asks the origin, and takes a new `.torrent` if every rule allows it.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;

use super::{Context, change, kept_torrent, read_torrent};
use crate::disk::fs::Root;
use crate::disk::layout;
use crate::engine::backoff;
use crate::engine::job::{Checked, InTrash, Outcome};
use crate::model::fault::{Fault, FaultKind};
use crate::model::release::{Digest, Release};
use crate::net::http;
use crate::net::remote::{self, Fetched as Body};
use crate::net::swarm;

/// Asks the origin. Whether the folder is there is no reason to fail that, and is told as well: who only
/// follows would not notice before the next release.
pub(super) async fn check(context: &Context, full: bool) -> Result<Outcome, Fault> {
    let checked = ask_origin(context, full).await?;
    let context = context.clone();
    let looked = spawn_blocking(move || {
        layout::look(&context.config.folder, context.facts.known_marker()).err()
    });
    let gone = looked.await.ok().flatten().filter(|fault| fault.kind == FaultKind::FolderGone);
    Ok(Outcome::Checked(Checked { gone, ..checked }))
}

/// Asks the origin as often as it is asked otherwise, until it offers another release than the one we know of.
pub(super) async fn until_superseded(context: &Context) -> Checked {
    let mut failures = 0;
    let dice = fastrand::f64;
    let every = || backoff::interval(context.config.check_interval, dice());
    let mut wait = every();
    loop {
        tokio::time::sleep(wait).await;
        wait = match ask_origin(context, false).await {
            Ok(checked) => {
                let known = context.facts.origin.digest;
                if checked.release.as_ref().is_some_and(|release| Some(release.digest) != known) {
                    let pack = &context.config.name;
                    tracing::info!(pack, "another release was published meanwhile");
                    return checked;
                }
                failures = 0;
                every()
            }
            Err(fault) => {
                failures += 1;
                tracing::debug!("the origin is asked again later: {fault}");
                backoff::delay(&fault, failures, dice()).unwrap_or_else(every)
            }
        };
    }
}

async fn ask_origin(context: &Context, full: bool) -> Result<Checked, Fault> {
    let url = &context.config.url;
    // What was lost here must be fetched again, whatever the origin says of it.
    let published = context.facts.origin.digest;
    let installed = context.facts.installed.as_ref().map(|release| release.digest);
    let lost = match published {
        Some(digest) if installed != published => {
            context.state.stat(kept_torrent(digest))?.is_none()
        }
        _ => false,
    };
    let known = published.filter(|_| !full && !lost);
    let condition = known.map(|_| &context.facts.origin.validators);
    let body = remote::fetch(&context.http, url, condition).await.map_err(|e| e.fault(url))?;
    let (bytes, validators) = match body {
        Body::Unchanged => {
            return Ok(Checked::default());
        }
        Body::Bytes { bytes, validators } => (bytes, validators),
    };
    // The body is read once a day: a good time to empty the trash as well.
    let in_trash = empty_trash(context).await;
    let digest = Digest(Sha256::digest(&bytes).into());
    let validators = Some(validators);
    if published == Some(digest) && !lost {
        return Ok(Checked { validators, full: true, in_trash, ..Checked::default() });
    }
    let state = Arc::clone(&context.state);
    let release = spawn_blocking(move || accept(&state, digest, &bytes))
        .await
        .map_err(|e| Fault::bug(format!("reading a torrent ended early: {e}")))?
        .map_err(|fault| Fault {
            what: format!("{}: {}", http::shown(url), fault.what),
            ..fault
        })?;
    Ok(Checked { release: Some(release), validators, full: true, in_trash, gone: None })
}

/// That the trash could not be emptied is no reason to fail a check.
async fn empty_trash(context: &Context) -> Option<InTrash> {
    let context = context.clone();
    let emptied = spawn_blocking(move || change::empty_trash(&context)).await;
    emptied.ok()?.unwrap_or_else(|fault| {
        tracing::debug!("the trash was not emptied: {fault}");
        None
    })
}

/// Takes a `.torrent` if every rule allows it, and keeps it.
fn accept(state: &Root, digest: Digest, bytes: &[u8]) -> Result<Release, Fault> {
    let (release, lengths) = {
        let manifest = read_torrent(bytes)?;
        let lengths: Vec<u64> = manifest.entries.iter().map(|entry| entry.length).collect();
        let release = Release {
            digest,
            info_hash: manifest.info_hash,
            name: manifest.name.clone(),
            length: manifest.content_length(),
            files: manifest.files().count() as u64,
            seen: SystemTime::now(),
        };
        (release, lengths)
    };
    // Of a large torrent either reading takes much memory: one after the other.
    swarm::agrees(bytes, release.info_hash, &lengths)?;
    state.create_dir_all("releases")?;
    state.write_atomic(kept_torrent(digest), bytes)?;
    for (name, _) in state.list("releases")? {
        let path = Path::new("releases").join(name);
        if path != Path::new(&kept_torrent(digest)) {
            state.remove_file_if_there(path)?;
        }
    }
    Ok(release)
}
