//! The measurement in turns with PyTorch, on the same machine at the same time.

use super::Options;
use crate::project::Project;
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::{Command, Stdio};

/// What both sides print; the fields of [`kernel_helpers::bench::BenchReport`] that PyTorch's side has too.
#[derive(Clone, Deserialize, Serialize)]
struct Figures {
    train_img_per_s: f64,
    eval_img_per_s: f64,
    peak_rss_mb: f64,
}

/// Medians over the rounds, and the ratios of the medians to PyTorch's better memory layout.
#[derive(Serialize)]
struct Comparison {
    rounds: usize,
    lab: Figures,
    torch_contiguous: Figures,
    torch_channels_last: Figures,
    train_ratio: f64,
    eval_ratio: f64,
}

/// Runs this command and PyTorch in turns, each in a process of its own, and prints medians and ratios.
pub fn compare(project: &Project, python: &Path, options: &Options) -> Result<()> {
    ensure!(options.rounds > 0, "--rounds has to be at least 1");
    let script = project.python_scripts().join("torch_bench.py");
    let threads = rayon::current_num_threads().to_string();
    let sizes = [
        ("--threads", threads),
        ("--batch-size", options.batch_size.to_string()),
        ("--steps", options.steps.to_string()),
    ];
    let sizes: Vec<&str> = sizes.iter().flat_map(|(name, value)| [*name, value]).collect();
    let this = std::env::current_exe()?;
    let (mut lab, mut contiguous, mut channels_last) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        lab.push(figures(Command::new(&this).args(["bench", "--json", "--no-epoch"]).args(&sizes))?);
        contiguous.push(figures(Command::new(python).arg(&script).args(&sizes))?);
        channels_last.push(figures(Command::new(python).arg(&script).args(&sizes).arg("--channels-last"))?);
        let rate = |figures: &[Figures]| figures.last().map_or(0.0, |figures| figures.train_img_per_s);
        eprintln!(
            "round {round} of {}: training {:.0}, PyTorch {:.0} contiguous, {:.0} channels last",
            options.rounds,
            rate(&lab),
            rate(&contiguous),
            rate(&channels_last)
        );
    }
    let (lab, contiguous, channels_last) = (medians(&lab), medians(&contiguous), medians(&channels_last));
    let ratio = |rate: fn(&Figures) -> f64| rate(&lab) / rate(&contiguous).max(rate(&channels_last));
    let comparison = Comparison {
        rounds: options.rounds,
        train_ratio: ratio(|figures| figures.train_img_per_s),
        eval_ratio: ratio(|figures| figures.eval_img_per_s),
        lab,
        torch_contiguous: contiguous,
        torch_channels_last: channels_last,
    };
    match options.json {
        true => println!("{}", serde_json::to_string(&comparison)?),
        false => comparison.print(),
    }
    Ok(())
}

/// The figures in the JSON line that a command prints.
fn figures(command: &mut Command) -> Result<Figures> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("could not start {name}"))?;
    if !output.status.success() {
        bail!("{name} failed; PyTorch has to be installed beside it: `pip install torch numpy`");
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&printed).with_context(|| format!("{name} printed `{printed}`, not figures"))
}

fn medians(rounds: &[Figures]) -> Figures {
    let median = |figure: fn(&Figures) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Figures {
        train_img_per_s: median(|figures| figures.train_img_per_s),
        eval_img_per_s: median(|figures| figures.eval_img_per_s),
        peak_rss_mb: median(|figures| figures.peak_rss_mb),
    }
}

impl Comparison {
    fn print(&self) {
        println!("medians of {} rounds{:>13}{:>12}{:>10}", self.rounds, "training", "evaluation", "memory");
        let rows = [
            ("this project", &self.lab),
            ("PyTorch, contiguous", &self.torch_contiguous),
            ("PyTorch, channels last", &self.torch_channels_last),
        ];
        for (name, Figures { train_img_per_s, eval_img_per_s, peak_rss_mb }) in rows {
            println!(
                "{name:<24}{train_img_per_s:>6.0} img/s{eval_img_per_s:>6.0} img/s{peak_rss_mb:>7.0} MB"
            );
        }
        println!("ratio to the better{:>15.2}{:>12.2}", self.train_ratio, self.eval_ratio);
    }
}
