//! The points of all students, as a file for a spreadsheet and as a table to read.

use crate::assignment::description::{Description, Part};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// The points of one student's notebook by the cells' names; none where people have not given them yet.
#[derive(Deserialize)]
pub struct Points {
    /// Whose it is.
    pub student: String,
    /// Which it is.
    pub notebook: String,
    /// What each cell has got.
    pub cells: HashMap<String, Option<f64>>,
}

/// How the last grading of a notebook went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graded {
    /// The sums of what was graded and of what it was graded by.
    pub sums: [String; 2],
    /// What is to be told beside the points, such as that there are none.
    pub remark: Option<String>,
}

/// The gradings by student and notebook.
pub type Gradings = BTreeMap<String, BTreeMap<String, Graded>>;

/// A line of the table for each student, a column for each part.
pub struct Table<'a> {
    notebooks: &'a [(&'a str, Description)],
    points: Vec<Points>,
    gradings: &'a Gradings,
}

/// What a student has in one part.
#[derive(Default)]
struct Share {
    automatic: f64,
    by_hand: f64,
    /// What people can still give.
    open: u32,
}

impl<'a> Table<'a> {
    /// Of these notebooks.
    pub fn new(notebooks: &'a [(&'a str, Description)], points: Vec<Points>, gradings: &'a Gradings) -> Self {
        Table { notebooks, points, gradings }
    }

    /// All points, with what people have given and what they still have to give.
    pub fn csv(&self) -> String {
        let mut lines = vec![self.head()];
        for student in self.gradings.keys() {
            let mut fields = vec![student.clone()];
            let (mut sum, mut open) = (0.0, 0);
            for (notebook, part) in self.parts() {
                let share = self.share(student, notebook, part);
                fields.push((share.automatic + share.by_hand).to_string());
                sum += share.automatic + share.by_hand;
                open += share.open;
            }
            fields.extend([sum.to_string(), open.to_string(), quoted(&self.remarks(student).join("; "))]);
            lines.push(fields.join(","));
        }
        lines.join("\n") + "\n"
    }

    fn head(&self) -> String {
        let parts = self.parts().map(|(_, part)| {
            let bonus = if part.bonus { " bonus" } else { "" };
            quoted(&format!("{} (of {}{bonus})", part.name, part.points))
        });
        let ends = ["points", "still to be graded by hand", "remarks"].map(str::to_owned);
        [vec!["student".to_owned()], parts.collect(), ends.to_vec()].concat().join(",")
    }

    /// The points that tests have given, by part, for a terminal.
    pub fn text(&self) -> String {
        let parts: Vec<_> = self.parts().filter(|(_, part)| part.automatic() > 0).collect();
        let width = self.gradings.keys().map(|name| name.chars().count()).max().unwrap_or(0).max(7);
        let cell = |text: &str| format!("{text:>5}");
        let head: String = parts.iter().map(|(_, part)| cell(&part.name)).collect();
        let most: String = parts.iter().map(|(_, part)| cell(&part.automatic().to_string())).collect();
        let total: u32 = parts.iter().map(|(_, part)| part.automatic()).sum();
        let mut lines = vec![
            format!("{:width$}{head}  tests  by hand, still open", "student"),
            format!("{:width$}{most}{total:>7}", "at most"),
        ];
        for student in self.gradings.keys() {
            let shares = parts.iter().map(|(notebook, part)| self.share(student, notebook, part).automatic);
            let shares: Vec<f64> = shares.collect();
            let all = self.parts().map(|(notebook, part)| self.share(student, notebook, part));
            let (by_hand, open) =
                all.fold((0.0, 0), |(sum, open), share| (sum + share.by_hand, open + share.open));
            let cells: String = shares.iter().map(|share| cell(&share.to_string())).collect();
            let sum: f64 = shares.iter().sum();
            lines.push(format!("{student:width$}{cells}{sum:>7}{by_hand:>9}{open:>12}"));
            lines.extend(self.remarks(student).iter().map(|remark| format!("{:width$}  {remark}", "")));
        }
        lines.join("\n") + "\n"
    }

    fn parts(&self) -> impl Iterator<Item = (&str, &Part)> {
        self.notebooks.iter().flat_map(|(name, it)| it.parts.iter().map(move |part| (*name, part)))
    }

    fn share(&self, student: &str, notebook: &str, part: &Part) -> Share {
        let graded = self.gradings.get(student).and_then(|it| it.get(notebook));
        let is_graded = graded.is_some_and(|graded| graded.remark.is_none());
        let found = self.points.iter().find(|it| it.student == student && it.notebook == notebook);
        let mut share = Share::default();
        let Some(points) = found.filter(|_| is_graded) else { return share };
        let given = |name: &str| points.cells.get(name).copied().flatten();
        for exercise in &part.exercises {
            let ids = (0..exercise.tests.len()).map(|number| exercise.test_id(number));
            share.automatic += ids.filter_map(|id| given(&id)).sum::<f64>();
        }
        for answer in &part.answers {
            match given(&answer.id) {
                Some(points) => share.by_hand += points,
                None => share.open += answer.points,
            }
        }
        share
    }

    fn remarks(&self, student: &str) -> Vec<String> {
        let missing = |notebook: &str| format!("{notebook}: not submitted");
        let remark = |notebook: &str| match self.gradings.get(student).and_then(|it| it.get(notebook)) {
            None => Some(missing(notebook)),
            Some(graded) => graded.remark.as_ref().map(|remark| format!("{notebook}: {remark}")),
        };
        self.notebooks.iter().filter_map(|(notebook, _)| remark(notebook)).collect()
    }
}

/// A field as spreadsheets read it.
fn quoted(text: &str) -> String {
    match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}
