//! An origin may answer anything at all: each fault ends soon, in the right kind and in clear words,
//! and nothing is asked twice.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use modsync::model::fault::{Fault, FaultKind};
use modsync::net::http::{Http, Limits};
use modsync::net::remote::{Fetched, RemoteError, Validators, fetch};

use super::faulty::{Behaviour, Faulty, answer, refused_address};

const CAP: usize = 64 << 10;

/// So patient that no busy machine makes it give up: what ends early ends for another reason.
static PATIENT: LazyLock<Http> = LazyLock::new(|| client(MINUTE, MINUTE));

const MINUTE: Duration = Duration::from_mins(1);

fn client(idle: Duration, total: Duration) -> Http {
    let limits = Limits { idle, total, max_bytes: CAP, ..Limits::default() };
    Http::new(None, limits).unwrap()
}

async fn get(url: &str) -> Result<Fetched, RemoteError> {
    fetch(&PATIENT, url, None).await
}

async fn bytes(url: &str) -> Vec<u8> {
    match get(url).await.unwrap() {
        Fetched::Bytes { bytes, .. } => bytes,
        Fetched::Unchanged => panic!("{url}: unchanged from nothing"),
    }
}

async fn fault(url: &str) -> Fault {
    match get(url).await {
        Err(error) => error.fault(url),
        Ok(fetched) => panic!("{url}: {fetched:?}"),
    }
}

fn etag(tag: &str) -> Validators {
    Validators { etag: Some(tag.to_owned()), last_modified: None }
}

/// Every way to fail: its path, its behaviour, the kind of fault, words of the message.
fn failures() -> Vec<(&'static str, Behaviour, FaultKind, &'static str)> {
    use FaultKind::{OriginRefused as Refused, OriginUnreachable as Unreachable};
    let ok = |rest: &str| Behaviour::raw(format!("HTTP/1.1 200 OK\r\n{rest}"));
    let flood = "X-Flood: and another one of these\r\n".repeat(50_000);
    vec![
        (
            "/400",
            Behaviour::status("400 Bad Request"),
            Refused,
            "the server answered 400 Bad Request",
        ),
        ("/401", Behaviour::status("401 Unauthorized"), Refused, "answered 401 Unauthorized"),
        ("/403", Behaviour::status("403 Forbidden"), Refused, "answered 403 Forbidden"),
        ("/404", Behaviour::status("404 Not Found"), Refused, "answered 404 Not Found"),
        ("/410", Behaviour::status("410 Gone"), Refused, "answered 410 Gone"),
        ("/408", Behaviour::status("408 Request Timeout"), Unreachable, "answered 408"),
        ("/429", Behaviour::status("429 Too Many Requests"), Unreachable, "answered 429"),
        ("/500", Behaviour::status("500 Internal Server Error"), Unreachable, "answered 500"),
        ("/502", Behaviour::status("502 Bad Gateway"), Unreachable, "answered 502"),
        ("/599", Behaviour::status("599 Strange"), Unreachable, "answered 599"),
        ("/204", Behaviour::raw("HTTP/1.1 204 No Content\r\n\r\n"), Refused, "answered 204"),
        ("/206", Behaviour::status("206 Partial Content"), Refused, "answered 206"),
        ("/300", Behaviour::status("300 Multiple Choices"), Refused, "answered 300"),
        ("/nowhere", Behaviour::status("302 Found"), Refused, "answered 302 Found"),
        ("/304", Behaviour::status("304 Not Modified"), Refused, "304 Not Modified although"),
        ("/cut", ok("Content-Length: 1000\r\n\r\nd8:ann"), Unreachable, "broke off"),
        (
            "/cut-chunk",
            ok("Transfer-Encoding: chunked\r\n\r\n10\r\nd8:ann"),
            Unreachable,
            "broke off",
        ),
        ("/bad-chunk", ok("Transfer-Encoding: chunked\r\n\r\nzz\r\nd8"), Unreachable, "broke off"),
        ("/bad-length", ok("Content-Length: many\r\n\r\nd8"), Unreachable, "is not HTTP"),
        ("/cut-head", ok("Content-Type: text"), Unreachable, "broke off"),
        ("/closed", Behaviour::raw(""), Unreachable, "broke off"),
        (
            "/garbage",
            Behaviour::raw([0x16, 0x03, 0xff, 0x00, b'\n'].repeat(99)),
            Unreachable,
            "is not HTTP",
        ),
        ("/ssh", Behaviour::raw("SSH-2.0-OpenSSH_9.6\r\n"), Unreachable, "is not HTTP"),
        ("/flood", ok(&format!("{flood}\r\n")), Unreachable, "is not HTTP"),
        ("/endless", Behaviour::endless(), Refused, "larger than 65536 bytes"),
        ("/huge", ok("Content-Length: 99999999999\r\n\r\nd8"), Refused, "larger than 65536 bytes"),
        ("/circle", Behaviour::redirect("/circle"), Refused, "redirects in a circle"),
        ("/ping", Behaviour::redirect("/pong"), Refused, "redirects in a circle"),
        ("/pong", Behaviour::redirect("/ping"), Refused, "redirects in a circle"),
        (
            "/file",
            Behaviour::redirect("file:///etc/passwd"),
            Refused,
            "`file:///etc/passwd`, which is neither",
        ),
        ("/data", Behaviour::redirect("data:text/plain,d8"), Refused, "which is neither"),
        ("/ftp", Behaviour::redirect("ftp://127.0.0.1/p.torrent"), Refused, "which is neither"),
        ("/unreadable", Behaviour::redirect("http://"), Refused, "not an address"),
        ("/to-404", Behaviour::redirect("/missing"), Refused, "answered 404 Not Found"),
    ]
}

#[tokio::test]
async fn every_fault_ends_soon_with_its_kind_and_its_reason() {
    let server = Faulty::start();
    let failures = failures();
    for (path, behaviour, ..) in &failures {
        server.set(path, behaviour.clone());
    }
    for (path, _, kind, words) in failures {
        let url = server.url(path);
        let before = server.hits(path);
        let fault = fault(&url).await;
        let start = format!("could not fetch `{url}`: ");
        assert_eq!(fault.kind, kind, "{fault}");
        assert!(fault.what.starts_with(&start) && fault.what.contains(words), "{fault}");
        assert!(fault.hint.ends_with('.'), "{fault:?}");
        assert_eq!(server.hits(path), before + 1, "{path}");
    }
}

#[tokio::test]
async fn an_answer_that_stalls_or_drips_is_not_waited_for() {
    let server = Faulty::start();
    let short = Duration::from_millis(200);
    let (idle, total) = (client(short, MINUTE), client(MINUTE, short));
    let ok = |rest: &str| format!("HTTP/1.1 200 OK\r\n{rest}").into_bytes();
    let soon = b"HTTP/1.1 100 Continue\r\n\r\n".to_vec();
    for (path, behaviour, http, words) in [
        ("/silent", Behaviour::Stall(vec![]), &idle, "the server did not answer in time"),
        ("/head", Behaviour::Stall(ok("X: ")), &idle, "the server did not answer in time"),
        (
            "/body",
            Behaviour::Stall(ok("Content-Length: 9\r\n\r\nd8")),
            &idle,
            "did not answer in time",
        ),
        ("/drip", Behaviour::Drip(ok("\r\n"), short / 10), &total, "not complete after 200ms"),
        ("/drip-head", Behaviour::Drip(ok("X: "), short / 10), &total, "not complete after 200ms"),
        ("/soon", Behaviour::Flood(vec![], soon), &total, "not complete after 200ms"),
    ] {
        let url = server.set(path, behaviour);
        let start = Instant::now();
        let fault = fetch(http, &url, None).await.unwrap_err().fault(&url);
        assert!(start.elapsed() < MINUTE / 2, "{path} took {:?}", start.elapsed());
        assert_eq!(fault.kind, FaultKind::OriginUnreachable);
        assert!(fault.what.contains(words), "{fault}");
        assert_eq!(server.hits(path), 1, "{path}");
    }
}

#[tokio::test]
async fn any_body_with_status_200_is_handed_on_as_it_came() {
    let server = Faulty::start();
    let gzip = answer("200 OK", &[("Content-Encoding", "gzip".into())], b"d8:not gzip");
    for (path, behaviour, expected) in [
        (
            "/html",
            Behaviour::raw(answer("200 OK", &[], b"<html>log in</html>")),
            &b"<html>log in</html>"[..],
        ),
        ("/empty", Behaviour::raw(answer("200 OK", &[], b"")), b""),
        ("/gzip", Behaviour::Raw(gzip), b"d8:not gzip"),
        ("/until-closed", Behaviour::raw("HTTP/1.1 200 OK\r\n\r\nd8"), b"d8"),
        (
            "/chunked",
            Behaviour::raw(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nd8\r\n0\r\n\r\n",
            ),
            b"d8",
        ),
        ("/at-the-cap", Behaviour::pack(vec![b'x'; CAP], "\"1\""), &vec![b'x'; CAP]),
    ] {
        assert_eq!(bytes(&server.set(path, behaviour)).await, expected, "{path}");
    }
}

#[tokio::test]
async fn redirects_within_the_limit_are_followed_and_one_more_is_not() {
    let server = Faulty::start();
    server.set("/dir/pack.torrent", Behaviour::pack("d8", "\"1\""));
    for (path, line, to) in [
        ("/1", "301 Moved Permanently", "/2"),
        ("/2", "303 See Other", "?step=3"),
        ("/2?step=3", "307 Temporary Redirect", "/dir/4"),
        ("/dir/4", "308 Permanent Redirect", "./5"),
    ] {
        server.set(path, Behaviour::status_with(line, "Location", to));
    }
    server.set("/dir/5", Behaviour::redirect(server.url("/dir/pack.torrent")));
    assert_eq!(bytes(&server.url("/1")).await, b"d8");

    let one_more = server.set("/0", Behaviour::redirect("/1"));
    let fault = fault(&one_more).await;
    assert_eq!(fault.kind, FaultKind::OriginRefused);
    assert!(fault.what.contains("redirects more than 5 times"), "{fault}");
    assert_eq!(server.hits("/dir/pack.torrent"), 1);
}

#[tokio::test]
async fn the_second_look_is_conditional_and_costs_nothing() {
    let server = Faulty::start();
    let url = server.set("/pack.torrent", Behaviour::pack("d8", "\"one\""));
    let Fetched::Bytes { validators, .. } = get(&url).await.unwrap() else { panic!() };
    assert_eq!(validators.etag.as_deref(), Some("\"one\""));
    assert_eq!(validators.last_modified.as_deref(), Some("Sun, 06 Nov 1994 08:49:37 GMT"));

    assert_eq!(fetch(&PATIENT, &url, Some(&validators)).await.unwrap(), Fetched::Unchanged);
    let requests = server.requests();
    assert!(!requests[0].headers.contains_key("if-none-match"));
    let second = &requests[1].headers;
    assert_eq!(second["if-none-match"], "\"one\"");
    assert_eq!(second["if-modified-since"], "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(second["user-agent"], concat!("modsync/", env!("CARGO_PKG_VERSION")));
    assert_eq!(second["accept-encoding"], "identity");

    server.set("/pack.torrent", Behaviour::pack("d9", "\"two\""));
    let changed = fetch(&PATIENT, &url, Some(&validators)).await.unwrap();
    assert!(matches!(changed, Fetched::Bytes { bytes, .. } if bytes == b"d9"));
}

#[tokio::test]
async fn an_etag_that_lies_hides_a_change_only_until_the_next_full_get() {
    let server = Faulty::start();
    let url = server.set("/pack.torrent", Behaviour::pack("d8", "\"same\""));
    assert_eq!(bytes(&url).await, b"d8");
    server.set("/pack.torrent", Behaviour::pack("d9", "\"same\""));
    let conditional = fetch(&PATIENT, &url, Some(&etag("\"same\""))).await.unwrap();
    assert_eq!(conditional, Fetched::Unchanged);
    assert_eq!(bytes(&url).await, b"d9");
}

#[tokio::test]
async fn validators_that_cannot_be_sent_make_the_request_unconditional() {
    let server = Faulty::start();
    let url = server.set("/304", Behaviour::status("304 Not Modified"));
    let bad = etag("\"a\r\nHost: evil\"");
    let error = fetch(&PATIENT, &url, Some(&bad)).await.unwrap_err();
    assert!(matches!(error, RemoteError::UnchangedFromNothing));

    let long = server.set("/long", Behaviour::pack("d8", &"x".repeat(2000)));
    let Fetched::Bytes { validators, .. } = get(&long).await.unwrap() else { panic!() };
    assert_eq!(validators.etag, None);
}

#[tokio::test]
async fn retry_after_is_heard_within_reason() {
    let server = Faulty::start();
    let in_a_minute = SystemTime::now() + Duration::from_mins(1);
    for (path, line, value, least, most) in [
        ("/seconds", "503 Service Unavailable", "120".to_owned(), 120, 120),
        ("/date", "429 Too Many Requests", httpdate::fmt_http_date(in_a_minute), 50, 60),
        ("/huge", "503 Service Unavailable", "999999999999999999999".to_owned(), 21600, 21600),
    ] {
        let url = server.set(path, Behaviour::status_with(line, "Retry-After", value));
        let fault = fault(&url).await;
        assert_eq!(fault.kind, FaultKind::OriginUnreachable);
        assert!(fault.retry_after.is_some_and(|s| (least..=most).contains(&s)), "{fault:?}");
    }
    for (path, line, value) in
        [("/garbage", "503 Service Unavailable", "in a while"), ("/other", "404 Not Found", "120")]
    {
        let url = server.set(path, Behaviour::status_with(line, "Retry-After", value));
        assert_eq!(fault(&url).await.retry_after, None, "{path}");
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_not_a_tls_error() {
    for scheme in ["http", "https"] {
        let fault = fault(&format!("{scheme}://{}/p.torrent", refused_address())).await;
        assert_eq!(fault.kind, FaultKind::Offline);
        assert!(fault.what.contains("could not connect"), "{fault}");
    }
}

#[tokio::test]
async fn a_host_without_an_address_may_be_one_as_soon_as_there_is_a_network() {
    let fault = fault("http://no-such-host.invalid/p.torrent").await;
    assert_eq!(fault.kind, FaultKind::Offline);
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_refused_before_anything_is_asked() {
    let server = Faulty::start_tls();
    let url = server.set("/pack.torrent", Behaviour::pack("d8", "\"1\""));
    let fault = fault(&url).await;
    assert_eq!(fault.kind, FaultKind::OriginRefused);
    assert!(fault.what.contains("the secure connection failed"), "{fault}");
    assert!(fault.what.contains("certificate"), "{fault}");
    assert_eq!(server.hits("/pack.torrent"), 0);
}

#[tokio::test]
async fn plain_http_on_an_https_address_is_a_tls_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let fault = fault(&format!("https://{address}/p.torrent")).await;
    assert_eq!(fault.kind, FaultKind::OriginRefused);
    assert!(fault.what.contains("the secure connection failed"), "{fault}");
    server.join().unwrap();
}

#[tokio::test]
async fn secrets_of_an_address_are_used_but_not_shown_and_not_passed_on() {
    let (server, other) = (Faulty::start(), Faulty::start());
    server.set("/p", Behaviour::redirect(other.url("/q?token=other")));
    let url = format!("http://me:secret@{}/p?key=hidden", server.address());
    let error = get(&url).await.unwrap_err();
    let fault = error.fault(&url);
    assert_eq!(
        fault.what,
        format!("could not fetch `{}`: the server answered 404 Not Found", server.url("/p"))
    );
    for secret in ["secret", "hidden", "me:", "token"] {
        assert!(!format!("{fault:?} {error:?}").contains(secret), "{fault:?} {error:?}");
    }
    assert!(server.requests()[0].headers.contains_key("authorization"));
    assert_eq!(server.requests()[0].path, "/p?key=hidden");
    let passed_on = &other.requests()[0].headers;
    assert!(!passed_on.contains_key("authorization") && !passed_on.contains_key("referer"));
}

#[tokio::test]
async fn what_is_no_web_address_is_refused_without_a_request() {
    for url in ["file:///etc/passwd", "ftp://127.0.0.1/x", "nonsense", "http://"] {
        let fault = fault(url).await;
        assert_eq!(fault.kind, FaultKind::OriginRefused, "{fault}");
        assert!(fault.what.contains("not an http or https address"), "{fault}");
    }
}

#[test]
fn a_proxy_that_is_no_address_is_refused_and_its_password_not_shown() {
    let error = Http::new(Some("socks5://me:secret@:0:0"), Limits::default()).unwrap_err();
    let error = error.to_string();
    assert!(error.starts_with("could not use the proxy") && !error.contains("secret"), "{error}");
}
