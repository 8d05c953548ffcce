//! JupyterLab in a headless browser, as a student uses it; see `tests/browser/student.py`.

use homework_tests::{chromium, generated_data, lab, project_root, python, scratch_folder, skip};

#[test]
fn a_student_works_in_jupyterlab() {
    let Some(chromium) = chromium() else {
        skip("a_student_works_in_jupyterlab", "needs `chromium` on the path (Debian: apt install chromium)");
        return;
    };
    let folder = scratch_folder("browser");
    for file in ["notebooks/lab1.ipynb", "checkpoints/resnet20.safetensors"] {
        std::fs::create_dir(folder.join(file).parent().unwrap()).unwrap();
        std::fs::copy(project_root().join(file), folder.join(file)).unwrap();
    }
    let mut student = python();
    student.arg("tests/browser/student.py").arg(chromium).arg(lab().get_program()).arg(&folder);
    student
        .env("LAB_SCALE", "tiny")
        .env("LAB_DATA", generated_data())
        .env("LAB_CHECKPOINTS", folder.join("checkpoints"));
    let result = student.output().unwrap();
    let (printed, failed) =
        (String::from_utf8_lossy(&result.stdout), String::from_utf8_lossy(&result.stderr));
    let screenshots = folder.join("screenshots");
    assert!(result.status.success(), "see {}\n{printed}{failed}", screenshots.display());
    println!("{printed}");
}
