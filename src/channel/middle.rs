//! The wire of Kafka 0.10: message sets of magic 1 over our own connections. Topics of later brokers
//! whose format is older than 0.11 are written in the same way.
//!
//! The log keeps no identity. So of each partition at most one batch is under way, and of each
//! connection one request: a broker works on one at a time, and what waits meanwhile goes out
//! together. What was given up is looked for by content, and a connection that is given up is reset
//! ([`Connection::reset_at_close`](super::wire::Connection::reset_at_close)): the kernel must not
//! carry what is left of a request after the settle time.
//!
//! The same connections read for the wire before 0.10 (`legacy.rs`), which the `kafka` crate writes.

use std::os::fd::RawFd;
use std::time::Duration;

use kafka_protocol::messages::MetadataResponse;

use super::batch::{Batch, Wire};
use super::broker::{Answer, Fault, Progress, Topic};
use super::cluster::{Cluster, Word, metadata};
use super::finish::Waits;
use super::greet::LOOK_PAUSE;
use super::lane::{InFlight, Lane};
use super::lanes::{Lanes, Speaker};
use super::protocol::{self, Api, PRODUCE_MIDDLE, begin_frame, end_frame, put_string};
use super::records::{ReadError, Reader};
use super::walk::{END, Log, Piece, Ticket, untold};
use super::wire::{ANSWER_BYTES_MAX, FETCH_BYTES_MAX, answer_timeout};

/// Version 0 is taken by every broker before 4.0; from 2 on (0.10) messages come as they stand in
/// the log.
const FETCH_OLD: Api = Api { key: 1, name: "Fetch", lowest: 0, highest: 2 };
const LIST_OFFSETS_0: Api = Api { key: 2, name: "ListOffsets", lowest: 0, highest: 0 };

/// A topic on a cluster whose logs have no identities; connected, or of no further use.
pub struct Middle {
    /// That by which the topic is written.
    wire: Wire,
    lanes: Lanes,
    answers: Vec<Answer>,
    question: Question,
}

/// What is asked now, but for a look.
enum Question {
    Nothing,
    /// How the topic is now.
    Topic {
        ticket: Ticket,
        api: Api,
    },
    Ends {
        of: Vec<i32>,
        tickets: Vec<Ticket>,
        told: Vec<i64>,
    },
}

impl Middle {
    /// Takes over the connections of `cluster`.
    pub fn new(cluster: Cluster, topic: &str, client_id: &str, request_timeout_ms: u32) -> Middle {
        let timeout = answer_timeout(request_timeout_ms);
        cluster.leaders.iter().for_each(|leader| leader.connection.reset_at_close());
        let speaker = Speaker { topic, client_id, request_timeout_ms };
        let partitions = cluster.topic.partitions;
        Middle {
            wire: cluster.topic.wire,
            lanes: Lanes::new(speaker, partitions, cluster.led_by, cluster.leaders, timeout),
            answers: Vec::new(),
            question: Question::Nothing,
        }
    }

    /// Those of connections on which an answer is awaited.
    pub(super) fn busy_descriptors(&self, add: &mut dyn FnMut(RawFd, bool)) {
        self.lanes.all.iter().filter(|lane| lane.is_busy()).for_each(|lane| lane.descriptors(add));
    }

    /// See `Broker::takes`.
    pub fn takes(&self, partition: i32) -> bool {
        self.lanes.lane_of(partition).is_ok_and(|lane| self.lanes.all[lane].rounds() == 0)
    }

    /// See `Broker::leader`.
    pub fn leader(&self, partition: i32) -> Option<String> {
        self.lanes.leader(partition)
    }

    /// See `Broker::send`.
    pub fn send(&mut self, round: &[&Batch]) -> Result<(), Fault> {
        // One request of a connection at a time.
        debug_assert!(round.iter().all(|batch| {
            let lane = self.lanes.lane_of(batch.partition());
            lane.map_or(true, |lane| self.lanes.all[lane].rounds() == 0)
        }));
        self.lanes.send(PRODUCE_MIDDLE, round)
    }

    /// Is there a connection to every leader?
    pub fn is_whole(&self) -> bool {
        self.lanes.is_whole()
    }

    /// See `Broker::receive`.
    pub fn receive(&mut self, answers: &mut Vec<Answer>) -> Result<(), Fault> {
        let result = self.pump();
        answers.append(&mut self.answers);
        result?;
        self.lanes.expect_open(answers)
    }

    /// Reads what has come on all connections.
    pub fn pump(&mut self) -> Result<(), Fault> {
        (0..self.lanes.all.len()).try_for_each(|lane| self.pump_lane(lane))
    }

    fn pump_lane(&mut self, lane: usize) -> Result<(), Fault> {
        let (topic, answers) = (&self.lanes.topic, &mut self.answers);
        self.lanes.all[lane].receive(&mut |peer, sent, answer| {
            let told = told_of(answer, &sent.batches)
                .map_err(|_| protocol::garbled(PRODUCE_MIDDLE, peer))?;
            for (batch, (code, base_offset)) in sent.batches.iter().zip(told) {
                let InFlight { partition, base_sequence, .. } = *batch;
                let verdict = protocol::verdict(code, base_offset, topic, peer)?;
                answers.push(Answer { partition, base_sequence, verdict });
            }
            Ok(())
        })
    }

    /// Whatever was asked is not wanted any more.
    pub fn abandon_questions(&mut self) {
        self.question = Question::Nothing;
        self.lanes.all.iter_mut().for_each(Lane::abandon_questions);
    }

    /// See `Broker::end_offsets`.
    pub fn end_offsets(&mut self, partitions: &[i32]) -> Result<Progress<Vec<i64>>, Fault> {
        if !matches!(&self.question, Question::Ends { of, .. } if of == partitions) {
            self.abandon_questions();
            let tickets: Result<Vec<Ticket>, Fault> =
                partitions.iter().map(|p| self.ask_offset(*p, END)).collect();
            self.question =
                Question::Ends { of: partitions.to_vec(), tickets: tickets?, told: Vec::new() };
        }
        // Those that nothing is asked, too: one that is closed must not stir for ever.
        self.pump()?;
        let question = std::mem::replace(&mut self.question, Question::Nothing);
        let Question::Ends { of, tickets, mut told } = question else {
            return Ok(Progress::Pending);
        };
        while let Some(ticket) = tickets.get(told.len()) {
            match self.take_offset(*ticket)? {
                Progress::Done(end) => told.push(end.ok_or_else(|| untold(ticket.partition))?),
                Progress::Pending => {
                    self.question = Question::Ends { of, tickets, told };
                    return Ok(Progress::Pending);
                }
            }
        }
        Ok(Progress::Done(told))
    }

    /// See `Broker::survey`: whoever leads the first partition is asked.
    pub fn survey(&mut self) -> Result<Progress<Topic>, Fault> {
        let (ticket, api) = match self.question {
            Question::Topic { ticket, api } => (ticket, api),
            _ => {
                self.abandon_questions();
                self.pump_lane(0)?;
                let lane = &mut self.lanes.all[0];
                if lane.is_closed() {
                    return Err(Fault::Idle(format!("{} closed the idle connection", lane.peer())));
                }
                let (api, version, request) =
                    metadata(Some(&lane.versions), lane.peer(), &self.lanes.topic, false)?;
                let correlation = lane.next_correlation();
                let frame =
                    protocol::frame(api, version, correlation, &self.lanes.client_id, &request)?;
                lane.ask(&frame, correlation, ANSWER_BYTES_MAX)?;
                (Ticket { partition: 0, lane: 0, correlation, version }, api)
            }
        };
        self.question = Question::Topic { ticket, api };
        let Progress::Done(answer) = self.take(ticket)? else { return Ok(Progress::Pending) };
        self.question = Question::Nothing;
        let peer = self.lanes.all[ticket.lane].peer();
        let answer: MetadataResponse = protocol::decode(api, ticket.version, &answer, peer)?;
        Ok(Progress::Done(Word::of(&answer, &self.lanes.topic)?.topic(self.wire)))
    }

    fn garbled(&self, api: Api, lane: usize) -> Fault {
        protocol::garbled(api, self.lanes.all[lane].peer())
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
        let at = self.lanes.lane_of(partition)?;
        let lane = &mut self.lanes.all[at];
        let version = match lane.versions.highest(api) >= api.highest {
            true => api.highest,
            false => api.lowest,
        };
        let correlation = lane.next_correlation();
        let mut frame = begin_frame(api, version, correlation, &self.lanes.client_id);
        frame.extend_from_slice(&(-1i32).to_be_bytes());
        frame.extend_from_slice(middle);
        frame.extend_from_slice(&1i32.to_be_bytes());
        put_string(&mut frame, &self.lanes.topic);
        frame.extend_from_slice(&1i32.to_be_bytes());
        frame.extend_from_slice(body);
        end_frame(&mut frame, 0);
        lane.ask(&frame, correlation, bytes_max)?;
        Ok(Ticket { partition, lane: at, correlation, version })
    }

    /// Its answer, if it has come.
    fn take(&mut self, ticket: Ticket) -> Result<Progress<Vec<u8>>, Fault> {
        self.pump_lane(ticket.lane)?;
        Ok(self.lanes.all[ticket.lane].take(ticket.correlation))
    }
}

/// Error and offset of each of `batches` in the answer to the request that held them, of one topic:
/// each is told of once, in any order, and nothing else.
fn told_of(answer: &[u8], batches: &[InFlight]) -> Result<Vec<(i16, i64)>, ReadError> {
    let mut r = Reader(answer);
    let topics = r.i32()?;
    r.text()?;
    if topics != 1 || usize::try_from(r.i32()?) != Ok(batches.len()) {
        return Err(ReadError::Malformed);
    }
    let mut told = vec![None; batches.len()];
    for _ in batches {
        let partition = r.i32()?;
        let at = batches.iter().position(|b| b.partition == partition);
        let word = (r.i16()?, r.i64()?);
        // The broker's stamp, -1 where the message keeps ours.
        r.i64()?;
        let place = at.map(|at| &mut told[at]).ok_or(ReadError::Malformed)?;
        if place.replace(word).is_some() {
            return Err(ReadError::Malformed);
        }
    }
    told.into_iter().collect::<Option<Vec<_>>>().ok_or(ReadError::Malformed)
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

impl Waits for Middle {
    fn descriptors(&self, add: &mut dyn FnMut(RawFd, bool)) {
        self.lanes.all.iter().for_each(|lane| lane.descriptors(add));
    }

    fn patience(&self) -> Duration {
        LOOK_PAUSE
    }
}

impl Log for Middle {
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
        self.ask(FETCH_OLD, partition, &middle, &body, FETCH_BYTES_MAX)
    }

    fn take_piece(&mut self, ticket: Ticket) -> Result<Progress<Piece>, Fault> {
        let partition = ticket.partition;
        let Progress::Done(answer) = self.take(ticket)? else { return Ok(Progress::Pending) };
        let mut r = Reader(&answer);
        let told = (|| {
            if ticket.version > 0 {
                // How long the broker had it wait.
                r.i32()?;
            }
            let code = partition_head(&mut r, partition)?;
            Ok((code, r.i64()?, r.bytes()?.unwrap_or_default()))
        })();
        match told {
            Ok((0, high_watermark, records)) => {
                Ok(Progress::Done(Piece::Log { records: records.to_vec(), high_watermark }))
            }
            Ok((1, ..)) => Ok(Progress::Done(Piece::OutOfRange)),
            Ok((code, ..)) => Err(self.lanes.partition_fault(FETCH_OLD, code, partition)),
            Err(ReadError::Malformed | ReadError::Unpack(_)) => {
                Err(self.garbled(FETCH_OLD, ticket.lane))
            }
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
            Ok((code, _)) => Err(self.lanes.partition_fault(LIST_OFFSETS_0, code, partition)),
            Err(ReadError::Malformed | ReadError::Unpack(_)) => {
                Err(self.garbled(LIST_OFFSETS_0, ticket.lane))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(partitions: &[i32]) -> Vec<InFlight> {
        let in_flight =
            |partition: &i32| InFlight { partition: *partition, base_sequence: -1, count: 1 };
        partitions.iter().map(in_flight).collect()
    }

    fn answer(topics: i32, words: &[(i32, i16, i64)]) -> Vec<u8> {
        let mut answer = topics.to_be_bytes().to_vec();
        put_string(&mut answer, "t");
        answer.extend_from_slice(&(words.len() as i32).to_be_bytes());
        for (partition, code, offset) in words {
            answer.extend_from_slice(&partition.to_be_bytes());
            answer.extend_from_slice(&code.to_be_bytes());
            answer.extend_from_slice(&offset.to_be_bytes());
            answer.extend_from_slice(&(-1i64).to_be_bytes());
        }
        answer.extend_from_slice(&0i32.to_be_bytes());
        answer
    }

    #[test]
    fn each_batch_is_answered_once() {
        let whole = answer(1, &[(2, 0, 7), (0, 10, -1)]);
        assert_eq!(told_of(&whole, &sent(&[0, 2])), Ok(vec![(10, -1), (0, 7)]));
        for wrong in [
            answer(0, &[]),
            answer(2, &[(0, 0, 7), (2, 0, 7)]),
            answer(1, &[(0, 0, 7)]),
            answer(1, &[(0, 0, 7), (0, 0, 7)]),
            answer(1, &[(0, 0, 7), (1, 0, 7)]),
            answer(1, &[(0, 0, 7), (2, 0, 7), (2, 0, 7)]),
            whole[..whole.len() - 13].to_vec(),
        ] {
            assert_eq!(told_of(&wrong, &sent(&[0, 2])), Err(ReadError::Malformed));
        }
    }
}
