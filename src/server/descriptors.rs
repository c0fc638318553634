//! File descriptors are shared out before they run out: a full public side must leave some for
//! the admin side, the store and the health check.

use rustix::process::{Resource, getrlimit, setrlimit};

use super::accept::OVERFLOW;

/// Standard streams, event queues, listeners, what the store opens, and both listeners' overflow.
const FOR_THE_SERVICE: usize = 16 + 2 * OVERFLOW;

/// How many connections each listener may hold.
#[derive(Debug)]
pub(super) struct Shares {
    pub(super) public: usize,
    pub(super) admin: usize,
}

/// Raises the limit as far as it goes and divides what it allows: a quarter for the admin side,
/// the rest for the public, each `wanted` at most.
pub(super) fn share_out(wanted: usize) -> Shares {
    let available = raised_limit().saturating_sub(FOR_THE_SERVICE).max(4);
    let admin = wanted.min(available / 4);
    let public = wanted.min(available - admin);
    if public < wanted {
        tracing::warn!(
            max_connections = public,
            "--max-connections {wanted} is more than the limit on open files (ulimit -n) allows"
        );
    }
    Shares { public, admin }
}

fn raised_limit() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Refused or not, the limit in force afterwards is what counts. None means no limit.
    let _ = setrlimit(Resource::Nofile, limit);
    let in_force = getrlimit(Resource::Nofile).current;
    in_force.map_or(usize::MAX, |most| {
        usize::try_from(most).unwrap_or(usize::MAX)
    })
}
