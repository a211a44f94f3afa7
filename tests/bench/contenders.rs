//! Who is measured, and how each is told what to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bare::{self, Load};
use crate::process::Running;
use crate::rate::PARTITIONS;
use crate::support::{Hour, TempDir, Topic};

const FETCH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/fetch");
const REFERENCE: &str = include_str!("../support/log010.conf");
/// The format of `targetFilename` in the reference configuration.
const HOUR: &str = "%Y%m%d%H";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contender {
    Ours,
    /// Another build of ours, and what it is called.
    Other {
        program: PathBuf,
        name: &'static str,
    },
    /// Our wire alone: no file, no checkpoint.
    Bare(Load),
    /// Reads a file once and ends: no tailing, no checkpoint.
    Kcat,
    Rsyslog,
    /// Flume 1.11 with TAILDIR, and the folder of its jars.
    Flume(String),
}

/// How brokers are reached where that is not in the clear.
#[derive(Debug, Clone)]
pub struct Way {
    /// `host:port,...`
    pub brokers: String,
    /// Properties of our configuration.
    pub properties: String,
    /// Of librdkafka.
    pub settings: Vec<String>,
}

/// A directory with files to read, for one run of one contender.
pub struct Job {
    pub dir: TempDir,
    hour: Hour,
    /// Of the topic.
    pub partitions: i32,
    /// Codec of the producer, as Kafka names it.
    pub codec: Option<&'static str>,
    /// Ours in place of the reference; `@TOPIC@` and `@BROKERS@` are filled in.
    pub configuration: Option<String>,
    /// Further properties of our configuration.
    pub properties: String,
    /// `None`: in the clear.
    pub way: Option<Way>,
}

impl Job {
    pub fn new() -> Job {
        let dir = TempDir::new("bench");
        fs::create_dir(dir.path().join("spool")).expect("a new directory");
        // The hour must not end while the job runs.
        let hour = Hour::calm(HOUR);
        let (partitions, properties) = (PARTITIONS, String::new());
        Job { dir, hour, partitions, codec: None, configuration: None, properties, way: None }
    }

    pub fn spool(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    /// Where the file of the present hour is.
    pub fn live(&self) -> PathBuf {
        self.spool().join(self.hour.name("010_{H}.log"))
    }

    fn brokers<'a>(&'a self, topic: &'a Topic) -> &'a str {
        self.way.as_ref().map_or(topic.bootstrap(), |way| &way.brokers)
    }

    /// The same bytes under the name of the present hour.
    pub fn link(self, data: &Path) -> Job {
        fs::hard_link(data, self.live()).expect("a link in the same file system");
        self
    }
}

impl Contender {
    pub fn name(&self) -> &'static str {
        match self {
            Contender::Ours => "flume-ng",
            Contender::Other { name, .. } => name,
            Contender::Bare(_) => "our wire alone (no file, no checkpoint)",
            Contender::Kcat => "kcat -P -l (no checkpoint)",
            Contender::Rsyslog => "rsyslog imfile + omkafka",
            Contender::Flume(_) => "Flume 1.11 TAILDIR + Kafka channel",
        }
    }

    /// All that can be had on this machine, and a line on each that cannot.
    pub fn all() -> (Vec<Contender>, Vec<String>) {
        let (mut found, mut missing) = (vec![Contender::Ours], Vec::new());
        for what in ["kcat", "rsyslog", "flume"] {
            let output = Command::new(FETCH).arg(what).output().expect("tests/bench/fetch runs");
            let said = String::from_utf8_lossy(&output.stderr);
            if !output.status.success() {
                let why = said.trim().lines().last().unwrap_or("it did not say why").to_string();
                missing.push(format!("{what} is left out: {why}"));
                continue;
            }
            let jars = String::from_utf8_lossy(&output.stdout).trim().to_string();
            found.push(match what {
                "kcat" => Contender::Kcat,
                "rsyslog" => Contender::Rsyslog,
                _ => Contender::Flume(jars),
            });
        }
        (found, missing)
    }

    /// Can it tail a file that grows?
    pub fn tails(&self) -> bool {
        !matches!(self, Contender::Kcat | Contender::Bare(_))
    }

    pub fn start(&self, job: &Job, topic: &Topic) -> Running {
        Running::start(self.command(job, topic), &job.dir.path().join("log"))
    }

    fn command(&self, job: &Job, topic: &Topic) -> Command {
        match self {
            Contender::Ours => ours(Path::new(env!("CARGO_BIN_EXE_flume-ng")), job, topic),
            Contender::Other { program, .. } => ours(program, job, topic),
            Contender::Bare(load) => bare(load, job, topic),
            Contender::Kcat => kcat(job, topic),
            Contender::Rsyslog => rsyslog(job, topic),
            Contender::Flume(jars) => flume(jars, job, topic),
        }
    }
}

/// Our configuration for a job, written into its directory.
pub fn configure(job: &Job, topic: &str, bootstrap: &str) -> PathBuf {
    let configuration = job.configuration.as_deref().unwrap_or(REFERENCE);
    let mut conf = (configuration.to_string() + &job.properties)
        .replace("@SPOOL@", job.spool().to_str().expect("UTF-8"))
        .replace("@TOPIC@", topic)
        .replace("@BROKERS@", bootstrap)
        .replace("@GROUP@", "bench")
        .replace("@ZK@", "127.0.0.1:1");
    if let Some(codec) = job.codec {
        conf += &format!("\na1.channels.c1.kafka.producer.compression.type = {codec}\n");
    }
    conf += job.way.as_ref().map_or("", |way| &way.properties);
    let path = job.dir.path().join("flume.conf");
    fs::write(&path, conf).expect("a configuration file");
    path
}

fn ours(program: &Path, job: &Job, topic: &Topic) -> Command {
    let conf = configure(job, topic.name(), job.brokers(topic));
    let mut command = Command::new(program);
    command.args(["agent", "--name", "a1", "--conf-file"]).arg(conf);
    command
}

fn bare(load: &Load, job: &Job, topic: &Topic) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this benchmark"));
    command.args(["--bench", bare::ARGUMENT, job.brokers(topic), topic.name()]);
    command.args(load.arguments());
    command
}

fn kcat(job: &Job, topic: &Topic) -> Command {
    let mut command = Command::new("kcat");
    command.args(["-P", "-b", job.brokers(topic), "-t", topic.name(), "-X", "acks=all"]);
    for setting in job.way.iter().flat_map(|way| &way.settings) {
        command.args(["-X", setting]);
    }
    if let Some(codec) = job.codec {
        command.args(["-z", codec]);
    }
    command.arg("-l").arg(job.live());
    command
}

fn rsyslog(job: &Job, topic: &Topic) -> Command {
    let dir = job.dir.path().display();
    let settings = job.way.iter().flat_map(|way| &way.settings);
    let settings: String = settings.map(|setting| format!(", \"{setting}\"")).collect();
    let conf = format!(
        r#"global(workDirectory="{dir}")
module(load="imfile")
module(load="omkafka")
template(name="line" type="string" string="%msg%")
input(type="imfile" file="{dir}/spool/*" tag="bench:" ruleset="kafka")
ruleset(name="kafka" queue.type="LinkedList" queue.size="50000") {{
  action(type="omkafka" broker=["{}"] topic="{}" template="line"
         partitions.auto="on" confParam=["acks=all"{settings}] resubmitOnFailure="on"
         keepFailedMessages="on" failedMsgFile="{dir}/failed")
}}
"#,
        job.brokers(topic),
        topic.name()
    );
    let path = job.dir.path().join("rsyslog.conf");
    fs::write(&path, conf).expect("a configuration file");
    let mut command = Command::new("rsyslogd");
    command.arg("-n").arg("-f").arg(path).arg("-i").arg(job.dir.path().join("pid"));
    command
}

fn flume(jars: &str, job: &Job, topic: &Topic) -> Command {
    let dir = job.dir.path().display();
    // Without a sink, which would only read the topic back: less work than in the reference.
    let conf = format!(
        "a1.sources = r1
a1.channels = c1
a1.sources.r1.type = TAILDIR
a1.sources.r1.filegroups = f1
a1.sources.r1.filegroups.f1 = {dir}/spool/.*
a1.sources.r1.positionFile = {dir}/position.json
a1.sources.r1.batchSize = 100
a1.sources.r1.channels = c1
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.kafka.bootstrap.servers = {}
a1.channels.c1.kafka.topic = {}
a1.channels.c1.kafka.producer.acks = all
",
        topic.bootstrap(),
        topic.name()
    );
    let path = job.dir.path().join("flume.conf");
    fs::write(&path, conf).expect("a configuration file");
    let mut command = Command::new("java");
    command.args(["-Xmx512m", "-cp", &format!("{jars}/*"), "org.apache.flume.node.Application"]);
    command.args(["--name", "a1", "--no-reload-conf", "--conf-file"]).arg(path);
    command
}
