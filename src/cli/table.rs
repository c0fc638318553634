//! Rows under headings, for people.

use std::fmt::Write as _;

use crate::config::on_one_line;

/// The rows as lines, each column as wide as its widest cell; one that is empty throughout is left
/// out.
pub(super) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| on_one_line(cell)))
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        match cells.max().unwrap_or(0) {
            0 => None,
            widest => Some(widest.max(headings[column].len())),
        }
    };
    let widths: [Option<usize>; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in std::iter::once(headings.map(str::to_owned)).chain(rows.iter().cloned()) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            if let Some(width) = width {
                // Writing to a string does not fail.
                let _ = write!(line, "{cell:width$}  ");
            }
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_line_up_and_nothing_upsets_the_terminal() {
        let rows = [["1", "", "x\u{1b}[2J"], ["a long one", "", ""]];
        let rows = rows.map(|row| row.map(str::to_owned));
        let shown = table(["ID", "EMPTY", "LABEL"], &rows);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(
            lines,
            ["ID          LABEL", r"1           x\u{1b}[2J", "a long one"]
        );
    }
}
