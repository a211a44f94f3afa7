//! The seam between a pipeline and a cluster: one topic, one set of connections.
//!
//! Three wires stand behind it (`modern` from 0.11 on, `middle` for 0.10, `legacy` before) and, in tests, a scripted
//! broker. A pipeline never asks which one it has but through [`Topic::wire`].

use std::fmt;

pub use kafka_protocol::error::ResponseError;

use super::batch::{Batch, Identity, Wire};
use super::client::Principal;
use super::finish::Waits;
use super::reader::History;
use super::standing::Standings;
use crate::checkpoint::record::BatchRecord;

/// Largest offset that a broker is believed: behind it is room to count a batch's events, so that
/// no sum of the two overflows. A log that gets a million events a second is there in 290,000 years.
pub const OFFSET_MAX: i64 = i64::MAX - u32::MAX as i64;

/// What `open` learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    pub wire: Wire,
    /// Empty where the broker does not tell.
    pub cluster_id: String,
    /// Zeros where the broker does not tell (before 2.8).
    pub topic_id: [u8; 16],
    /// Partition ids, ascending, never empty.
    pub partitions: Vec<i32>,
    /// Those of them that have no leader now, ascending; never all. Nothing can be asked of them.
    pub leaderless: Vec<i32>,
    /// Most replicas of a partition; with one, an append is visible as soon as it is made.
    pub replicas: usize,
}

impl Topic {
    /// Is there a leader of `partition`?
    pub fn leads(&self, partition: i32) -> bool {
        self.leaderless.binary_search(&partition).is_err()
    }
}

/// The broker's word on one batch, in the order of sending within a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub partition: i32,
    /// That of the batch; -1 before 0.11.
    pub base_sequence: i32,
    pub verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// In the log of every replica in sync; the offset of its first event.
    Acked { base_offset: i64 },
    /// Errors 10, 18: the batch is larger than the broker takes. Not appended.
    TooLarge,
    /// Error 87: records of this batch are none that the topic takes. Not appended. `records`:
    /// their places in it, ascending, if the broker has nothing against the others; none if it has
    /// something against every record, or does not say.
    Rejected { error: ResponseError, records: Vec<u32> },
    /// Error 76, a codec that the broker does not know: it takes no batch of ours at all. Not
    /// appended.
    Barred { error: ResponseError },
    /// Error 32: the timestamp is too far from the broker's clock. Not appended.
    StampRefused,
    /// Error 43: the topic's message format is older than 0.11. Not appended.
    OldFormat,
    /// Error 47: someone else writes under our id.
    Fenced,
    /// Errors 45, 59: not the sequence that the broker expects, or the producer is forgotten.
    OutOfSequence { error: ResponseError },
    /// Any other error: it may or may not be in the log. Look.
    Doubtful { error: ResponseError },
}

impl Verdict {
    /// Does the broker say that it has not appended the batch?
    pub fn is_refusal(&self) -> bool {
        match self {
            Verdict::TooLarge
            | Verdict::Rejected { .. }
            | Verdict::Barred { .. }
            | Verdict::StampRefused
            | Verdict::OldFormat => true,
            Verdict::Acked { .. }
            | Verdict::Fenced
            | Verdict::OutOfSequence { .. }
            | Verdict::Doubtful { .. } => false,
        }
    }
}

/// What a look has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// For each wanted batch the offset of its first event.
    pub offsets: Vec<Option<i64>>,
    /// The log begins behind the floor: what is not found may have been there.
    pub floor_is_gone: bool,
    /// The log ends before the floor.
    pub ends_before_floor: bool,
}

/// Why a call could not be carried out. After any of them but `Stopped` the broker has closed its
/// connections; the next `open` starts anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// No broker of the list could be reached, or none answers; says host and reason of each.
    Unreachable(String),
    /// The broker speaks no version of a request that this program speaks; names both.
    Incompatible(String),
    /// No TLS came about: whose certificate or store it is, what is wrong, and what mends it.
    Distrusted(String),
    /// No descriptor is left for another connection, which is no fault of the brokers; says so, and
    /// the way out.
    NoDescriptor(String),
    /// A connection that was in use broke, an answer did not come in time, or it was not
    /// understood; names the broker.
    Lost(String),
    /// An answer did not come in time, and neither did the link carry anything meanwhile.
    Overdue(String),
    /// The brokers are there but the topic is not, or a partition has no leader (yet).
    NotReady(String),
    /// Errors 29, 30, 31: not authorised; nothing but patience and the operator helps.
    Unauthorised(String),
    /// Errors 33, 34, 58: the broker does not believe, or does not want to know, who we are. It is
    /// not tried again soon, since accounts may be locked after a few tries.
    LoginRefused(String),
    /// The broker closed a connection on which nothing was under way. What stands behind its
    /// address now is to be learned by `open` before anything is sent there.
    Idle(String),
    /// The agent was asked to stop while it waited.
    Stopped,
}

impl Fault {
    /// The same, where what is missing is a right of `who`, as brokers call us.
    pub fn asked_by(self, who: &Principal) -> Fault {
        match self {
            Fault::Unauthorised(why) => Fault::Unauthorised(format!("{why} (to {who})")),
            other => other,
        }
    }

    /// The same, told by the broker at `peer`.
    pub fn told_by(self, peer: &str) -> Fault {
        let named = |why: String| format!("{peer}: {why}");
        match self {
            Fault::Lost(why) => Fault::Lost(named(why)),
            Fault::NotReady(why) => Fault::NotReady(named(why)),
            Fault::Unauthorised(why) => Fault::Unauthorised(named(why)),
            // These say it themselves, or are no broker's word.
            Fault::Unreachable(_)
            | Fault::Incompatible(_)
            | Fault::Distrusted(_)
            | Fault::NoDescriptor(_)
            | Fault::Overdue(_)
            | Fault::Idle(_)
            | Fault::LoginRefused(_)
            | Fault::Stopped => self,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unreachable(why)
            | Fault::Incompatible(why)
            | Fault::Distrusted(why)
            | Fault::NoDescriptor(why)
            | Fault::Lost(why)
            | Fault::Overdue(why)
            | Fault::NotReady(why)
            | Fault::Idle(why)
            | Fault::LoginRefused(why)
            | Fault::Unauthorised(why) => f.write_str(why),
            Fault::Stopped => f.write_str("stopped while waiting for the broker"),
        }
    }
}

/// Of a question that may take a while. It is put again, in the same words, until it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress<T> {
    Done(T),
    /// The answer has not come yet.
    Pending,
}

/// What is looked for in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought<'a> {
    pub partition: i32,
    /// Where to begin.
    pub floor: i64,
    /// All of this partition, in sending order.
    pub wanted: Vec<&'a BatchRecord>,
    /// Is what stands there now to be read, whatever an earlier look has read?
    pub afresh: bool,
}

/// A broker has asked not to be written to for a while, since a quota of this client is used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Throttled {
    /// `host:port`.
    pub peer: String,
    /// For how long, beyond what was told before, ms.
    pub ms: u64,
}

/// One topic on one cluster.
///
/// No call waits for a socket, but on the legacy wire, where the `kafka` crate does. What takes its
/// time is `Pending` first: the call is made again, with the same arguments, when a descriptor stirs
/// or [`Waits::patience`] is over, until it is done; another call in between abandons it. It ends
/// after a bounded time (connect and request timeouts), and nothing is retried inside.
pub trait Broker: Waits {
    /// Connects anew and learns the topic. Everything in flight before is forgotten.
    fn open(&mut self) -> Result<Progress<Topic>, Fault>;

    /// A fresh producer id (`Identity::NONE` before 0.11).
    fn init_producer(&mut self) -> Result<Progress<Identity>, Fault>;

    /// The offsets that the next events of `partitions` will get (the log's end, not the high
    /// watermark, as far as the protocol tells it), in their order.
    fn end_offsets(&mut self, partitions: &[i32]) -> Result<Progress<Vec<i64>>, Fault>;

    /// The topic as a broker tells it now, over the connections that there are and beside whatever is
    /// under way on them.
    ///
    /// # Errors
    /// `NotReady` and `Unauthorised` leave the connections as they are.
    fn survey(&mut self) -> Result<Progress<Topic>, Fault>;

    /// Hands batches over: at most one for each partition. It returns when they are written or
    /// buffered; on the legacy wire when they are answered.
    fn send(&mut self, round: &[&Batch]) -> Result<(), Fault>;

    /// May a batch of `partition` be handed over now? If not, an answer is awaited first: one request
    /// of a connection is under way at a time where batches have no identity, five where they have.
    fn takes(&self, partition: i32) -> bool {
        let _ = partition;
        true
    }

    /// Appends the answers that have come since the last call. Never blocks.
    /// `Fault::Overdue` where an answer does not come; `Fault::Idle` only when nothing is under way.
    fn receive(&mut self, answers: &mut Vec<Answer>) -> Result<(), Fault>;

    /// Reads each partition from its floor to its present end and tells what stands there: by
    /// identity where it has one, else by content. What an earlier look has read without finding it
    /// need not be read again, unless it is sought afresh. One answer for each of `sought`.
    fn look(&mut self, sought: &[Sought<'_>]) -> Result<Progress<Vec<Found>>, Fault>;

    /// The log is another one: what earlier looks have read says nothing of it.
    fn forget_looks(&mut self);

    /// The topic as it is, over connections of its own. Waits for the brokers, as a start does.
    fn history(&mut self) -> Result<Box<dyn History>, Fault> {
        Err(Fault::NotReady("this broker's log cannot be read back".to_owned()))
    }

    /// How many rounds may be under way at once: 1 on the legacy wire, 5 on the others, 0 while
    /// a connection that the broker has closed waits to be made anew by `open`.
    fn rounds_in_flight_max(&self) -> usize;

    /// `host:port` of the broker that leads `partition`, as far as it is known.
    fn leader(&self, _partition: i32) -> Option<String> {
        None
    }

    /// The broker that has asked for the longest pause since the last call. It is honoured already: what is sent
    /// waits in memory, and the time that an answer may take begins behind it.
    fn throttled(&mut self) -> Option<Throttled> {
        None
    }

    /// How the brokers stand; `None` where nothing is known of them.
    fn standings(&self) -> Option<&Standings> {
        None
    }

    /// After `Verdict::OldFormat`: the next `open` takes a wire before 0.11 for this topic. Any after it
    /// asks the brokers anew: the topic's format may be another one by then, or they may speak the
    /// old wire no more.
    fn use_legacy(&mut self);
}
