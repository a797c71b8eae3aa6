//! The plot: loss over examples seen, one panel a method, one curve a batch size.

use std::path::Path;

use plotters::coord::combinators::IntoLogRange;
use plotters::prelude::*;

use crate::train::{BATCH_SIZES, Method, Outcome};
use crate::{Result, Row};

/// Okabe and Ito's colours, told apart by everyone.
const COLOURS: [RGBColor; 4] =
    [RGBColor(86, 180, 233), RGBColor(230, 159, 0), RGBColor(0, 158, 115), RGBColor(0, 0, 0)];
/// The first curve is the widest, so that it shows from under those that lie on it.
const WIDTHS: [u32; 4] = [7, 5, 3, 1];
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(225, 225, 225);
const PANEL: (u32, u32) = (420, 400);

/// Draws it to `path`. An epoch is `epoch` examples.
pub fn draw(path: &Path, rows: &[Row], epoch: usize) -> Result<()> {
    let all = || rows.iter().flat_map(|row| &row.runs).flat_map(|run| &run.losses).copied();
    let losses = all().filter(|loss| loss.is_finite() && *loss > 0.0);
    let low = losses.clone().fold(f64::INFINITY, f64::min) / 1.5;
    let high = losses.fold(0.0, f64::max) * 1.5;

    let size = (PANEL.0 * rows.len() as u32, PANEL.1);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    for (panel, row) in root.split_evenly((1, rows.len())).iter().zip(rows) {
        draw_panel(panel, row, epoch, low..high)?;
    }
    root.present()?;
    Ok(())
}

fn draw_panel(
    panel: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    row: &Row,
    epoch: usize,
    losses: std::ops::Range<f64>,
) -> Result<()> {
    let epochs = row.runs.iter().map(|run| run.losses.len()).max().unwrap_or(1) - 1;
    let caption = ("sans-serif", 17).into_font().color(&INK);
    let mut chart = ChartBuilder::on(panel)
        .margin(12)
        .caption(
            format!("{}: a factor of {:.2} apart", short_name(row.method), row.spread),
            caption,
        )
        .x_label_area_size(42)
        .y_label_area_size(56)
        .build_cartesian_2d(0..(epochs.max(1) * epoch), losses.log_scale())?;
    let text = ("sans-serif", 13).into_font().color(&INK);
    chart
        .configure_mesh()
        .x_desc("examples seen")
        .y_desc("training loss")
        .x_labels(5)
        .x_label_formatter(&|x| thousands(*x))
        .y_label_formatter(&|y| format!("{y}"))
        .label_style(text.clone())
        .axis_desc_style(text.clone())
        .axis_style(INK)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (k, run) in row.runs.iter().enumerate() {
        let (batch, line) = (BATCH_SIZES[k], COLOURS[k].stroke_width(WIDTHS[k]));
        chart
            .draw_series(LineSeries::new(points(run, epoch), line))?
            .label(format!("batch {batch}"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], line));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .label_font(text)
        .background_style(WHITE.mix(0.85))
        .border_style(GRID)
        .draw()?;
    Ok(())
}

/// Examples seen and loss; a log scale has no place for what is not positive.
fn points(run: &Outcome, epoch: usize) -> impl Iterator<Item = (usize, f64)> {
    let points = run.losses.iter().enumerate().map(move |(k, &loss)| (k * epoch, loss));
    points.filter(|(_, loss)| loss.is_finite() && *loss > 0.0)
}

/// With a space between thousands.
fn thousands(x: usize) -> String {
    if x < 1000 { x.to_string() } else { format!("{} {:03}", x / 1000, x % 1000) }
}

fn short_name(method: Method) -> &'static str {
    match method {
        Method::AdamOnSquaredAverage => "Adam, squared average",
        other => other.name(),
    }
}
