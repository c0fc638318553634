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
    let mut message = String::with_capacity(fields.message.len() + 2);
    push_quoted(&mut message, &fields.message);
    let pieces = [
        "{\"timestamp\":\"",
        now,
        "\",\"level\":\"",
        level.as_str(),
        "\",\"target\":\"",
        target,
        "\",\"message\":",
        &message,
        &fields.rest,
        "}\n",
    ];
    pieces.iter().try_for_each(|piece| writer.write_str(piece))
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
            rest: String::with_capacity(256),
        }
    }

    fn add_text(&mut self, name: &str, text: &str) {
        // An empty text says nothing.
        if text.is_empty() {
            return;
        }
        self.push_name(name);
        let is_plain = text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"');
        match self.shape {
            Shape::Human if is_plain => self.rest.push_str(text),
            Shape::Human | Shape::Json => push_quoted(&mut self.rest, text),
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
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
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

/// Appends `text` as a JSON string.
fn push_quoted(line: &mut String, text: &str) {
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        line.push('"');
        line.push_str(text);
        line.push('"');
    } else {
        // A string always has a JSON form.
        line.push_str(&serde_json::to_string(text).unwrap_or_default());
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
            push_quoted(&mut quoted, text);
            assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
        }
    }
}
