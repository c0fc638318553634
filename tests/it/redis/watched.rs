//! A master, its replicas, and the Sentinels that watch over them.
//!
//! Each Sentinel is a user of its own at the servers, so that a test can shut it out: then the two
//! do not hear each other, while both go on answering everybody else.

use std::time::Duration;

use super::server::{Brand, Server};
use crate::support::ports::free_port;
use crate::support::wait_within;

/// The name by which the Sentinels know the master.
const NAME: &str = "mymaster";

const PASSWORD: &str = "pw";

/// How long an election may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Watched {
    /// The first is the master to begin with.
    pub(super) servers: Vec<Server>,
    pub(super) sentinels: Vec<Server>,
}

impl Watched {
    pub(super) fn start(replicas: usize, sentinels: usize) -> Self {
        // Who is no user may do nothing.
        let known = ["--requirepass", PASSWORD, "--masterauth", PASSWORD];
        let mut users: Vec<String> = known.iter().map(|&one| one.to_owned()).collect();
        for number in 0..sentinels {
            let rule = format!("--user {} on >{PASSWORD} ~* &* +@all", user(number));
            users.extend(rule.split(' ').map(str::to_owned));
        }
        let server = |more: Vec<String>| {
            let arguments = [users.clone(), more].concat();
            Server::start_with(Brand::Redis, |_, _| arguments)
        };
        let master = server(Vec::new());
        let (host, port) = ("127.0.0.1".to_owned(), master.port().to_string());
        let follow = vec!["--replicaof".to_owned(), host, port];
        let mut servers = vec![master];
        servers.extend((0..replicas).map(|_| server(follow.clone())));
        let connected = format!("connected_slaves:{replicas}\r");
        wait_within(PATIENCE, "the replicas follow", || {
            let follows = |replica: &Server| replica.says("replication", "master_link_status:up");
            servers[0].says("replication", &connected) && servers[1..].iter().all(follows)
        });
        let ports: Vec<u16> = (0..sentinels).map(|_| free_port()).collect();
        let sentinels = (0..sentinels).map(|number| sentinel(number, &ports, &servers));
        let sentinels: Vec<Server> = sentinels.collect();
        let watched = Self { servers, sentinels };
        wait_within(PATIENCE, "all know each other", || {
            let mut sentinels = watched.sentinels.iter();
            sentinels.all(|one| Self::sees_all(one, replicas))
        });
        watched
    }

    /// Whether this Sentinel could lead a failover now.
    fn sees_all(sentinel: &Server, replicas: usize) -> bool {
        let listed = sentinel.ask(&format!("SENTINEL REPLICAS {NAME}"));
        let listed = listed.unwrap_or_default();
        Self::has_quorum(sentinel)
            && listed.matches("flags\r\n$5\r\nslave\r\n").count() == replicas
            && listed.matches("master-link-status\r\n$2\r\nok").count() == replicas
    }

    fn has_quorum(sentinel: &Server) -> bool {
        let answer = sentinel.ask(&format!("SENTINEL CKQUORUM {NAME}"));
        answer.is_ok_and(|answer| answer.starts_with("+OK"))
    }

    /// Waits until this Sentinel has noticed that too few others are left.
    pub(super) fn until_without_quorum(&self, sentinel: usize) {
        wait_within(PATIENCE, "it has noticed", || {
            !Self::has_quorum(&self.sentinels[sentinel])
        });
    }

    /// The address for the service, its Sentinels in this order.
    pub(super) fn url_by(&self, order: &[usize]) -> String {
        let addresses = order
            .iter()
            .map(|&one| self.sentinels[one].address().to_string());
        let addresses: Vec<String> = addresses.collect();
        format!(
            "redis+sentinel://:{PASSWORD}@{}/{NAME}",
            addresses.join(",")
        )
    }

    pub(super) fn url(&self) -> String {
        let order: Vec<usize> = (0..self.sentinels.len()).collect();
        self.url_by(&order)
    }

    /// The server that a Sentinel holds to be the master.
    pub(super) fn named_by(&self, sentinel: usize) -> Option<usize> {
        let ask = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {NAME}");
        let answer = self.sentinels[sentinel].ask(&ask).ok()?;
        let port: u16 = answer.lines().nth(4)?.parse().ok()?;
        self.servers.iter().position(|server| server.port() == port)
    }

    /// Has the Sentinels put another in the place of the first server.
    pub(super) fn command_failover(&self) {
        let command = format!("SENTINEL FAILOVER {NAME}");
        wait_within(PATIENCE, "a Sentinel obeys", || {
            let last = self.sentinels.last().unwrap();
            last.ask(&command)
                .is_ok_and(|answer| answer.starts_with("+OK"))
        });
    }

    /// Waits until most of the Sentinels name another master than the first server; that one.
    pub(super) fn successor(&self) -> &Server {
        let mut named = 0;
        wait_within(PATIENCE, "a majority names another", || {
            let all = (0..self.sentinels.len()).filter_map(|one| self.named_by(one));
            let others: Vec<usize> = all.filter(|&name| name != 0).collect();
            named = others.first().copied().unwrap_or_default();
            let agree = others.iter().filter(|&&name| name == named).count();
            2 * agree > self.sentinels.len()
        });
        &self.servers[named]
    }

    /// The first server no longer hears the Sentinels, which hold it to be gone. It remains a
    /// master, with whoever else speaks to it.
    pub(super) fn hide_master(&self) {
        for number in 0..self.sentinels.len() {
            part(number, &self.servers[0]);
        }
    }

    /// This Sentinel hears neither servers nor other Sentinels any more, and still answers.
    pub(super) fn isolate(&self, sentinel: usize) {
        // By publishing they tell each other of changes.
        self.sentinels[sentinel].done("ACL SETUSER default -publish");
        for server in &self.servers {
            part(sentinel, server);
        }
    }
}

fn user(sentinel: usize) -> String {
    format!("sentinel-{sentinel}")
}

fn part(sentinel: usize, server: &Server) {
    let user = user(sentinel);
    server.done(&format!("ACL SETUSER {user} off"));
    server.ask(&format!("CLIENT KILL USER {user}")).unwrap();
}

fn id(sentinel: usize) -> String {
    format!("{sentinel:040x}")
}

/// One that knows the others already, so that nobody waits for them to find each other.
fn sentinel(number: usize, ports: &[u16], servers: &[Server]) -> Server {
    let master = servers[0].port();
    let quorum = ports.len() / 2 + 1;
    let mut lines = vec![
        format!("sentinel myid {}", id(number)),
        format!("sentinel monitor {NAME} 127.0.0.1 {master} {quorum}"),
        format!("sentinel auth-user {NAME} {}", user(number)),
        format!("sentinel auth-pass {NAME} {PASSWORD}"),
        format!("sentinel down-after-milliseconds {NAME} 500"),
        format!("sentinel failover-timeout {NAME} 3000"),
    ];
    for replica in &servers[1..] {
        let port = replica.port();
        lines.push(format!("sentinel known-replica {NAME} 127.0.0.1 {port}"));
    }
    for (other, port) in ports.iter().enumerate().filter(|(at, _)| *at != number) {
        let id = id(other);
        lines.push(format!(
            "sentinel known-sentinel {NAME} 127.0.0.1 {port} {id}"
        ));
    }
    Server::start_on(ports[number], Brand::Redis, |_, directory| {
        let file = directory.join("sentinel.conf");
        std::fs::write(&file, lines.join("\n")).unwrap();
        vec![file.display().to_string(), "--sentinel".to_owned()]
    })
}
