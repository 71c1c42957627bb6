//! Aligned columns.

use std::fmt::Write as _;

use crate::core::one_line::is_hidden;

/// Blanks between two columns.
const GAP: usize = 3;

/// Rows under headings.
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new<const COLUMNS: usize>(headings: [&'static str; COLUMNS]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// Adds a row. Cells beyond the headings are not shown.
    pub fn row<const COLUMNS: usize>(&mut self, cells: [&str; COLUMNS]) {
        self.rows.push(cells.map(plain).to_vec());
    }

    /// The lines; `nothing` in their place when there is no row.
    pub fn lines(&self, nothing: &str) -> String {
        if self.rows.is_empty() {
            return format!("{nothing}\n");
        }
        let headings: Vec<String> = self.headings.iter().map(|heading| (*heading).to_owned()).collect();
        let rows: Vec<&Vec<String>> = std::iter::once(&headings).chain(&self.rows).collect();
        let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..headings.len()).map(width).collect();
        rows.iter().fold(String::new(), |mut lines, row| {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                // Writing to a string does not fail.
                let _ = write!(line, "{cell:<width$}", width = width + GAP);
            }
            lines.push_str(line.trim_end());
            lines.push('\n');
            lines
        })
    }
}

/// A text from elsewhere as a terminal may show it: no control characters and no hidden ones, so that nothing moves the
/// cursor, colours the screen, breaks the line or turns it round.
pub fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_control() || is_hidden(character) { '\u{fffd}' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["NAME", "PHASE"]);
        table.row(["web", "Held"]);
        table.row(["a-long-name", "Done"]);
        assert_eq!(table.lines("none"), "NAME          PHASE\nweb           Held\na-long-name   Done\n");
        assert_eq!(Table::new(["NAME"]).lines("no updates"), "no updates\n");
    }

    #[test]
    fn texts_from_elsewhere_cannot_steer_the_terminal() {
        let mut table = Table::new(["NAME"]);
        table.row(["\u{1b}[31mred\nline"]);
        assert_eq!(table.lines(""), "NAME\n\u{fffd}[31mred\u{fffd}line\n");
    }
}
