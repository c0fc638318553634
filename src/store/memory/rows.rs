//! The sessions of one user.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

use smallvec::SmallVec;

use crate::session::{Session, SessionId};

/// A session as it lies here: its user is told once for all of his, and its label lies apart, so
/// that sessions without one, which is nearly all, are no larger for it.
pub(super) type Row = Session<(), ()>;

/// Up to so many sessions of a user lie side by side: little memory for as many as people have, and
/// looked through from the first on, which waits for memory less often than halving does. More are
/// in a tree, which never stops to move all of them.
const FEW: usize = 32;

/// The sessions of one user, in the order of their ids.
pub(super) enum Rows {
    Few(SmallVec<[Row; 1]>),
    Many(BTreeMap<SessionId, Row>),
}

impl Rows {
    pub(super) fn of(only: Row) -> Self {
        Self::Few(SmallVec::from_buf([only]))
    }

    pub(super) fn get(&self, id: &SessionId) -> Option<&Row> {
        match self {
            Self::Few(few) => few.iter().find(|row| row.id == *id),
            Self::Many(all) => all.get(id),
        }
    }

    pub(super) fn get_mut(&mut self, id: &SessionId) -> Option<&mut Row> {
        match self {
            Self::Few(few) => few.iter_mut().find(|row| row.id == *id),
            Self::Many(all) => all.get_mut(id),
        }
    }

    /// Adds a session, unless one of its id is here; says whether it did.
    pub(super) fn insert(&mut self, row: Row) -> bool {
        match self {
            Self::Few(few) => {
                let Err(place) = few.binary_search_by(|known| known.id.cmp(&row.id)) else {
                    return false;
                };
                if few.len() == FEW {
                    let all = few.drain(..).chain([row]);
                    *self = Self::Many(all.map(|row| (row.id, row)).collect());
                    return true;
                }
                if few.len() == few.capacity() {
                    // A quarter and not twice as much: most users have few and get no more.
                    few.reserve_exact(1 + few.len() / 4);
                }
                few.insert(place, row);
                true
            }
            Self::Many(all) => match all.entry(row.id) {
                Entry::Vacant(free) => {
                    free.insert(row);
                    true
                }
                Entry::Occupied(_) => false,
            },
        }
    }

    pub(super) fn remove(&mut self, id: &SessionId) -> Option<Row> {
        match self {
            Self::Few(few) => {
                let place = few.iter().position(|row| row.id == *id)?;
                Some(few.remove(place))
            }
            Self::Many(all) => all.remove(id),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Few(few) => few.is_empty(),
            Self::Many(all) => all.is_empty(),
        }
    }

    /// Those that come after this id; all for `None`.
    pub(super) fn after(&self, last: Option<SessionId>) -> impl Iterator<Item = &Row> {
        let (few, all) = match self {
            Self::Few(few) => {
                let first = few.partition_point(|row| Some(row.id) <= last);
                (Some(few[first..].iter()), None)
            }
            Self::Many(all) => {
                let from = last.map_or(Bound::Unbounded, Bound::Excluded);
                let rows = all.range((from, Bound::Unbounded)).map(|(_, row)| row);
                (None, Some(rows))
            }
        };
        few.into_iter().flatten().chain(all.into_iter().flatten())
    }
}
