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
    /// This thread's last line. The next is written in its memory, and mostly begins like it.
    static LAST: Cell<Option<Box<Line>>> = const { Cell::new(None) };
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
        let last = LAST.take().filter(|last| last.shape == self.shape);
        let mut line = last.unwrap_or_else(|| Box::new(Line::new(self.shape)));
        line.begin(SystemTime::now(), *metadata.level(), metadata.target());
        event.record(&mut *line);
        (self.describe_request)(&mut |name, value| line.add_text(name, value));
        line.end();
        self.sink.add(&line.text);
        if line.text.capacity() <= KEPT_BYTES {
            LAST.set(Some(line));
        }
    }
}

/// The line that says how many lines were lost.
pub(super) fn of_loss(shape: Shape, lost: u64) -> Vec<u8> {
    let mut line = Line::new(shape);
    line.begin(SystemTime::now(), Level::WARN, module_path!());
    line.add_text("message", "log lines were lost: their reader had stalled");
    line.add_plain("lost", lost);
    line.end();
    line.text
}

/// A line that is being written: what is said of every event, its message, its other fields.
struct Line {
    shape: Shape,
    text: Vec<u8>,
    /// How many bytes of `text` say what is said of every event.
    begun: usize,
    /// What those say, but for the milliseconds: the second since 1970, the level and the target.
    beginning: Option<(u64, Level, &'static str)>,
}

impl Line {
    const fn new(shape: Shape) -> Self {
        Self {
            shape,
            text: Vec::new(),
            begun: 0,
            beginning: None,
        }
    }

    /// Lines come many in a second, so a beginning that is the same but for the milliseconds is kept.
    fn begin(&mut self, time: SystemTime, level: Level, target: &'static str) {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = since_epoch.as_secs();
        self.text.truncate(self.begun);
        if self.beginning != Some((second, level, target)) {
            self.write_beginning(second, level, target);
        }
        let millis = since_epoch.subsec_millis();
        let at = self.shape.before_time().len() + "1970-01-01T00:00:00.".len();
        self.text[at..at + 3].copy_from_slice(&[millis / 100, millis / 10, millis].map(digit));
    }

    #[cold]
    fn write_beginning(&mut self, second: u64, level: Level, target: &'static str) {
        self.text.clear();
        self.text.reserve(USUAL_BYTES);
        self.push(self.shape.before_time());
        // RFC 3339. Of years after 9999 there is nothing to show.
        let mut time = *b"1970-01-01T00:00:00.000Z";
        let begun = UNIX_EPOCH + Duration::from_secs(second);
        let shown = humantime::format_rfc3339_millis(begun);
        let _ = write!(&mut time[..], "{shown}");
        self.text.extend_from_slice(&time);
        match self.shape {
            Shape::Json => {
                self.push("\"");
                self.add_text("level", level.as_str());
                self.add_text("target", target);
            }
            Shape::Human { has_colors: false } => self.push_shown(format_args!(" {level:>5}")),
            Shape::Human { has_colors: true } => {
                let color = color_of(level);
                self.push_shown(format_args!("\x1b[0m \x1b[{color}m{level:>5}\x1b[0m"));
            }
        }
        self.begun = self.text.len();
        self.beginning = Some((second, level, target));
    }

    fn end(&mut self) {
        self.push(match self.shape {
            Shape::Json => "}\n",
            Shape::Human { has_colors: false } => "\n",
            Shape::Human { has_colors: true } => "\x1b[0m\n",
        });
    }

    fn add_text(&mut self, name: &str, text: &str) {
        match self.shape {
            Shape::Human { has_colors } if name == "message" => {
                self.push(" ");
                // A message may quote a server, which must not make up lines or colours.
                for c in text.chars() {
                    if c.is_control() {
                        self.push_shown(format_args!("{}", c.escape_default()));
                    } else {
                        self.push(c.encode_utf8(&mut [0; 4]));
                    }
                }
                self.push(if has_colors { "\x1b[2m" } else { "" });
            }
            // An empty text says nothing.
            _ if text.is_empty() => {}
            Shape::Human { .. } => {
                self.push_name(name);
                if text
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && byte != b'"')
                {
                    self.push(text);
                } else {
                    push_quoted(&mut self.text, text);
                }
            }
            Shape::Json => {
                self.push(",\"");
                self.push(name);
                self.push("\":\"");
                push_escaped(&mut self.text, text);
                self.push("\"");
            }
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
        self.add_shown(field.name(), format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add_text(field.name(), value);
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

impl Shape {
    const fn before_time(self) -> &'static str {
        match self {
            Self::Json => "{\"timestamp\":\"",
            Self::Human { has_colors: false } => "",
            Self::Human { has_colors: true } => "\x1b[2m",
        }
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

const fn digit(number: u32) -> u8 {
    b'0' + (number % 10) as u8
}

/// Appends `text` as a JSON string.
fn push_quoted(line: &mut Vec<u8>, text: &str) {
    line.push(b'"');
    push_escaped(line, text);
    line.push(b'"');
}

#[inline]
fn push_escaped(line: &mut Vec<u8>, text: &str) {
    if is_plain(text.as_bytes()) {
        line.extend_from_slice(text.as_bytes());
    } else {
        escape(line, text);
    }
}

#[cold]
fn escape(line: &mut Vec<u8>, text: &str) {
    // A string always has a JSON form.
    let quoted = serde_json::to_string(text).unwrap_or_default();
    let inside = 1..quoted.len().saturating_sub(1);
    line.extend_from_slice(quoted.get(inside).unwrap_or_default().as_bytes());
}

/// Whether a text is its own JSON form. Every line is looked at, so eight bytes are at a time; the
/// last eight may overlap those before.
fn is_plain(text: &[u8]) -> bool {
    const EACH: u64 = u64::MAX / 0xff;
    // The highest bit of a byte becomes one if it is below b' ', b'"', b'\\' or above b'~'.
    let bad = |bytes: &[u8; 8]| {
        let bytes = u64::from_le_bytes(*bytes);
        bytes.wrapping_sub(EACH * 0x20)
            | bytes.wrapping_add(EACH)
            | (bytes ^ (EACH * 0x22)).wrapping_sub(EACH)
            | (bytes ^ (EACH * 0x5c)).wrapping_sub(EACH)
    };
    let last = text.last_chunk().copied().unwrap_or_else(|| {
        let mut padded = [b' '; 8];
        padded[..text.len()].copy_from_slice(text);
        padded
    });
    let (whole, _) = text.as_chunks();
    let any_bad = whole.iter().fold(bad(&last), |any, bytes| any | bad(bytes));
    any_bad & (EACH * 0x80) == 0
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
        let mut line = Line::new(Shape::Human { has_colors: false });
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
            line.begin(time, Level::INFO, "");
            let expected = humantime::format_rfc3339_millis(time);
            assert_eq!(line.text, format!("{expected}  INFO").as_bytes());
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
            let mut line = Line::new(Shape::Json);
            line.begin(UNIX_EPOCH, Level::INFO, "");
            line.add_shown("shown", format_args!("{text}{text}"));
            line.end();
            let line: serde_json::Value = serde_json::from_slice(&line.text).unwrap();
            let shown = line.get("shown").map(|shown| shown.as_str().unwrap());
            assert_eq!(shown.unwrap_or_default(), text.repeat(2));
        }
    }
    #[test]
    fn only_texts_that_are_their_own_json_form_are_plain() {
        for character in '\0'..='\u{ff}' {
            for at in 0..20 {
                for after in 0..20 {
                    let text = format!("{}{character}{}", "~".repeat(at), " ".repeat(after));
                    let is_plain =
                        matches!(character, ' '..='~') && !matches!(character, '"' | '\\');
                    assert_eq!(super::is_plain(text.as_bytes()), is_plain, "{text:?}");
                }
            }
        }
    }
}
