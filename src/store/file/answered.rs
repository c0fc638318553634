//! How far the journal was when callers were last answered, kept beside the engine.
//!
//! After a crash the engine takes the last commit whose pages have the right checksums. It cannot
//! know whether the one after that was cut short, and so never answered, or answered and damaged
//! since. So the number of the next row is written down after each commit and before the callers
//! hear of it, and a journal that ends before that row is refused.
//!
//! It is not synced, as that would cost each logout a second fsync: it outlives the process at
//! once, and a power cut with the next commit, or when the system next writes out what it holds.
//! Until then it is the one before, which is true as well. One that makes no sense counts as none.

use std::io;

use super::device::Device;

/// The end of the file's first page, of which the engine uses the first 320 bytes.
const AT: u64 = 4096 - 16;

/// Notes the number of the row that comes next. If that fails, the note that is there stays true.
pub(super) fn write(device: &dyn Device, next: u64) -> io::Result<()> {
    device.write(AT, &[next.to_le_bytes(), (!next).to_le_bytes()].concat())
}

/// The number that was noted last, or 0.
pub(super) fn read(device: &dyn Device) -> io::Result<u64> {
    let (mut next, mut inverse) = ([0; 8], [0; 8]);
    device.read(AT, &mut next)?;
    device.read(AT + 8, &mut inverse)?;
    let (next, inverse) = (u64::from_le_bytes(next), u64::from_le_bytes(inverse));
    Ok(if next == !inverse { next } else { 0 })
}
