//! From criterion's files to ratios: pergrad to its best peer, pergrad to its limit.

pub mod plot;
pub mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use pergrad_core::Isa;
use serde_json::Value;

/// Limits that are two ways to do the same: the faster one counts. All others must all be respected:
/// the slowest counts.
const ALTERNATIVES: [&str; 2] = ["fill", "stream"];

/// What a bench's second name says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contestant {
    /// pergrad on an instruction set.
    Ours(String),
    /// Another way that pergrad offers: what, and on which instruction set.
    Own(String, String),
    /// What the hardware allows: which limit, and on which instruction set.
    Limit(String, String),
    /// Somebody else.
    Peer(String),
}

impl Contestant {
    /// The reading of a name.
    pub fn from_name(name: &str) -> Self {
        let of_isa = |prefix: &str| {
            let rest = name.strip_prefix(prefix)?;
            let isa = isas().find(|isa| rest.ends_with(&format!("_{isa}")))?;
            Some((rest[..rest.len() - isa.len() - 1].to_owned(), isa.to_owned()))
        };
        if isas().any(|isa| isa == name) {
            Contestant::Ours(name.to_owned())
        } else if let Some((what, isa)) = of_isa("limit_") {
            Contestant::Limit(what, isa)
        } else if let Some((what, isa)) = of_isa("own_") {
            Contestant::Own(what, isa)
        } else {
            Contestant::Peer(name.to_owned())
        }
    }
}

/// The names of pergrad's instruction sets, slowest first.
fn isas() -> impl DoubleEndedIterator<Item = &'static str> {
    Isa::NAMES.iter().copied()
}

/// What an iteration counts as.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Work {
    /// So many elements.
    Elements(f64),
    /// So many bytes.
    Bytes(f64),
}

/// The medians of one group and case, in nanoseconds.
#[derive(Debug, Clone, Default)]
pub struct Meeting {
    /// By contestant.
    pub medians: BTreeMap<Contestant, f64>,
    /// Of one iteration.
    pub work: Option<Work>,
}

/// A contestant's name and its median in nanoseconds.
pub type Named<'a> = (&'a str, f64);

impl Meeting {
    /// pergrad's instruction sets that were measured, slowest first, with their medians.
    pub fn ours(&self) -> Vec<(&'static str, f64)> {
        isas()
            .filter_map(|isa| {
                self.medians.get(&Contestant::Ours(isa.to_owned())).map(|median| (isa, *median))
            })
            .collect()
    }

    /// The fastest peer.
    pub fn best_peer(&self) -> Option<Named<'_>> {
        let peers = self.medians.iter().filter_map(|(who, median)| match who {
            Contestant::Peer(name) => Some((name.as_str(), *median)),
            _ => None,
        });
        peers.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// The tightest limit on an instruction set.
    pub fn limit(&self, isa: &str) -> Option<Named<'_>> {
        let limits = self.medians.iter().filter_map(|(who, median)| match who {
            Contestant::Limit(name, of) if of == isa => Some((name.as_str(), *median)),
            _ => None,
        });
        let (either, all): (Vec<_>, Vec<_>) =
            limits.partition(|(name, _)| ALTERNATIVES.contains(name));
        let either = either.into_iter().min_by(|a, b| a.1.total_cmp(&b.1));
        all.into_iter().chain(either).max_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// Other ways of pergrad's on an instruction set.
    pub fn own(&self, isa: &str) -> Vec<Named<'_>> {
        let own = self.medians.iter().filter_map(|(who, median)| match who {
            Contestant::Own(name, of) if of == isa => Some((name.as_str(), *median)),
            _ => None,
        });
        own.collect()
    }
}

/// Every group, and in it every case.
pub type Results = BTreeMap<String, BTreeMap<Case, Meeting>>;

/// A case's name, ordered as a person would: by type, then by the numbers in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    kind: String,
    extents: Vec<usize>,
    /// The name itself.
    pub name: String,
}

impl Case {
    /// From a name like `f32_32x128x128`.
    pub fn new(name: &str) -> Self {
        let (kind, shape) = name.split_once('_').unwrap_or((name, ""));
        let extents = shape.split('x').filter_map(|n| n.parse().ok()).collect();
        Case { kind: kind.to_owned(), extents, name: name.to_owned() }
    }
}

/// Where criterion leaves its results: its own variable, cargo's, or beside this executable.
///
/// # Errors
/// If the executable's place is unknown.
pub fn criterion_home() -> io::Result<PathBuf> {
    if let Some(home) = env::var_os("CRITERION_HOME") {
        return Ok(home.into());
    }
    if let Some(target) = env::var_os("CARGO_TARGET_DIR") {
        return Ok(Path::new(&target).join("criterion"));
    }
    // target/release/report
    let exe = env::current_exe()?;
    let target = exe.ancestors().nth(2).unwrap_or(Path::new("target"));
    Ok(target.join("criterion"))
}

/// Reads the latest results of all benches under `home`.
///
/// # Errors
/// If a file cannot be read or is not criterion's.
pub fn load(home: &Path) -> io::Result<Results> {
    let mut results = Results::new();
    // group / contestant / case / new
    for group in folders(home)? {
        for contestant in folders(&group)? {
            for case in folders(&contestant)? {
                let new = case.join("new");
                if new.join("benchmark.json").is_file() {
                    let bench = read(&new.join("benchmark.json"))?;
                    let estimates = read(&new.join("estimates.json"))?;
                    add(&mut results, &bench, &estimates).ok_or_else(|| {
                        let what = format!("{}: not as criterion writes it", new.display());
                        io::Error::new(io::ErrorKind::InvalidData, what)
                    })?;
                }
            }
        }
    }
    Ok(results)
}

fn add(results: &mut Results, bench: &Value, estimates: &Value) -> Option<()> {
    let text = |key: &str| bench[key].as_str();
    let median = estimates["median"]["point_estimate"].as_f64()?;
    let group = results.entry(text("group_id")?.to_owned()).or_default();
    let meeting = group.entry(Case::new(text("value_str")?)).or_default();
    meeting.medians.insert(Contestant::from_name(text("function_id")?), median);
    let throughput = &bench["throughput"];
    let elements = throughput["Elements"].as_f64().map(Work::Elements);
    meeting.work = elements.or(throughput["Bytes"].as_f64().map(Work::Bytes));
    Some(())
}

/// The folders inside a folder, in order.
fn folders(path: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(path).map_err(|e| name_path(path, &e))?;
    let mut all = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}

fn read(path: &Path) -> io::Result<Value> {
    let text = fs::read_to_string(path).map_err(|e| name_path(path, &e))?;
    serde_json::from_str(&text).map_err(|e| name_path(path, &e.into()))
}

fn name_path(path: &Path, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meeting(medians: &[(&str, f64)]) -> Meeting {
        let medians = medians.iter().map(|(name, t)| (Contestant::from_name(name), *t)).collect();
        Meeting { medians, work: None }
    }

    #[test]
    fn names_are_told_apart() {
        let of = Contestant::from_name;
        assert_eq!(of("portable"), Contestant::Ours("portable".into()));
        assert_eq!(
            of("limit_sqrt_div_portable"),
            Contestant::Limit("sqrt_div".into(), "portable".into())
        );
        assert_eq!(
            of("own_moments_portable"),
            Contestant::Own("moments".into(), "portable".into())
        );
        assert_eq!(of("gemm"), Contestant::Peer("gemm".into()));
        assert_eq!(of("gemm_three_passes"), Contestant::Peer("gemm_three_passes".into()));
    }

    #[test]
    fn the_slowest_limit_counts_but_of_alternatives_the_faster() {
        let m = meeting(&[
            ("limit_fma_portable", 3.0),
            ("limit_fill_portable", 5.0),
            ("limit_stream_portable", 4.0),
            ("gemm", 7.0),
            ("faer", 6.0),
            ("portable", 8.0),
        ]);
        assert_eq!(m.limit("portable"), Some(("stream", 4.0)));
        assert_eq!(m.best_peer(), Some(("faer", 6.0)));
        assert_eq!(m.ours(), [("portable", 8.0)]);
        let m = meeting(&[("limit_fma_portable", 6.0), ("limit_fill_portable", 5.0)]);
        assert_eq!(m.limit("portable"), Some(("fma", 6.0)));
    }

    #[test]
    fn cases_are_ordered_by_their_numbers() {
        let mut names = ["f64_4", "f32_128x2", "f32_16x7", "f32_16x4"].map(Case::new);
        names.sort();
        assert_eq!(
            names.map(|c| c.name),
            ["f32_16x4", "f32_16x7", "f32_128x2", "f64_4"].map(String::from)
        );
    }

    #[test]
    fn criterions_files_are_understood() {
        let bench = serde_json::json!({
            "group_id": "moments", "function_id": "gemm", "value_str": "f32_7x3x5",
            "throughput": { "Elements": 105 },
        });
        let estimates = serde_json::json!({ "median": { "point_estimate": 12.5 } });
        let mut results = Results::new();
        assert_eq!(add(&mut results, &bench, &estimates), Some(()));
        let meeting = &results["moments"][&Case::new("f32_7x3x5")];
        assert_eq!(meeting.best_peer(), Some(("gemm", 12.5)));
        assert_eq!(meeting.work, Some(Work::Elements(105.0)));
        assert_eq!(add(&mut results, &estimates, &bench), None);
    }
}
