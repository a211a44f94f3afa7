//! What a checkpoint record holds. One record is the whole state of one source: a reader of the
//! newest valid one needs nothing else to go on exactly where the writer stood.

/// The state of a source at one moment, as it stands in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Counts the writes; the valid slot with the larger one wins.
    pub generation: u64,
    /// Device and inode of the checkpoint file itself, to tell a copied or restored one.
    pub own_device: u64,
    pub own_inode: u64,
    /// Agent and source for which it was written; information, not a key.
    pub agent: String,
    pub source: String,
    /// The next [`FileRecord::id`] to be given.
    pub next_file_id: u64,
    /// How many bytes of receipts there were when the state was last found to be a copy: device and
    /// inode numbers in them are those of the files from which these were copied.
    pub receipts_void: u64,
    pub letters_known: LettersKnown,
    /// The directory that names of files are told from, of a source that may have another one with the next
    /// configuration; empty otherwise.
    pub names_from: Vec<u8>,
    pub channels: Vec<ChannelRecord>,
    pub files: Vec<FileRecord>,
    /// Announced batches that the position of their file does not cover yet, in sending order.
    pub batches: Vec<BatchRecord>,
}

/// Of which dead letters a record knows, so that their events are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LettersKnown {
    /// An older version wrote it, which does not say.
    #[default]
    Unsaid,
    /// Of so many bytes of them.
    Bytes(u64),
    /// Of none: the state was read back from the topic, and any of so many bytes may be of an event that comes
    /// up again. What is behind them came later, and is not known either.
    Recalled(u64),
}

impl LettersKnown {
    /// Of no letter at all. (Less than the largest number that the record has room for.)
    pub const NOTHING: LettersKnown = LettersKnown::Recalled(u64::MAX >> 2);

    /// How the record writes what is recalled.
    const RECALLED: u64 = 1 << 63;

    /// The number by which the record knows it.
    pub(super) fn number(self) -> u64 {
        match self {
            LettersKnown::Unsaid => u64::MAX,
            LettersKnown::Bytes(bytes) => bytes,
            LettersKnown::Recalled(bytes) => bytes | LettersKnown::RECALLED,
        }
    }

    pub(super) fn of_number(number: u64) -> LettersKnown {
        match number & LettersKnown::RECALLED {
            _ if number == u64::MAX => LettersKnown::Unsaid,
            0 => LettersKnown::Bytes(number),
            _ => LettersKnown::Recalled(number & !LettersKnown::RECALLED),
        }
    }
}

/// Where the source stands in one channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelRecord {
    pub name: String,
    pub topic: String,
    /// Empty where the broker is too old to have one.
    pub cluster_id: String,
    /// What the brokers gave the topic when it was made (from 2.8 on); zeros where they tell none.
    pub topic_id: [u8; 16],
    /// Producer id and epoch under which new batches go; -1 on the wire before 0.11.
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub partitions: Vec<PartitionRecord>,
    /// Logs that it was moved away from with something in doubt that still is: the last
    /// [`FORMER_LOGS_MAX`], the last of them at the end. And the present one, where it is about to be left.
    pub former: Vec<FormerLog>,
}

/// How many logs a channel's record has besides the present one.
pub const FORMER_LOGS_MAX: usize = 4;

/// A log that a channel was moved away from, another cluster's or another topic: what was in doubt then may be
/// there. Each batch has a [`Trace`] by which it is known there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FormerLog {
    /// As in [`ChannelRecord`].
    pub topic: String,
    pub cluster_id: String,
    pub topic_id: [u8; 16],
    /// The identities of the traces may be another agent's: the state was copied since they were given.
    pub is_foreign: bool,
    /// Of those in which something may be: floor and mark as they were.
    pub partitions: Vec<PartitionRecord>,
}

/// What a batch in doubt is known by in a log that its channel was moved away from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trace {
    /// Index into [`ChannelRecord::former`].
    pub log: u16,
    /// As in [`BatchRecord`].
    pub partition: i32,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub count: u32,
    pub values_crc: u32,
    pub first_crc: u32,
}

/// In the place of the sequence of a batch without one: a part of that of which the batch before it is a part as well,
/// and both are known by the whole.
pub const OF_THE_SAME_WHOLE: i32 = -2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PartitionRecord {
    pub partition: i32,
    /// Sequence of the next event under the channel's producer id.
    pub next_sequence: i32,
    /// Every batch in doubt of this partition stands at or behind this offset, or nowhere.
    pub floor_offset: i64,
    /// By which the log is known again.
    pub mark: Option<Mark>,
}

/// The last batch that was acknowledged in a partition before everything that is in doubt there: a
/// log in which it does not stand is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// Of its first event.
    pub offset: i64,
    /// As in [`BatchRecord`].
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub count: u32,
    pub values_crc: u32,
    pub first_crc: u32,
}

/// A file that has been read from and is not done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileRecord {
    pub id: u64,
    pub device: u64,
    /// 0 where it is not known: the state was copied, and the file was not there then.
    pub inode: u64,
    /// When the inode was made, ns since 1970; 0 where the file system does not say. Tells a file
    /// from a later one that was given its inode.
    pub born_ns: i64,
    /// Bytes covered by `head_crc`, at most [`HEAD_BYTES`].
    pub head_len: u32,
    /// CRC-32 of the first `head_len` bytes.
    pub head_crc: u32,
    /// Bytes covered by `tail_crc`, at most [`TAIL_BYTES`].
    pub tail_len: u32,
    /// CRC-32 of the `tail_len` bytes before `position`.
    pub tail_crc: u32,
    /// Bare name under which it was first seen; the headers and the receipt name it so.
    pub name: Vec<u8>,
    /// Path below the spool directory where it was last seen or is about to be (after retirement).
    pub current_name: Vec<u8>,
    pub state: FileState,
    /// The line in which the position is was begun before anything was read: what is left of it is
    /// passed over.
    pub skips_line: bool,
    /// Every byte before it is acked by every channel (or was filtered out).
    pub position: u64,
    /// Lines, events and the CRC-32 of all bytes before `position`.
    pub lines: u64,
    pub events: u64,
    pub bytes_crc: u32,
    /// Unix time of the first read, ms.
    pub opened_ms: i64,
    /// Offsets that hold its events, one range for each channel, partition and producer id.
    pub ranges: Vec<OffsetRange>,
    /// Positions that it had in the last seconds before this one, in ascending order.
    pub marks: Vec<ReadMark>,
    /// Inode of the spool directory in which it was found last; 0 where that is not known.
    pub directory: u64,
    /// Its time of birth, Unix ns; 0 where that is not known. No two directories have both alike.
    pub directory_born_ns: i64,
    /// Of a file in a directory below the spool directory: inode and time of birth of the latter then. 0
    /// where that is not known, or the file is in the spool directory itself.
    pub root: u64,
    pub root_born_ns: i64,
    /// What it held is read on in another file: only what is written to this very inode is left to do,
    /// and nothing else can be it.
    pub is_remnant: bool,
    /// Names that it had while it was open, before the present one: the last [`FORMER_NAMES_MAX`], the last of
    /// them at the end. A copy may have been made under any of them.
    pub former_names: Vec<FormerName>,
}

/// A name that a file had, and the directory in which it had it, by device, inode and time of birth.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FormerName {
    pub name: Vec<u8>,
    pub device: u64,
    pub directory: u64,
    pub directory_born_ns: i64,
}

/// How many names a file's record has besides the present ones.
pub const FORMER_NAMES_MAX: usize = 8;

/// A position that a file had, and what was known of the bytes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadMark {
    pub position: u64,
    pub bytes_crc: u32,
    pub lines: u64,
    pub events: u64,
}

/// How much of a file's beginning tells it from another one.
pub const HEAD_BYTES: usize = 256;
/// How much before the position tells whether the file was truncated and has grown again.
pub const TAIL_BYTES: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileState {
    /// Tailed under its own name.
    #[default]
    Live,
    /// Is being moved to `current_name`, or has been: read on until it is quiet.
    Draining,
    /// Its content was thrown away by its writer: only what is in doubt of it is left to do.
    Superseded,
}

/// First and last offset of a file's events in one partition under one producer id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OffsetRange {
    /// Index into [`Record::channels`].
    pub channel: u16,
    pub partition: i32,
    /// The id under which they were sent; -1 on the wire before 0.11.
    pub producer_id: i64,
    pub first: i64,
    pub last: i64,
    pub events: u64,
}

/// A batch that was announced: it may or may not stand in the topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BatchRecord {
    /// Index into [`Record::channels`].
    pub channel: u16,
    pub partition: i32,
    /// -1, -1, -1 on the wire before 0.11; the last of them may be [`OF_THE_SAME_WHOLE`].
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    /// Events; 0 for a range of which every event was filtered out, or whose events stand in a batch that another
    /// range speaks for.
    pub count: u32,
    /// [`FileRecord::id`].
    pub file: u64,
    /// Byte range of the file.
    pub start: u64,
    pub end: u64,
    /// Lines that end in it, and the CRC-32 of its bytes.
    pub lines: u64,
    pub bytes_crc: u32,
    /// CRC-32 of the [`TAIL_BYTES`] (or fewer, near the beginning) before `end`.
    pub tail_crc: u32,
    /// CRC-32 over the CRC-32s (little endian) of its values, and that of the first value.
    pub values_crc: u32,
    pub first_crc: u32,
    /// Unix time given to its events, ms.
    pub stamp_ms: i64,
    pub fate: Fate,
    /// The last, unterminated line of a finished file is in it.
    pub is_final: bool,
    /// In doubt since before the state was copied: the agent that announced it may be alive, and may have sent it,
    /// under this identity or another one.
    pub is_foreign: bool,
    /// `None`: it has all events of its range.
    pub share: Option<Share>,
    /// Where else it may be, while it is in doubt: one for each of the logs that its channel was moved away from
    /// since it was announced.
    pub traces: Vec<Trace>,
}

/// Which events of a range belong to a batch, where their headers decide: those that the rule in force
/// when it was announced sends to a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// CRC-32 of all that decides, as it was then: another one, and nobody can tell which events these are.
    pub rule: u32,
    /// Partitions of the topic then.
    pub partitions: u32,
    /// The partition whose events these are. The batch may be in another one by now.
    pub of: i32,
    /// Events that may go anywhere are among them.
    pub has_free: bool,
    /// When its range was read, Unix ms: the time that the headers of its events have.
    pub read_ms: i64,
    /// Events of the whole range, whatever batch they are in.
    pub events: u32,
}

impl BatchRecord {
    /// Is it the same batch, whatever has become of it?
    pub fn is_same_batch(&self, other: &BatchRecord) -> bool {
        let key =
            |b: &BatchRecord| (b.channel, b.partition, b.file, b.start, b.end, b.base_sequence);
        key(self) == key(other)
    }

    /// Of a letter that is sent again: CRC-32 of its head. Its batch is no part of a file, so that its bytes end none,
    /// and the record has this in the place of [`BatchRecord::tail_crc`]. 0 where an earlier version has
    /// announced it.
    pub fn letter_head_crc(&self) -> u32 {
        self.tail_crc
    }

    /// See [`BatchRecord::letter_head_crc`].
    pub fn set_letter_head_crc(&mut self, crc: u32) {
        self.tail_crc = crc;
    }

    /// Another one of the same range says how many events that has.
    pub fn speaks_for_no_range(&mut self) {
        if let Some(share) = &mut self.share {
            share.events = 0;
        }
    }

    /// Events of its range, as far as it speaks for that.
    pub fn range_events(&self) -> u32 {
        self.share.map_or(self.count, |share| share.events)
    }
}

/// What has become of an announced batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fate {
    /// It is not known whether it is in the topic.
    #[default]
    InDoubt,
    /// It is in the topic; the offset of its first event, never negative.
    At(i64),
    /// These are several batches as one, all in the topic; their offsets stand in their file's record.
    Spread,
    /// It holds no event that would go into the topic: filtered out, a dead letter, lost.
    Nowhere,
}

/// How the record writes the fates that have no offset.
const NOWHERE: i64 = -1;
const SPREAD: i64 = -2;

impl Fate {
    pub fn is_in_doubt(self) -> bool {
        self == Fate::InDoubt
    }

    /// Where its first event stands, if it is one batch in the topic.
    pub fn offset(self) -> Option<i64> {
        match self {
            Fate::At(offset) => Some(offset),
            Fate::InDoubt | Fate::Spread | Fate::Nowhere => None,
        }
    }

    /// The number by which the record knows it; `None` in doubt.
    pub(super) fn number(self) -> Option<i64> {
        match self {
            Fate::InDoubt => None,
            Fate::At(offset) => Some(offset),
            Fate::Spread => Some(SPREAD),
            Fate::Nowhere => Some(NOWHERE),
        }
    }

    /// The fate of that [number](Fate::number), if it is one.
    pub(super) fn of_number(number: i64) -> Option<Fate> {
        match number {
            0.. => Some(Fate::At(number)),
            NOWHERE => Some(Fate::Nowhere),
            SPREAD => Some(Fate::Spread),
            _ => None,
        }
    }
}

impl FormerName {
    /// As the file of the record has it.
    pub fn of(record: &FileRecord) -> FormerName {
        FormerName {
            name: record.name.clone(),
            device: record.device,
            directory: record.directory,
            directory_born_ns: record.directory_born_ns,
        }
    }
}

impl FileRecord {
    /// It has another name, or is about to get one.
    pub fn note_former_name(&mut self, former: FormerName) {
        self.former_names.retain(|other| *other != former);
        if self.former_names.len() >= FORMER_NAMES_MAX {
            self.former_names.remove(0);
        }
        self.former_names.push(former);
    }

    /// Is nothing known of what stands before its position? It was given at the first start, when the
    /// file could not be opened, and has not been opened since.
    pub fn is_unseen(&self) -> bool {
        self.position > 0 && self.tail_len == 0
    }
}

impl Record {
    /// Is anything announced of which it is not known whether it arrived?
    pub fn has_doubt(&self) -> bool {
        self.batches.iter().any(|b| b.fate.is_in_doubt())
    }
}
