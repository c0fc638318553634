//! How an event becomes a line. By hand, since every ended session leaves one: `benches/README.md`
//! says what that is worth.

use std::cell::Cell;
use std::fmt;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::DescribeRequest;
use super::sink::Sink;

/// Room for an audit line.
const USUAL_BYTES: usize = 512;

/// The most memory that a thread keeps for its next line, in bytes.
const KEPT_BYTES: usize = 4096;

thread_local! {
    /// The memory of this thread's last line.
    static LAST: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };

    /// The second of this thread's last line, since 1970, and how its beginning is written.
    static SECOND: Cell<(u64, [u8; 24])> = const { Cell::new((0, *b"1970-01-01T00:00:00.000Z")) };
}

/// Whom lines are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Human { has_colors: bool },
    Json,
}

/// Makes the lines and hands them on.
pub(super) struct Lines {
    pub(super) shape: Shape,
    pub(super) describe_request: DescribeRequest,
    pub(super) sink: Sink,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut line = Line::begin(self.shape, *metadata.level(), metadata.target());
        event.record(&mut line);
        (self.describe_request)(&mut |name, value| line.add_text(name, value));
        let text = line.end();
        self.sink.add(&text);
        if text.capacity() <= KEPT_BYTES {
            LAST.set(text);
        }
    }
}

/// The line that says how many lines were lost.
pub(super) fn of_loss(shape: Shape, lost: u64) -> Vec<u8> {
    let mut line = Line::begin(shape, Level::WARN, module_path!());
    line.add_message(format_args!(
        "log lines were lost: their reader had stalled"
    ));
    line.add_plain("lost", lost);
    line.end()
}

/// A line that is being written: what is said of every event, its message, its other fields.
struct Line {
    shape: Shape,
    text: Vec<u8>,
}

impl Line {
    fn begin(shape: Shape, level: Level, target: &str) -> Self {
        let mut text = LAST.take();
        text.clear();
        text.reserve(USUAL_BYTES);
        let mut line = Self { shape, text };
        line.push(match shape {
            Shape::Json => "{\"timestamp\":\"",
            Shape::Human { has_colors: false } => "",
            Shape::Human { has_colors: true } => "\x1b[2m",
        });
        push_time(&mut line.text, SystemTime::now());
        match shape {
            Shape::Json => {
                line.push("\"");
                line.add_text("level", level.as_str());
                line.add_text("target", target);
            }
            Shape::Human { has_colors: false } => line.push_shown(format_args!(" {level:>5}")),
            Shape::Human { has_colors: true } => {
                let color = color_of(level);
                line.push_shown(format_args!("\x1b[0m \x1b[{color}m{level:>5}\x1b[0m"));
            }
        }
        line
    }

    fn end(mut self) -> Vec<u8> {
        self.push(match self.shape {
            Shape::Json => "}\n",
            Shape::Human { has_colors: false } => "\n",
            Shape::Human { has_colors: true } => "\x1b[0m\n",
        });
        self.text
    }

    /// The macros of `tracing` put the message before all other fields.
    fn add_message(&mut self, message: fmt::Arguments<'_>) {
        match self.shape {
            Shape::Json => self.add_shown("message", message),
            Shape::Human { has_colors } => {
                self.push(" ");
                // A message may quote a server, which must not make up lines or colours.
                for c in message.to_string().chars() {
                    if c.is_control() {
                        self.push_shown(format_args!("{}", c.escape_default()));
                    } else {
                        self.push(c.encode_utf8(&mut [0; 4]));
                    }
                }
                self.push(if has_colors { "\x1b[2m" } else { "" });
            }
        }
    }

    fn add_text(&mut self, name: &str, text: &str) {
        // An empty text says nothing.
        if text.is_empty() {
            return;
        }
        self.push_name(name);
        let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"';
        if self.shape != Shape::Json && text.bytes().all(is_plain) {
            self.push(text);
        } else {
            push_quoted(&mut self.text, text);
        }
    }

    /// The same of what has yet to become a text.
    fn add_shown(&mut self, name: &str, value: fmt::Arguments<'_>) {
        if self.shape != Shape::Json {
            return self.add_text(name, &value.to_string());
        }
        let before = self.text.len();
        self.push_name(name);
        self.push("\"");
        let start = self.text.len();
        // Writing to memory does not fail.
        let _ = fmt::write(&mut Escaping(&mut self.text), value);
        if self.text.len() == start {
            self.text.truncate(before);
        } else {
            self.push("\"");
        }
    }

    fn add_plain(&mut self, name: &str, value: impl fmt::Display) {
        self.push_name(name);
        self.push_shown(format_args!("{value}"));
    }

    fn push_name(&mut self, name: &str) {
        // What goes around it is known here, and so costs a store and no copy.
        match self.shape {
            Shape::Human { .. } => {
                self.push(" ");
                self.push(name);
                self.push("=");
            }
            Shape::Json => {
                self.push(",\"");
                self.push(name);
                self.push("\":");
            }
        }
    }

    #[inline]
    fn push(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    fn push_shown(&mut self, text: fmt::Arguments<'_>) {
        // Writing to memory does not fail.
        let _ = self.text.write_fmt(text);
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.add_message(format_args!("{value:?}")),
            name => self.add_shown(name, format_args!("{value:?}")),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.add_message(format_args!("{value}")),
            name => self.add_text(name, value),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add_plain(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add_plain(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add_plain(field.name(), value);
    }
}

const fn color_of(level: Level) -> &'static str {
    match level {
        Level::ERROR => "31",
        Level::WARN => "33",
        Level::INFO => "32",
        _ => "34",
    }
}

/// Appends a time as RFC 3339 has it, to the millisecond. Lines come many in a second, so what is
/// the same in all of them is kept.
fn push_time(line: &mut Vec<u8>, time: SystemTime) {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (mut second, mut text) = SECOND.get();
    if second != since_epoch.as_secs() {
        second = since_epoch.as_secs();
        let mut written = Vec::new();
        let begun = UNIX_EPOCH + Duration::from_secs(second);
        // It fails for years after 9999, of which there is nothing to show.
        let _ = write!(written, "{}", humantime::format_rfc3339_millis(begun));
        text = written.first_chunk().copied().unwrap_or(text);
        SECOND.set((second, text));
    }
    let millis = since_epoch.subsec_millis();
    text[20..23].copy_from_slice(&[millis / 100, millis / 10, millis].map(digit));
    line.extend_from_slice(&text);
}

const fn digit(number: u32) -> u8 {
    b'0' + (number % 10) as u8
}

/// Appends `text` as a JSON string.
fn push_quoted(line: &mut Vec<u8>, text: &str) {
    line.push(b'"');
    push_escaped(line, text);
    line.push(b'"');
}

fn push_escaped(line: &mut Vec<u8>, text: &str) {
    if is_plain(text) {
        line.extend_from_slice(text.as_bytes());
    } else {
        // A string always has a JSON form.
        let quoted = serde_json::to_string(text).unwrap_or_default();
        let inside = 1..quoted.len().saturating_sub(1);
        line.extend_from_slice(quoted.get(inside).unwrap_or_default().as_bytes());
    }
}

/// Whether a text is its own JSON form. Every line is looked at, so sixteen bytes are at a time,
/// each of them.
fn is_plain(text: &str) -> bool {
    let are_plain = |bytes: &[u8; 16]| {
        let bad = |byte: u8| {
            u8::from(byte.wrapping_sub(b' ') > b'~' - b' ')
                | u8::from(byte == b'"')
                | u8::from(byte == b'\\')
        };
        bytes.iter().fold(0, |any, byte| any | bad(*byte)) == 0
    };
    let (whole, rest) = text.as_bytes().as_chunks();
    let mut last = [b' '; 16];
    last[..rest.len()].copy_from_slice(rest);
    whole.iter().all(are_plain) && are_plain(&last)
}

/// What is written to it is appended to a JSON string.
struct Escaping<'a>(&'a mut Vec<u8>);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        push_escaped(self.0, text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_humantime_does() {
        for millis in [
            0,
            1,
            999,
            1_000,
            1_764_194_347_174,
            1_764_194_347_999,
            59_999,
        ] {
            let time = UNIX_EPOCH + Duration::from_millis(millis);
            let mut written = Vec::new();
            push_time(&mut written, time);
            let expected = humantime::format_rfc3339_millis(time).to_string();
            assert_eq!(written, expected.as_bytes());
        }
    }

    #[test]
    fn a_text_is_quoted_as_json_has_it() {
        for text in [
            "",
            "plain",
            "a \"b\" \\ \"c\"",
            "line\nbreak",
            "\u{e4}\u{1f600}\u{7f}\0",
        ] {
            let mut quoted = Vec::new();
            push_quoted(&mut quoted, text);
            assert_eq!(serde_json::from_slice::<String>(&quoted).unwrap(), text);
            let mut line = Line::begin(Shape::Json, Level::INFO, "");
            line.add_shown("shown", format_args!("{text}{text}"));
            let line: serde_json::Value = serde_json::from_slice(&line.end()).unwrap();
            let shown = line.get("shown").map(|shown| shown.as_str().unwrap());
            assert_eq!(shown.unwrap_or_default(), text.repeat(2));
        }
    }
}
