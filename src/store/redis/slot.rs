//! Which of a cluster's 16384 slots a key is in.

/// How many slots there are.
pub(super) const SLOTS: u16 = 16384;

/// The slot of `key`: CRC16 (XMODEM) of the key, or of what stands in its first braces if that is
/// not empty.
pub(super) fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| {
        let (tag, _) = rest.split_once('}')?;
        (!tag.is_empty()).then_some(tag)
    });
    crc16(tag.unwrap_or(key).as_bytes()) % SLOTS
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let carry = crc & 0x8000 != 0;
            (crc << 1) ^ if carry { 0x1021 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        // As `CLUSTER KEYSLOT` says.
        assert_eq!(slot("somekey"), 11058);
        assert_eq!(slot("foo{hash_tag}"), 2515);
        assert_eq!(slot("{hash_tag}bar}"), 2515);
        assert_eq!(slot("foo{}{bar}"), slot_of_all("foo{}{bar}"));
        assert_eq!(slot("foo{{bar}}zap"), slot_of_all("{bar"));
        assert_eq!(slot("foo{bar"), slot_of_all("foo{bar"));
    }

    fn slot_of_all(text: &str) -> u16 {
        crc16(text.as_bytes()) % SLOTS
    }
}
