//! `letters --give-up`: what a `--resend` that was cut short has left in doubt in a topic that no channel of the source
//! has any more. It may be there, and nobody can look: only a person can say that it is not to be waited for.
//!
//! The mark comes before the record that no longer has the batch, as where a letter is sent: so a letter is in doubt
//! there, or it is settled. What can be looked for is left to `--resend`.

use std::rc::Rc;

use super::resend::{self, DIR, Doubt};
use super::{Mail, Trouble, open, temporary, unreadable};
use crate::checkpoint::dead_letter::{self, State};
use crate::checkpoint::record::{BatchRecord, FileRecord, Record};
use crate::config::model::{AgentConfig, Destination, SourceConfig};
use crate::exit::Exit;
use crate::pipeline;
use crate::text;

/// Gives up what is so in doubt of the sources at `wanted`.
pub(super) fn run(config: AgentConfig, wanted: &[usize]) -> Result<Exit, Trouble> {
    let AgentConfig { name: agent, sources, destinations, .. } = config;
    let channels: Vec<Rc<Destination>> = destinations.into_iter().map(Rc::new).collect();
    let mut exit = Exit::Clean;
    for source in wanted.iter().map(|&at| &sources[at]) {
        if let Err(trouble) = of_source(&agent, source, &channels) {
            exit = trouble.of_source(&source.name, exit);
        }
    }
    Ok(exit)
}

fn of_source(
    agent: &str,
    source: &SourceConfig,
    channels: &[Rc<Destination>],
) -> Result<(), Trouble> {
    let dir = source.tracker_dir.join(DIR);
    let name = &source.name;
    let nothing = || {
        text::print(format_args!(
            "source {name}: nothing is in doubt in a topic without a channel\n"
        ));
        Ok(())
    };
    if !dir.exists() {
        return nothing();
    }
    let _lock = resend::hold(source, agent)?;
    let mail = open(source)?;
    let (mut slots, mut record, _) = resend::open_state(&dir)?;
    let own = resend::destinations(source, channels, &mail.letters);
    let all = resend::destinations_left(source, channels, &own, &record);
    let all: Vec<Rc<Destination>> = all.into_iter().map(|(_, destination)| destination).collect();
    let lacking: Vec<BatchRecord> =
        pipeline::without_place(&record, &all).into_iter().cloned().collect();
    if lacking.is_empty() {
        return nothing();
    }
    for batch in &lacking {
        drop_letter(name, &mail, &record, batch)?;
    }
    record.batches.retain(|batch| !lacking.contains(batch));
    let files = std::mem::take(&mut record.files);
    let written = slots.write_with(&mut record, &Vec::from_iter(&files) as &[&FileRecord]);
    written.map_err(|e| temporary(format!("{e}; run --give-up again")))
}

fn drop_letter(
    source: &str,
    mail: &Mail,
    record: &Record,
    batch: &BatchRecord,
) -> Result<(), Trouble> {
    let topic = text::printable(resend::topic_of(record, batch));
    let failed = |e| unreadable(&mail.path, &e);
    let doubt = Doubt::of(batch);
    let mut which = "a letter that was moved away".to_string();
    for (at, letter) in mail.letters.iter().enumerate().filter(|(_, l)| l.at == batch.start) {
        if doubt.is(letter, &mail.path).map_err(failed)? {
            which = format!("letter {}", at + 1);
            if letter.state == State::Unsettled {
                dead_letter::mark(&mail.path, letter, State::Dropped).map_err(failed)?;
            }
        }
    }
    text::print(format_args!("source {source}: {which} is given up; it may be in topic {topic}\n"));
    Ok(())
}
