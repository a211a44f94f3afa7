//! What the length of a line costs.

use crate::bare::Load;
use crate::chart::Curve;
use crate::contenders::{Contender, Job};
use crate::data::Lines;
use crate::rate::{Rate, measure};
use crate::report::Section;
use crate::stats::{short, thousands};
use crate::{NEW, OLD, sections::Bench};

/// Bytes of a line.
const LINE_SIZES: [usize; 5] = [108, 216, 512, 1_024, 4_096];

impl Bench {
    /// Lines of different lengths, as many of each as make up the same number of bytes.
    pub fn sizes(&mut self) {
        let others = self.contenders.iter().filter(|c| !matches!(c, Contender::Flume(_)));
        // How many bytes of how many lines it sends is told for each length.
        let bare = |bytes, lines| Contender::Bare(Load { bytes, lines, ..Load::LARGE });
        let mut contenders: Vec<Contender> = others.cloned().collect();
        contenders.insert(1, bare(0, 0));
        let bytes = self.settings.size_mb * 1_000_000;
        for version in [NEW, OLD] {
            let cluster = self.cluster(version);
            let mut rows = Vec::new();
            let mut curves: Vec<Curve> =
                contenders.iter().map(|c| Curve::new(c.name(), *c == Contender::Ours)).collect();
            for size in LINE_SIZES {
                let path = self.data.path().join(format!("of-{size}"));
                let lines = bytes / (size as u64 + 1);
                Lines::of_bytes(size).write(&path, lines);
                contenders[1] = bare(size, lines);
                // A line is not to be cut where others take it whole.
                let properties = "\na1.sources.r1.deserializer.maxLineLength = 8192\n";
                let mut rates = vec![Vec::new(); contenders.len()];
                for run in 0..self.runs() {
                    for (contender, rates) in contenders.iter().zip(&mut rates) {
                        let mut job = Job::new().link(&path);
                        job.properties = properties.to_string();
                        let rate = measure(contender, &job, &cluster, lines);
                        let name = contender.name();
                        eprintln!("bench: {name}, {size} bytes, run {}: {rate}", run + 1);
                        rates.push(rate);
                    }
                }
                std::fs::remove_file(&path).expect("a file of ours");
                let rates: Vec<Rate> = rates.iter().map(|runs| Rate::medians(runs)).collect();
                let kcat = contenders.iter().position(|c| *c == Contender::Kcat);
                for ((contender, rate), curve) in contenders.iter().zip(&rates).zip(&mut curves) {
                    let mb_per_s = rate.lines_per_s * (size + 1) as f64 / 1e6;
                    curve.points.push((size as f64, mb_per_s));
                    let ratio = kcat.map(|at| rate.lines_per_s / rates[at].lines_per_s);
                    rows.push(vec![
                        format!("{} bytes, {}", thousands(size as f64), contender.name()),
                        thousands(rate.lines_per_s),
                        short(mb_per_s),
                        ratio.map_or("–".to_string(), short),
                        short(rate.cpu_us_per_line * 1e3 / (size + 1) as f64),
                        short(rate.cpu_us_per_line * rate.lines_per_s / 1e4),
                        short(rate.peak_mb),
                    ]);
                }
            }
            self.curves.push((format!("Kafka {version}"), curves));
            self.sections.push(Section {
                title: format!("Lines of different lengths into Kafka {version}"),
                text: format!(
                    "![MB a second by the length of lines](sizes.svg)\n\n{} MB of each length, in \
                     one file, otherwise as above. Medians of {}. Busy is the CPU time by the time \
                     of the run: a program that is busy for less than 100 % of it waits for \
                     the broker and its disk. \"{}\" sends batches that were encoded once, again and \
                     again: about the most that the broker takes here.",
                    self.settings.size_mb,
                    self.settings.runs,
                    contenders[1].name()
                ),
                columns: vec!["", "lines/s", "MB/s", "x kcat", "CPU s/GB", "busy %", "peak MB"],
                rows,
                missing: self.missing.clone(),
            });
        }
    }
}
