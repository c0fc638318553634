//! What the server promises about writes it has acknowledged, and what to doubt about it.
//!
//! Read once on each connection. A logout that was answered `true` stays over only if the server
//! has written it to disk before it answered (`appendonly yes`, `appendfsync always`), and a
//! session or a revocation stays known only if the server never evicts (every key of ours has an
//! expiry, so the `volatile-` policies evict it like the `allkeys-` ones). Never changes a setting.

use std::fmt::Write as _;

use redis::InfoDict;

use super::error::printable;

/// The server's settings that matter; `None` where it does not let us know.
#[derive(Debug, Default)]
pub(super) struct Promises {
    pub(super) append_only: Option<bool>,
    pub(super) fsync: Option<String>,
    pub(super) max_memory: Option<u64>,
    pub(super) eviction: Option<String>,
}

impl Promises {
    /// What `INFO` and `CONFIG GET appendfsync` say.
    pub(super) fn of(info: Option<&InfoDict>, fsync: Option<String>) -> Self {
        let word = |text: String| printable(&text).into_owned();
        let enabled = info.and_then(|info| info.get::<u8>("aof_enabled"));
        Self {
            append_only: enabled.map(|enabled| enabled == 1),
            fsync: fsync.map(word),
            max_memory: info.and_then(|info| info.get("maxmemory")),
            eviction: info.and_then(|info| info.get("maxmemory_policy")).map(word),
        }
    }

    /// Why an acknowledged logout could come back, or a session be evicted; one line.
    pub(super) fn doubt(&self) -> Option<String> {
        let mut doubt = String::new();
        match (self.append_only, self.fsync.as_deref()) {
            (Some(true), Some("always")) => {}
            (Some(true), fsync) => {
                let fsync = fsync.unwrap_or("unknown");
                // Writing to a string cannot fail.
                let _ = write!(
                    doubt,
                    "an acknowledged logout can come back after a power cut (appendfsync is {fsync})"
                );
            }
            (Some(false), _) => doubt.push_str(
                "an acknowledged logout can come back when the server restarts (appendonly is no)",
            ),
            (None, _) => doubt.push_str(
                "an acknowledged logout may come back when the server restarts (appendonly is unknown)",
            ),
        }
        let eviction = self.eviction.as_deref().unwrap_or("unknown");
        if self.max_memory != Some(0) && eviction != "noeviction" {
            let joint = if doubt.is_empty() { "" } else { "; " };
            let _ = write!(
                doubt,
                "{joint}sessions and revocations can be evicted, and logging a user out everywhere \
                 may then miss sessions (maxmemory-policy is {eviction})"
            );
        }
        (!doubt.is_empty()).then_some(doubt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promises(append_only: bool, fsync: &str, max_memory: u64, eviction: &str) -> Promises {
        Promises {
            append_only: Some(append_only),
            fsync: Some(fsync.to_owned()),
            max_memory: Some(max_memory),
            eviction: Some(eviction.to_owned()),
        }
    }

    #[test]
    fn only_a_server_that_syncs_each_write_and_never_evicts_is_beyond_doubt() {
        assert_eq!(promises(true, "always", 0, "noeviction").doubt(), None);
        assert_eq!(promises(true, "always", 1, "noeviction").doubt(), None);
        assert_eq!(promises(true, "always", 0, "allkeys-lru").doubt(), None);
        let says = |promises: Promises, words: &str| {
            let doubt = promises.doubt().unwrap();
            assert!(doubt.contains(words), "{doubt}");
        };
        says(
            promises(false, "always", 0, "noeviction"),
            "appendonly is no",
        );
        says(promises(true, "everysec", 0, "noeviction"), "power cut");
        says(promises(true, "always", 1, "volatile-lru"), "evicted");
        says(Promises::default(), "appendonly is unknown");
    }
}
