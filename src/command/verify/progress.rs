//! A bar on a terminal; nothing if stderr is not one.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const REDRAW: Duration = Duration::from_millis(100);
const BAR_CELLS: usize = 30;

pub(super) struct Progress {
    is_shown: bool,
    what: String,
    done: u64,
    total: u64,
    drawn: Instant,
}

impl Progress {
    pub(super) fn new() -> Progress {
        let is_shown = std::io::stderr().is_terminal();
        Progress { is_shown, what: String::new(), done: 0, total: 1, drawn: Instant::now() }
    }

    /// A new stretch of work of `total` units.
    pub(super) fn begin(&mut self, what: &str, total: u64) {
        (self.what, self.done, self.total) = (what.to_string(), 0, total.max(1));
        self.draw();
    }

    pub(super) fn advance(&mut self, units: u64) {
        self.done += units;
        if self.is_shown && self.drawn.elapsed() >= REDRAW {
            self.draw();
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&mut self) {
        if self.is_shown {
            // A terminal that is gone is no fault of ours.
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }

    fn draw(&mut self) {
        if !self.is_shown {
            return;
        }
        self.drawn = Instant::now();
        let _ = write!(std::io::stderr(), "\r{}\x1b[K", self.line());
    }

    fn line(&self) -> String {
        let done = self.done.min(self.total);
        let cells = (done as u128 * BAR_CELLS as u128 / u128::from(self.total)) as usize;
        let percent = done as u128 * 100 / u128::from(self.total);
        let bar = "=".repeat(cells);
        format!("[{bar:<BAR_CELLS$}] {percent:>3} %  {}", self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills() {
        let mut progress = Progress::new();
        progress.begin("reading", 200);
        progress.advance(100);
        assert_eq!(progress.line(), "[===============               ]  50 %  reading");
        progress.advance(900);
        assert!(progress.line().starts_with("[==============================] 100 %"));
    }
}
