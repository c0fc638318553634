//! Where something lies, by a hash of what it is found by.

use hashbrown::HashTable;
use smallvec::SmallVec;

use super::is_sparse;

/// A table from hash to place, without the things themselves: whoever looks something up goes to
/// the places it may be at, nearly always one, and looks whether it is there.
#[derive(Default)]
pub(super) struct Places(HashTable<Entry>);

/// Half of the hash is kept: enough to find the entry again when the table grows, and to lead
/// astray once in millions of times.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    tag: u32,
    place: u32,
}

impl Entry {
    #[expect(clippy::cast_possible_truncation, reason = "half of the hash is meant")]
    const fn new(hash: u64, place: u32) -> Self {
        let tag = hash as u32;
        Self { tag, place }
    }

    /// Uniform in the low and in the very high bits, which the table uses.
    fn hash(&self) -> u64 {
        (u64::from(self.tag) << 32) | u64::from(self.tag)
    }
}

impl Places {
    /// Where what has this hash may lie.
    pub(super) fn of(&self, hash: u64) -> SmallVec<[u32; 2]> {
        let wanted = Entry::new(hash, 0);
        let alike = self.0.iter_hash(wanted.hash());
        let found = alike.filter(|entry| entry.tag == wanted.tag);
        found.map(|entry| entry.place).collect()
    }

    pub(super) fn insert(&mut self, hash: u64, place: u32) {
        let entry = Entry::new(hash, place);
        self.0.insert_unique(entry.hash(), entry, Entry::hash);
    }

    /// Removes one entry of this hash and place: two of them would be alike.
    pub(super) fn remove(&mut self, hash: u64, place: u32) {
        let gone = Entry::new(hash, place);
        if let Ok(entry) = self.0.find_entry(gone.hash(), |entry| *entry == gone) {
            entry.remove();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Gives back the space of those that are gone, if it is much.
    pub(super) fn shrink(&mut self) {
        if is_sparse(self.0.capacity(), self.0.len()) {
            self.0.shrink_to_fit(Entry::hash);
        }
    }
}
