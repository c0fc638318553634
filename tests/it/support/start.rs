//! The contract on every store: a case is a function over a [`Start`], which knows how to start a
//! service on one store; the macros are only the list store x case.

use std::any::Any;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::service::binary_with_token;
use super::{Scratch, Service};
use crate::redis::backends::{shared_redis, shared_valkey};

/// An empty store for services to be started on, and what it needs to live.
pub struct Start {
    settings: Vec<String>,
    /// A server, a directory: owned, and never looked at.
    _owned: Box<dyn Any>,
}

impl Start {
    pub fn memory() -> Self {
        Self::on(&[], Box::new(()))
    }

    pub fn file() -> Self {
        let scratch = Scratch::new("start");
        let store = format!("file:{}", scratch.join("sessions").display());
        Self::on(&["--store", &store], Box::new(scratch))
    }

    pub fn redis() -> Self {
        let server = shared_redis();
        Self::under_own_prefix(&server.url(), Box::new(server))
    }

    pub fn valkey() -> Self {
        let server = shared_valkey();
        Self::under_own_prefix(&server.url(), Box::new(server))
    }

    fn under_own_prefix(url: &str, server: Box<dyn Any>) -> Self {
        let prefix = format!("neptun-auth-start-{}:", fresh());
        Self::on(&["--store", url, "--redis-prefix", &prefix], server)
    }

    fn on(settings: &[&str], owned: Box<dyn Any>) -> Self {
        // What a call may take is tested elsewhere; here many tests run at once.
        let settings = settings.iter().chain(&["--store-timeout", "9s"]);
        Self {
            settings: settings.map(|&setting| setting.to_owned()).collect(),
            _owned: owned,
        }
    }

    /// A service on the store, with default settings.
    pub fn service(&self) -> Service {
        self.with(&[])
    }

    /// The same with more settings.
    pub fn with(&self, args: &[&str]) -> Service {
        let mut command = self.command();
        command.args(args);
        let service = Service::spawn(command);
        service.until_ready();
        service
    }

    /// What starts a service on the store.
    pub fn command(&self) -> Command {
        let mut command = binary_with_token();
        command.args(&self.settings);
        command
    }
}

fn fresh() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Makes, for each store, one module with one test for each case. One that is missing in the list
/// is dead code, and that does not pass the lints.
macro_rules! on_every_store {
    ($($case:ident),* $(,)?) => {
        $crate::support::start::on_stores! { [memory file redis valkey] [$($case)*] }
    };
}
pub(crate) use on_every_store;

macro_rules! on_stores {
    ([$($store:ident)*] $cases:tt) => {$(
        mod $store {
            $crate::support::start::tests! { $store $cases }
        }
    )*};
}
pub(crate) use on_stores;

macro_rules! tests {
    ($store:ident [$($case:ident)*]) => {$(
        #[test]
        fn $case() {
            super::$case(&$crate::support::Start::$store());
        }
    )*};
}
pub(crate) use tests;
