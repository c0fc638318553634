//! The end: readiness first, nobody who has asked left without an answer, and nobody able to
//! hold it up.

use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::faulty::{Fault, FaultyService};
use crate::support::ports::free_address;
use crate::support::service::{binary, listen_at};
use crate::support::{Ask, Connection, Process, Service, assert_envelope, wait_until};

fn check() -> Ask {
    Ask::get("/api/auth/check")
}

#[test]
fn readiness_goes_first_and_every_answer_closes_its_connection() {
    let mut service = Service::start();
    let mut ready = Connection::open(service.admin);
    assert_eq!(ready.ask(&Ask::get("/readyz")).status, 200);
    let mut alive = Connection::open(service.admin);
    assert_eq!(alive.ask(&Ask::get("/healthz")).header("connection"), None);
    let mut public = Connection::open(service.public);
    assert_eq!(public.ask(&check()).header("connection"), None);

    service.signal("TERM");
    service.wait_for_line("shutting down");
    let answer = ready.ask(&Ask::get("/readyz"));
    assert_envelope(&answer, 503, "Service Unavailable", "Shutting down");
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(
        alive.ask(&Ask::get("/healthz")).header("connection"),
        Some("close")
    );
    let answer = public.ask(&check());
    assert_eq!(
        (answer.status, answer.header("connection")),
        (401, Some("close"))
    );
    for mut connection in [ready, alive, public] {
        assert!(connection.is_closed_within(Duration::from_secs(2)));
    }
    assert_eq!(service.wait().0.code(), Some(0));
}

#[test]
fn idle_connections_hold_up_nothing_and_the_exit_code_is_0() {
    for signal in ["TERM", "INT", "HUP"] {
        let service = Service::start();
        let mut idle: Vec<Connection> = (0..20)
            .map(|_| {
                let mut connection = Connection::open(service.public);
                assert_eq!(connection.ask(&check()).status, 401);
                connection
            })
            .collect();
        let silent = TcpStream::connect(service.public).unwrap();
        let begun = Instant::now();
        service.signal(signal);
        for connection in &mut idle {
            assert!(connection.is_closed_within(Duration::from_secs(5)));
        }
        let (status, log) = service.wait();
        assert_eq!(status.code(), Some(0));
        assert!(
            begun.elapsed() < Duration::from_secs(4),
            "{:?}",
            begun.elapsed()
        );
        assert!(
            log.last().unwrap().contains("neptun-auth is down"),
            "{log:#?}"
        );
        drop(silent);
    }
}

#[test]
fn whoever_has_connected_by_then_is_still_answered() {
    let service = Service::start();
    // While it is stopped, connections and the signal pile up.
    service.signal("STOP");
    let mut waiting: Vec<Connection> = (0..50)
        .map(|_| {
            let mut connection = Connection::open(service.public);
            connection.write(&check().bytes());
            connection
        })
        .collect();
    service.signal("TERM");
    service.signal("CONT");
    for connection in &mut waiting {
        // Whether before or after the service has seen the signal.
        assert_eq!(connection.answer_to("GET").status, 401);
    }
    assert_eq!(service.wait().0.code(), Some(0));
}

#[test]
fn half_heads_and_half_bodies_hold_it_no_longer_than_the_timeout() {
    let service = Service::with(&["--shutdown-timeout", "2s"]);
    let mut held: Vec<TcpStream> = Vec::new();
    let half_body = Ask::authorized("POST", "/admin/sessions")
        .header("content-type", "application/json")
        .header("content-length", "100")
        .bytes();
    for _ in 0..10 {
        for (address, bytes) in [
            (service.public, &b""[..]),
            (service.public, &b"GET / HTTP/1.1\r\nhos"[..]),
            (service.admin, &half_body),
        ] {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(bytes).unwrap();
            held.push(stream);
        }
    }
    // By now all of it has arrived.
    assert_eq!(check().send(service.public).status, 401);
    assert_eq!(service.status_of("/healthz"), 200);
    let begun = Instant::now();
    let (status, log) = service.stop();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(status.code(), Some(0));
    assert!(
        log.last().unwrap().contains("neptun-auth is down"),
        "{log:#?}"
    );
}

#[test]
fn a_request_in_the_works_is_finished_first() {
    let mut service = FaultyService::patient();
    let token = service.token_of("42");
    service.fail(Fault::Waits);
    let mut connection = Connection::open(service.public);
    connection.write(&Ask::logout(&token).bytes());
    service.wait_until_called();
    let public = service.public;
    let is_down = service.shut_down();
    // Once nobody new is let in, the end has well begun.
    wait_until("the listener is closed", || {
        TcpStream::connect(public).is_err()
    });
    service.release(1, Fault::None);
    let answer = connection.answer_to("POST");
    assert_eq!(
        (&*answer.body, answer.header("connection")),
        ("true", Some("close"))
    );
    assert_eq!(is_down(), 0);
}

#[test]
fn a_request_that_is_stuck_is_cut_at_the_timeout_and_counted() {
    let mut service = FaultyService::patient();
    let token = service.token_of("42");
    service.fail(Fault::Hangs);
    let mut connection = Connection::open(service.public);
    connection.write(&Ask::logout(&token).bytes());
    let mut witness = Connection::open(service.public);
    assert_eq!(witness.ask(&check()).status, 401);
    let begun = Instant::now();
    let is_down = service.shut_down();
    assert_eq!(is_down(), 1);
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    assert!(connection.try_answer_to("POST").is_none());
}

/// A service that takes its time to end, and a connection that it waits for.
fn held_up() -> (Service, Connection) {
    let service = Service::with(&["--shutdown-timeout", "60s", "--header-timeout", "60s"]);
    let half_body = Ask::authorized("POST", "/admin/sessions")
        .header("content-type", "application/json")
        .header("content-length", "100");
    let mut stuck = Connection::open(service.admin);
    stuck.write(&half_body.bytes());
    assert_eq!(service.status_of("/healthz"), 200);
    (service, stuck)
}

fn assert_exits_at_once(service: Service, signal: &str) {
    let begun = Instant::now();
    service.signal(signal);
    let (status, log) = service.wait();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(status.code(), Some(130));
    let last = log.last().unwrap();
    assert!(last.contains(&format!("SIG{signal} again")), "{log:#?}");
}

#[test]
fn a_second_signal_exits_at_once() {
    for (first, second) in [("TERM", "INT"), ("INT", "TERM")] {
        let (mut service, _stuck) = held_up();
        service.signal(first);
        service.wait_for_line("shutting down");
        assert_exits_at_once(service, second);
    }
}

#[test]
fn a_signal_that_is_delivered_twice_is_one_signal() {
    for (first, second) in [
        ("TERM", "TERM"),
        ("INT", "INT"),
        ("TERM", "HUP"),
        ("HUP", "TERM"),
    ] {
        let (mut service, mut stuck) = held_up();
        service.signal(first);
        service.wait_for_line("shutting down");
        let begun = Instant::now();
        service.signal(second);
        // Longer than one that exits at once takes.
        assert!(!stuck.is_closed_within(Duration::from_millis(900)));
        // From a second after the first on, it is another one.
        std::thread::sleep(Duration::from_millis(1100).saturating_sub(begun.elapsed()));
        assert_exits_at_once(service, first);
    }
}

#[test]
fn a_hangup_that_was_ignored_at_the_start_stays_ignored() {
    let mut command = Command::new("nohup");
    command.env_clear().arg(binary().get_program());
    let mut service = Service::spawn(command);
    service.signal("HUP");
    assert_eq!(service.status_of("/readyz"), 200);
    service.signal("TERM");
    let line = service.wait_for_line("shutting down");
    assert!(line.contains("SIGTERM"), "{line}");
    assert_eq!(service.wait().0.code(), Some(0));
}

#[test]
fn under_load_no_answer_is_cut_off() {
    let service = Service::start();
    let (public, token) = (service.public, service.token_of("42"));
    let begun = Instant::now();
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let ask = check().session(&token);
            std::thread::spawn(move || {
                let mut connection = Connection::open(public);
                for count in 1.. {
                    // Panics if the answer is missing or cut off.
                    let answer = connection.ask(&ask);
                    assert_eq!(answer.status, 204);
                    if answer.header("connection") == Some("close") {
                        assert!(connection.is_closed_within(Duration::from_secs(5)));
                        return count;
                    }
                }
                unreachable!()
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    let (status, log) = service.stop();
    let counts: Vec<u32> = clients
        .into_iter()
        .map(|client| client.join().unwrap())
        .collect();
    assert!(counts.iter().all(|&count| count > 1), "{counts:?}");
    assert_eq!(status.code(), Some(0));
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert!(!log.last().unwrap().contains("cut"), "{log:#?}");
}

#[test]
fn no_log_level_makes_the_service_end_or_deaf_to_signals() {
    for level in ["off", "error", "warn", "neptun_auth=off", "trace"] {
        let (public, admin) = (free_address(), free_address());
        let mut command = binary();
        command.args(["--log", level]);
        listen_at(&mut command, public, admin);
        let mut process = Process::start(command);
        process.wait_until_up(|| TcpStream::connect(admin).is_ok());
        let ready = Ask::get("/readyz").send(admin);
        assert_eq!(ready.status, 200, "{level}");
        process.assert_runs();
        assert_eq!(process.stop().0.code(), Some(0), "{level}");
    }
}

#[test]
fn readiness_is_denied_on_new_connections_for_as_long_as_the_public_side_drains() {
    let mut service = Service::start();
    let mut busy = Connection::open(service.public);
    busy.ask(&Ask::get("/api/auth/check"));
    service.signal("TERM");
    // The idle connection above keeps the public side from being empty for half a second.
    let mut denied = 0;
    service.wait_for_line("shutting down");
    while let Some(answer) = Ask::get("/readyz").try_send(service.admin) {
        assert_eq!(
            (answer.status, answer.header("connection")),
            (503, Some("close"))
        );
        denied += 1;
    }
    assert!(denied > 2, "asked {denied} times");
    let (status, _) = service.wait();
    assert_eq!(status.code(), Some(0));
}
