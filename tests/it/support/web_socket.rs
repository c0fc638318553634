//! The client's side of a `WebSocket`.

use std::net::SocketAddr;

use super::{Ask, Connection};

/// One that is open.
pub struct WebSocket(Connection);

impl Ask {
    /// Asks for an upgrade as a client of `WebSockets` does.
    pub fn upgrade(target: &str, to: &str) -> Self {
        Self::get(target)
            .header("connection", "Upgrade, HTTP2-Settings")
            .header("upgrade", to)
            .header("http2-settings", "AAMAAABkAAQAAP__")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    }
}

impl WebSocket {
    /// By a handshake that is granted.
    pub fn open(address: SocketAddr, handshake: &Ask) -> Self {
        let mut connection = Connection::open(address);
        connection.write(&handshake.bytes());
        let answer = connection.answer_to("GET");
        assert_eq!(answer.status, 101, "{answer:?}");
        Self(connection)
    }

    /// Sends a short text.
    pub fn say(&mut self, text: &str) {
        let length = u8::try_from(text.len()).unwrap();
        assert!(length < 126);
        // Masked with zeroes, since a client has to mask.
        let head = [0x81, 0x80 | length, 0, 0, 0, 0];
        self.0.write(&[&head, text.as_bytes()].concat());
    }

    /// Asks the other side whether it is there, which has it answer by itself.
    pub fn ping(&mut self) {
        self.0.write(&[0x89, 0x80, 0, 0, 0, 0]);
        assert_eq!(self.0.read(2), [0x8a, 0]);
    }

    /// The next text, or `None` if the other side closes it.
    pub fn hear(&mut self) -> Option<String> {
        let head = self.0.read(2);
        if head[0] == 0x88 {
            return None;
        }
        assert_eq!(head[0], 0x81, "a text in one frame");
        let length = match head[1] {
            126 => {
                let long = self.0.read(2);
                usize::from(u16::from_be_bytes([long[0], long[1]]))
            }
            short => usize::from(short),
        };
        Some(String::from_utf8(self.0.read(length)).unwrap())
    }
}
