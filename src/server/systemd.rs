//! What systemd and its kin hand to a service and want to hear from it: listeners, and how far it
//! has come.

use std::env;
use std::net::TcpListener;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use socket2::SockRef;

/// Listeners that whoever started the process has opened, and keeps open after its end.
#[derive(Debug, Default)]
pub struct HandedOver {
    pub(super) public: Option<TcpListener>,
    pub(super) admin: Option<TcpListener>,
}

/// What is wrong with what was handed over.
#[derive(Debug, thiserror::Error)]
#[error("LISTEN_FDS: {0}")]
pub struct InvalidHandOver(String);

impl HandedOver {
    /// What `LISTEN_FDS` and `LISTEN_FDNAMES` say. To be called while there is one thread: it
    /// changes the environment.
    pub fn take() -> Result<Self, InvalidHandOver> {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut sockets = ListenFd::from_env();
        let mut handed_over = Self::default();
        for number in 0..sockets.len() {
            let name = names.next().unwrap_or_default();
            let wrong = |problem: String| InvalidHandOver(format!("`{name}` {problem}"));
            let place = match name {
                "public" => &mut handed_over.public,
                "admin" => &mut handed_over.admin,
                _ => {
                    let problem = "is no listener: name each socket public or admin, by \
                                   FileDescriptorName= or in LISTEN_FDNAMES";
                    return Err(wrong(problem.to_owned()));
                }
            };
            let taken = sockets.take_tcp_listener(number);
            let taken = taken.map_err(|error| wrong(format!("cannot be used: {error}")))?;
            let taken = taken.filter(|socket| SockRef::from(socket).is_listener().unwrap_or(false));
            let taken = taken.ok_or_else(|| wrong("does not listen".to_owned()))?;
            if place.replace(taken).is_some() {
                return Err(wrong("is the name of two sockets".to_owned()));
            }
        }
        Ok(handed_over)
    }
}

/// Says that connections are accepted.
pub(super) fn ready() {
    notify(NotifyState::Ready);
}

/// Says that the end has begun.
pub(super) fn stopping() {
    notify(NotifyState::Stopping);
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!("whoever started this was not told how far it has come: {error}");
    }
}
