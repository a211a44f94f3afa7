//! The wire before Kafka 0.10, by the `kafka` crate: message sets of magic 0, one request at a
//! time, no identity in the log.
//!
//! The crate writes; what is read goes over a connection of our own (`middle.rs`). The crate's reader returns
//! only what a compressed message wraps and drops plain messages in front of it, so that a batch
//! of ours could stand in the log and not be seen; its calls cannot be cut short; and a length
//! that makes no sense ends the process.
//!
//! Of the crate's calls only `load_metadata`, `fetch_offsets` and `produce_messages` remain, each
//! under `os::arm_last_words` and right after the same broker has answered us. Its sockets, which
//! it does not hand out, are found among the descriptors of the process and given a time limit
//! in place of its fixed 120 s; and their connections are reset when they are closed, so that
//! nothing of a round that was given up is still sent.

use std::os::fd::RawFd;
use std::time::Duration;

use kafka::client::{Compression as Codec, FetchOffset, KafkaClient, ProduceMessage, RequiredAcks};
use kafka::error::{Error, KafkaCode};

use super::batch::Batch;
use super::broker::{Answer, Fault};
use super::cluster::Cluster;
use super::finish::Waits;
use super::greet::LOOK_PAUSE;
use super::middle::Middle;
use super::protocol;
use super::wire::{answer_timeout, pause};
use crate::config::model::Compression;
use crate::os::{self, Interest};

/// The crate opens a new connection, without our time limit, when the old one has been idle so
/// long: never. Whether the broker has closed it is looked at before each round instead.
const IDLE_NEVER: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Tries to have the crate see the topic whose leaders we have seen, and the pause between.
const METADATA_TRIES: u32 = 10;
const METADATA_PAUSE: Duration = Duration::from_millis(100);

/// A topic on a cluster that is spoken to in the old way; connected, or of no further use.
pub struct Legacy {
    topic: String,
    client_id: String,
    codec: Codec,
    request_timeout_ms: u32,
    told_by: String,
    /// How many partitions have a leader.
    led: usize,
    /// Our own connections to the leaders, for reading.
    pub reader: Middle,
    client: KafkaClient,
    /// The crate's sockets.
    sockets: Vec<RawFd>,
    answers: Vec<Answer>,
}

impl Legacy {
    /// Has the crate connect where `cluster` has just been found.
    ///
    /// # Errors
    /// `NotReady`, where the crate does not see the leaders; `Lost`, `Stopped`.
    pub fn new(
        cluster: Cluster,
        topic: &str,
        client_id: &str,
        compression: Compression,
        request_timeout_ms: u32,
    ) -> Result<Legacy, Fault> {
        let codec = match compression {
            Compression::None => Codec::NONE,
            Compression::Gzip => Codec::GZIP,
            Compression::Snappy => Codec::SNAPPY,
            Compression::Lz4 | Compression::Zstd => {
                let why = format!("{compression:?} needs newer brokers than these");
                return Err(Fault::NotReady(why));
            }
        };
        let mut legacy = Legacy {
            topic: topic.to_string(),
            client_id: client_id.to_string(),
            codec,
            request_timeout_ms,
            told_by: cluster.told_by.clone(),
            led: cluster.led_by.iter().flatten().count(),
            reader: Middle::new(cluster, topic, client_id, request_timeout_ms),
            client: KafkaClient::new(Vec::new()),
            sockets: Vec::new(),
            answers: Vec::new(),
        };
        legacy.connect()?;
        Ok(legacy)
    }

    fn answer_timeout(&self) -> Duration {
        answer_timeout(self.request_timeout_ms)
    }

    /// A new client with a connection to each leader. After any error the old one is of no use:
    /// it keeps its dead connections.
    fn connect(&mut self) -> Result<(), Fault> {
        let before = os::open_sockets();
        let mut client = KafkaClient::new(vec![self.told_by.clone()]);
        client.set_client_id(self.client_id.clone());
        client.set_compression(self.codec);
        client.set_connection_idle_timeout(IDLE_NEVER);
        self.sockets.clear();
        for attempt in 1.. {
            if os::stop_requested().is_some() {
                return Err(Fault::Stopped);
            }
            let result = {
                let _guard = os::arm_last_words(self.last_words());
                client.load_metadata(&[&self.topic])
            };
            result.map_err(|e| self.lost(&e))?;
            let seen = client.topics().partitions(&self.topic).map(|p| p.available_ids().len());
            if seen.is_some_and(|n| n >= self.led) {
                break;
            }
            if attempt == METADATA_TRIES {
                let why = format!("topic {} has no leaders yet", self.topic);
                return Err(Fault::NotReady(why));
            }
            pause(METADATA_PAUSE)?;
        }
        // Any question to all leaders makes the crate connect to them.
        let result = {
            let _guard = os::arm_last_words(self.last_words());
            client.fetch_offsets(&[&self.topic], FetchOffset::Latest)
        };
        result.map_err(|e| self.lost(&e))?;
        let ports = self.ports(&client);
        // Others may have come meanwhile where the process has several threads, as tests have.
        let is_its = |fd: &RawFd| {
            !before.contains(fd) && os::peer_port(*fd).is_some_and(|port| ports.contains(&port))
        };
        self.sockets = os::open_sockets().into_iter().filter(is_its).collect();
        for fd in &self.sockets {
            // Where it cannot be set, the crate's own limit holds.
            let _ = os::set_io_timeout(*fd, self.answer_timeout());
            // A round that is given up must not go on from the kernel's buffer, over a link that
            // is slow, and arrive after the settle time.
            let _ = os::reset_at_close(*fd);
        }
        self.client = client;
        Ok(())
    }

    /// Where the crate's connections lead.
    fn ports(&self, client: &KafkaClient) -> Vec<u16> {
        let topics = client.topics();
        let partitions = topics.partitions(&self.topic);
        let leaders = partitions.iter().flat_map(|p| p.iter()).filter_map(|p| p.leader());
        let hosts = leaders.map(|leader| leader.host()).chain([self.told_by.as_str()]);
        hosts.filter_map(|host| host.rsplit_once(':')?.1.parse().ok()).collect()
    }

    fn last_words(&self) -> String {
        format!("stopped while {} does not answer; what is in doubt stays so\n", self.told_by)
    }

    fn lost(&self, error: &Error) -> Fault {
        let peer = &self.told_by;
        match error {
            Error::Kafka(code) => {
                protocol::fault(*code as i16, "the topic's metadata").told_by(peer)
            }
            Error::Io(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                let waited = self.answer_timeout().as_millis();
                Fault::Overdue(format!("{peer}: no answer in {waited} ms"))
            }
            other => Fault::Lost(format!("{peer}: {other}")),
        }
    }

    /// See `Broker::send`: returns when the round is answered.
    pub fn send(&mut self, round: &[&Batch]) -> Result<(), Fault> {
        if os::stop_requested().is_some() {
            return Err(Fault::Stopped);
        }
        if self.is_closed() {
            return Err(Fault::Lost(format!("{} closed the connection", self.told_by)));
        }
        let topic = self.topic.as_str();
        let messages = round.iter().flat_map(|batch| {
            let partition = batch.partition();
            batch.values().enumerate().map(move |(n, value)| {
                ProduceMessage::new(topic, partition, batch.key(n), Some(value))
            })
        });
        let timeout = Duration::from_millis(self.request_timeout_ms.into());
        let result = {
            let _guard = os::arm_last_words(self.last_words());
            self.client.produce_messages(RequiredAcks::All, timeout, messages)
        };
        let confirms = result.map_err(|e| match e {
            // The crate's own view of the leaders has a hole: nothing was sent.
            Error::Kafka(code) => {
                protocol::fault(code as i16, &format!("topic {topic}")).told_by(&self.told_by)
            }
            other => self.lost(&other),
        })?;
        let told: Vec<(i32, Result<i64, KafkaCode>)> = confirms
            .iter()
            .flat_map(|c| &c.partition_confirms)
            .map(|p| (p.partition, p.offset))
            .collect();
        self.judge(round, &told)
    }

    fn judge(
        &mut self,
        round: &[&Batch],
        told: &[(i32, Result<i64, KafkaCode>)],
    ) -> Result<(), Fault> {
        for batch in round {
            let partition = batch.partition();
            let Some((_, result)) = told.iter().find(|(p, _)| *p == partition) else {
                let why = format!("{} says nothing of partition {partition}", self.told_by);
                return Err(Fault::Lost(why));
            };
            let (code, base_offset) = match *result {
                Ok(base_offset) => (0, base_offset),
                Err(code) => (code as i16, -1),
            };
            let verdict = protocol::verdict(code, base_offset, &self.topic, &self.told_by)?;
            self.answers.push(Answer { partition, base_sequence: batch.base_sequence(), verdict });
        }
        Ok(())
    }

    /// A broker closes what has been idle (`connections.max.idle.ms`): the socket can be read
    /// from though nothing is under way. Written to, it would leave the round in doubt; made anew,
    /// it might lead to another cluster.
    fn is_closed(&self) -> bool {
        let interests: Vec<Interest> =
            self.sockets.iter().map(|fd| Interest { fd: *fd, write: false }).collect();
        !interests.is_empty() && os::wait(&interests, Duration::ZERO).unwrap_or(true)
    }

    /// See `Broker::receive`.
    pub fn receive(&mut self, answers: &mut Vec<Answer>) -> Result<(), Fault> {
        answers.append(&mut self.answers);
        match answers.is_empty() && self.is_closed() {
            true => Err(Fault::Idle(format!("{} closed the idle connection", self.told_by))),
            false => Ok(()),
        }
    }
}

impl Waits for Legacy {
    fn descriptors(&self, add: &mut dyn FnMut(RawFd, bool)) {
        self.reader.busy_descriptors(add);
    }

    fn patience(&self) -> Duration {
        LOOK_PAUSE
    }
}
