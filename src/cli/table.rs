//! The one table of commands and options. The parser, the usage texts, the man page and the
//! completions of the shells all read it, so that none of them can drift.

/// Which of Flume's two parsers takes an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TakenBy {
    /// The shell script, from any place.
    Script,
    /// commons-cli, with its own idea of forms.
    Agent,
}

/// One command; a set of them is the sum of their bits.
pub(crate) struct CommandRow {
    pub name: &'static str,
    pub bit: u8,
    /// What the usage line shows behind the name.
    pub synopsis: &'static str,
    pub summary: &'static str,
    /// For the man page and `flume-ng help COMMAND`; paragraphs are separated by empty lines.
    pub about: &'static str,
}

pub(crate) const AGENT: u8 = 1;
pub(crate) const CHECK: u8 = 2;
pub(crate) const STATUS: u8 = 4;
pub(crate) const GENERATE: u8 = 8;
pub(crate) const VERIFY: u8 = 16;
pub(crate) const LETTERS: u8 = 32;
const HELP: u8 = 0;

pub(crate) const COMMANDS: &[CommandRow] = &[
    CommandRow {
        name: "agent",
        bit: AGENT,
        synopsis: "--name NAME --conf-file FILE [options]",
        summary: "carry lines of log files into Kafka",
        about: "Runs until it is stopped by SIGTERM, SIGINT or SIGHUP. A second agent on the same \
                tracker directory ends at once with exit code 75, so that cron may start it every \
                minute. With --once it takes what the files hold when it starts, a file of the \
                present hour to its last whole line, gives finished files their new names and ends: \
                with 0 when all of that is acknowledged, with 75 when --timeout is over or it was \
                stopped before that. What may pass is waited for: brokers, a directory that is not \
                there, a file that cannot be read.",
    },
    CommandRow {
        name: "check",
        bit: CHECK,
        synopsis: "--name NAME --conf-file FILE [options]",
        summary: "look at everything an agent needs before it is started",
        about: "Prints a row for each check, failures first, then warnings: configuration, \
                directories, disks, tracker, brokers, topic, files. With -v it also shows what \
                becomes of each property, and how the ZooKeeper of the configuration is, which is \
                not needed. Nothing is changed, except by --create-topic. Exit code 0 if an agent \
                can be started or runs (warnings do not count), 78 if somebody has to fix \
                something first, 75 if it may pass by itself.",
    },
    CommandRow {
        name: "status",
        bit: STATUS,
        synopsis: "--name NAME --conf-file FILE [options]",
        summary: "show what an agent is doing",
        about: "Reads the lock, the checkpoint, the receipts and the files without disturbing the \
                agent; works while it runs and when it is stopped. Rate and time to catch up come \
                from two looks, a second apart. What keeps the agent from its work is shown first. \
                Exit code 0 if nothing is wrong, or it was stopped in order; 70 or 78 if it has ended \
                with that; 75 if its brokers take nothing, or if something cannot be read. With --wait it \
                is shown when nothing is behind and nothing in doubt (a last line without its \
                newline in a file that is still tailed does not count): 0 then, 75 if that takes \
                longer.",
    },
    CommandRow {
        name: "verify",
        bit: VERIFY,
        synopsis: "--name NAME --conf-file FILE [options] [FILE...]",
        summary: "prove that each line of collected files is in the topic once",
        about: "Reads the receipts, the files and the topic, and tells for each FILE, or for all \
                that were collected, whether every line is in the topic exactly once. It searches \
                all of a topic of up to 4 GB; of a larger one the part from the first recorded \
                offset on, unless --whole-topic is given. Exit code 1 if there is a difference, or \
                something that cannot be checked: a file that is gone (but for --allow-gone), a \
                directory in which no agent has worked, a part of the topic.",
    },
    CommandRow {
        name: "letters",
        bit: LETTERS,
        synopsis: "--name NAME --conf-file FILE [options]",
        summary: "list, send again or drop lines that no broker took",
        about: "Lists the dead letters of the agent's sources by number: file, line, bytes, reason, time \
                and what has become of each. --resend sends those that nobody has settled to the \
                topic as it is now, under the promise of the agent: announced on the disk before \
                they are sent, looked for in the topic after a crash, each there once. The agent may \
                run meanwhile. --drop settles letters that nobody wants, --give-up those that a --resend \
                has left in doubt in a topic that the source has no channel for any more: they may be in it. \
                Nothing is taken out of the file. Exit code 0, or 75 if not all of them could be sent.",
    },
    CommandRow {
        name: "generate",
        bit: GENERATE,
        synopsis: "--dir DIR --pattern PATTERN [options]",
        summary: "write numbered lines into hourly files, for trials",
        about: "Appends lines that are unique over all runs and rolls over with the clock. Each \
                write(2) ends with the end of a line, unless --torn is given. Ends after --lines \
                or at a signal.",
    },
    CommandRow {
        name: "help",
        bit: HELP,
        synopsis: "[COMMAND]",
        summary: "show this text, or the options of a command",
        about: "",
    },
    CommandRow {
        name: "version",
        bit: HELP,
        synopsis: "",
        summary: "show version, commit and features",
        about: "",
    },
];

/// The command of that name.
pub(crate) fn command(name: &str) -> Option<&'static CommandRow> {
    COMMANDS.iter().find(|c| c.name == name)
}

/// One option.
pub(crate) struct OptionRow {
    pub short: &'static str,
    pub long: &'static str,
    /// Name of its argument, empty for none.
    pub argument: &'static str,
    pub taken_by: TakenBy,
    /// The commands that take it.
    pub commands: u8,
    /// Empty: accepted, but not shown.
    pub help: &'static str,
}

const fn row(
    short: &'static str,
    long: &'static str,
    argument: &'static str,
    taken_by: TakenBy,
    commands: u8,
    help: &'static str,
) -> OptionRow {
    OptionRow { short, long, argument, taken_by, commands, help }
}

use TakenBy::{Agent, Script};

/// Commands that look at an agent take its command line as it is.
const LIKE_AGENT: u8 = AGENT | CHECK | STATUS;
/// Likewise, but what is not an option is the name of a file.
const READS_CONF: u8 = LIKE_AGENT | VERIFY | LETTERS;
const ALL: u8 = READS_CONF | GENERATE;

pub(crate) const OPTIONS: &[OptionRow] = &[
    row("n", "name", "NAME", Agent, ALL, "the agent: first word of its keys"),
    row("f", "conf-file", "FILE", Agent, ALL, "its properties file, or -u URI; later ones win"),
    row("u", "conf-uri", "URI", Agent, ALL, ""),
    row("d", "dryrun", "", Script, AGENT, "check the configuration, print it and stop"),
    row("", "no-reload-conf", "", Agent, AGENT, "do not look for changes of the file"),
    row("", "no-reload-conf", "", Agent, CHECK | STATUS, ""),
    row("", "once", "", Agent, AGENT, "end when what the files hold now is acknowledged"),
    row("", "timeout", "SECONDS", Agent, AGENT, "end --once after so long in any case (code 75)"),
    row("", "once", "", Agent, CHECK | STATUS, ""),
    row("", "timeout", "SECONDS", Agent, CHECK | STATUS, ""),
    row("c", "conf", "DIR", Script, READS_CONF, "for compatibility with Flume, as are -C and -X"),
    row("C", "classpath", "PATH", Script, READS_CONF, ""),
    row("", "plugins-path", "DIRS", Script, READS_CONF, ""),
    row("z", "zkConnString", "HOSTS", Agent, LIKE_AGENT, ""),
    row("p", "zkBasePath", "PATH", Agent, LIKE_AGENT, ""),
    row("", "create-topic", "PARTITIONS:REPLICATION", Agent, CHECK, "create missing topics"),
    row("v", "verbose", "", Agent, CHECK, "show each property, and ask ZooKeeper"),
    row("", "dir", "DIR", Agent, GENERATE, "where to write (default: spoolDir of the agent)"),
    row("", "pattern", "PATTERN", Agent, GENERATE, "names of the files, such as 010_yyyyMMddHH"),
    row("", "lines", "N", Agent, GENERATE, "stop after so many lines (default: at a signal)"),
    row("", "rate", "N", Agent, GENERATE, "lines a second (default: as fast as can be)"),
    row("", "size", "BYTES", Agent, GENERATE, "length of a line with its newline (default: 110)"),
    row("", "torn", "", Agent, GENERATE, "write each line in pieces"),
    row("", "json", "", Agent, ALL & !AGENT, "print JSON, for scripts"),
    row("", "whole-topic", "", Agent, VERIFY, "search all of the topic, also if it is over 4 GB"),
    row("", "range-only", "", Agent, VERIFY, "no search for repeats beyond the receipts"),
    row("", "allow-gone", "", Agent, VERIFY, "files that are gone are not a difference"),
    row("", "all-agents", "", Agent, VERIFY, "FILEs are configurations of one fleet"),
    row("", "since", "TIME", Agent, VERIFY, "files of the last 6h, 2d or since a date"),
    row("", "memory", "MIB", Agent, VERIFY, "table of values (default: 32)"),
    row("", "prometheus", "", Agent, STATUS, "print metrics in Prometheus's text format"),
    row("", "watch", "", Agent, STATUS, "show it again every two seconds"),
    row("", "wait", "SECONDS", Agent, STATUS, "until nothing is behind or in doubt, else code 75"),
    row("", "raw", "N", Agent, LETTERS, "write the bytes of letter N to standard output"),
    row("", "resend", "", Agent, LETTERS, "send to the topic what is not settled"),
    row("", "drop", "N", Agent, LETTERS, "settle letter N, or several: 3,5-9"),
    row("", "give-up", "", Agent, LETTERS, "settle what may be in a topic without a channel"),
    row("", "source", "NAME", Agent, LETTERS, "of this source, where there are several"),
    row("", "timeout", "SECONDS", Agent, LETTERS, "end --resend after so long (code 75)"),
    row("h", "help", "", Agent, ALL, "show this text"),
];

/// `-D` is no option of either parser's table, but of the JVM.
pub(crate) const DEFINE_HELP: &str = "system property, see below";

/// Those that mean something, for the usage text and the man page.
pub(crate) const SYSTEM_PROPERTIES: &[(&str, &str)] = &[
    ("flume.root.logger=LEVEL,console", "log level"),
    ("flume.log.format=json", "log lines as JSON objects"),
    ("flume.monitoring.type=http", "serve /metrics, /prometheus and /healthz"),
    ("flume.monitoring.port=PORT", "at this port (default: 41414)"),
    ("flume.monitoring.host=ADDRESS", "at this address (default: 127.0.0.1)"),
];

pub(crate) const EXIT_CODES: &[(u8, &str)] = &[
    (0, "clean stop, or nothing wrong"),
    (1, "verify found a difference, or something that cannot be checked"),
    (2, "the command line is wrong"),
    (70, "exactly-once cannot be kept; somebody has to look"),
    (75, "try again later: another agent, a broker that is not there, or time was up"),
    (78, "the configuration is missing or wrong"),
];

/// What an agent reads and writes, for the man page.
pub(crate) const FILES: &[(&str, &str)] = &[
    ("/etc/flume-ng/flume.conf", "the properties file of the package's unit and crontab line"),
    ("spoolDir", "the log files; what is finished gets the suffix .COMPLETED"),
    ("trackerDir/checkpoint", "positions, and batches whose answer has not come; never edit it"),
    ("trackerDir/lock", "who holds the directory"),
    ("trackerDir/receipts", "a line for each finished file, which verify reads"),
    ("trackerDir/dead-letter", "lines that no broker takes, each with the reason"),
    ("trackerDir/trouble", "what keeps the agent from its work, or has ended it"),
];

/// Commands with what they are for, for the man page.
pub(crate) const EXAMPLES: &[(&str, &str)] = &[
    (
        "flume-ng check --name a1 --conf-file a1.conf",
        "Look at everything that a start needs, and start nothing.",
    ),
    (
        "flume-ng agent --name a1 --conf-file a1.conf",
        "Carry the files of the configuration into Kafka until a signal comes.",
    ),
    (
        "flume-ng status --name a1 --conf-file a1.conf --watch",
        "See positions, rate and time to catch up, again and again.",
    ),
    (
        "flume-ng verify --name a1 --conf-file a1.conf app_2026112813",
        "Prove one file against the topic.",
    ),
];

pub(crate) const SEE_ALSO: &str = "systemd.service(5), crontab(5), logrotate(8)";

/// Options of a command that are shown.
pub(crate) fn shown(bit: u8) -> impl Iterator<Item = &'static OptionRow> {
    OPTIONS.iter().filter(move |o| o.commands & bit != 0 && !o.help.is_empty())
}
