//! What the students get to write, as `lab/assignment/NOTEBOOK.toml` has it.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// One notebook of the assignment.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// What the students are told after the notebook's first cell.
    pub introduction: String,
    /// The cells with code that a grading executes as they are; of other cells it keeps the outputs that they came with.
    pub setup: Vec<String>,
    /// The cells that only the solution has, beside those whose id has `answer` in it.
    pub left_out: Vec<String>,
    /// The questions of the assignment.
    #[serde(rename = "part")]
    pub parts: Vec<Part>,
}

/// A question with its points.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// A short name, the head of a column in the table of points.
    pub name: String,
    /// The points of the assignment, which those of tests and answers add up to.
    pub points: u32,
    /// Whether they come on top of the full number.
    #[serde(default)]
    pub bonus: bool,
    /// What is to be written as code.
    #[serde(default, rename = "exercise")]
    pub exercises: Vec<Exercise>,
    /// What is to be answered in words.
    #[serde(default, rename = "answer")]
    pub answers: Vec<Answer>,
}

/// Functions to write that stand in one cell of the solution. Where a cell has several exercises, each has its items up to the
/// last function to write.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exercise {
    /// The cell's id.
    pub cell: String,
    /// Each function or method by its name, with a hint.
    pub write: BTreeMap<String, String>,
    /// What gives points.
    #[serde(rename = "test")]
    pub tests: Vec<Test>,
}

/// Cells with code that fails if the functions are wrong.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// What it is worth.
    pub points: u32,
    /// What the students see of it.
    pub visible: String,
    /// What only the grading has.
    pub hidden: String,
}

/// A cell with text, which people grade.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The cell of the solution in whose place it stands.
    #[serde(default)]
    pub cell: Option<String>,
    /// The cell of the solution that it comes after, if it is in no cell's place.
    #[serde(default)]
    pub after: Option<String>,
    /// Its id.
    pub id: String,
    /// What it is worth.
    pub points: u32,
    /// What to write there.
    pub question: String,
}

impl Description {
    /// Reads and checks it.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
        Description::parse(&text).with_context(|| format!("{} is not as it should be", path.display()))
    }

    /// The same of a text.
    pub fn parse(text: &str) -> Result<Self> {
        let description: Description = toml::from_str(text)?;
        for part in &description.parts {
            let (name, found) = (&part.name, part.automatic() + part.by_hand());
            ensure!(
                found == part.points,
                "part {name}: expected {} points in all, found {found}",
                part.points
            );
            for answer in &part.answers {
                let places = usize::from(answer.cell.is_some()) + usize::from(answer.after.is_some());
                ensure!(
                    places == 1,
                    "answer {}: expected `cell` or `after`, found {places} of them",
                    answer.id
                );
            }
        }
        Ok(description)
    }

    /// The exercises that are written in this cell, in order, each with its part.
    pub fn exercises(&self, cell: &str) -> Vec<(&Part, &Exercise)> {
        let all =
            self.parts.iter().flat_map(|part| part.exercises.iter().map(move |exercise| (part, exercise)));
        all.filter(|(_, exercise)| exercise.cell == cell).collect()
    }

    /// All answers, each with its part.
    pub fn answers(&self) -> impl Iterator<Item = (&Part, &Answer)> {
        self.parts.iter().flat_map(|part| part.answers.iter().map(move |answer| (part, answer)))
    }
}

impl Part {
    /// The points that tests give.
    pub fn automatic(&self) -> u32 {
        let tests = self.exercises.iter().flat_map(|exercise| &exercise.tests);
        tests.map(|test| test.points).sum()
    }

    /// The points that people give.
    pub fn by_hand(&self) -> u32 {
        self.answers.iter().map(|answer| answer.points).sum()
    }
}

impl Exercise {
    /// The id of the cell to write in.
    pub fn id(&self) -> String {
        let functions: Vec<&str> = self.write.keys().map(String::as_str).collect();
        format!("{}-{}", self.cell, functions.join("-"))
    }

    /// The id of a test's cell.
    pub fn test_id(&self, number: usize) -> String {
        format!("{}-test-{}", self.id(), number + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: &str = "introduction = ''\nsetup = []\nleft_out = []\n[[part]]\nname = 'a'\n";

    #[test]
    fn points_that_do_not_add_up_are_told() {
        let parse = |text: &str| Description::parse(&format!("{PART}{text}"));
        assert!(parse("points = 0").is_ok());
        let message = parse("points = 3").err().unwrap().to_string();
        assert_eq!(message, "part a: expected 3 points in all, found 0");
        let answer = "points = 2\n[[part.answer]]\nid = 'b'\npoints = 2\nquestion = ''\n";
        let message = parse(answer).err().unwrap().to_string();
        assert_eq!(message, "answer b: expected `cell` or `after`, found 0 of them");
        assert!(parse(&format!("{answer}after = 'c'")).is_ok());
    }
}
