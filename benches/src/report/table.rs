//! The results as Markdown tables, one a group.

use std::fmt::Write;

use super::{Meeting, Results, Work};

/// All groups. Ratios above 1 (100 %) mean that pergrad is faster than the peer (the limit).
pub fn markdown(results: &Results) -> String {
    let mut out = String::new();
    for (group, cases) in results {
        let compared = cases.values().any(|m| m.best_peer().is_some() || has_limit(m));
        let rows = if compared { compared_rows } else { plain_rows };
        let _ = writeln!(out, "### {group}\n");
        out.push_str(if compared {
            "| case | ISA | median | rate | best peer | times the peer | limit | of the limit | \
             other ways |\n| --- | --- | ---: | ---: | --- | ---: | --- | ---: | --- |\n"
        } else {
            "| case | ISA | median | rate |\n| --- | --- | ---: | ---: |\n"
        });
        for (case, meeting) in cases {
            rows(&mut out, &case.name, meeting);
        }
        out.push('\n');
    }
    out
}

fn has_limit(meeting: &Meeting) -> bool {
    meeting.ours().iter().any(|(isa, _)| meeting.limit(isa).is_some())
}

/// One row for each of pergrad's instruction sets.
fn compared_rows(out: &mut String, case: &str, meeting: &Meeting) {
    let peer = meeting.best_peer();
    for (isa, median) in meeting.ours() {
        let limit = meeting.limit(isa);
        let other = meeting.own(isa).into_iter().map(|(name, t)| {
            format!("{} {:+.1} %", name.replace('_', " "), (t / median - 1.0) * 100.0)
        });
        let _ = writeln!(
            out,
            "| {case} | {isa} | {} | {} | {} | {} | {} | {} | {} |",
            time(median),
            rate(meeting.work, median),
            peer.map_or(String::new(), |(name, t)| format!("{name} {}", time(t))),
            peer.map_or(String::new(), |(_, t)| format!("{:.2}", t / median)),
            limit.map_or(String::new(), |(name, t)| format!("{name} {}", time(t))),
            limit.map_or(String::new(), |(_, t)| format!("{:.1} %", t / median * 100.0)),
            other.collect::<Vec<_>>().join(", "),
        );
    }
}

/// Groups without a contest: the limits by themselves.
fn plain_rows(out: &mut String, case: &str, meeting: &Meeting) {
    for (isa, median) in meeting.ours() {
        let rate = rate(meeting.work, median);
        let _ = writeln!(out, "| {case} | {isa} | {} | {rate} |", time(median));
    }
}

/// Nanoseconds with three digits and a unit.
pub fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "us"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    format!("{} {unit}", three_digits(value))
}

fn rate(work: Option<Work>, ns: f64) -> String {
    match work {
        Some(Work::Elements(n)) => format!("{} G/s", three_digits(n / ns)),
        Some(Work::Bytes(n)) => format!("{} GB/s", three_digits(n / ns)),
        None => String::new(),
    }
}

fn three_digits(value: f64) -> String {
    let decimals = match value {
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::super::{Case, Contestant};
    use super::*;

    #[test]
    fn a_row_shows_both_ratios() {
        let mut meeting = Meeting { work: Some(Work::Elements(400.0)), ..Meeting::default() };
        for (name, ns) in [
            ("portable", 200.0),
            ("limit_fma_portable", 150.0),
            ("gemm", 250.0),
            ("own_unfused_portable", 210.0),
        ] {
            meeting.medians.insert(Contestant::from_name(name), ns);
        }
        let mut results = Results::new();
        results.entry("moments".into()).or_default().insert(Case::new("f32_7x3x5"), meeting);
        let row = "| f32_7x3x5 | portable | 200 ns | 2.00 G/s | gemm 250 ns | 1.25 | fma 150 ns | \
                   75.0 % | unfused +5.0 % |";
        assert!(markdown(&results).lines().any(|line| line == row), "{}", markdown(&results));
    }

    #[test]
    fn times_have_three_digits() {
        assert_eq!([1.234, 12_340.0, 123.4e6].map(time), ["1.23 ns", "12.3 us", "123 ms"]);
    }
}
