//! Tables in a cell: Markdown where it is rendered, aligned text elsewhere.

use crate::{MimeBundle, Show, shows_itself};
use std::fmt::{self, Display};

/// A fraction as a percentage with two decimals: 0.9151 becomes `91.51 %`.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// assert_eq!(percent(0.9151), "91.51 %");
/// ```
pub fn percent(fraction: f64) -> String {
    format!("{:.2} %", fraction * 100.0)
}

/// A difference of fractions as percentage points with sign: 0.9146 - 0.9151 becomes `-0.05`.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// assert_eq!(points(0.9146 - 0.9151), "-0.05");
/// ```
pub fn points(difference: f64) -> String {
    format!("{:+.2}", difference * 100.0)
}

/// A table, built row by row. As the last value of a cell it shows itself.
///
/// ```
/// use kernel_helpers::table::{Table, percent};
///
/// let table = Table::new(["bits", "accuracy"])
///     .row((4, percent(0.9146)))
///     .row((2, percent(0.9105)))
///     .caption("Accuracy after fine-tuning");
/// assert!(table.to_markdown().contains("|    4 |  91.46 % |"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    caption: Option<String>,
    notes: Vec<String>,
}

impl Table {
    /// An empty table with these headings.
    pub fn new(columns: impl Row) -> Self {
        Table { columns: columns.cells(), rows: Vec::new(), caption: None, notes: Vec::new() }
    }

    /// Adds a row: a tuple of values that can be printed, `("conv1", 432, percent(0.8))`, or an array or vector of one
    /// type. Missing cells at its end stay empty.
    ///
    /// # Panics
    /// If the row has more cells than the table has columns: one of them would stand under no heading, or all of them
    /// under another's.
    #[track_caller]
    pub fn row(mut self, row: impl Row) -> Self {
        self.push(row.cells());
        self
    }

    /// Adds several rows.
    ///
    /// # Panics
    /// If a row has more cells than the table has columns.
    #[track_caller]
    pub fn rows(mut self, rows: impl IntoIterator<Item = impl Row>) -> Self {
        // A closure would not pass on from where it is called.
        for row in rows {
            self.push(row.cells());
        }
        self
    }

    #[track_caller]
    fn push(&mut self, cells: Vec<String>) {
        let (found, columns) = (cells.len(), self.columns.len());
        assert!(found <= columns, "the table has {columns} columns, row {} has {found}", self.rows.len() + 1);
        self.rows.push(cells);
    }

    /// What the table shows, printed in bold above it.
    pub fn caption(mut self, caption: impl Display) -> Self {
        self.caption = Some(caption.to_string());
        self
    }

    /// A remark under the table, such as the scale of the run. Several remarks stand one below the other.
    pub fn note(mut self, note: impl Display) -> Self {
        self.notes.push(note.to_string());
        self
    }

    /// Adds several remarks; takes an `Option` of one as it is.
    pub fn notes(self, notes: impl IntoIterator<Item = impl Display>) -> Self {
        notes.into_iter().fold(self, Self::note)
    }

    /// The table as a Markdown pipe table. Columns of numbers are aligned to the right.
    pub fn to_markdown(&self) -> String {
        let columns = self.grid(escape);
        let mut lines = Vec::new();
        if let Some(caption) = &self.caption {
            lines.extend([format!("**{}**", escape(caption)), String::new()]);
        }
        lines.push(line(&columns, 0, "| ", " | ", " |"));
        let rules = columns.iter().map(|column| {
            let dashes = "-".repeat(column.width + 1);
            if column.numeric { format!("{dashes}:") } else { format!(":{dashes}") }
        });
        lines.push(format!("|{}|", rules.collect::<Vec<_>>().join("|")));
        lines.extend((1..=self.rows.len()).map(|row| line(&columns, row, "| ", " | ", " |")));
        if !self.notes.is_empty() {
            let notes: Vec<_> = self.notes.iter().map(|note| sentence(&escape(note))).collect();
            lines.extend([String::new(), format!("*{}*", notes.join(" "))]);
        }
        lines.join("\n") + "\n"
    }

    /// The columns with their headings, every cell passed through `prepare` and each column as long as the table.
    fn grid(&self, prepare: fn(&str) -> String) -> Vec<Column> {
        let cell = |row: &Vec<String>, at: usize| row.get(at).map_or(String::new(), |cell| prepare(cell));
        let column = |at| {
            let body = self.rows.iter().map(|row| cell(row, at));
            Column::new(std::iter::once(cell(&self.columns, at)).chain(body).collect())
        };
        (0..self.columns.len()).map(column).collect()
    }
}

impl Show for Table {
    fn forms(&self) -> MimeBundle {
        MimeBundle::plain(self).markdown(self.to_markdown())
    }
}

shows_itself!(Table);

impl Display for Table {
    /// Aligned plain text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.grid(|cell| cell.replace('\n', " "));
        if let Some(caption) = &self.caption {
            writeln!(f, "{caption}\n")?;
        }
        writeln!(f, "{}", line(&columns, 0, "", "  ", "").trim_end())?;
        let rules: Vec<_> = columns.iter().map(|column| "-".repeat(column.width)).collect();
        writeln!(f, "{}", rules.join("  "))?;
        for row in 1..=self.rows.len() {
            writeln!(f, "{}", line(&columns, row, "", "  ", "").trim_end())?;
        }
        for note in &self.notes {
            writeln!(f, "\n{}", sentence(note))?;
        }
        Ok(())
    }
}

/// A remark with a capital letter, unless it starts with a name that is spelled otherwise, and a full stop.
fn sentence(remark: &str) -> String {
    let first_word = remark.split(' ').next().unwrap_or_default();
    let (first, rest) = remark.split_at(remark.chars().next().map_or(0, char::len_utf8));
    let first =
        if first_word.chars().all(char::is_alphabetic) { first.to_uppercase() } else { first.to_owned() };
    format!("{first}{rest}{}", if rest.ends_with('.') { "" } else { "." })
}

/// The cells of one row: a tuple of up to ten printable values, or an array, slice or vector of one printable type.
///
/// ```
/// use kernel_helpers::table::Row;
///
/// assert_eq!(("conv1", 432, 0.8).cells(), ["conv1", "432", "0.8"]);
/// assert_eq!(vec![4, 2].cells(), ["4", "2"]);
/// ```
pub trait Row {
    /// The cells as text.
    fn cells(self) -> Vec<String>;
}

impl<T: Display, const N: usize> Row for [T; N] {
    fn cells(self) -> Vec<String> {
        self.iter().map(T::to_string).collect()
    }
}

impl<T: Display> Row for &[T] {
    fn cells(self) -> Vec<String> {
        self.iter().map(T::to_string).collect()
    }
}

impl<T: Display> Row for Vec<T> {
    fn cells(self) -> Vec<String> {
        self.as_slice().cells()
    }
}

macro_rules! row_of_tuple {
    ($($name:ident)+) => {
        impl<$($name: Display),+> Row for ($($name,)+) {
            #[allow(non_snake_case)]
            fn cells(self) -> Vec<String> {
                let ($($name,)+) = self;
                vec![$($name.to_string()),+]
            }
        }
    };
}

row_of_tuple!(A);
row_of_tuple!(A B);
row_of_tuple!(A B C);
row_of_tuple!(A B C D);
row_of_tuple!(A B C D E);
row_of_tuple!(A B C D E F);
row_of_tuple!(A B C D E F G);
row_of_tuple!(A B C D E F G H);
row_of_tuple!(A B C D E F G H I);
row_of_tuple!(A B C D E F G H I J);

/// A column: its heading and cells, how wide they are, and whether the cells are numbers.
struct Column {
    cells: Vec<String>,
    width: usize,
    numeric: bool,
}

impl Column {
    fn new(cells: Vec<String>) -> Self {
        let body = || cells.iter().skip(1).filter(|cell| !cell.is_empty());
        Column {
            width: cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0).max(2),
            numeric: body().count() > 0 && body().all(|cell| is_number(cell)),
            cells,
        }
    }

    fn padded(&self, row: usize) -> String {
        let (cell, width) = (&self.cells[row], self.width);
        if self.numeric { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
    }
}

fn line(columns: &[Column], row: usize, start: &str, between: &str, end: &str) -> String {
    let cells: Vec<_> = columns.iter().map(|column| column.padded(row)).collect();
    format!("{start}{}{end}", cells.join(between))
}

/// Whether a cell reads as a number, perhaps with a sign, thousands separators, a unit or a spread: `-1.5`, `270,896`,
/// `91.51 %`, `83 s`, `87.8 ± 0.2`, or stands for a missing one (`–`).
fn is_number(cell: &str) -> bool {
    let cell = cell.trim();
    let digits = cell.trim_start_matches(['+', '-', '−', '±', '≤', '≥', '<', '>', '≈', ' ']);
    let missing = ["-", "–", "—", "n/a", "NaN", "inf", "-inf"].contains(&cell);
    missing || (digits.starts_with(|c: char| c.is_ascii_digit()) && digits.split_whitespace().count() <= 3)
}

/// Text that a Markdown pipe table shows as it is: no column breaks, no line breaks, no emphasis by accident.
///
/// ```
/// use kernel_helpers::table::escape;
///
/// assert_eq!(escape("|W| of conv_1"), r"\|W\| of conv\_1");
/// ```
pub fn escape(cell: &str) -> String {
    let mut escaped = String::with_capacity(cell.len());
    for c in cell.trim().chars() {
        match c {
            '\n' => escaped.push(' '),
            '\r' => {}
            '|' | '\\' | '*' | '_' | '`' | '<' | '[' | ']' | '$' | '~' => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table::new(["layer", "zeros"]).row(("conv1", percent(0.8))).row(("layer1.0.conv1", percent(0.125)))
    }

    #[test]
    fn markdown_aligns_numbers_to_the_right() {
        let expected = "\
| layer          |   zeros |
|:---------------|--------:|
| conv1          | 80.00 % |
| layer1.0.conv1 | 12.50 % |
";
        assert_eq!(table().to_markdown(), expected);
    }

    #[test]
    fn captions_and_notes_surround_the_table() {
        let text = table().caption("Sparsity").note("quick scale").note("a.pt: recorded.").to_markdown();
        assert!(text.starts_with("**Sparsity**\n\n| layer"), "{text}");
        assert!(text.ends_with("\n\n*Quick scale. a.pt: recorded.*\n"), "{text}");
    }

    #[test]
    fn plain_text_is_aligned() {
        let expected = "\
layer             zeros
--------------  -------
conv1           80.00 %
layer1.0.conv1  12.50 %
";
        assert_eq!(table().to_string(), expected);
    }

    #[test]
    fn cells_cannot_break_the_table() {
        let text = Table::new(["a|b", "n_bits"]).row(("x | y\nz", "*4*")).to_markdown();
        assert!(text.contains(r"| a\|b"), "{text}");
        assert!(text.contains(r"n\_bits"), "{text}");
        assert!(text.contains(r"| x \| y z | \*4\*"), "{text}");
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn short_rows_keep_the_table_rectangular() {
        let text = Table::new(["a", "b"]).row([1]).row([1, 2]).to_markdown();
        let bars: Vec<_> = text.lines().map(|line| line.matches('|').count()).collect();
        assert_eq!(bars, [3, 3, 3, 3]);
    }

    #[test]
    fn a_row_with_a_cell_too_many_says_so() {
        let table = || Table::new(["a", "b"]).row([1, 2]);
        let message = |add: &dyn Fn(Table) -> Table| {
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| add(table()))).unwrap_err();
            *panic.downcast::<String>().unwrap()
        };
        let expected = "the table has 2 columns, row 2 has 3";
        assert_eq!(message(&|table| table.row((1, "x", 3.0))), expected);
        assert_eq!(message(&|table| table.rows([[1, 2, 3]])), expected);
    }

    #[test]
    fn numbers_are_told_from_words() {
        for number in ["4", "-1.5", "91.51 %", "270,896", "87.8 ± 0.2", "–", "1e-30", "83 s"] {
            assert!(is_number(number), "{number}");
        }
        for word in ["conv1", "float", "", "4 bits after fine-tuning"] {
            assert!(!is_number(word), "{word}");
        }
    }

    #[test]
    fn an_empty_table_shows_its_headings() {
        assert_eq!(Table::new(["a", "b"]).to_markdown(), "| a  | b  |\n|:---|:---|\n");
    }
}
