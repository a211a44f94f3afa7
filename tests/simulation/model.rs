//! What must hold when everything has come to rest: each whole line that was written stands in each
//! topic that it is for once, in the order of its file within a partition, and nothing else does; each receipt is
//! true; nothing is in doubt, and each file whose time is over is finished.
//!
//! What is excused, and nothing else:
//!
//! | what | when | decided by |
//! |---|---|---|
//! | a line is missing | the configured filter takes it | `Line::is_filtered` |
//! | | it is for other topics, or this one is that of an optional channel | `Division::requires` |
//! | | it stands before the position at which its file is taken over; then it must not be there | `Line::is_old` |
//! | | it is a dead letter, and larger than the broker takes | `check_letters` |
//! | | it was written where nobody reads: behind the end of a file that is finished, or that has no candidate's name and is not known | `World::is_read` |
//! | | its file was truncated, removed or replaced before it was read | `World::excuse`, in `mischief` |
//! | | its file was out of the agent's sight at a start: it has no candidate's name, and is none of those in the state, or everything was copied and it holds something else by now | `World::excuse_unknown` |
//! | | its file was copied and truncated under a name that nobody had seen, when so little of it was read that nothing but its name tells what the copy is | `mischief::copy_and_truncate` |
//! | | it stood in the gap of a copytruncate | `mischief`: lines that are not required |
//! | half a line is there | its file's time is over, and it was left alone for the grace time | `is_at_end`, `World::excuse_sent_half` |
//! | | or it was dropped into a directory, and left alone for a second | `Scenario::half_ms` |
//! | | or it was announced as such when the agent ended | `World::excuse_last_lines` |
//! | | or it is not known whether that is so, since the wall clock jumped | `World::has_jumped` |
//! | | or its file is followed, and had no candidate's name for a while when it was there: nobody can tell then whether it comes back | `OpenLine::may_have_been_last` |
//! | the other half of it is there, as a line | the first half is there, or need not be, as its file was removed | `is_rest` |
//! | zeros, as often as they like | a writer reserved them and did not use them before its file seemed finished | `are_zeros_of` |
//! | a line is in two topics of one name | the first was deleted, or its cluster replaced, while the line was in doubt | `check_topic`, which counts in each |
//! | a line among the dead letters stands in a topic, too, or of a line in a topic its beginning in a later one | likewise: what was in doubt then is too large for the later topic's format, or has only its beginning left in a copy | `check_topic`, by the topics in which each stands |
//! | | where one of these topics was there again, which of them was first is not asked | `Cluster::has_returned` |
//! | a line stands behind later ones | it stands in a topic that was deleted, or at another cluster, and this is a copy that was on its way then | `check_log` |
//! | | it stands, without an identity, in a topic that was deleted, too: what was sent before that was noticed stands before it | `check_log` |
//! | | brokers from 2.5 on had forgotten the producer, since the clock leapt over its expiry or the topic was made anew, and took the second of two batches | `World::keeps_order` |
//! | a file whose time is over is there | its name has no room for the suffix, or it is empty and of the present hour | `World::may_stay` |
//! | the agent ends by itself | the disk failed under it | `World::gave_up` |
//!
//! What no client can promise is not drawn (`scenario`, `Scenario::draw_trouble`): a request without
//! identity that is under way for longer than the settle time, a batch that is invisible for longer
//! than replicas may lag, records of others in a topic without id that is made anew, a file that is truncated
//! before it could be opened for the first time and begins at a position that was given (`World::is_unseen`), a copy of everything after
//! a file was renamed unseen of which so little was read that nothing but its name tells what it is (so is its copy, whose directory
//! keeps its name, too, if the original was truncated and that nobody has seen), or that was finished
//! under a name that has no room for the suffix: then its receipt has the old name and numbers that say nothing, as
//! those of a file that somebody has copied have (nor is that file, or its directory, renamed after such a copy before
//! an agent has noted that it is there, which looks the same: `World::is_bound`). Nor is what is no mistake: a copy of a finished file under another name is a new file.

use std::collections::{HashMap, HashSet};

use crate::cluster::{Cluster, Log};
use crate::fuse::Book;
use crate::writers::{Generation, Writers};

/// The body of an AvroFlumeEvent whose headers may be any; `None` if the value is none.
pub fn body(value: &[u8]) -> Option<&[u8]> {
    let mut rest = value;
    loop {
        let mut count = zigzag(&mut rest)?;
        if count == 0 {
            break;
        }
        if count < 0 {
            count = -count;
            zigzag(&mut rest)?;
        }
        for _ in 0..2 * count {
            let length = usize::try_from(zigzag(&mut rest)?).ok()?;
            rest = rest.get(length..)?;
        }
    }
    let length = usize::try_from(zigzag(&mut rest)?).ok()?;
    (rest.len() == length).then_some(rest)
}

fn zigzag(bytes: &mut &[u8]) -> Option<i64> {
    let (mut value, mut shift) = (0u64, 0);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
        shift += 7;
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Logs of all partitions of each topic of the name, the present one at the end.
fn topics(cluster: &Cluster) -> impl Iterator<Item = &Vec<Log>> {
    cluster.former.iter().map(|former| &former.logs).chain([&cluster.logs])
}

/// Bodies of ours in a topic.
pub fn bodies(cluster: &Cluster) -> impl Iterator<Item = &[u8]> {
    let logs = topics(cluster).flatten();
    let stored = logs.flat_map(|l| &l.stored).filter(|s| s.is_ours);
    stored.flat_map(|s| s.values.iter()).filter_map(|v| body(v))
}

/// Bodies in the dead letters of a topic.
pub fn letters<'a>(book: &'a Book, topic: &'a str) -> impl Iterator<Item = &'a [u8]> {
    book.letters.iter().filter(move |(t, ..)| t == topic).filter_map(|(_, v, _)| body(v))
}

/// What is true of a topic by the scenario.
pub struct Rules<'a> {
    pub has_filter: bool,
    pub keeps_order: bool,
    /// Is an event with this body for it?
    pub is_for: &'a dyn Fn(&[u8]) -> bool,
    /// Has it to be there in the end?
    pub requires: &'a dyn Fn(&[u8]) -> bool,
    /// Is it for none?
    pub is_for_none: &'a dyn Fn(&[u8]) -> bool,
    /// What stands in any topic, or among the dead letters, without zeros at its end.
    pub arrived: &'a HashSet<Vec<u8>>,
}

/// The whole check of one topic. `is_at_end`: is this generation's last line to have been sent
/// though it has no newline (`Some(true)`), or not to have been (`Some(false)`)?
pub fn check_topic(
    writers: &Writers,
    cluster: &Cluster,
    book: &Book,
    rules: &Rules<'_>,
    is_at_end: impl Fn(usize) -> Option<bool>,
) -> Result<(), String> {
    let &Rules { has_filter, keeps_order, is_for, requires, is_for_none, arrived } = rules;
    let name = &cluster.name;
    // How often each body stands in one topic; what had arrived in one that was deleted since may
    // have been in doubt, and is then sent to the next.
    let mut counts: HashMap<&[u8], u32> = HashMap::new();
    // In which topic of the name each stands first, and last.
    let mut places: HashMap<&[u8], (usize, usize)> = HashMap::new();
    for (at, topic) in topics(cluster).enumerate() {
        let elsewhere = bodies_but(cluster, at);
        for (body, count) in check_log(writers, name, topic, &elsewhere, keeps_order)? {
            places.entry(body).or_insert((at, at)).1 = at;
            let most = counts.entry(body).or_default();
            *most = count.max(*most);
        }
    }
    let buried: HashSet<&[u8]> = letters(book, name).collect();
    let padded: HashSet<Vec<u8>> =
        counts.keys().filter(|b| b.ends_with(&[0])).map(|b| without_zeros(b)).collect();
    let is_taken = |half: &[u8]| {
        let is_filtered = has_filter && text(half).contains(crate::writers::FILTERED);
        let is_lost = writers.lost_halves.contains(half);
        // The half may be for another topic than the rest, or for none, or missed here.
        let is_elsewhere = !requires(half) && (arrived.contains(half) || is_for_none(half));
        is_filtered
            || is_lost
            || is_elsewhere
            || padded.contains(half)
            || counts.contains_key(half)
            || buried.contains(half)
    };
    for (&body, &count) in counts.iter().filter(|(body, _)| !are_zeros_of(writers, body)) {
        if !is_for(body) {
            return Err(format!("{name}: is for another topic: {}", text(body)));
        }
        let is_ours = writers.texts.contains_key(body) || writers.partials.contains_key(body);
        let may_stand = |half: &Vec<u8>| is_taken(half) || is_optional(writers, half);
        let is_rest = writers.rests.get(body).is_some_and(|halves| halves.iter().any(may_stand));
        if !is_ours && !is_rest {
            return Err(format!("{name}: nobody wrote {}", text(body)));
        }
        let whole = writers.partials.get(body).and_then(|whole| places.get(&whole[..]));
        // Which was first is not known where one was there again.
        let are_together = |whole: &(usize, usize)| match cluster.has_returned {
            true => whole.0 == whole.1 && *whole == places[body],
            false => whole.1 >= places[body].0,
        };
        if whole.is_some_and(are_together) {
            return Err(format!("{name}: a line and its beginning: {}", text(body)));
        }
        if count > 1 && !is_rest {
            return Err(format!("{name}: {count} times: {}", text(body)));
        }
        let is_here = places[body].1 == cluster.former.len() && !cluster.has_returned;
        if buried.contains(body) && is_here {
            return Err(format!("{name}: among the dead letters and sent: {}", text(body)));
        }
    }
    for generation in &writers.generations {
        for line in &generation.lines {
            let is_sent = counts.contains_key(&line.text[..]);
            if line.is_old {
                if is_sent {
                    return Err(format!("{name}: was there before: {}", text(&line.text)));
                }
                continue;
            }
            if line.is_filtered && has_filter {
                if is_sent {
                    return Err(format!("{name}: was to be filtered: {}", text(&line.text)));
                }
                continue;
            }
            let is_required = requires(&line.text) && !line.is_optional;
            if !is_sent && is_required && !buried.contains(&line.text[..]) {
                return Err(format!("{name}: is missing: {}", text(&line.text)));
            }
        }
    }
    for (at, generation) in writers.generations.iter().enumerate() {
        let Some(open) = generation.open.as_ref().filter(|o| o.written > 0) else { continue };
        let partial = &open.text[..open.written];
        let is_filtered = has_filter && text(partial).contains(crate::writers::FILTERED);
        let is_sent = counts.contains_key(partial) || buried.contains(partial);
        match is_at_end(at) {
            Some(true) if !is_sent && !open.is_optional && !is_filtered && requires(partial) => {
                return Err(format!("{name}: the last line is missing: {}", text(partial)));
            }
            Some(false) if is_sent => {
                return Err(format!("{name}: sent before it was whole: {}", text(partial)));
            }
            _ => {}
        }
    }
    check_letters(cluster, book)
}

/// Is this the beginning of a line that may be missing? It may have been announced, and gone with its
/// file, when what stands behind it was read and sent.
fn is_optional(writers: &Writers, half: &[u8]) -> bool {
    let whole = writers.partials.get(half).and_then(|whole| writers.texts.get(whole));
    whole.is_some_and(|&(generation, at)| writers.generations[generation].lines[at].is_optional)
}

/// Zeros that a writer had reserved and neither used nor took back until its file seemed finished,
/// behind half a line perhaps: they are sent as its last line, and several files may have as many.
fn are_zeros_of(writers: &Writers, body: &[u8]) -> bool {
    let text = body.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
    text < body.len() && (text == 0 || writers.partials.contains_key(&body[..text]))
}

/// What was sent of a line, without the zeros that a writer had reserved behind it.
pub fn without_zeros(body: &[u8]) -> Vec<u8> {
    let text = body.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
    body[..text].to_vec()
}

/// Bodies that stand in topics of the name before that one; where one was there again, in any other.
fn bodies_but(cluster: &Cluster, topic: usize) -> HashSet<&[u8]> {
    let is_meant = |at: usize| at < topic || cluster.has_returned && at != topic;
    let logs = topics(cluster).enumerate().filter(|(at, _)| is_meant(*at)).flat_map(|(_, t)| t);
    let stored = logs.flat_map(|log| &log.stored).filter(|s| s.is_ours);
    stored.flat_map(|s| s.values.iter()).filter_map(|value| body(value)).collect()
}

/// How often each body stands in a topic, and whether in the order of its file.
fn check_log<'a>(
    writers: &Writers,
    name: &str,
    topic: &'a [Log],
    elsewhere: &HashSet<&[u8]>,
    keeps_order: bool,
) -> Result<HashMap<&'a [u8], u32>, String> {
    let mut counts: HashMap<&[u8], u32> = HashMap::new();
    for (partition, log) in topic.iter().enumerate() {
        let mut last: HashMap<usize, usize> = HashMap::new();
        for stored in log.stored.iter().filter(|s| s.is_ours) {
            // A copy of what stands in a topic that was deleted: it was on its way then, or is sent again
            // behind what had reached this one before anybody knew of it.
            let is_there = |value: &Vec<u8>| body(value).is_some_and(|b| elsewhere.contains(b));
            let may_be_late = stored.is_of_former || stored.producer_id < 0;
            let is_copy = may_be_late && stored.values.iter().all(is_there);
            for value in stored.values.iter() {
                let Some(body) = body(value) else {
                    return Err(format!("{name}: a value that is no event: {value:?}"));
                };
                *counts.entry(body).or_default() += 1;
                let place = writers.texts.get(body).filter(|_| !is_copy);
                let Some(&(generation, at)) = place else { continue };
                if let Some(before) = last.insert(generation, at)
                    && before >= at
                    && counts[body] == 1
                    && keeps_order
                {
                    return Err(format!(
                        "{name}: partition {partition}: line {at} of content {generation} stands \
                         behind line {before}: {}",
                        text(body)
                    ));
                }
            }
        }
    }
    Ok(counts)
}

/// Only what the broker does not take is among the dead letters.
fn check_letters(cluster: &Cluster, book: &Book) -> Result<(), String> {
    for (topic, value, reason) in &book.letters {
        // More than the value is never more than this in a batch of one.
        let largest = value.len() + 100;
        if *topic == cluster.name && largest < cluster.limit {
            return Err(format!(
                "{topic}: buried though the broker takes it ({reason}): {}",
                text(value)
            ));
        }
    }
    Ok(())
}

/// Each letter is in the file once, for each topic.
pub fn check_letter_file(writers: &Writers, book: &Book, topics: usize) -> Result<(), String> {
    if book.letters.is_empty() {
        return Ok(());
    }
    let Ok(file) = std::fs::read(writers.tracker.join("dead-letter")) else { return Ok(()) };
    let are_zeros = |value: &Vec<u8>| body(value).is_some_and(|b| are_zeros_of(writers, b));
    let values = book.letters.iter().map(|(_, value, _)| value).filter(|value| !are_zeros(value));
    let values: HashSet<&Vec<u8>> = values.collect();
    for value in values {
        let entry = [b"\n", &value[..], b"\n"].concat();
        let count = file.windows(entry.len()).filter(|window| *window == &entry[..]).count();
        if count > topics {
            return Err(format!("{count} times among the dead letters: {}", text(value)));
        }
    }
    Ok(())
}

/// Each receipt speaks of bytes that were once in a file.
pub fn check_receipts(writers: &Writers, book: &Book) -> Result<(), String> {
    for receipt in &book.receipts {
        let size = receipt.position as usize;
        let is_it = |content: &Vec<u8>| {
            content.len() >= size && crc32fast::hash(&content[..size]) == receipt.bytes_crc
        };
        let is_content = writers.generations.iter().any(|g| is_it(&g.content));
        let has_zeros = |g: &Generation| g.is_with_zeros(size, receipt.bytes_crc);
        if !is_content && !writers.generations.iter().any(has_zeros) {
            return Err(format!(
                "the receipt of {} ({size} bytes, CRC {:08x}) fits no file",
                text(&receipt.name),
                receipt.bytes_crc
            ));
        }
    }
    Ok(())
}
