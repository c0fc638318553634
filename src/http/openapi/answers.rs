//! How the answers of a route are written down: [`Answers`], a small builder over utoipa's types.
//!
//! Errors are described by [`ApiError`] itself, the very code that answers them, so status,
//! sentence and header cannot drift from what is sent.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::http::{HeaderName, StatusCode};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::example::Example;
use utoipa::openapi::header::Header;
use utoipa::openapi::response::Response;
use utoipa::openapi::schema::{Object, Schema, Type};
use utoipa::openapi::{Content, Ref, RefOr};

use super::super::error::{ApiError, Envelope};

/// What utoipa takes for the answers of a route, by status.
pub(super) type Responses = BTreeMap<String, RefOr<Response>>;

/// The answers of a route.
pub(super) struct Answers {
    by_status: BTreeMap<u16, Answer>,
    /// The status that was described last.
    last: u16,
}

#[derive(Default)]
struct Answer {
    description: String,
    /// Name, description, example.
    headers: Vec<(String, &'static str, String)>,
    content: Option<(&'static str, RefOr<Schema>)>,
    examples: Vec<(String, Value)>,
}

impl Answers {
    /// Those that any route may give.
    pub(super) fn of_any_route() -> Self {
        let answers = Self {
            by_status: BTreeMap::new(),
            last: 0,
        };
        answers
            .errors([ApiError::MethodNotAllowed])
            .with("Allow", "The methods of this path", "GET,HEAD")
            .errors([
                ApiError::BadHost,
                ApiError::TooSlow,
                ApiError::TargetTooLong,
                ApiError::HeadTooLarge,
                ApiError::NotHttp,
                ApiError::TooManyConnections,
                ApiError::Internal,
            ])
    }

    /// A JSON body of the type `T`, with examples by name.
    pub(super) fn json<T: ToSchema>(
        self,
        status: StatusCode,
        description: &str,
        examples: &[(&str, Value)],
    ) -> Self {
        self.body(
            "application/json",
            schema_of::<T>(),
            status,
            description,
            examples,
        )
    }

    /// A body that is text of some kind.
    pub(super) fn text(self, kind: &'static str, description: &str, example: &str) -> Self {
        let schema = RefOr::T(Object::with_type(Type::String).into());
        let example = ("example", Value::from(example));
        self.body(kind, schema, StatusCode::OK, description, &[example])
    }

    fn body(
        mut self,
        kind: &'static str,
        schema: RefOr<Schema>,
        status: StatusCode,
        description: &str,
        examples: &[(&str, Value)],
    ) -> Self {
        let answer = self.answer(status);
        description.clone_into(&mut answer.description);
        answer.content = Some((kind, schema));
        let examples = examples.iter();
        answer.examples = examples
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        self
    }

    /// An answer without a body.
    pub(super) fn empty(mut self, status: StatusCode, description: &str) -> Self {
        description.clone_into(&mut self.answer(status).description);
        self
    }

    /// A header of the answer that was described last.
    pub(super) fn with(
        mut self,
        name: &str,
        description: &'static str,
        example: impl Into<String>,
    ) -> Self {
        let last = self.by_status.entry(self.last).or_default();
        if !last.headers.iter().any(|(known, ..)| known == name) {
            last.headers
                .push((name.to_owned(), description, example.into()));
        }
        self
    }

    /// Errors, as they are answered.
    pub(super) fn errors(mut self, errors: impl IntoIterator<Item = ApiError>) -> Self {
        for error in errors {
            let (status, _) = error.answer();
            self = self.refusal(status, error.message());
            if let Some((name, value)) = error.header() {
                let name = title_case(&name);
                let description = meaning(&name);
                self = self.with(&name, description, value.to_str().unwrap_or_default());
            }
        }
        self
    }

    /// An error of this status and sentence.
    fn refusal(mut self, status: StatusCode, sentence: Cow<'static, str>) -> Self {
        let answer = self.answer(status);
        if !answer.description.is_empty() {
            answer.description.push_str("; or: ");
        }
        answer.description.push_str(&sentence);
        answer.content = Some(("application/json", schema_of::<Envelope>()));
        let name = name_of(&sentence);
        let envelope = json!(Envelope::of(status, sentence));
        answer.examples.push((name, envelope));
        self
    }

    fn answer(&mut self, status: StatusCode) -> &mut Answer {
        self.last = status.as_u16();
        self.by_status.entry(self.last).or_default()
    }

    /// As utoipa takes them.
    pub(super) fn build(self) -> Responses {
        let answers = self.by_status.into_iter();
        answers
            .map(|(status, answer)| (status.to_string(), answer.build().into()))
            .collect()
    }
}

impl Answer {
    fn build(self) -> Response {
        let mut response = Response::builder().description(self.description);
        for (name, description, example) in self.headers {
            let header = Header::builder()
                .schema(Some(Object::with_type(Type::String)))
                .description(Some(description))
                .example(Some(example.into()));
            response = response.header(name, header.build());
        }
        if let Some((kind, schema)) = self.content {
            let examples = self.examples.into_iter();
            let examples =
                examples.map(|(name, value)| (name, Example::builder().value(Some(value))));
            let content = Content::builder().schema(Some(schema));
            response = response.content(kind, content.examples_from_iter(examples).build());
        }
        response.build()
    }
}

/// A named type is described once, among the components.
fn schema_of<T: ToSchema>() -> RefOr<Schema> {
    match T::schema() {
        RefOr::T(Schema::Object(object)) if !object.properties.is_empty() => {
            Ref::from_schema_name(T::name()).into()
        }
        plain => plain,
    }
}

/// What a header of an error tells.
fn meaning(header: &str) -> &'static str {
    match header {
        "Retry-After" => "In how many seconds to try again",
        "WWW-Authenticate" => "What is missing; a scheme for which no browser asks for a password",
        _ => "The connection is closed after this answer",
    }
}

fn title_case(name: &HeaderName) -> String {
    let words = name.as_str().split('-').map(capitalized);
    words.collect::<Vec<_>>().join("-").replace("Www-", "WWW-")
}

/// A name for an error: the first words of its sentence, in one.
fn name_of(sentence: &str) -> String {
    let words = sentence.split(|c: char| !c.is_ascii_alphanumeric());
    let words = words.filter(|word| !word.is_empty()).take(6);
    words.map(capitalized).collect()
}

fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_ascii_uppercase() + rest
}
