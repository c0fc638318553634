//! Bytes that no honest client sends, and odd ones that some do.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::support::envelope::assert_common_headers;
use crate::support::faulty::{Fault, FaultyService};
use crate::support::service::binary;
use crate::support::usage::{Usage, in_memory_limit};
use crate::support::{ADMIN_TOKEN, Ask, Connection, Service, assert_envelope, wait_until};

const CHECK: &str = "GET /api/auth/check HTTP/1.1\r\nhost: neptun.test\r\n";

/// The statuses of all answers to `bytes`, until the service closes or falls silent.
fn statuses_of(service: &Service, bytes: &[u8]) -> Vec<u16> {
    let mut connection = Connection::open(service.public);
    connection.write(bytes);
    connection.stream().shutdown(Shutdown::Write).unwrap();
    std::iter::from_fn(|| connection.try_answer_to("GET"))
        .map(|answer| answer.status)
        .collect()
}

#[test]
fn http2_is_refused_and_never_answered_with_a_frame() {
    let service = Service::start();
    for address in [service.public, service.admin] {
        let mut stream = TcpStream::connect(address).unwrap();
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
        stream.write_all(preface).unwrap();
        let mut said = Vec::new();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let ended = stream.read_to_end(&mut said);
        assert!(ended.is_ok() || !said.is_empty(), "{ended:?}");
        assert!(
            said.is_empty() || said.starts_with(b"HTTP/1.1 4"),
            "{said:?}"
        );
    }
    // Nor is an upgrade to it agreed to.
    let answer = Ask::get("/api/auth/check")
        .header("connection", "Upgrade, HTTP2-Settings")
        .header("upgrade", "h2c")
        .header("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA")
        .send(service.public);
    assert_eq!(answer.status, 401, "{answer:?}");
}

#[test]
fn a_head_of_more_than_16_kib_or_64_headers_is_431() {
    let service = Service::start();
    let of_size = |bytes: usize| {
        let start = format!("{CHECK}x: ");
        let filler = "a".repeat(bytes - start.len() - 4);
        format!("{start}{filler}\r\n\r\n")
    };
    let of_count = |count: usize| format!("{CHECK}{}\r\n", "x: y\r\n".repeat(count - 1));
    for (head, status) in [
        (of_size(16 * 1024), 401),
        (of_size(16 * 1024 + 1), 431),
        (of_size(400 * 1024), 431),
        (of_count(64), 401),
        (of_count(65), 431),
    ] {
        for address in [service.public, service.admin] {
            let mut connection = Connection::open(address);
            // The service may have heard enough before all is sent.
            let _ = connection.stream().write_all(head.as_bytes());
            let answer = connection.answer_to("GET");
            if status == 431 {
                let sentence = "The request's head is too large";
                assert_envelope(&answer, 431, "Request Header Fields Too Large", sentence);
                assert_eq!(answer.header("connection"), Some("close"));
                assert!(answer.header("date").is_some());
                assert!(connection.is_closed_within(Duration::from_secs(2)));
            } else if address == service.public {
                assert_eq!(answer.status, status, "{} bytes", head.len());
            }
        }
    }
}

#[test]
fn a_target_of_more_than_8_kib_is_414() {
    let service = Service::start();
    let target = |length: usize| format!("/api/auth/check?{}", "a".repeat(length - 16));
    assert_eq!(Ask::get(&target(8192)).send(service.public).status, 401);
    let full = format!("http://{}/api/auth/check", "a".repeat(8192));
    for target in [target(8193), target(16_000), full] {
        let answer = Ask::get(&target).send(service.public);
        assert_envelope(
            &answer,
            414,
            "URI Too Long",
            "The request target is too long",
        );
    }
}

#[test]
fn a_missing_or_repeated_host_is_400_and_http_1_0_needs_none() {
    let service = Service::start();
    let ask = |head: &str| {
        let mut connection = Connection::open(service.public);
        connection.write(head.as_bytes());
        connection.answer_to("GET")
    };
    for head in [
        "GET /api/auth/check HTTP/1.1\r\n\r\n",
        "GET /api/auth/check HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET /api/auth/check HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n",
        "GET /api/auth/check HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET http://a/api/auth/check HTTP/1.1\r\n\r\n",
    ] {
        let sentence = "Exactly one Host header is needed";
        let answer = ask(head);
        assert_envelope(&answer, 400, "Bad Request", sentence);
        // What follows could be taken for another's request.
        assert_eq!(answer.header("connection"), Some("close"));
    }
    assert_eq!(ask("GET /api/auth/check HTTP/1.0\r\n\r\n").status, 401);
    assert_eq!(
        ask("GET /api/auth/check HTTP/1.1\r\nhost:\r\n\r\n").status,
        401
    );
}

#[test]
fn bytes_that_are_not_http_are_400_in_the_envelope() {
    let service = Service::start();
    let heads: [&[u8]; 9] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is TLS\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /api/auth/check HTTP/1.1\r\nhost: a\r\nbad header: x\r\n\r\n",
        b"GET /api/auth/check HTTP/1.1\r\nhost: a\r\nx: a\x00b\r\n\r\n",
        b"GET /api/auth/check HTTP/1.1\r\nhost: a\r\nx: a\r\n folded\r\n\r\n",
        b"GET /a b c HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nhost: a\r\n\r\n",
        b"POST /api/auth/logout HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"POST /api/auth/logout HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n",
    ];
    for head in heads {
        let mut connection = Connection::open(service.public);
        connection.write(head);
        let answer = connection.answer_to("GET");
        let seen = String::from_utf8_lossy(head);
        assert_eq!(answer.status, 400, "{seen:?}");
        assert_envelope(&answer, 400, "Bad Request", "The request is not valid HTTP");
        assert!(
            connection.is_closed_within(Duration::from_secs(2)),
            "{seen:?}"
        );
    }
    // After a good request too: the first answer is whole, the second in the same shape.
    let mut connection = Connection::open(service.public);
    connection.write(format!("{CHECK}\r\nGET\r\n\r\n").as_bytes());
    assert_eq!(connection.answer_to("GET").status, 401);
    let answer = connection.answer_to("GET");
    assert_envelope(&answer, 400, "Bad Request", "The request is not valid HTTP");
}

#[test]
fn a_length_beside_chunks_is_never_taken_for_two_requests() {
    let service = Service::start();
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    let both = format!(
        "POST /api/auth/logout HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\
         transfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}",
        5 + smuggled.len()
    );
    // Either refused or read as chunks, with the connection closed; never both ways.
    let statuses = statuses_of(&service, both.as_bytes());
    assert!(
        matches!(statuses[..], [400 | 401] | [401, 404]),
        "{statuses:?}"
    );
}

#[test]
fn odd_methods_and_targets_get_an_ordinary_error() {
    let service = Service::start();
    for (method, target, status) in [
        ("CONNECT", "neptun.test:443", 404),
        ("TRACE", "/api/auth/check", 405),
        ("BREW", "/api/auth/logout", 405),
        ("get", "/api/auth/check", 405),
        ("OPTIONS", "*", 404),
        ("GET", "/api/auth/../auth/check", 404),
        ("GET", "/api//auth/check", 404),
        ("GET", "/%61pi/auth/check", 404),
        ("GET", "http://neptun.test/api/auth/check", 401),
        ("GET", "http://neptun.test", 404),
    ] {
        for address in [service.public, service.admin] {
            let mut connection = Connection::open(address);
            connection.write(&Ask::new(method, target).bytes());
            let answer = connection.answer_to("GET");
            assert_common_headers(&answer);
            if address == service.public {
                assert_eq!(answer.status, status, "{method} {target}: {answer:?}");
                assert_eq!(
                    answer.header("allow").is_some(),
                    status == 405,
                    "{answer:?}"
                );
            }
        }
    }
}

#[test]
fn a_hundred_pipelined_requests_are_answered_in_order() {
    let service = Service::start();
    let mut connection = Connection::open(service.public);
    let ask = |i: usize| {
        let target = if i.is_multiple_of(2) {
            "/api/auth/check"
        } else {
            "/nowhere"
        };
        Ask::get(target).header("x-request-id", format!("number-{i}"))
    };
    let all: Vec<u8> = (0..100).flat_map(|i| ask(i).bytes()).collect();
    connection.write(&all);
    for i in 0..100 {
        let answer = connection.answer_to("GET");
        assert_eq!(answer.header("x-request-id"), Some(&*format!("number-{i}")));
        assert_eq!(answer.status, if i % 2 == 0 { 401 } else { 404 });
    }
}

#[test]
fn an_announced_body_delays_neither_logout_nor_check() {
    let service = Service::start();
    for how in ["content-length: 104857600", "transfer-encoding: chunked"] {
        for expect in ["", "expect: 100-continue\r\n"] {
            let token = service.token_of("42");
            let mut connection = Connection::open(service.public);
            let begun = Instant::now();
            connection.write(
                format!(
                    "POST /api/auth/logout HTTP/1.1\r\nhost: a\r\n{how}\r\n{expect}\
                     cookie: neptun-session={token}\r\n\r\n"
                )
                .as_bytes(),
            );
            assert_eq!(connection.answer_to("POST").body, "true");
            assert!(
                begun.elapsed() < Duration::from_secs(1),
                "{:?}",
                begun.elapsed()
            );
            // What would follow is the body and not a request, so the connection ends.
            assert!(connection.is_closed_within(Duration::from_secs(2)));
        }
    }
}

#[test]
fn a_client_that_first_sends_its_whole_body_still_gets_its_answer() {
    let service = Service::start();
    let token = service.token_of("42");
    let mut connection = Connection::open(service.public);
    let length = 20 * 1024 * 1024;
    let ask = Ask::logout(&token).header("content-length", length.to_string());
    connection.write(&ask.bytes());
    connection.write(&vec![b'x'; length]);
    assert_eq!(connection.answer_to("POST").body, "true");
}

#[test]
fn a_head_that_begins_right_behind_a_request_may_be_completed_later() {
    let service = Service::start();
    let ask = Ask::get("/api/auth/check").bytes();
    for split in [1, ask.len() / 2, ask.len() - 1] {
        let mut connection = Connection::open(service.public);
        connection.write(&[&ask[..], &ask[..split]].concat());
        assert_eq!(connection.answer_to("GET").status, 401);
        // By now the connection is at rest.
        std::thread::sleep(Duration::from_millis(100));
        connection.write(&ask[split..]);
        assert_eq!(connection.answer_to("GET").status, 401);
    }
}

#[test]
fn half_closed_clients_get_all_their_answers() {
    let service = Service::start();
    for _ in 0..20 {
        let token = service.token_of("42");
        let mut connection = Connection::open(service.public);
        connection.write(&Ask::logout(&token).bytes());
        connection.stream().shutdown(Shutdown::Write).unwrap();
        assert_eq!(connection.answer_to("POST").body, "true");
        assert!(connection.is_closed_within(Duration::from_secs(2)));
    }
    let many: Vec<u8> = (0..20)
        .flat_map(|_| Ask::get("/api/auth/check").bytes())
        .collect();
    assert_eq!(statuses_of(&service, &many), [401; 20]);
}

#[test]
fn half_closed_clients_get_their_answer_from_a_slow_store_too() {
    let service = FaultyService::patient();
    let token = service.token_of("42");
    service.fail(Fault::Waits);
    let mut connection = Connection::open(service.public);
    connection.write(&Ask::logout(&token).bytes());
    connection.stream().shutdown(Shutdown::Write).unwrap();
    service.wait_until_called();
    service.release(1, Fault::None);
    assert_eq!(connection.answer_to("POST").body, "true");
}

#[test]
fn a_client_that_hangs_up_changes_nothing_about_its_logout() {
    for reset in [false, true] {
        let service = FaultyService::patient();
        let token = service.token_of("42");
        service.fail(Fault::Waits);
        let mut connection = Connection::open(service.public);
        connection.write(&Ask::logout(&token).bytes());
        service.wait_until_called();
        if reset {
            let socket = socket2::SockRef::from(connection.stream());
            socket.set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop(connection);
        service.release(1, Fault::None);
        wait_until("the session is gone", || !service.is_live(&token));
        wait_until("the log tells", || {
            !service.logged(&["session ended"]).is_empty()
        });
    }
}

#[test]
fn an_admin_body_of_more_than_64_kib_is_413() {
    let service = Service::start();
    let body = |length: usize| {
        let start = r#"{"user":"42"}"#;
        format!("{start}{}", " ".repeat(length - start.len()))
    };
    let issue = |body: &str| Ask::authorized("POST", "/admin/sessions").json(body);
    assert_eq!(issue(&body(64 * 1024)).send(service.admin).status, 201);
    for length in [64 * 1024 + 1, 4 * 1024 * 1024] {
        let answer = issue(&body(length)).send(service.admin);
        assert_envelope(&answer, 413, "Payload Too Large", "The body is too large");
    }
    // Nor is one that does not say how long it is.
    let mut connection = Connection::open(service.admin);
    let head = Ask::authorized("POST", "/admin/sessions")
        .header("content-type", "application/json")
        .header("transfer-encoding", "chunked");
    connection.write(&head.bytes());
    connection.write(format!("18000\r\n{}\r\n0\r\n\r\n", body(0x18000)).as_bytes());
    assert_eq!(connection.answer_to("POST").status, 413);
}

#[test]
fn a_thousand_half_heads_of_400_kb_take_at_most_32_mib() {
    let service = Service::start();
    let before = Usage::of(service.pid()).resident_bytes;
    let mut most = before;
    let half_head = format!("{CHECK}x: {}", "a".repeat(400 * 1000));
    let streams: Vec<TcpStream> = (0..1000)
        .map(|i| {
            let mut stream = TcpStream::connect(service.public).unwrap();
            stream
                .set_write_timeout(Some(Duration::from_millis(500)))
                .unwrap();
            // It need not take it all.
            let _ = stream.write_all(half_head.as_bytes());
            if i % 50 == 0 {
                most = most.max(Usage::of(service.pid()).resident_bytes);
            }
            stream
        })
        .collect();
    most = most.max(Usage::of(service.pid()).resident_bytes);
    let grown = most.saturating_sub(before) / 1024;
    println!("grown by {grown} KiB");
    assert!(grown <= 32 * 1024, "{grown} KiB");
    drop(streams);
    assert_eq!(service.check("x").status, 401);
}

#[test]
fn three_hundred_half_heads_within_64_mib_of_memory_do_no_harm() {
    let mut command = in_memory_limit(&binary(), 64 * 1024 * 1024);
    command.args(["--admin-token", ADMIN_TOKEN]);
    let service = Service::spawn(command);
    // Half of them stay just below what is refused, and so are held.
    let streams: Vec<TcpStream> = (0..300)
        .map(|i| {
            let length = if i % 2 == 0 { 16_000 } else { 400_000 };
            let mut stream = TcpStream::connect(service.public).unwrap();
            stream
                .set_write_timeout(Some(Duration::from_millis(500)))
                .unwrap();
            let _ = stream.write_all(format!("{CHECK}x: {}", "a".repeat(length)).as_bytes());
            stream
        })
        .collect();
    let token = service.token_of("42");
    assert_eq!(service.logout(&token).body, "true");
    drop(streams);
}

#[test]
fn a_client_that_sends_a_byte_at_a_time_is_served() {
    let service = Service::start();
    let mut stream = TcpStream::connect(service.public).unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in format!("{CHECK}connection: close\r\n\r\n").bytes() {
        stream.write_all(&[byte]).unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

#[test]
fn a_body_that_is_announced_as_too_large_is_refused_before_it_comes() {
    let service = Service::start();
    let ask = Ask::authorized("POST", "/admin/sessions")
        .header("content-type", "application/json")
        .header("content-length", "100000000");
    let begun = std::time::Instant::now();
    let answer = ask.send(service.admin);
    assert_envelope(&answer, 413, "Payload Too Large", "The body is too large");
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
}
