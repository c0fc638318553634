//! More clients than there is room for.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::service::binary_with_token;
use crate::support::usage::{Usage, with_ulimit};
use crate::support::{
    Answer, Ask, Connection, Service, assert_envelope, lines_with, parsed, wait_until, wait_within,
};

fn check() -> Ask {
    Ask::get("/api/auth/check")
}

/// A connection that is idle after a request.
fn settled(address: SocketAddr) -> Connection {
    let mut connection = Connection::open(address);
    assert_eq!(connection.ask(&check()).status, 401);
    connection
}

fn assert_turned_away(answer: &Answer) {
    assert_envelope(answer, 503, "Service Unavailable", "Too many connections");
    assert_eq!(answer.header("connection"), Some("close"));
}

/// Whether a client of its own is served. A refusal may reach it as a reset.
fn is_served(address: SocketAddr) -> bool {
    let mut connection = Connection::open(address);
    if std::io::Write::write_all(&mut connection.stream(), &check().bytes()).is_err() {
        return false;
    }
    connection
        .try_answer_to("GET")
        .is_some_and(|answer| answer.status == 401)
}

fn limited(ulimit: &str) -> Service {
    Service::spawn(with_ulimit(&binary_with_token(), ulimit))
}

#[test]
fn a_client_over_the_cap_is_told_so_at_once_and_the_admin_side_is_not_concerned() {
    let service = Service::with(&["--max-connections", "3"]);
    let mut held: Vec<Connection> = (0..3).map(|_| settled(service.public)).collect();

    // Whether it asks first, later or never.
    let mut silent = Connection::open(service.public);
    assert_turned_away(&silent.answer_to("GET"));
    assert!(silent.is_closed_within(Duration::from_secs(2)));
    assert_turned_away(&check().send(service.public));
    let mut late = Connection::open(service.public);
    std::thread::sleep(Duration::from_millis(100));
    assert_turned_away(&late.ask(&check()));

    let token = service.token_of("42");
    assert_eq!(service.status_of("/readyz"), 200);
    assert_eq!(held[0].ask(&check().session(&token)).status, 204);

    drop(held);
    wait_until("there is room again", || is_served(service.public));
    // And the other way round.
    let held: Vec<Connection> = (0..3).map(|_| Connection::open(service.admin)).collect();
    wait_until("the admin side is full", || {
        let answer = Ask::get("/healthz").try_send(service.admin);
        answer.is_some_and(|answer| answer.status == 503)
    });
    assert!(is_served(service.public));
    drop(held);

    let mut metrics = String::new();
    wait_until("the admin side has room again", || {
        let answer = Ask::get("/metrics").try_send(service.admin);
        metrics = answer.map(|answer| answer.body).unwrap_or_default();
        metrics.contains("connections_refused_total")
    });
    let refused = metrics
        .lines()
        .filter(|line| line.starts_with("neptun_auth_connections_refused_total{"))
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap());
    let (_, log) = service.stop();
    let told = parsed(&lines_with(&log, &["connections are taken"]));
    let told: Vec<u64> = told
        .iter()
        .map(|line| line["times"].as_u64().unwrap())
        .collect();
    // Each listener's first at once, those that came soon after it at the end.
    assert!((2..=4).contains(&told.len()), "{log:#?}");
    assert_eq!(told.iter().sum::<u64>(), refused.sum::<u64>(), "{log:#?}");
}

#[test]
fn sixty_descriptors_and_twice_as_many_clients_do_no_harm() {
    let service = limited("-n 64");
    let mut first = settled(service.public);
    let crowd: Vec<TcpStream> = (0..120)
        .map(|_| TcpStream::connect(service.public).unwrap())
        .collect();
    let before = Usage::of(service.pid()).cpu_ticks;
    for _ in 0..20 {
        assert_eq!(first.ask(&check()).status, 401);
        assert_eq!(service.status_of("/healthz"), 200);
        assert_eq!(service.status_of("/readyz"), 200);
        std::thread::sleep(Duration::from_millis(50));
    }
    service.token_of("42");
    assert!(!is_served(service.public));
    assert_was_idle_since(before, &service);

    drop(crowd);
    assert_served_soon(&service);
    let (status, log) = service.stop();
    assert_eq!(status.code(), Some(0));
    assert!(log.len() < 10, "{log:#?}");
}

fn assert_was_idle_since(before: u64, service: &Service) {
    let used = Usage::of(service.pid()).cpu_ticks - before;
    assert!(
        used < 50,
        "{used} hundredths of a second in one that was to be idle"
    );
}

fn assert_served_soon(service: &Service) {
    wait_within(Duration::from_secs(2), "served again", || {
        is_served(service.public)
    });
}

#[test]
fn running_out_of_descriptors_neither_spins_nor_floods_the_log() {
    // Too few even for what is set aside.
    let service = limited("-n 18");
    let mut first = settled(service.public);
    let crowd: Vec<TcpStream> = (0..60)
        .map(|_| TcpStream::connect(service.public).unwrap())
        .collect();
    std::thread::sleep(Duration::from_millis(200));
    let before = Usage::of(service.pid()).cpu_ticks;
    for _ in 0..20 {
        assert_eq!(first.ask(&check()).status, 401);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_was_idle_since(before, &service);
    drop(crowd);
    assert_served_soon(&service);
    let (status, log) = service.stop();
    assert_eq!(status.code(), Some(0));
    println!("{log:#?}");
    assert!(log.len() < 10, "{log:#?}");
}

#[test]
fn an_idle_connection_costs_at_most_10_kib() {
    let service = Service::with(&[]);
    drop(settled(service.public));
    let silent = weight_of_idle(&service, || TcpStream::connect(service.public).unwrap());
    let answered = weight_of_idle(&service, || settled(service.public));
    println!("{silent} bytes for a silent connection, {answered} for an answered one");
    assert!(silent <= 10 * 1024, "{silent} bytes");
    assert!(answered <= 10 * 1024, "{answered} bytes");
}

/// The bytes that the service holds for each of some connections opened one after another.
fn weight_of_idle<C>(service: &Service, open: impl Fn() -> C) -> u64 {
    const CONNECTIONS: u64 = 300;
    let resident = || Usage::of(service.pid()).resident_bytes;
    let before = resident();
    let _held: Vec<C> = (0..CONNECTIONS).map(|_| open()).collect();
    // Whoever is answered now came after all of them.
    drop(settled(service.public));
    resident().saturating_sub(before) / CONNECTIONS
}
