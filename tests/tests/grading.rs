//! The students' edition of the homework, and the grading of what they hand in: right, wrong in many ways, and harmful.

use homework_tests::{generated_data, lab, scratch_folder};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A fault in what a student has written: the exercise, and what stands there in place of what.
type Fault = (&'static str, &'static str, &'static str);

/// A submission with faults, the parts that lose points by them with how many, and what the feedback says.
struct Wrong {
    student: &'static str,
    notebook: &'static str,
    faults: &'static [Fault],
    lost: &'static [(&'static str, f64)],
    told: &'static [&'static str],
}

const WRONG: [Wrong; 7] = [
    Wrong {
        student: "ada",
        notebook: "lab1",
        faults: &[
            ("a-source-gradient", "2.0 * residual", "residual"),
            ("b-run-gradient_step", "next[j] -= ", "next[j] += "),
            ("c-source-projected_step", "[..3]", "[..2]"),
            ("d-run-l1_step", "if w[j] == 0.0 { 0.0 } else { w[j].signum() }", "w[j].signum()"),
            ("e-source-soft_threshold", "v.signum() * ", ""),
            ("f-source-trimmed_step", "[..3]", ""),
        ],
        lost: &[("1a", 2.0), ("1b", 1.0), ("1c", 2.0), ("1d", 2.0), ("1e", 2.0), ("1f", 3.0)],
        told: &[
            "each term gives 2 X_i",
            "a step goes against the gradient",
            "the two elements of largest magnitude stay",
            "while (0.0).signum() is 1",
            "it keeps the sign",
            "the three elements of smallest magnitude alone",
        ],
    },
    Wrong {
        student: "ben",
        notebook: "lab1",
        faults: &[
            ("c-source-by_magnitude", "w[i].abs().total_cmp(&w[j].abs())", "w[i].total_cmp(&w[j])"),
            (
                "e-source-proximal_step",
                "soft_threshold(v, threshold)",
                "soft_threshold(v, LEARNING_RATE * threshold)",
            ),
            ("f-source-trimmed_step", "by_magnitude(&next)", "by_magnitude(w)"),
        ],
        lost: &[("1c", 1.0), ("1e", 2.0), ("1f", 3.0)],
        told: &[
            "a magnitude has no sign",
            "the threshold is μλ already",
            "as they are after the gradient step",
        ],
    },
    Wrong {
        student: "ada",
        notebook: "hw4",
        faults: &[
            (
                "lab2-b-source-percentile",
                "low + (high - low) * rank.fract()",
                "if rank.fract() < 0.5 { low } else { high }",
            ),
            ("lab2-b-source-prune_by_percentage", ".ge(threshold)", ".le(threshold)"),
            (
                "lab2-b-source-prune_layers",
                "prune_by_percentage(&weight, q)?;",
                "if weight.elem_count() > 1000 { prune_by_percentage(&weight, q)?; }",
            ),
            ("lab2-c-source-finetune_after_prune", "if prune {", "if false {"),
            ("lab2-c-loop-finetune_pruned", "if result.accuracy > best {", "{"),
            ("lab2-d-source-iterative_prune", "0.8 * epoch as f64", "0.8 * (epoch - 1) as f64"),
            (
                "lab2-e-source-global_prune_by_percentage",
                "let kept =",
                "let threshold = percentile(&weight.abs()?.flatten_all()?.to_vec1::<f32>()?, q);\n        let kept =",
            ),
            (
                "lab3-a-source-quantize",
                "if w == 0.0 { 0.0 } else { rounded * beta + alpha }",
                "rounded * beta + alpha",
            ),
            (
                "lab4-source-quantize",
                "(2f32).powi(self.bits as i32 - 1) - 1.0",
                "(2f32).powi(self.bits as i32 - 1)",
            ),
        ],
        lost: &[("2b", 4.0), ("2c", 4.0), ("2d", 3.0), ("2e", 3.0), ("3a", 4.0), ("4", 2.0)],
        told: &[
            "on a straight line",
            "the weights with the smallest magnitudes become 0",
            "every prunable layer has a threshold of its own",
            "is 0 after every step",
            "which need not be the last one",
            "prunes before each of them, and ends at 0.8",
            "one threshold for all prunable layers together",
            "zeros are pruned weights: they stay 0",
            "3 levels on each side of 0",
        ],
    },
    Wrong {
        student: "ben",
        notebook: "hw4",
        faults: &[
            ("lab2-b-source-prune_by_percentage", ".ge(threshold)", ".gt(threshold)"),
            (
                "lab2-c-source-finetune_after_prune",
                "let mask = weight.ne(0f32)?",
                "let mask = weight.ne(f32::NAN)?",
            ),
            ("lab2-d-source-iterative_prune", "epoch >= ramp)?", "true)?"),
            ("lab3-a-source-quantize", "(2f32).powi(bits as i32) - 1.0", "(2f32).powi(bits as i32)"),
            ("lab4-source-quantize", "Ok((quantized + (weight - weight.detach())?)?)", "Ok(quantized)"),
        ],
        lost: &[("2b", 1.0), ("2c", 3.0), ("2d", 1.0), ("3a", 11.0), ("4", 1.0)],
        told: &[
            "one that equals it is kept",
            "pruned weights may grow again",
            "with 3 equal steps",
            "passes straight through",
        ],
    },
    Wrong {
        student: "cleo",
        notebook: "hw4",
        faults: &[
            ("lab2-b-source-prune_by_percentage", "weight.abs()?", "weight.as_tensor().clone()"),
            ("lab2-d-source-iterative_prune", "epoch >= ramp)?", "epoch > ramp)?"),
            ("lab3-a-source-quantize", "rounded * beta + alpha }", "rounded * beta }"),
        ],
        lost: &[("2b", 1.0), ("2d", 1.0), ("3a", 11.0)],
        told: &["whatever their signs", "from the last pruning on", "added again after it"],
    },
    Wrong {
        student: "dora",
        notebook: "hw4",
        faults: &[(
            "lab3-a-source-quantize",
            "Ok((quantized + (weight - weight.detach())?)?)",
            "Ok(quantized)",
        )],
        lost: &[("3a", 4.0)],
        told: &["as if nothing had been rounded or scaled"],
    },
    // The helpers have functions of the same names, which must not be tested in place of these.
    Wrong {
        student: "finn",
        notebook: "hw4",
        faults: &[
            ("lab2-b-source-prune_by_percentage", "let threshold", "let threshold: bool"),
            ("lab2-e-source-global_prune_by_percentage", "let mut magnitudes", "magnitudes"),
        ],
        lost: &[("2b", 1.0), ("2e", 3.0)],
        told: &[
            "`prune_by_percentage` is not defined yet",
            "`global_prune_by_percentage` is not defined yet",
        ],
    },
];

/// Functions that do harm: each takes its own points, and no others.
const HARMFUL: Wrong = Wrong {
    student: "eve",
    notebook: "lab1",
    faults: &[
        ("a-source-gradient", "let mut sum", "this does not compile"),
        (
            "b-run-gradient_step",
            "let (mut next, gradient)",
            "std::process::exit(0);\n    let (mut next, gradient)",
        ),
        ("c-source-projected_step", "let mut next", "loop { std::hint::black_box(0); }\n    let mut next"),
        (
            "e-source-soft_threshold",
            "v.signum()",
            "let eaten = vec![1u8; 1 << 36]; std::hint::black_box(&eaten);\n    v.signum()",
        ),
    ],
    lost: &[("1a", 2.0), ("1b", 1.0), ("1c", 2.0), ("1e", 2.0)],
    told: &[],
};

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap_or_else(|_| panic!("{}", path.display()))).unwrap()
}

fn notebook(course: &Path, step: &str, name: &str) -> Value {
    read(&course.join(step).join(name).join(name).with_extension("ipynb"))
}

/// The source of a cell, by its id.
fn source<'a>(notebook: &'a mut Value, id: &str) -> &'a mut Value {
    let cells = notebook["cells"].as_array_mut().unwrap();
    let cell = cells.iter_mut().find(|cell| cell["metadata"]["nbgrader"]["grade_id"] == id);
    &mut cell.unwrap_or_else(|| panic!("no cell {id}"))["source"]
}

fn text(source: &Value) -> String {
    match source {
        Value::Array(lines) => lines.iter().map(|line| line.as_str().unwrap()).collect(),
        text => text.as_str().unwrap().to_owned(),
    }
}

fn exercises(notebook: &Value) -> Vec<String> {
    let cells = notebook["cells"].as_array().unwrap().iter();
    let nbgrader = cells.map(|cell| &cell["metadata"]["nbgrader"]);
    let written = nbgrader.filter(|it| it["solution"] == true && it["grade"] == false);
    written.map(|it| it["grade_id"].as_str().unwrap().to_owned()).collect()
}

/// The students' edition, filled in with the solution.
fn solved(course: &Path, name: &str) -> Value {
    let (mut release, mut solution) = (notebook(course, "release", name), notebook(course, "source", name));
    for id in exercises(&release) {
        *source(&mut release, &id) = source(&mut solution, &id).clone();
    }
    release
}

fn with_faults(course: &Path, wrong: &Wrong) -> Value {
    let mut made = solved(course, wrong.notebook);
    for (id, from, to) in wrong.faults {
        let source = source(&mut made, id);
        let code = text(source);
        assert!(code.contains(from), "{id} has no {from:?}:\n{code}");
        *source = json!(code.replace(from, to));
    }
    made
}

fn submit(folder: &Path, student: &str, name: &str, notebook: &Value) {
    let path = folder.join(student).join(name).with_extension("ipynb");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, notebook.to_string()).unwrap();
}

/// The points of each student by part, and the remarks.
fn grades(course: &Path) -> HashMap<String, (HashMap<String, f64>, String)> {
    let text = fs::read_to_string(course.join("grades.csv")).unwrap();
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    let students = lines.map(|line| {
        let fields: Vec<&str> = line.splitn(head.len(), ',').collect();
        let parts = head
            .iter()
            .zip(&fields)
            .skip(1)
            .filter_map(|(name, field)| Some((name.split(' ').next()?.to_owned(), field.parse().ok()?)));
        (fields[0].to_owned(), (parts.collect(), (*fields.last().unwrap()).to_owned()))
    });
    students.collect()
}

fn grade(course: &Path, submissions: &Path) -> (String, String) {
    let mut command = lab();
    command.arg("grade").arg(submissions).arg("--course").arg(course).args(["--cell-time", "20"]);
    let output = command.env("LAB_DATA", generated_data()).output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{out}\n{err}");
    (out, err)
}

/// What is hidden from students is not in what they get.
fn check_release(course: &Path, name: &str) {
    let (release, mut solution) = (notebook(course, "release", name), notebook(course, "source", name));
    let given: String =
        release["cells"].as_array().unwrap().iter().map(|cell| text(&cell["source"]) + "\n").collect();
    assert!(!given.contains("SOLUTION") && !given.contains("HIDDEN"));
    for id in exercises(&release) {
        let marked = text(source(&mut solution, &id));
        let (_, body) = marked.split_once("// BEGIN SOLUTION\n").expect("a marked solution");
        let (body, _) = body.split_once("// END SOLUTION").unwrap();
        // A line or two may be in a cell that is given, too.
        let lines: Vec<&str> = body.lines().filter(|line| line.trim().len() > 1).collect();
        let told = lines.windows(lines.len().min(3)).find(|lines| given.contains(&lines.join("\n")));
        assert_eq!(told, None, "{id}");
    }
}

fn made() -> (PathBuf, PathBuf) {
    let folder = scratch_folder("grading");
    let course = folder.join("course");
    let output = lab().arg("assignment").arg("--to").arg(&course).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (course, folder.join("submissions"))
}

#[test]
fn submissions_get_the_points_that_they_deserve() {
    let (course, submissions) = made();
    for name in ["lab1", "hw4"] {
        check_release(&course, name);
        submit(&submissions, "solution", name, &solved(&course, name));
    }
    for wrong in &WRONG {
        submit(&submissions, wrong.student, wrong.notebook, &with_faults(&course, wrong));
    }
    let mut harmful = with_faults(&course, &HARMFUL);
    *source(&mut harmful, "d-run-l1_step-test-1") = json!("// nothing fails here");
    harmful["cells"].as_array_mut().unwrap().retain(|cell| cell["id"] != "c-source-projected_step-test-1");
    submit(&submissions, HARMFUL.student, HARMFUL.notebook, &harmful);
    submit(&submissions, "fred", "lab1", &notebook(&course, "release", "lab1"));
    fs::write(submissions.join("fred/hw4.ipynb"), "not a notebook").unwrap();

    grade(&course, &submissions);
    let grades = grades(&course);
    let full = &grades["solution"].0;
    for (part, points) in [("1a", 2.0), ("1f", 3.0), ("2c", 4.0), ("3a", 15.0), ("4", 3.0), ("1.1", 0.0)] {
        assert_eq!(full[part], points, "{part} of the solution");
    }
    assert_eq!(full["points"], 47.0);
    for wrong in WRONG.iter().chain([&HARMFUL]) {
        let Wrong { student, notebook, lost, told, .. } = wrong;
        let found = &grades[*student].0;
        let is_lab1 = |part: &str| part.len() == 2 && part.starts_with('1');
        for (part, full) in
            full.iter().filter(|(part, _)| part.len() < 3 && is_lab1(part) == (*notebook == "lab1"))
        {
            let lost = lost.iter().find(|(name, _)| name == part).map_or(0.0, |(_, points)| *points);
            assert_eq!(found[part], full - lost, "{part} in {notebook} of {student}");
        }
        let page = course.join("feedback").join(student).join(notebook).join(notebook).with_extension("html");
        let page = fs::read_to_string(page).unwrap();
        for sentence in *told {
            assert!(
                page.contains(sentence),
                "{sentence:?} is not in the feedback on {notebook} of {student}"
            );
        }
    }
    let (fred, remark) = &grades["fred"];
    assert_eq!(fred["points"], 0.0);
    assert!(remark.contains("hw4: not graded") && remark.contains("JSON"), "{remark}");

    // What has not changed is not graded anew, and what has is.
    submit(&submissions, "dora", "hw4", &solved(&course, "hw4"));
    let started = fs::metadata(course.join("feedback/ada/hw4/hw4.html")).unwrap().modified().unwrap();
    grade(&course, &submissions);
    assert_eq!(self::grades(&course)["dora"].0["3a"], 15.0);
    let after = fs::metadata(course.join("feedback/ada/hw4/hw4.html")).unwrap().modified().unwrap();
    assert_eq!(started, after);
}
