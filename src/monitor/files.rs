//! What the metrics tell of files: those that are open as they are now, and those that wait.
//!
//! The pipeline looks at sizes and opens files only while it can send. Metrics that went by that
//! would show nothing behind for as long as the brokers are away, which is when it matters most.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::exposition::FileView;
use crate::pipeline::Pipeline;
use crate::source::scan::Candidate;
use crate::source::tracked::Tracked;

/// Waiting files are looked at so often, ms: there may be thousands, and anybody may ask.
const LOOK_INTERVAL_MS: u64 = 1_000;

/// See the module.
#[derive(Default)]
pub struct FileLooks {
    looked_ms: Option<u64>,
    waiting: Vec<FileView>,
}

impl FileLooks {
    /// All files of the source.
    pub fn views(&mut self, pipeline: &Pipeline, now_ms: u64) -> Vec<FileView> {
        let mut views: Vec<FileView> = pipeline.files.tracked.iter().map(open).collect();
        if self.looked_ms.is_none_or(|ms| now_ms >= ms + LOOK_INTERVAL_MS) {
            self.looked_ms = Some(now_ms);
            self.waiting = look(pipeline);
        }
        // One that has been opened since the look must not be there twice.
        let open: HashSet<String> = views.iter().map(|view| view.name.clone()).collect();
        views.extend(self.waiting.iter().filter(|view| !open.contains(&view.name)).cloned());
        views
    }
}

/// Candidates without a descriptor. What is gone meanwhile is left out.
fn look(pipeline: &Pipeline) -> Vec<FileView> {
    let files = &pipeline.files;
    let open: HashSet<(u64, u64)> = files
        .tracked
        .iter()
        .filter(|t| !t.is_superseded)
        .map(|t| (t.record.device, t.record.inode))
        .collect();
    let parked: HashMap<(u64, u64), _> =
        files.records().map(|record| ((record.device, record.inode), record)).collect();
    let is_waiting = |c: &&Candidate| !open.contains(&(c.device, c.inode));
    let view = |candidate: &Candidate| {
        let stat = fs::metadata(files.path(&candidate.name)).ok()?;
        Some(match parked.get(&(stat.dev(), stat.ino())) {
            Some(record) => FileView::of_record(record, stat.len()),
            None => FileView {
                name: candidate.name.to_string_lossy().into_owned(),
                state: "waiting",
                size: stat.len(),
                ..FileView::default()
            },
        })
    };
    files.candidates().iter().filter(is_waiting).filter_map(view).collect()
}

fn open(tracked: &Tracked) -> FileView {
    // Thrown away, it has the size at which it was.
    let now = tracked.file.metadata().ok().filter(|_| !tracked.is_superseded);
    let size = now.map_or(tracked.size, |stat| stat.len());
    FileView::of_record(&tracked.record, size)
}
