//! Clients that take their time: each is closed when its own setting says so, and nobody else
//! notices them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::probe::Probe;
use crate::support::usage::Usage;
use crate::support::{Ask, Connection, Service, Start, assert_envelope, unknown_token};

const CHECK: &[u8] = b"GET /api/auth/check HTTP/1.1\r\nhost: localhost\r\n\r\n";
const HALF_HEAD: &[u8] = b"GET /api/auth/check HTTP/1.1\r\nhost: nep";

const SECOND: Duration = Duration::from_secs(1);
const HEADER_TIMEOUT: Duration = Duration::from_millis(1500);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_millis(3500);

/// Preflights of its pages get the longest answers there are.
const ORIGIN: &str = "https://app.example";

fn impatient() -> Service {
    Service::with(&[
        "--header-timeout",
        "1500ms",
        "--request-timeout",
        "2s",
        "--keep-alive-timeout",
        "3500ms",
        "--allowed-origins",
        ORIGIN,
    ])
}

/// Waits until the other side has closed `stream`, reading all it says; since when `since`.
fn closed_after(mut stream: &TcpStream, since: Instant) -> Duration {
    stream
        .set_read_timeout(Some(Duration::from_secs(15)))
        .unwrap();
    loop {
        match stream.read(&mut [0; 4096]) {
            Ok(0) => return since.elapsed(),
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
                return since.elapsed();
            }
        }
    }
}

fn silence(address: SocketAddr) -> Duration {
    let stream = TcpStream::connect(address).unwrap();
    closed_after(&stream, Instant::now())
}

fn half_a_head(address: SocketAddr) -> Duration {
    let mut stream = TcpStream::connect(address).unwrap();
    sleep(SECOND / 2);
    stream.write_all(HALF_HEAD).unwrap();
    closed_after(&stream, Instant::now())
}

/// Half a head in one breath with a whole request before it.
fn half_a_head_behind_a_request(address: SocketAddr) -> Duration {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&[CHECK, HALF_HEAD].concat()).unwrap();
    closed_after(&stream, Instant::now())
}

/// The same behind one with a body.
fn half_a_head_behind_a_body(address: SocketAddr) -> Duration {
    let mut connection = Connection::open(address);
    let issue = Ask::login("42");
    connection.write(&[&issue.bytes(), HALF_HEAD].concat());
    assert_eq!(connection.answer_to("POST").status, 201);
    closed_after(connection.stream(), Instant::now())
}

fn a_byte_now_and_then(address: SocketAddr) -> Duration {
    let mut stream = TcpStream::connect(address).unwrap();
    let begun = Instant::now();
    let head = [HALF_HEAD, &[b'x'; 100]].concat();
    for byte in head.chunks(1) {
        if stream.write_all(byte).is_err() {
            break;
        }
        stream
            .set_read_timeout(Some(Duration::from_millis(250)))
            .unwrap();
        if stream.read(&mut [0; 1]).is_ok_and(|read| read == 0) {
            break;
        }
    }
    begun.elapsed()
}

fn half_a_body(address: SocketAddr) -> Duration {
    let mut connection = Connection::open(address);
    let ask = Ask::authorized("POST", "/admin/sessions")
        .header("content-type", "application/json")
        .header("content-length", "100");
    connection.write(&[&ask.bytes()[..], b"{\"user\":"].concat());
    let begun = Instant::now();
    let answer = connection.answer_to("POST");
    let sentence = "The request was not complete in time";
    assert_envelope(&answer, 408, "Request Timeout", sentence);
    closed_after(connection.stream(), begun)
}

fn idle_after_a_request(address: SocketAddr) -> Duration {
    let mut connection = Connection::open(address);
    connection.write(CHECK);
    connection.answer_to("GET");
    closed_after(connection.stream(), Instant::now())
}

/// Asks and asks and reads `sip` bytes of the answers at a time, or nothing at all; since its
/// questions were no longer taken.
fn reads_too_little(address: SocketAddr, sip: usize) -> Duration {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    // Before connecting, or the other side believes that there is more room.
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_send_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    let pause = Duration::from_millis(50);
    stream.set_write_timeout(Some(pause)).unwrap();
    stream.set_read_timeout(Some(pause)).unwrap();
    // Long answers, so that it takes few of them.
    let ask = Ask::new("OPTIONS", "/api/auth/check")
        .header("origin", ORIGIN)
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "x".repeat(8000))
        .bytes();
    let mut sent = 0;
    let mut stuck = None;
    loop {
        match stream.write(&ask[sent..]) {
            Ok(more) => {
                sent = (sent + more) % ask.len();
                stuck = None;
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                stuck.get_or_insert_with(Instant::now);
            }
            Err(_closed) => {
                let since: Instant = stuck.expect("it is closed because nothing can be written");
                return since.elapsed();
            }
        }
        if stuck.is_some() && sip > 0 {
            let _ = stream.read(&mut vec![0; sip]);
        }
    }
}

/// 50 slow clients of each kind at once. Under a second load the time limits say nothing, so
/// `tests/run` gives the tests of this module the machine for themselves.
#[test]
fn slow_clients_are_closed_in_time_and_nobody_notices_them() {
    const CLIENTS: usize = 50;
    type Client = (&'static str, Duration, Box<dyn Fn() -> Duration + Sync>);
    let service = impatient();
    let (public, admin) = (service.public, service.admin);
    let kinds: [Client; 9] = [
        ("silence", HEADER_TIMEOUT, Box::new(move || silence(public))),
        (
            "half a head",
            HEADER_TIMEOUT,
            Box::new(move || half_a_head(public)),
        ),
        (
            "half a head behind a request",
            HEADER_TIMEOUT,
            Box::new(move || half_a_head_behind_a_request(public)),
        ),
        (
            "half a head behind a body",
            HEADER_TIMEOUT,
            Box::new(move || half_a_head_behind_a_body(admin)),
        ),
        (
            "a byte now and then",
            HEADER_TIMEOUT,
            Box::new(move || a_byte_now_and_then(public)),
        ),
        (
            "half a body",
            REQUEST_TIMEOUT,
            Box::new(move || half_a_body(admin)),
        ),
        (
            "idle",
            KEEP_ALIVE_TIMEOUT,
            Box::new(move || idle_after_a_request(public)),
        ),
        (
            "never reading",
            REQUEST_TIMEOUT,
            Box::new(move || reads_too_little(public, 0)),
        ),
        (
            "reading a little",
            REQUEST_TIMEOUT,
            Box::new(move || reads_too_little(public, 1)),
        ),
    ];
    // A service that nobody bothers tells what this machine can do just now.
    let undisturbed = Service::start();
    let control = Probe::start(undisturbed.public);
    let probe = Probe::start(public);
    let complaints = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let complaints = &complaints;
        for (kind, setting, client) in &kinds {
            // That they all come at once is `overload`'s business.
            sleep(SECOND / 5);
            for _ in 0..CLIENTS {
                scope.spawn(move || {
                    let took = client();
                    // How long the other side has been unable to write, only it can tell: it is
                    // stuck at about the time when its clients are.
                    let (early, late) = if kind.contains("reading") {
                        (*setting * 3 / 4, SECOND * 2)
                    } else {
                        (Duration::from_millis(300), SECOND)
                    };
                    let is_in_time = *setting <= took + early && took <= *setting + late;
                    if !is_in_time {
                        let complaint = format!("{kind}: closed after {took:?}");
                        complaints.lock().unwrap().push(complaint);
                    }
                });
            }
        }
    });
    let (usual, seen) = (control.finish(), probe.finish());
    let mut complaints = complaints.into_inner().unwrap();
    let most = Duration::from_millis(50).max(usual.p99 * 2);
    if seen.p99 >= most || seen.count < 100 {
        complaints.push(format!("{seen:?}, undisturbed {usual:?}"));
    }
    println!("probe: {seen:?}, undisturbed: {usual:?}");
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// 200 connections that present as many values as a head holds, again and again, and one client
/// beside them.
#[test]
fn requests_of_hundreds_of_values_weigh_little_and_keep_nobody_waiting() {
    const CONNECTIONS: usize = 200;
    let cases = [
        (Start::redis(), "tokens", 265),
        (Start::redis(), "no tokens", 780),
        (Start::memory(), "tokens", 265),
    ];
    for (start, what, values) in cases {
        let service = start.with(&["--request-timeout", "60s"]);
        let mut honest = Connection::open(service.public);
        let check = Ask::check(&service.token_of("42"));
        let value = |connection: usize, number: usize| match what {
            "tokens" => unknown_token(connection * 1_000 + number),
            _ => format!("{number}"),
        };
        let request = |connection: usize| {
            let values: Vec<String> = (0..values).map(|it| value(connection, it)).collect();
            let (path, method) = [("logout", "POST"), ("check", "GET")][connection % 2];
            let ask = Ask::new(method, &format!("/api/auth/{path}"));
            ask.sessions(&values).bytes()
        };
        let mut flood: Vec<Connection> = (0..CONNECTIONS)
            .map(|_| Connection::open(service.public))
            .collect();
        assert_eq!(honest.ask(&check).status, 204);
        let before = Usage::of(service.pid()).resident_bytes;
        let mut longest = Duration::ZERO;
        for _ in 0..3 {
            for (number, connection) in flood.iter_mut().enumerate() {
                connection.write(&request(number));
            }
            for _ in 0..20 {
                let begun = Instant::now();
                assert_eq!(honest.ask(&check).status, 204);
                longest = longest.max(begun.elapsed());
            }
            for connection in &mut flood {
                let status = connection.answer_to("GET").status;
                assert!(matches!(status, 200 | 401), "{status}");
            }
        }
        let added = Usage::of(service.pid()).peak_bytes - before;
        println!("{what}: {added} bytes more, an honest check took {longest:?} at most");
        assert!(added <= 32 << 20, "{what}: {added} bytes");
        // In a release build 100 ms.
        assert!(longest < SECOND, "{what}: {longest:?}");
    }
}

#[test]
fn a_request_in_time_starts_the_clocks_anew() {
    let service = impatient();
    let mut connection = Connection::open(service.public);
    // For longer than any of the settings, with pauses shorter than each.
    for _ in 0..5 {
        connection.write(HALF_HEAD);
        sleep(HEADER_TIMEOUT * 2 / 3);
        connection.write(b"tun.test\r\n\r\n");
        assert_eq!(connection.answer_to("GET").status, 401);
    }
    // And an idle connection is not a slow head.
    sleep(HEADER_TIMEOUT + SECOND / 2);
    assert_eq!(connection.ask(&Ask::get("/api/auth/check")).status, 401);
}

#[test]
fn a_request_with_a_body_leaves_its_connection_idle_and_not_late() {
    let service = impatient();
    let mut connection = Connection::open(service.admin);
    let issue = Ask::login("42");
    let logout = Ask::post("/api/auth/logout").json("{}");
    let mut public = Connection::open(service.public);
    for _ in 0..2 {
        assert_eq!(connection.ask(&issue).status, 201);
        assert_eq!(public.ask(&logout).status, 401);
        sleep(HEADER_TIMEOUT + SECOND / 2);
    }
}
