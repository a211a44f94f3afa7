//! Verify of more than its table of values has room for.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flume_ng::config::model::Compression;
use flume_ng::event;

use super::{ARRIVE_MAX, Bench, NEW, counts, each_version, lines};
use crate::support::json::{Json, Members as _};
use crate::support::torture::{Group, V010, V43, hazard};

/// More than the table has room for is summed first, and each difference is told as the table does.
#[test]
fn sums_find_what_the_table_finds() {
    let _row = hazard(Group::Claims, "verify of more than its table holds", V010);
    each_version(|version| {
        let mut bench = Bench::new(version, "verify-sums", 2);
        bench.work = bench.work.file("010_{H-1}.log", &lines("done", 60_000), 600).file(
            "010_{H}.log",
            &lines("live", 500),
            0,
        );
        let mut agent = bench.work.start();
        agent.expect_records(&bench.topic, 60_500, ARRIVE_MAX);
        bench.expect_receipts(&agent, 1);
        agent.expect("all is known to be there", ARRIVE_MAX, || bench.work.is_committed());
        let both = || ["1", "32"].map(|mib| bench.json(&["--memory", mib]));
        for (code, json) in both() {
            assert_eq!(code, Some(0), "{json:?}");
            assert_eq!(counts(&json, ".COMPLETED"), [60_000, 60_000, 60_000, 0, 0, 0]);
            assert_eq!(counts(&json, ".log"), [500, 500, 500, 0, 0, 0]);
        }
        // One of them, of whose neighbour only a part is read.
        let done = bench.work.name("010_{H-1}.log");
        let (code, json) = bench.json(&["--range-only", "--memory", "1", &done]);
        assert_eq!(code, Some(0), "{json:?}");
        assert_eq!(counts(&json, ".COMPLETED")[..5], [60_000, 60_000, 60_000, 0, 0]);
        bench.produce(&["nobody's", "done line 0000007 of an hour's log"]);
        bench.work.append("010_{H}.log", &lines("later", 100));
        agent.expect_records(&bench.topic, 60_602, ARRIVE_MAX);
        agent.expect("all is known to be there", ARRIVE_MAX, || bench.work.is_committed());
        assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
        let done = bench.work.path("010_{H-1}.log.COMPLETED");
        let mut bytes = std::fs::read(&done).expect("the completed file");
        bytes[5] = b'L';
        std::fs::write(&done, bytes).expect("the completed file");

        let [(sums, by_sums), (table, by_table)] = both();
        assert_eq!((sums, table), (Some(1), Some(1)));
        let done = counts(&by_sums, ".COMPLETED");
        assert_eq!(done[..5], [60_000, 60_000, 59_998, 1, 1], "{by_sums:?}");
        assert_eq!(counts(&by_sums, ".log")[..5], [600, 600, 600, 0, 0], "{by_sums:?}");
        for name in [".COMPLETED", ".log"] {
            assert_eq!(counts(&by_sums, name), counts(&by_table, name), "{by_sums:?} {by_table:?}");
        }
        for list in ["missing", "repeated"] {
            let texts = |json: &Json| -> Vec<String> {
                json.list(list).iter().map(|one| one.text("text").to_string()).collect()
            };
            assert_eq!(texts(&by_sums), texts(&by_table));
            assert_eq!(texts(&by_sums).len(), 1, "{list}");
        }
    });
}

/// The bound of docs/verify.md: the table and 32 MiB.
#[test]
fn memory_is_bounded() {
    const LINES: usize = 1_000_000;
    const TABLE_MIB: u64 = 8;
    let mut bench = Bench::new(NEW, "verify-memory", 2);
    bench.work = bench.work.file("010_{H-1}.log", &lines("many", LINES), 600).file(
        "010_{H}.log",
        b"one\n",
        0,
    );
    bench.collect(LINES + 1, 1);
    for args in [&["--json"][..], &["--json", "--memory", "8"]] {
        let bound_mib = if args.len() > 1 { TABLE_MIB + 32 } else { 32 + 32 };
        let start = Instant::now();
        let (json, peak_kib) = peak_memory(bench.command(args));
        println!("{args:?}: {peak_kib} KiB, {:?}", start.elapsed());
        assert_eq!(json.get("exact"), Some(&Json::Bool(true)), "{json:?}");
        assert!(peak_kib <= bound_mib << 10, "{args:?}: {peak_kib} KiB");
    }
}

/// Batches of some kilobytes that unfold to far more, as another producer may write them: an event of four million
/// empty headers, and 100 MB of zeros.
#[test]
fn memory_is_bounded_whatever_others_have_written() {
    const LINES: usize = 1_000;
    let _row = hazard(Group::Claims, "verify of batches that unfold to 100 MB", V43);
    let mut bench = Bench::new(NEW, "verify-bombs", 1);
    bench.work = bench.work.file("010_{H-1}.log", &lines("few", LINES), 600).file(
        "010_{H}.log",
        b"one\n",
        0,
    );
    bench.collect(LINES + 1, 1);
    // The number of pairs in zigzag; the pairs; no more blocks.
    let pairs = 4_000_000;
    let mut headers = Vec::new();
    event::put_long(pairs as i64, &mut headers);
    headers.resize(headers.len() + 2 * pairs, 0);
    headers.push(0);
    bench.produce_packed(Compression::Gzip, &headers, &[b"x"]);
    bench.produce_packed(Compression::Gzip, &[0], &[b"before", &vec![0; 100 << 20], b"behind"]);
    let args = ["--json", "--memory", "8", "--whole-topic"];
    let (json, peak_kib) = peak_memory(bench.command(&args));
    println!("{peak_kib} KiB");
    assert_eq!(counts(&json, ".COMPLETED")[..5], [1_000, 1_000, 1_000, 0, 0], "{json:?}");
    assert_eq!(counts(&json, ".log")[..5], [1, 1, 1, 0, 0], "{json:?}");
    assert!(peak_kib <= (8 + 64) << 10, "{peak_kib} KiB");
}

/// Runs a command and tells what it printed and the most memory that it had, KiB.
fn peak_memory(mut command: Command) -> (Json, u64) {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    // The kernel keeps the highest mark; the last look before the end is what counts.
    while child.try_wait().expect("a child of ours").is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let mark = mark.and_then(|rest| rest.trim().strip_suffix(" kB"));
        peak_kib = mark.and_then(|kib| kib.parse().ok()).unwrap_or(peak_kib);
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().expect("its output");
    (Json::parse(&String::from_utf8(output.stdout).expect("UTF-8")), peak_kib)
}

/// From 2.0 on a broker answers at once what goes beyond a quota, and with nothing. That was once taken for a
/// connection that is of no use, ten times in a row.
#[test]
fn what_a_quota_delays_is_read_all_the_same() {
    const TOTAL: u64 = 60_000;
    let _row = hazard(Group::Claims, "verify by a client whose quota is used up", V43);
    let mut bench = Bench::new(NEW, "verify-quota", 1);
    // Nobody else has it.
    let client = bench.topic.name().to_string();
    bench.work = bench
        .work
        .set("a1.channels.c1.kafka.client.id", &client)
        .file("010_{H-1}.log", &lines("done", TOTAL as usize), 600)
        .file("010_{H}.log", &lines("live", 500), 0);
    bench.collect(TOTAL as usize + 500, 1);
    bench.topic.set_quota(&client, "consumer_byte_rate", 150_000.0);
    let (code, json) = bench.json(&[]);
    assert_eq!(code, Some(0), "{json:?}");
    assert_eq!(counts(&json, ".COMPLETED"), [TOTAL, TOTAL, TOTAL, 0, 0, 0]);
}
