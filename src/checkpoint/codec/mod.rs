//! A [`Record`] as bytes.
//!
//! Integers are little endian and of fixed width; texts, names and lists are preceded by their
//! length (u32). An encoding begins with the format's version (u16). Each record has exactly one
//! encoding: whatever decodes is encoded to the same bytes again, so nothing can hide in one. (What
//! the versions before have written is read as well.)
//! Decoding is total: no input makes it panic, or allocate more than a small multiple of itself.

mod put;

use std::fmt;

use self::put::{Fields, put, put_bytes, put_length};
use super::record::{
    BatchRecord, ChannelRecord, Fate, FileRecord, FileState, FormerLog, FormerName, HEAD_BYTES,
    LettersKnown, Mark, OffsetRange, PartitionRecord, ReadMark, Record, Share, TAIL_BYTES, Trace,
};

/// Version of the encoding. To be raised with every change of a field.
pub const VERSION: u16 = 7;
/// That of a record whose channels were moved away from no log: it has nothing that an earlier program would not
/// know, and is written as that would.
const WITHOUT_FORMER_LOGS: u16 = 6;
/// A bit of the state of a file: see [`FileRecord::skips_line`]. A program that does not know it refuses
/// the state.
const SKIPS_LINE: u8 = 0x80;
/// The oldest version that is read: without topic ids and marks of partitions.
const VERSION_MIN: u16 = 2;
/// From this one on files have marks.
const WITH_READ_MARKS: u16 = 4;
/// From this one on a file's record names the spool directory and tells remnants, and the record tells of
/// void receipts.
const WITH_DIRECTORY: u16 = 5;
/// From this one on a file's record knows when that directory was born.
const WITH_DIRECTORY_BORN: u16 = 6;
/// Flags of a file's record.
const REMNANT: u8 = 1;
/// It is in a directory below the spool directory, and names the latter. A program that does not know that
/// refuses the state.
const HAS_ROOT: u8 = 2;
/// It had other names. A program that does not know these refuses the state.
const HAS_FORMER_NAMES: u8 = 4;

/// What stands behind everything else: from where names are told ([`Record::names_from`]). A program that does
/// not know that refuses the state.
const NAMES_FROM: u8 = 1;

/// Flags of a batch.
const ACKED: u8 = 1;
const FINAL: u8 = 2;
/// It has a share of its range. Who does not know that refuses the state.
const SHARE: u8 = 4;
/// Another agent has announced it. Who does not know that refuses the state.
const FOREIGN: u8 = 8;
/// Of a share.
const HAS_FREE: u8 = 1;

/// Fewest bytes that one element of each list takes: a length that promises more elements than
/// the rest of the input can hold is refused before anything is allocated for them.
const CHANNEL_BYTES_MIN: usize = 4 * 4 + 8 + 2;
const FORMER_LOG_BYTES_MIN: usize = 3 * 4 + 16 + 1;
const TRACE_BYTES: usize = 2 + 4 + 8 + 2 + 4 * 4;
const PARTITION_BYTES_MIN: usize = 4 + 4 + 8;
const FILE_BYTES_MIN: usize = 4 * 8 + 4 * 4 + 3 * 4 + 1 + 3 * 8 + 4 + 8;
const READ_MARK_BYTES: usize = 3 * 8 + 4;
const FORMER_NAME_BYTES_MIN: usize = 4 + 3 * 8;
const RANGE_BYTES: usize = 2 + 4 + 4 * 8;
const BATCH_BYTES_MIN: usize = 2 + 4 + 8 + 2 + 4 + 4 + 4 * 8 + 4 * 4 + 8 + 1;

/// Appends the encoding of `record` with `files` in place of its own to `out`; allocates only if `out`
/// has no room.
///
/// The indices of channels must be valid: [`decode`] refuses others.
pub fn encode_into(record: &Record, files: &[&FileRecord], out: &mut Vec<u8>) {
    let version = version_of(record);
    put(out, version.to_le_bytes());
    put(out, record.generation.to_le_bytes());
    put(out, record.own_device.to_le_bytes());
    put(out, record.own_inode.to_le_bytes());
    put_bytes(out, record.agent.as_bytes());
    put_bytes(out, record.source.as_bytes());
    put(out, record.next_file_id.to_le_bytes());
    put_length(out, record.channels.len());
    for channel in &record.channels {
        encode_channel(channel, out);
        if version == VERSION {
            encode_former_logs(&channel.former, out);
        }
    }
    put_length(out, files.len());
    for file in files {
        debug_assert!(file.ranges.iter().all(|r| usize::from(r.channel) < record.channels.len()));
        encode_file(file, out);
        encode_read_marks(&file.marks, out);
        encode_directory(file, out);
        put(out, file.directory_born_ns.to_le_bytes());
        if has_root(file) {
            put(out, file.root.to_le_bytes());
            put(out, file.root_born_ns.to_le_bytes());
        }
        if !file.former_names.is_empty() {
            encode_former_names(&file.former_names, out);
        }
    }
    put_length(out, record.batches.len());
    for batch in &record.batches {
        debug_assert!(usize::from(batch.channel) < record.channels.len());
        encode_batch(batch, out);
        if version == VERSION {
            encode_traces(&batch.traces, out);
        }
    }
    put(out, record.receipts_void.to_le_bytes());
    put(out, record.letters_known.number().to_le_bytes());
    if !record.names_from.is_empty() {
        put(out, [NAMES_FROM]);
        put_bytes(out, &record.names_from);
    }
}

/// The first one that knows all that the record says.
fn version_of(record: &Record) -> u16 {
    let has_former = record.channels.iter().any(|channel| !channel.former.is_empty());
    if has_former { VERSION } else { WITHOUT_FORMER_LOGS }
}

fn encode_channel(channel: &ChannelRecord, out: &mut Vec<u8>) {
    put_bytes(out, channel.name.as_bytes());
    put_bytes(out, channel.topic.as_bytes());
    put_bytes(out, channel.cluster_id.as_bytes());
    put(out, channel.topic_id);
    put(out, channel.producer_id.to_le_bytes());
    put(out, channel.producer_epoch.to_le_bytes());
    encode_partitions(&channel.partitions, out);
}

fn encode_former_logs(logs: &[FormerLog], out: &mut Vec<u8>) {
    put_length(out, logs.len());
    for log in logs {
        put_bytes(out, log.topic.as_bytes());
        put_bytes(out, log.cluster_id.as_bytes());
        put(out, log.topic_id);
        put(out, [u8::from(log.is_foreign)]);
        encode_partitions(&log.partitions, out);
    }
}

fn encode_partitions(partitions: &[PartitionRecord], out: &mut Vec<u8>) {
    put_length(out, partitions.len());
    for partition in partitions {
        put(out, partition.partition.to_le_bytes());
        put(out, partition.next_sequence.to_le_bytes());
        put(out, partition.floor_offset.to_le_bytes());
        put(out, [u8::from(partition.mark.is_some())]);
        if let Some(mark) = &partition.mark {
            encode_mark(mark, out);
        }
    }
}

fn encode_mark(mark: &Mark, out: &mut Vec<u8>) {
    put(out, mark.offset.to_le_bytes());
    put(out, mark.producer_id.to_le_bytes());
    put(out, mark.producer_epoch.to_le_bytes());
    put(out, mark.base_sequence.to_le_bytes());
    put(out, mark.count.to_le_bytes());
    put(out, mark.values_crc.to_le_bytes());
    put(out, mark.first_crc.to_le_bytes());
}

fn encode_file(file: &FileRecord, out: &mut Vec<u8>) {
    debug_assert!(file.head_len as usize <= HEAD_BYTES && file.tail_len as usize <= TAIL_BYTES);
    let numbers = Fields::<48>::default()
        .with(file.id.to_le_bytes())
        .with(file.device.to_le_bytes())
        .with(file.inode.to_le_bytes())
        .with(file.born_ns.to_le_bytes())
        .with(file.head_len.to_le_bytes())
        .with(file.head_crc.to_le_bytes())
        .with(file.tail_len.to_le_bytes())
        .with(file.tail_crc.to_le_bytes());
    numbers.append_to(out);
    put_bytes(out, &file.name);
    put_bytes(out, &file.current_name);
    let state = match file.state {
        FileState::Live => 0,
        FileState::Draining => 1,
        FileState::Superseded => 2,
    };
    let position = Fields::<37>::default()
        .with([state | if file.skips_line { SKIPS_LINE } else { 0 }])
        .with(file.position.to_le_bytes())
        .with(file.lines.to_le_bytes())
        .with(file.events.to_le_bytes())
        .with(file.bytes_crc.to_le_bytes())
        .with(file.opened_ms.to_le_bytes());
    position.append_to(out);
    put_length(out, file.ranges.len());
    for range in &file.ranges {
        let range = Fields::<RANGE_BYTES>::default()
            .with(range.channel.to_le_bytes())
            .with(range.partition.to_le_bytes())
            .with(range.producer_id.to_le_bytes())
            .with(range.first.to_le_bytes())
            .with(range.last.to_le_bytes())
            .with(range.events.to_le_bytes());
        range.append_to(out);
    }
}

fn encode_directory(file: &FileRecord, out: &mut Vec<u8>) {
    put(out, file.directory.to_le_bytes());
    let is_remnant = if file.is_remnant { REMNANT } else { 0 };
    let has_root = if has_root(file) { HAS_ROOT } else { 0 };
    let has_names = if file.former_names.is_empty() { 0 } else { HAS_FORMER_NAMES };
    put(out, [is_remnant | has_root | has_names]);
}

fn has_root(file: &FileRecord) -> bool {
    (file.root, file.root_born_ns) != (0, 0)
}

fn encode_read_marks(marks: &[ReadMark], out: &mut Vec<u8>) {
    put_length(out, marks.len());
    for mark in marks {
        let mark = Fields::<READ_MARK_BYTES>::default()
            .with(mark.position.to_le_bytes())
            .with(mark.bytes_crc.to_le_bytes())
            .with(mark.lines.to_le_bytes())
            .with(mark.events.to_le_bytes());
        mark.append_to(out);
    }
}

fn encode_former_names(names: &[FormerName], out: &mut Vec<u8>) {
    put_length(out, names.len());
    for had in names {
        put_bytes(out, &had.name);
        put(out, had.device.to_le_bytes());
        put(out, had.directory.to_le_bytes());
        put(out, had.directory_born_ns.to_le_bytes());
    }
}

fn encode_batch(batch: &BatchRecord, out: &mut Vec<u8>) {
    put(out, batch.channel.to_le_bytes());
    put(out, batch.partition.to_le_bytes());
    put(out, batch.producer_id.to_le_bytes());
    put(out, batch.producer_epoch.to_le_bytes());
    put(out, batch.base_sequence.to_le_bytes());
    put(out, batch.count.to_le_bytes());
    put(out, batch.file.to_le_bytes());
    put(out, batch.start.to_le_bytes());
    put(out, batch.end.to_le_bytes());
    put(out, batch.lines.to_le_bytes());
    put(out, batch.bytes_crc.to_le_bytes());
    put(out, batch.tail_crc.to_le_bytes());
    put(out, batch.values_crc.to_le_bytes());
    put(out, batch.first_crc.to_le_bytes());
    put(out, batch.stamp_ms.to_le_bytes());
    let number = batch.fate.number();
    let acked = if number.is_some() { ACKED } else { 0 };
    let is_final = if batch.is_final { FINAL } else { 0 };
    let is_foreign = if batch.is_foreign { FOREIGN } else { 0 };
    put(out, [acked | is_final | is_foreign | if batch.share.is_some() { SHARE } else { 0 }]);
    if let Some(number) = number {
        put(out, number.to_le_bytes());
    }
    if let Some(share) = &batch.share {
        put(out, share.rule.to_le_bytes());
        put(out, share.partitions.to_le_bytes());
        put(out, share.of.to_le_bytes());
        put(out, [if share.has_free { HAS_FREE } else { 0 }]);
        put(out, share.read_ms.to_le_bytes());
        put(out, share.events.to_le_bytes());
    }
}

fn encode_traces(traces: &[Trace], out: &mut Vec<u8>) {
    put_length(out, traces.len());
    for trace in traces {
        put(out, trace.log.to_le_bytes());
        put(out, trace.partition.to_le_bytes());
        put(out, trace.producer_id.to_le_bytes());
        put(out, trace.producer_epoch.to_le_bytes());
        put(out, trace.base_sequence.to_le_bytes());
        put(out, trace.count.to_le_bytes());
        put(out, trace.values_crc.to_le_bytes());
        put(out, trace.first_crc.to_le_bytes());
    }
}

/// Why bytes are no record. Positions count from the beginning of the encoding, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// Written by another version of this program.
    Version(u16),
    /// The input ends within the value that begins here, or a length promises more than there is.
    Cut { at: usize },
    /// The value that ends here was never written.
    Value { at: usize, what: &'static str },
    /// Bytes follow the record.
    Trailing { at: usize },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Version(found) => {
                write!(f, "the record has format version {found}, this program knows {VERSION}")
            }
            DecodeError::Cut { at } => write!(f, "the record ends too early, at byte {at}"),
            DecodeError::Value { at, what } => {
                write!(f, "the record has an impossible {what} before byte {at}")
            }
            DecodeError::Trailing { at } => {
                write!(f, "something follows the record, from byte {at} on")
            }
        }
    }
}

impl std::error::Error for DecodeError {}

/// Reads what [`encode_into`] wrote; `bytes` must be the encoding and nothing else.
pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
    let mut input = Input { bytes, at: 0 };
    let version = input.u16()?;
    if !(VERSION_MIN..=VERSION).contains(&version) {
        return Err(DecodeError::Version(version));
    }
    let mut record = Record {
        generation: input.u64()?,
        own_device: input.u64()?,
        own_inode: input.u64()?,
        agent: input.text("agent name")?,
        source: input.text("source name")?,
        next_file_id: input.u64()?,
        ..Record::default()
    };
    record.channels = input.list(CHANNEL_BYTES_MIN, |input| decode_channel(input, version))?;
    let channels = record.channels.len();
    if version == VERSION && version_of(&record) != version {
        return Err(input.impossible("version for channels that were not moved"));
    }
    record.files = input.list(FILE_BYTES_MIN, |input| decode_file(input, channels, version))?;
    let of_channels = &record.channels;
    record.batches = input.list(BATCH_BYTES_MIN, |input| {
        let mut batch = decode_batch(input, channels)?;
        if version == VERSION {
            let logs = of_channels[usize::from(batch.channel)].former.len();
            batch.traces = input.list(TRACE_BYTES, |input| decode_trace(input, logs))?;
        }
        Ok(batch)
    })?;
    if version >= WITH_DIRECTORY {
        record.receipts_void = input.u64()?;
        record.letters_known = LettersKnown::of_number(input.u64()?);
    }
    if version >= WITH_DIRECTORY_BORN && bytes.get(input.at) == Some(&NAMES_FROM) {
        input.u8()?;
        record.names_from = input.bytes()?.to_vec();
        if record.names_from.is_empty() {
            return Err(input.impossible("directory of names"));
        }
    }
    if input.at < bytes.len() {
        return Err(DecodeError::Trailing { at: input.at });
    }
    Ok(record)
}

fn decode_channel(input: &mut Input, version: u16) -> Result<ChannelRecord, DecodeError> {
    Ok(ChannelRecord {
        name: input.text("channel name")?,
        topic: input.text("topic")?,
        cluster_id: input.text("cluster id")?,
        topic_id: if version == VERSION_MIN { [0; 16] } else { input.array()? },
        producer_id: input.i64()?,
        producer_epoch: input.i16()?,
        partitions: input.list(PARTITION_BYTES_MIN, |input| decode_partition(input, version))?,
        former: match version {
            VERSION => input.list(FORMER_LOG_BYTES_MIN, decode_former_log)?,
            _ => Vec::new(),
        },
    })
}

fn decode_former_log(input: &mut Input) -> Result<FormerLog, DecodeError> {
    Ok(FormerLog {
        topic: input.text("topic")?,
        cluster_id: input.text("cluster id")?,
        topic_id: input.array()?,
        is_foreign: match input.u8()? {
            0 => false,
            1 => true,
            _ => return Err(input.impossible("former log")),
        },
        partitions: input.list(PARTITION_BYTES_MIN, |input| decode_partition(input, VERSION))?,
    })
}

fn decode_trace(input: &mut Input, logs: usize) -> Result<Trace, DecodeError> {
    Ok(Trace {
        log: match input.u16()? {
            log if usize::from(log) < logs => log,
            _ => return Err(input.impossible("index of a former log")),
        },
        partition: input.i32()?,
        producer_id: input.i64()?,
        producer_epoch: input.i16()?,
        base_sequence: input.i32()?,
        count: input.u32()?,
        values_crc: input.u32()?,
        first_crc: input.u32()?,
    })
}

fn decode_partition(input: &mut Input, version: u16) -> Result<PartitionRecord, DecodeError> {
    Ok(PartitionRecord {
        partition: input.i32()?,
        next_sequence: input.i32()?,
        floor_offset: input.i64()?,
        mark: match if version == VERSION_MIN { 0 } else { input.u8()? } {
            0 => None,
            1 => Some(Mark {
                offset: input.i64()?,
                producer_id: input.i64()?,
                producer_epoch: input.i16()?,
                base_sequence: input.i32()?,
                count: input.u32()?,
                values_crc: input.u32()?,
                first_crc: input.u32()?,
            }),
            _ => return Err(input.impossible("mark of a partition")),
        },
    })
}

fn decode_file(
    input: &mut Input,
    channels: usize,
    version: u16,
) -> Result<FileRecord, DecodeError> {
    let (mut skips_line, mut flags) = (false, 0);
    let mut file = FileRecord {
        id: input.u64()?,
        device: input.u64()?,
        inode: input.u64()?,
        born_ns: input.i64()?,
        head_len: input.length_to("length of the head", HEAD_BYTES)?,
        head_crc: input.u32()?,
        tail_len: input.length_to("length of the tail", TAIL_BYTES)?,
        tail_crc: input.u32()?,
        name: input.bytes()?.to_vec(),
        current_name: input.bytes()?.to_vec(),
        state: {
            let byte = input.u8()?;
            skips_line |= byte & SKIPS_LINE != 0;
            match byte & !SKIPS_LINE {
                0 => FileState::Live,
                1 => FileState::Draining,
                2 => FileState::Superseded,
                _ => return Err(input.impossible("state of a file")),
            }
        },
        skips_line,
        position: input.u64()?,
        lines: input.u64()?,
        events: input.u64()?,
        bytes_crc: input.u32()?,
        opened_ms: input.i64()?,
        ranges: input.list(RANGE_BYTES, |input| {
            Ok(OffsetRange {
                channel: input.channel(channels)?,
                partition: input.i32()?,
                producer_id: input.i64()?,
                first: input.i64()?,
                last: input.i64()?,
                events: input.u64()?,
            })
        })?,
        marks: if version < WITH_READ_MARKS {
            Vec::new()
        } else {
            input.list(READ_MARK_BYTES, |input| {
                Ok(ReadMark {
                    position: input.u64()?,
                    bytes_crc: input.u32()?,
                    lines: input.u64()?,
                    events: input.u64()?,
                })
            })?
        },
        directory: if version < WITH_DIRECTORY { 0 } else { input.u64()? },
        is_remnant: {
            flags |= if version < WITH_DIRECTORY { 0 } else { input.u8()? };
            let later = if version < WITH_DIRECTORY_BORN { 0 } else { HAS_ROOT | HAS_FORMER_NAMES };
            if flags & !(REMNANT | later) != 0 {
                return Err(input.impossible("flag of a file"));
            }
            flags & REMNANT != 0
        },
        directory_born_ns: if version < WITH_DIRECTORY_BORN { 0 } else { input.i64()? },
        ..FileRecord::default()
    };
    if flags & HAS_ROOT != 0 {
        (file.root, file.root_born_ns) = (input.u64()?, input.i64()?);
        if !has_root(&file) {
            return Err(input.impossible("spool directory of a file"));
        }
    }
    if flags & HAS_FORMER_NAMES != 0 {
        file.former_names = input.list(FORMER_NAME_BYTES_MIN, decode_former_name)?;
        if file.former_names.is_empty() {
            return Err(input.impossible("former name of a file"));
        }
    }
    Ok(file)
}

fn decode_former_name(input: &mut Input) -> Result<FormerName, DecodeError> {
    Ok(FormerName {
        name: input.bytes()?.to_vec(),
        device: input.u64()?,
        directory: input.u64()?,
        directory_born_ns: input.i64()?,
    })
}

fn decode_batch(input: &mut Input, channels: usize) -> Result<BatchRecord, DecodeError> {
    let mut batch = BatchRecord {
        channel: input.channel(channels)?,
        partition: input.i32()?,
        producer_id: input.i64()?,
        producer_epoch: input.i16()?,
        base_sequence: input.i32()?,
        count: input.u32()?,
        file: input.u64()?,
        start: input.u64()?,
        end: input.u64()?,
        lines: input.u64()?,
        bytes_crc: input.u32()?,
        tail_crc: input.u32()?,
        values_crc: input.u32()?,
        first_crc: input.u32()?,
        stamp_ms: input.i64()?,
        ..BatchRecord::default()
    };
    let flags = input.u8()?;
    if flags & !(ACKED | FINAL | SHARE | FOREIGN) != 0 {
        return Err(input.impossible("flag of a batch"));
    }
    if flags & ACKED != 0 {
        let fate = Fate::of_number(input.i64()?);
        batch.fate = fate.ok_or_else(|| input.impossible("offset of a batch"))?;
    }
    batch.is_final = flags & FINAL != 0;
    batch.is_foreign = flags & FOREIGN != 0;
    if flags & SHARE != 0 {
        batch.share = Some(decode_share(input)?);
    }
    Ok(batch)
}

fn decode_share(input: &mut Input) -> Result<Share, DecodeError> {
    Ok(Share {
        rule: input.u32()?,
        partitions: input.u32()?,
        of: input.i32()?,
        has_free: match input.u8()? {
            0 => false,
            HAS_FREE => true,
            _ => return Err(input.impossible("share of a batch")),
        },
        read_ms: input.i64()?,
        events: input.u32()?,
    })
}

/// What is left to decode.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..len).ok_or(DecodeError::Cut { at: self.at })?;
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn i16(&mut self) -> Result<i16, DecodeError> {
        Ok(i16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u32()? as usize;
        self.take(len)
    }

    fn text(&mut self, what: &'static str) -> Result<String, DecodeError> {
        let bytes = self.bytes()?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(self.impossible(what)),
        }
    }

    /// A length that has a limit of its own.
    fn length_to(&mut self, what: &'static str, max: usize) -> Result<u32, DecodeError> {
        let len = self.u32()?;
        if len as usize > max { Err(self.impossible(what)) } else { Ok(len) }
    }

    fn channel(&mut self, channels: usize) -> Result<u16, DecodeError> {
        let channel = self.u16()?;
        if usize::from(channel) < channels {
            Ok(channel)
        } else {
            Err(self.impossible("index of a channel"))
        }
    }

    fn list<T>(
        &mut self,
        element_bytes_min: usize,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let at = self.at;
        let len = self.u32()? as usize;
        if len > (self.bytes.len() - self.at) / element_bytes_min {
            return Err(DecodeError::Cut { at });
        }
        let mut list = Vec::with_capacity(len);
        for _ in 0..len {
            list.push(element(self)?);
        }
        Ok(list)
    }

    fn impossible(&self, what: &'static str) -> DecodeError {
        DecodeError::Value { at: self.at, what }
    }
}

#[cfg(test)]
mod tests;
