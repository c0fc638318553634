//! What one row of the journal says, and its bytes.
//!
//! A tag, then fixed-width fields (times as little-endian milliseconds), then the length of the
//! label in a byte and the label if there is one, then the user's name to the end of the row. Only digests: a token never comes this far. Reading trusts nothing, since
//! what is read was on a disk.

use crate::session::{Label, NotBefore, Session, SessionId, Timestamp, User};
use crate::store::memory::Mark;

/// A change, in the order in which changes were decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// This session is kept.
    Kept(Session),
    /// The session was used.
    Seen { id: SessionId, at: Timestamp },
    /// The session was ended, or swept after it was over.
    Ended { id: SessionId },
    /// A sealed session is revoked.
    Revoked { id: SessionId, until: Timestamp },
    /// The user's sealed sessions are revoked.
    Marked { user: User, mark: Mark },
}

const KEPT: u8 = 1;
const SEEN: u8 = 2;
const ENDED: u8 = 3;
const REVOKED: u8 = 4;
const MARKED: u8 = 5;
/// A mark of two readings that differ.
const MARKED_APART: u8 = 6;
/// A session with a label, which came with version 2 of the format.
const KEPT_LABELLED: u8 = 7;

impl Entry {
    /// Its bytes, in place of what `row` held.
    pub(super) fn encode(&self, row: &mut Vec<u8>) {
        row.clear();
        match self {
            Self::Kept(session) => {
                let label = session.label.as_ref().map(Label::as_str);
                row.push(label.map_or(KEPT, |_| KEPT_LABELLED));
                row.extend(session.id.as_bytes());
                put_time(row, session.created_at);
                put_time(row, session.last_seen_at);
                put_time(row, session.expires_at);
                if let Some(label) = label {
                    put_label(row, label);
                }
                row.extend(session.user.as_str().as_bytes());
            }
            Self::Seen { id, at } => {
                row.push(SEEN);
                row.extend(id.as_bytes());
                put_time(row, *at);
            }
            Self::Ended { id } => {
                row.push(ENDED);
                row.extend(id.as_bytes());
            }
            Self::Revoked { id, until } => {
                row.push(REVOKED);
                row.extend(id.as_bytes());
                put_time(row, *until);
            }
            Self::Marked { user, mark } => {
                let NotBefore { wall, steady } = mark.not_before;
                if wall == steady {
                    row.push(MARKED);
                    put_time(row, wall);
                } else {
                    row.push(MARKED_APART);
                    put_time(row, wall);
                    put_time(row, steady);
                }
                put_time(row, mark.until);
                row.extend(user.as_str().as_bytes());
            }
        }
    }

    /// Whether it is one that only version 2 of the format has.
    pub(super) fn has_label(&self) -> bool {
        matches!(self, Self::Kept(session) if session.label.is_some())
    }

    /// The entry with these bytes, if there is one.
    pub(super) fn decode(row: &[u8]) -> Option<Self> {
        let (&tag, mut rest) = row.split_first()?;
        let rest = &mut rest;
        let entry = match tag {
            KEPT | KEPT_LABELLED => Self::Kept(Session {
                id: id(rest)?,
                created_at: time(rest)?,
                last_seen_at: time(rest)?,
                expires_at: time(rest)?,
                label: if tag == KEPT {
                    None
                } else {
                    Some(label(rest)?)
                },
                user: user(rest)?,
            }),
            SEEN => Self::Seen {
                id: id(rest)?,
                at: time(rest)?,
            },
            ENDED => Self::Ended { id: id(rest)? },
            REVOKED => Self::Revoked {
                id: id(rest)?,
                until: time(rest)?,
            },
            MARKED | MARKED_APART => {
                let wall = time(rest)?;
                let steady = if tag == MARKED { wall } else { time(rest)? };
                let (not_before, until) = (NotBefore { wall, steady }, time(rest)?);
                Self::Marked {
                    mark: Mark { not_before, until },
                    user: user(rest)?,
                }
            }
            _ => return None,
        };
        rest.is_empty().then_some(entry)
    }
}

fn put_time(row: &mut Vec<u8>, time: Timestamp) {
    row.extend(time.as_millis().to_le_bytes());
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a label has at most 128 bytes"
)]
fn put_label(row: &mut Vec<u8>, label: &str) {
    row.push(label.len() as u8);
    row.extend(label.as_bytes());
}

fn label(rest: &mut &[u8]) -> Option<Label> {
    let (&length, after) = rest.split_first()?;
    let (text, after) = after.split_at_checked(length.into())?;
    *rest = after;
    Label::new(std::str::from_utf8(text).ok()?).ok()
}

fn time(rest: &mut &[u8]) -> Option<Timestamp> {
    let (millis, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(Timestamp::from_millis(i64::from_le_bytes(*millis)))
}

fn id(rest: &mut &[u8]) -> Option<SessionId> {
    let (digest, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(SessionId::from_bytes(*digest))
}

/// The user's name takes all that is left.
fn user(rest: &mut &[u8]) -> Option<User> {
    let name = std::str::from_utf8(std::mem::take(rest)).ok()?;
    User::new(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let id = SessionId::from_bytes([7; 32]);
        let user = User::new("somebody").unwrap();
        let at = Timestamp::from_millis;
        let marked = |wall, steady| Entry::Marked {
            user: user.clone(),
            mark: Mark {
                not_before: NotBefore { wall, steady },
                until: at(6),
            },
        };
        let session = Session {
            id,
            user: user.clone(),
            created_at: at(1),
            last_seen_at: at(2),
            expires_at: at(i64::MAX),
            label: None,
        };
        let label = Label::new("a label").ok();
        vec![
            Entry::Kept(session.clone()),
            Entry::Kept(Session { label, ..session }),
            Entry::Seen { id, at: at(-3) },
            Entry::Ended { id },
            Entry::Revoked { id, until: at(4) },
            marked(at(5), at(5)),
            marked(at(5), at(-5)),
        ]
    }

    #[test]
    fn every_entry_reads_back() {
        let mut row = Vec::new();
        for entry in entries() {
            entry.encode(&mut row);
            assert_eq!(Entry::decode(&row), Some(entry));
        }
    }

    #[test]
    fn a_row_cut_short_or_of_another_kind_is_no_entry() {
        let mut row = Vec::new();
        for entry in entries() {
            entry.encode(&mut row);
            for length in 0..row.len() {
                assert_ne!(Entry::decode(&row[..length]), Some(entry.clone()));
            }
            row[0] = 0;
            assert_eq!(Entry::decode(&row), None);
        }
        Entry::Ended {
            id: SessionId::from_bytes([7; 32]),
        }
        .encode(&mut row);
        row.push(0);
        assert_eq!(Entry::decode(&row), None, "more than an entry");
    }
}
