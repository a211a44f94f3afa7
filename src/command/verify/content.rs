//! The events of a file, split anew from its bytes by the decoder of the configuration.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::inventory::{Bytes, Extent, Subject};
use super::letters::Letters;
use super::progress::Progress;
use super::{Origin, SourceConfig};
use crate::checkpoint::cuts;
use crate::source::interceptor;
use crate::source::line::{CutCharacter, LineDecoder, Tail};
use crate::source::policy::Content;
use crate::source::window::EVENT_BYTES_MAX;

/// What a read asks for; more where a line is longer.
const READ_BYTES: usize = 256 * 1024;

/// An event of a file.
pub(super) struct FileEvent<'a> {
    pub body: &'a [u8],
    /// Where it ends in the file.
    pub end: u64,
}

/// What a file was found to hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Survey {
    /// Where the agent began to read: behind what another one had sent, which is left out here.
    pub start: u64,
    /// Where it began to read at a start that skipped what stood in the file: that is searched for
    /// in the whole topic.
    pub skipped: u64,
    pub bytes: u64,
    pub lines: u64,
    pub events: u64,
    /// Lines that are too long to be events, and how many of them are in the dead-letter file.
    pub giants: u64,
    pub buried: u64,
    /// The bytes that were read by the agent are still the same, and nothing came behind them.
    pub is_as_recorded: bool,
    /// Where headers choose the topic: the places of channels with their topics, and how many events are for
    /// each.
    pub topics: BTreeMap<(usize, String), u64>,
}

/// More topics in one file are no division, but a fault of the rule.
const TOPICS_MAX: usize = 10_000;

fn decoder(config: &SourceConfig) -> LineDecoder {
    LineDecoder::new(Content::of(config).line_config().clone())
}

/// Hands the events of `extent` that pass the filters to `visit`; `read` gets the bytes, as they
/// are used up, and the lines that ended in them. Returns the lines that are too long to be events.
///
/// Memory: [`READ_BYTES`], or twice the longest line, [`EVENT_BYTES_MAX`] at most.
pub(super) fn each_event(
    bytes: &Bytes,
    origin: &Origin<'_>,
    extent: Extent,
    read: &mut dyn FnMut(&[u8], u64),
    visit: &mut dyn FnMut(FileEvent<'_>),
) -> io::Result<Vec<Range<u64>>> {
    let file = bytes.open()?;
    let (mut giants, mut start) = (Vec::new(), extent.start);
    for end in cuts::of_file(&origin.cuts, &file, extent.start, extent.end)? {
        let piece = Extent { start, end, is_final: true };
        giants.extend(each_event_in(&file, origin, piece, read, visit)?);
        start = end;
    }
    giants.extend(each_event_in(&file, origin, Extent { start, ..extent }, read, visit)?);
    Ok(giants)
}

/// Where no line is cut.
fn each_event_in(
    file: &File,
    origin: &Origin<'_>,
    extent: Extent,
    read: &mut dyn FnMut(&[u8], u64),
    visit: &mut dyn FnMut(FileEvent<'_>),
) -> io::Result<Vec<Range<u64>>> {
    let mut decoder = decoder(origin.config);
    if extent.start > 0 {
        let mut head = [0; 2];
        let length = file.read_at(&mut head, 0)?;
        decoder.begin_file(&head[..length]);
    }
    let has_filter = interceptor::filters(&origin.chain);
    let (mut position, mut held, mut buffer) = (extent.start, 0, vec![0; READ_BYTES]);
    let mut giants = Vec::new();
    loop {
        // The agent holds no more of a line either: this one is no event, wherever it ends.
        if held == EVENT_BYTES_MAX {
            let line = position..giant_end(file, &decoder, position, extent, read)?;
            (position, held) = (line.end, 0);
            giants.push(line);
        }
        if held == buffer.len() {
            buffer.resize((2 * held).min(EVENT_BYTES_MAX), 0);
        }
        let left = usize::try_from(extent.end - position).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        let got = file.read_at(&mut buffer[held..room.max(held)], position + held as u64)?;
        held += got;
        let at_end = got == 0 || held == left;
        let tail = match (at_end, extent.is_final) {
            (true, true) if held < EVENT_BYTES_MAX => Tail::Final(CutCharacter::Drop),
            _ => Tail::Open,
        };
        let mut emit = |body: &[u8], used: usize| {
            if !has_filter || interceptor::keeps(&origin.chain, body) {
                visit(FileEvent { body, end: position + used as u64 });
            }
            true
        };
        let split = decoder
            .split(&buffer[..held], position == 0, tail, &mut emit)
            .map_err(|e| io::Error::other(format!("near byte {position}: {e}")))?;
        read(&buffer[..split.consumed], split.lines);
        buffer.copy_within(split.consumed..held, 0);
        held -= split.consumed;
        position += split.consumed as u64;
        if at_end && held < EVENT_BYTES_MAX {
            return Ok(giants);
        }
    }
}

/// Where the line at `start` ends, which is too long for memory. Where it has no end, `extent` is
/// one.
fn giant_end(
    file: &File,
    decoder: &LineDecoder,
    start: u64,
    extent: Extent,
    read: &mut dyn FnMut(&[u8], u64),
) -> io::Result<u64> {
    // Even: a unit of UTF-16 is never cut.
    let (mut block, mut at) = (vec![0; READ_BYTES], start);
    loop {
        let (mut filled, left) = (0, usize::try_from(extent.end - at).unwrap_or(usize::MAX));
        let room = block.len().min(left);
        while filled < room {
            match file.read_at(&mut block[filled..room], at + filled as u64)? {
                0 => break,
                n => filled += n,
            }
        }
        let newline = decoder.newline_end(&block[..filled]);
        let end = newline.unwrap_or(filled);
        read(&block[..end], u64::from(newline.is_some()));
        at += end as u64;
        if newline.is_some() || filled < block.len() {
            return Ok(at);
        }
    }
}

/// Counts lines and events and compares the bytes with what was recorded of them. With
/// `leaves_out` what the agent had not read itself is left out, whoever had sent it.
pub(super) fn survey(
    origin: &Origin<'_>,
    subject: &Subject,
    letters: &Letters,
    leaves_out: bool,
    progress: &mut Progress,
) -> io::Result<Survey> {
    let claim = subject.claim;
    let mut survey = Survey::default();
    let mut crc = crc32fast::Hasher::new();
    let mut events_claimed = 0;
    let mut events = 0;
    let mut read = |bytes: &[u8], lines: u64| {
        let within = usize::try_from(claim.size.saturating_sub(survey.bytes)).unwrap_or(usize::MAX);
        crc.update(&bytes[..bytes.len().min(within)]);
        survey.bytes += bytes.len() as u64;
        survey.lines += lines;
        progress.advance(bytes.len() as u64);
    };
    let sorter = origin.division.as_ref().map(|d| d.of_file(origin.config, &subject.name));
    let strays = letters.line_ends(&subject.name);
    let (mut topics, mut stray, mut homeless) = (BTreeMap::new(), 0, 0);
    let mut visit = |event: FileEvent<'_>| {
        if strays.contains(&event.end) {
            stray += 1;
            return;
        }
        let mut is_placed = sorter.is_none();
        if let Some(sorter) = &sorter {
            let may_be = sorter.each_topic(event.body, &mut |place, topic| {
                is_placed = true;
                *topics.entry((place, topic.to_owned())).or_default() += 1u64;
            });
            homeless += u64::from(!may_be);
        }
        events += u64::from(is_placed);
        events_claimed += u64::from(is_placed && event.end <= claim.size);
    };
    let giants = each_event(&subject.bytes, origin, subject.extent, &mut read, &mut visit)?;
    if topics.len() > TOPICS_MAX {
        return Err(io::Error::other(format!("its events name more than {TOPICS_MAX} topics")));
    }
    survey.topics = topics;
    survey.events = events;
    survey.giants = giants.len() as u64 + stray + homeless;
    let is_buried = |line: &&Range<u64>| letters.has_giant(&subject.name, line);
    survey.buried = giants.iter().filter(is_buried).count() as u64 + stray;
    // What was refused is not counted by receipts, but stands in the file.
    let counts = claim.events..=claim.events.saturating_add(letters.refused(&subject.name));
    // Of a file that was begun in its middle it may be that of all bytes, or of those that were read.
    let is_whole = crc.finalize() == claim.bytes_crc;
    let is_same = is_whole && counts.contains(&events_claimed);
    survey.is_as_recorded = is_same && survey.bytes == claim.size;
    if !is_same
        && let Some(before) = events_claimed.checked_sub(claim.events)
        && let Some(start) = began_at(origin, subject, before, is_whole)?
    {
        survey.is_as_recorded = survey.bytes == claim.size;
        if leaves_out || subject.java_offset == Some(start) {
            survey.start = start;
            survey.events -= before;
            survey.topics = topics_from(origin, subject, start)?;
        } else {
            survey.skipped = start;
        }
    }
    Ok(survey)
}

/// How many events behind `start` are for each topic.
fn topics_from(
    origin: &Origin<'_>,
    subject: &Subject,
    start: u64,
) -> io::Result<BTreeMap<(usize, String), u64>> {
    let mut topics = BTreeMap::new();
    let Some(division) = &origin.division else { return Ok(topics) };
    let sorter = division.of_file(origin.config, &subject.name);
    let rest = Extent { start, ..subject.extent };
    each_event(&subject.bytes, origin, rest, &mut |_, _| {}, &mut |event| {
        sorter.each_topic(event.body, &mut |place, topic| {
            *topics.entry((place, topic.to_owned())).or_default() += 1;
        });
    })?;
    Ok(topics)
}

/// Where the agent began to read, if it was not at the beginning: where Flume's tracker stands, or
/// behind so many events.
fn began_at(
    origin: &Origin<'_>,
    subject: &Subject,
    before: u64,
    is_whole: bool,
) -> io::Result<Option<u64>> {
    if let Some(offset) = subject.java_offset
        && (is_whole || is_read_from(origin, subject, offset)?)
    {
        return Ok(Some(offset));
    }
    let start = end_of(origin, subject, before)?;
    Ok((is_whole || is_read_from(origin, subject, start)?).then_some(start))
}

/// Where the first `events` events of a file end.
fn end_of(origin: &Origin<'_>, subject: &Subject, events: u64) -> io::Result<u64> {
    let (mut left, mut end) = (events, 0);
    let extent = Extent { end: subject.claim.size, ..subject.extent };
    let sorter = origin.division.as_ref().map(|d| d.of_file(origin.config, &subject.name));
    each_event(&subject.bytes, origin, extent, &mut |_, _| {}, &mut |event| {
        let mut is_placed = sorter.is_none();
        if let Some(sorter) = &sorter {
            sorter.each_topic(event.body, &mut |_, _| is_placed = true);
        }
        if left > 0 && is_placed {
            left -= 1;
            end = event.end;
        }
    })?;
    Ok(end)
}

/// Are the bytes from `start` on those that this agent read?
fn is_read_from(origin: &Origin<'_>, subject: &Subject, start: u64) -> io::Result<bool> {
    if start == 0 || start > subject.claim.size {
        return Ok(false);
    }
    let mut crc = crc32fast::Hasher::new();
    let rest = Extent { start, end: subject.claim.size, ..subject.extent };
    each_event(&subject.bytes, origin, rest, &mut |bytes, _| crc.update(bytes), &mut |_| {})?;
    Ok(crc.finalize() == subject.claim.bytes_crc)
}
