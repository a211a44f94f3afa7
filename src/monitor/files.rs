//! What the metrics tell of files: those that are open as they are now, and those that wait.
//!
//! The pipeline looks at sizes and opens files only while it can send. Metrics that went by that
//! would show nothing behind for as long as the brokers are away, which is when it matters most.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::config::model::SourceConfig;
use crate::exposition::FileView;
use crate::pipeline::Pipeline;
use crate::source::scan::Scanner;
use crate::source::tracked::Tracked;

/// Waiting files are looked at so often, ms: there may be thousands, and anybody may ask.
const LOOK_INTERVAL_MS: u64 = 1_000;

/// See the module.
pub struct FileLooks {
    scanner: Scanner,
    looked_ms: Option<u64>,
    waiting: Vec<FileView>,
}

impl FileLooks {
    pub fn new(config: &SourceConfig) -> FileLooks {
        FileLooks { scanner: Scanner::new(config), looked_ms: None, waiting: Vec::new() }
    }

    /// All files of the source.
    pub fn views(&mut self, pipeline: &Pipeline, now_ms: u64) -> Vec<FileView> {
        let mut views: Vec<FileView> = pipeline.files.tracked.iter().map(open).collect();
        if self.looked_ms.is_none_or(|ms| now_ms >= ms + LOOK_INTERVAL_MS) {
            self.looked_ms = Some(now_ms);
            self.waiting = self.look(pipeline);
        }
        // One that has been opened since the look must not be there twice.
        let open = views.len();
        for view in &self.waiting {
            if !views[..open].iter().any(|v| v.name == view.name) {
                views.push(view.clone());
            }
        }
        views
    }

    /// Candidates without a descriptor. What can not be listed or is gone meanwhile is left out.
    fn look(&mut self, pipeline: &Pipeline) -> Vec<FileView> {
        if self.scanner.is_stale().unwrap_or(true) {
            // A name that can not be judged is told by the source.
            let _ = self.scanner.refresh();
        }
        let tracked = &pipeline.files.tracked;
        let candidates = self.scanner.candidates().iter();
        candidates
            .filter(|c| !tracked.iter().any(|t| t.is_inode(c.device, c.inode)))
            .filter_map(|candidate| {
                let path = pipeline.config.spool_dir.join(&candidate.name);
                let stat = fs::metadata(path).ok()?;
                let inode = (stat.dev(), stat.ino());
                let parked = pipeline.files.records().find(|r| (r.device, r.inode) == inode);
                Some(match parked {
                    Some(record) => FileView::of_record(record, stat.len()),
                    None => FileView {
                        name: candidate.name.to_string_lossy().into_owned(),
                        state: "waiting",
                        size: stat.len(),
                        ..FileView::default()
                    },
                })
            })
            .collect()
    }
}

fn open(tracked: &Tracked) -> FileView {
    // Thrown away, it has the size at which it was.
    let now = tracked.file.metadata().ok().filter(|_| !tracked.is_superseded);
    let size = now.map_or(tracked.size, |stat| stat.len());
    FileView::of_record(&tracked.record, size)
}
