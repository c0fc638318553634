//! What a log says.

use serde_json::Value;

/// Those of the lines that contain all of `parts`.
pub fn lines_with(log: impl IntoIterator<Item = impl AsRef<str>>, parts: &[&str]) -> Vec<String> {
    let lines = log.into_iter().map(|line| line.as_ref().to_owned());
    lines
        .filter(|line| parts.iter().all(|part| line.contains(part)))
        .collect()
}

/// The lines as JSON.
pub fn parsed(log: &[String]) -> Vec<Value> {
    let lines = log.iter();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
