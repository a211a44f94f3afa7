//! A bar chart as SVG, drawn by hand: groups of bars, one beneath the other.

use std::fmt::Write;

pub struct Group {
    pub title: String,
    pub bars: Vec<Bar>,
}

pub struct Bar {
    pub name: String,
    pub value: f64,
    /// What stands behind the bar.
    pub label: String,
    pub is_ours: bool,
}

const WIDTH: f64 = 860.0;
const BARS_AT: f64 = 270.0;
const BAR_MAX: f64 = 330.0;
const BAR_HEIGHT: f64 = 20.0;
const ROW: f64 = 27.0;
const TITLE: f64 = 34.0;
const MARGIN: f64 = 14.0;

/// All groups share one scale.
pub fn draw(title: &str, groups: &[Group]) -> String {
    let bars = groups.iter().flat_map(|g| &g.bars);
    let most = bars.map(|b| b.value).fold(f64::MIN_POSITIVE, f64::max);
    let rows: usize = groups.iter().map(|g| g.bars.len()).sum();
    let height = MARGIN * 2.0 + TITLE * (groups.len() + 1) as f64 + ROW * rows as f64;
    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        writeln!(out, "{text}").expect("a String takes all");
    };
    line(format_args!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" font-family="sans-serif" font-size="14">"#
    ));
    line(format_args!("<title>{}</title>", escape(title)));
    // A background of its own, since a page may be dark.
    line(format_args!(r##"<rect width="100%" height="100%" rx="6" fill="#ffffff"/>"##));
    let mut y = MARGIN;
    let heading = |y: f64, size: u32, text: &str| {
        format!(
            r##"<text x="{MARGIN}" y="{:.1}" font-size="{size}" font-weight="bold" fill="#1f2328">{}</text>"##,
            y + 20.0,
            escape(text)
        )
    };
    line(format_args!("{}", heading(y, 17, title)));
    y += TITLE;
    for group in groups {
        line(format_args!("{}", heading(y, 14, &group.title)));
        y += TITLE;
        for bar in &group.bars {
            let length = (bar.value / most * BAR_MAX).max(1.0);
            let colour = if bar.is_ours { "#1a7f5a" } else { "#9aa4b0" };
            let base = y + BAR_HEIGHT - 5.0;
            line(format_args!(
                r##"<text x="{:.1}" y="{base:.1}" text-anchor="end" fill="#1f2328">{}</text>"##,
                BARS_AT - 8.0,
                escape(&bar.name)
            ));
            line(format_args!(
                r#"<rect x="{BARS_AT}" y="{y:.1}" width="{length:.1}" height="{BAR_HEIGHT}" rx="2" fill="{colour}"/>"#
            ));
            line(format_args!(
                r##"<text x="{:.1}" y="{base:.1}" fill="#57606a">{}</text>"##,
                BARS_AT + length + 8.0,
                escape(&bar.label)
            ));
            y += ROW;
        }
    }
    line(format_args!("</svg>"));
    out
}

/// What one contender reaches, by what is varied.
pub struct Curve {
    pub name: String,
    pub is_ours: bool,
    pub points: Vec<(f64, f64)>,
}

impl Curve {
    pub fn new(name: &str, is_ours: bool) -> Curve {
        Curve { name: name.to_string(), is_ours, points: Vec::new() }
    }
}

const PLOT_WIDTH: f64 = 400.0;
const PLOT_HEIGHT: f64 = 220.0;
const PLOT_LEFT: f64 = 50.0;

/// A plot for each group, side by side on one scale: the first number of a point to the right, by its
/// logarithm, the second upwards from nothing.
pub fn draw_curves(title: &str, groups: &[(String, Vec<Curve>)]) -> String {
    let points = || groups.iter().flat_map(|(_, curves)| curves).flat_map(|c| &c.points);
    let most = points().map(|p| p.1).fold(f64::MIN_POSITIVE, f64::max);
    let least_x = points().map(|p| p.0).fold(f64::MAX, f64::min);
    let most_x = points().map(|p| p.0).fold(least_x * 1.01, f64::max);
    let right = |x: f64| (x / least_x).ln() / (most_x / least_x).ln() * (PLOT_WIDTH - 110.0);
    let legend = groups.iter().map(|(_, curves)| curves.len()).max().unwrap_or(0);
    let width = PLOT_WIDTH * groups.len().max(1) as f64 + 2.0 * MARGIN;
    let height = 2.0 * MARGIN + 2.0 * TITLE + PLOT_HEIGHT + 30.0 + ROW * legend as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<title>{0}</title>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"#ffffff\"/>\n",
        escape(title)
    );
    let mut text = |x: f64, y: f64, anchor: &str, size: u32, what: &str| {
        let what = escape(what);
        out += &format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" \
             fill=\"#1f2328\">{what}</text>\n"
        );
    };
    text(MARGIN, MARGIN + 20.0, "start", 17, title);
    let mut shapes = String::new();
    for (at, (name, curves)) in groups.iter().enumerate() {
        let left = MARGIN + PLOT_LEFT + PLOT_WIDTH * at as f64;
        let base = MARGIN + 2.0 * TITLE + PLOT_HEIGHT;
        text(left, MARGIN + TITLE + 20.0, "start", 14, name);
        for part in 0..=4 {
            let y = base - PLOT_HEIGHT * f64::from(part) / 4.0;
            text(left - 6.0, y + 4.0, "end", 12, &format!("{:.0}", most * f64::from(part) / 4.0));
            let end = left + PLOT_WIDTH - 110.0;
            shapes += &format!(
                "<path d=\"M{left:.1} {y:.1}H{end:.1}\" stroke=\"#d0d7de\" stroke-width=\"1\"/>\n"
            );
        }
        for x in curves.first().map(|c| c.points.as_slice()).unwrap_or_default() {
            text(left + right(x.0), base + 18.0, "middle", 12, &format!("{:.0}", x.0));
        }
        for (row, curve) in curves.iter().enumerate() {
            let colour = match (curve.is_ours, row) {
                (true, _) => "#1a7f5a",
                (false, 1) => "#57606a",
                (false, _) => "#b08800",
            };
            let place = |p: &(f64, f64)| (left + right(p.0), base - p.1 / most * PLOT_HEIGHT);
            let way: Vec<String> =
                curve.points.iter().map(place).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            shapes += &format!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n",
                way.join(" ")
            );
            let y = base + 44.0 + ROW * row as f64;
            text(left + 30.0, y, "start", 13, &curve.name);
            shapes += &format!(
                "<path d=\"M{left:.1} {:.1}h22\" stroke=\"{colour}\" stroke-width=\"3\"/>\n",
                y - 4.0
            );
        }
    }
    out + &shapes + "</svg>\n"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
