//! A running engine follows a server with a URL for every fault: of each the player is told what is wrong and
//! what to do, the server is asked once and then left alone, and the pack's folder stays as it was.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::faulty::{Behaviour, Faulty, answer, refused_address};
use crate::place::Place;
use crate::torrents::torrent_of;
use crate::tree::{Tree, noise, stamps};
use crate::world::{Running, is_nightly};

/// Who says nothing is given up after half a minute, who never ends after five.
const LIMIT: Duration = Duration::from_mins(6);
/// How often the engine is asked how it does.
const LOOK: Duration = Duration::from_millis(200);
/// Seconds until a fault of the origin is tried again for the first time.
const SOON: (u64, u64) = (60, 75);

const CONNECTION: &str = "Check the internet connection and the pack's address.";
const WAIT: &str = "What is installed stays as it is; tell the admin if it lasts.";
const ADDRESS: &str = "Check the pack's address with whoever publishes the pack.";
const SERVER: &str = "Tell whoever publishes the pack that their server answers wrongly.";
const CLOCK: &str = "Check the pack's address and this computer's date and time; \
    if both are right, tell whoever publishes the pack about the certificate.";
const LOGIN: &str = "Open the pack's address in a browser: a network that wants a login answers so. \
    Otherwise ask the pack's admin to publish a correct torrent.";
const TORRENT: &str = "Ask the pack's admin to publish a correct torrent; what is installed stays.";

#[test]
fn each_fault_of_an_origin_is_told_in_words_and_asked_about_again_later_and_changes_nothing() {
    let servers = Servers::start();
    let faults = servers.faults();
    assert!(faults.len() >= 30, "only {} faults", faults.len());
    are_told_and_change_nothing(&servers, &faults);
}

/// Waits for five minutes, which is asked for at night alone.
#[test]
fn an_answer_that_drips_is_told_of_as_well() {
    if is_nightly() {
        let servers = Servers::start();
        are_told_and_change_nothing(&servers, &servers.drips());
    }
}

#[track_caller]
fn are_told_and_change_nothing(servers: &Servers, faults: &[Fault]) {
    let good = servers.origin.set("/good", Behaviour::pack(good(), "\"good\""));
    let player = Player::new();
    faults.iter().for_each(|fault| installed().write(&player.folder(&fault.name)));
    player.follow(faults, |_| good.clone());
    let engine = player.engine(servers);
    player.await_packs(|pack| !pack["installed"].is_null() && pack["phase"]["phase"] == "current");
    let folders = || faults.iter().map(|fault| stamps(&player.folder(&fault.name)));
    let before: Vec<_> = folders().collect();

    player.follow(faults, |fault| fault.url.clone());
    let found = player.await_packs(|pack| pack["phase"]["phase"] == "waiting");
    let said = engine.sigkill().stderr;

    for fault in faults {
        let (pack, seen) = &found[&fault.name];
        let (told, (least, most)) = (&pack["phase"]["fault"], fault.again);
        let expected = json!([fault.kind, fault.what, fault.hint]);
        assert_eq!(json!([told["kind"], told["what"], told["hint"]]), expected, "{}", fault.name);
        let retry_at = pack["phase"]["retry_at"].as_str().unwrap();
        let again = humantime::parse_rfc3339(retry_at).unwrap().duration_since(*seen).unwrap();
        // A fault is seen a little later than it happened.
        let again = again.as_secs() + 1;
        assert!((least.saturating_sub(3)..=most).contains(&again), "{}: {again} s", fault.name);
        assert_eq!(said.matches(&format!("waiting: {}", fault.what)).count(), 1, "{}", fault.name);
        let is_here = fault.url.starts_with(&servers.origin.url("/"));
        let hits = servers.origin.hits(&format!("/{}", fault.name));
        assert_eq!(hits, usize::from(is_here), "{}", fault.name);
        assert!(!pack["installed"].is_null(), "{}", fault.name);
        assert_eq!(Tree::read(&player.folder(&fault.name)), installed(), "{}", fault.name);
    }
    assert!(folders().eq(before), "a folder was touched");
}

#[test]
fn a_server_that_tells_nonsense_of_what_it_has_is_still_believed_what_it_sends() {
    let future = httpdate::fmt_http_date(SystemTime::now() + Duration::from_hours(90_000));
    let long = "x".repeat(5000);
    for (name, value, is_of_use) in [
        ("ETag", "\"v1\"", true),
        ("ETag", "W/\"v1\"", true),
        ("ETag", "v1", true),
        ("ETag", "\"\"", true),
        ("ETag", "\"", true),
        // It stands for anything the server has.
        ("ETag", "*", false),
        ("ETag", "", false),
        ("ETag", "\"ä\"", false),
        ("ETag", &long, false),
        ("Last-Modified", &future, true),
        ("Last-Modified", "yesterday", true),
        ("Last-Modified", &long, false),
    ] {
        let condition = if name == "ETag" { "if-none-match" } else { "if-modified-since" };
        let origin = Faulty::start();
        let place = Place::new();
        let answered = |tag: &str| {
            let headers = vec![(name, tag.to_owned())];
            let behaviour = Behaviour::Status { line: "200 OK", headers, body: good() };
            origin.set("/pack.torrent", behaviour)
        };
        place.follow(&answered(value));
        installed().0.iter().for_each(|(path, bytes)| place.write(path, bytes));
        assert_eq!(place.run(&["sync"]).status.code(), Some(0), "{name}: {value}");
        let before = place.tree();
        // The same bytes, and what the server says of them is new each time.
        for tag in [value, "\"new\"", "\"newer\""] {
            answered(tag);
            let output = place.run(&["sync"]);
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(said.contains("up to date"), "{name}: {value}: {output:?}");
        }
        assert_eq!(place.tree(), before, "{name}: {value}");
        let conditions: Vec<_> = origin.requests()[1..]
            .iter()
            .map(|seen| seen.headers.get(condition).cloned().into_iter().collect::<Vec<_>>())
            .collect();
        let sent: Vec<_> = is_of_use.then(|| value.to_owned()).into_iter().collect();
        let newest = vec!["\"new\"".to_owned()];
        assert_eq!(conditions, [sent.clone(), sent, newest], "{name}: {value}");
    }
}

/// A way to be wrong, and what the player is told of it.
struct Fault {
    /// Its path on the server.
    name: String,
    url: String,
    kind: &'static str,
    what: String,
    hint: &'static str,
    /// Seconds until it is tried again, at least and at most.
    again: (u64, u64),
}

struct Servers {
    origin: Faulty,
    /// With a certificate that the player's computer trusts.
    trusted: Faulty,
    stranger: Faulty,
}

impl Servers {
    fn start() -> Self {
        let (trusted, stranger) = (Faulty::start_tls(), Faulty::start_tls());
        Self { origin: Faulty::start(), trusted, stranger }
    }

    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let lists = [
            (Self::unreachable(), "origin_unreachable"),
            (Self::offline(), "offline"),
            (self.refused(), "origin_refused"),
        ];
        for (list, kind) in lists {
            for (name, behaviour, words, hint) in list {
                let url = self.origin.set(&format!("/{name}"), behaviour);
                faults.push((name, url, kind, words, hint));
            }
        }
        faults.extend(self.elsewhere());
        let mut faults: Vec<_> = faults
            .into_iter()
            .map(|(name, url, kind, words, hint)| {
                let what = format!("could not fetch `{url}`: {}", words.replace("{here}", &url));
                Fault { name: name.to_owned(), url, kind, what, hint, again: SOON }
            })
            .collect();
        for (name, behaviour, words) in not_torrents() {
            let url = self.origin.set(&format!("/{name}"), behaviour);
            let what = format!("{url}: the torrent was refused: {words}");
            let (name, kind) = (name.to_owned(), "bad_metainfo");
            let hint = if words.contains("web page") { LOGIN } else { TORRENT };
            faults.push(Fault { name, url, kind, what, hint, again: SOON });
        }
        faults.extend(self.busy());
        faults
    }
}

type Named = (&'static str, Behaviour, &'static str, &'static str);

#[rustfmt::skip] // tables, one fault a line
impl Servers {
    fn offline() -> Vec<Named> {
        vec![
            ("to-nobody", Behaviour::redirect(format!("http://{}/", refused_address())), "could not connect: Connection refused (os error 111)", CONNECTION),
        ]
    }

    fn unreachable() -> Vec<Named> {
        let status = Behaviour::status;
        let ok = |rest: &str| Behaviour::raw(format!("HTTP/1.1 200 OK\r\n{rest}"));
        let chunked = |rest: &str| ok(&format!("Transfer-Encoding: chunked\r\n\r\n{rest}"));
        let start = |rest: &str| format!("HTTP/1.1 200 OK\r\n{rest}").into_bytes();
        let header = b"X-Flood: and another one of these\r\n".to_vec();
        let headers = start(&(String::from_utf8_lossy(&header).repeat(50_000) + "\r\n"));
        vec![
            ("408", status("408 Request Timeout"), "the server answered 408 Request Timeout", WAIT),
            ("429", status("429 Too Many Requests"), "the server answered 429 Too Many Requests", WAIT),
            ("500", status("500 Internal Server Error"), "the server answered 500 Internal Server Error", WAIT),
            ("502", status("502 Bad Gateway"), "the server answered 502 Bad Gateway", WAIT),
            ("503", status("503 Service Unavailable"), "the server answered 503 Service Unavailable", WAIT),
            ("504", status("504 Gateway Timeout"), "the server answered 504 Gateway Timeout", WAIT),
            ("599", status("599 Strange"), "the server answered 599", WAIT),
            ("099", status("099 Low"), "the answer broke off or is not HTTP: invalid HTTP status-code parsed", WAIT),
            ("silent", Behaviour::Stall(vec![]), "the server did not answer in time", WAIT),
            ("silent-head", Behaviour::Stall(start("X: ")), "the server did not answer in time", WAIT),
            ("drip-head", Behaviour::Drip(start("X: "), Duration::from_secs(1)), "the server did not answer in time", WAIT),
            ("silent-body", Behaviour::Stall(start("Content-Length: 9\r\n\r\nd8")), "the server did not answer in time", WAIT),
            ("closed", Behaviour::raw(""), "the answer broke off or is not HTTP: connection closed before message completed", WAIT),
            ("closed-head", ok("Content-Type: text"), "the answer broke off or is not HTTP: connection closed before message completed", WAIT),
            ("only-100", Behaviour::raw("HTTP/1.1 100 Continue\r\n\r\n"), "the answer broke off or is not HTTP: connection closed before message completed", WAIT),
            ("reset", Behaviour::Reset(vec![]), "the answer broke off or is not HTTP: Connection reset by peer (os error 104)", WAIT),
            ("reset-head", Behaviour::Reset(start("X: ")), "the answer broke off or is not HTTP: Connection reset by peer (os error 104)", WAIT),
            ("reset-body", Behaviour::Reset(start("Content-Length: 1000\r\n\r\nd8")), "the answer broke off or is not HTTP: Connection reset by peer (os error 104)", WAIT),
            ("length-over", ok("Content-Length: 1000\r\n\r\nd8:ann"), "the answer broke off or is not HTTP: end of file before message length reached", WAIT),
            ("length-odd", ok("Content-Length: many\r\n\r\nd8"), "the answer broke off or is not HTTP: invalid content-length parsed", WAIT),
            ("length-minus", ok("Content-Length: -1\r\n\r\nd8"), "the answer broke off or is not HTTP: invalid content-length parsed", WAIT),
            ("length-twice", ok("Content-Length: 2\r\nContent-Length: 3\r\n\r\nd8x"), "the answer broke off or is not HTTP: invalid content-length parsed", WAIT),
            ("chunk-cut", chunked("10\r\nd8:ann"), "the answer broke off or is not HTTP: end of file before message length reached", WAIT),
            ("chunk-odd", chunked("zz\r\nd8"), "the answer broke off or is not HTTP: Invalid chunk size line: missing size digit", WAIT),
            ("chunk-huge", chunked("ffffffffffffffffffff\r\nd8"), "the answer broke off or is not HTTP: invalid chunk size: overflow", WAIT),
            ("head-endless", Behaviour::Flood(start(""), header), "the answer broke off or is not HTTP: message head is too large", WAIT),
            ("head-huge", Behaviour::raw(headers), "the answer broke off or is not HTTP: message head is too large", WAIT),
            ("header-endless", Behaviour::Flood(start("X: "), vec![b'x'; 1 << 14]), "the answer broke off or is not HTTP: message head is too large", WAIT),
            ("garbage", Behaviour::raw([0x16, 0x03, 0xff, 0x00, b'\n'].repeat(99)), "the answer broke off or is not HTTP: invalid HTTP version parsed", WAIT),
            ("http-0.9", Behaviour::raw(good()), "the answer broke off or is not HTTP: invalid HTTP version parsed", WAIT),
            ("http-2", Behaviour::raw("HTTP/2 200 OK\r\n\r\nd8"), "the answer broke off or is not HTTP: invalid HTTP version parsed", WAIT),
            ("ssh", Behaviour::raw("SSH-2.0-OpenSSH_9.6\r\n"), "the answer broke off or is not HTTP: invalid HTTP version parsed", WAIT),
        ]
    }

    fn refused(&self) -> Vec<Named> {
        let status = Behaviour::status;
        let to = |place: &str| Behaviour::redirect(place);
        let start = |rest: &str| format!("HTTP/1.1 200 OK\r\n{rest}").into_bytes();
        let chunk = [&b"4000\r\n"[..], &[b'x'; 0x4000], b"\r\n"].concat();
        for n in 1..=6 {
            self.origin.set(&format!("/hop-{n}"), to(&format!("/hop-{}", n + 1)));
        }
        self.origin.set("/pong", to("/ping"));
        vec![
            ("101", Behaviour::raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), "the server answered 101 Switching Protocols", SERVER),
            ("204", Behaviour::raw("HTTP/1.1 204 No Content\r\n\r\n"), "the server answered 204 No Content", SERVER),
            ("206", status("206 Partial Content"), "the server answered 206 Partial Content", SERVER),
            ("300", status("300 Multiple Choices"), "the server answered 300 Multiple Choices", SERVER),
            ("302", status("302 Found"), "the server answered 302 Found", SERVER),
            ("304", status("304 Not Modified"), "the server answered 304 Not Modified although we have nothing yet", SERVER),
            ("400", status("400 Bad Request"), "the server answered 400 Bad Request", ADDRESS),
            ("401", status("401 Unauthorized"), "the server answered 401 Unauthorized", ADDRESS),
            ("403", status("403 Forbidden"), "the server answered 403 Forbidden", ADDRESS),
            ("404", status("404 Not Found"), "the server answered 404 Not Found", ADDRESS),
            ("407", status("407 Proxy Authentication Required"), "the server answered 407 Proxy Authentication Required", ADDRESS),
            ("410", status("410 Gone"), "the server answered 410 Gone", ADDRESS),
            ("416", status("416 Range Not Satisfiable"), "the server answered 416 Range Not Satisfiable", ADDRESS),
            ("451", status("451 Unavailable For Legal Reasons"), "the server answered 451 Unavailable For Legal Reasons", ADDRESS),
            ("999", status("999 High"), "the server answered 999", SERVER),
            ("to-itself", to("/to-itself"), "the server redirects in a circle, back to `{here}`", SERVER),
            ("ping", to("/pong"), "the server redirects in a circle, back to `{here}`", SERVER),
            ("hop-0", Behaviour::status_with("301 Moved Permanently", "Location", "/hop-1"), "the server redirects more than 5 times", SERVER),
            ("to-file", to("file:///etc/passwd"), "the server redirects to `file:///etc/passwd`, which is neither http nor https", SERVER),
            ("to-ftp", to("ftp://127.0.0.1/p.torrent"), "the server redirects to `ftp://127.0.0.1/p.torrent`, which is neither http nor https", SERVER),
            ("to-data", to("data:text/plain,d8"), "the server redirects to `data:text/plain,d8`, which is neither http nor https", SERVER),
            ("to-nonsense", to("http://"), "the server redirects to something that is not an address", SERVER),
            ("to-404", to("/missing"), "the server answered 404 Not Found", ADDRESS),
            ("large", Behaviour::raw(start("Content-Length: 99999999999\r\n\r\nd8")), "the answer is larger than 16777216 bytes", ADDRESS),
            ("endless", Behaviour::endless(), "the answer is larger than 16777216 bytes", ADDRESS),
            ("endless-chunks", Behaviour::Flood(start("Transfer-Encoding: chunked\r\n\r\n"), chunk), "the answer is larger than 16777216 bytes", ADDRESS),
        ]
    }

    fn drips(&self) -> Vec<Fault> {
        let drip = Behaviour::Drip("HTTP/1.1 200 OK\r\n\r\n".into(), Duration::from_secs(1));
        let url = self.origin.set("/drip", drip);
        let what = format!("could not fetch `{url}`: the answer was not complete after 5m");
        vec![Fault { name: "drip".to_owned(), url, kind: "origin_unreachable", what, hint: WAIT, again: SOON }]
    }

    /// Faults that need another address than the server's.
    fn elsewhere(&self) -> Vec<(&'static str, String, &'static str, &'static str, &'static str)> {
        let downgrade = self.trusted.set("/down", Behaviour::redirect("http://127.0.0.1/p.torrent"));
        let (unreachable, offline) = ("origin_unreachable", "offline");
        vec![
            ("nobody", format!("http://{}/p", refused_address()), offline, "could not connect: Connection refused (os error 111)", CONNECTION),
            ("nobody-tls", format!("https://{}/p", refused_address()), offline, "could not connect: Connection refused (os error 111)", CONNECTION),
            ("tls-on-plain", format!("http://{}/p", self.trusted.address()), unreachable, "the answer broke off or is not HTTP: invalid HTTP version parsed", WAIT),
            ("stranger", self.stranger.url("/p"), "origin_refused", "the secure connection failed: invalid peer certificate: BadSignature", CLOCK),
            ("downgrade", downgrade, "origin_refused", "the server redirects from https to `http://127.0.0.1/p.torrent`, which is not secure", SERVER),
        ]
    }

    /// Servers that say when to come back.
    fn busy(&self) -> Vec<Fault> {
        let in_ten_minutes = httpdate::fmt_http_date(SystemTime::now() + Duration::from_mins(10));
        let (too_many, unavailable) = ("429 Too Many Requests", "503 Service Unavailable");
        [
            ("after-seconds", too_many, "120", (120, 120)),
            ("after-seconds-503", unavailable, "90", (90, 90)),
            ("after-date", unavailable, &in_ten_minutes, (570, 600)),
            ("after-nothing", unavailable, "0", SOON),
            ("after-the-past", too_many, "Sun, 06 Nov 1994 08:49:37 GMT", SOON),
            ("after-ages", unavailable, "Sat, 06 Nov 2094 08:49:37 GMT", (21_600, 21_600)),
            ("after-for-ever", too_many, "99999999999999999999999999", (21_600, 21_600)),
            ("after-minus", unavailable, "-5", SOON),
            ("after-words", unavailable, "in a while", SOON),
            ("after-half", unavailable, "120.5", SOON),
        ]
        .into_iter()
        .map(|(name, line, value, again)| {
            let behaviour = Behaviour::status_with(line, "Retry-After", value);
            let url = self.origin.set(&format!("/{name}"), behaviour);
            let what = format!("could not fetch `{url}`: the server answered {line}");
            Fault { name: name.to_owned(), url, kind: "origin_unreachable", what, hint: WAIT, again }
        })
        .collect()
    }
}

/// What comes whole and with status 200, and is no torrent that we take.
#[rustfmt::skip] // a table, one fault a line
fn not_torrents() -> Vec<(&'static str, Behaviour, &'static str)> {
    let good = good();
    let torrent = torrent_of("Pack", 16384, &[("a.txt", b"a")]);
    let version_2 = torrent.clone().without("files").without("pieces").with("meta version", 2);
    let nested = [b"d1:a".repeat(1_000_000), b"e".repeat(1_000_000)].concat();
    let whole = |bytes: &[u8]| Behaviour::pack(bytes, "\"bad\"");
    // We do not ask for packed answers, and nobody unpacks them.
    let packed = answer("200 OK", &[("Content-Encoding", "gzip".into())], b"\x1f\x8b\x08\0\0\0\0\0\0\x03");
    let short = Behaviour::raw([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", &good[..]].concat());
    vec![
        ("empty", whole(b""), "not a torrent: it is empty"),
        ("login", whole(b"<!DOCTYPE html><html>Please log in</html>"), "not a torrent: it is a web page (HTML)"),
        ("json", whole(b"{\"error\": \"not found\"}"), "not a torrent: it does not begin like one"),
        ("noise", whole(&noise(3, 5000)), "not a torrent: it does not begin like one"),
        ("gzip", Behaviour::raw(packed), "not a torrent: it does not begin like one"),
        ("half", whole(&good[..good.len() / 2]), "not a valid torrent: the string at byte 112 claims 10 bytes, but only 2 follow"),
        ("length-under", short, "not a valid torrent: the string at byte 1 claims 8 bytes, but only 2 follow"),
        ("twice", whole(&[&good[..], &good].concat()), "not a valid torrent: there are 235 bytes after its end"),
        ("nested", whole(&nested), "not a valid torrent: the value at byte 256 is nested deeper than 64 levels"),
        ("version-2", whole(&version_2.encode()), "it is a version 2 torrent (BEP 52), which is not supported; publish a hybrid or version 1 torrent"),
        ("leaves", whole(&torrent_of("Pack", 16384, &[("../a.txt", b"a")]).encode()), "file 1 `../a.txt`: it has a `..` component"),
    ]
}

fn installed() -> Tree {
    Tree::default().with("mods/core.pak", vec![7; 40_000]).with("readme.txt", "installed")
}

/// The torrent of what is installed.
fn good() -> Vec<u8> {
    let tree = installed();
    let files: Vec<_> = tree.0.iter().map(|(path, bytes)| (&path[..], &bytes[..])).collect();
    torrent_of("Pack", 16384, &files).encode()
}

/// A computer on which a pack of its own follows each fault.
struct Player {
    dir: tempfile::TempDir,
}

impl Player {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join("packs").join(name)
    }

    /// Writes the settings: a pack for each fault that follows this address.
    fn follow(&self, faults: &[Fault], url: impl Fn(&Fault) -> String) {
        let mut text = String::new();
        for fault in faults {
            let folder = self.folder(&fault.name);
            let _ = writeln!(text, "[[pack]]\nname = {:?}\nurl = {:?}", fault.name, url(fault));
            let _ =
                writeln!(text, "folder = '{}'\nseed = false\nauto_apply = true", folder.display());
        }
        text += "[network]\ndht = false\nlocal_discovery = false\ntrackers = false\nupnp = false\n";
        let new = self.dir.path().join("config.new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.dir.path().join("config.toml")).unwrap();
    }

    fn engine(&self, servers: &Servers) -> Running {
        let certificate = self.dir.path().join("trusted.pem");
        fs::write(&certificate, servers.trusted.certificate().unwrap()).unwrap();
        let mut command = self.command("run");
        command.env("SSL_CERT_FILE", certificate);
        let mut engine = Running::start(command);
        engine.says(" running ");
        engine
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_modsync"));
        command.args(arguments.split_whitespace());
        command.env("MODSYNC_CONFIG", self.dir.path().join("config.toml"));
        command.env("MODSYNC_STATE", self.dir.path().join("state"));
        command
    }

    /// Waits until all packs are so. Each as it was first seen so, and when that was.
    fn await_packs(&self, is_so: impl Fn(&Value) -> bool) -> BTreeMap<String, (Value, SystemTime)> {
        let end = Instant::now() + LIMIT;
        let mut found = BTreeMap::new();
        loop {
            let output = self.command("status --json").output().unwrap();
            let status: Value = serde_json::from_slice(&output.stdout).unwrap();
            let packs = status["packs"].as_array().unwrap();
            for pack in packs.iter().filter(|pack| is_so(pack)) {
                let name = pack["name"].as_str().unwrap().to_owned();
                found.entry(name).or_insert_with(|| (pack.clone(), SystemTime::now()));
            }
            let missing = || packs.iter().filter(|pack| !is_so(pack)).collect::<Vec<_>>();
            if found.len() == packs.len() {
                return found;
            }
            assert!(Instant::now() < end, "still not so: {:#?}", missing());
            thread::sleep(LOOK);
        }
    }
}
