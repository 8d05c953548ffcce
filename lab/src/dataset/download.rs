//! The download of the official archive. What has arrived is kept where the next attempt goes on from there.

use super::{Expected, remove};
use crate::progress;
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

/// The official archive's address.
pub const OFFICIAL_URL: &str = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz";

/// For so long may nothing come.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How often a connection that breaks off is taken up again.
const ATTEMPTS: usize = 3;

/// Where what has arrived so far is kept. It has no name of what is swept away when its writer has ended, as the next run
/// goes on with it.
pub fn partial(folder: &Path) -> PathBuf {
    folder.join(super::ARCHIVE).with_added_extension("part")
}

/// Downloads `url` to `partial`, going on where an earlier attempt broke off, and checks that it is what is expected. What
/// is not is removed. Fails when for as long as `patience` nothing comes.
pub fn download(url: &str, partial: &Path, expected: &Expected, patience: Duration) -> Result<()> {
    let agent: Agent = Agent::config_builder()
        .timeout_resolve(Some(Duration::from_secs(10)))
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_recv_response(Some(patience))
        .timeout_per_read(Some(patience))
        .http_status_as_error(false)
        .build()
        .into();
    let mut attempt = 1;
    while let Err(error) = fetch(&agent, url, partial, expected.size) {
        if attempt == ATTEMPTS || !partial.exists() {
            return Err(error);
        }
        attempt += 1;
    }
    if expected.is(partial)? {
        return Ok(());
    }
    remove(partial)?;
    bail!("what {url} sent does not have the archive's checksum")
}

/// How many bytes have arrived.
pub fn arrived(partial: &Path) -> u64 {
    fs::metadata(partial).map_or(0, |file| file.len())
}

/// Appends to `partial` what is missing of it; removes it where that cannot be the file of this size.
fn fetch(agent: &Agent, url: &str, partial: &Path, size: u64) -> Result<()> {
    let present = arrived(partial);
    if present >= size {
        // Let the checksum decide.
        return Ok(());
    }
    let mut request = agent.get(url);
    if present > 0 {
        request = request.header(header::RANGE, format!("bytes={present}-"));
    }
    let response = request.call().with_context(|| format!("{url} did not answer"))?;
    let offset = match response.status() {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT => present,
        // Less is there than what has arrived.
        StatusCode::RANGE_NOT_SATISFIABLE => return Ok(()),
        status => bail!("{url} answered {status}"),
    };
    let announced = content_length(&response).map(|rest| offset.saturating_add(rest));
    if let Some(announced) = announced.filter(|&announced| announced != size) {
        remove(partial)?;
        bail!("{url} sends {announced} bytes, and the archive has {size}");
    }
    // One byte more tells that there are more.
    let body = response.into_body().into_reader().take(size - offset + 1);
    append(body, partial, offset, size).with_context(|| format!("the download of {url} broke off"))?;
    match arrived(partial) {
        arrived if arrived < size => {
            bail!("the download of {url} broke off after {arrived} of {size} bytes")
        }
        arrived if arrived > size => {
            remove(partial)?;
            bail!("{url} sends more than {size} bytes, which the archive has")
        }
        _ => Ok(()),
    }
}

/// Writes what comes behind the first bytes of a file.
fn append(body: impl Read, partial: &Path, offset: u64, size: u64) -> Result<()> {
    let open = || -> io::Result<File> {
        let mut file = File::options().create(true).write(true).truncate(offset == 0).open(partial)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(file)
    };
    let mut file = open().with_context(|| format!("could not write {}", partial.display()))?;
    let bar = bar(size, offset);
    let copied = io::copy(&mut bar.wrap_read(body), &mut file);
    bar.finish_and_clear();
    file.flush()?;
    Ok(copied.map(drop)?)
}

fn content_length(response: &Response<Body>) -> Option<u64> {
    response.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn bar(size: u64, offset: u64) -> ProgressBar {
    let style = "Downloading CIFAR-10 [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
    let bar = progress::add(ProgressBar::new(size));
    bar.set_style(ProgressStyle::with_template(style).expect("a valid template").progress_chars("=> "));
    bar.set_position(offset);
    bar
}
