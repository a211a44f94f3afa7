//! One connection to a leader on which several requests may be under way. Their answers come in the
//! order of the requests. Nothing here waits.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::broker::{Fault, Progress};
use super::cluster::Leader;
use super::protocol::{self, Versions};
use super::sasl::Authentication;
use super::wire::{ANSWER_BYTES_MAX, Connection};

/// How many times within the timeout the link is checked for progress while an answer is awaited.
const LOOKS: u32 = 6;

/// A connection to a leader, and the requests under way on it.
pub struct Lane {
    connection: Connection,
    pub versions: Versions,
    flights: VecDeque<Flight>,
    /// How long to wait for an answer, counted from when the link last carried anything, or may again.
    timeout: Duration,
    /// When the answer to the first of `flights` is overdue.
    deadline: Instant,
    /// When the link is next checked for progress, and what it had carried at the last check.
    look_at: Instant,
    carried: Option<u64>,
    /// Answers to questions that were not asked for yet.
    told: Vec<(i32, Vec<u8>)>,
    /// The broker has closed the connection, or said what it was not asked.
    is_closed: bool,
    /// What is to be sent once we have logged in again, which waits until nothing is under way.
    kept: Vec<u8>,
    login: Option<Box<Authentication>>,
}

/// A request under way.
struct Flight {
    /// Key and version.
    asked: (i16, i16),
    correlation: i32,
    /// Of the request.
    bytes: usize,
    /// Of the answer.
    bytes_max: usize,
    kind: Kind,
    /// Not sent yet.
    is_kept: bool,
}

enum Kind {
    Produce(Sent),
    /// Its answer is handed out by its correlation id.
    Question,
    /// The answer is no longer wanted.
    Abandoned,
}

/// Takes the answer to a produce request: who gave it, what was sent, and the answer behind its
/// correlation id.
pub type Taker<'a> = dyn FnMut(&str, Sent, &[u8]) -> Result<(), Fault> + 'a;

/// A produce request.
pub struct Sent {
    pub version: i16,
    pub batches: Vec<InFlight>,
}

/// A batch under way.
pub struct InFlight {
    pub partition: i32,
    pub base_sequence: i32,
    /// Records in it.
    pub count: u32,
}

impl InFlight {
    pub fn of(batch: &Batch) -> InFlight {
        let (partition, base_sequence) = (batch.partition(), batch.base_sequence());
        InFlight { partition, base_sequence, count: batch.count() }
    }
}

impl Lane {
    pub fn new(leader: Leader, timeout: Duration) -> Lane {
        Lane {
            connection: leader.connection,
            versions: leader.spoken.versions().cloned().unwrap_or_default(),
            flights: VecDeque::new(),
            timeout,
            deadline: Instant::now(),
            look_at: Instant::now(),
            carried: None,
            told: Vec::new(),
            is_closed: false,
            kept: Vec::new(),
            login: None,
        }
    }

    pub fn peer(&self) -> &str {
        self.connection.peer()
    }

    /// Was the connection closed by the broker while nothing was under way
    /// (`connections.max.idle.ms`)? It is not made anew here: another cluster may stand behind the
    /// address, or another topic behind the name.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Is a batch of `partition` under way?
    pub fn carries(&self, partition: i32) -> bool {
        self.flights.iter().any(|flight| match &flight.kind {
            Kind::Produce(sent) => sent.batches.iter().any(|batch| batch.partition == partition),
            Kind::Question | Kind::Abandoned => false,
        })
    }

    /// Of all requests that are not answered.
    pub fn bytes_under_way(&self) -> usize {
        self.flights.iter().map(|flight| flight.bytes).sum()
    }

    /// A number for the next request.
    pub fn next_correlation(&mut self) -> i32 {
        self.connection.next_correlation()
    }

    /// How many produce requests are under way.
    pub fn rounds(&self) -> usize {
        self.flights.iter().filter(|f| matches!(f.kind, Kind::Produce(_))).count()
    }

    /// Sends a produce request.
    pub fn send(
        &mut self,
        parts: &[IoSlice<'_>],
        correlation: i32,
        sent: Sent,
    ) -> Result<(), Fault> {
        self.fly(parts, correlation, ANSWER_BYTES_MAX, Kind::Produce(sent))
    }

    /// Sends a question, whose answer [`Lane::take`] brings.
    pub fn ask(&mut self, frame: &[u8], correlation: i32, bytes_max: usize) -> Result<(), Fault> {
        self.fly(&[IoSlice::new(frame)], correlation, bytes_max, Kind::Question)
    }

    fn fly(
        &mut self,
        parts: &[IoSlice<'_>],
        correlation: i32,
        bytes_max: usize,
        kind: Kind,
    ) -> Result<(), Fault> {
        self.look_if_closed();
        if self.is_closed {
            return Err(Fault::Lost(format!("{} closed the connection", self.peer())));
        }
        if self.is_held_back() {
            parts.iter().for_each(|part| self.kept.extend_from_slice(part));
        } else {
            self.connection.send(parts)?;
        }
        if self.flights.is_empty() {
            self.wait_anew();
        }
        let is_kept = !self.kept.is_empty();
        let asked = protocol::asked(parts.first().map_or(&[], |head| head));
        let bytes = parts.iter().map(|part| part.len()).sum();
        self.flights.push_back(Flight { asked, correlation, bytes, bytes_max, kind, is_kept });
        Ok(())
    }

    /// Can the broker be told again who we are, is it told just now, or is what it believes over? Nothing more goes out
    /// meanwhile: a request that is open when it is over closes the connection.
    fn is_held_back(&self) -> bool {
        self.login.as_ref().is_some_and(|login| login.is_prepared())
            || !self.kept.is_empty()
            || self.connection.session().is_some_and(|session| session.is_over(Instant::now()))
    }

    /// Does a login read what the broker says?
    fn is_logging_in(&self) -> bool {
        self.login.as_ref().is_some_and(|login| !login.is_untold())
    }

    /// Is nothing under way that was sent?
    fn is_quiet(&self) -> bool {
        self.flights.front().is_none_or(|flight| flight.is_kept)
    }

    /// Gets what a login takes that is due, while the connection goes on. Where there is nothing to be had, what the broker
    /// believes holds for a while: it is tried again until that is over.
    ///
    /// # Errors
    /// It is over; `NotReady`, `LoginRefused`.
    fn prepare_login(&mut self) -> Result<(), Fault> {
        let now = Instant::now();
        if self.login.is_none() {
            let due = self.connection.session().filter(|session| session.is_due(now));
            let login = due.and_then(|session| session.renew(now + self.timeout));
            self.login = login.map(Box::new);
        }
        let Some(login) = &mut self.login else { return Ok(()) };
        let Err(fault) = login.prepare(self.connection.peer()) else { return Ok(()) };
        self.login = None;
        let peer = self.connection.peer().to_string();
        match self.connection.session_mut() {
            Some(session) if !session.is_over(now) => session.put_off(&peer, &fault, now),
            _ => return Err(fault),
        }
        Ok(())
    }

    /// Logs in again once all that it takes is there and nothing is under way, and sends then what was kept.
    ///
    /// # Errors
    /// `Lost`; `NotReady`; `LoginRefused`.
    fn log_in_again(&mut self) -> Result<(), Fault> {
        if self.is_closed {
            self.login = None;
            return Ok(());
        }
        self.prepare_login()?;
        if !self.is_quiet() {
            return Ok(());
        }
        let Some(login) = self.login.as_mut().filter(|login| login.is_prepared()) else {
            return Ok(());
        };
        if login.is_untold() {
            let from = self.connection.held_until().unwrap_or_else(Instant::now);
            login.set_deadline(from + self.timeout);
        }
        match login.step(&mut self.connection, &self.versions) {
            Ok(Progress::Pending) => return Ok(()),
            Ok(Progress::Done(())) => self.login = None,
            // It was idle, and nothing is lost with it.
            Err(Fault::Lost(_)) if self.flights.is_empty() => {
                self.login = None;
                self.is_closed = true;
                return Ok(());
            }
            Err(fault) => return Err(fault),
        }
        let kept = std::mem::take(&mut self.kept);
        self.connection.send(&[IoSlice::new(&kept)])?;
        self.flights.iter_mut().for_each(|flight| flight.is_kept = false);
        self.wait_anew();
        Ok(())
    }

    /// Reads what has come, and hands the answers to produce requests to `take`.
    ///
    /// # Errors
    /// `Lost`; `Overdue`; what `take` says.
    pub fn receive(&mut self, take: &mut Taker<'_>) -> Result<(), Fault> {
        self.log_in_again()?;
        if self.is_logging_in() {
            return Ok(());
        }
        if self.flights.is_empty() {
            self.look_if_closed();
            return Ok(());
        }
        self.connection.flush()?;
        while let Some(flight) = self.flights.front() {
            if flight.is_kept {
                return self.log_in_again();
            }
            let Some(answer) = self.connection.poll_answer(flight.bytes_max)? else {
                self.look_for_progress();
                if Instant::now() < self.deadline {
                    return Ok(());
                }
                let waited = self.timeout.as_millis();
                return Err(Fault::Overdue(format!("{}: no answer in {waited} ms", self.peer())));
            };
            self.connection.expect_correlation(&answer, flight.correlation)?;
            let Some(flight) = self.flights.pop_front() else { break };
            self.connection.hold(protocol::throttle(flight.asked, &answer[4..]));
            // A broker works on one request of a connection at a time.
            self.wait_anew();
            match flight.kind {
                Kind::Produce(sent) => take(self.connection.peer(), sent, &answer[4..])?,
                Kind::Question => {
                    let mut answer = answer;
                    answer.drain(..4);
                    self.told.push((flight.correlation, answer));
                }
                Kind::Abandoned => {}
            }
        }
        Ok(())
    }

    /// A broker that has asked for patience reads nothing meanwhile, and what is sent waits here.
    fn wait_anew(&mut self) {
        let now = self.connection.held_until().unwrap_or_else(Instant::now);
        self.deadline = now + self.timeout;
        self.look_at = now + self.timeout / LOOKS;
        self.carried = None;
    }

    /// A slow link may need longer for a request than a broker for its answer: as long as it
    /// carries anything, it is waited for.
    fn look_for_progress(&mut self) {
        let now = Instant::now();
        if now < self.look_at {
            return;
        }
        let carried = self.connection.carried();
        if self.carried.is_some_and(|before| carried > before) {
            self.deadline = now + self.timeout;
        }
        self.carried = Some(carried);
        self.look_at = now + self.timeout / LOOKS;
    }

    /// Neither an end nor an answer may come while nothing is under way.
    fn look_if_closed(&mut self) {
        if self.flights.is_empty() && !self.is_closed && !self.is_logging_in() {
            let nothing = self.connection.poll_answer(ANSWER_BYTES_MAX);
            self.is_closed = !matches!(nothing, Ok(None));
        }
    }

    /// For how long the broker has asked not to be written to, that was not asked for before.
    pub fn take_held(&mut self) -> Duration {
        self.connection.take_held()
    }

    /// Is an answer awaited?
    pub fn is_busy(&self) -> bool {
        !self.flights.is_empty()
    }

    /// The answer to a question, behind its correlation id, if [`Lane::receive`] has brought it.
    pub fn take(&mut self, correlation: i32) -> Progress<Vec<u8>> {
        match self.told.iter().position(|(of, _)| *of == correlation) {
            Some(at) => Progress::Done(self.told.swap_remove(at).1),
            None => Progress::Pending,
        }
    }

    /// Drops the answers to all questions under way.
    pub fn abandon_questions(&mut self) {
        self.told.clear();
        for flight in &mut self.flights {
            if matches!(flight.kind, Kind::Question) {
                flight.kind = Kind::Abandoned;
            }
        }
    }

    /// See `Broker::descriptors`.
    pub fn descriptors(&self, add: &mut dyn FnMut(RawFd, bool)) {
        if let Some(login) = self.login.as_ref().filter(|login| !login.is_prepared()) {
            login.descriptors(&self.connection, add);
        }
        // A connection that the broker has closed stirs for ever, and so does one of which nobody reads.
        let waits_for_login = self.is_quiet() && self.is_busy() && !self.is_logging_in();
        if !self.is_closed && !waits_for_login {
            add(self.connection.fd(), self.connection.wants_write());
        }
    }

    /// Has the connection not taken yet what was to be sent?
    pub fn is_congested(&self) -> bool {
        !self.is_closed && self.connection.wants_write()
    }
}
