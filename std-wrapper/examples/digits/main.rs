//! A network learns to read handwritten digits, at four batch sizes and by three methods, all with
//! hyper-parameters stated per example.
//!
//! With the second moment taken from `grad_sq`, the mean of the squares of the per-example gradients,
//! Adam's four curves of the loss over examples seen lie on each other. On the square of the average
//! they fan out: the same settings mean something else at each batch size.
//!
//! `cargo run --release --example digits -- --help`
#![allow(unreachable_pub, reason = "modules of a program have no outside")]

mod data;
mod network;
mod plot;
mod train;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;

use train::{BATCH_SIZES, Method, Outcome, Setup, spread};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const HELP: &str = "\
Trains a 64-64-10 network on 1 540 handwritten digits, at batch sizes 8, 32, 128 and 512, by
momentum, by Adam on the squared average gradient and by Adam on grad_sq. Prints a table and
writes digits.svg (loss over examples seen) and digits.csv (the same numbers).

Usage: digits [options]

  --epochs N          passes over the training digits [40]
  --seed N            of the initial weights and of the order of the examples [0]
  --lr-momentum LR    learning rate per example of momentum [3e-3]
  --lr-squared LR     of Adam on the squared average [1e-4]
  --lr-grad-sq LR     of Adam on grad_sq [1e-4]
  --poison            one pixel of one image, in the second batch of each run, is not a number
  --out FOLDER        where the files go [digits-out]
  --help

The environment variable PERGRAD_ISA pins the instruction set (portable, avx2, avx512), and
RAYON_NUM_THREADS the number of threads; neither changes a digit of the results.";

/// What was asked for.
struct Options {
    epochs: usize,
    seed: u64,
    /// Learning rates per example, in the order of the methods.
    lr: [f64; 3],
    poison: bool,
    out: PathBuf,
}

/// A method's runs, one a batch size.
pub struct Row {
    method: Method,
    runs: Vec<Outcome>,
    spread: f64,
}

fn main() -> std::process::ExitCode {
    let result = options().and_then(|options| match options {
        Some(options) => run(&options),
        None => {
            println!("{HELP}");
            Ok(())
        }
    });
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("digits: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// The command line; none for `--help`.
fn options() -> Result<Option<Options>> {
    use lexopt::prelude::*;
    let lr = Method::ALL.map(Method::default_lr);
    let mut options = Options { epochs: 40, seed: 0, lr, poison: false, out: "digits-out".into() };
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("epochs") => options.epochs = args.value()?.parse()?,
            Long("seed") => options.seed = args.value()?.parse()?,
            Long("lr-momentum") => options.lr[0] = args.value()?.parse()?,
            Long("lr-squared") => options.lr[1] = args.value()?.parse()?,
            Long("lr-grad-sq") => options.lr[2] = args.value()?.parse()?,
            Long("poison") => options.poison = true,
            Long("out") => options.out = args.value()?.into(),
            Long("help") | Short('h') => return Ok(None),
            _ => return Err(arg.unexpected().into()),
        }
    }
    Ok(Some(options))
}

fn run(options: &Options) -> Result<()> {
    let began = Instant::now();
    let isa = pergrad::isa()?;
    let (train, test) = data::load()?;
    let Options { epochs, seed, poison, .. } = *options;
    let setup = Setup { train, test, epochs, seed, poison };

    let examples = setup.train.len() * setup.epochs * Method::ALL.len() * BATCH_SIZES.len();
    let bar = ProgressBar::new(examples as u64).with_style(ProgressStyle::with_template(
        "learning to read {wide_bar} {percent:>3} %  {eta} left",
    )?);
    // Small batches take longest and come first, so that no thread is left over at the end.
    let jobs = BATCH_SIZES.map(|batch| Method::ALL.map(|method| (method, batch)));
    let outcomes = jobs
        .concat()
        .into_par_iter()
        .with_max_len(1)
        .map(|(method, batch)| {
            let lr = options.lr[method as usize];
            setup.run(method, lr, batch, |examples| bar.inc(examples as u64))
        })
        .collect::<Result<Vec<_>>>()?;
    bar.finish_and_clear();

    let mut rows = Method::ALL.map(|method| Row { method, runs: Vec::new(), spread: 1.0 });
    for (k, outcome) in outcomes.into_iter().enumerate() {
        rows[k % Method::ALL.len()].runs.push(outcome);
    }
    for row in &mut rows {
        row.spread = spread(&row.runs.iter().collect::<Vec<_>>());
    }

    print!("{}", table(&rows, setup.epochs));
    if let Some(why) = rows.iter().flat_map(|row| &row.runs).find_map(|run| run.refused.as_ref()) {
        println!("\nPoisoned: each run refused the step on its second batch and went on. {why}.");
    }
    std::fs::create_dir_all(&options.out)?;
    let csv = options.out.join("digits.csv");
    std::fs::write(&csv, losses(&rows, setup.train.len())?)?;
    let svg = options.out.join("digits.svg");
    plot::draw(&svg, &rows, setup.train.len())?;
    let seconds = began.elapsed().as_secs_f64();
    println!("\nPlot: {}\nNumbers: {}", shown(&svg), shown(&csv));
    println!("{seconds:.1} s on {} threads, {}", rayon::current_num_threads(), isa.name());
    Ok(())
}

/// The results, for people.
fn table(rows: &[Row], epochs: usize) -> String {
    let batches = BATCH_SIZES.map(|batch| format!("B = {batch:<5}")).join(" ");
    let mut text = format!("After {epochs} epochs{:13} {batches} losses apart\n", "");
    for row in rows {
        let _ = write!(text, "{:<28}", row.method.name());
        for run in &row.runs {
            let _ = write!(text, "{:>7.1} % ", 100.0 * run.test.accuracy);
        }
        let _ = writeln!(text, "  {:>6.2} x", row.spread);
    }
    text += "\nPer cent: held-out digits read correctly. Apart: the largest over the smallest training\n\
             loss of the four batch sizes, at the epoch where that is worst.\n";
    text
}

/// All losses, exactly, as comma-separated values.
fn losses(rows: &[Row], epoch: usize) -> Result<String> {
    let mut text = String::from("method,batch_size,examples_seen,training_loss\n");
    for row in rows {
        for (run, batch) in row.runs.iter().zip(BATCH_SIZES) {
            for (k, loss) in run.losses.iter().enumerate() {
                writeln!(text, "{},{batch},{},{loss}", row.method.name(), k * epoch)?;
            }
        }
    }
    Ok(text)
}

/// The whole path.
fn shown(path: &Path) -> String {
    path.canonicalize().unwrap_or_else(|_| path.into()).display().to_string()
}
