//! What an experiment found, as a table, as JSON, as CSV and as a page.

use serde_json::{Value, json};

use crate::output::{COLUMNS, Ink, Style};

/// One figure or word.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Text(String),
    /// With so many digits behind the point.
    Number(f64, usize),
    /// Not measured, or nothing to measure.
    Nothing,
    /// The row failed, and why.
    Failed(String),
}

/// Something that was to be shown.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Goal {
    pub(super) wanted: String,
    pub(super) found: String,
    pub(super) met: bool,
}

/// One table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Report {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// What was done, and how each row is tuned.
    pub(super) legend: String,
    /// Names of the columns; a line break within a name is one in the head.
    pub(super) columns: Vec<&'static str>,
    pub(super) rows: Vec<Vec<Cell>>,
    pub(super) goals: Vec<Goal>,
    /// SVG.
    pub(super) plot: String,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<usize> for Cell {
    fn from(number: usize) -> Self {
        Self::Number(u32::try_from(number).map_or(f64::MAX, f64::from), 0)
    }
}

impl Cell {
    /// A figure with one digit behind the point, where there is one.
    pub(super) fn tenths(value: Option<f64>) -> Self {
        value.map_or(Self::Nothing, |value| Self::Number(value, 1))
    }

    pub(super) fn whole(value: Option<f64>) -> Self {
        value.map_or(Self::Nothing, |value| Self::Number(value, 0))
    }

    pub(super) fn count(value: Option<u64>) -> Self {
        Self::whole(value.map(|value| u32::try_from(value).map_or(f64::MAX, f64::from)))
    }

    fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(value, digits) => grouped(&format!("{value:.digits$}")),
            Self::Nothing => "-".to_owned(),
            Self::Failed(_) => "failed".to_owned(),
        }
    }

    fn plain(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Failed(why) => quoted(&format!("failed: {why}")),
            Self::Number(value, digits) => format!("{value:.digits$}"),
            Self::Nothing => String::new(),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Number(value, digits) => {
                let rounded: f64 = format!("{value:.digits$}").parse().unwrap_or(*value);
                json!(rounded)
            }
            Self::Nothing => Value::Null,
            Self::Failed(why) => json!({"failed": why}),
        }
    }
}

/// A field of CSV.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Thousands apart.
pub(super) fn grouped(number: &str) -> String {
    let (whole, rest) = number.split_at(number.find('.').unwrap_or(number.len()));
    let mut text = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + rest
}

impl Goal {
    pub(super) fn below(wanted: &str, found: Option<f64>, limit: f64, unit: &str) -> Self {
        Self {
            wanted: wanted.to_owned(),
            found: found.map_or_else(
                || "nothing arrived".to_owned(),
                |found| format!("{}{unit}", grouped(&format!("{found:.1}"))),
            ),
            met: found.is_some_and(|found| found <= limit),
        }
    }

    fn line(&self) -> String {
        let word = if self.met { "met" } else { "MISSED" };
        format!("{word}: {} ({})", self.wanted, self.found)
    }
}

impl Report {
    /// A row that failed: what it is of, and in its last column why.
    pub(super) fn failed(columns: usize, of: &[&str], why: &str) -> Vec<Cell> {
        let mut row: Vec<Cell> = of.iter().map(|word| Cell::from(*word)).collect();
        row.resize(columns.saturating_sub(1), Cell::Nothing);
        row.push(Cell::Failed(why.to_owned()));
        row
    }

    /// What is said of each row that failed.
    pub(super) fn failures(&self) -> impl Iterator<Item = String> {
        self.rows.iter().filter_map(|row| {
            let why = row.iter().find_map(|cell| match cell {
                Cell::Failed(why) => Some(why),
                _ => None,
            })?;
            let words = row.iter().filter_map(|cell| match cell {
                Cell::Text(word) => Some(word.as_str()),
                _ => None,
            });
            let of: Vec<&str> = words.collect();
            Some(format!("FAILED: {}: {why}", of.join(", ")))
        })
    }

    /// The table for people, within 80 columns.
    pub(super) fn table(&self, style: Style) -> String {
        let heads: Vec<Vec<&str>> = self
            .columns
            .iter()
            .map(|name| name.split('\n').collect())
            .collect();
        let lines = heads.iter().map(Vec::len).max().unwrap_or(0);
        let shown: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| row.iter().map(Cell::shown).collect())
            .collect();
        let mut widths: Vec<usize> = heads
            .iter()
            .map(|head| {
                head.iter()
                    .map(|word| word.chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        for row in &shown {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let left: Vec<bool> = (0..self.columns.len())
            .map(|column| {
                self.rows
                    .iter()
                    .filter_map(|row| row.get(column))
                    .all(|cell| matches!(cell, Cell::Text(_)))
            })
            .collect();
        let line = |cells: Vec<&str>| {
            let mut text = String::new();
            for ((cell, width), left) in cells.into_iter().zip(&widths).zip(&left) {
                let cell = if *left {
                    format!("{cell:<width$}  ")
                } else {
                    format!("{cell:>width$}  ")
                };
                text.push_str(&cell);
            }
            text.trim_end().to_owned()
        };
        let mut text = format!("{}\n", style.paint(Ink::Head, self.title));
        for paragraph in wrapped(&self.legend, COLUMNS) {
            text.push_str(&format!("{}\n", style.paint(Ink::Faint, &paragraph)));
        }
        text.push('\n');
        for at in 0..lines {
            // Heads of fewer lines stand at the bottom.
            let words = heads
                .iter()
                .map(|head| {
                    let above = lines - head.len();
                    at.checked_sub(above)
                        .and_then(|at| head.get(at))
                        .copied()
                        .unwrap_or("")
                })
                .collect();
            text.push_str(&format!("{}\n", style.paint(Ink::Head, &line(words))));
        }
        for row in &shown {
            let row = line(row.iter().map(String::as_str).collect());
            text.push_str(&format!("{row}\n"));
        }
        let failures = self.failures().map(|line| (line, false));
        let goals = self.goals.iter().map(|goal| (goal.line(), goal.met));
        for (told, good) in failures.chain(goals) {
            let ink = if good { Ink::Good } else { Ink::Warn };
            for (number, part) in wrapped(&told, COLUMNS - 2).into_iter().enumerate() {
                let indent = if number == 0 { "" } else { "  " };
                text.push_str(&format!("{indent}{}\n", style.paint(ink, &part)));
            }
        }
        text
    }

    pub(super) fn csv(&self) -> String {
        let heads: Vec<String> = self
            .columns
            .iter()
            .map(|name| format!("\"{}\"", name.replace('\n', " ")))
            .collect();
        let mut text = format!("{}\n", heads.join(","));
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(Cell::plain).collect();
            text.push_str(&format!("{}\n", cells.join(",")));
        }
        text
    }

    pub(super) fn to_json(&self) -> Value {
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|name| name.replace('\n', " "))
            .collect();
        let rows: Vec<Vec<Value>> = self
            .rows
            .iter()
            .map(|row| row.iter().map(Cell::to_json).collect())
            .collect();
        let goals: Vec<Value> = self
            .goals
            .iter()
            .map(|goal| json!({"wanted": goal.wanted, "found": goal.found, "met": goal.met}))
            .collect();
        json!({
            "name": self.name,
            "title": self.title,
            "legend": self.legend,
            "columns": columns,
            "rows": rows,
            "goals": goals,
        })
    }

    /// A section of the page; `family` is what the plot's name begins with.
    pub(super) fn section(&self, family: &str) -> String {
        let mut text = format!("## {}\n\n", self.title);
        for line in wrapped(&self.legend, COLUMNS) {
            text.push_str(&format!("{line}\n"));
        }
        let cells = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        text.push('\n');
        text.push_str(&cells(
            self.columns
                .iter()
                .map(|name| name.replace('\n', " "))
                .collect(),
        ));
        text.push_str(&cells(vec!["---".to_owned(); self.columns.len()]));
        for row in &self.rows {
            text.push_str(&cells(row.iter().map(Cell::shown).collect()));
        }
        text.push('\n');
        let goals = self.goals.iter().map(Goal::line);
        let told: Vec<String> = self.failures().chain(goals).collect();
        for line in &told {
            text.push_str(&format!("- {line}\n"));
        }
        if !told.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!(
            "![{}]({family}-{}.svg)\n\n",
            self.title, self.name
        ));
        text
    }
}

/// Breaks a text into lines.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    //! Evidence: a table looked at.
    use super::*;

    fn report() -> Report {
        Report {
            name: "failover",
            title: "A link is cut",
            legend: "A legend of many words ".repeat(8),
            columns: vec!["cut", "transport", "longest\npause, ms", "lost"],
            rows: vec![
                vec![
                    "none".into(),
                    "TCP".into(),
                    Cell::Number(12_345.678, 1),
                    0.into(),
                ],
                vec!["both".into(), "a \"b\"".into(), Cell::Nothing, 12.into()],
            ],
            goals: vec![Goal::below("pause under 150 ms", Some(200.0), 150.0, " ms")],
            plot: String::new(),
        }
    }

    #[test]
    fn a_table_keeps_to_its_columns() {
        use crate::output::Output;
        let (mut input, mut output, mut error) = (&[][..], Vec::new(), Vec::new());
        let mut streams = crate::Streams {
            input: &mut input,
            output: &mut output,
            error: &mut error,
            output_colour: false,
            error_colour: false,
            watched: false,
        };
        let table = report().table(Output::new(&mut streams, false).style());
        assert!(
            table.lines().all(|line| line.chars().count() <= COLUMNS),
            "{table}"
        );
        let tail: Vec<&str> = table.lines().skip(4).collect();
        assert_eq!(
            tail,
            [
                "",
                "                   longest",
                "cut   transport  pause, ms  lost",
                "none  TCP         12,345.7     0",
                "both  a \"b\"              -    12",
                "MISSED: pause under 150 ms (200.0 ms)",
            ],
            "{table}"
        );
    }

    #[test]
    fn a_row_that_failed_leaves_the_others_and_says_why() {
        let mut report = report();
        let why = "at 8,300 associations: usrsctp (hold) gave no answer for 180 s.";
        report
            .rows
            .push(Report::failed(4, &["both", "usrsctp"], why));
        let line = format!("FAILED: both, usrsctp: {why}");
        assert!(report.failures().eq([line.as_str()]));
        assert!(report.section("sctp").contains(&format!("- {line}\n")));
        let csv = report.csv();
        assert_eq!(csv.lines().count(), 4);
        assert!(csv.ends_with(&format!("\"both\",\"usrsctp\",,\"failed: {why}\"\n")));
        let json = report.to_json();
        assert_eq!(json["rows"][0][2], json!(12345.7));
        assert_eq!(json["rows"][2][3], json!({"failed": why}));
    }

    #[test]
    fn programs_get_the_same() {
        assert_eq!(
            report().csv(),
            "\"cut\",\"transport\",\"longest pause, ms\",\"lost\"\n\
             \"none\",\"TCP\",12345.7,0\n\"both\",\"a \"\"b\"\"\",,12\n"
        );
        let json = report().to_json();
        assert_eq!(json["rows"][0][2], json!(12345.7));
        assert_eq!(json["rows"][1][2], Value::Null);
        assert_eq!(json["goals"][0]["met"], json!(false));
    }
}
