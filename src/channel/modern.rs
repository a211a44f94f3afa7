//! The wire from Kafka 0.11 on: record batches with producer id, epoch and sequence.
//!
//! One connection to each leader, or up to three (`growth.rs`); the answers on each come in the order of the
//! requests. Up to five rounds are under way at once: so many batches of a producer and partition a broker remembers,
//! and among them it knows a resend.
//!
//! # Why look-then-resend is exact
//! A consumer, and so a look, sees a log up to the high watermark only. A batch that a follower
//! has not fetched yet stands in the leader's log behind it, unseen. So "not found" does not mean
//! "not there". It need not: the same batch is sent again with the same identity, and the leader
//! compares that with what stands in its *whole* log. If the batch is there, it is acknowledged
//! with its old offset and not appended. If another replica became leader without it, it is not
//! there, will never be, and is appended. A look is needed for the other case, that the batch was
//! seen by all and the broker has forgotten the producer since (`producer.id.expiration.ms`): then
//! a resend would be appended a second time, but then, too, the batch has long been below the high
//! watermark and is found. The gap that is left, forgotten and at once still unseen, needs a
//! follower in sync that has not fetched for longer than the producer's expiration.

use std::collections::{HashMap, VecDeque};
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{
    BrokerId, FetchRequest, FetchResponse, InitProducerIdRequest, InitProducerIdResponse,
    ListOffsetsRequest, ListOffsetsResponse, MetadataResponse, ProduceResponse, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::batch::{Batch, Identity, Wire};
use super::broker::{Answer, Fault, Progress, Throttled, Topic, Verdict};
use super::client::Client;
use super::cluster::{Cluster, OPEN_TIMEOUT, Word, metadata};
use super::finish::Waits;
use super::greet::{Greeting, LOOK_PAUSE};
use super::growth::Growth;
use super::lane::{InFlight, Lane};
use super::lanes::{Lanes, Speaker};
use super::protocol::{self, Api, Denial, FETCH, INIT_PRODUCER_ID, LIST_OFFSETS, PRODUCE};
use super::sasl::tries;
use super::walk::{END, Log, Piece, Ticket, untold};
use super::wire::{ANSWER_BYTES_MAX, FETCH_BYTES_MAX, answer_timeout};
use crate::log;

/// Rounds under way at once: a broker remembers the last five batches of a producer (KAFKA-5494).
pub const ROUNDS_IN_FLIGHT_MAX: usize = 5;
/// Between two tries to get a producer id from a broker that has just started.
const COORDINATOR_PAUSE: Duration = Duration::from_millis(100);

/// How long a leader that did not answer has for it when it is greeted again.
const PROBE_TIMEOUT: Duration = Duration::from_millis(2_000);

/// A topic on a cluster of brokers from 0.11 on; connected, or of no further use.
pub struct Modern {
    client: Client,
    /// Each is greeted again in its turn.
    unreached: VecDeque<Unreached>,
    probe: Probe,
    lanes: Lanes,
    growth: Growth,
    /// Answers to produce requests that were not asked for yet.
    answers: Vec<Answer>,
    question: Question,
}

/// A leader that did not answer, `host:port`.
struct Unreached {
    address: String,
    /// It has answered since, and refused the login: it is not greeted before.
    rests_until: Option<Instant>,
}

impl Unreached {
    fn new(address: String) -> Unreached {
        Unreached { address, rests_until: None }
    }

    /// One wrong login a minute, as everywhere. The brokers that believe it are no part of that.
    fn rest(&mut self, why: &str) {
        self.rests_until = Some(Instant::now() + tries::REST);
        log::warn(
            "kafka.KafkaChannel",
            format_args!(
                "{} answers again and refuses the login: it still counts as none, and is asked again \
                 in {} s: {why}",
                self.address,
                tries::REST.as_secs()
            ),
        );
    }

    fn may_be_greeted(&self) -> bool {
        self.rests_until.is_none_or(|until| Instant::now() >= until)
    }
}

/// Whether one of the leaders that did not answer does so now: the first of them.
enum Probe {
    Due,
    Greeting(Box<Greeting>),
    Done,
}

/// What is asked now, but for a look.
enum Question {
    Nothing,
    Producer {
        until: Instant,
        state: Coordinator,
    },
    /// How the topic is now.
    Topic {
        ticket: Ticket,
        api: Api,
    },
    /// Each with the places of its partitions in the question.
    Ends {
        of: Vec<i32>,
        left: Vec<(Ticket, Vec<usize>)>,
        ends: Vec<i64>,
    },
}

#[derive(Clone, Copy)]
enum Coordinator {
    Asked(Ticket),
    Later(Instant),
}

impl Modern {
    /// Takes over the connections of `cluster`.
    pub fn new(cluster: Cluster, topic: &str, client: &Client, request_timeout_ms: u32) -> Modern {
        let timeout = answer_timeout(request_timeout_ms);
        let speaker = Speaker { topic, client_id: &client.id, request_timeout_ms };
        let growth = Growth::new(&cluster.topic);
        let partitions = cluster.topic.partitions;
        Modern {
            growth,
            lanes: Lanes::new(speaker, partitions, cluster.led_by, cluster.leaders, timeout),
            client: client.clone(),
            unreached: cluster.unreached.into_iter().map(Unreached::new).collect(),
            probe: Probe::Due,
            answers: Vec::new(),
            question: Question::Nothing,
        }
    }

    /// See `Broker::init_producer`. A broker that has just started says for a moment that it does
    /// not know who hands out ids (14, 15, 16) or is still loading (51).
    pub fn init_producer(&mut self) -> Result<Progress<Identity>, Fault> {
        let (until, state) = match self.question {
            Question::Producer { until, state } => (until, state),
            _ => {
                self.abandon_questions();
                (Instant::now() + OPEN_TIMEOUT, Coordinator::Asked(self.ask_producer()?))
            }
        };
        self.question = Question::Nothing;
        self.pump()?;
        let ticket = match state {
            Coordinator::Asked(ticket) => ticket,
            Coordinator::Later(at) if Instant::now() < at => {
                self.question = Question::Producer { until, state };
                return Ok(Progress::Pending);
            }
            Coordinator::Later(_) => self.ask_producer()?,
        };
        let answer = self.take::<InitProducerIdResponse>(INIT_PRODUCER_ID, ticket)?;
        let state = match answer {
            Progress::Pending => Coordinator::Asked(ticket),
            Progress::Done(answer) => match ResponseError::try_from_code(answer.error_code) {
                None => {
                    let producer_id = answer.producer_id.0;
                    let epoch = answer.producer_epoch;
                    return Ok(Progress::Done(Identity { producer_id, epoch }));
                }
                Some(
                    ResponseError::CoordinatorLoadInProgress
                    | ResponseError::CoordinatorNotAvailable
                    | ResponseError::NotCoordinator
                    | ResponseError::ConcurrentTransactions,
                ) if Instant::now() + COORDINATOR_PAUSE < until => {
                    Coordinator::Later(Instant::now() + COORDINATOR_PAUSE)
                }
                Some(error) => {
                    let code = error.code();
                    let denial = protocol::denial(code).filter(|denial| *denial != Denial::Group);
                    let fault = match denial {
                        Some(denial) => {
                            protocol::denied(INIT_PRODUCER_ID, denial, &self.lanes.topic)
                        }
                        None => protocol::fault(code, "a producer id"),
                    };
                    return Err(fault.told_by(self.lanes.all[0].peer()));
                }
            },
        };
        self.question = Question::Producer { until, state };
        Ok(Progress::Pending)
    }

    fn ask_producer(&mut self) -> Result<Ticket, Fault> {
        // Without a transactional id the time limit has no meaning, but must be positive.
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(60_000);
        self.ask(0, 0, INIT_PRODUCER_ID, &request, ANSWER_BYTES_MAX)
    }

    /// See `Broker::survey`: whoever leads the first partition is asked.
    /// A leader that did not answer counts as none as long as it does not.
    pub fn survey(&mut self) -> Result<Progress<Topic>, Fault> {
        if self.is_probing() {
            return Ok(Progress::Pending);
        }
        let (ticket, api) = match self.question {
            Question::Topic { ticket, api } => (ticket, api),
            _ => {
                self.abandon_questions();
                let lane = &self.lanes.all[0];
                let (api, version, request) =
                    metadata(Some(&lane.versions), lane.peer(), &self.lanes.topic, false)?;
                (self.ask_as(0, 0, (api, version), &request, ANSWER_BYTES_MAX)?, api)
            }
        };
        self.question = Question::Topic { ticket, api };
        self.pump()?;
        let answer = self.take::<MetadataResponse>(api, ticket)?;
        let Progress::Done(answer) = answer else { return Ok(Progress::Pending) };
        self.question = Question::Nothing;
        self.probe = Probe::Due;
        let word = Word::of(&answer, &self.lanes.topic)?;
        let word = word.without(|address| self.unreached.iter().any(|u| u.address == address))?;
        Ok(Progress::Done(word.topic(Wire::Modern)))
    }

    /// Is the answer of one still waited for? One that has answered is no longer unreached.
    fn is_probing(&mut self) -> bool {
        let probe = match std::mem::replace(&mut self.probe, Probe::Done) {
            Probe::Due => {
                let next = self.unreached.iter().position(Unreached::may_be_greeted);
                let Some(next) = next else { return false };
                self.unreached.rotate_left(next);
                let until = Instant::now() + PROBE_TIMEOUT;
                let address = &self.unreached[0].address;
                Greeting::start(address, &self.lanes.topic, &self.client, until).map(Box::new)
            }
            Probe::Greeting(greeting) => Ok(greeting),
            Probe::Done => return false,
        };
        match probe.and_then(|mut greeting| Ok((greeting.poll()?, greeting))) {
            Ok((Progress::Pending, greeting)) => {
                self.probe = Probe::Greeting(greeting);
                return true;
            }
            Ok((Progress::Done(_), _)) => {
                self.unreached.pop_front();
            }
            Err(fault) => {
                if let Fault::LoginRefused(why) = &fault {
                    self.unreached[0].rest(why);
                }
                self.unreached.rotate_left(1);
            }
        }
        false
    }

    /// See `Broker::end_offsets`: one question to each leader, however many partitions it leads.
    /// ListOffsets tells the high watermark, at or before the end.
    pub fn end_offsets(&mut self, partitions: &[i32]) -> Result<Progress<Vec<i64>>, Fault> {
        if !matches!(&self.question, Question::Ends { of, .. } if of == partitions) {
            self.abandon_questions();
            self.question = self.ask_ends(partitions)?;
        }
        // Those that nothing is asked, too: one that is closed must not stir for ever.
        self.pump()?;
        let question = std::mem::replace(&mut self.question, Question::Nothing);
        let Question::Ends { of, left, mut ends } = question else {
            return Ok(Progress::Pending);
        };
        let mut still = Vec::new();
        for (ticket, places) in left {
            match self.take::<ListOffsetsResponse>(LIST_OFFSETS, ticket)? {
                Progress::Pending => still.push((ticket, places)),
                Progress::Done(answer) => {
                    let told = told_offsets(&answer);
                    for at in places {
                        let end = self.told_offset(&told, of[at])?;
                        ends[at] = end.ok_or_else(|| untold(of[at]))?;
                    }
                }
            }
        }
        if still.is_empty() {
            return Ok(Progress::Done(ends));
        }
        self.question = Question::Ends { of, left: still, ends };
        Ok(Progress::Pending)
    }

    fn ask_ends(&mut self, partitions: &[i32]) -> Result<Question, Fault> {
        let mut left = Vec::new();
        for lane in 0..self.lanes.all.len() {
            let mut places = Vec::new();
            for (at, partition) in partitions.iter().enumerate() {
                if self.lanes.lane_of(*partition)? == lane {
                    places.push(at);
                }
            }
            if !places.is_empty() {
                let asked: Vec<i32> = places.iter().map(|at| partitions[*at]).collect();
                left.push((self.ask_offsets(lane, &asked, END)?, places));
            }
        }
        Ok(Question::Ends { of: partitions.to_vec(), left, ends: vec![0; partitions.len()] })
    }

    fn ask_offsets(&mut self, lane: usize, partitions: &[i32], time: i64) -> Result<Ticket, Fault> {
        let asked = |partition: &i32| {
            ListOffsetsPartition::default().with_partition_index(*partition).with_timestamp(time)
        };
        let topic = ListOffsetsTopic::default()
            .with_name(self.topic_name())
            .with_partitions(partitions.iter().map(asked).collect());
        let request =
            ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
        let first = partitions.first().copied().unwrap_or_default();
        self.ask(lane, first, LIST_OFFSETS, &request, ANSWER_BYTES_MAX)
    }

    fn told_offset(
        &self,
        told: &HashMap<i32, (i16, i64)>,
        partition: i32,
    ) -> Result<Option<i64>, Fault> {
        match told.get(&partition) {
            Some((0, offset)) => Ok(protocol::told_offset(*offset)),
            Some((code, _)) => Err(self.lanes.partition_fault(LIST_OFFSETS, *code, partition)),
            None => Err(Fault::Lost(format!("no answer for partition {partition}"))),
        }
    }

    fn topic_name(&self) -> TopicName {
        TopicName(StrBytes::from_string(self.lanes.topic.clone()))
    }

    /// A question to one of the leaders, behind whatever is under way there.
    fn ask<Q: Encodable>(
        &mut self,
        at: usize,
        partition: i32,
        api: Api,
        request: &Q,
        bytes_max: usize,
    ) -> Result<Ticket, Fault> {
        let lane = &self.lanes.all[at];
        let version = lane.versions.common(api, lane.peer())?;
        self.ask_as(at, partition, (api, version), request, bytes_max)
    }

    fn ask_as<Q: Encodable>(
        &mut self,
        at: usize,
        partition: i32,
        (api, version): (Api, i16),
        request: &Q,
        bytes_max: usize,
    ) -> Result<Ticket, Fault> {
        let lane = &mut self.lanes.all[at];
        let correlation = lane.next_correlation();
        let frame = protocol::frame(api, version, correlation, &self.client.id, request)?;
        lane.ask(&frame, correlation, bytes_max)?;
        Ok(Ticket { partition, lane: at, correlation, version })
    }

    /// Its answer, decoded, if it has come.
    fn take<A: Decodable>(&mut self, api: Api, ticket: Ticket) -> Result<Progress<A>, Fault> {
        self.pump_lane(ticket.lane)?;
        let lane = &mut self.lanes.all[ticket.lane];
        Ok(match lane.take(ticket.correlation) {
            Progress::Pending => Progress::Pending,
            Progress::Done(answer) => {
                Progress::Done(protocol::decode(api, ticket.version, &answer, lane.peer())?)
            }
        })
    }

    /// Whatever was asked is not wanted any more.
    pub fn abandon_questions(&mut self) {
        self.question = Question::Nothing;
        self.lanes.all.iter_mut().for_each(Lane::abandon_questions);
    }

    /// Reads what has come on all connections.
    pub fn pump(&mut self) -> Result<(), Fault> {
        (0..self.lanes.all.len()).try_for_each(|lane| self.pump_lane(lane))
    }

    fn pump_lane(&mut self, lane: usize) -> Result<(), Fault> {
        let (topic, answers) = (&self.lanes.topic, &mut self.answers);
        self.lanes.all[lane].receive(&mut |peer, sent, answer| {
            let answer = protocol::decode(PRODUCE, sent.version, answer, peer)?;
            verdicts(&answer, &sent.batches, topic, peer, answers)
        })
    }

    /// See `Broker::leader`.
    pub fn leader(&self, partition: i32) -> Option<String> {
        self.lanes.leader(partition)
    }

    /// See `Broker::takes`.
    pub fn takes(&self, partition: i32) -> bool {
        let lane = self.lanes.lane_of(partition);
        lane.is_ok_and(|lane| self.lanes.all[lane].rounds() < ROUNDS_IN_FLIGHT_MAX)
            && self.growth.takes(partition)
    }

    /// See `Broker::send`.
    pub fn send(&mut self, round: &[&Batch]) -> Result<(), Fault> {
        debug_assert!(round.iter().all(|batch| {
            let lane = self.lanes.lane_of(batch.partition());
            lane.map_or(true, |lane| self.lanes.all[lane].rounds() < ROUNDS_IN_FLIGHT_MAX)
        }));
        self.lanes.send(PRODUCE, round)?;
        self.growth.sent(&self.lanes);
        Ok(())
    }

    /// Is there a connection to every leader?
    pub fn is_whole(&self) -> bool {
        self.lanes.is_whole()
    }

    /// See `Broker::receive`.
    pub fn receive(&mut self, answers: &mut Vec<Answer>) -> Result<(), Fault> {
        let result = self.pump();
        self.growth.step(&mut self.lanes, &self.client);
        // What stirs is gone on with in each turn.
        if matches!(self.probe, Probe::Greeting(_)) {
            self.is_probing();
        }
        answers.append(&mut self.answers);
        result?;
        self.lanes.expect_open(answers)
    }

    /// See `Broker::throttled`.
    pub fn throttled(&mut self) -> Option<Throttled> {
        let mut most: Option<Throttled> = None;
        for lane in &mut self.lanes.all {
            let ms = lane.take_held().as_millis() as u64;
            if ms > most.as_ref().map_or(0, |most| most.ms) {
                most = Some(Throttled { peer: lane.peer().to_string(), ms });
            }
        }
        most
    }
}

impl Waits for Modern {
    fn descriptors(&self, add: &mut dyn FnMut(RawFd, bool)) {
        self.lanes.all.iter().for_each(|lane| lane.descriptors(add));
        self.growth.descriptors(add);
        if let Probe::Greeting(greeting) = &self.probe {
            greeting.descriptors(add);
        }
    }

    /// A connection that is made beside those that there are holds nothing up.
    fn is_congested(&self) -> bool {
        self.lanes.all.iter().any(Lane::is_congested)
    }

    fn patience(&self) -> Duration {
        match self.question {
            Question::Producer { state: Coordinator::Later(at), .. } => {
                at.saturating_duration_since(Instant::now()).min(LOOK_PAUSE)
            }
            _ => LOOK_PAUSE,
        }
    }
}

impl Log for Modern {
    fn ask_piece(
        &mut self,
        partition: i32,
        offset: i64,
        bytes_max: usize,
    ) -> Result<Ticket, Fault> {
        let asked = FetchPartition::default()
            .with_partition(partition)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(bytes_max as i32);
        let topic =
            FetchTopic::default().with_topic(self.topic_name()).with_partitions(vec![asked]);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_bytes(bytes_max as i32)
            .with_topics(vec![topic]);
        let lane = self.lanes.lane_of(partition)?;
        // A batch may be larger than what was asked for.
        self.ask(lane, partition, FETCH, &request, FETCH_BYTES_MAX)
    }

    fn take_piece(&mut self, ticket: Ticket) -> Result<Progress<Piece>, Fault> {
        let partition = ticket.partition;
        let Progress::Done(answer) = self.take::<FetchResponse>(FETCH, ticket)? else {
            return Ok(Progress::Pending);
        };
        if answer.error_code != 0 {
            return Err(self.lanes.partition_fault(FETCH, answer.error_code, partition));
        }
        let mut told = answer.responses.into_iter().flat_map(|t| t.partitions);
        match told.find(|p| p.partition_index == partition) {
            Some(p) if p.error_code == 0 => Ok(Progress::Done(Piece::Log {
                records: p.records.unwrap_or_default().into(),
                high_watermark: p.high_watermark,
            })),
            Some(p) if is_out_of_range(p.error_code) => Ok(Progress::Done(Piece::OutOfRange)),
            Some(p) => Err(self.lanes.partition_fault(FETCH, p.error_code, partition)),
            // From 2.0 on a broker answers so at once where a quota is used up (KIP-219).
            None if answer.throttle_time_ms > 0 => Ok(Progress::Done(Piece::Throttled)),
            None => Err(Fault::Lost(format!("no answer for partition {partition}"))),
        }
    }

    fn ask_offset(&mut self, partition: i32, time: i64) -> Result<Ticket, Fault> {
        let lane = self.lanes.lane_of(partition)?;
        self.ask_offsets(lane, &[partition], time)
    }

    fn take_offset(&mut self, ticket: Ticket) -> Result<Progress<Option<i64>>, Fault> {
        let Progress::Done(answer) = self.take::<ListOffsetsResponse>(LIST_OFFSETS, ticket)? else {
            return Ok(Progress::Pending);
        };
        self.told_offset(&told_offsets(&answer), ticket.partition).map(Progress::Done)
    }
}

fn is_out_of_range(code: i16) -> bool {
    ResponseError::try_from_code(code) == Some(ResponseError::OffsetOutOfRange)
}

/// Error and offset of each partition.
fn told_offsets(answer: &ListOffsetsResponse) -> HashMap<i32, (i16, i64)> {
    let told = answer.topics.iter().flat_map(|t| &t.partitions);
    told.map(|p| (p.partition_index, (p.error_code, p.offset))).collect()
}

/// The places of refused records in a batch of `count`, if they are some of it and not all.
fn refused_among(places: impl Iterator<Item = i32>, count: u32) -> Vec<u32> {
    let mut records: Vec<u32> = places.filter_map(|at| u32::try_from(at).ok()).collect();
    records.sort_unstable();
    records.dedup();
    let is_some =
        records.last().is_some_and(|last| *last < count) && records.len() < count as usize;
    if is_some { records } else { Vec::new() }
}

/// One answer for each batch of the request.
///
/// # Errors
/// `Lost` where the broker does not speak of one; `Unauthorised`.
fn verdicts(
    answer: &ProduceResponse,
    batches: &[InFlight],
    topic: &str,
    peer: &str,
    answers: &mut Vec<Answer>,
) -> Result<(), Fault> {
    for InFlight { partition, base_sequence, count } in batches {
        let mut told = answer.responses.iter().flat_map(|t| &t.partition_responses);
        let Some(told) = told.find(|p| p.index == *partition) else {
            return Err(Fault::Lost(format!("{peer} says nothing of partition {partition}")));
        };
        let mut verdict = protocol::verdict(told.error_code, told.base_offset, topic, peer)?;
        if let Verdict::Rejected { records, .. } = &mut verdict {
            let places = told.record_errors.iter().map(|e| e.batch_index);
            *records = refused_among(places, *count);
        }
        answers.push(Answer { partition: *partition, base_sequence: *base_sequence, verdict });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::channel::client::Security;
    use crate::channel::finish::finish;
    use crate::config::sasl::Login;
    use crate::config::secret::Secret;
    use crate::config::security;
    use crate::os::{self, Interest};

    /// A broker that answers each login by this error; where, and how many it has answered.
    fn broker(error: u8) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let logins = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&logins);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                while serve(&mut stream, error, &count).is_ok() {}
            }
        });
        (address, logins)
    }

    fn serve(stream: &mut TcpStream, error: u8, logins: &AtomicUsize) -> std::io::Result<()> {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut request = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut request)?;
        let body: &[u8] = match request[1] {
            18 => &[0, 0, 0, 0, 0, 2, 0, 17, 0, 0, 0, 1, 0, 36, 0, 0, 0, 1],
            // PLAIN is one of none that are named: nobody looks at them.
            17 => &[0; 6],
            // No words, no token, no end of the login.
            _ => {
                logins.fetch_add(1, Ordering::SeqCst);
                &[0, error, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
            }
        };
        let size = (4 + body.len() as u32).to_be_bytes();
        stream.write_all(&[&size, &request[4..8], body].concat())
    }

    /// One without any leader that answers.
    fn modern(unreached: Vec<String>) -> Modern {
        let login = Login::Plain { name: "alice".to_string(), password: Secret::new("secret") };
        let protocol = security::Protocol::SaslPlaintext;
        let config = security::Security { protocol, login: Some(login), tls: None };
        let security = Some(Rc::new(Security::new(config)));
        let client = Client { id: "c".to_string(), security };
        let topic = Topic {
            wire: Wire::Modern,
            cluster_id: String::new(),
            topic_id: [0; 16],
            partitions: Vec::new(),
            leaderless: Vec::new(),
            replicas: 1,
        };
        let (leaders, led_by) = (Vec::new(), Vec::new());
        let cluster = Cluster { topic, told_by: String::new(), leaders, led_by, unreached };
        Modern::new(cluster, "t", &client, 1_000)
    }

    /// As a survey does.
    fn probe(modern: &mut Modern) {
        modern.probe = Probe::Due;
        let step = |modern: &mut Modern| {
            Ok(if modern.is_probing() { Progress::Pending } else { Progress::Done(()) })
        };
        finish(modern, step).unwrap();
    }

    /// Nothing of its greeting has to wait for the next look.
    #[test]
    fn a_leader_that_answers_again_wakes_the_loop_at_each_step() {
        let (address, believed) = broker(0);
        let mut modern = modern(vec![address]);
        assert!(modern.is_probing());
        let mut steps = 0;
        while matches!(modern.probe, Probe::Greeting(_)) {
            let mut interests = Vec::new();
            modern.descriptors(&mut |fd, write| interests.push(Interest { fd, write }));
            assert!(os::wait(&interests, Duration::from_secs(20)).unwrap(), "after {steps} steps");
            modern.receive(&mut Vec::new()).unwrap();
            steps += 1;
        }
        assert!(modern.unreached.is_empty());
        assert_eq!(believed.load(Ordering::SeqCst), 1);
    }

    /// Accounts are locked after a few. Those that did not answer for another reason have their turns meanwhile.
    #[test]
    fn a_leader_that_answers_again_and_refuses_the_login_is_asked_once_a_minute() {
        let ((refusing, refused), (other, believed)) = (broker(58), broker(0));
        let mut modern = modern(vec![refusing.clone(), other]);
        (0..4).for_each(|_| probe(&mut modern));
        assert_eq!((refused.load(Ordering::SeqCst), believed.load(Ordering::SeqCst)), (1, 1));
        let [left] = modern.unreached.make_contiguous() else { panic!("one is left") };
        assert_eq!(left.address, refusing);
        left.rests_until = Some(Instant::now());
        probe(&mut modern);
        assert_eq!(refused.load(Ordering::SeqCst), 2);
    }
}
