//! The first sentence: what a person at night wants to know.

use crate::monitor::Stats;
use crate::monitor::exposition::FileView;
use crate::text::{grouped, size, span};

/// How things stand, in the order of their weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    Wait,
    Bad,
}

impl Mood {
    /// Its class on the page, its name for scripts.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mood::Good => "good",
            Mood::Wait => "wait",
            Mood::Bad => "bad",
        }
    }
}

/// The worst of all that there is to say.
pub(crate) fn verdict(stats: &Stats) -> (Mood, String) {
    let mut faults = stats.sources.iter().filter_map(|source| source.fault.as_deref());
    if let Some(fault) = faults.next() {
        return (Mood::Bad, format!("needs attention: {fault}"));
    }
    let mut apart = stats.sources.iter().flat_map(|source| &source.apart);
    if let Some(apart) = apart.next() {
        let since = apart.since.as_ref().map(|since| format!(", since {since}"));
        let why = format!("waiting for Kafka: {}{}", apart.why, since.unwrap_or_default());
        return (Mood::Wait, why);
    }
    let letters: u64 = stats.sources.iter().filter_map(|s| s.dead_letters).sum();
    if letters > 0 {
        let s = if letters == 1 { "" } else { "s" };
        return (Mood::Bad, format!("needs attention: {} dead letter{s}", grouped(letters)));
    }
    let progress = progress(stats);
    let leaderless: usize = stats.channels.iter().map(|channel| channel.leaderless).sum();
    if leaderless > 0 {
        let s = if leaderless == 1 { "" } else { "s" };
        let why = format!("waiting for Kafka: {leaderless} partition{s} without a leader");
        return (Mood::Wait, format!("{why}; the others: {progress}"));
    }
    (Mood::Good, progress)
}

fn progress(stats: &Stats) -> String {
    let files = || stats.sources.iter().flat_map(|s| &s.files).filter(|file| !file.is_unfinished);
    let behind: u64 = files().map(FileView::behind).sum();
    let in_doubt: usize = stats.sources.iter().map(|source| source.in_doubt).sum();
    if behind == 0 && in_doubt == 0 {
        return "caught up".to_string();
    }
    let mut text = "delivering".to_string();
    if let Some(ms) = files().filter_map(|file| file.oldest).map(|age| age.ms()).max() {
        text.push_str(&format!(", {} behind", span(ms)));
    }
    let rate: f64 = stats.sources.iter().filter_map(|s| s.rate).map(|rate| rate.bytes_per_s).sum();
    match behind {
        0 => {}
        _ if rate >= 1.0 => {
            let ms = (behind as f64 * 1_000.0 / rate) as u64;
            text.push_str(&format!(" ({}, {} to catch up)", size(behind), span(ms)));
        }
        _ => text.push_str(&format!(" ({})", size(behind))),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::ages::Age;
    use crate::monitor::rates::Rate;
    use crate::monitor::{Apart, ChannelStats, SourceStats};

    #[test]
    fn the_verdict_says_the_worst() {
        let file = FileView { size: 100, position: 100, ..FileView::default() };
        let source = SourceStats { started: true, files: vec![file], ..SourceStats::default() };
        let mut stats = Stats { sources: vec![source], ..Stats::default() };
        assert_eq!(verdict(&stats), (Mood::Good, "caught up".to_string()));
        stats.sources[0].in_doubt = 1;
        assert_eq!(verdict(&stats).1, "delivering");
        let file = &mut stats.sources[0].files[0];
        (file.size, file.is_unfinished) = (110, true);
        stats.sources[0].in_doubt = 0;
        assert_eq!(verdict(&stats).1, "caught up");
        let file = &mut stats.sources[0].files[0];
        (file.size, file.is_unfinished, file.oldest) = (12_100, false, Some(Age::AtMost(12_300)));
        assert_eq!(verdict(&stats).1, "delivering, 12 s behind (12.0 kB)");
        stats.sources[0].rate = Some(Rate { bytes_per_s: 1_000.0, lines_per_s: 10.0 });
        let delivering = "delivering, 12 s behind (12.0 kB, 12 s to catch up)";
        assert_eq!(verdict(&stats), (Mood::Good, delivering.to_string()));
        stats.channels.push(ChannelStats { leaderless: 2, ..ChannelStats::default() });
        let lacks = "waiting for Kafka: 2 partitions without a leader; the others: delivering";
        assert!(verdict(&stats).1.starts_with(lacks), "{}", verdict(&stats).1);
        stats.sources[0].dead_letters = Some(1);
        assert_eq!(verdict(&stats), (Mood::Bad, "needs attention: 1 dead letter".to_string()));
        let why = "Channel c1 (topic t): hadoop2 does not answer".to_string();
        stats.sources[0].apart.push(Apart { why, since: Some("14:02".to_string()) });
        let waits = "waiting for Kafka: Channel c1 (topic t): hadoop2 does not answer, since 14:02";
        assert_eq!(verdict(&stats), (Mood::Wait, waits.to_string()));
        stats.sources[0].fault = Some("Source r1 cannot start: no".into());
        let needs = "needs attention: Source r1 cannot start: no".to_string();
        assert_eq!(verdict(&stats), (Mood::Bad, needs));
    }
}
