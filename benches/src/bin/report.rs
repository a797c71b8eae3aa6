//! Prints the results of the last `cargo bench` as Markdown tables of ratios, and plots them.

use std::env;
use std::error::Error;
use std::path::PathBuf;

use pergrad_bench::report::{criterion_home, load, plot, table};

const HELP: &str = "\
Usage: report [--criterion DIR] [--svg FILE]

Prints Markdown tables of what `cargo bench -p pergrad-bench` measured last: pergrad's medians, how
many times faster it is than its best peer, and how much of the tightest limit it reaches.

  --criterion DIR  criterion's results (default: $CRITERION_HOME, else `criterion` in cargo's target
                   directory)
  --svg FILE       where the plot goes (default: report.svg beside them)
";

fn main() -> Result<(), Box<dyn Error>> {
    let (mut home, mut svg) = (None, None);
    let mut args = env::args_os().skip(1);
    while let Some(arg) = args.next() {
        let slot = match arg.to_str() {
            Some("--criterion") => &mut home,
            Some("--svg") => &mut svg,
            Some("--help" | "-h") => {
                print!("{HELP}");
                return Ok(());
            }
            _ => return Err(format!("unknown argument {arg:?}\n\n{HELP}").into()),
        };
        *slot = Some(PathBuf::from(args.next().ok_or(format!("{arg:?} needs a value"))?));
    }
    let home = home.map_or_else(criterion_home, Ok)?;
    let results = load(&home)?;
    if results.is_empty() {
        return Err(format!("{}: no results; run `cargo bench` first", home.display()).into());
    }
    print!("{}", table::markdown(&results));
    let svg = svg.unwrap_or_else(|| home.join("report.svg"));
    plot::svg(&results, &svg)?;
    eprintln!("plot: {}", svg.display());
    Ok(())
}
