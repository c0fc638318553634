//! Where something lies, by a hash of what it is found by.

use smallvec::SmallVec;

use super::is_sparse;

/// A table from hash to place, without the things themselves: whoever looks something up goes to
/// the places it may be at, nearly always one, and looks whether it is there.
///
/// What a look-up reads lies in one line of the processor's cache, unless that is full: in a table
/// too large for the caches that is one wait for memory, and in a general one it is two.
#[derive(Default)]
pub(super) struct Places {
    lines: Box<[Line]>,
    len: usize,
}

const ENTRIES: usize = 7;

/// The place of an entry that is free.
const FREE: u32 = u32::MAX;

/// Entries side by side, and how many others went on from here to the next line, for want of room.
#[derive(Clone)]
#[repr(align(64))]
struct Line {
    tags: [u32; ENTRIES],
    places: [u32; ENTRIES],
    went_on: u32,
}

impl Line {
    const EMPTY: Self = Self {
        tags: [0; ENTRIES],
        places: [FREE; ENTRIES],
        went_on: 0,
    };

    fn entries(&self) -> impl Iterator<Item = (u32, u32)> {
        let entries = self.tags.into_iter().zip(self.places);
        entries.filter(|(_, place)| *place != FREE)
    }

    /// Puts one entry where another is; says whether that was there.
    fn replace(&mut self, old: (Option<u32>, u32), new: (u32, u32)) -> bool {
        let is_old =
            |at: &usize| self.places[*at] == old.1 && old.0.is_none_or(|tag| tag == self.tags[*at]);
        let found = (0..ENTRIES).find(is_old);
        if let Some(at) = found {
            (self.tags[at], self.places[at]) = new;
        }
        found.is_some()
    }
}

impl Places {
    /// Where what has this hash may lie.
    pub(super) fn of(&self, hash: u64) -> SmallVec<[u32; 2]> {
        let tag = tag_of(hash);
        let mut places = SmallVec::new();
        for line in self.lines_for(tag) {
            let line = &self.lines[line];
            let alike = line.entries().filter(|entry| entry.0 == tag);
            places.extend(alike.map(|entry| entry.1));
            if line.went_on == 0 {
                break;
            }
        }
        places
    }

    pub(super) fn insert(&mut self, hash: u64, place: u32) {
        let lines = self.lines.len();
        if self.len >= lines * (ENTRIES - 1) {
            self.resize(lines + lines / 2 + 1);
        }
        self.enter((tag_of(hash), place));
    }

    fn enter(&mut self, entry: (u32, u32)) {
        for line in self.lines_for(entry.0) {
            if self.lines[line].replace((None, FREE), entry) {
                break;
            }
            self.lines[line].went_on += 1;
        }
        self.len += 1;
    }

    /// Removes one entry of this hash and place, which is here; two of them would be alike.
    pub(super) fn remove(&mut self, hash: u64, place: u32) {
        let tag = tag_of(hash);
        for line in self.lines_for(tag) {
            if self.lines[line].replace((Some(tag), place), (0, FREE)) {
                break;
            }
            self.lines[line].went_on -= 1;
        }
        self.len -= 1;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Gives back the space of those that are gone, if it is much.
    pub(super) fn shrink(&mut self) {
        if is_sparse(self.lines.len() * ENTRIES, self.len) {
            self.resize(self.len / (ENTRIES / 2) + 1);
        }
    }

    fn resize(&mut self, lines: usize) {
        let lines = vec![Line::EMPTY; lines].into_boxed_slice();
        let old = std::mem::replace(&mut self.lines, lines);
        self.len = 0;
        old.iter()
            .flat_map(Line::entries)
            .for_each(|entry| self.enter(entry));
    }

    /// The lines in the order in which one of this tag is entered.
    fn lines_for(&self, tag: u32) -> impl Iterator<Item = usize> + use<> {
        let lines = self.lines.len();
        let home = ((u64::from(tag) * lines as u64) >> 32) as usize;
        (home..lines).chain(0..home)
    }
}

/// Half of the hash is kept: enough to find the entry's line again when the table grows, and to
/// lead astray once in millions of times.
#[expect(clippy::cast_possible_truncation, reason = "half of the hash is meant")]
const fn tag_of(hash: u64) -> u32 {
    hash as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::{any, proptest};

    use super::*;

    proptest! {
        #[test]
        fn a_table_holds_what_was_inserted_and_not_removed(
            steps in proptest::collection::vec((0_u64..40, 0_u32..60, any::<bool>()), 0..1500),
        ) {
            let (mut table, mut model) = (Places::default(), BTreeSet::new());
            for (number, place, is_insert) in steps {
                // Few and near, so that lines get full and tags are shared.
                let hash = number << 26;
                if is_insert && model.insert((hash, place)) {
                    table.insert(hash, place);
                } else if !is_insert && model.remove(&(hash, place)) {
                    table.remove(hash, place);
                }
                if model.len() % 50 == 0 {
                    table.shrink();
                }
                assert_eq!(table.len(), model.len());
                let places: BTreeSet<u32> = table.of(hash).into_iter().collect();
                let known = model.range((hash, 0)..=(hash, u32::MAX)).map(|(_, place)| *place);
                assert_eq!(places, known.collect());
            }
            for (hash, place) in model {
                table.remove(hash, place);
            }
            assert!(table.lines.iter().all(|line| line.went_on == 0));
        }
    }
}
