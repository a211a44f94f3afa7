//! The wire before Kafka 0.11, by the `kafka` crate: message sets of magic 0, one request at a
//! time, no identity in the log.
//!
//! The crate writes; what is read goes over a connection of our own. The crate's reader returns
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
use kafka_protocol::messages::MetadataResponse;

use super::batch::{Batch, Wire};
use super::broker::{Answer, Fault, Progress, Topic};
use super::cluster::{Cluster, Word, metadata, without_leader};
use super::finish::Waits;
use super::greet::LOOK_PAUSE;
use super::lane::Lane;
use super::protocol::{self, Api, begin_frame, end_frame, put_string};
use super::records::{ReadError, Reader};
use super::walk::{END, Log, Piece, Ticket, untold};
use super::wire::{ANSWER_BYTES_MAX, FETCH_BYTES_MAX, answer_timeout, pause};
use crate::config::model::Compression;
use crate::os::{self, Interest};

/// The crate opens a new connection, without our time limit, when the old one has been idle so
/// long: never. Whether the broker has closed it is looked at before each round instead.
const IDLE_NEVER: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Tries to have the crate see the topic whose leaders we have seen, and the pause between.
const METADATA_TRIES: u32 = 10;
const METADATA_PAUSE: Duration = Duration::from_millis(100);

/// Both before 0.10, version 0: taken by every broker before 4.0.
const FETCH_0: Api = Api { key: 1, name: "Fetch", lowest: 0, highest: 0 };
const LIST_OFFSETS_0: Api = Api { key: 2, name: "ListOffsets", lowest: 0, highest: 0 };

/// A topic on a cluster that is spoken to in the old way; connected, or of no further use.
pub struct Legacy {
    topic: String,
    client_id: String,
    codec: Codec,
    request_timeout_ms: u32,
    told_by: String,
    partitions: Vec<i32>,
    led_by: Vec<Option<usize>>,
    /// Our own connections to the leaders, for reading.
    readers: Vec<Lane>,
    ends: Option<Ends>,
    /// The question how the topic is now, if it is under way.
    asked: Option<(Ticket, Api)>,
    client: KafkaClient,
    /// The crate's sockets.
    sockets: Vec<RawFd>,
    answers: Vec<Answer>,
}

/// The ends that are asked for now.
struct Ends {
    of: Vec<i32>,
    tickets: Vec<Ticket>,
    told: Vec<i64>,
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
                let why = format!("{compression:?} needs brokers from 0.11 on");
                return Err(Fault::NotReady(why));
            }
        };
        let mut legacy = Legacy::for_reading(cluster, topic, client_id, request_timeout_ms);
        legacy.codec = codec;
        legacy.connect()?;
        Ok(legacy)
    }

    /// For reading alone: the crate does not connect.
    pub fn for_reading(
        cluster: Cluster,
        topic: &str,
        client_id: &str,
        request_timeout_ms: u32,
    ) -> Legacy {
        Legacy {
            topic: topic.to_string(),
            client_id: client_id.to_string(),
            codec: Codec::NONE,
            request_timeout_ms,
            told_by: cluster.told_by,
            partitions: cluster.topic.partitions,
            led_by: cluster.led_by,
            readers: cluster
                .leaders
                .into_iter()
                .map(|leader| Lane::new(leader, answer_timeout(request_timeout_ms)))
                .collect(),
            ends: None,
            asked: None,
            client: KafkaClient::new(Vec::new()),
            sockets: Vec::new(),
            answers: Vec::new(),
        }
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
            if seen.is_some_and(|n| n >= self.led_by.iter().flatten().count()) {
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
        self.sockets = os::open_sockets().into_iter().filter(|fd| !before.contains(fd)).collect();
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
            batch.values().map(move |v| ProduceMessage::new(topic, partition, None, Some(v)))
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
                let why = format!("{} does not speak of partition {partition}", self.told_by);
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

    /// See `Broker::end_offsets`.
    pub fn end_offsets(&mut self, partitions: &[i32]) -> Result<Progress<Vec<i64>>, Fault> {
        let ends = match self.ends.take() {
            Some(ends) if ends.of == partitions => Some(ends),
            _ => None,
        };
        let mut ends = match ends {
            Some(ends) => ends,
            None => {
                self.readers.iter_mut().for_each(Lane::abandon_questions);
                let tickets: Result<Vec<Ticket>, Fault> =
                    partitions.iter().map(|p| self.ask_offset(*p, END)).collect();
                Ends { of: partitions.to_vec(), tickets: tickets?, told: Vec::new() }
            }
        };
        while let Some(ticket) = ends.tickets.get(ends.told.len()) {
            match self.take_offset(*ticket)? {
                Progress::Done(end) => {
                    ends.told.push(end.ok_or_else(|| untold(ticket.partition))?);
                }
                Progress::Pending => {
                    self.ends = Some(ends);
                    return Ok(Progress::Pending);
                }
            }
        }
        Ok(Progress::Done(ends.told))
    }

    /// See `Broker::leader`.
    pub fn leader(&self, partition: i32) -> Option<String> {
        let index = self.partitions.binary_search(&partition).ok()?;
        self.led_by[index].map(|lane| self.readers[lane].peer().to_owned())
    }

    fn partition_fault(&self, api: Api, code: i16, partition: i32) -> Fault {
        let fault = protocol::partition_fault(api, code, partition, &self.topic);
        match self.leader(partition) {
            Some(peer) => fault.told_by(&peer),
            None => fault,
        }
    }

    /// See `Broker::survey`. Our own connection may have been closed for idleness, since lines go
    /// over the crate's.
    pub fn survey(&mut self) -> Result<Progress<Topic>, Fault> {
        let reader = &mut self.readers[0];
        reader.receive(&mut |_, _, _| Ok(()))?;
        if reader.is_closed() {
            return Err(Fault::Idle(format!("{} closed the idle connection", reader.peer())));
        }
        let (ticket, api) = match self.asked {
            Some(asked) => asked,
            None => {
                let (api, version, request) =
                    metadata(Some(&reader.versions), reader.peer(), &self.topic, false)?;
                let correlation = reader.next_correlation();
                let frame = protocol::frame(api, version, correlation, &self.client_id, &request)?;
                reader.ask(&frame, correlation, ANSWER_BYTES_MAX)?;
                (Ticket { partition: 0, lane: 0, correlation, version }, api)
            }
        };
        self.asked = Some((ticket, api));
        let Progress::Done(answer) = self.take(ticket)? else { return Ok(Progress::Pending) };
        self.asked = None;
        let answer: MetadataResponse =
            protocol::decode(api, ticket.version, &answer, &self.told_by)?;
        Ok(Progress::Done(Word::of(&answer, &self.topic)?.topic(Wire::Legacy)))
    }

    fn garbled(&self, api: Api) -> Fault {
        protocol::garbled(api, &self.told_by)
    }

    /// A question about one partition to its leader: replica -1, `middle`, one topic, one
    /// partition, of which `body` speaks.
    fn ask(
        &mut self,
        api: Api,
        partition: i32,
        middle: &[u8],
        body: &[u8],
        bytes_max: usize,
    ) -> Result<Ticket, Fault> {
        let Ok(index) = self.partitions.binary_search(&partition) else {
            return Err(Fault::NotReady(format!("{} has no partition {partition}", self.topic)));
        };
        let lane = self.led_by[index].ok_or_else(|| without_leader(&self.topic, partition, -1))?;
        let reader = &mut self.readers[lane];
        let correlation = reader.next_correlation();
        let mut frame = begin_frame(api, 0, correlation, &self.client_id);
        frame.extend_from_slice(&(-1i32).to_be_bytes());
        frame.extend_from_slice(middle);
        frame.extend_from_slice(&1i32.to_be_bytes());
        put_string(&mut frame, &self.topic);
        frame.extend_from_slice(&1i32.to_be_bytes());
        frame.extend_from_slice(body);
        end_frame(&mut frame, 0);
        reader.ask(&frame, correlation, bytes_max)?;
        Ok(Ticket { partition, lane, correlation, version: 0 })
    }

    /// Its answer, if it has come.
    fn take(&mut self, ticket: Ticket) -> Result<Progress<Vec<u8>>, Fault> {
        let reader = &mut self.readers[ticket.lane];
        // What is produced goes over the crate's connections.
        reader.receive(&mut |_, _, _| Ok(()))?;
        Ok(reader.take(ticket.correlation))
    }
}

/// Reads to the error code of the only partition of the only topic of an answer.
fn partition_head(r: &mut Reader<'_>, partition: i32) -> Result<i16, ReadError> {
    let topics = r.i32()?;
    r.text()?;
    let partitions = r.i32()?;
    if topics != 1 || partitions != 1 || r.i32()? != partition {
        return Err(ReadError::Malformed);
    }
    r.i16()
}

impl Waits for Legacy {
    fn descriptors(&self, add: &mut dyn FnMut(RawFd, bool)) {
        self.readers.iter().filter(|reader| reader.is_busy()).for_each(|r| r.descriptors(add));
    }

    fn patience(&self) -> Duration {
        LOOK_PAUSE
    }
}

impl Log for Legacy {
    fn ask_piece(
        &mut self,
        partition: i32,
        offset: i64,
        bytes_max: usize,
    ) -> Result<Ticket, Fault> {
        // Longest wait and least bytes: neither.
        let middle = [0; 8];
        let mut body = partition.to_be_bytes().to_vec();
        body.extend_from_slice(&offset.to_be_bytes());
        body.extend_from_slice(&(bytes_max as i32).to_be_bytes());
        self.ask(FETCH_0, partition, &middle, &body, FETCH_BYTES_MAX)
    }

    fn take_piece(&mut self, ticket: Ticket) -> Result<Progress<Piece>, Fault> {
        let partition = ticket.partition;
        let Progress::Done(answer) = self.take(ticket)? else { return Ok(Progress::Pending) };
        let mut r = Reader(&answer);
        let told = (|| {
            let code = partition_head(&mut r, partition)?;
            Ok((code, r.i64()?, r.bytes()?.unwrap_or_default()))
        })();
        match told {
            Ok((0, high_watermark, records)) => {
                Ok(Progress::Done(Piece::Log { records: records.to_vec(), high_watermark }))
            }
            Ok((1, ..)) => Ok(Progress::Done(Piece::OutOfRange)),
            Ok((code, ..)) => Err(self.partition_fault(FETCH_0, code, partition)),
            Err(ReadError::Malformed | ReadError::Unpack(_)) => Err(self.garbled(FETCH_0)),
        }
    }

    /// Before 0.11 an offset that stands before everything of `time` or later: where a segment of
    /// the log begins that is older; none if all are younger.
    fn ask_offset(&mut self, partition: i32, time: i64) -> Result<Ticket, Fault> {
        let mut body = partition.to_be_bytes().to_vec();
        body.extend_from_slice(&time.to_be_bytes());
        body.extend_from_slice(&1i32.to_be_bytes());
        self.ask(LIST_OFFSETS_0, partition, &[], &body, ANSWER_BYTES_MAX)
    }

    fn take_offset(&mut self, ticket: Ticket) -> Result<Progress<Option<i64>>, Fault> {
        let partition = ticket.partition;
        let Progress::Done(answer) = self.take(ticket)? else { return Ok(Progress::Pending) };
        let mut r = Reader(&answer);
        let told = (|| {
            let code = partition_head(&mut r, partition)?;
            let count = r.i32()?;
            Ok((code, if count > 0 { r.i64()? } else { -1 }))
        })();
        match told {
            Ok((0, offset)) => Ok(Progress::Done(protocol::told_offset(offset))),
            Ok((code, _)) => Err(self.partition_fault(LIST_OFFSETS_0, code, partition)),
            Err(ReadError::Malformed | ReadError::Unpack(_)) => Err(self.garbled(LIST_OFFSETS_0)),
        }
    }
}
