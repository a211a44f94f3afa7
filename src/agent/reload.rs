//! A configuration file that is changed while the agent runs: noticed by its stamp, checked first,
//! and taken over only if it is right.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::checkpoint::room::is_out_of_descriptors;
use crate::cli::AgentArgs;
use crate::config::diagnostics;
use crate::config::files::ConfFiles;
use crate::config::model::AgentConfig;
use crate::config::{self, Loaded};
use crate::log;

/// Class name in log lines, as Flume's.
pub(crate) const PROVIDER: &str = "node.PollingPropertiesFileConfigurationProvider";

/// How often the file is looked at, ms: one `stat`. (Flume does it every 30 seconds.)
const LOOK_MS: u64 = 500;

/// Inode, length, modification time; `None` if it is not there or no regular file.
type Stamp = Option<(u64, u64, i64, i64)>;

/// The files that are watched, and what is known of them.
pub(crate) struct Reload {
    files: ConfFiles,
    agent: String,
    /// `-D`, to which values may refer.
    system: Vec<(String, String)>,
    /// The stamp that was dealt with, and the one seen at the last look.
    known: Vec<Stamp>,
    last: Vec<Stamp>,
    /// CRC-32 of the content that is in force, or that was refused.
    content: Option<u32>,
    next_look_ms: u64,
    is_refused: bool,
    /// A new configuration, until it is taken over, or the file says something else.
    next: Option<AgentConfig>,
}

impl Reload {
    /// To be made before the file is loaded for the first time, so that no change slips through.
    pub(crate) fn new(args: &AgentArgs) -> Reload {
        let files = args.conf_files.clone();
        let known = stamps(&files);
        // What a pipe holds can be read once only, and that is for the start to do.
        let is_regular = known.iter().all(Option::is_some);
        let content = is_regular.then(|| content(&files).ok()).flatten();
        Reload {
            files,
            agent: args.name.clone(),
            system: args.system_properties.clone(),
            last: known.clone(),
            known,
            content,
            next_look_ms: 0,
            is_refused: false,
            next: None,
        }
    }

    /// Was the last change refused?
    pub(crate) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// The new configuration, if there is one.
    pub(crate) fn take(&mut self) -> Option<AgentConfig> {
        self.next.take()
    }

    /// It cannot be taken over yet.
    pub(crate) fn put_back(&mut self, config: AgentConfig) {
        self.next = Some(config);
    }

    /// Looks at the file, if it is time to. Is there a new configuration that is right? Of a
    /// faulty one is said what is wrong, and what waited before it counts no more. A file in the
    /// middle of being written is left until it was the same at two looks.
    pub(crate) fn look(&mut self, now_ms: u64) -> bool {
        if now_ms < self.next_look_ms {
            return false;
        }
        self.next_look_ms = now_ms + LOOK_MS;
        let now = stamps(&self.files);
        let is_still = std::mem::replace(&mut self.last, now.clone()) == now;
        if now == self.known || !is_still {
            return false;
        }
        let content = match content(&self.files) {
            Ok(crc) => Some(crc),
            // The change is looked at when others have given theirs back.
            Err(e) if is_out_of_descriptors(&e) => return false,
            Err(_) => None,
        };
        self.known = now;
        if content.is_some() && content == self.content {
            return false;
        }
        self.content = content;
        let file = &self.files;
        log::info(PROVIDER, format_args!("Reloading configuration file:{file}"));
        let loaded = config::load_with(&self.files, &self.agent, &self.system);
        self.is_refused = loaded.is_err();
        match loaded {
            Ok(Loaded { config, findings }) => {
                diagnostics::tell(&findings);
                self.next = Some(config);
            }
            Err(findings) => {
                diagnostics::tell(&findings);
                log::error(
                    PROVIDER,
                    format_args!(
                        "Failed to load configuration data: {file} is refused, the agent goes on \
                         with the configuration that it has."
                    ),
                );
                self.next = None;
            }
        }
        self.next.is_some()
    }
}

/// CRC-32 of what all of them hold.
fn content(files: &ConfFiles) -> io::Result<u32> {
    let mut crc = crc32fast::Hasher::new();
    for path in files.paths() {
        let bytes = fs::read(path)?;
        crc.update(&bytes.len().to_le_bytes());
        crc.update(&bytes);
    }
    Ok(crc.finalize())
}

fn stamps(files: &ConfFiles) -> Vec<Stamp> {
    files.paths().iter().map(|path| stamp(path)).collect()
}

fn stamp(path: &Path) -> Stamp {
    let stat = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some((stat.ino(), stat.len(), stat.mtime(), stat.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_neither_read_nor_watched() {
        let args = AgentArgs { conf_files: "/dev/zero".into(), ..AgentArgs::default() };
        let mut reload = Reload::new(&args);
        assert_eq!((&reload.known[..], reload.content), (&[None][..], None));
        for look in 0..3 {
            assert!(!reload.look(look * LOOK_MS));
        }
    }
}
