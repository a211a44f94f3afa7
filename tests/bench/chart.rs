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

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
