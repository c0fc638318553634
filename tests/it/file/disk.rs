//! A disk to be broken: fails any call it is told to, and loses what was not synced.
//!
//! What is written goes to a cache first, as in an operating system; `sync` moves it to the
//! disk. A sync that fails may lose what was written for good while the cache still shows it.

use std::io;
use std::sync::{Arc, Condvar, Mutex};

use neptun_auth::store::file::Device;

/// What a failing call leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// Nothing was done.
    Refused,
    /// It was done, and reported as failed.
    Applied,
    /// Half of it was done; of a sync, what was to be synced is lost.
    Torn,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Len(usize),
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Len(len) => image.resize(*len, 0),
            Self::Write(offset, data) => {
                let end = offset + data.len();
                if image.len() < end {
                    image.resize(end, 0);
                }
                image[*offset..end].copy_from_slice(data);
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Fault {
    calls_before: u64,
    for_ever: bool,
    flavour: Flavour,
}

#[derive(Debug, Default)]
struct State {
    cache: Vec<u8>,
    disk: Vec<u8>,
    unsynced: Vec<Change>,
    fault: Option<Fault>,
    calls: u64,
    is_stuck: bool,
}

impl State {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.cache);
        self.unsynced.push(change);
    }

    fn flush(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            change.apply(&mut self.disk);
        }
    }

    /// Counts the call; how it is to fail, if it is.
    fn fails(&mut self) -> Option<Flavour> {
        self.calls += 1;
        let fault = self.fault.as_mut()?;
        if fault.calls_before > 0 {
            fault.calls_before -= 1;
            return None;
        }
        let flavour = fault.flavour;
        if !fault.for_ever {
            self.fault = None;
        }
        Some(flavour)
    }
}

/// The disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    state: Mutex<State>,
    unstuck: Condvar,
}

impl Disk {
    pub(crate) fn with(image: Vec<u8>) -> Arc<Self> {
        let state = State {
            cache: image.clone(),
            disk: image,
            ..State::default()
        };
        Arc::new(Self {
            state: Mutex::new(state),
            unstuck: Condvar::new(),
        })
    }

    /// After `calls_before` more calls, the next one fails; and all later ones, if `for_ever`.
    pub(crate) fn fail(&self, calls_before: u64, for_ever: bool, flavour: Flavour) {
        self.state.lock().unwrap().fault = Some(Fault {
            calls_before,
            for_ever,
            flavour,
        });
    }

    /// No call fails from now on.
    pub(crate) fn heal(&self) {
        self.state.lock().unwrap().fault = None;
    }

    /// Calls so far.
    pub(crate) fn calls(&self) -> u64 {
        self.state.lock().unwrap().calls
    }

    /// Syncs hang until what this returns is dropped.
    pub(crate) fn stick(&self) -> Stuck<'_> {
        self.state.lock().unwrap().is_stuck = true;
        Stuck(self)
    }

    /// What is there after the power was cut now: what was synced, and of the rest a part that
    /// depends on `seed`, the last of it perhaps torn.
    pub(crate) fn power_cut(&self, seed: u64) -> Vec<u8> {
        let state = self.state.lock().unwrap();
        let mut image = state.disk.clone();
        let mut random = seed;
        for change in &state.unsynced {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            match (random >> 60, change) {
                (0..8, _) if seed > 0 => change.apply(&mut image),
                (8..10, Change::Write(offset, data)) if seed > 0 => {
                    Change::Write(*offset, data[..data.len() / 2].to_vec()).apply(&mut image);
                }
                _ => {}
            }
        }
        image
    }

    /// What is there after the process was killed now: all that was written, synced or not.
    pub(crate) fn killed(&self) -> Vec<u8> {
        self.state.lock().unwrap().cache.clone()
    }

    fn change_or_fail(&self, change: Change) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        match (state.fails(), change) {
            (None, change) => {
                state.change(change);
                return Ok(());
            }
            (Some(Flavour::Applied), change) => state.change(change),
            (Some(Flavour::Torn), Change::Write(offset, mut data)) => {
                data.truncate(data.len() / 2);
                state.change(Change::Write(offset, data));
            }
            (Some(_), _) => {}
        }
        Err(failed())
    }
}

/// A disk whose syncs hang.
pub(crate) struct Stuck<'a>(&'a Disk);

impl Drop for Stuck<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().is_stuck = false;
        self.0.unstuck.notify_all();
    }
}

fn failed() -> io::Error {
    io::Error::other("injected")
}

impl Device for Disk {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.state.lock().unwrap();
        match state.fails() {
            None => Ok(state.cache.len() as u64),
            Some(_) => Err(failed()),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        if state.fails().is_some() {
            return Err(failed());
        }
        let offset = usize::try_from(offset).unwrap();
        let found = state.cache.get(offset..offset + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change_or_fail(Change::Len(usize::try_from(len).unwrap()))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        while state.is_stuck {
            state = self.unstuck.wait(state).unwrap();
        }
        match state.fails() {
            None => {
                state.flush();
                return Ok(());
            }
            Some(Flavour::Refused) => {}
            Some(Flavour::Applied) => state.flush(),
            Some(Flavour::Torn) => state.unsynced.clear(),
        }
        Err(failed())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change_or_fail(Change::Write(
            usize::try_from(offset).unwrap(),
            data.to_vec(),
        ))
    }

    fn settle(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        if state.fails().is_some() {
            return Err(failed());
        }
        state.flush();
        let State { cache, disk, .. } = &mut *state;
        cache.clone_from(disk);
        Ok(())
    }
}
