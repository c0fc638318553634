//! Ports for servers that cannot be told to choose one themselves.
//!
//! Below those that the system hands out: one that was bound to 0 and let go may be somebody
//! else's before its server has it. The numbers come in pairs, ten thousand apart, because a node
//! of a Redis cluster takes both; no two callers in this process get the same.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

const LOWEST: u16 = 10_000;

/// How many there are, and how far above a port its partner lies.
const COUNT: u16 = 10_000;

/// An address that nobody has.
pub fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

/// A port that nobody has, and neither the one ten thousand above.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    for _ in 0..COUNT {
        // Processes begin far from each other.
        let begin = process::id().wrapping_mul(101) % u32::from(COUNT);
        let next = u32::from(NEXT.fetch_add(1, Ordering::Relaxed)) + begin;
        let port = LOWEST + u16::try_from(next % u32::from(COUNT)).unwrap();
        if is_free(port) && is_free(port + COUNT) {
            return port;
        }
    }
    panic!("no port is free");
}

#[test]
fn no_port_is_handed_out_twice_nor_ever_by_the_system() {
    let ports: std::collections::HashSet<u16> = (0..200).map(|_| free_port()).collect();
    assert_eq!(ports.len(), 200);
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let lowest: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
    assert!(ports.iter().all(|port| port + COUNT < lowest), "{range}");
}
