//! The fields of a JSON body, read so that whatever is wrong with one of them is said by its name.
//!
//! `serde`'s own errors name types of ours, and its structs can be written as arrays.

use std::borrow::Cow;
use std::fmt;

use axum::http::StatusCode;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::ApiError;

/// What can be wrong with a field.
pub(super) const NO_SUCH_FIELD: &str = "no such field";
pub(super) const GIVEN_TWICE: &str = "given twice";
pub(super) const IS_MISSING: &str = "is missing";
pub(super) const NOT_A_STRING: &str = "must be a string";
pub(super) const NOT_WHOLE: &str = "must be a whole number";
pub(super) const NOT_A_FLAG: &str = "must be true or false";

/// Longest name of an unknown field that is said back, in characters.
const MAX_NAME: usize = 64;

/// The fields of a body, each a known one and there once.
pub(super) struct Fields(Vec<(String, Box<RawValue>)>);

impl Fields {
    /// Reads a body that is an object of some of the `known` fields.
    pub(super) fn of(body: &RawValue, known: &[&str]) -> Result<Self, ApiError> {
        let fields: Self = serde_json::from_str(body.get())
            .map_err(|_| ApiError::BadBody(StatusCode::UNPROCESSABLE_ENTITY))?;
        for (place, (name, _)) in fields.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                return Err(ApiError::bad_field(shown(name), NO_SUCH_FIELD));
            }
            if fields.0[..place].iter().any(|(earlier, _)| earlier == name) {
                return Err(ApiError::bad_field(name.clone(), GIVEN_TWICE));
            }
        }
        Ok(fields)
    }

    /// The field's value as JSON.
    fn json(&self, name: &str) -> Option<&str> {
        let field = self.0.iter().find(|(known, _)| known == name);
        field.map(|(_, value)| value.get())
    }

    /// A text that must be there.
    pub(super) fn text(&self, name: &'static str) -> Result<String, ApiError> {
        let bad = |problem| ApiError::bad_field(name, problem);
        let json = self.json(name).ok_or_else(|| bad(IS_MISSING))?;
        serde_json::from_str(json).map_err(|_| bad(NOT_A_STRING))
    }

    pub(super) fn optional_text(&self, name: &'static str) -> Result<Option<String>, ApiError> {
        self.optional(name, NOT_A_STRING)
    }

    pub(super) fn flag(&self, name: &'static str) -> Result<Option<bool>, ApiError> {
        self.optional(name, NOT_A_FLAG)
    }

    fn optional<T: DeserializeOwned>(
        &self,
        name: &'static str,
        problem: &'static str,
    ) -> Result<Option<T>, ApiError> {
        let read = |json| serde_json::from_str(json);
        let value: Option<Option<T>> = self
            .json(name)
            .map(read)
            .transpose()
            .map_err(|_| ApiError::bad_field(name, problem))?;
        Ok(value.flatten())
    }

    /// A number without a fraction, however it is written: `3600.0` is an integer to JSON Schema,
    /// and what languages write that know no other numbers. Out of range becomes out of bounds.
    pub(super) fn whole_number(&self, name: &'static str) -> Result<Option<i64>, ApiError> {
        let Some(json) = self.json(name).filter(|json| *json != "null") else {
            return Ok(None);
        };
        if let Ok(integer) = json.parse() {
            return Ok(Some(integer));
        }
        // Only a number of JSON begins with one of these.
        let is_number = json.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        let number = json.parse::<f64>().ok().filter(|_| is_number);
        let whole = number.filter(|number| number.is_infinite() || number.fract() == 0.0);
        let whole = whole.ok_or_else(|| ApiError::bad_field(name, NOT_WHOLE))?;
        Ok(Some(format!("{whole:.0}").parse().unwrap_or(i64::MAX)))
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = members.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        from.deserialize_map(Members)
    }
}

/// A name that somebody made up, as it can be shown anywhere.
fn shown(name: &str) -> Cow<'static, str> {
    let mut shown: String = name.escape_debug().take(MAX_NAME).collect();
    if name.escape_debug().nth(MAX_NAME).is_some() {
        shown.push('…');
    }
    shown.into()
}
