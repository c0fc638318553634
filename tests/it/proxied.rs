//! Behind nginx, as it is deployed.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, fs};

use crate::support::service::binary;
use crate::support::{Ask, Connection, Service, unknown_token, wait_until};

/// Addresses that were free a moment ago.
fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    // All bound at once, or the system may give one of them twice.
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}

/// An nginx with a folder of its own.
struct Nginx {
    process: Child,
    folder: PathBuf,
}

impl Nginx {
    /// Spreads what comes to `address` over `replicas`, with kept connections.
    fn start(address: SocketAddr, replicas: [SocketAddr; 2]) -> Self {
        let folder = env::temp_dir().join(format!("neptun-auth-nginx-{}", address.port()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(
            folder.join("nginx.conf"),
            configuration(&folder, address, replicas),
        )
        .unwrap();
        let process = Command::new("nginx")
            .arg("-p")
            .arg(&folder)
            .args(["-c", "nginx.conf", "-e", "stderr"])
            .stderr(Stdio::inherit())
            .spawn()
            .expect("this test needs nginx: apt-get install nginx");
        wait_until("nginx listens", || TcpStream::connect(address).is_ok());
        Self { process, folder }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn configuration(folder: &Path, address: SocketAddr, replicas: [SocketAddr; 2]) -> String {
    let folder = folder.display();
    let [one, other] = replicas;
    // With `max_fails=0` a replica that is restarting is not avoided for the ten seconds after,
    // in which the other one restarts.
    format!(
        "daemon off; master_process off; pid {folder}/pid; error_log stderr crit;
        events {{ worker_connections 512; }}
        http {{
            access_log off;
            client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
            scgi_temp_path {folder}/scgi;
            keepalive_requests 1000000;
            upstream neptun_auth {{
                server {one} max_fails=0; server {other} max_fails=0;
                keepalive 32;
            }}
            server {{
                listen {address};
                location / {{
                    proxy_pass http://neptun_auth;
                    proxy_http_version 1.1;
                    proxy_set_header Connection \"\";
                    proxy_set_header Host $host;
                }}
            }}
        }}"
    )
}

#[test]
fn six_rolling_restarts_of_two_replicas_lose_no_request() {
    const CLIENTS: usize = 8;
    let [front, one, one_admin, other, other_admin] = free_addresses();
    let addresses = [(one, one_admin), (other, other_admin)];
    let start = |(public, admin)| Some(Service::spawn_at(binary(), public, admin));
    let mut replicas = addresses.map(start);
    let _nginx = Nginx::start(front, [one, other]);

    let is_over = AtomicBool::new(false);
    let count: usize = std::thread::scope(|scope| {
        let is_over = &is_over;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                // A POST, which nginx does not try a second time once it was sent.
                let ask = Ask::post("/api/auth/logout").session(&unknown_token(1));
                scope.spawn(move || {
                    let mut connection = Connection::open(front);
                    let mut count = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        let answer = connection.ask(&ask);
                        assert_eq!((answer.status, &*answer.body), (200, "false"), "{answer:?}");
                        count += 1;
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    count
                })
            })
            .collect();
        for round in 0..6 {
            let replica = round % 2;
            let (status, log) = replicas[replica].take().unwrap().stop();
            assert_eq!(status.code(), Some(0), "{log:#?}");
            replicas[replica] = start(addresses[replica]);
            // Both serve for a while.
            std::thread::sleep(Duration::from_millis(200));
        }
        is_over.store(true, Ordering::Relaxed);
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .sum()
    });
    println!("{count} requests");
    assert!(count > 500, "{count}");
}
