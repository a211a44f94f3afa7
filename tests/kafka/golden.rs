//! What Flume 1.6 was recorded doing, case by case, against a real broker 0.10.2.0 and a
//! topic of one partition: the same records in the same order, and the same directory in
//! the end. Where a case is marked as a defect of the original, `better` says what is
//! asked for instead.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::json::{Json, Members as _, base64};
use crate::support::torture::{ELDERS, V010};
use crate::support::{Agent, Hour, Record, Topic, Work, decode_event, shared, wait_for};

const ARRIVE_MAX: Duration = Duration::from_secs(30);
const STOP_MAX: Duration = Duration::from_secs(2);

macro_rules! cases {
    ($($test:ident = $case:literal,)*) => {
        $(#[test] fn $test() { run(V010, $case); })*
        const CASES: &[&str] = &[$($case),*];
    };
}

cases! {
    plain = "01-plain",
    crlf = "02-crlf",
    empty_lines = "03-empty-lines",
    overlong_ascii = "04-overlong-ascii",
    no_trailing_newline = "06-no-trailing-newline",
    no_trailing_newline_past = "07-no-trailing-newline-past",
    invalid_utf8_replace = "08-invalid-utf8-replace",
    invalid_utf8_ignore = "09-invalid-utf8-ignore",
    gbk = "11-gbk",
    bom = "13-bom",
    nul = "14-nul",
    emoji = "15-emoji",
    file_and_basename_header = "18-file-and-basename-header",
    three_hours = "20-three-hours",
    ignore_pattern = "22-ignore-pattern",
    delete_immediate = "23-delete-immediate",
    youngest_current = "25-youngest-current",
    custom_suffix = "26-custom-suffix",
    dashed_format = "27-dashed-format",
    properties_escapes = "29-properties-escapes",
    interceptors = "32-interceptors",
    candidates = "33-candidates",
    name_reuse = "34-name-reuse",
    batches_250 = "35-batches-250",
    parse_as_flume_event_false = "37-parse-as-flume-event-false",
    utf16le = "39-utf16le",
    tracker_takeover = "41-tracker-takeover",
    tracker_other_file = "42-tracker-other-file",
    mtime_not_name = "44-mtime-not-name",
}

/// Has a test of its own.
const FAILS: &str = "10-invalid-utf8-fail";

/// What a record should be.
#[derive(Debug, PartialEq, Eq)]
struct Expected {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// The whole value, where it holds nothing that differs from run to run.
    value: Option<Vec<u8>>,
}

impl Expected {
    fn line(body: &str) -> Expected {
        Expected { headers: Vec::new(), body: body.into(), value: None }
    }
}

type Listing = Vec<(String, Option<u64>)>;

/// What is asked for where the original is wrong. Names are templates still.
fn better(case: &str, records: &mut Vec<Expected>, listing: &mut Listing) {
    let lines = |lines: &[&str]| lines.iter().map(|line| Expected::line(line)).collect();
    let mut rename = |from: &str, to: &str| {
        let entry = listing.iter_mut().find(|entry| entry.0 == from).expect(from);
        entry.0 = to.to_string();
    };
    match case {
        // The rest of the line may still be written.
        "06-no-trailing-newline" => *records = lines(&["full line"]),
        "15-emoji" => *records = lines(&["before", "smile \u{1F600} rest", "after"]),
        // Two names with the present hour: both are read, as in 33.
        "22-ignore-pattern" => records.push(Expected::line("h0 a")),
        "25-youngest-current" => {
            *records = lines(&["h0 a", "h1 a", "h1 b", "h1 c", "h2 a", "h3 a", "h3 b"]);
            rename("010_{H-1}.log", "010_{H-1}.log.COMPLETED");
            rename("010_{H-2}.log", "010_{H-2}.log.COMPLETED");
            rename("010_{H-3}.log", "010_{H-3}.log.COMPLETED");
        }
        "33-candidates" => *records = lines(&["holds the current hour and another", "h0"]),
        "34-name-reuse" => {
            *records = lines(&["again", "h0"]);
            rename("010_{H-1}.log", "010_{H-1}.log.COMPLETED.1");
        }
        // One and two are in the topic already, says the tracker.
        "42-tracker-other-file" => *records = lines(&["older", "three"]),
        _ => {}
    }
}

fn folder(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(case)
}

fn read_json(case: &str, name: &str) -> Json {
    Json::parse(&fs::read_to_string(folder(case).join(name)).expect(name))
}

/// The work directory of a case, the agent not yet started.
fn set_up(version: &str, case: &str) -> (Topic, Work) {
    let about = read_json(case, "case.json");
    let topic = shared(version).fresh_topic(case, 1);
    let template = fs::read_to_string(folder(case).join("conf.tmpl")).expect("conf.tmpl");
    let mut work = Work::new(&topic).hour(Hour::calm(about.text("hourfmt"))).conf(&template);
    for file in about.list("files") {
        let name = file.text("name");
        work = if file.get("dir") == Some(&Json::Bool(true)) {
            work.subdirectory(name)
        } else {
            let content = fs::read(folder(case).join(file.text("input"))).expect("an input");
            work.file(name, &content, file.number("mtime_age_s"))
        };
    }
    if let Some(tracker) = about.get("tracker") {
        work = work.java_tracker(tracker.text("name"), tracker.number("position"));
    }
    (topic, work)
}

fn expected(case: &str, work: &Work) -> (Vec<Expected>, Listing) {
    let recorded = read_json(case, "expected.json");
    let header = |pair: &Json| match pair {
        Json::Array(pair) => match &pair[..] {
            [Json::String(key), Json::String(value)] => (key.clone(), value.clone()),
            _ => panic!("not a header: {pair:?}"),
        },
        _ => panic!("not a header: {pair:?}"),
    };
    let record = |record: &Json| {
        assert_eq!(record.get("key"), Some(&Json::Null));
        Expected {
            headers: record.list("headers").iter().map(header).collect(),
            body: base64(record.text("body_b64")),
            value: record.get("value_b64").map(|_| base64(record.text("value_b64"))),
        }
    };
    let entry = |entry: &Json| {
        let size = (entry.get("size") != Some(&Json::Null)).then(|| entry.number("size"));
        (entry.text("name").to_string(), size)
    };
    let mut records = recorded.list("records").iter().map(record).collect();
    let mut listing = recorded.list("listing").iter().map(entry).collect();
    better(case, &mut records, &mut listing);

    let spool = work.spool();
    let spool = spool.to_str().expect("UTF-8");
    for record in &mut records {
        for (_, value) in &mut record.headers {
            *value = work.name(&value.replace("@SPOOL@", spool));
        }
    }
    for (name, _) in &mut listing {
        *name = work.name(name);
    }
    listing.sort();
    (records, listing)
}

/// The format of values is the same on each wire, and so is all the rest.
#[test]
#[ignore = "long: make torture"]
fn the_cases_before_0_10() {
    for version in ELDERS {
        CASES.iter().for_each(|case| run(version, case));
    }
}

fn run(version: &str, case: &str) {
    let (topic, work) = set_up(version, case);
    let (records, listing) = expected(case, &work);
    let mut agent = work.start();
    // What is wrong shows below, with what there is instead.
    let _ = wait_for(ARRIVE_MAX, || {
        !agent.is_running() || (topic.count() >= records.len() && work.listing() == listing)
    });
    assert!(agent.is_running(), "{case}: the agent ended by itself:\n{}", agent.log());
    let (status, took) = agent.term_timed();
    compare(case, &topic, &records, &agent);
    assert_eq!(work.listing(), listing, "{case}: the directory\n{}", agent.log());
    assert_eq!(status.code(), Some(0), "{case}: exit code\n{}", agent.log());
    assert!(took <= STOP_MAX, "{case}: it took {took:?} to stop\n{}", agent.log());
}

fn compare(case: &str, topic: &Topic, expected: &[Expected], agent: &Agent) {
    let records = topic.all();
    let bodies = |record: &Record| {
        let event = decode_event(record.value.as_deref().expect("a value"));
        String::from_utf8_lossy(&event.body).into_owned()
    };
    assert_eq!(
        records.len(),
        expected.len(),
        "{case}: the topic holds {:?}\n{}",
        records.iter().map(bodies).collect::<Vec<_>>(),
        agent.log()
    );
    for (record, expected) in records.iter().zip(expected) {
        let at = format!("{case}, offset {}", record.offset);
        let value = record.value.as_deref().expect("a value");
        let event = decode_event(value);
        assert_eq!(record.key, None, "{at}: key");
        assert_eq!(
            String::from_utf8_lossy(&event.body),
            String::from_utf8_lossy(&expected.body),
            "{at}: body"
        );
        assert_eq!(event.body, expected.body, "{at}: body");
        assert_eq!(event.headers, expected.headers, "{at}: headers");
        if let Some(expected) = &expected.value {
            assert_eq!(value, expected, "{at}: value");
        }
    }
}

/// Under decodeErrorPolicy = FAIL the original sits there for ever, alive and silent.
#[test]
fn invalid_utf8_fail() {
    let (topic, work) = set_up(V010, FAILS);
    let (records, listing) = expected(FAILS, &work);
    let mut agent = work.start();
    let status = agent.wait(ARRIVE_MAX);
    let log = agent.log();
    let status = status.unwrap_or_else(|| panic!("it should end by itself:\n{log}"));
    assert_eq!(status.code(), Some(70), "exit code\n{log}");
    compare(FAILS, &topic, &records, &agent);
    assert_eq!(work.listing(), listing);
    // "ok\nbad" is before the bad bytes FF FE.
    let line = log.lines().find(|line| {
        let words = || line.split(|c: char| !c.is_ascii_alphanumeric());
        line.contains(&work.name("010_{H}.log"))
            && words().any(|word| word == "6")
            && line.to_lowercase().contains("ff")
    });
    assert!(line.is_some(), "no line names file, offset and bytes:\n{log}");
}

/// The other half of case 06: the rest of the line comes later, and it is one event.
#[test]
fn a_line_written_in_two_goes_is_one_event() {
    let (topic, work) = set_up(V010, "06-no-trailing-newline");
    let mut agent = work.start();
    agent.expect_records(&topic, 1, ARRIVE_MAX);
    work.append("010_{H}.log", "ne, written in two goes\n".as_bytes());
    agent.expect_records(&topic, 2, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    assert_eq!(topic.bodies(), ["full line", "partial line, written in two goes"]);
}

/// No recorded case is forgotten.
#[test]
fn every_case_has_a_test() {
    let mut cases = CASES.to_vec();
    cases.push(FAILS);
    let mut recorded: Vec<String> = fs::read_dir(folder("."))
        .expect("the cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.join("case.json").exists())
        .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    cases.sort();
    recorded.sort();
    assert_eq!(cases, recorded);
}
