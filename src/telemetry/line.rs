//! How an event becomes a line. By hand and into one string, since every ended session leaves one.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::DescribeRequest;
use crate::session::{Clock as _, SystemClock};

/// Whom lines are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Human,
    Json,
}

/// Makes the lines.
pub(super) struct Lines {
    pub(super) shape: Shape,
    pub(super) describe_request: DescribeRequest,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::new(self.shape);
        event.record(&mut fields);
        (self.describe_request)(&mut |name, value| fields.add_text(name, value));
        let now = SystemClock.now().to_string();
        let level = *event.metadata().level();
        match self.shape {
            Shape::Human => human(&mut writer, &now, level, &fields),
            Shape::Json => json(&mut writer, &now, level, event.metadata().target(), &fields),
        }
    }
}

fn human(writer: &mut Writer<'_>, now: &str, level: Level, fields: &Fields) -> fmt::Result {
    let color = match level {
        Level::ERROR => "31",
        Level::WARN => "33",
        Level::INFO => "32",
        _ => "34",
    };
    let Fields { message, rest, .. } = fields;
    if writer.has_ansi_escapes() {
        writeln!(
            writer,
            "\x1b[2m{now}\x1b[0m \x1b[{color}m{level:>5}\x1b[0m {message}\x1b[2m{rest}\x1b[0m"
        )
    } else {
        writeln!(writer, "{now} {level:>5} {message}{rest}")
    }
}

fn json(
    writer: &mut Writer<'_>,
    now: &str,
    level: Level,
    target: &str,
    fields: &Fields,
) -> fmt::Result {
    let pieces = [
        "{\"timestamp\":\"",
        now,
        "\",\"level\":\"",
        level.as_str(),
        "\",\"target\":\"",
        target,
        "\",\"message\":",
    ];
    pieces
        .iter()
        .try_for_each(|piece| writer.write_str(piece))?;
    write_quoted(writer, &fields.message)?;
    writer.write_str(&fields.rest)?;
    writer.write_str("}\n")
}

/// An event's message, and its other fields as they stand in the line.
struct Fields {
    shape: Shape,
    message: String,
    rest: String,
}

impl Fields {
    fn new(shape: Shape) -> Self {
        Self {
            shape,
            message: String::new(),
            // An audit line fits.
            rest: String::with_capacity(512),
        }
    }

    fn add_text(&mut self, name: &str, text: &str) {
        // An empty text says nothing.
        if text.is_empty() {
            return;
        }
        self.push_name(name);
        let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"';
        if self.shape == Shape::Human && text.bytes().all(is_plain) {
            self.rest.push_str(text);
        } else {
            // Writing to a string does not fail.
            let _ = write_quoted(&mut self.rest, text);
        }
    }

    fn add_plain(&mut self, name: &str, value: impl fmt::Display) {
        self.push_name(name);
        // Writing to a string does not fail.
        let _ = write!(self.rest, "{value}");
    }

    fn push_name(&mut self, name: &str) {
        let (before, after) = match self.shape {
            Shape::Human => (" ", "="),
            Shape::Json => (",\"", "\":"),
        };
        self.rest.push_str(before);
        self.rest.push_str(name);
        self.rest.push_str(after);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Writing to a string does not fail.
            let _ = write!(self.message, "{value:?}");
        } else {
            self.add_text(field.name(), &format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
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

/// Writes `text` as a JSON string.
fn write_quoted(to: &mut impl fmt::Write, text: &str) -> fmt::Result {
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\';
    // Each byte is looked at, so that several can be at a time.
    if text.bytes().fold(true, |all, byte| all & is_plain(byte)) {
        to.write_str("\"")?;
        to.write_str(text)?;
        to.write_str("\"")
    } else {
        // A string always has a JSON form.
        to.write_str(&serde_json::to_string(text).unwrap_or_default())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
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
            write_quoted(&mut quoted, text).unwrap();
            assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
        }
    }
}
