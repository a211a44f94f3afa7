//! The rows of Flume's own sources in the table of properties. What every source has stands among those
//! of the first one (see [`Scope::EachSource`]).

use super::known::{Property, Scope, ignores, refuses, takes};
use Scope::{Exec, SpoolDir, Taildir};

const INT_MAX: u64 = i32::MAX as u64;
const LONG_MAX: u64 = i64::MAX as u64;
const BY_THE_AGENT: &str = "the agent reads the files itself: no program is run";
const LOOKED_AT_ONCE: &str = "files are looked at as soon as they change";

pub(super) const ROWS: &[Property] = &[
    takes(
        Taildir,
        "type",
        "required",
        "`TAILDIR` or `org.apache.flume.source.taildir.TaildirSource`",
    ),
    takes(Taildir, "filegroups", "required", "names of groups of files, split at blanks"),
    takes(
        Taildir,
        "filegroups.*",
        "required",
        "of a group: directory, slash, and a regular expression (Java) that matches the whole name",
    ),
    takes(
        Taildir,
        "positionFile",
        "~/.flume/taildir_position.json",
        "Flume's positions: taken over at the first start, and kept up; the agent's own state is in the \
         directory of that name with `.d` behind it",
    ),
    takes(Taildir, "headers.*", "–", "`headers.GROUP.KEY`: a header of all events of the group"),
    takes(
        Taildir,
        "byteOffsetHeader",
        "false",
        "put the offset of the line into the header `byteoffset`",
    ),
    takes(
        Taildir,
        "skipToEnd",
        "false",
        "what the files hold at the very first start is skipped, a line that is being written too",
    ),
    takes(
        Taildir,
        "idleTimeout",
        "120000",
        "an unfinished last line is sent when its file was left alone for so long, ms",
    )
    .within(1, INT_MAX),
    takes(Taildir, "writePosInterval", "3000", "the position file is written so often, ms")
        .within(1, INT_MAX),
    takes(Taildir, "batchSize", "100", "events in one transaction, at least 1").within(1, INT_MAX),
    takes(
        Taildir,
        "maxBatchCount",
        "9223372036854775807",
        "transactions of one file before the next one has its turn",
    )
    .within(0, LONG_MAX),
    takes(Taildir, "fileHeader", "false", "put the absolute path into a header"),
    takes(Taildir, "fileHeaderKey", "file", "that header's name"),
    ignores(Taildir, "backoffSleepIncrement", LOOKED_AT_ONCE),
    ignores(Taildir, "maxBackoffSleep", LOOKED_AT_ONCE),
    ignores(Taildir, "cachePatternMatching", "a directory is listed when it has changed"),
    refuses(
        Taildir,
        "trackerDir",
        "the state is in the directory beside positionFile; set positionFile",
    ),
    refuses(Taildir, "deserializer", "TAILDIR sends the bytes of each line as they are; remove it"),
    refuses(
        Taildir,
        "deserializer.*",
        "TAILDIR sends the bytes of each line as they are; remove it",
    ),
    refuses(Taildir, "inputCharset", "TAILDIR sends the bytes of each line as they are; remove it"),
    takes(Exec, "type", "required", "`exec` or `org.apache.flume.source.ExecSource`"),
    takes(
        Exec,
        "command",
        "required",
        "`tail -F` (or `-f`, `--follow`) of files, with `-n`, `-c`, `-q`, `-s`: the agent follows them itself, \
         and goes on at its position at the next start; anything else is refused",
    ),
    takes(
        Exec,
        "shell",
        "–",
        "`/bin/sh -c` and the like: quotes and backslashes in the command are read",
    ),
    takes(Exec, "batchSize", "20", "events in one transaction, at least 1").within(1, INT_MAX),
    takes(
        Exec,
        "charset",
        "UTF-8",
        "character set of the files and of the event's body; what is not text becomes U+FFFD",
    ),
    takes(
        Exec,
        "trackerDir",
        "–",
        "where positions are kept; `~/.flume-ng/AGENT/SOURCE` where it is not given (not Flume's)",
    ),
    ignores(Exec, "restart", BY_THE_AGENT),
    ignores(Exec, "restartThrottle", BY_THE_AGENT),
    ignores(Exec, "logStdErr", BY_THE_AGENT),
    ignores(Exec, "batchTimeout", "lines are sent at once"),
    takes(
        SpoolDir,
        "type",
        "required",
        "`spooldir` or `org.apache.flume.source.SpoolDirectorySource`",
    ),
    takes(SpoolDir, "spoolDir", "required", "the directory into which whole files are dropped"),
    takes(SpoolDir, "fileSuffix", ".COMPLETED", "added to the name of a file that is done"),
    takes(
        SpoolDir,
        "deletePolicy",
        "never",
        "`never` renames a file that is done, `immediate` deletes it",
    ),
    takes(
        SpoolDir,
        "trackingPolicy",
        "rename",
        "`rename` changes the name of a file that is done, `tracker_dir` leaves it as it is and makes an empty \
         file for it in trackerDir",
    ),
    takes(SpoolDir, "trackerDir", ".flumespool", "where positions are kept; relative to spoolDir"),
    takes(
        SpoolDir,
        "includePattern",
        "^.*$",
        "names it matches as a whole (Java regular expression) are read",
    ),
    takes(SpoolDir, "ignorePattern", "^$", "names it matches as a whole are left alone"),
    takes(
        SpoolDir,
        "recursiveDirectorySearch",
        "false",
        "files in subdirectories are read, too, but for those whose names begin with a dot or are ignored",
    ),
    takes(
        SpoolDir,
        "consumeOrder",
        "oldest",
        "`oldest`, `youngest` or `random` waiting file first",
    ),
    takes(SpoolDir, "batchSize", "100", "events in one transaction, at least 1").within(1, INT_MAX),
    takes(SpoolDir, "inputCharset", "UTF-8", "character set of the files"),
    takes(
        SpoolDir,
        "decodeErrorPolicy",
        "FAIL",
        "bytes that are not text: `FAIL` stops, `REPLACE` by U+FFFD, `IGNORE`",
    ),
    takes(SpoolDir, "fileHeader", "false", "put the absolute path into a header"),
    takes(SpoolDir, "fileHeaderKey", "file", "that header's name"),
    takes(SpoolDir, "basenameHeader", "false", "put the bare name into a header"),
    takes(SpoolDir, "basenameHeaderKey", "basename", "that header's name"),
    takes(SpoolDir, "deserializer", "LINE", "`LINE` only"),
    takes(
        SpoolDir,
        "deserializer.maxLineLength",
        "2048",
        "longer lines are cut into several events, UTF-16 units",
    )
    .within(1, INT_MAX),
    takes(SpoolDir, "bufferMaxLineLength", "2048", "the same under its old name, which wins")
        .within(1, INT_MAX),
    takes(SpoolDir, "deserializer.outputCharset", "UTF-8", "character set of the event's body"),
    ignores(SpoolDir, "pollDelay", "files are looked at as soon as they appear"),
    ignores(SpoolDir, "bufferMaxLines", "Flume does not read it either"),
];
