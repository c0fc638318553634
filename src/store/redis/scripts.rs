//! The Lua scripts: where one key must be read and written in one step.
//!
//! Each touches the one key it declares, and reads no clock. They are sent whole (`EVAL`): a few
//! hundred bytes, off the paths that matter for speed, and a server that was restarted cannot
//! answer `NOSCRIPT`. What decides a logout is no script but `GETDEL`, and the scripts write
//! what needs memory first, so a server that is out of it refuses them whole.
//!
//! Moments are handed through as text: Lua's numbers are doubles, good for comparing, not for
//! printing.

use redis::Cmd;

use super::layout::{GRACE, keep, keep_mark, millis};
use crate::session::{CLOCK_SKEW, Moment, NotBefore, Session, Timestamp};

/// Moves `last seen` of a record forward. Gives back the record, or nothing if the session is not
/// there or over.
const TOUCH: &str = r"
local record = redis.call('GET', KEYS[1])
if not record then return false end
local created, seen, expires, user = string.match(record, '^(%-?%d+) (%-?%d+) (%-?%d+) (.+)$')
local now, idle, grace = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local steady, since = tonumber(ARGV[4]), tonumber(ARGV[5])
if tonumber(created) < since then return false end
local absolute, used = tonumber(expires), tonumber(seen)
local deadline = absolute
if idle then deadline = math.min(absolute, used + idle) end
if now >= deadline then return false end
if used >= now then return record end
record = created .. ' ' .. ARGV[1] .. ' ' .. expires .. ' ' .. user
local left = math.max(absolute - now, math.min(absolute - steady, absolute - tonumber(created)))
if idle then left = math.min(left, idle) end
redis.call('SET', KEYS[1], record, 'PX', string.format('%.0f', math.min(left + grace, 1e14)))
return record
";

/// Enters a session in its user's index, drops those that expired from it, and keeps the index at
/// least as long as the session. Gives back how many sessions are in it.
const INDEX: &str = r"
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[3])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return redis.call('ZCARD', KEYS[1])
";

/// Moves a user's mark as `NotBefore::followed_by` has it, and keeps it at least as long as asked
/// for. Gives back whether one of its readings was ahead.
const MARK: &str = r"
local wall, steady, skew, was_ahead = ARGV[1], ARGV[2], tonumber(ARGV[3]), 0
local function later_of(known, newer)
  if tonumber(known) <= tonumber(newer) then return newer end
  if tonumber(known) <= tonumber(newer) + skew then return known end
  was_ahead = 1
  return newer
end
local known = redis.call('GET', KEYS[1])
if known then
  local known_wall, known_steady = string.match(known, '^(%S+) ?(%S*)$')
  if known_steady == '' then known_steady = known_wall end
  wall, steady = later_of(known_wall, wall), later_of(known_steady, steady)
end
if wall ~= steady then wall = wall .. ' ' .. steady end
local keep = math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[4]))
redis.call('SET', KEYS[1], wall, 'PX', string.format('%.0f', keep))
return was_ahead
";

fn eval(script: &str, key: &str) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(script).arg(1).arg(key);
    command
}

/// The session under `key` is used at this moment.
pub(super) fn touch(key: &str, at: Moment) -> Cmd {
    let idle = at.idle_timeout.map(|idle| millis(idle).to_string());
    let mut command = eval(TOUCH, key);
    command
        .arg(at.now.as_millis())
        .arg(idle.unwrap_or_default())
        .arg(millis(GRACE))
        .arg(at.steady().as_millis())
        .arg(at.sessions_since.as_millis());
    command
}

/// The index under `key` is to name this session.
pub(super) fn index(key: &str, session: &Session, at: Moment) -> Cmd {
    let mut command = eval(INDEX, key);
    command
        .arg(session.id.to_string())
        .arg(session.expires_at.as_millis())
        .arg(at.earliest().minus(GRACE).as_millis())
        .arg(keep(at, session.expires_at, session.lifetime()));
    command
}

/// The mark under `key` is to stand at now, or where it stands if that is later and no clock was
/// ahead.
pub(super) fn mark(key: &str, at: Moment, until: Timestamp) -> Cmd {
    let NotBefore { wall, steady } = NotBefore::at(at);
    let mut command = eval(MARK, key);
    command
        .arg(wall.as_millis())
        .arg(steady.as_millis())
        .arg(millis(CLOCK_SKEW))
        .arg(keep_mark(at, until));
    command
}
