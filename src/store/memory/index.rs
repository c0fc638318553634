//! Which sessions each user has.

use std::collections::BTreeSet;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// The session's place: the first eight bytes of its digest. Uniform, and not for an attacker
/// to choose, since only tokens made here are ever entered, each once. It is the hash in the
/// session's table and all that the user index keeps: that two sessions of one user share it is
/// as likely as to guess 64 bits.
pub(super) type Handle = u64;

/// A keyed hash of the user's name. The index keeps it in place of the name; should two users
/// ever share one, the name in the session tells them apart.
pub(super) type UserKey = u64;

/// Up to so many sessions of a user lie side by side: few steps and little memory for as many as
/// people have. More are in a tree, which never stops to move all of them.
const FEW: usize = 64;

/// How much room is made at a time for sessions side by side.
const ROOM: usize = 4;

/// The handles of users' sessions.
#[derive(Default)]
pub(super) struct Index(HashTable<(UserKey, Handles)>);

/// Those of one user, at least one, in ascending order.
enum Handles {
    One(Handle),
    Few(Vec<Handle>),
    #[expect(
        clippy::box_collection,
        reason = "the others are no larger than a vector"
    )]
    Many(Box<BTreeSet<Handle>>),
}

impl Index {
    pub(super) fn insert(&mut self, user: UserKey, handle: Handle) {
        match self.0.entry(user, |(key, _)| *key == user, hash) {
            Entry::Occupied(mut known) => known.get_mut().1.insert(handle),
            Entry::Vacant(free) => {
                free.insert((user, Handles::One(handle)));
            }
        }
    }

    pub(super) fn remove(&mut self, user: UserKey, handle: Handle) {
        if let Ok(mut known) = self.0.find_entry(user, |(key, _)| *key == user)
            && known.get_mut().1.remove(handle)
        {
            known.remove();
        }
    }

    /// The first of the user's handles.
    pub(super) fn first(&self, user: UserKey) -> Option<Handle> {
        self.batch(user, 0, 1).pop()
    }

    /// At most so `many` of the user's handles, from this one on.
    pub(super) fn batch(&self, user: UserKey, from: Handle, many: usize) -> Vec<Handle> {
        match self.0.find(user, |(key, _)| *key == user) {
            None => Vec::new(),
            Some((_, Handles::One(only))) => Vec::from_iter((*only >= from).then_some(*only)),
            Some((_, Handles::Few(few))) => {
                let few = &few[few.partition_point(|handle| *handle < from)..];
                few[..few.len().min(many)].to_vec()
            }
            Some((_, Handles::Many(all))) => all.range(from..).take(many).copied().collect(),
        }
    }

    /// How many users there are.
    pub(super) fn users(&self) -> usize {
        self.0.len()
    }

    /// Gives back the space of users who are gone.
    pub(super) fn shrink(&mut self) {
        if is_sparse(self.0.capacity(), self.0.len()) {
            self.0.shrink_to_fit(hash);
        }
    }
}

/// The key is a hash already.
fn hash((user, _): &(UserKey, Handles)) -> u64 {
    *user
}

impl Handles {
    fn insert(&mut self, handle: Handle) {
        match self {
            Self::One(only) => {
                let mut few = Vec::with_capacity(ROOM);
                few.extend([(*only).min(handle), (*only).max(handle)]);
                few.dedup();
                *self = Self::Few(few);
            }
            Self::Few(few) => {
                let Err(place) = few.binary_search(&handle) else {
                    return;
                };
                if few.len() == FEW {
                    let all = few.iter().copied().chain([handle]);
                    *self = Self::Many(Box::new(all.collect()));
                    return;
                }
                if few.len() == few.capacity() {
                    few.reserve_exact(ROOM);
                }
                few.insert(place, handle);
            }
            Self::Many(all) => {
                all.insert(handle);
            }
        }
    }

    /// Answers whether none is left.
    fn remove(&mut self, handle: Handle) -> bool {
        match self {
            Self::One(only) => *only == handle,
            Self::Few(few) => {
                if let Ok(place) = few.binary_search(&handle) {
                    few.remove(place);
                }
                few.is_empty()
            }
            Self::Many(all) => {
                all.remove(&handle);
                all.is_empty()
            }
        }
    }
}

/// Whether a table of this capacity is worth making smaller.
pub(super) const fn is_sparse(capacity: usize, len: usize) -> bool {
    capacity > 64 && capacity / 4 > len
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::*;

    proptest! {
        #[test]
        fn an_index_holds_what_was_inserted_and_not_removed(
            steps in proptest::collection::vec((0_u64..3, 0_u64..200, proptest::bool::weighted(0.7)), 0..800),
            from in 0_u64..200,
        ) {
            let (mut index, mut model) = (Index::default(), BTreeSet::new());
            for (user, handle, is_insert) in steps {
                if is_insert {
                    index.insert(user, handle);
                    model.insert((user, handle));
                } else {
                    index.remove(user, handle);
                    model.remove(&(user, handle));
                }
            }
            index.shrink();
            let mut users = 0;
            for user in 0..3 {
                let all = model.range((user, from)..(user + 1, 0)).map(|(_, handle)| *handle);
                let all: Vec<Handle> = all.collect();
                assert_eq!(index.batch(user, from, usize::MAX), all);
                assert_eq!(index.batch(user, from, 5), all[..all.len().min(5)]);
                let first = model.range((user, 0)..(user + 1, 0)).next();
                assert_eq!(index.first(user), first.map(|(_, handle)| *handle));
                users += usize::from(first.is_some());
            }
            assert_eq!(index.users(), users);
        }
    }
}
