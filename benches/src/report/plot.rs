//! The results as bars: how much of its limit pergrad reaches on the widest instruction set that was
//! measured, and how much of the same limit the best peer does.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Results;

const WIDTH: i32 = 900;
const ROW: i32 = 30;
const HEAD: i32 = 40;
/// Where the bars start, and how long 100 % is.
const LEFT: i32 = 230;
const WHOLE: i32 = 500;

const OURS: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const PEER: RGBColor = RGBColor(0xbb, 0xbb, 0xbb);

/// One pair of bars.
struct Pair {
    case: String,
    ours: (String, f64),
    peer: Option<(String, f64)>,
}

/// Writes an SVG. Groups without limits are left out.
///
/// # Errors
/// If the file cannot be written.
pub fn svg(results: &Results, path: &Path) -> Result<(), Box<dyn Error>> {
    let groups: Vec<(&str, Vec<Pair>)> = results
        .iter()
        .map(|(group, cases)| (group.as_str(), pairs(cases)))
        .filter(|(_, pairs)| !pairs.is_empty())
        .collect();
    let height: i32 = groups.iter().map(|(_, pairs)| HEAD + ROW * pairs.len() as i32).sum();
    let root = SVGBackend::new(path, (WIDTH as u32, (height + HEAD) as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    let font = |size: i32| ("sans-serif", size).into_font().color(&BLACK);
    let title = font(15).pos(Pos::new(HPos::Left, VPos::Center));
    let right = font(12).pos(Pos::new(HPos::Right, VPos::Center));
    let left = font(11).pos(Pos::new(HPos::Left, VPos::Center));
    let mut top = 0;
    for (group, pairs) in &groups {
        root.draw(&Text::new(
            format!("{group}: share of the limit, pergrad above its best peer"),
            (10, top + 24),
            title.clone(),
        ))?;
        top += HEAD;
        let bottom = top + ROW * pairs.len() as i32;
        for percent in [0, 25, 50, 75, 100] {
            let x = LEFT + WHOLE * percent / 100;
            let line = PathElement::new(vec![(x, top), (x, bottom)], BLACK.mix(0.25));
            root.draw(&line)?;
        }
        for pair in pairs {
            root.draw(&Text::new(pair.case.clone(), (LEFT - 8, top + ROW / 2), right.clone()))?;
            let bars = [(Some(&pair.ours), OURS, 3), (pair.peer.as_ref(), PEER, 15)];
            for (bar, color, offset) in bars {
                let Some((name, share)) = bar else { continue };
                let y = top + offset;
                // What is off the chart is cut there; the number says how far it went.
                let end = LEFT + (share.min(1.1) * f64::from(WHOLE)) as i32;
                root.draw(&Rectangle::new([(LEFT, y), (end, y + 11)], color.filled()))?;
                let label = format!("{name} {:.0} %", share * 100.0);
                root.draw(&Text::new(label, (end + 4, y + 6), left.clone()))?;
            }
            top += ROW;
        }
    }
    root.present()?;
    Ok(())
}

/// The bars of a group.
fn pairs(cases: &std::collections::BTreeMap<super::Case, super::Meeting>) -> Vec<Pair> {
    let pair = |(case, meeting): (&super::Case, &super::Meeting)| {
        let (isa, median) = meeting.ours().pop()?;
        let (_, limit) = meeting.limit(isa)?;
        Some(Pair {
            case: case.name.replace('_', " "),
            ours: (isa.to_owned(), limit / median),
            peer: meeting.best_peer().map(|(name, t)| (name.to_owned(), limit / t)),
        })
    };
    cases.iter().filter_map(pair).collect()
}
