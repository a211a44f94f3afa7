//! Sends letters to the topic as it is now, each once.
//!
//! It is the agent's own procedure on a state of its own, `<trackerDir>/resend`: letters are announced
//! there as batches that are in doubt, and *recovery* gives them an identity, writes that down, sends
//! them, and looks for them in the topic after whatever has come in between (docs/design.md). The mark in
//! the dead-letter file comes before the record that no longer has the batch, so that a letter is either
//! in doubt in that record or settled. Who is killed begins with what is in doubt, which is in the topic or
//! is sent under its old identity.
//!
//! A letter that is refused again stays as it is.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{Mail, Trouble, open, temporary, unreadable};
use crate::channel::batch::Batch;
use crate::channel::broker::Broker;
use crate::channel::connect;
use crate::checkpoint::dead_letter::{self, Letter, State};
use crate::checkpoint::half_letter;
use crate::checkpoint::ledger::{DeadLetter, FinishedFile, Kept, Ledger, LedgerError};
use crate::checkpoint::lock::{self, Locked};
use crate::checkpoint::receipt::Receipt;
use crate::checkpoint::record::{BatchRecord, ChannelRecord, FileRecord, Record};
use crate::checkpoint::slots::{FileStore, Opened, Slots, WriteError};
use crate::clock::{Clock, SystemClock};
use crate::config::model::{
    AgentConfig, Destination, SourceConfig, SourceKind, ValueFormat, is_topic,
};
use crate::exit::Exit;
use crate::log::counted;
use crate::os::{self, Interest};
use crate::pipeline::{self, Begin, Inheritance, Journal, Observer, Pace, Pipeline, Startup};
use crate::text;

/// Name of its directory below the tracker directory.
pub(super) const DIR: &str = "resend";
/// There is nothing in it: a resend has nothing to do with the source's files.
const EMPTY_DIR: &str = "no-files";
/// Letters that are announced together.
const LETTERS_MAX: usize = 256;
/// The file of all of them, in the record.
const FILE_ID: u64 = 1;

/// How it ended for a source.
#[derive(Default)]
struct Outcome {
    sent: u64,
    /// Not in the topic though they were in doubt, and not to be sent any more.
    gone: u64,
    /// Numbers, with the reasons.
    left: Vec<(usize, String)>,
    /// Time was up, or it was stopped.
    is_cut_short: bool,
    /// Then some are in doubt: announced, and without an answer.
    has_doubt: bool,
}

/// Sends what is not settled of the sources at `wanted`.
pub(super) fn run(
    config: AgentConfig,
    wanted: &[usize],
    timeout_s: Option<u64>,
) -> Result<Exit, Trouble> {
    if let Err(e) = os::install_signals(Exit::Temporary.code()) {
        return Err(temporary(format!("signals cannot be caught: {e}")));
    }
    let until = timeout_s.map(|s| Instant::now() + Duration::from_secs(s));
    let AgentConfig { name: agent, sources, destinations: channels, .. } = config;
    // The letters are record values as they are.
    let bare =
        |channel: Destination| Rc::new(Destination { value_format: ValueFormat::Bare, ..channel });
    let channels: Vec<Rc<Destination>> = channels.into_iter().map(bare).collect();
    let mut exit = Exit::Clean;
    for (at, source) in sources.into_iter().enumerate() {
        if !wanted.contains(&at) {
            continue;
        }
        let name = source.name.clone();
        let outcome = match of_source(&agent, source, &channels, until) {
            Ok(outcome) => outcome,
            // The others have letters of their own.
            Err(trouble) => {
                exit = trouble.of_source(&name, exit);
                continue;
            }
        };
        text::print(format_args!("source {name}: {} sent\n", counted(outcome.sent, "letter")));
        for (number, why) in &outcome.left {
            text::print(format_args!("  letter {number} is left: {}\n", text::printable(why)));
        }
        if outcome.gone > 0 {
            text::print(format_args!(
                "  not sent: {} left in doubt before, not in the topic, and since then dropped or moved \
                 away\n",
                counted(outcome.gone, "letter")
            ));
        }
        if outcome.is_cut_short {
            text::print(format_args!("  {}\n", cut_short(outcome.has_doubt)));
        }
        if outcome.is_cut_short || !outcome.left.is_empty() || outcome.gone > 0 {
            exit = exit.or(Exit::Temporary);
        }
    }
    Ok(exit)
}

/// What becomes of the letters for which there was no time.
fn cut_short(has_doubt: bool) -> &'static str {
    match has_doubt {
        true => {
            "not all of them have an answer; they stay in doubt, and the next --resend looks for them first"
        }
        false => {
            "not all of them were sent; the others stay unsettled, and the next --resend sends them"
        }
    }
}

fn of_source(
    agent: &str,
    mut source: SourceConfig,
    channels: &[Rc<Destination>],
    until: Option<Instant>,
) -> Result<Outcome, Trouble> {
    let dir = source.tracker_dir.join(DIR);
    let mut outcome = Outcome::default();
    let is_open = |letter: &Letter| letter.state == State::Unsettled;
    if !open(&source)?.letters.iter().any(is_open) && !dir.exists() {
        return Ok(outcome);
    }
    let _lock = hold(&source, agent)?;
    // Who had the lock before may have settled some since.
    let mail = open(&source)?;
    source.spool_dir = dir.join(EMPTY_DIR);
    fs::create_dir_all(&source.spool_dir).map_err(|e| in_dir(&source.spool_dir, &e))?;
    source.spool_dir_text = source.spool_dir.display().to_string();
    source.tracker_dir = dir;
    source.interceptors.clear();
    // A letter that nothing waits for would count as sent.
    source.optional.clear();
    // No file is read.
    source.kind = SourceKind::SpoolTail;
    let shared = Rc::new(RefCell::new(Post {
        mail,
        refused: HashMap::new(),
        gone: HashSet::new(),
        sent: 0,
        is_doubt_on_disk: false,
    }));
    let source = Rc::new(source);
    let own = destinations(&source, channels, &shared.borrow().mail.letters);
    let run = Run { agent, source: &source, channels, own, shared: &shared, until };
    let mut begun = 0;
    while run.may_go_on() {
        let batches = run.next_batches(&mut begun, &mut outcome);
        if !run.send(batches)? {
            break;
        }
    }
    outcome.is_cut_short = !run.may_go_on();
    outcome.has_doubt = outcome.is_cut_short && open_state(&source.tracker_dir)?.1.has_doubt();
    let post = shared.borrow();
    outcome.sent = post.sent;
    outcome.gone = post.gone.len() as u64;
    for (at, letter) in post.mail.letters.iter().enumerate() {
        if let Some(why) = post.refused.get(&letter.at) {
            outcome.left.push((at + 1, why.clone()));
        }
    }
    outcome.left.sort();
    Ok(outcome)
}

fn in_dir(dir: &Path, e: &io::Error) -> Trouble {
    temporary(format!("{}: {e}", dir.display()))
}

/// Keeps others away who would send or drop letters of the source.
pub(super) fn hold(source: &SourceConfig, agent: &str) -> Result<lock::Lock, Trouble> {
    let clock = SystemClock::new();
    let since = clock.local(clock.now_ms()).log_stamp();
    match lock::acquire(&source.tracker_dir.join(DIR), agent, since.as_str()) {
        Ok(Locked::Held(lock)) => Ok(lock),
        Ok(Locked::Busy { path, holder }) => {
            let busy = lock::busy_message(&path, holder.as_ref());
            Err(temporary(format!(
                "{busy}; it sends or drops letters: try again when it has ended"
            )))
        }
        Err(e) => Err(temporary(e.to_string())),
    }
}

/// Where the bodies of those letters begin that a resend has left in doubt. The caller holds the lock.
pub(super) fn in_doubt(source: &SourceConfig, mail: &Mail) -> Result<Vec<u64>, Trouble> {
    let (_, record, _) = open_state(&source.tracker_dir.join(DIR))?;
    let mut found = Vec::new();
    for doubt in doubts(&record) {
        if let Some(letter) = mail.at(doubt.start)
            && doubt.is(letter, &mail.path).map_err(|e| unreadable(&mail.path, &e))?
        {
            found.push(letter.at);
        }
    }
    Ok(found)
}

/// What was announced, and whether that is a copy of a state.
pub(super) fn open_state(dir: &Path) -> Result<(Slots<FileStore>, Record, bool), Trouble> {
    match FileStore::open(dir).and_then(Slots::open).map_err(|e| in_dir(dir, &e))? {
        Opened::Absent(slots) => Ok((slots, Record::default(), false)),
        Opened::Valid { slots, record, copied, .. } => Ok((slots, record, copied)),
        Opened::Damaged(damage) => {
            let why = format!("{damage}. What was in doubt there may be in the topic");
            Err(Trouble(Exit::BrokenPromise, why))
        }
    }
}

/// A letter that may be in the topic. Its place does not tell which one it is: the dead-letter file may have
/// been moved away since, and another letter have come there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Doubt {
    start: u64,
    end: u64,
    body_crc: u32,
    /// 0 where an earlier version has announced it.
    head_crc: u32,
}

impl Doubt {
    pub(super) fn of(batch: &BatchRecord) -> Doubt {
        let BatchRecord { start, end, bytes_crc: body_crc, .. } = *batch;
        Doubt { start, end, body_crc, head_crc: batch.letter_head_crc() }
    }

    pub(super) fn is(&self, letter: &Letter, path: &Path) -> io::Result<bool> {
        if (letter.at, letter.at + letter.bytes) != (self.start, self.end) {
            return Ok(false);
        }
        Ok(Bytes::of(letter, path)?.is_some_and(|bytes| self.has(&bytes)))
    }

    fn has(&self, bytes: &Bytes) -> bool {
        bytes.body_crc() == self.body_crc && (self.head_crc == 0 || bytes.head_crc == self.head_crc)
    }
}

/// What stands in the place of a letter now.
struct Bytes {
    /// Of what no mark changes.
    head_crc: u32,
    body: Vec<u8>,
}

impl Bytes {
    /// `None`: that is no longer this letter.
    fn of(letter: &Letter, path: &Path) -> io::Result<Option<Bytes>> {
        let read = || -> io::Result<Option<Bytes>> {
            let length = letter.at + letter.bytes - letter.head_at;
            let mut head = vec![0; usize::try_from(length).map_err(io::Error::other)?];
            os::read_own(path)?.read_exact_at(&mut head, letter.head_at)?;
            // It is not behind the end, which is a number of this size.
            let body = head.split_off((letter.at - letter.head_at) as usize);
            let head_crc = crc32fast::hash(dead_letter::unmarked(&head));
            Ok(letter.has(&head).then_some(Bytes { head_crc, body }))
        };
        match read() {
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) => {
                Ok(None)
            }
            read => read,
        }
    }

    fn body_crc(&self) -> u32 {
        crc32fast::hash(&self.body)
    }
}

/// What journal and ledger of a resend share.
struct Post {
    mail: Mail,
    /// By where its body begins, with the reason.
    refused: HashMap<u64, String>,
    /// Not in the topic, and not to be sent any more.
    gone: HashSet<Doubt>,
    sent: u64,
    /// Does the record that was written last have anything in doubt?
    is_doubt_on_disk: bool,
}

impl Post {
    /// No longer in doubt: it is in the topic, unless it was refused or is gone.
    fn settle(&mut self, doubt: Doubt) -> io::Result<()> {
        let at = doubt.start;
        if self.refused.contains_key(&at) || self.gone.contains(&doubt) {
            return Ok(());
        }
        let path = self.mail.path.clone();
        let Some(letter) = self.mail.at_mut(at) else {
            // The file was moved away by whoever has dealt with it.
            return Ok(());
        };
        // What has come into its place since is another one.
        if doubt.is(letter, &path)? {
            dead_letter::mark(&path, letter, State::Sent)?;
            letter.state = State::Sent;
            self.sent += 1;
        }
        Ok(())
    }
}

/// Marks what a record no longer has in doubt, and then writes the record.
struct MarkingJournal {
    slots: Slots<FileStore>,
    path: PathBuf,
    in_doubt: Vec<Doubt>,
    shared: Rc<RefCell<Post>>,
}

fn doubts(record: &Record) -> Vec<Doubt> {
    record.batches.iter().filter(|b| b.fate.is_in_doubt()).map(Doubt::of).collect()
}

impl Journal for MarkingJournal {
    fn write(&mut self, record: &mut Record, files: &[&FileRecord]) -> Result<(), WriteError> {
        let now = doubts(record);
        let is_now = |doubt: &&Doubt| now.iter().any(|now| now.start == doubt.start);
        for doubt in self.in_doubt.iter().filter(|doubt| !is_now(doubt)) {
            let settled = self.shared.borrow_mut().settle(*doubt);
            settled.map_err(|error| WriteError::Failed { path: self.path.clone(), error })?;
        }
        self.in_doubt = now;
        self.slots.write_with(record, files)?;
        self.shared.borrow_mut().is_doubt_on_disk = !self.in_doubt.is_empty();
        Ok(())
    }
}

/// The bytes of letters; what is refused again stays where it is.
struct LetterLedger {
    shared: Rc<RefCell<Post>>,
}

impl Ledger for LetterLedger {
    fn tells_letters(&self) -> bool {
        false
    }

    fn receipt(&mut self, _: &FinishedFile<'_>) -> Result<(), LedgerError> {
        Ok(())
    }

    fn renew(&mut self, _: &[Receipt]) -> Result<(), LedgerError> {
        Ok(())
    }

    fn dead_letter(&mut self, letter: &DeadLetter<'_>) -> Result<(), LedgerError> {
        let why = format!("refused again: {}", letter.reason);
        self.shared.borrow_mut().refused.insert(letter.batch.start, why);
        Ok(())
    }

    fn kept(&mut self, batch: &BatchRecord) -> Option<io::Result<Option<Kept>>> {
        let post = self.shared.borrow();
        let path = &post.mail.path;
        let read = |letter: &Letter| -> io::Result<Option<Kept>> {
            let bytes = Bytes::of(letter, path)?.filter(|bytes| Doubt::of(batch).has(bytes));
            let (key, headers) = (letter.key.clone(), letter.headers.clone());
            Ok(bytes.map(|bytes| Kept { key, headers, value: bytes.body }))
        };
        // One that comes back is a letter like any other: this one is not in the topic.
        let letter = post.mail.at(batch.start).filter(|letter| letter.state != State::Dropped);
        let kept = letter.map_or(Ok(None), read);
        Some(kept.map_err(|e| io::Error::other(format!("{}: {e}", path.display()))))
    }

    fn tell_lost(&mut self, batch: &BatchRecord) -> bool {
        self.shared.borrow_mut().gone.insert(Doubt::of(batch));
        true
    }
}

struct Nobody;

impl Observer for Nobody {
    fn acked(&mut self, _: usize, _: u64, _: Option<&Batch>) {}
}

/// The destinations of a source with their places in the agent, and behind them topics that are opened when
/// an event names them, as letters are for them.
pub(super) fn destinations(
    source: &SourceConfig,
    channels: &[Rc<Destination>],
    letters: &[Letter],
) -> Vec<(usize, Rc<Destination>)> {
    let place = |at: usize| (channels[at].base.unwrap_or(at), channels[at].clone());
    let mut own: Vec<_> = source.destinations.iter().map(|&at| place(at)).collect();
    let Some((at, base)) = own.iter().find(|(_, d)| d.is_on_demand()).cloned() else { return own };
    for letter in letters.iter().filter(|letter| letter.state == State::Unsettled) {
        if is_topic(&letter.topic) && own.iter().all(|(_, d)| d.topic != letter.topic) {
            own.push((at, Rc::new(base.for_topic(&base.name, &letter.topic))));
        }
    }
    own
}

/// The same, and those where an earlier run has left something of which no letter tells any more: its letter has
/// its mark already, or was moved away.
pub(super) fn destinations_left(
    source: &SourceConfig,
    channels: &[Rc<Destination>],
    own: &[(usize, Rc<Destination>)],
    record: &Record,
) -> Vec<(usize, Rc<Destination>)> {
    let mut left = pipeline::left_topics(record, source, channels);
    left.retain(|left| own.iter().all(|(_, own)| own.topic != left.topic));
    let left = left.into_iter().map(|left| (left.base.unwrap_or(0), Rc::new(left)));
    own.iter().cloned().chain(left).collect()
}

struct Run<'a> {
    agent: &'a str,
    source: &'a Rc<SourceConfig>,
    /// Those of the agent.
    channels: &'a [Rc<Destination>],
    /// Where letters that are not settled go.
    own: Vec<(usize, Rc<Destination>)>,
    shared: &'a Rc<RefCell<Post>>,
    until: Option<Instant>,
}

impl Run<'_> {
    fn may_go_on(&self) -> bool {
        os::stop_requested().is_none() && self.until.is_none_or(|until| Instant::now() < until)
    }

    /// The next letters that can be sent, from the one at place `begun` on.
    fn next_batches(&self, begun: &mut usize, outcome: &mut Outcome) -> Vec<BatchRecord> {
        let now_ms = SystemClock::new().now_ms();
        let mut batches = Vec::new();
        let post = self.shared.borrow();
        let path = &post.mail.path;
        while batches.len() < LETTERS_MAX {
            let Some(letter) = post.mail.letters.get(*begun) else { break };
            *begun += 1;
            if letter.state != State::Unsettled || post.refused.contains_key(&letter.at) {
                continue;
            }
            let mut leave = |why: &str| outcome.left.push((*begun, why.to_string()));
            if letter.is_giant {
                leave("it is a line that is longer than an event may be; --raw writes it out");
                continue;
            }
            if letter.is_short {
                leave("its key or headers were too long to be kept; --raw writes out its value");
                continue;
            }
            let Some(channel) = self.channel_of(letter) else {
                leave("no channel of the source has its topic");
                continue;
            };
            let mut batch = BatchRecord {
                channel,
                partition: letter.partition.max(0),
                producer_id: -1,
                producer_epoch: -1,
                base_sequence: -1,
                count: 1,
                file: FILE_ID,
                start: letter.at,
                end: letter.at + letter.bytes,
                stamp_ms: now_ms,
                ..BatchRecord::default()
            };
            match Bytes::of(letter, path) {
                Ok(Some(bytes)) if half_letter::has_head(&bytes.body) => {
                    leave(
                        "another letter stands in its bytes: it may be half a one (--raw shows it)",
                    );
                }
                Ok(Some(bytes)) => {
                    batch.bytes_crc = bytes.body_crc();
                    batch.set_letter_head_crc(bytes.head_crc);
                    batches.push(batch);
                }
                Ok(None) => leave("it was moved away"),
                Err(e) => leave(&format!("{}: {e}", path.display())),
            }
        }
        batches
    }

    /// That with the topic of the letter, or the only one.
    fn channel_of(&self, letter: &Letter) -> Option<u16> {
        let by_topic = self.own.iter().position(|(_, channel)| channel.topic == letter.topic);
        let at = by_topic.or_else(|| (self.own.len() == 1).then_some(0))?;
        u16::try_from(at).ok()
    }

    /// Sends them, or what an earlier run has left in doubt. `false`: there is nothing, or no time, left.
    fn send(&self, batches: Vec<BatchRecord>) -> Result<bool, Trouble> {
        let dir = &self.source.tracker_dir;
        let (slots, record, is_copied) = open_state(dir)?;
        let is_left = record.has_doubt();
        if !is_left && batches.is_empty() {
            return Ok(false);
        }
        let record = if is_left { record } else { self.announcing(record, batches.clone()) };
        self.shared.borrow_mut().is_doubt_on_disk = is_left;
        let mut pipeline = self.assemble(slots, record, is_copied, !is_left)?;
        self.drive(&mut pipeline)?;
        if pipeline.in_doubt() == 0 && self.shared.borrow().is_doubt_on_disk {
            // It would be looked for again, and again.
            let dir = dir.display();
            return Err(temporary(format!(
                "{dir}: that letters are settled could not be written; run --resend again"
            )));
        }
        // What was left before comes first; then those that were to be sent now.
        if is_left && self.may_go_on() && !batches.is_empty() {
            let unsettled = |b: &BatchRecord| {
                let post = self.shared.borrow();
                post.mail.at(b.start).is_some_and(|letter| letter.state == State::Unsettled)
                    && !post.refused.contains_key(&b.start)
            };
            let batches: Vec<BatchRecord> = batches.into_iter().filter(unsettled).collect();
            return if batches.is_empty() { Ok(true) } else { self.send(batches) };
        }
        Ok(self.may_go_on())
    }

    fn announcing(&self, before: Record, batches: Vec<BatchRecord>) -> Record {
        let channels = self.own.iter().map(|(_, config)| ChannelRecord {
            name: config.name.clone(),
            topic: config.topic.clone(),
            producer_id: -1,
            producer_epoch: -1,
            ..ChannelRecord::default()
        });
        let channels = channels.collect();
        let next_file_id = FILE_ID + 1;
        Record {
            generation: before.generation,
            next_file_id,
            channels,
            batches,
            ..Record::default()
        }
    }

    fn assemble(
        &self,
        slots: Slots<FileStore>,
        record: Record,
        is_copied: bool,
        is_new: bool,
    ) -> Result<Pipeline, Trouble> {
        let dir = &self.source.tracker_dir;
        let channels = destinations_left(self.source, self.channels, &self.own, &record);
        // What it does not look for is not settled by what becomes of the rest.
        let all: Vec<Rc<Destination>> = channels.iter().map(|(_, d)| d.clone()).collect();
        let lacking = pipeline::without_place(&record, &all);
        if !lacking.is_empty() {
            return Err(lacks_channel(&record, &lacking));
        }
        let channels = channels.into_iter().map(|(at, channel)| {
            let broker: Box<dyn Broker> = connect::connect(&channel);
            (at, channel, broker)
        });
        let startup = Startup {
            agent: self.agent.to_string(),
            config: self.source.clone(),
            channels: channels.collect(),
            clock: Rc::new(SystemClock::new()),
            connect: Rc::new(connect::connect),
            ledger: Box::new(LetterLedger { shared: self.shared.clone() }),
        };
        let journal = MarkingJournal {
            slots,
            path: dir.join(crate::checkpoint::slots::FILE_NAME),
            in_doubt: doubts(&record),
            shared: self.shared.clone(),
        };
        let inherited = Inheritance {
            journal: Box::new(journal),
            record: Some(record),
            is_copied,
            java: None,
            begin: Begin::Beginnings,
        };
        let assembled = Pipeline::assemble(startup, inherited);
        let mut pipeline = assembled.map_err(|e| temporary(e.to_string()))?;
        if is_new {
            // Nothing of it was ever sent.
            pipeline.none_was_sent();
        }
        Ok(pipeline)
    }

    /// Until nothing is in doubt.
    fn drive(&self, pipeline: &mut Pipeline) -> Result<(), Trouble> {
        let broken = |why: String| Trouble(Exit::BrokenPromise, why);
        while pipeline.in_doubt() > 0 && self.may_go_on() {
            let pace = pipeline.step(&mut Nobody).map_err(|fatal| broken(fatal.to_string()))?;
            let Pace::Rest(ms) = pace else { continue };
            let mut interests = Vec::new();
            pipeline.descriptors(&mut |fd, write| interests.push(Interest { fd, write }));
            let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
            let rest =
                left.map_or(Duration::from_millis(ms), |left| left.min(Duration::from_millis(ms)));
            os::wait(&interests, rest).map_err(|e| temporary(format!("cannot wait: {e}")))?;
        }
        pipeline.close().map_err(|fatal| broken(fatal.to_string()))
    }
}

/// These batches have no place in a pipeline.
fn lacks_channel(record: &Record, lacking: &[&BatchRecord]) -> Trouble {
    let topics: BTreeSet<&str> = lacking.iter().map(|batch| topic_of(record, batch)).collect();
    let topics = Vec::from_iter(topics).join(", ");
    temporary(format!(
        "letters may be in topic {}: a --resend that was cut short has left them in doubt, and no channel of the \
         source has that topic any more. Nothing was sent; give the source a channel with that topic and run \
         --resend again, which looks for them there and settles them, or run --give-up, which drops them, though \
         they may be there",
        text::printable(&topics),
    ))
}

pub(super) fn topic_of<'a>(record: &'a Record, batch: &BatchRecord) -> &'a str {
    record.channels.get(usize::from(batch.channel)).map_or("", |channel| &channel.topic)
}
