//! Finds a way into a cluster: any broker of the list, the topic, its leaders. A step never waits.
//!
//! The brokers of the list are greeted side by side, each a moment after the one before, so that in
//! a healthy cluster one is asked, and one that is frozen costs the others nothing. Which of them
//! counts is the first whose word holds: it tells of a topic that is ready and all leaders that it
//! names answer. What one says that is cut off from the others may be long untrue, and hides nothing
//! that another tells. Leaders are greeted side by side as well.

use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use kafka_protocol::messages::MetadataResponse;

use super::broker::{Fault, Progress};
use super::client::Client;
use super::cluster::{Cluster, Quest, Word, ask_metadata, is_missing};
use super::finish::Waits;
use super::greet::{Greeted, Greeting, LOOK_PAUSE, hinted};
use super::protocol::Asked;
use super::standing::State;

/// Time between the greetings of one broker of the list and the next.
const STAGGER: Duration = Duration::from_millis(20);
/// Where each of them wants to know first who we are: one that does not believe it has the time to
/// say so before another is asked, which may count one more wrong password.
const LOGIN_STAGGER: Duration = Duration::from_millis(1_000);
/// Brokers that are greeted at a time.
const GREETINGS_MAX: usize = 64;
/// How long a topic that is being made is waited for before the caller is told.
const TOPIC_TIMEOUT: Duration = Duration::from_millis(3_000);
const TOPIC_PAUSE: Duration = Duration::from_millis(50);
/// In this time before the deadline no broker is asked any more whose answer might do in part.
const LAST_MOMENT: Duration = Duration::from_millis(1_000);
/// A broker that names partitions without a leader is asked again after this time.
const LACKING_PAUSE: Duration = Duration::from_millis(200);
/// For this time no other broker is asked while the leaders that one has named are greeted, and then that one
/// is asked again: a leader that is dead stands in the metadata until its session is over.
const WORD_PATIENCE: Duration = Duration::from_millis(500);

/// One that has begun.
pub struct Finding {
    topic: String,
    client: Client,
    legacy: bool,
    may_create: bool,
    may_lack: bool,
    deadline: Instant,
    /// How long a broker of the list has for its greeting: all of the time, unless they are more
    /// than are greeted at once.
    greet_time: Duration,
    /// How long the topic is waited for, from the first broker on that answers.
    ready_until: Option<Instant>,
    /// The brokers of the list in its order, then leaders that are not among them.
    peers: Vec<Peer>,
    /// How many are of the list.
    listed: usize,
    /// A broker has said that there is no such topic.
    was_missing: bool,
}

struct Peer {
    address: String,
    reach: Reach,
    /// The question for the topic's metadata, if it is under way.
    asked: Option<Asked>,
    ask_at: Instant,
    /// What it said last.
    told: Option<Told>,
    /// A broker has named it as a leader.
    leads: bool,
}

enum Reach {
    /// Not greeted before.
    Due(Instant),
    Greeting(Box<Greeting>),
    Greeted(Greeted),
    Failed {
        fault: Fault,
        at: Instant,
    },
    /// Its connection is part of what was found.
    Taken,
}

enum Told {
    /// With what it had said, if that is all that is wrong with it that a leader does not answer.
    NotReady {
        fault: Fault,
        word: Option<Word>,
    },
    Ready {
        word: Word,
        at: Instant,
    },
}

impl Peer {
    fn new(address: &str, due: Instant) -> Peer {
        let address = address.to_string();
        Peer { address, reach: Reach::Due(due), asked: None, ask_at: due, told: None, leads: false }
    }

    /// Can its connection be handed over? No answer is under way on it.
    fn is_at_hand(&self) -> bool {
        matches!(self.reach, Reach::Greeted(_)) && self.asked.is_none()
    }

    fn fail(&mut self, fault: Fault, now: Instant) {
        self.asked = None;
        self.told = None;
        self.reach = Reach::Failed { fault, at: now };
    }

    /// # Errors
    /// What is not wrong with this one alone.
    fn take_fault(&mut self, fault: Fault, now: Instant) -> Result<(), Fault> {
        match fault {
            Fault::Unreachable(_)
            | Fault::Incompatible(_)
            | Fault::Distrusted(_)
            | Fault::Lost(_) => {
                self.fail(fault, now);
                Ok(())
            }
            other => Err(other),
        }
    }

    fn not_ready(&mut self, fault: Fault, now: Instant) {
        self.told = Some(Told::NotReady { fault, word: None });
        self.ask_at = now + TOPIC_PAUSE;
    }

    /// A leader that it has named cannot be reached.
    fn doubt_word(&mut self, fault: Fault, now: Instant) {
        let word = match self.told.take() {
            Some(Told::Ready { word, .. }) => Some(word),
            _ => None,
        };
        self.told = Some(Told::NotReady { fault, word });
        self.ask_at = now + TOPIC_PAUSE;
    }

    fn word(&self) -> Option<&Word> {
        match &self.told {
            Some(Told::Ready { word, .. }) => Some(word),
            Some(Told::NotReady { word, .. }) => word.as_ref(),
            None => None,
        }
    }
}

impl Finding {
    /// Begins; `timeout`: for everything.
    pub fn start(quest: Quest<'_>, timeout: Duration) -> Finding {
        let now = Instant::now();
        let mut peers: Vec<Peer> = Vec::new();
        let stagger = match quest.client.logs_in() {
            true => LOGIN_STAGGER.min(timeout / 2 / quest.brokers.len().max(1) as u32),
            false => STAGGER,
        };
        for address in quest.brokers {
            if peers.iter().all(|p| p.address != *address) {
                peers.push(Peer::new(address, now + stagger * peers.len() as u32));
            }
        }
        let listed = peers.len();
        Finding {
            topic: quest.topic.to_string(),
            client: quest.client.clone(),
            legacy: quest.legacy,
            may_create: quest.may_create,
            may_lack: quest.may_lack,
            deadline: now + timeout,
            greet_time: timeout / listed.div_ceil(GREETINGS_MAX).max(1) as u32,
            ready_until: None,
            peers,
            listed,
            was_missing: false,
        }
    }

    /// Goes as far as it can now.
    ///
    /// # Errors
    /// `NotReady` in the words of the first of the list that says so, else `Unreachable` with each
    /// broker's reason in one line; `Unauthorised`.
    pub fn poll(&mut self) -> Result<Progress<Cluster>, Fault> {
        let now = Instant::now();
        self.greet(now)?;
        self.listen(now)?;
        self.ask(now)?;
        self.seek_leaders(now);
        // Those that were named just now.
        self.greet(now)?;
        let holding: Vec<usize> = (0..self.listed).filter(|&at| self.holds(at)).collect();
        let whole = holding.iter().find(|&&at| self.is_whole(at));
        // A leader may be chosen in this moment: what lacks one counts only after a while.
        let lacking = holding.first().filter(|_| !self.may_get_ready(now));
        if let Some(&at) = whole.or(lacking) {
            return Ok(Progress::Done(self.take(at)));
        }
        let is_over = self.is_over(now);
        if is_over || (self.is_late(now) && self.peers.iter().all(|p| p.asked.is_none())) {
            // Those who answer are better than nobody.
            if let Some(at) = (0..self.listed).find(|&at| self.holds_in_part(at)) {
                return Ok(Progress::Done(self.take(at)));
            }
        }
        if is_over { Err(self.fault()) } else { Ok(Progress::Pending) }
    }

    /// The state of all brokers that were asked; `is_over`: none has any more time to answer.
    pub fn standings(&self, is_over: bool) -> Vec<(String, State, Option<String>)> {
        let standing = |peer: &Peer| {
            let (state, why) = match (&peer.reach, &peer.told) {
                (Reach::Failed { fault, .. }, _) => (State::Failed, Some(fault.to_string())),
                (_, Some(Told::NotReady { fault, .. })) => (State::Failed, Some(fault.to_string())),
                (Reach::Due(_), _) => (State::Unasked, None),
                (Reach::Greeting(_), _) if is_over => {
                    (State::Failed, Some("does not answer".to_string()))
                }
                (Reach::Greeting(_), _) => (State::Asked, None),
                (Reach::Greeted(_), _) => (State::Answers, None),
                (Reach::Taken, _) => (State::Connected, None),
            };
            (peer.address.clone(), state, why)
        };
        self.peers.iter().map(standing).collect()
    }

    /// Is it time to go without leaders that are silent?
    fn is_late(&self, now: Instant) -> bool {
        now + LAST_MOMENT >= self.deadline
    }

    /// Does a leader that it names answer, where that is enough?
    fn holds_in_part(&self, at: usize) -> bool {
        let is_at_hand =
            |address: &str| self.peers.iter().any(|p| p.address == address && p.is_at_hand());
        let word = self.peers[at].word().filter(|_| self.may_lack);
        word.is_some_and(|word| word.leaders.iter().any(|(_, address)| is_at_hand(address)))
    }

    /// Is there a broker's answer whose leaders have not had their time yet?
    fn is_weighing(&self, now: Instant) -> bool {
        self.peers
            .iter()
            .any(|p| matches!(&p.told, Some(Told::Ready { at, word }) if word.is_whole() && now < *at + WORD_PATIENCE))
    }

    fn is_whole(&self, at: usize) -> bool {
        matches!(&self.peers[at].told, Some(Told::Ready { word, .. }) if word.is_whole())
    }

    fn may_get_ready(&self, now: Instant) -> bool {
        self.ready_until.is_some_and(|until| now < until)
    }

    /// How many more may be greeted at once.
    fn room(&self) -> usize {
        let under_way = |p: &&Peer| matches!(p.reach, Reach::Greeting(_));
        GREETINGS_MAX.saturating_sub(self.peers.iter().filter(under_way).count())
    }

    fn greet(&mut self, now: Instant) -> Result<(), Fault> {
        let is_weighing = self.is_weighing(now);
        let mut room = self.room();
        // Once nobody is left who may still answer, the next one is due.
        let mut is_idle = room == GREETINGS_MAX
            && self.peers.iter().all(|p| matches!(p.reach, Reach::Due(_) | Reach::Failed { .. }));
        for (at, peer) in self.peers.iter_mut().enumerate() {
            if let Reach::Due(due) = peer.reach {
                let is_due = now >= due || is_idle;
                if !is_due || room == 0 || (is_weighing && !peer.leads) {
                    continue;
                }
                let until = match at < self.listed {
                    true => self.deadline.min(now + self.greet_time),
                    false => self.deadline,
                };
                match Greeting::start(&peer.address, &self.topic, &self.client, until) {
                    Ok(greeting) => peer.reach = Reach::Greeting(Box::new(greeting)),
                    Err(fault @ Fault::NoDescriptor(_)) => return Err(fault),
                    Err(fault) => peer.fail(fault, now),
                }
                room -= 1;
                is_idle &= matches!(peer.reach, Reach::Failed { .. });
            }
            let Reach::Greeting(greeting) = &mut peer.reach else { continue };
            match greeting.poll() {
                Ok(Progress::Pending) => {}
                Ok(Progress::Done(greeted)) => {
                    peer.reach = Reach::Greeted(greeted);
                    peer.ask_at = now;
                }
                Err(fault) => peer.take_fault(fault, now)?,
            }
        }
        Ok(())
    }

    /// Takes the answers that have come.
    fn listen(&mut self, now: Instant) -> Result<(), Fault> {
        for peer in &mut self.peers[..self.listed] {
            let Some(asked) = &peer.asked else { continue };
            let Reach::Greeted((connection, _)) = &mut peer.reach else { continue };
            let answer = match asked.poll::<MetadataResponse>(connection) {
                Ok(Progress::Pending) => continue,
                Ok(Progress::Done(answer)) => {
                    self.was_missing |= is_missing(&answer, &self.topic);
                    match Word::of(&answer, &self.topic) {
                        Ok(word) if !self.may_lack => word.whole(&self.topic),
                        Err(Fault::Lost(why)) => Err(Fault::Lost(why).told_by(&peer.address)),
                        word => word,
                    }
                }
                Err(fault) => Err(hinted(fault, connection)),
            };
            peer.asked = None;
            match answer {
                Ok(word) => {
                    let pause = if word.is_whole() { WORD_PATIENCE } else { LACKING_PAUSE };
                    peer.told = Some(Told::Ready { word, at: now });
                    peer.ask_at = now + pause;
                }
                Err(fault @ Fault::NotReady(_)) => peer.not_ready(fault, now),
                Err(fault) => peer.take_fault(fault, now)?,
            }
        }
        Ok(())
    }

    fn ask(&mut self, now: Instant) -> Result<(), Fault> {
        let is_weighing = self.is_weighing(now);
        let (is_late, may_get_ready) = (self.is_late(now), self.may_get_ready(now));
        for peer in &mut self.peers[..self.listed] {
            // Its connection may be that of a leader, and is to be at hand.
            let is_enough = self.may_lack
                && match &peer.told {
                    Some(Told::NotReady { word: Some(_), .. }) => is_late || !may_get_ready,
                    Some(Told::Ready { .. }) => is_late,
                    _ => false,
                };
            if is_enough {
                continue;
            }
            let Reach::Greeted(greeted) = &mut peer.reach else { continue };
            let patience = TOPIC_TIMEOUT.min(self.deadline.saturating_duration_since(now) / 2);
            self.ready_until.get_or_insert(now + patience);
            if peer.asked.is_some() || now < peer.ask_at || is_weighing {
                continue;
            }
            let (topic, client) = (&self.topic, &self.client.id);
            match ask_metadata(greeted, topic, client, self.may_create, self.deadline) {
                Ok(asked) => peer.asked = Some(asked),
                Err(fault) => peer.take_fault(fault, now)?,
            }
        }
        Ok(())
    }

    /// Greets the leaders that a broker has named.
    fn seek_leaders(&mut self, now: Instant) {
        for at in 0..self.listed {
            let Some(Told::Ready { word, at: told_at }) = &self.peers[at].told else { continue };
            let told_at = *told_at;
            let leaders = word.leaders.clone();
            let mut failed = None;
            for (node, address) in leaders {
                let known = self.peers.iter().position(|p| p.address == address);
                let known = known.unwrap_or(self.peers.len());
                if known == self.peers.len() {
                    self.peers.push(Peer::new(&address, now));
                }
                self.peers[known].leads = true;
                match &self.peers[known].reach {
                    // One that is gone will be replaced: that is worth another question.
                    Reach::Failed { fault, at: failed_at } if *failed_at >= told_at => {
                        failed.get_or_insert(format!("leader {node} at {address}: {fault}"));
                    }
                    Reach::Failed { .. } | Reach::Due(_) => {
                        self.peers[known].reach = Reach::Due(now);
                    }
                    Reach::Greeting(_) | Reach::Greeted(_) | Reach::Taken => {}
                }
            }
            if let Some(why) = failed {
                self.peers[at].doubt_word(Fault::NotReady(why), now);
            }
        }
    }

    /// Does its word hold: do all leaders that it names answer?
    fn holds(&self, at: usize) -> bool {
        let Some(Told::Ready { word, .. }) = &self.peers[at].told else { return false };
        word.leaders
            .iter()
            .all(|(_, address)| self.peers.iter().any(|p| p.address == *address && p.is_at_hand()))
    }

    fn take(&mut self, at: usize) -> Cluster {
        let told_by = self.peers[at].address.clone();
        let word = match self.peers[at].told.take() {
            Some(Told::Ready { word, .. } | Told::NotReady { word: Some(word), .. }) => word,
            _ => unreachable!("it holds"),
        };
        if self.was_missing && self.may_create {
            word.tell_made(&self.topic);
        }
        let is_at_hand =
            |address: &str| self.peers.iter().any(|p| p.address == address && p.is_at_hand());
        let Ok(word) = word.without(|address| !is_at_hand(address)) else {
            unreachable!("a leader is at hand")
        };
        let mut leaders = Vec::with_capacity(word.leaders.len());
        for (_, address) in &word.leaders {
            let leader = self.peers.iter_mut().find(|p| p.address == *address);
            let reach = leader.map(|p| std::mem::replace(&mut p.reach, Reach::Taken));
            if let Some(Reach::Greeted(greeted)) = reach {
                leaders.push(greeted);
            }
        }
        word.into_cluster(&told_by, leaders, self.legacy)
    }

    /// Is there nothing more to wait for?
    fn is_over(&self, now: Instant) -> bool {
        let may_get_ready = self.may_get_ready(now);
        let is_finished = |p: &Peer| match (&p.reach, &p.told) {
            (Reach::Failed { .. }, _) => true,
            (_, Some(Told::NotReady { word, .. })) => {
                !may_get_ready && (word.is_none() || p.asked.is_none())
            }
            _ => false,
        };
        now >= self.deadline || self.peers[..self.listed].iter().all(is_finished)
    }

    fn fault(&mut self) -> Fault {
        let mut reasons = Vec::new();
        for at in 0..self.listed {
            let peer = &self.peers[at];
            let address = &peer.address;
            match (&peer.told, &peer.reach) {
                (Some(Told::NotReady { fault, .. }), _) => return fault.clone(),
                (Some(Told::Ready { word, .. }), _) => return self.silent_leader(word),
                // These name the broker themselves.
                (
                    None,
                    Reach::Failed { fault: Fault::Lost(why) | Fault::Incompatible(why), .. },
                ) => {
                    reasons.push(why.clone());
                }
                (None, Reach::Failed { fault, .. }) => reasons.push(format!("{address}: {fault}")),
                (None, _) => reasons.push(format!("{address} does not answer")),
            }
        }
        Fault::Unreachable(format!("no broker can be reached: {}", reasons.join("; ")))
    }

    fn silent_leader(&self, word: &Word) -> Fault {
        let is_at_hand =
            |address: &str| self.peers.iter().any(|p| p.address == address && p.is_at_hand());
        let silent = word.leaders.iter().find(|(_, address)| !is_at_hand(address));
        let why = silent.map_or("a leader does not answer".to_string(), |(node, address)| {
            format!("leader {node} at {address}: {address} does not answer")
        });
        Fault::NotReady(why)
    }
}

impl Waits for Finding {
    fn descriptors(&self, add: &mut dyn FnMut(RawFd, bool)) {
        for peer in &self.peers {
            match &peer.reach {
                Reach::Greeting(greeting) => greeting.descriptors(add),
                // One that nothing is asked may have closed its connection, which stirs for ever.
                Reach::Greeted((connection, _)) if peer.asked.is_some() => {
                    add(connection.fd(), connection.wants_write());
                }
                _ => {}
            }
        }
    }

    fn patience(&self) -> Duration {
        let now = Instant::now();
        let (is_weighing, has_room) = (self.is_weighing(now), self.room() > 0);
        let next = self.peers.iter().enumerate().filter_map(|(at, p)| match &p.reach {
            Reach::Due(due) if has_room && (p.leads || !is_weighing) => Some(*due),
            Reach::Greeted(_) if at < self.listed && p.asked.is_none() && !is_weighing => {
                Some(p.ask_at)
            }
            _ => None,
        });
        let left = next.map(|at| at.saturating_duration_since(now)).min();
        left.map_or(LOOK_PAUSE, |left| left.clamp(Duration::from_millis(1), LOOK_PAUSE))
    }
}

#[cfg(test)]
mod tests;
