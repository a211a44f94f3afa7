//! What the metrics tell of files: those that are open as they are now, and those that wait.
//!
//! The pipeline looks at sizes and opens files only while it can send. Metrics that went by that
//! would show nothing behind for as long as the brokers are away, which is when it matters most.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::ages::{Age, Ages};
use super::exposition::FileView;
use super::finished::Finished;
use crate::checkpoint::dead_letter::{self, Letter, State};
use crate::checkpoint::ledger::DEAD_LETTER_FILE;
use crate::checkpoint::receipt::Receipt;
use crate::pipeline::Pipeline;
use crate::source::hints::modified_ms;
use crate::source::scan::Candidate;
use crate::source::tracked::Tracked;

/// How often waiting files are looked at, ms: there may be thousands, and requests are not limited.
const LOOK_INTERVAL_MS: u64 = 1_000;

/// How often all letters are looked at, at most, while letters come and go, ms.
const LETTERS_AGAIN_MS: u64 = 60_000;

/// Dead letters that are shown, the last ones.
const LETTERS_SHOWN: usize = 10;

/// The files as they were looked at last.
#[derive(Default)]
pub(crate) struct FileLooks {
    looked_ms: Option<u64>,
    /// With device and inode.
    waiting: Vec<((u64, u64), FileView)>,
    /// How many dead letters are not settled, and where the last one ends: the next look begins there.
    letters: (u64, u64),
    last_letters: VecDeque<Letter>,
    /// Device, inode and last modification of the file, as of when all of it was read, and when that was.
    letters_read: Option<((u64, u64, i64, i64), u64)>,
    ages: Ages,
    finished: Finished,
}

impl FileLooks {
    /// All files of the source. `now_ms`: monotonic and Unix time.
    pub(crate) fn views(&mut self, pipeline: &Pipeline, now_ms: (u64, i64)) -> Vec<FileView> {
        self.ages.begin();
        let mut views = Vec::new();
        for tracked in pipeline.files().tracked() {
            let mut view = open(tracked);
            let record = &tracked.record;
            self.ages.note((record.device, record.inode), &mut view, now_ms);
            views.push(view);
        }
        let (now_ms, wall_ms) = now_ms;
        if self.looked_ms.is_none_or(|ms| now_ms >= ms + LOOK_INTERVAL_MS) {
            self.looked_ms = Some(now_ms);
            self.waiting = look(pipeline);
        }
        // One that has been opened since the look must not be there twice. Not by its name: another
        // one may have come under it.
        let open = open_files(pipeline);
        let waiting = self.waiting.iter().filter(|(identity, _)| !open.contains(identity));
        for (_, view) in waiting {
            let age_ms = view.modified_ms.map(|ms| wall_ms.saturating_sub(ms).max(0) as u64);
            let oldest = age_ms.filter(|_| view.behind() > 0).map(Age::AtLeast);
            views.push(FileView { oldest, ..view.clone() });
        }
        views
    }

    /// All in the dead-letter file that are not settled. `None` if it cannot be read.
    pub(crate) fn dead_letters(&mut self, pipeline: &Pipeline, now_ms: u64) -> Option<u64> {
        let path = pipeline.config.tracker_dir.join(DEAD_LETTER_FILE);
        let stat = fs::metadata(&path).ok();
        let length = stat.as_ref().map_or(0, fs::Metadata::len);
        if length < self.letters.1 || self.is_to_be_read_again(stat.as_ref(), now_ms) {
            // Moved away, or marked, by whoever has dealt with them.
            self.letters = (0, 0);
            self.last_letters.clear();
        }
        if length > self.letters.1 {
            let mut more = 0;
            let (last, root) = (&mut self.last_letters, &pipeline.config.spool_dir);
            let mut take = |letter: Letter| {
                if letter.state != State::Unsettled {
                    return;
                }
                more += 1;
                if last.len() == LETTERS_SHOWN {
                    last.pop_front();
                }
                last.push_back(Letter { file: letter.file_from(root), ..letter });
            };
            let end = dead_letter::each_from(&path, self.letters.1, &mut take).ok()?.end;
            self.letters = (self.letters.0 + more, end);
        }
        Some(self.letters.0)
    }

    /// A letter that is settled changes the time of the file alone. An append changes it as well: all
    /// is read again once a minute at most.
    fn is_to_be_read_again(&mut self, stat: Option<&fs::Metadata>, now_ms: u64) -> bool {
        let Some(stat) = stat else { return false };
        let stamp = (stat.dev(), stat.ino(), stat.mtime(), stat.mtime_nsec());
        let is_longer = stat.len() > self.letters.1;
        let is_due = self.letters_read.is_none_or(|(known, at_ms)| {
            known != stamp && (!is_longer || now_ms >= at_ms + LETTERS_AGAIN_MS)
        });
        if is_due {
            self.letters_read = Some((stamp, now_ms));
        }
        is_due
    }

    /// The last of them, as [`FileLooks::dead_letters`] has found them.
    pub(crate) fn last_letters(&self) -> Vec<Letter> {
        self.last_letters.iter().cloned().collect()
    }

    /// The files that were finished last, oldest first.
    pub(crate) fn finished(&mut self, pipeline: &Pipeline) -> Vec<Receipt> {
        self.finished.look(&pipeline.config)
    }
}

/// Candidates without a descriptor. What is gone meanwhile is left out.
fn look(pipeline: &Pipeline) -> Vec<((u64, u64), FileView)> {
    let files = pipeline.files();
    let open = open_files(pipeline);
    let parked: HashMap<(u64, u64), _> =
        files.records().map(|record| ((record.device, record.inode), record)).collect();
    let is_waiting =
        |c: &&Candidate| !open.contains(&(c.device, c.inode)) && !files.is_kept(c.device, c.inode);
    let view = |candidate: &Candidate| {
        let stat = fs::metadata(files.path(&candidate.name)).ok()?;
        let identity = (stat.dev(), stat.ino());
        let view = match parked.get(&identity) {
            Some(record) => FileView::of_record(record, stat.len()),
            None => FileView {
                name: candidate.name.to_string_lossy().into_owned(),
                state: "waiting",
                size: stat.len(),
                ..FileView::default()
            },
        };
        let view = FileView { modified_ms: Some(modified_ms(&stat)), ..view };
        Some((identity, view))
    };
    files.candidates().iter().filter(is_waiting).filter_map(view).collect()
}

fn open_files(pipeline: &Pipeline) -> HashSet<(u64, u64)> {
    let tracked = pipeline.files().tracked().filter(|t| !t.is_superseded());
    tracked.map(|t| (t.record.device, t.record.inode)).collect()
}

fn open(tracked: &Tracked) -> FileView {
    // Thrown away, it has the size at which it was.
    let now = tracked.file.metadata().ok().filter(|_| !tracked.is_superseded());
    let size = now.as_ref().map_or(tracked.size, fs::Metadata::len);
    // All whole lines of it are delivered, as far as it was looked at.
    let is_unfinished = !tracked.has_uncommitted() && tracked.exhausted_at == Some(size);
    let modified_ms = now.as_ref().map(modified_ms);
    let view = FileView::of_record(&tracked.record, size);
    let view = if tracked.is_released() { view.released() } else { view };
    FileView { modified_ms, is_unfinished, ..view }
}
