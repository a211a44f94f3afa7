//! The wire from Kafka 0.11 on: record batches with producer id, epoch and sequence.
//!
//! One connection to each leader; the answers on it come in the order of the requests. Up to five
//! rounds are under way at once: so many batches of a producer and partition a broker remembers,
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
use std::io::IoSlice;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{
    BrokerId, FetchRequest, FetchResponse, InitProducerIdRequest, InitProducerIdResponse,
    ListOffsetsRequest, ListOffsetsResponse, ProduceResponse, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::batch::Batch;
use super::batch::Identity;
use super::broker::{Answer, Fault};
use super::cluster::{Cluster, Leader, OPEN_TIMEOUT};
use super::greet::greet;
use super::look::{Fetch, Piece};
use super::protocol::{
    self, Api, FETCH, INIT_PRODUCER_ID, LIST_OFFSETS, PRODUCE, Versions, begin_frame, end_frame,
    put_string,
};
use super::wire::{ANSWER_BYTES_MAX, Connection, FETCH_BYTES_MAX, answer_timeout, pause};

/// Rounds under way at once: a broker remembers the last five batches of a producer (KAFKA-5494).
pub const ROUNDS_IN_FLIGHT_MAX: usize = 5;
/// Between two tries to get a producer id from a broker that has just started.
const COORDINATOR_PAUSE: Duration = Duration::from_millis(100);

/// A topic on a cluster of brokers from 0.11 on; connected, or of no further use.
pub struct Modern {
    topic: String,
    client: String,
    request_timeout_ms: u32,
    partitions: Vec<i32>,
    /// Index into `lanes` of each of `partitions`.
    led_by: Vec<usize>,
    lanes: Vec<Lane>,
    /// Reused for the frame and the heads of the partitions of each request.
    heads: Vec<u8>,
}

/// What goes on with one leader.
struct Lane {
    peer: String,
    /// `None` after the broker closed it while nothing was under way. It is not made anew here:
    /// another cluster may stand behind the address, or another topic behind the name.
    connection: Option<Connection>,
    /// For questions while answers to produce requests are awaited.
    side: Option<Connection>,
    versions: Versions,
    flights: VecDeque<Flight>,
    /// When the answer to the first of `flights` is overdue.
    deadline: Instant,
}

/// A produce request under way.
struct Flight {
    correlation: i32,
    version: i16,
    /// Partition and base sequence of each batch.
    batches: Vec<(i32, i32)>,
}

impl Modern {
    /// Takes over the connections of `cluster`.
    pub fn new(cluster: Cluster, topic: &str, client: &str, request_timeout_ms: u32) -> Modern {
        let lanes = cluster.leaders.into_iter().map(Lane::new).collect();
        Modern {
            topic: topic.to_string(),
            client: client.to_string(),
            request_timeout_ms,
            partitions: cluster.topic.partitions,
            led_by: cluster.led_by,
            lanes,
            heads: Vec::new(),
        }
    }

    fn answer_timeout(&self) -> Duration {
        answer_timeout(self.request_timeout_ms)
    }

    fn lane_of(&self, partition: i32) -> Result<usize, Fault> {
        match self.partitions.binary_search(&partition) {
            Ok(index) => Ok(self.led_by[index]),
            Err(_) => Err(Fault::NotReady(format!("{} has no partition {partition}", self.topic))),
        }
    }

    /// See `Broker::init_producer`. A broker that has just started says for a moment that it does
    /// not know who hands out ids (14, 15, 16) or is still loading (51).
    pub fn init_producer(&mut self) -> Result<Identity, Fault> {
        let deadline = Instant::now() + OPEN_TIMEOUT;
        // Without a transactional id the time limit has no meaning, but must be positive.
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(60_000);
        loop {
            let answer: InitProducerIdResponse =
                self.ask(0, INIT_PRODUCER_ID, &request, ANSWER_BYTES_MAX, deadline)?;
            match answer.error_code {
                0 => {
                    let producer_id = answer.producer_id.0;
                    return Ok(Identity { producer_id, epoch: answer.producer_epoch });
                }
                14 | 15 | 16 | 51 if Instant::now() + COORDINATOR_PAUSE < deadline => {
                    pause(COORDINATOR_PAUSE)?;
                }
                code @ (29 | 31) => {
                    return Err(protocol::denied(INIT_PRODUCER_ID, code, &self.topic));
                }
                code => return Err(protocol::fault(code, "a producer id")),
            }
        }
    }

    /// See `Broker::end_offset`: ListOffsets tells the high watermark, at or before the end.
    pub fn end_offset(&mut self, partition: i32) -> Result<i64, Fault> {
        self.list_offset(partition, -1)
    }

    /// See `Broker::end_offsets`: one question to each leader, however many partitions it leads.
    pub fn end_offsets(&mut self, partitions: &[i32]) -> Result<Vec<i64>, Fault> {
        let mut ends = vec![0; partitions.len()];
        for lane in 0..self.lanes.len() {
            let mut of_lane = Vec::new();
            for (at, partition) in partitions.iter().enumerate() {
                if self.lane_of(*partition)? == lane {
                    of_lane.push(at);
                }
            }
            let asked: Vec<i32> = of_lane.iter().map(|at| partitions[*at]).collect();
            let told = self.offsets_in(lane, &asked, -1)?;
            for ((at, partition), end) in of_lane.into_iter().zip(asked).zip(told) {
                ends[at] = end.ok_or_else(|| untold(partition))?;
            }
        }
        Ok(ends)
    }

    /// `time`: -1 for the end, -2 for the first offset.
    fn list_offset(&mut self, partition: i32, time: i64) -> Result<i64, Fault> {
        self.offset_at(partition, time)?.ok_or_else(|| untold(partition))
    }

    /// The first offset that was stamped at `time` (Unix time, ms) or later; `None` without one.
    pub fn offset_at(&mut self, partition: i32, time: i64) -> Result<Option<i64>, Fault> {
        let lane = self.lane_of(partition)?;
        Ok(self.offsets_in(lane, &[partition], time)?.first().copied().flatten())
    }

    /// The same of several partitions of one lane.
    fn offsets_in(
        &mut self,
        lane: usize,
        partitions: &[i32],
        time: i64,
    ) -> Result<Vec<Option<i64>>, Fault> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let asked = |partition: &i32| {
            ListOffsetsPartition::default().with_partition_index(*partition).with_timestamp(time)
        };
        let topic = ListOffsetsTopic::default()
            .with_name(self.topic_name())
            .with_partitions(partitions.iter().map(asked).collect());
        let request =
            ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
        let deadline = Instant::now() + self.answer_timeout();
        let answer: ListOffsetsResponse =
            self.ask(lane, LIST_OFFSETS, &request, ANSWER_BYTES_MAX, deadline)?;
        let told: HashMap<i32, _> = answer
            .topics
            .iter()
            .flat_map(|t| &t.partitions)
            .map(|p| (p.partition_index, (p.error_code, p.offset)))
            .collect();
        let of_each = partitions.iter().map(|partition| match told.get(partition) {
            Some((0, offset)) => Ok(protocol::told_offset(*offset)),
            Some((code, _)) => Err(self.partition_fault(LIST_OFFSETS, *code, *partition)),
            None => Err(Fault::Lost(format!("nothing of partition {partition} was told"))),
        });
        of_each.collect()
    }

    fn topic_name(&self) -> TopicName {
        TopicName(StrBytes::from_string(self.topic.clone()))
    }

    fn partition_fault(&self, api: Api, code: i16, partition: i32) -> Fault {
        protocol::partition_fault(api, code, partition, &self.topic)
    }

    /// One partition, to be read from its leader.
    pub fn reading(&mut self, partition: i32) -> impl Fetch + '_ {
        Reading { modern: self, partition }
    }

    /// A question to one of the leaders.
    fn ask<Q: Encodable, A: Decodable>(
        &mut self,
        lane: usize,
        api: Api,
        request: &Q,
        bytes_max: usize,
        deadline: Instant,
    ) -> Result<A, Fault> {
        let lane = &mut self.lanes[lane];
        let version = lane.versions.common(api, &lane.peer)?;
        let connection = lane.quiet_connection(&self.topic, &self.client, deadline)?;
        protocol::call(connection, api, version, &self.client, request, bytes_max, deadline)
    }

    /// See `Broker::send`. The batches go to the kernel as they are, without another copy; what it
    /// does not take at once is copied and goes out with the next `receive`.
    pub fn send(&mut self, round: &[&Batch]) -> Result<(), Fault> {
        for lane in 0..self.lanes.len() {
            let mut batches = Vec::new();
            for batch in round {
                if self.lane_of(batch.partition())? == lane {
                    batches.push(*batch);
                }
            }
            if !batches.is_empty() {
                self.send_to(lane, &batches)?;
            }
        }
        Ok(())
    }

    fn send_to(&mut self, lane: usize, batches: &[&Batch]) -> Result<(), Fault> {
        let timeout = self.answer_timeout();
        let lane = &mut self.lanes[lane];
        debug_assert!(lane.flights.len() < ROUNDS_IN_FLIGHT_MAX);
        let version = lane.versions.common(PRODUCE, &lane.peer)?;
        let connection = lane.live_connection()?;
        let correlation = connection.next_correlation();

        let head = begin_frame(PRODUCE, version, correlation, &self.client);
        let ends =
            put_produce(&mut self.heads, &head, &self.topic, self.request_timeout_ms, batches);
        let payload = batches.iter().map(|b| b.sealed_bytes().len()).sum();
        end_frame(&mut self.heads, payload);

        let mut parts = Vec::with_capacity(2 * batches.len());
        let mut at = 0;
        for (batch, end) in batches.iter().zip(ends) {
            parts.push(IoSlice::new(&self.heads[at..end]));
            parts.push(IoSlice::new(batch.sealed_bytes()));
            at = end;
        }
        connection.send(&parts)?;
        if lane.flights.is_empty() {
            lane.deadline = Instant::now() + timeout;
        }
        let batches = batches.iter().map(|b| (b.partition(), b.base_sequence())).collect();
        lane.flights.push_back(Flight { correlation, version, batches });
        Ok(())
    }

    /// See `Broker::receive`.
    pub fn receive(&mut self, answers: &mut Vec<Answer>) -> Result<(), Fault> {
        let timeout = self.answer_timeout();
        for lane in &mut self.lanes {
            lane.receive(timeout, &self.topic, answers)?;
        }
        let closed = self.lanes.iter().find(|lane| lane.connection.is_none());
        match closed {
            Some(lane) if self.lanes.iter().all(|lane| lane.flights.is_empty()) => {
                Err(Fault::Idle(format!("{} closed the idle connection", lane.peer)))
            }
            _ => Ok(()),
        }
    }

    /// Is there a connection to every leader?
    pub fn is_whole(&self) -> bool {
        self.lanes.iter().all(|lane| lane.connection.is_some())
    }

    /// See `Broker::descriptors`.
    pub fn descriptors(&self, add: &mut dyn FnMut(RawFd, bool)) {
        for connection in self.lanes.iter().filter_map(|lane| lane.connection.as_ref()) {
            add(connection.fd(), connection.wants_write());
        }
    }
}

/// The produce request behind `head` (transactional id, acks, time limit, one topic), with a gap
/// behind each partition's length where its batch goes. Versions 3 to 8 are written alike.
/// Returns where each gap is.
fn put_produce(
    out: &mut Vec<u8>,
    head: &[u8],
    topic: &str,
    timeout_ms: u32,
    batches: &[&Batch],
) -> Vec<usize> {
    out.clear();
    out.extend_from_slice(head);
    out.extend_from_slice(&(-1i16).to_be_bytes());
    out.extend_from_slice(&(-1i16).to_be_bytes());
    out.extend_from_slice(&(timeout_ms as i32).to_be_bytes());
    out.extend_from_slice(&1i32.to_be_bytes());
    put_string(out, topic);
    out.extend_from_slice(&(batches.len() as i32).to_be_bytes());
    let mut gaps = Vec::with_capacity(batches.len());
    for batch in batches {
        out.extend_from_slice(&batch.partition().to_be_bytes());
        out.extend_from_slice(&(batch.sealed_bytes().len() as i32).to_be_bytes());
        gaps.push(out.len());
    }
    gaps
}

fn untold(partition: i32) -> Fault {
    Fault::Lost(format!("no offset for partition {partition} was told"))
}

impl Lane {
    fn new(leader: Leader) -> Lane {
        Lane {
            peer: leader.connection.peer().to_string(),
            connection: Some(leader.connection),
            side: None,
            versions: leader.versions.unwrap_or_default(),
            flights: VecDeque::new(),
            deadline: Instant::now(),
        }
    }

    /// The connection, unless the broker closed it for idleness (`connections.max.idle.ms`).
    fn live_connection(&mut self) -> Result<&mut Connection, Fault> {
        if self.flights.is_empty() {
            self.drop_if_closed();
        }
        let closed = || Fault::Lost(format!("{} closed the idle connection", self.peer));
        self.connection.as_mut().ok_or_else(closed)
    }

    /// A connection on which no answer is awaited.
    fn quiet_connection(
        &mut self,
        topic: &str,
        client: &str,
        deadline: Instant,
    ) -> Result<&mut Connection, Fault> {
        if self.flights.is_empty() {
            return self.live_connection();
        }
        if self.side.is_none() {
            self.side = Some(greet(&self.peer, topic, client, deadline)?.0);
        }
        Ok(self.side.as_mut().expect("made above"))
    }

    fn drop_if_closed(&mut self) {
        self.side = None;
        let Some(connection) = &mut self.connection else { return };
        // Neither an end nor an answer may come while nothing is under way.
        if !matches!(connection.poll_answer(ANSWER_BYTES_MAX), Ok(None)) {
            self.connection = None;
        }
    }

    fn receive(
        &mut self,
        timeout: Duration,
        topic: &str,
        answers: &mut Vec<Answer>,
    ) -> Result<(), Fault> {
        if self.flights.is_empty() {
            self.drop_if_closed();
            return Ok(());
        }
        let connection = self.connection.as_mut().expect("it lives while something is under way");
        connection.flush()?;
        while let Some(flight) = self.flights.front() {
            let Some(answer) = connection.poll_answer(ANSWER_BYTES_MAX)? else {
                if Instant::now() < self.deadline {
                    return Ok(());
                }
                let waited = timeout.as_millis();
                return Err(Fault::Lost(format!("{}: no answer in {waited} ms", self.peer)));
            };
            connection.expect_correlation(&answer, flight.correlation)?;
            let answer = protocol::decode(PRODUCE, flight.version, &answer[4..], &self.peer)?;
            verdicts(&answer, &flight.batches, topic, &self.peer, answers)?;
            self.flights.pop_front();
            // A broker works on one request of a connection at a time.
            self.deadline = Instant::now() + timeout;
        }
        Ok(())
    }
}

/// One answer for each batch of the request.
///
/// # Errors
/// `Lost` where the broker does not speak of one; `Unauthorised`.
fn verdicts(
    answer: &ProduceResponse,
    batches: &[(i32, i32)],
    topic: &str,
    peer: &str,
    answers: &mut Vec<Answer>,
) -> Result<(), Fault> {
    for (partition, base_sequence) in batches {
        let mut told = answer.responses.iter().flat_map(|t| &t.partition_responses);
        let Some(told) = told.find(|p| p.index == *partition) else {
            return Err(Fault::Lost(format!("{peer} does not speak of partition {partition}")));
        };
        let verdict = protocol::verdict(told.error_code, told.base_offset, topic, peer)?;
        answers.push(Answer { partition: *partition, base_sequence: *base_sequence, verdict });
    }
    Ok(())
}

/// Reads one partition from its leader.
struct Reading<'a> {
    modern: &'a mut Modern,
    partition: i32,
}

impl Fetch for Reading<'_> {
    fn fetch(&mut self, offset: i64, bytes_max: usize) -> Result<Piece, Fault> {
        let partition = FetchPartition::default()
            .with_partition(self.partition)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(bytes_max as i32);
        let topic = FetchTopic::default()
            .with_topic(self.modern.topic_name())
            .with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_bytes(bytes_max as i32)
            .with_topics(vec![topic]);
        let lane = self.modern.lane_of(self.partition)?;
        let deadline = Instant::now() + self.modern.answer_timeout();
        // A batch may be larger than what was asked for.
        let answer: FetchResponse =
            self.modern.ask(lane, FETCH, &request, FETCH_BYTES_MAX, deadline)?;
        let told = answer.responses.into_iter().flat_map(|t| t.partitions);
        if answer.error_code != 0 {
            return Err(self.modern.partition_fault(FETCH, answer.error_code, self.partition));
        }
        match told.into_iter().find(|p| p.partition_index == self.partition) {
            Some(p) if p.error_code == 0 => Ok(Piece::Log {
                records: p.records.unwrap_or_default().into(),
                high_watermark: p.high_watermark,
            }),
            Some(p) if p.error_code == 1 => Ok(Piece::OutOfRange),
            Some(p) => Err(self.modern.partition_fault(FETCH, p.error_code, self.partition)),
            None => Err(Fault::Lost(format!("nothing of partition {}", self.partition))),
        }
    }

    fn bounds(&mut self) -> Result<(i64, i64), Fault> {
        let first = self.modern.list_offset(self.partition, -2)?;
        Ok((first, self.modern.list_offset(self.partition, -1)?))
    }
}
