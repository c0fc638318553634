//! JSON as JavaScript's `JSON.parse` takes it: nested to any depth, with numbers of any size and
//! with halves of surrogate pairs, no name having a meaning of its own. Whoever can put JSON into
//! a session could otherwise make one that lives for h3 and does not exist here.
//!
//! The text is read once and without recursion, into the spans of its values. Only what is asked
//! for is ever decoded.

use std::borrow::Cow;

/// A text that is JSON.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Json {
    text: String,
    /// Every value and every member's name, in the order of the text. Never empty.
    spans: Vec<Span>,
}

/// Where a value is in the text.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
    /// The index of the first span that is not inside this one.
    next: usize,
}

/// What may come next.
#[derive(Clone, Copy)]
enum Expected {
    Value,
    ElementOrEnd,
    Name,
    NameOrEnd,
    Colon,
    CommaOrEnd,
    Nothing,
}

impl Json {
    /// `None` where `JSON.parse` throws.
    pub(super) fn parse(text: String) -> Option<Self> {
        let mut reader = Reader {
            text: text.as_bytes(),
            at: 0,
            spans: Vec::new(),
            open: Vec::new(),
        };
        let mut expected = Expected::Value;
        while let Some(byte) = reader.next_token() {
            expected = match (expected, byte) {
                (Expected::Value | Expected::ElementOrEnd, b'[') => {
                    reader.begin(Expected::ElementOrEnd)
                }
                (Expected::Value | Expected::ElementOrEnd, b'{') => {
                    reader.begin(Expected::NameOrEnd)
                }
                (Expected::ElementOrEnd | Expected::CommaOrEnd, b']')
                | (Expected::NameOrEnd | Expected::CommaOrEnd, b'}') => reader.end(byte)?,
                (Expected::CommaOrEnd, b',') => reader.comma(),
                (Expected::Name | Expected::NameOrEnd, b'"') => {
                    reader.scalar()?;
                    Expected::Colon
                }
                (Expected::Colon, b':') => reader.skip(Expected::Value),
                (Expected::Value | Expected::ElementOrEnd, _) => {
                    reader.scalar()?;
                    reader.after_value()
                }
                _ => return None,
            };
        }
        let spans = reader.spans;
        matches!(expected, Expected::Nothing).then_some(Self { text, spans })
    }

    /// The text as it came.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The value that is the whole text.
    pub(super) fn root(&self) -> Value<'_> {
        Value {
            json: self,
            index: 0,
        }
    }
}

/// How far a text has been read.
struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    spans: Vec<Span>,
    /// The indices of the arrays and objects that have begun and not ended.
    open: Vec<usize>,
}

impl Reader<'_> {
    /// The next byte that is not white space, unread.
    fn next_token(&mut self) -> Option<u8> {
        self.skip_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
        self.peek()
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_while(&mut self, is_one: impl Fn(u8) -> bool) -> usize {
        let rest = &self.text[self.at..];
        let length = rest.iter().position(|&byte| !is_one(byte));
        let length = length.unwrap_or(rest.len());
        self.at += length;
        length
    }

    fn skip(&mut self, then: Expected) -> Expected {
        self.at += 1;
        then
    }

    /// An array or object begins here.
    fn begin(&mut self, then: Expected) -> Expected {
        self.open.push(self.spans.len());
        self.span(self.at);
        self.skip(then)
    }

    /// An array or object ends here; `None` if it began with the other bracket.
    fn end(&mut self, bracket: u8) -> Option<Expected> {
        let index = self.open.pop()?;
        self.at += 1;
        let next = self.spans.len();
        let span = &mut self.spans[index];
        (span.end, span.next) = (self.at, next);
        // In ASCII a bracket and its counterpart are two apart.
        (self.text[span.start] + 2 == bracket).then(|| self.after_value())
    }

    fn comma(&mut self) -> Expected {
        let inside = self.open.last().map(|&index| self.spans[index].start);
        let in_object = inside.is_some_and(|start| self.text[start] == b'{');
        self.skip(if in_object {
            Expected::Name
        } else {
            Expected::Value
        })
    }

    fn after_value(&self) -> Expected {
        if self.open.is_empty() {
            Expected::Nothing
        } else {
            Expected::CommaOrEnd
        }
    }

    /// Reads what has nothing inside it.
    fn scalar(&mut self) -> Option<()> {
        let start = self.at;
        match self.peek()? {
            b'"' => self.string()?,
            b'-' | b'0'..=b'9' => self.number()?,
            _ => {
                let rest = &self.text[start..];
                let words: [&[u8]; 3] = [b"true", b"false", b"null"];
                self.at += words.iter().find(|word| rest.starts_with(word))?.len();
            }
        }
        self.span(start);
        Some(())
    }

    fn span(&mut self, start: usize) {
        let (end, next) = (self.at, self.spans.len() + 1);
        self.spans.push(Span { start, end, next });
    }

    fn string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            self.skip_while(|byte| !matches!(byte, b'"' | b'\\' | ..b' '));
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => {
                    let (_, length) = escape(self.text.get(self.at + 1..)?)?;
                    self.at += 1 + length;
                }
                _ => return None,
            }
        }
    }

    fn number(&mut self) -> Option<()> {
        self.skip_if(b"-");
        if !self.skip_if(b"0") {
            self.digits()?;
        }
        if self.skip_if(b".") {
            self.digits()?;
        }
        if self.skip_if(b"eE") {
            self.skip_if(b"+-");
            self.digits()?;
        }
        Some(())
    }

    fn skip_if(&mut self, any_of: &[u8]) -> bool {
        let is_one = self.peek().is_some_and(|byte| any_of.contains(&byte));
        self.at += usize::from(is_one);
        is_one
    }

    /// One digit at least.
    fn digits(&mut self) -> Option<()> {
        (self.skip_while(|byte| byte.is_ascii_digit()) > 0).then_some(())
    }
}

/// The UTF-16 code unit that is escaped at the beginning of this text, after the backslash, and
/// the length of the escape.
fn escape(text: &[u8]) -> Option<(u16, usize)> {
    let unit = match text.first()? {
        b'b' => 8,
        b't' => b'\t',
        b'n' => b'\n',
        b'f' => 12,
        b'r' => b'\r',
        b'u' => return Some((hex(text.get(1..5)?)?, 5)),
        same @ (b'"' | b'\\' | b'/') => *same,
        _ => return None,
    };
    Some((u16::from(unit), 1))
}

fn hex(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0, |number, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(number << 4 | u16::try_from(digit).ok()?)
    })
}

/// One value of a text.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    json: &'a Json,
    index: usize,
}

impl<'a> Value<'a> {
    /// The value that a JSON pointer (RFC 6901) finds below this one.
    pub(super) fn pointer(self, pointer: &str) -> Option<Self> {
        let tokens = pointer.strip_prefix('/')?.split('/');
        tokens.map(unescaped_token).try_fold(self, |value, token| {
            match value.text().as_bytes().first()? {
                b'{' => value.member(&token),
                b'[' => value.children().nth(array_index(&token)?),
                _ => None,
            }
        })
    }

    /// The member of an object; of several with this name the last, as in JavaScript.
    pub(super) fn member(self, name: &str) -> Option<Self> {
        if !self.text().starts_with('{') {
            return None;
        }
        let mut children = self.children();
        let mut found = None;
        while let (Some(named), Some(value)) = (children.next(), children.next()) {
            if named.string().is_some_and(|it| it == name) {
                found = Some(value);
            }
        }
        found
    }

    /// What is directly inside: an array's elements, an object's names and values in turn.
    fn children(self) -> impl Iterator<Item = Self> {
        let Self { json, index } = self;
        let end = json.spans[index].next;
        let mut next = index + 1;
        std::iter::from_fn(move || {
            let child = (next < end).then_some(Self { json, index: next })?;
            next = json.spans[next].next;
            Some(child)
        })
    }

    /// As it is written.
    pub(super) fn text(self) -> &'a str {
        let span = self.json.spans[self.index];
        &self.json.text[span.start..span.end]
    }

    /// The string, with U+FFFD for half a surrogate pair, or `None` if it is something else.
    pub(super) fn string(self) -> Option<Cow<'a, str>> {
        let inside = self.text().strip_prefix('"')?.strip_suffix('"')?;
        Some(if inside.contains('\\') {
            Cow::Owned(unescaped(inside))
        } else {
            Cow::Borrowed(inside)
        })
    }

    /// The number, infinite if it is too large for JavaScript, or `None` if it is something else.
    pub(super) fn number(self) -> Option<f64> {
        let text = self.text();
        text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
            .then(|| text.parse().ok())
            .flatten()
    }
}

fn unescaped(string: &str) -> String {
    let mut units = Vec::with_capacity(string.len());
    let mut rest = string;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        units.extend(plain.encode_utf16());
        let (unit, length) = escape(escaped.as_bytes()).unwrap_or((u16::from(b'\\'), 0));
        units.push(unit);
        rest = &escaped[length..];
    }
    units.extend(rest.encode_utf16());
    String::from_utf16_lossy(&units)
}

fn unescaped_token(token: &str) -> Cow<'_, str> {
    if token.contains('~') {
        Cow::Owned(token.replace("~1", "/").replace("~0", "~"))
    } else {
        Cow::Borrowed(token)
    }
}

/// A pointer's token as an array's index: digits without leading zeros.
fn array_index(token: &str) -> Option<usize> {
    let index: usize = token.parse().ok()?;
    (index.to_string() == token).then_some(index)
}
