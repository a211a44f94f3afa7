//! The steps of a line, each alone and in this process, to show where a regression is.

use std::hint::black_box;
use std::time::Instant;

use flume_ng::channel::batch::Batch;
use flume_ng::channel::batch::{Identity, Wire};
use flume_ng::checkpoint::codec::encode_into;
use flume_ng::checkpoint::record::{
    BatchRecord, ChannelRecord, FileRecord, OffsetRange, PartitionRecord, Record,
};
use flume_ng::checkpoint::slots::{FileStore, Opened, Slots};
use flume_ng::config::model::DecodePolicy;
use flume_ng::config::model::{Compression, ValueFormat};
use flume_ng::event::{self, HeaderMap};
use flume_ng::java::charset::Charset;
use flume_ng::java::pattern::Pattern;
use flume_ng::source::line::{LineConfig, LineDecoder, LineEnds, Tail};

use crate::data::{Lines, Text};
use crate::stats::median;

/// Lines of a block that is split and of a batch, about as the agent makes them.
const BLOCK_LINES: u64 = 1_200;
const BATCH_LINES: u64 = 5_000;
/// Each time is a median of so many.
const TIMES: usize = 41;
const ID: Identity = Identity { producer_id: 4711, epoch: 3 };

pub struct Row {
    pub label: String,
    pub ns: f64,
    /// It is done once for a round of lines: the time is that of the round.
    pub is_per_round: bool,
}

/// All of them; a few seconds.
pub fn run() -> Vec<Row> {
    let mut rows = Vec::new();
    splitting(&mut rows);
    patterns(&mut rows);
    values(&mut rows);
    batches(&mut rows);
    codecs(&mut rows);
    checkpoint(&mut rows);
    rows
}

/// Times `step`, which does `lines` lines at a call.
fn time(rows: &mut Vec<Row>, label: &str, lines: u64, mut step: impl FnMut()) {
    step();
    let times: Vec<f64> = (0..TIMES)
        .map(|_| {
            let start = Instant::now();
            step();
            start.elapsed().as_nanos() as f64
        })
        .collect();
    rows.push(Row {
        label: label.to_string(),
        ns: median(&times) / lines as f64,
        is_per_round: label.ends_with("a round"),
    });
}

fn block(text: Text) -> Vec<u8> {
    let mut lines = Lines::new(text);
    let mut block = Vec::new();
    (0..BLOCK_LINES).for_each(|_| lines.push(&mut block));
    block
}

fn splitting(rows: &mut Vec<Row>) {
    let named = |name| Charset::for_name(name).expect("a charset of ours");
    for (label, text, charset) in [
        ("split: UTF-8", Text::Plain, "UTF-8"),
        ("split: UTF-8, a malformed byte in each line (REPLACE)", Text::Malformed, "UTF-8"),
        ("split: GBK, ASCII lines", Text::Plain, "GBK"),
        ("split: GBK, lines half Chinese", Text::Gbk, "GBK"),
    ] {
        let block = block(text);
        let mut decoder = LineDecoder::new(LineConfig {
            ends: LineEnds::Newline,
            charset: named(charset),
            output: named("UTF-8"),
            policy: DecodePolicy::Replace,
            max_line_units: 2048,
        });
        time(rows, label, BLOCK_LINES, || {
            let split = decoder.split(black_box(&block), false, Tail::Open, |body, _| {
                black_box(body);
                true
            });
            assert_eq!(split.map(|s| s.lines), Ok(BLOCK_LINES));
        });
    }
}

/// A name is matched when it is seen first, so that 10,000 of a listing count.
fn patterns(rows: &mut Vec<Row>) {
    for (what, java) in [
        ("digits", r".*(\d){4}(\d){2}(\d){2}(\d){2}.*"),
        ("look-ahead", r"^(?!.*\.tmp$).*"),
        ("boundaries", r"\bapp\b.*"),
    ] {
        let pattern = Pattern::compile(java).expect("a pattern of Java's");
        time(rows, &format!("pattern: a name, {what}"), 1_000, || {
            for _ in 0..1_000 {
                let _ = black_box(pattern.full_match(black_box(b"app.2024010115.access.log")));
            }
        });
    }
}

fn bodies() -> Vec<Vec<u8>> {
    let mut lines = Lines::new(Text::Plain);
    let body = |_| {
        let mut line = Vec::new();
        lines.push(&mut line);
        line.pop();
        line
    };
    (0..BATCH_LINES).map(body).collect()
}

/// The header maps of an event without and with headers.
fn headers() -> [(&'static str, Vec<u8>); 2] {
    let mut map = HeaderMap::new();
    let encoded = |map: &HeaderMap| {
        let mut out = Vec::new();
        event::avro_headers(map, &mut out);
        out
    };
    let none = encoded(&map);
    map.insert("file", "/home/hadoop1/testdata/010_2017041212.log");
    map.insert("basename", "010_2017041212.log");
    map.insert("timestamp", "1491968178000");
    [("no headers", none), ("three headers", encoded(&map))]
}

fn values(rows: &mut Vec<Row>) {
    let bodies = bodies();
    for (what, headers) in headers() {
        let mut out = Vec::new();
        time(rows, &format!("Avro value, {what}"), BATCH_LINES, || {
            out.clear();
            for body in &bodies {
                out.extend_from_slice(black_box(&headers));
                event::put_bytes(black_box(body), &mut out);
            }
            black_box(&out);
        });
    }
}

fn batches(rows: &mut Vec<Row>) {
    let bodies = bodies();
    for (wire, name) in [
        (Wire::Modern, "record batch v2"),
        (Wire::Middle, "messages of magic 1"),
        (Wire::Legacy, "values for magic 0"),
    ] {
        for (what, headers) in headers() {
            let mut batch = Batch::new(wire, ValueFormat::Avro, Compression::None);
            time(rows, &format!("{name}: encode, {what}"), BATCH_LINES, || {
                fill(&mut batch, &headers, &bodies);
            });
            if wire != Wire::Legacy {
                let crc = if wire == Wire::Modern { "CRC-32C" } else { "CRC-32" };
                time(rows, &format!("{name}: seal ({crc}), {what}"), BATCH_LINES, || {
                    batch.seal(ID, 0);
                });
            }
            if wire != Wire::Modern {
                time(rows, &format!("{name}: checksums of content, {what}"), BATCH_LINES, || {
                    black_box(batch.content_crcs());
                });
            }
        }
    }
}

fn fill(batch: &mut Batch, headers: &[u8], bodies: &[Vec<u8>]) {
    batch.begin(0, 1_491_968_178_000);
    for body in bodies {
        batch.push(black_box(headers), black_box(body));
    }
}

fn codecs(rows: &mut Vec<Row>) {
    let bodies = bodies();
    for (name, codec) in [
        ("gzip", Compression::Gzip),
        ("snappy", Compression::Snappy),
        ("lz4", Compression::Lz4),
        ("zstd", Compression::Zstd),
    ] {
        if !codec.is_supported() {
            continue;
        }
        let mut batch = Batch::new(Wire::Modern, ValueFormat::Avro, codec);
        time(rows, &format!("record batch v2: encode and seal, {name}"), BATCH_LINES, || {
            fill(&mut batch, &[0], &bodies);
            batch.seal(ID, 0);
        });
    }
}

/// The state during a backlog: one file, three partitions, four rounds under way.
fn state() -> Record {
    let batch = |n: u64| BatchRecord {
        partition: (n % 3) as i32,
        producer_id: ID.producer_id,
        count: BATCH_LINES as u32,
        file: 1,
        start: n * 500_000,
        end: (n + 1) * 500_000,
        ..BatchRecord::default()
    };
    let partition = |partition| PartitionRecord { partition, ..PartitionRecord::default() };
    let range = |partition| OffsetRange { partition, ..OffsetRange::default() };
    Record {
        agent: "a1".into(),
        source: "r1".into(),
        next_file_id: 2,
        channels: vec![ChannelRecord {
            name: "c1".into(),
            topic: "filetest10".into(),
            cluster_id: "0123456789abcdefghijkl".into(),
            partitions: (0..3).map(partition).collect(),
            ..ChannelRecord::default()
        }],
        files: vec![FileRecord {
            id: 1,
            name: b"010_2017041212.log".to_vec(),
            current_name: b"010_2017041212.log".to_vec(),
            ranges: (0..3).map(range).collect(),
            ..FileRecord::default()
        }],
        batches: (0..12).map(batch).collect(),
        ..Record::default()
    }
}

fn checkpoint(rows: &mut Vec<Row>) {
    const REPEATS: u64 = 100;
    let mut record = state();
    let mut out = Vec::new();
    time(rows, "checkpoint: encode, a round", REPEATS, || {
        for _ in 0..REPEATS {
            out.clear();
            encode_into(black_box(&record), &Vec::from_iter(&record.files), &mut out);
        }
    });
    let dir = crate::support::TempDir::new("micro");
    let opened = FileStore::open(dir.path()).and_then(Slots::open).expect("a new checkpoint");
    let Opened::Absent(mut slots) = opened else { panic!("an old checkpoint in a new directory") };
    slots.write(&mut record).expect("room for a checkpoint");
    time(rows, "checkpoint: encode, pwrite and fdatasync, a round", 1, || {
        slots.write(&mut record).expect("room for a checkpoint");
    });
}
