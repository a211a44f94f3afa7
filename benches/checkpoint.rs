//! `cargo bench --bench checkpoint`: how long the disk takes for one write of the checkpoint, in
//! `SLOTS_DIR` (or the directory for temporary files), for a small and for a larger state.

use std::path::Path;
use std::time::Instant;

use flume_ng::checkpoint::record::{BatchRecord, ChannelRecord, FileRecord, Record};
use flume_ng::checkpoint::slots::{FileStore, Opened, Slots};

const WRITES: u64 = 1_000;

fn record(number: u64, batches: usize) -> Record {
    Record {
        agent: "a1".into(),
        source: "r1".into(),
        next_file_id: number,
        channels: vec![ChannelRecord { name: "c1".into(), ..ChannelRecord::default() }],
        files: vec![FileRecord { position: number, ..FileRecord::default() }],
        batches: vec![BatchRecord { start: number, ..BatchRecord::default() }; batches],
        ..Record::default()
    }
}

/// Microseconds of each write, the first one, which makes the file, in front.
fn measure(dir: &Path, batches: usize) -> Vec<u128> {
    let store = FileStore::open(dir).expect("a directory to write in");
    let Opened::Absent(mut slots) = Slots::open(store).expect("a directory to read") else {
        panic!("{}: there is a checkpoint", dir.display());
    };
    let write = |number| {
        let mut record = record(number, batches);
        let start = Instant::now();
        slots.write(&mut record).expect("a write");
        start.elapsed().as_micros()
    };
    (0..WRITES).map(write).collect()
}

fn main() {
    let parent = std::env::var_os("SLOTS_DIR").map_or_else(std::env::temp_dir, Into::into);
    for batches in [3, 15] {
        let dir = parent.join(format!("flume-ng-slots-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a new directory");
        let mut times = measure(&dir, batches);
        std::fs::remove_dir_all(&dir).expect("our directory");
        let first = times[0];
        times.sort_unstable();
        let share = |percent: usize| times[times.len() * percent / 100];
        println!(
            "{batches} batches: creation {first} us; median {} us, 90% {} us, 99% {} us",
            share(50),
            share(90),
            share(99)
        );
    }
}
