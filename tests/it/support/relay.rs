//! Stands between two parties and passes bytes on. It counts the connections, and on demand the
//! way over it is long, swallows everything, is cut or leads elsewhere.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// A relay on a port of its own; its connections end with it.
pub struct Relay {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    way: watch::Sender<Way>,
    runtime: Option<Runtime>,
}

#[derive(Clone)]
struct Way {
    target: SocketAddr,
    /// What an answer waits on its way back.
    round_trip: Duration,
    /// Connections of an earlier epoch are swallowed: they stay open, and nothing arrives.
    epoch: u32,
    swallows_new: bool,
    /// All connections are closed.
    is_cut: bool,
    /// Those from these addresses are closed.
    cut_off: Vec<IpAddr>,
}

impl Way {
    fn is_cut_for(&self, peer: IpAddr) -> bool {
        self.is_cut || self.cut_off.contains(&peer)
    }
}

impl Relay {
    pub fn to(target: SocketAddr) -> Self {
        Self::at(([127, 0, 0, 1], 0).into(), target)
    }

    /// A relay on an address that others have been told.
    pub fn at(address: SocketAddr, target: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (way, _) = watch::channel(Way {
            target,
            round_trip: Duration::ZERO,
            epoch: 0,
            swallows_new: false,
            is_cut: false,
            cut_off: Vec::new(),
        });
        let relay = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            way,
            runtime: Some(runtime),
        };
        let (connections, way) = (Arc::clone(&relay.connections), relay.way.subscribe());
        relay.runtime.as_ref().unwrap().spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((near, peer)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(near, peer.ip(), way.clone()));
            }
        });
        relay
    }

    /// How many connections it has taken.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Answers take so long from now on.
    pub fn set_round_trip(&self, round_trip: Duration) {
        self.way.send_modify(|way| way.round_trip = round_trip);
    }

    /// New connections go to another; those that exist stay where they are.
    pub fn lead_to(&self, target: SocketAddr) {
        self.way.send_modify(|way| way.target = target);
    }

    /// Swallows what goes over the connections that exist, and lets new ones through.
    pub fn swallow_what_is_open(&self) {
        self.way.send_modify(|way| way.epoch += 1);
    }

    /// Swallows what goes over any connection.
    pub fn swallow_everything(&self) {
        self.way.send_modify(|way| {
            way.epoch += 1;
            way.swallows_new = true;
        });
    }

    /// Lets new connections through.
    pub fn let_through(&self) {
        self.way.send_modify(|way| way.swallows_new = false);
    }

    /// Closes every connection, those to come as well.
    pub fn cut(&self) {
        self.way.send_modify(|way| way.is_cut = true);
    }

    /// The same for those that come from `peer`.
    pub fn cut_off(&self, peer: IpAddr) {
        self.way.send_modify(|way| way.cut_off.push(peer));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // A test may itself run on a runtime, where none may be waited for.
        self.runtime.take().unwrap().shutdown_background();
    }
}

async fn serve(near: TcpStream, peer: IpAddr, mut way: watch::Receiver<Way>) {
    let now = way.borrow_and_update().clone();
    let passing = async {
        if now.swallows_new {
            return std::future::pending().await;
        }
        let Ok(far) = TcpStream::connect(now.target).await else {
            return;
        };
        near.set_nodelay(true).unwrap();
        far.set_nodelay(true).unwrap();
        let mut seen = way.clone();
        let (near_read, near_write) = near.into_split();
        let (far_read, far_write) = far.into_split();
        let no_delay = || Duration::ZERO;
        let round_trip = || way.borrow().round_trip;
        let both_ways = async {
            let there = pass_on(near_read, far_write, no_delay);
            tokio::join!(there, pass_on(far_read, near_write, round_trip));
        };
        tokio::pin!(both_ways);
        let is_swallowed = tokio::select! {
            () = &mut both_ways => false,
            _ = seen.wait_for(|way| way.epoch > now.epoch) => true,
        };
        if is_swallowed {
            // Neither end is closed.
            std::future::pending::<()>().await;
        }
    };
    let mut cut = way.clone();
    tokio::select! {
        () = passing => {}
        _ = cut.wait_for(|way| way.is_cut_for(peer)) => {}
    }
}

/// However it ends, the other side is told that no more comes.
async fn pass_on(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    delay: impl Fn() -> Duration,
) {
    let (sender, mut underway) = mpsc::unbounded_channel();
    let reading = async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let due = Instant::now() + delay();
            if sender.send((due, buffer[..read].to_vec())).is_err() {
                break;
            }
        }
    };
    let writing = async move {
        while let Some((due, bytes)) = underway.recv().await {
            if due > Instant::now() {
                sleep_until(due).await;
            }
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(reading, writing);
}
