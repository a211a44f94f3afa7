//! What is written into a page, and what may stand in it.

use std::fmt::{Display, Write as _};

use crate::log::is_disguise;

/// For HTML, between tags and in quoted attributes. Everything that comes from a name, a broker or a log
/// line passes here.
pub(super) fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // None that would make one text look like another.
            c if is_disguise(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A value that the script keeps as `/status.json` has it at `path`, in the format of that name in
/// page.js. `shown` is what it is now, safe for HTML.
pub(super) fn live(path: &str, format: &str, shown: impl Display) -> String {
    format!("<span data-j=\"{path}\" data-f=\"{format}\">{shown}</span>")
}

/// A table that scrolls for itself where it is too wide. Cells are HTML.
pub(super) struct Table {
    html: String,
    wide: &'static [usize],
}

impl Table {
    /// Columns whose numbers are in `wide` hold sentences.
    pub(super) fn new(heads: &[&str], wide: &'static [usize]) -> Table {
        let mut table = Table { html: String::from("<div class=\"scroll\"><table><tr>"), wide };
        heads.iter().enumerate().for_each(|(at, head)| table.cell("th", at, head));
        table.html.push_str("</tr>");
        table
    }

    fn cell(&mut self, tag: &str, at: usize, html: &str) {
        let class = if self.wide.contains(&at) { " class=\"wide\"" } else { "" };
        // Writing to a String does not fail.
        let _ = write!(self.html, "<{tag}{class}>{html}</{tag}>");
    }

    pub(super) fn row(&mut self, cells: &[String]) {
        self.html.push_str("<tr>");
        cells.iter().enumerate().for_each(|(at, cell)| self.cell("td", at, cell));
        self.html.push_str("</tr>");
    }

    pub(super) fn end(self) -> String {
        self.html + "</table></div>"
    }
}
