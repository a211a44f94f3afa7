//! What a start makes of what stands in the tracker directory, and of what Flume has left. It is decided here,
//! before anything is written or logged, so that the agent carries out what `check` tells.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use super::handover::{self, Handover, HandoverError, TailHandoverError, handover};
use super::marker;
use crate::checkpoint::flume_positions::FlumePosition;
use crate::checkpoint::record::Record;
use crate::checkpoint::room::why_not_opened;
use crate::checkpoint::slots::{self, Damage, Opened, SlotFinding};
use crate::config::model::{FirstByte, OnBadCheckpoint, OnNoCheckpoint, SourceConfig, TailConfig};
use crate::log::{Level, counted};

/// Why a pipeline does not start.
#[derive(Debug)]
pub enum StartError {
    /// Exit code 70.
    Broken(String),
    /// Exit code 78: somebody has to say what is meant.
    Unsettled(String),
    /// The disk or a directory is not as it must be (yet): waited for, said once per try.
    NotYet(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Broken(why) | StartError::Unsettled(why) | StartError::NotYet(why) => {
                f.write_str(why)
            }
        }
    }
}

/// Where a Java agent stood.
pub enum Predecessor {
    /// At this byte of the file of that bare name.
    Tracker(OsString, u64),
    /// In these files, by their inodes, and in others where `FirstByte` says.
    Positions(Vec<FlumePosition>, FirstByte),
}

impl Predecessor {
    /// Or is it only said where files begin?
    pub(crate) fn is_there(&self) -> bool {
        match self {
            Predecessor::Tracker(..) => true,
            Predecessor::Positions(positions, _) => !positions.is_empty(),
        }
    }
}

/// Where a pipeline begins that inherits no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// At the first byte of every file.
    Beginnings,
    /// Behind what the files hold now.
    Ends,
    /// Where the topic ends: it is read back, and what it lacks is sent.
    Topic,
}

/// A start, before it is carried out.
pub(crate) struct Plan {
    pub step: Step,
    /// What there is to say of it: sentences without their period.
    pub told: Vec<(Level, String)>,
}

/// What becomes of the state that was found.
pub(crate) enum Step {
    /// Its record counts.
    GoOn,
    /// The topic is read back, with which an earlier start has begun: no record counts.
    ReadOn,
    /// There is none. Where a Java agent was that worked here before, and where to begin without it.
    Begin(Option<Predecessor>, Begin),
    /// It is damaged, and kept aside.
    Anew(Begin),
}

impl Plan {
    fn silent(step: Step) -> Plan {
        Plan { step, told: Vec::new() }
    }
}

/// The plan of the next start, for those who do not hold the lock.
pub(crate) fn of_next_start(config: &SourceConfig) -> Result<Plan, StartError> {
    let dir = &config.tracker_dir;
    let found = slots::look(dir).map_err(|e| unreadable(dir, &e))?;
    of(config, &found)
}

/// The checkpoint that stands there.
pub(super) fn unreadable(dir: &Path, e: &io::Error) -> StartError {
    let path = dir.join(slots::FILE_NAME);
    StartError::NotYet(format!("{}: {}", path.display(), why_not_opened(e)))
}

/// Decides by what was found of the checkpoint. Reads, and does nothing else.
pub(crate) fn of<S>(config: &SourceConfig, found: &Opened<S>) -> Result<Plan, StartError> {
    let dir = &config.tracker_dir;
    let is_rebuilding =
        marker::is_there(dir).map_err(|e| StartError::NotYet(format!("{}: {e}", dir.display())))?;
    match found {
        Opened::Damaged(damage) => anew(config, damage, is_rebuilding),
        // What a record says was written before all of the topic had been looked at.
        Opened::Valid { .. } | Opened::Absent(_) if is_rebuilding => {
            let path = dir.join(marker::FILE_NAME);
            let text = format!(
                "{} is there: the topic is read back, and what it lacks is sent",
                path.display()
            );
            Ok(Plan { step: Step::ReadOn, told: vec![(Level::Info, text)] })
        }
        Opened::Valid { record, other, .. } => go_on(config, record, *other),
        Opened::Absent(_) => begin(config),
    }
}

fn go_on(config: &SourceConfig, record: &Record, other: SlotFinding) -> Result<Plan, StartError> {
    refuse_if_flume_has_run(config, record)?;
    let mut plan = Plan::silent(Step::GoOn);
    if !matches!(other, SlotFinding::Valid { .. } | SlotFinding::Empty) {
        plan.told.push((
            Level::Info,
            format!(
                "The last write of the checkpoint did not complete ({other}); the one before it counts"
            ),
        ));
    }
    Ok(plan)
}

/// Positions that are ahead of the own ones are those of Flume, which has run here since: to go on would
/// send again what it has sent.
fn refuse_if_flume_has_run(config: &SourceConfig, record: &Record) -> Result<(), StartError> {
    let Some(tail) = config.kind.tail() else { return Ok(()) };
    // Nothing was written since: who is refused is refused again.
    let checkpoint = fs::metadata(config.tracker_dir.join(slots::FILE_NAME));
    let written = checkpoint.and_then(|stat| stat.modified()).ok();
    match handover::positions_ahead(config, tail, record, written) {
        Some(why) => Err(StartError::Unsettled(why)),
        None => Ok(()),
    }
}

fn begin(config: &SourceConfig) -> Result<Plan, StartError> {
    let mut told = Vec::new();
    let java = match config.kind.tail() {
        Some(tail) => tail_positions(config, tail, &mut told)?,
        None => java_position(config, &mut told)?.map(|(name, at)| Predecessor::Tracker(name, at)),
    };
    Ok(Plan { step: Step::Begin(java, begin_without(config.on_no_checkpoint)), told })
}

fn begin_without(on_no_checkpoint: OnNoCheckpoint) -> Begin {
    match on_no_checkpoint {
        OnNoCheckpoint::Beginning => Begin::Beginnings,
        OnNoCheckpoint::End => Begin::Ends,
        OnNoCheckpoint::Topic => Begin::Topic,
    }
}

/// What becomes of the files.
fn then(begin: Begin) -> &'static str {
    match begin {
        Begin::Beginnings => "every file is read from its beginning",
        Begin::Ends => "what the files hold now is skipped",
        Begin::Topic => "the topic is read back, and what it lacks is sent",
    }
}

fn anew(config: &SourceConfig, damage: &Damage, is_rebuilding: bool) -> Result<Plan, StartError> {
    let is_forbidden = config.on_bad_checkpoint == OnBadCheckpoint::Fail && !is_rebuilding;
    if is_forbidden || damage.is_other_version() {
        return Err(StartError::Broken(damage.to_string()));
    }
    let begin = match config.on_bad_checkpoint {
        _ if is_rebuilding => Begin::Topic,
        OnBadCheckpoint::Fail | OnBadCheckpoint::Beginning => Begin::Beginnings,
        OnBadCheckpoint::End => Begin::Ends,
        OnBadCheckpoint::Topic => Begin::Topic,
    };
    let text = format!("{}: {}", damage.what(), then(begin));
    Ok(Plan { step: Step::Anew(begin), told: vec![(Level::Warn, text)] })
}

/// The position of a Java agent that worked here before.
fn java_position(
    config: &SourceConfig,
    told: &mut Vec<(Level, String)>,
) -> Result<Option<(OsString, u64)>, StartError> {
    let dir = config.tracker_dir.display();
    let then = then(begin_without(config.on_no_checkpoint));
    let stopped = |e: HandoverError| match e.is_passing() {
        true => StartError::NotYet(e.to_string()),
        false => StartError::Unsettled(e.to_string()),
    };
    let mut position = None;
    let words = match handover(config).map_err(stopped)? {
        // Not of this kind of source.
        Handover::Positions(_) => return Ok(None),
        Handover::Nothing => {
            (Level::Info, format!("No checkpoint and no tracker of Flume in {dir}: {then}"))
        }
        Handover::At { name, offset } => {
            let text = format!(
                "No checkpoint yet; taking over from Flume's tracker: {} at byte {offset}",
                name.display()
            );
            position = Some((name, offset));
            (Level::Info, text)
        }
        Handover::Finished { name, completed } => {
            let text = format!(
                "No checkpoint yet. Flume's tracker is for {}, which is finished ({} is there): {then}",
                name.display(),
                completed.display()
            );
            (Level::Info, text)
        }
        Handover::Gone { name } => {
            let text = format!(
                "No checkpoint yet. Flume's tracker is for {}, which is no longer in {}: {then}",
                name.display(),
                config.spool_dir.display()
            );
            (Level::Warn, text)
        }
    };
    told.push(words);
    Ok(position)
}

/// What Flume's position file says, for a source without a state of its own.
fn tail_positions(
    config: &SourceConfig,
    tail: &TailConfig,
    told: &mut Vec<(Level, String)>,
) -> Result<Option<Predecessor>, StartError> {
    let first = match config.on_no_checkpoint {
        OnNoCheckpoint::Beginning => tail.begin,
        OnNoCheckpoint::End => FirstByte::NextLine,
        OnNoCheckpoint::Topic => FirstByte::Beginning,
    };
    let found = match handover::tail_handover(tail) {
        Ok(found) => found,
        Err(TailHandoverError::Unreadable(why)) => return Err(StartError::NotYet(why)),
        Err(TailHandoverError::Unusable(why)) => return Err(StartError::Unsettled(why)),
    };
    let Some(found) = found else {
        let is_read_back = config.on_no_checkpoint == OnNoCheckpoint::Topic;
        let then = match first {
            _ if is_read_back => then(Begin::Topic),
            FirstByte::Beginning => then(Begin::Beginnings),
            FirstByte::NextLine => then(Begin::Ends),
            _ => "files that are there begin where tail would",
        };
        told.push((Level::Info, format!("No checkpoint and no positions of Flume: {then}")));
        return Ok((!is_read_back).then(|| Predecessor::Positions(Vec::new(), first)));
    };
    if let Some(damage) = &found.damage {
        let text = format!(
            "Failed loading positionFile: {}: {damage}. What stands before that counts; other files are \
             read from their beginning",
            found.path.display()
        );
        told.push((Level::Error, text));
    }
    for place in config.places() {
        // A file there would be a new one later, and be sent again.
        let dir = config.spool_dir.join(place);
        if !found.positions.is_empty() && !dir.is_dir() {
            let dir = dir.display();
            return Err(StartError::NotYet(format!("Directory does not exist: {dir}")));
        }
    }
    let text = format!(
        "No checkpoint yet; taking over {} from Flume's {}. After a clean stop of Flume with a Kafka channel \
         that is exact; after a kill lines of its last seconds come again, and with a memory channel lines \
         that were in it are missing",
        counted(found.positions.len() as u64, "position"),
        found.path.display()
    );
    told.push((Level::Info, text));
    Ok(Some(Predecessor::Positions(found.positions, first)))
}
