//! The students' edition of the homework: what of the solution they have to write, and how it is tested.

mod blanks;
pub mod description;
pub mod source;

use crate::project::Project;
use anyhow::{Context, Result};
use description::Description;
use serde_json::Value;
use std::fs;

/// The notebooks that students write in. Each is an assignment of nbgrader's of the same name.
pub const NOTEBOOKS: [&str; 2] = ["lab1", "hw4"];

/// What is to be written in a notebook, by the file in `lab/assignment/`.
pub fn describe(project: &Project, name: &str) -> Result<Description> {
    Description::read(&project.root().join("lab/assignment").join(name).with_extension("toml"))
}

/// nbgrader's source of a notebook.
pub fn source_of(project: &Project, name: &str) -> Result<Value> {
    let path = project.notebooks().join(name).with_extension("ipynb");
    let bytes = fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
    let solution = serde_json::from_slice(&bytes).with_context(|| format!("{}", path.display()))?;
    source::source(&solution, &describe(project, name)?).with_context(|| format!("{}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use source::text;
    use std::path::Path;

    fn project() -> Project {
        Project::at(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()).unwrap()
    }

    #[test]
    fn the_points_are_those_of_the_assignment() {
        let descriptions = NOTEBOOKS.map(|name| describe(&project(), name).unwrap());
        let parts = || descriptions.iter().flat_map(|description| &description.parts);
        let sum = |bonus| parts().filter(|part| part.bonus == bonus).map(|part| part.points).sum::<u32>();
        assert_eq!((sum(false), sum(true)), (100, 5));
        for (lab, points) in [("1.", 15), ("2", 25), ("3", 30)] {
            let of_lab = parts().filter(|part| part.name.starts_with(lab));
            assert_eq!(of_lab.map(|part| part.points).sum::<u32>(), points, "{lab}");
        }
    }

    #[test]
    fn all_that_is_described_is_in_the_solution() {
        for name in NOTEBOOKS {
            let source = source_of(&project(), name).unwrap();
            let cells = source["cells"].as_array().unwrap();
            let ids: Vec<_> = cells.iter().map(|cell| cell["id"].as_str().unwrap()).collect();
            for (_, answer) in describe(&project(), name).unwrap().answers() {
                assert_eq!(ids.iter().filter(|id| **id == answer.id).count(), 1, "{}", answer.id);
            }
            let written = |cell: &&Value| cell["metadata"]["nbgrader"]["solution"] == true;
            assert!(cells.iter().filter(written).all(|cell| text(cell).contains("// BEGIN SOLUTION\n")));
        }
    }
}
