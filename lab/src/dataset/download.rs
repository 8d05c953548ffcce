//! The download of the official archive. What has arrived is kept under another name until it is whole and checked.

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use kernel_helpers::digest::sha256_of_file;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

/// The official archive's address.
pub const OFFICIAL_URL: &str = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz";

/// How often a connection that breaks off is taken up again.
const ATTEMPTS: usize = 3;

/// Downloads `url` to `target`, going on where an earlier attempt broke off, and checks its SHA-256 sum.
pub fn download(url: &str, target: &Path, expected: &str) -> Result<()> {
    let partial = partial(target);
    let agent: Agent = Agent::config_builder()
        .timeout_resolve(Some(Duration::from_secs(10)))
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_recv_response(Some(Duration::from_secs(30)))
        .http_status_as_error(false)
        .build()
        .into();
    let mut attempt = 1;
    while let Err(error) = fetch(&agent, url, &partial) {
        if attempt == ATTEMPTS || !partial.exists() {
            return Err(error);
        }
        attempt += 1;
    }
    if sha256_of_file(&partial)? != expected {
        fs::remove_file(&partial).with_context(|| format!("could not remove {}", partial.display()))?;
        bail!("what {url} sent does not have the archive's checksum");
    }
    fs::rename(&partial, target).with_context(|| format!("could not rename {}", partial.display()))
}

/// The name of what has arrived so far.
pub fn partial(target: &Path) -> PathBuf {
    target.with_added_extension("part")
}

/// Appends to `partial` what is missing of it.
fn fetch(agent: &Agent, url: &str, partial: &Path) -> Result<()> {
    let present = fs::metadata(partial).map_or(0, |file| file.len());
    let mut request = agent.get(url);
    if present > 0 {
        request = request.header(header::RANGE, format!("bytes={present}-"));
    }
    let response = request.call().with_context(|| format!("{url} did not answer"))?;
    let (offset, total) = match response.status() {
        StatusCode::OK => (0, content_length(&response)),
        StatusCode::PARTIAL_CONTENT => (present, content_length(&response).map(|rest| present + rest)),
        // Everything has arrived already, or more: let the checksum decide.
        StatusCode::RANGE_NOT_SATISFIABLE => return Ok(()),
        status => bail!("{url} answered {status}"),
    };
    let mut file = File::options().create(true).write(true).truncate(offset == 0).open(partial);
    if let Ok(file) = &mut file {
        io::Seek::seek(file, io::SeekFrom::Start(offset))
            .context("could not continue the partial download")?;
    }
    let mut file = file.with_context(|| format!("could not write {}", partial.display()))?;
    let bar = progress(total, offset);
    let copied = io::copy(&mut bar.wrap_read(response.into_body().into_reader()), &mut file);
    bar.finish_and_clear();
    file.flush().with_context(|| format!("could not write {}", partial.display()))?;
    let arrived = offset + copied.with_context(|| format!("the download of {url} broke off"))?;
    match total {
        Some(total) if arrived < total => {
            bail!("the download of {url} broke off after {arrived} of {total} bytes")
        }
        _ => Ok(()),
    }
}

fn content_length(response: &Response<Body>) -> Option<u64> {
    response.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn progress(total: Option<u64>, offset: u64) -> ProgressBar {
    let style = "Downloading CIFAR-10 [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
    let bar = match total {
        Some(total) => ProgressBar::new(total),
        None => ProgressBar::no_length(),
    };
    bar.set_style(ProgressStyle::with_template(style).expect("a valid template").progress_chars("=> "));
    bar.set_position(offset);
    bar
}
