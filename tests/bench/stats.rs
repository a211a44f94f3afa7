//! Medians and percentiles, and how numbers are written.

/// Of a number of runs, at least one.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50.0)
}

/// The value that so many per cent are not above; the mean of the two middle ones for a median
/// between two values.
pub fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = percent / 100.0 * sorted.len() as f64;
    let above = (place.ceil() as usize).clamp(1, sorted.len()) - 1;
    let is_between = percent == 50.0 && sorted.len().is_multiple_of(2);
    if is_between { (sorted[above] + sorted[above + 1]) / 2.0 } else { sorted[above] }
}

/// `1234567.8` as `1,234,568`.
pub fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Three digits that count, whatever the size.
pub fn short(value: f64) -> String {
    match value {
        v if v >= 100.0 => thousands(v),
        v if v >= 10.0 => format!("{v:.1}"),
        v if v >= 1.0 => format!("{v:.2}"),
        v => format!("{v:.3}"),
    }
}
