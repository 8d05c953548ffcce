//! The file of a sweep.

use anyhow::{Context, Result, bail, ensure};
use kernel_helpers::homework::Scale;
use serde::{Deserialize, Deserializer};
use std::path::Path;
use toml::{Table, Value};

/// What the file says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The command of a run, with `{bits}` where the value of an axis `bits` belongs.
    command: Words,
    /// Where the run's record is; for programs of one's own.
    #[serde(default)]
    record: Option<String>,
    #[serde(default = "full", deserialize_with = "scale")]
    pub scale: Scale,
    #[serde(default)]
    pub threads: Option<usize>,
    /// The values that each axis takes.
    pub axes: Table,
    #[serde(default)]
    pub slurm: Slurm,
}

/// What only Slurm needs to know.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slurm {
    #[serde(default)]
    pub options: Vec<String>,
}

/// A command line: a text that is divided at spaces, or its words.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    Line(String),
    List(Vec<String>),
}

/// The values of a run, its command and its record.
type Combination = (Vec<String>, Vec<String>, Option<String>);

/// More runs than this are a mistake in the file.
const MOST: usize = 100_000;

impl Description {
    /// Reads it.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).context("it cannot be read")?;
        let description: Description = toml::from_str(&text)?;
        ensure!(
            !description.axes.is_empty(),
            "it has no axis: `[axes]` and `seed = [0, 1, 2]`, for instance"
        );
        ensure!(description.threads != Some(0), "`threads` is to be 1 or more");
        Ok(description)
    }

    /// All combinations of the axes' values, the last axis varying fastest.
    pub fn combinations(&self) -> Result<Vec<Combination>> {
        let axes = self.axes.iter().map(|(name, values)| Ok((name.as_str(), texts(name, values)?)));
        let axes = axes.collect::<Result<Vec<_>>>()?;
        let count = axes.iter().try_fold(1_usize, |count, (_, values)| count.checked_mul(values.len()));
        ensure!(count.is_some_and(|count| count <= MOST), "these are more than {MOST} runs");
        let mut rows = vec![Vec::new()];
        for (_, values) in &axes {
            let longer = |row: &Vec<String>| {
                let row = row.clone();
                values
                    .iter()
                    .map(move |value| [row.clone(), vec![value.clone()]].concat())
                    .collect::<Vec<_>>()
            };
            rows = rows.iter().flat_map(longer).collect();
        }
        let names: Vec<&str> = axes.iter().map(|(name, _)| *name).collect();
        let templates = self.command.words();
        ensure!(!templates.is_empty(), "`command` is empty");
        if let Some(name) = names
            .iter()
            .find(|name| !templates.iter().any(|template| template.contains(&format!("{{{name}}}"))))
        {
            bail!("the axis `{name}` is not in the command: write {{{name}}} where its value belongs");
        }
        let filled = |row: Vec<String>| {
            let words = templates.iter().map(|template| fill(template, &names, &row));
            let words: Vec<String> = words.collect::<Result<_>>()?;
            let record = self.record.as_ref().map(|record| fill(record, &names, &row)).transpose()?;
            Ok((row, words.into_iter().filter(|word| !word.is_empty()).collect(), record))
        };
        rows.into_iter().map(filled).collect()
    }
}

impl Words {
    fn words(&self) -> Vec<String> {
        match self {
            Words::Line(line) => line.split_whitespace().map(str::to_owned).collect(),
            Words::List(words) => words.clone(),
        }
    }
}

/// The values of an axis as they stand in commands.
fn texts(name: &str, values: &Value) -> Result<Vec<String>> {
    let values = values.as_array().filter(|values| !values.is_empty());
    let values = values.with_context(|| format!("the axis `{name}` should be a list such as [0, 1, 2]"))?;
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => Ok(value.to_string()),
        _ => bail!("the axis `{name}` should have numbers and texts, but has {value}"),
    };
    let texts = values.iter().map(text).collect::<Result<Vec<_>>>()?;
    if let Some(twice) = texts.iter().enumerate().find(|(i, text)| texts[..*i].contains(text)) {
        bail!("the axis `{name}` has `{}` twice", twice.1);
    }
    Ok(texts)
}

/// The template with the values in place of their axes' names.
fn fill(template: &str, names: &[&str], values: &[String]) -> Result<String> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, after) =
            behind.split_once('}').with_context(|| format!("`{template}`: a {{ is not closed"))?;
        let place = names.iter().position(|axis| *axis == name);
        let place = place.with_context(|| format!("`{template}`: there is no axis `{name}`"))?;
        filled.push_str(before);
        filled.push_str(&values[place]);
        rest = after;
    }
    Ok(filled + rest)
}

fn full() -> Scale {
    Scale::Full
}

fn scale<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Scale, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}
