//! What Flume 1.6 and 1.11 were recorded doing from other sources and through other channels and
//! sinks, case by case (`tests/golden-1.11/README.md` has the format): the same records, and the same
//! files in the end. Where the original is defective, the case says what is asked for instead.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::support::json::{Json, Members as _, base64};
use crate::support::torture::{V010, V43};
use crate::support::{
    Agent, Brokers, Record, TempDir, Topic, cluster, decode_event, java_tracker, shared, topic,
    wait_for,
};

const ARRIVE_MAX: Duration = Duration::from_secs(60);
/// What was recorded after longer waits shows here sooner, if it is wrong.
const SLEEP_MAX_S: f64 = 1.0;

macro_rules! cases {
    ($($test:ident = $case:literal,)*) => {
        $(#[test] fn $test() { run($case); })*
        const CASES: &[&str] = &[$($case),*];
    };
}

include!("golden_1_11_cases.rs");

/// Every recorded case runs, or is named as one that cannot yet.
#[test]
fn every_case_is_known() {
    let mut known: Vec<&str> = CASES.iter().chain(NOT_YET).copied().collect();
    let mut recorded: Vec<String> = fs::read_dir(root())
        .expect("the cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.join("case.json").exists())
        // The others are about sources: `golden_flume`.
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('S')))
        .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    known.sort_unstable();
    recorded.sort_unstable();
    assert_eq!(known, recorded);
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden-1.11")
}

/// A case being run.
struct Case {
    folder: PathBuf,
    about: Json,
    dir: TempDir,
    brokers: &'static Brokers,
    /// What topics' names begin with, so that no two runs meet.
    prefix: String,
    topics: BTreeMap<String, Topic>,
    conf: String,
    agent: Option<Agent>,
    runs: usize,
}

fn run(name: &str) {
    let mut case = Case::new(name);
    let steps = case.about.list("steps").to_vec();
    for step in &steps {
        case.step(step);
    }
    case.check();
}

impl Case {
    fn new(name: &str) -> Case {
        let folder = root().join(name);
        let about = read_json(&folder, "case.json");
        let version = if about["broker"] == "010" { V010 } else { V43 };
        let brokers = shared(version);
        let prefix = cluster::fresh_name("g");
        let mut topics = BTreeMap::new();
        for (topic, partitions) in about["topics"].as_object().expect("topics") {
            let partitions = partitions.as_i64().expect("a number") as i32;
            let made = match topic.strip_prefix('=') {
                Some(exact) => topic::make_anew(brokers.bootstrap(), exact, partitions),
                None => brokers.create_topic(&format!("{prefix}-{topic}-x"), partitions),
            };
            topics.insert(topic.clone(), made);
        }
        let dir = TempDir::new("case");
        fs::create_dir(dir.path().join("home")).expect("a new directory");
        let conf = "conf.tmpl".to_string();
        Case { folder, about, dir, brokers, prefix, topics, conf, agent: None, runs: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn fill(&self, template: &str) -> String {
        let mut text = template
            .replace("@DIR@", self.dir.path().to_str().expect("UTF-8"))
            .replace("@BROKERS@", self.brokers.bootstrap())
            .replace("@PRE@", &format!("{}-", self.prefix))
            .replace("@SUF@", "-x")
            .replace("@ZK@", "127.0.0.1:1")
            .replace("@GROUP@", &self.prefix);
        for (name, topic) in &self.topics {
            text = text.replace(&format!("@TOPIC:{name}@"), topic.name());
        }
        while let Some(at) = text.find("@INODE:") {
            let end = at + 1 + text[at + 1..].find('@').expect("the end of @INODE:...@");
            let file = self.path(&text[at + "@INODE:".len()..end]);
            let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(file).expect("a file"));
            text.replace_range(at..=end, &inode.to_string());
        }
        text
    }

    fn content(&self, step: &Json) -> Vec<u8> {
        if let Some(input) = step["input"].as_str() {
            return fs::read(self.folder.join(input)).expect("an input");
        }
        match step["b64"].as_str() {
            Some(bytes) => base64(bytes),
            None => self.fill(step.text("text")).into_bytes(),
        }
    }

    fn step(&mut self, step: &Json) {
        let (what, argument) = step.as_object().and_then(|o| o.iter().next()).expect("a step");
        let pair = |at: usize| argument[at].as_str().expect("a name").to_string();
        let name = || argument.as_str().expect("a name").to_string();
        match what.as_str() {
            "write" | "append" => {
                let path = self.path(&name());
                fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
                let is_append = what == "append";
                let mut options = OpenOptions::new();
                options.create(true).write(true).append(is_append).truncate(!is_append);
                let mut file = options.open(&path).expect("a file");
                file.write_all(&self.content(step)).expect("a file");
                set_age(&file, step);
            }
            "rename" => fs::rename(self.path(&pair(0)), self.path(&pair(1))).expect("a rename"),
            "truncate" => {
                let size = argument[1].as_u64().expect("a size");
                let file = OpenOptions::new().write(true).open(self.path(&pair(0)));
                file.and_then(|file| file.set_len(size)).expect("a truncation");
            }
            "copytruncate" => {
                let from = self.path(&pair(0));
                fs::copy(&from, self.path(&pair(1))).expect("a copy");
                let file = OpenOptions::new().write(true).open(from);
                file.and_then(|file| file.set_len(0)).expect("a truncation");
            }
            "delete" => fs::remove_file(self.path(&name())).expect("a file to delete"),
            "mkdir" => fs::create_dir_all(self.path(&name())).expect("a directory"),
            "symlink" => symlink(self.path(&pair(0)), self.path(&pair(1))).expect("a link"),
            "link" => fs::hard_link(self.path(&pair(0)), self.path(&pair(1))).expect("a link"),
            "socket" => drop(UnixListener::bind(self.path(&name())).expect("a socket")),
            "chmod" => {
                let mode = u32::from_str_radix(&pair(1), 8).expect("a mode");
                let mode = fs::Permissions::from_mode(mode);
                fs::set_permissions(self.path(&pair(0)), mode).expect("permissions");
            }
            "touch" => {
                let file = OpenOptions::new().append(true).create(true).open(self.path(&name()));
                set_age(&file.expect("a file"), step);
            }
            "spool_meta" => {
                let path = self.path(&name());
                fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
                let file = self.path(step.text("file"));
                let meta = java_tracker(file.to_str().expect("UTF-8"), step.number("position"));
                fs::write(path, meta).expect("a file");
            }
            "conf" => self.conf = name(),
            "start" => self.start(),
            "wait" => {
                let better = step["better"].as_u64();
                let count = better.or(argument.as_u64()).expect("a number") as usize;
                self.await_records(count);
            }
            "wait_log" => sleep(step["else_sleep_s"].as_f64().unwrap_or(1.0)),
            "sleep_s" => sleep(argument.as_f64().expect("seconds")),
            "stop" => {
                let Some(mut agent) = self.agent.take() else { return };
                match argument.as_str() {
                    Some("KILL") => agent.kill9(),
                    _ => drop(agent.term()),
                }
            }
            other => panic!("no such step: {other}"),
        }
    }

    fn start(&mut self) {
        let template = fs::read_to_string(self.folder.join(&self.conf)).expect("a configuration");
        fs::write(self.path("a.conf"), self.fill(&template)).expect("a configuration");
        let mut command = Command::new(env!("CARGO_BIN_EXE_flume-ng"));
        command.args(["agent", "--conf-file", "a.conf", "--name", "a1"]);
        command.current_dir(self.dir.path()).env("HOME", self.path("home"));
        let (host, port) = self.brokers.bootstrap().rsplit_once(':').expect("host:port");
        for (key, value) in self.about["env"].as_object().into_iter().flatten() {
            let value = match key.as_str() {
                "KAFKA_HOST" => host.to_string(),
                "KAFKA_PORT" => port.to_string(),
                _ => self.fill(value.as_str().expect("text")),
            };
            command.env(key, value);
        }
        self.runs += 1;
        let log = self.path("home").join(format!("agent-{}.log", self.runs));
        self.agent = Some(Agent::start(command, &log));
    }

    fn await_records(&mut self, count: usize) {
        let topics: Vec<Topic> = self.topics.values().cloned().collect();
        let there = || topics.iter().map(Topic::count).sum::<usize>();
        let agent = self.agent.as_mut();
        let mut is_running = agent.map(|agent| move || agent.is_running());
        wait_for(ARRIVE_MAX, || {
            there() >= count || is_running.as_mut().is_some_and(|is_running| !is_running())
        });
    }

    fn log(&self) -> String {
        let log = |run| self.path("home").join(format!("agent-{run}.log"));
        (1..=self.runs).map(|n| fs::read_to_string(log(n)).unwrap_or_default()).collect()
    }

    fn check(mut self) {
        let expected = read_json(&self.folder, "expected.json");
        let better = self.about["expected_better"].clone();
        let ends = better["ends"] == true;
        if let Some(agent) = self.agent.as_mut().filter(|_| ends) {
            let status = agent.wait(ARRIVE_MAX).expect("it ends by itself");
            assert_ne!(status.code(), Some(0), "{}", self.log());
        }
        let files = match better.get("files") {
            Some(files) => files,
            None => &expected["files"],
        };
        if !files.is_null() {
            let wanted = self.listing_of(files);
            // A file is done a moment after its last line has arrived.
            wait_for(ARRIVE_MAX / 2, || self.listing() == wanted);
            assert_eq!(self.listing(), wanted, "the files\n{}", self.log());
        }
        if let Some(mut agent) = self.agent.take()
            && agent.is_running()
        {
            agent.term();
        }
        let is_ended = better["or_ends"] == true;
        for (name, topic) in &self.topics {
            let wanted = match better.get(name) {
                Some(wanted) => self.wanted_better(wanted),
                None => expected["records"][name].as_array().cloned().unwrap_or_default(),
            };
            let found = topic.all();
            if !(is_ended && found.is_empty()) {
                self.compare(name, found, &wanted);
            }
        }
    }

    fn wanted_better(&self, wanted: &Json) -> Vec<Json> {
        if let Some(list) = wanted.as_array() {
            return list.clone();
        }
        let inputs = wanted.list("lines_of").iter();
        let text = |input: &Json| {
            let bytes = fs::read(self.folder.join(input.as_str().expect("a name")));
            String::from_utf8(bytes.expect("an input")).expect("UTF-8")
        };
        let line = |line: &str| serde_json::json!({ "text": line });
        inputs.flat_map(|i| text(i).lines().map(line).collect::<Vec<_>>()).collect()
    }

    fn is_avro(&self) -> bool {
        if let Some(is_avro) = self.about["avro"].as_bool() {
            return is_avro;
        }
        let conf = fs::read_to_string(self.folder.join("conf.tmpl")).expect("a configuration");
        let is_channel = conf.contains("kafka.KafkaChannel");
        is_channel && !conf.contains("parseAsFlumeEvent = false")
            || conf.contains("useFlumeEventFormat = true")
    }

    fn compare(&self, topic: &str, mut found: Vec<Record>, wanted: &[Json]) {
        let about = |what: &str, record: &dyn std::fmt::Debug| {
            format!("{topic}: {what} {record:?}\n{}", self.log())
        };
        let is_set = self.about["compare"] == "set";
        let mut at = 0;
        for want in wanted {
            let fits = |record: &Record| self.fits(record, want);
            let place = if is_set {
                found.iter().position(fits)
            } else {
                // Records are sorted by partition, and so are they here.
                found.get(at).is_some_and(fits).then_some(at)
            };
            match place {
                Some(place) if is_set => drop(found.remove(place)),
                Some(_) => at += 1,
                None if want["optional"] == true => {}
                None => panic!(
                    "{}",
                    about(&format!("not there: {want}, but (at {at})"), &self.shown(&found))
                ),
            }
        }
        let left = if is_set { found.len() } else { found.len() - at };
        assert_eq!(left, 0, "{}", about("more than was wanted:", &self.shown(&found)));
    }

    fn shown(&self, found: &[Record]) -> Vec<String> {
        let text = |bytes: &Option<Vec<u8>>| {
            bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        found.iter().map(|r| format!("{:?}={:?}", text(&r.key), text(&r.value))).collect()
    }

    fn fits(&self, record: &Record, want: &Json) -> bool {
        let value = record.value.as_deref().expect("a value");
        let event = self.is_avro().then(|| decode_event_of(value, want)).flatten();
        let body = event.as_ref().map_or(value, |event| &event.body);
        let is_body = match (want["body_b64"].as_str(), want["value_b64"].as_str()) {
            (Some(wanted), _) => base64(wanted) == body,
            (None, Some(wanted)) => base64(wanted) == value,
            (None, None) => want["text"].as_str().is_none_or(|text| text.as_bytes() == body),
        };
        let is_headers = want["flume_headers"].as_array().is_none_or(|wanted| {
            let ignored = self.about["ignore_headers"].as_array();
            let is_ignored = |key: &str| {
                ignored.is_some_and(|ignored| ignored.iter().any(|ignored| ignored == key))
            };
            let pair = |pair: &Json| {
                let key = pair[0].as_str().expect("a key").to_string();
                let value = self.fill(pair[1].as_str().expect("a value"));
                (key.clone(), if is_ignored(&key) { String::new() } else { value })
            };
            let mut wanted: Vec<(String, String)> = wanted.iter().map(pair).collect();
            let mut headers = event.as_ref().map(|e| e.headers.clone()).unwrap_or_default();
            for (key, value) in &mut headers {
                if is_ignored(key) {
                    value.clear();
                }
            }
            wanted.sort();
            headers.sort();
            wanted == headers
        });
        let is_key = match want.get("key_b64") {
            Some(key) => key.as_str().map(base64) == record.key,
            None => true,
        };
        let is_kafka_headers = want["headers"].as_array().is_none_or(|wanted| {
            let pair = |pair: &Json| {
                let key = pair[0].as_str().expect("a key").to_string();
                (key, pair[1].as_str().map(base64))
            };
            let mut wanted: Vec<(String, Option<Vec<u8>>)> = wanted.iter().map(pair).collect();
            let mut headers = record.headers.clone();
            wanted.sort();
            headers.sort();
            wanted == headers
        });
        let is_time = self.about["timestamps"] != true
            || want["timestamp"].as_i64().is_none_or(|at| at == record.timestamp);
        is_body && is_headers && is_key && is_kafka_headers && is_time
    }

    fn listing_of(&self, files: &Json) -> Vec<(String, u64)> {
        let entry =
            |file: &Json| (file.text("name").to_string(), file["size"].as_u64().unwrap_or(0));
        let mut list: Vec<(String, u64)> =
            files.as_array().expect("files").iter().map(entry).collect();
        list.retain(|(name, _)| !self.is_ignored_file(name));
        list.sort();
        list
    }

    fn listing(&self) -> Vec<(String, u64)> {
        let mut list = Vec::new();
        self.list(self.dir.path(), "", &mut list);
        list.retain(|(name, _)| !self.is_ignored_file(name));
        list.sort();
        list
    }

    fn list(&self, dir: &Path, below: &str, list: &mut Vec<(String, u64)>) {
        let Ok(entries) = fs::read_dir(dir) else { return };
        for entry in entries.flatten() {
            let name = format!("{below}{}", entry.file_name().to_string_lossy());
            let own = ["state", "home", "a.conf", "agent.log"];
            if own.contains(&name.as_str()) || name.split('/').any(|n| n.starts_with(".flume")) {
                continue;
            }
            match fs::symlink_metadata(entry.path()) {
                Ok(about) if about.is_dir() => self.list(&entry.path(), &format!("{name}/"), list),
                Ok(_) => {
                    let size = fs::metadata(entry.path()).map_or(0, |about| about.len());
                    list.push((name, size));
                }
                Err(_) => {}
            }
        }
    }

    /// Only what the cases use of globs: a `*`, and one set of letters that may not come last.
    fn is_ignored_file(&self, name: &str) -> bool {
        let globs = self.about["ignore_files"].as_array().into_iter().flatten();
        globs.filter_map(Json::as_str).any(|glob| match glob.split_once('*') {
            Some((start, "[!D]")) => name.starts_with(start) && !name.ends_with('D'),
            Some((start, end)) => name.starts_with(start) && name.ends_with(end),
            None => name == glob,
        })
    }
}

fn decode_event_of(value: &[u8], want: &Json) -> Option<crate::support::Event> {
    let is_bare = want["flume_headers"].is_null() && !want["value_b64"].is_null();
    (!is_bare).then(|| decode_event(value))
}

fn set_age(file: &File, step: &Json) {
    if let Some(age_s) = step["mtime_age_s"].as_f64() {
        let modified = SystemTime::now() - Duration::from_secs_f64(age_s);
        file.set_modified(modified).expect("a modification time");
    }
}

fn sleep(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds.min(SLEEP_MAX_S)));
}

fn read_json(folder: &Path, name: &str) -> Json {
    Json::parse(&fs::read_to_string(folder.join(name)).expect(name))
}
