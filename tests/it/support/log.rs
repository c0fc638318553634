//! What a log says.

/// Those of the lines that contain all of `parts`.
pub fn lines_with(log: impl IntoIterator<Item = impl AsRef<str>>, parts: &[&str]) -> Vec<String> {
    let lines = log.into_iter().map(|line| line.as_ref().to_owned());
    lines
        .filter(|line| parts.iter().all(|part| line.contains(part)))
        .collect()
}
