//! The notebook from which nbgrader makes the students' one.

use super::blanks::{Divided, divide, signature};
use super::description::{Answer, Description, Exercise, Part};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::collections::HashSet;

/// A grading does not execute the cells with this tag.
pub const AS_SUBMITTED: &str = "as-submitted";

/// What a grade means to nbgrader.
enum Role {
    /// Stands as it is.
    Given,
    /// Is written by the student.
    Solution,
    /// Gives points if it does not fail.
    Test(u32),
    /// Is written by the student and gets points from people.
    Answer(u32),
}

/// nbgrader's source of a notebook, made of its solution.
pub fn source(solution: &Value, description: &Description) -> Result<Value> {
    let cells = solution["cells"].as_array().context("expected a notebook with `cells`, found none")?;
    check_ids(cells, description)?;
    let mut made = Vec::new();
    for (index, cell) in cells.iter().enumerate() {
        let (id, text) = (id(cell)?, text(cell));
        let in_place: Vec<_> =
            description.answers().filter(|(_, answer)| answer.cell.as_deref() == Some(id)).collect();
        let is_left_out = id.contains("answer") || description.left_out.iter().any(|other| other == id);
        let exercises = description.exercises(id);
        if !exercises.is_empty() {
            made.extend(exercise_cells(&exercises, id, text).with_context(|| format!("cell `{id}`"))?);
        } else if in_place.is_empty() && !is_left_out {
            made.push(match cell["cell_type"] == "code" {
                true => given(id, &text, description.setup.iter().any(|other| other == id)),
                false => markdown(id, &text),
            });
        }
        if description.setup.last().is_some_and(|last| last == id) {
            made.push(given("to-write", &to_write(cells, description)?, true));
        }
        if index == 0 {
            made.push(markdown("introduction", description.introduction.trim()));
        }
        made.extend(in_place.iter().map(|(part, answer)| answer_cell(part, answer)));
        let after = description.answers().filter(|(_, answer)| answer.after.as_deref() == Some(id));
        made.extend(after.map(|(part, answer)| answer_cell(part, answer)));
    }
    let mut notebook = solution.clone();
    notebook["cells"] = Value::Array(made);
    if let Some(metadata) = notebook["metadata"].as_object_mut() {
        // How the solution was executed.
        metadata.remove("lab");
    }
    Ok(notebook)
}

/// The functions that are to be written, without bodies: where a student's does not compile, the helpers may have one of the
/// same name, and that would be tested.
fn to_write(cells: &[Value], description: &Description) -> Result<String> {
    let mut code =
        "// What you are going to write. Each of these is replaced when its cell is executed.".to_owned();
    for cell in cells {
        let text = text(cell);
        for (_, exercise) in description.exercises(id(cell)?) {
            for name in exercise.write.keys() {
                if let Some(signature) = signature(&text, name)? {
                    code += &format!("\n{signature} {{\n    panic!(\"`{name}` is not defined yet\")\n}}");
                }
            }
        }
    }
    Ok(code)
}

/// Fails if the description speaks of a cell that is not there.
fn check_ids(cells: &[Value], description: &Description) -> Result<()> {
    let there = cells.iter().map(id).collect::<Result<HashSet<_>>>()?;
    let exercises = description.parts.iter().flat_map(|part| &part.exercises).map(|exercise| &exercise.cell);
    let answers =
        description.answers().filter_map(|(_, answer)| answer.cell.as_ref().or(answer.after.as_ref()));
    for named in exercises.chain(answers).chain(&description.setup).chain(&description.left_out) {
        ensure!(there.contains(named.as_str()), "expected a cell `{named}` in the solution, found none");
    }
    Ok(())
}

/// For each exercise the cell to write in, its tests, and the solution, on which the grading of all that follows stands; then
/// what the cell has beside exercises.
fn exercise_cells(exercises: &[(&Part, &Exercise)], id: &str, mut code: String) -> Result<Vec<Value>> {
    let mut cells = Vec::new();
    for (part, exercise) in exercises {
        let Divided { marked, solution, rest } = divide(&code, &exercise.write)?;
        cells.push(cell("code", &exercise.id(), &marked, Role::Solution));
        for (number, test) in exercise.tests.iter().enumerate() {
            let points =
                if test.points == 1 { "1 point".to_owned() } else { format!("{} points", test.points) };
            let text = format!(
                "// {name}, {points}\n{}\n{}\nprintln!(\"{name}: passed\");",
                test.visible.trim(),
                hidden(&test.hidden),
                name = part.name,
            );
            cells.push(cell("code", &exercise.test_id(number), &text, Role::Test(test.points)));
        }
        let text =
            format!("// When this is graded, what follows uses a correct version.\n{}", hidden(&solution));
        cells.push(cell("code", &format!("{}-solution", exercise.id()), &text, Role::Test(0)));
        code = rest;
    }
    if !code.is_empty() {
        cells.push(given(&format!("{id}-rest"), &code, false));
    }
    Ok(cells)
}

fn hidden(code: &str) -> String {
    format!("// BEGIN HIDDEN TESTS\n{}\n// END HIDDEN TESTS", code.trim())
}

fn answer_cell(part: &Part, answer: &Answer) -> Value {
    let question = format!("**{}** ({} points). {}", part.name, answer.points, answer.question.trim());
    let text = format!("{question}\n\n// BEGIN SOLUTION\n// END SOLUTION");
    cell("markdown", &answer.id, &text, Role::Answer(answer.points))
}

fn markdown(id: &str, text: &str) -> Value {
    json!({ "cell_type": "markdown", "id": id, "metadata": {}, "source": text })
}

/// A cell of the solution that students get as it is.
fn given(id: &str, code: &str, is_setup: bool) -> Value {
    let mut made = cell("code", id, code, Role::Given);
    if !is_setup {
        made["metadata"]["tags"] = json!([AS_SUBMITTED]);
    }
    made
}

fn cell(kind: &str, id: &str, text: &str, role: Role) -> Value {
    // What is given can be changed to try things out: a grading takes it as it was given out.
    let (grade, solution, locked, points) = match role {
        Role::Given => (false, false, false, None),
        Role::Solution => (false, true, false, None),
        Role::Test(points) => (true, false, true, Some(points)),
        Role::Answer(points) => (true, true, false, Some(points)),
    };
    let mut nbgrader = json!({
        "schema_version": 3, "grade": grade, "solution": solution, "locked": locked, "task": false,
        "grade_id": id,
    });
    if let Some(points) = points {
        nbgrader["points"] = json!(points);
    }
    let mut made =
        json!({ "cell_type": kind, "id": id, "metadata": { "nbgrader": nbgrader }, "source": text });
    if kind == "code" {
        made["execution_count"] = Value::Null;
        made["outputs"] = json!([]);
    }
    made
}

/// The id of a cell.
pub fn id(cell: &Value) -> Result<&str> {
    match cell["id"].as_str() {
        Some(id) => Ok(id),
        None => bail!("expected cells with an `id`, found one without"),
    }
}

/// The source of a cell, which the format allows to be one string or a list of lines.
pub fn text(cell: &Value) -> String {
    match &cell["source"] {
        Value::String(text) => text.clone(),
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        _ => String::new(),
    }
}
