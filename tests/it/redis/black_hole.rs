//! A way to a server that can swallow what goes over it: both ends stay open, and nothing arrives.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::server::Server;

pub(super) struct BlackHole {
    pub(super) url: String,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// Connections of an earlier epoch are swallowed.
    epoch: u32,
    swallows_new: bool,
}

impl BlackHole {
    pub(super) async fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let (state, seen) = watch::channel(State::default());
        let target = server.address();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut seen = seen.clone();
                let State {
                    epoch,
                    swallows_new,
                } = *seen.borrow_and_update();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(target).await.unwrap();
                    if !swallows_new {
                        tokio::select! {
                            _ = copy_bidirectional(&mut near, &mut far) => return,
                            _ = seen.wait_for(|state| state.epoch > epoch) => {}
                        }
                    }
                    // Neither end is closed.
                    std::future::pending::<()>().await;
                });
            }
        });
        Self { url, state }
    }

    /// Swallows what goes over the connections that exist, and lets new ones through.
    pub(super) fn swallow_what_is_open(&self) {
        self.state.send_modify(|state| state.epoch += 1);
    }

    /// Swallows what goes over any connection.
    pub(super) fn swallow_everything(&self) {
        self.state.send_modify(|state| {
            state.epoch += 1;
            state.swallows_new = true;
        });
    }

    /// Lets new connections through.
    pub(super) fn let_through(&self) {
        self.state.send_modify(|state| state.swallows_new = false);
    }
}
