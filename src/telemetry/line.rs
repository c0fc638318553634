//! How an event becomes a line. By hand, since every ended session leaves one: `benches/README.md`
//! says what that is worth.

use std::fmt::{self, Write as _};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::DescribeRequest;
use super::sink::Sink;

/// Room for an audit line.
const USUAL_BYTES: usize = 512;

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
        self.sink.add(line.end().as_bytes());
    }
}

/// The line that says how many lines were lost.
pub(super) fn of_loss(shape: Shape, lost: u64) -> String {
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
    text: String,
}

impl Line {
    fn begin(shape: Shape, level: Level, target: &str) -> Self {
        let text = String::with_capacity(USUAL_BYTES);
        let mut line = Self { shape, text };
        let now = humantime::format_rfc3339_millis(SystemTime::now());
        match shape {
            Shape::Json => {
                line.push(format_args!("{{\"timestamp\":\"{now}\""));
                line.add_text("level", level.as_str());
                line.add_text("target", target);
            }
            Shape::Human { has_colors: false } => line.push(format_args!("{now} {level:>5}")),
            Shape::Human { has_colors: true } => {
                let color = color_of(level);
                line.push(format_args!(
                    "\x1b[2m{now}\x1b[0m \x1b[{color}m{level:>5}\x1b[0m"
                ));
            }
        }
        line
    }

    fn end(mut self) -> String {
        self.text.push_str(match self.shape {
            Shape::Json => "}\n",
            Shape::Human { has_colors: false } => "\n",
            Shape::Human { has_colors: true } => "\x1b[0m\n",
        });
        self.text
    }

    /// The macros of `tracing` put the message before all other fields.
    fn add_message(&mut self, message: fmt::Arguments<'_>) {
        match self.shape {
            Shape::Json => self.add_text("message", &message.to_string()),
            Shape::Human { has_colors } => {
                self.text.push(' ');
                // A message may quote a server, which must not make up lines or colours.
                for c in message.to_string().chars() {
                    if c.is_control() {
                        self.text.extend(c.escape_default());
                    } else {
                        self.text.push(c);
                    }
                }
                self.text.push_str(if has_colors { "\x1b[2m" } else { "" });
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
            self.text.push_str(text);
        } else {
            push_quoted(&mut self.text, text);
        }
    }

    fn add_plain(&mut self, name: &str, value: impl fmt::Display) {
        self.push_name(name);
        self.push(format_args!("{value}"));
    }

    fn push_name(&mut self, name: &str) {
        let (before, after) = match self.shape {
            Shape::Human { .. } => (" ", "="),
            Shape::Json => (",\"", "\":"),
        };
        self.text.push_str(before);
        self.text.push_str(name);
        self.text.push_str(after);
    }

    fn push(&mut self, text: fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.text.write_fmt(text);
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.add_message(format_args!("{value:?}")),
            name => self.add_text(name, &format!("{value:?}")),
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

/// Appends `text` as a JSON string.
fn push_quoted(line: &mut String, text: &str) {
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\';
    // Each byte is looked at, so that several can be at a time.
    if text.bytes().fold(true, |all, byte| all & is_plain(byte)) {
        line.push('"');
        line.push_str(text);
        line.push('"');
    } else {
        // A string always has a JSON form.
        line.push_str(&serde_json::to_string(text).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_quoted_as_json_has_it() {
        for text in [
            "",
            "plain",
            "a \"b\" \\ c",
            "line\nbreak",
            "\u{e4}\u{1f600}\u{7f}\0",
        ] {
            let mut quoted = String::new();
            push_quoted(&mut quoted, text);
            assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
        }
    }
}
