//! Rates as lines.

use crate::monitor::rates::Rate;
use crate::text::{grouped, size, span};

/// Width and height, whatever they become on the screen.
const SIZE: (f64, f64) = (600.0, 60.0);

/// Lines and bytes a second, each by its own scale. Nothing for less than two points.
pub(super) fn chart(curve: &[Rate], covers_ms: u64) -> String {
    if curve.len() < 2 {
        return String::new();
    }
    let lines: Vec<f64> = curve.iter().map(|rate| rate.lines_per_s).collect();
    let bytes: Vec<f64> = curve.iter().map(|rate| rate.bytes_per_s).collect();
    let most = |of: &[f64]| of.iter().copied().fold(0.0, f64::max) as u64;
    let (most_lines, most_bytes) = (grouped(most(&lines)), size(most(&bytes)));
    let (width, height) = SIZE;
    format!(
        "<svg viewBox=\"0 0 {width} {height}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"lines and bytes per second of the last {span}\">\
         <polyline class=\"bytes\" points=\"{}\"/><polyline points=\"{}\"/></svg>\
         <p class=\"dim\">the last {span}: at most <span class=\"lines\">{most_lines} lines/s</span>, \
         <span class=\"bytes\">{most_bytes}/s</span></p>",
        points(&bytes),
        points(&lines),
        span = span(covers_ms)
    )
}

fn points(values: &[f64]) -> String {
    let most = values.iter().copied().fold(1.0, f64::max);
    let (width, height) = SIZE;
    let step = width / (values.len() - 1) as f64;
    let point = |(at, y): (usize, &f64)| {
        format!("{:.1},{:.1}", at as f64 * step, (height - 2.0) * (1.0 - y / most) + 1.0)
    };
    values.iter().enumerate().map(point).collect::<Vec<String>>().join(" ")
}
