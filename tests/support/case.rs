//! Recorded cases of Flume 1.6 and 1.11 (`tests/golden-1.11/README.md` says what is in one): each is played
//! against a real broker, and what is in the topics in the end, and in the directory, is compared with
//! what Flume did, or with what is asked for where that is a defect.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use super::avro::decode_event;
use super::children::{TempDir, signal, spawn, tied, wait_exit};
use super::cluster::{Brokers, fresh_name, shared};
use super::json::{Json, Members as _, base64};
use super::records::Record;
use super::topic::{Topic, make_anew};
use super::wait_for;
use super::work::java_tracker;

const PROGRAM: Option<&str> = option_env!("CARGO_BIN_EXE_flume-ng");
const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden-1.11");
const ARRIVE_MAX: Duration = Duration::from_secs(60);
/// A file is done a moment after its last line has arrived.
const FILES_MAX: Duration = Duration::from_secs(20);
const STOP_MAX: Duration = Duration::from_secs(20);

/// Plays a case; panics where something is not as it should be. `sleep_max`: no sleep between its steps
/// is longer.
pub fn play(name: &str, sleep_max: Duration) {
    let mut case = Case::new(name, sleep_max);
    for step in case.json.list("steps").to_vec() {
        case.step(&step);
    }
    case.settle();
    case.stop(libc::SIGTERM);
    case.compare();
}

struct Case {
    name: String,
    /// Of the recording.
    source: PathBuf,
    json: Json,
    sleep_max: Duration,
    work: TempDir,
    brokers: &'static Brokers,
    prefix: String,
    suffix: String,
    topics: BTreeMap<String, Topic>,
    agent: Option<Child>,
    /// Exit codes of those that have ended, and whether by themselves.
    ends: Vec<(Option<i32>, bool)>,
}

impl Case {
    fn new(name: &str, sleep_max: Duration) -> Case {
        let source = Path::new(CASES).join(name);
        let text = fs::read_to_string(source.join("case.json")).expect("a case");
        let json = Json::parse(&text);
        let brokers = match json["broker"].as_str() {
            Some("010") => shared("0.10.2.0"),
            _ => shared("4.3.1"),
        };
        let (prefix, suffix) = (fresh_name("case-"), "-x".to_owned());
        let mut topics = BTreeMap::new();
        for (topic, partitions) in json["topics"].as_object().expect("topics") {
            let count = partitions.as_i64().expect("a number of partitions") as i32;
            let made = match topic.strip_prefix('=') {
                // An earlier run may have left it.
                Some(exact) => make_anew(brokers.bootstrap(), exact, count),
                None => brokers.create_topic(&format!("{prefix}{topic}{suffix}"), count),
            };
            topics.insert(topic.clone(), made);
        }
        let work = TempDir::new("case");
        let (agent, ends) = (None, Vec::new());
        let name = name.to_owned();
        let case = Case {
            name,
            source,
            json,
            sleep_max,
            work,
            brokers,
            prefix,
            suffix,
            topics,
            agent,
            ends,
        };
        fs::create_dir_all(case.path("home")).expect("a home");
        case.write_conf("conf.tmpl");
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    fn filled(&self, text: &str) -> String {
        let dir = self.work.path().to_str().expect("UTF-8");
        let mut text = text
            .replace("@DIR@", dir)
            .replace("@BROKERS@", self.brokers.bootstrap())
            .replace("@ZK@", "127.0.0.1:1")
            .replace("@GROUP@", &format!("{}group", self.prefix))
            .replace("@PRE@", &self.prefix)
            .replace("@SUF@", &self.suffix);
        for (name, topic) in &self.topics {
            text = text.replace(&format!("@TOPIC:{name}@"), topic.name());
        }
        while let Some(start) = text.find("@INODE:") {
            let end = start + 7 + text[start + 7..].find('@').expect("the end of @INODE:…@");
            let path = self.path(&text[start + 7..end]);
            let inode = fs::metadata(&path).expect("a file that has an inode").ino();
            text.replace_range(start..=end, &inode.to_string());
        }
        text
    }

    fn write_conf(&self, template: &str) {
        let template = fs::read_to_string(self.source.join(template)).expect("a template");
        let new = self.path(".conf.new");
        fs::write(&new, self.filled(&template)).expect("a configuration");
        fs::rename(&new, self.path("a.conf")).expect("a configuration");
    }

    fn content(&self, step: &Json) -> Vec<u8> {
        if let Some(input) = step["input"].as_str() {
            return fs::read(self.source.join(input)).expect("an input");
        }
        match step["b64"].as_str() {
            Some(text) => base64(text),
            None => self.filled(step["text"].as_str().unwrap_or_default()).into_bytes(),
        }
    }

    fn step(&mut self, step: &Json) {
        let (key, value) = step.as_object().expect("a step").iter().next().expect("a step");
        let two = || {
            let names = value.as_array().expect("two names");
            let name = |at: usize| self.path(names[at].as_str().expect("a name"));
            make_parent(&name(1));
            (name(0), name(1))
        };
        match key.as_str() {
            "write" => {
                let path = self.path(step.text("write"));
                make_parent(&path);
                fs::write(&path, self.content(step)).expect("a file");
                set_age(&path, step);
            }
            "append" => {
                let path = self.path(step.text("append"));
                let file = OpenOptions::new().append(true).create(true).open(&path);
                let content = self.content(step);
                file.and_then(|mut file| file.write_all(&content)).expect("a file to append to");
                set_age(&path, step);
            }
            "touch" => {
                let path = self.path(step.text("touch"));
                OpenOptions::new().append(true).create(true).open(&path).expect("a file");
                set_age(&path, step);
            }
            "rename" => {
                let (from, to) = two();
                fs::rename(from, to).expect("a renamed file");
            }
            "copytruncate" => {
                let (from, to) = two();
                fs::copy(&from, to).expect("a copy");
                let file = OpenOptions::new().write(true).open(from);
                file.and_then(|file| file.set_len(0)).expect("a truncated file");
            }
            "truncate" => {
                let list = value.as_array().expect("a name and a size");
                let path = self.path(list[0].as_str().expect("a name"));
                let file = OpenOptions::new().write(true).open(path);
                let size = list[1].as_u64().expect("a size");
                file.and_then(|file| file.set_len(size)).expect("a truncated file");
            }
            "symlink" => {
                let list = value.as_array().expect("two names");
                let path = self.path(list[1].as_str().expect("a name"));
                make_parent(&path);
                symlink(self.filled(list[0].as_str().expect("a target")), path).expect("a link");
            }
            "link" => {
                let (from, to) = two();
                fs::hard_link(from, to).expect("a link");
            }
            "delete" => fs::remove_file(self.path(step.text("delete"))).expect("a deleted file"),
            "mkdir" => fs::create_dir_all(self.path(step.text("mkdir"))).expect("a directory"),
            "socket" => {
                let path = self.path(step.text("socket"));
                make_parent(&path);
                UnixListener::bind(path).expect("a socket");
            }
            "chmod" => {
                let list = value.as_array().expect("a name and a mode");
                let mode = list[1].as_str().and_then(|mode| u32::from_str_radix(mode, 8).ok());
                let mode = fs::Permissions::from_mode(mode.expect("a mode"));
                let path = self.path(list[0].as_str().expect("a name"));
                fs::set_permissions(path, mode).expect("another mode");
            }
            "spool_meta" => {
                let path = self.path(step.text("spool_meta"));
                make_parent(&path);
                let file = self.path(step.text("file"));
                let meta = java_tracker(file.to_str().expect("UTF-8"), step.number("position"));
                fs::write(path, meta).expect("a file");
            }
            "conf" => self.write_conf(step.text("conf")),
            "start" => self.start(),
            "wait" => {
                let wanted = step["better"].as_u64().unwrap_or_else(|| step.number("wait"));
                // What is wrong shows in the end, with what there is instead.
                let _ = wait_for(ARRIVE_MAX, || {
                    self.topics.values().map(Topic::count).sum::<usize>() as u64 >= wanted
                        || self.agent.as_mut().is_none_or(|a| !matches!(a.try_wait(), Ok(None)))
                });
            }
            "wait_log" => self.sleep(&step["else_sleep_s"]),
            "sleep_s" => self.sleep(value),
            "stop" => {
                let kill = step.text("stop") == "KILL";
                self.stop(if kill { libc::SIGKILL } else { libc::SIGTERM });
            }
            other => panic!("{}: no step {other}", self.name),
        }
    }

    fn start(&mut self) {
        let log = self.path(&format!(".flume-ng-{}.log", self.ends.len()));
        let log = File::create(log).expect("a log");
        let mut command = Command::new(PROGRAM.expect("only tests have it built"));
        command
            .args(["agent", "--conf", ".", "--conf-file", "a.conf", "--name"])
            .arg(self.agent_name())
            .current_dir(self.work.path())
            .env("HOME", self.path("home"));
        let (host, port) = self.brokers.bootstrap().rsplit_once(':').expect("host:port");
        for (key, value) in self.json["env"].as_object().into_iter().flatten() {
            let value = match key.as_str() {
                // Of the broker that was there at the recording.
                "KAFKA_HOST" => host.to_owned(),
                "KAFKA_PORT" => port.to_owned(),
                _ => self.filled(value.as_str().expect("a text")),
            };
            command.env(key, value);
        }
        let mut command = tied(&command);
        let other = log.try_clone().expect("a second descriptor");
        command.stdin(Stdio::null()).stdout(other).stderr(log);
        self.agent = Some(spawn(command).expect("an agent"));
    }

    /// The first word of the configuration.
    fn agent_name(&self) -> String {
        let conf = fs::read_to_string(self.path("a.conf")).expect("a configuration");
        let is_list = |line: &&str| line.contains(".sources") && line.contains('=');
        let line = conf.lines().find(is_list).expect("a list of sources");
        line.split('.').next().unwrap_or("a1").trim().to_owned()
    }

    fn sleep(&self, seconds: &Json) {
        let recorded = Duration::from_secs_f64(seconds.as_f64().unwrap_or(0.0));
        std::thread::sleep(recorded.min(self.sleep_max));
    }

    /// Waits for what is to come of the last steps, before the agent is stopped. Whether it has come
    /// is found in the end.
    fn settle(&mut self) {
        let Some(agent) = &mut self.agent else { return };
        if self.json["expected_better"]["ends"] == true {
            let _ = wait_for(ARRIVE_MAX, || !matches!(agent.try_wait(), Ok(None)));
            return;
        }
        let Some((expected, better)) = self.asked() else { return };
        if let Some(files) = files_asked(&expected, &better) {
            let wanted = self.listing_asked(files);
            let _ = wait_for(FILES_MAX, || self.listing() == wanted);
        }
    }

    /// What Flume did, and what is asked for where that is a defect; `None`: nothing.
    fn asked(&self) -> Option<(Json, Json)> {
        let expected = fs::read_to_string(self.source.join("expected.json")).expect("records");
        let expected = Json::parse(&self.filled(&expected));
        let better = Json::parse(&self.filled(&self.json["expected_better"].to_string()));
        let is_defect = !self.json["defect_of_original"].is_null();
        (!is_defect || !better.is_null()).then_some((expected, better))
    }

    fn stop(&mut self, number: i32) {
        let Some(mut agent) = self.agent.take() else { return };
        let is_over = !matches!(agent.try_wait(), Ok(None));
        if !is_over {
            signal(&agent, number);
        }
        let status = wait_exit(&mut agent, STOP_MAX);
        let status = status.unwrap_or_else(|| panic!("it does not stop\n{}", self.log()));
        self.ends.push((status.code(), is_over));
    }

    fn log(&self) -> String {
        let logs = (0..=self.ends.len()).map(|at| self.path(&format!(".flume-ng-{at}.log")));
        let logs = logs.filter_map(|path| fs::read(path).ok());
        let conf = fs::read_to_string(self.path("a.conf")).unwrap_or_default();
        let logs: String = logs.map(|log| String::from_utf8_lossy(&log).into_owned()).collect();
        format!("{}\n{conf}\n{logs}", self.name)
    }

    fn compare(&self) {
        let Some((expected, better)) = self.asked() else { return };
        let has_ended = self.ends.iter().any(|(code, by_itself)| *by_itself && *code != Some(0));
        if better["ends"] == true {
            assert!(has_ended, "it should end by itself\n{}", self.log());
        } else if better["or_ends"] == true && has_ended {
            let count: usize = self.topics.values().map(Topic::count).sum();
            assert_eq!(count, 0, "it has ended, and sent\n{}", self.log());
            return;
        } else {
            let is_killed = |code: &Option<i32>| code.is_none();
            let is_clean = |(code, _): &(Option<i32>, bool)| *code == Some(0) || is_killed(code);
            assert!(self.ends.iter().all(is_clean), "{:?}\n{}", self.ends, self.log());
        }
        for (name, topic) in &self.topics {
            let asked = match &better[name.as_str()] {
                Json::Null => &expected["records"][name.as_str()],
                better => better,
            };
            self.compare_topic(name, topic, asked);
        }
        if let Some(files) = files_asked(&expected, &better) {
            let (there, wanted) = (self.listing(), self.listing_asked(files));
            assert_eq!(there, wanted, "the directory\n{}", self.log());
        }
    }

    fn compare_topic(&self, name: &str, topic: &Topic, asked: &Json) {
        let found: Vec<(usize, Record)> = topic
            .records()
            .into_iter()
            .enumerate()
            .flat_map(|(at, records)| records.into_iter().map(move |record| (at, record)))
            .collect();
        let show = || {
            let texts: Vec<String> = found.iter().map(|(_, r)| text(r)).collect();
            format!("topic {name} holds {texts:#?}\n{}", self.log())
        };
        let wanted: Vec<Json> = match asked["lines_of"].as_array() {
            Some(inputs) => self.lines_of(inputs),
            None => asked.as_array().cloned().unwrap_or_default(),
        };
        let is_set = self.json["compare"] == "set" || asked["lines_of"].is_array();
        let mut left: Vec<Option<&(usize, Record)>> = found.iter().map(Some).collect();
        let mut last: BTreeMap<usize, usize> = BTreeMap::new();
        for wanted in &wanted {
            let at = left.iter().position(|found| {
                found.is_some_and(|(partition, record)| {
                    let is_there = is_set
                        || wanted["partition"].as_u64().is_none_or(|p| p == *partition as u64);
                    is_there && self.is_like(record, wanted)
                })
            });
            let Some(at) = at else {
                assert!(wanted["optional"] == true, "missing: {wanted}\n{}", show());
                continue;
            };
            let (partition, _) = left[at].take().expect("one that was there");
            let before = last.insert(*partition, at);
            let is_behind = before.is_none_or(|before| before < at);
            assert!(is_set || is_behind, "not in its place: {wanted}\n{}", show());
        }
        let more = left.iter().flatten().count();
        assert_eq!(more, 0, "{more} more than expected\n{}", show());
    }

    fn lines_of(&self, inputs: &[Json]) -> Vec<Json> {
        let mut lines = Vec::new();
        for input in inputs {
            let path = self.source.join(input.as_str().expect("an input"));
            let content = fs::read(path).expect("an input");
            let text = String::from_utf8_lossy(&content).into_owned();
            lines.extend(text.lines().map(|line| serde_json::json!({ "text": line })));
        }
        lines
    }

    /// Are the values Flume's events?
    fn is_avro(&self) -> bool {
        let conf = fs::read_to_string(self.path("a.conf")).expect("a configuration");
        let is_set = |key: &str, value: &str| {
            conf.lines().any(|line| {
                let mut parts = line.splitn(2, '=').map(str::trim);
                parts.next().is_some_and(|k| k.ends_with(key)) && parts.next() == Some(value)
            })
        };
        self.json["avro"].as_bool().unwrap_or_else(|| {
            conf.contains("KafkaChannel") && !is_set("parseAsFlumeEvent", "false")
                || is_set("useFlumeEventFormat", "true")
        })
    }

    fn is_like(&self, record: &Record, wanted: &Json) -> bool {
        let value = record.value.as_deref().unwrap_or_default();
        // A case may have topics of both kinds.
        let is_bare = wanted["flume_headers"].is_null() && !wanted["value_b64"].is_null();
        let event = (self.is_avro() && !is_bare).then(|| decode_event(value));
        let body = event.as_ref().map_or(value, |event| &event.body);
        let ignored: Vec<&str> = self.json["ignore_headers"]
            .as_array()
            .map_or(Vec::new(), |list| list.iter().filter_map(Json::as_str).collect());
        if let Some(key) = wanted.get("key_b64")
            && record.key.as_deref() != key.as_str().map(base64).as_deref()
        {
            return false;
        }
        if let Some(headers) = wanted["flume_headers"].as_array() {
            let Some(event) = &event else { return false };
            let mut wanted: Vec<(String, String)> = headers
                .iter()
                .map(|pair| {
                    let part = |at: usize| pair[at].as_str().expect("a text").to_owned();
                    (part(0), part(1))
                })
                .collect();
            let mut there = event.headers.clone();
            for headers in [&mut wanted, &mut there] {
                for (key, value) in headers.iter_mut() {
                    if ignored.contains(&key.as_str()) {
                        value.clear();
                    }
                }
                headers.sort();
            }
            if wanted != there {
                return false;
            }
        }
        if let Some(headers) = wanted["headers"].as_array() {
            let wanted: Vec<(String, Option<Vec<u8>>)> = headers
                .iter()
                .map(|pair| {
                    let key = pair[0].as_str().expect("a text").to_owned();
                    let value = pair[1].as_str().map(base64);
                    (key.clone(), value.filter(|_| !ignored.contains(&key.as_str())))
                })
                .collect();
            let there = record.headers.iter().cloned();
            let there: Vec<_> = there
                .map(|(key, value)| {
                    let value = value.filter(|_| !ignored.contains(&key.as_str()));
                    (key, value)
                })
                .collect();
            if wanted != there {
                return false;
            }
        }
        let stamp = wanted["timestamp"].as_i64().filter(|_| self.json["timestamps"] == true);
        if stamp.is_some_and(|stamp| stamp != record.timestamp) {
            return false;
        }
        if let Some(wanted) = wanted["body_b64"].as_str() {
            return base64(wanted) == body;
        }
        match (wanted["value_b64"].as_str(), wanted["text"].as_str()) {
            (Some(wanted), _) if event.is_none() => base64(wanted) == value,
            (_, Some(text)) => String::from_utf8_lossy(body) == text,
            _ => true,
        }
    }

    fn is_ours(&self, name: &str) -> bool {
        let ignored = self.json["ignore_files"].as_array().into_iter().flatten();
        let mut ignored = ignored.filter_map(Json::as_str);
        !(name.starts_with("state/")
            || name.starts_with("home/")
            || name.starts_with(".flume")
            || name.contains("/.flume")
            || name == "a.conf"
            || ignored.any(|glob| is_match(glob.as_bytes(), name.as_bytes())))
    }

    /// The names and sizes that there are to be.
    fn listing_asked(&self, files: &Json) -> Vec<(String, u64)> {
        let files = files.as_array().expect("a listing").iter();
        let wanted = files.map(|file| (file.text("name").to_owned(), file.number("size")));
        self.listing_of(wanted.collect())
    }

    /// Those that there are.
    fn listing(&self) -> Vec<(String, u64)> {
        let mut there = Vec::new();
        list(self.work.path(), "", &mut there);
        self.listing_of(there)
    }

    fn listing_of(&self, mut files: Vec<(String, u64)>) -> Vec<(String, u64)> {
        files.retain(|(name, _)| self.is_ours(name));
        files.sort();
        files
    }
}

/// The files that there are to be; `None`: any.
fn files_asked<'a>(expected: &'a Json, better: &'a Json) -> Option<&'a Json> {
    let files = better.get("files").unwrap_or(&expected["files"]);
    (!files.is_null()).then_some(files)
}

impl Drop for Case {
    fn drop(&mut self) {
        if let Some(agent) = &mut self.agent {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

fn text(record: &Record) -> String {
    let shown = |bytes: &Option<Vec<u8>>| {
        bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    format!("{:?}={:?}", shown(&record.key), shown(&record.value))
}

fn make_parent(path: &Path) {
    fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
}

fn set_age(path: &Path, step: &Json) {
    if let Some(age_s) = step["mtime_age_s"].as_f64() {
        let modified = SystemTime::now() - Duration::from_secs_f64(age_s);
        let file = OpenOptions::new().write(true).open(path);
        file.and_then(|file| file.set_modified(modified)).expect("a modification time");
    }
}

/// All regular files below a directory.
fn list(dir: &Path, before: &str, found: &mut Vec<(String, u64)>) {
    // One may go while the agent runs.
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = format!("{before}{}", entry.file_name().to_string_lossy());
        let Ok(stat) = entry.path().symlink_metadata() else { continue };
        if stat.is_dir() {
            list(&entry.path(), &format!("{name}/"), found);
        } else if !stat.file_type().is_socket() {
            found.push((name, stat.len()));
        }
    }
}

/// `*`, `?` and `[!x]`, as a shell has them, with no word of slashes.
fn is_match(glob: &[u8], name: &[u8]) -> bool {
    match glob {
        [] => name.is_empty(),
        [b'*', rest @ ..] => (0..=name.len()).any(|at| is_match(rest, &name[at..])),
        [b'?', rest @ ..] => !name.is_empty() && is_match(rest, &name[1..]),
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|b| *b == b']') else { return false };
            let (set, is_not) = match rest[..end].split_first() {
                Some((b'!' | b'^', set)) => (set, true),
                _ => (&rest[..end], false),
            };
            let is_in = |letter: &u8| set.contains(letter) != is_not;
            name.first().is_some_and(is_in) && is_match(&rest[end + 1..], &name[1..])
        }
        [letter, rest @ ..] => name.first() == Some(letter) && is_match(rest, &name[1..]),
    }
}
