//! The completions, loaded and asked in the shells themselves.
//!
//! bash is wherever the tests run. zsh and fish need not be on a bare machine; where one is not,
//! its test says so and passes.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::support::TempDir;

fn packaged(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("packaging/completions").join(name)
}

/// A directory with a file to be completed.
fn work(label: &str) -> TempDir {
    let dir = TempDir::new(label);
    std::fs::write(dir.path().join("log010.conf"), "").unwrap();
    dir
}

/// What the shell prints; `None`, loudly, if it is not installed.
fn run(shell: &str, args: &[&str], script: &str, dir: &TempDir) -> Option<String> {
    let mut command = Command::new(shell);
    command.args(args).arg(script).current_dir(dir.path()).env("HOME", dir.path());
    let Output { status, stdout, stderr } = match command.env("TERM", "dumb").output() {
        Ok(output) => output,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("NOT TESTED: {shell} is not installed (apt-get install {shell})");
            return None;
        }
        Err(e) => panic!("{shell}: {e}"),
    };
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success() && stderr.is_empty(), "{shell}: {status}\n{stdout}\n{stderr}");
    Some(stdout.into_owned())
}

/// Lines to be completed, each with a word that has to be offered and one that must not.
const ASKED: &[(&str, &str, &str)] = &[
    ("flume-ng st", "status", "agent"),
    ("flume-ng help ver", "verify", "status"),
    ("flume-ng check --cr", "--create-topic", "--torn"),
    ("flume-ng generate --t", "--torn", "--create-topic"),
    ("flume-ng check --conf-file lo", "log010.conf", "--json"),
    // Its words are names of files, among the options.
    ("flume-ng verify lo", "log010.conf", "--json"),
    ("flume-ng verify --name a1 lo", "log010.conf", "--json"),
    ("flume-ng agent -Dflume.monitoring.p", "-Dflume.monitoring.port=", "--name"),
    ("flume-ng verify --ran", "--range-only", "log010.conf"),
];

#[test]
fn bash_offers_commands_options_and_files() {
    let dir = work("completions-bash");
    for (line, offered, not_offered) in ASKED {
        let script = format!(
            "source '{}'; complete -p flume-ng >/dev/null || exit 1; COMP_WORDS=({line}); \
             COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _flume_ng; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            packaged("flume-ng.bash").display()
        );
        let Some(text) = run("bash", &["--norc", "-c"], &script, &dir) else { return };
        assert!(text.contains(offered) && !text.contains(not_offered), "{line}: {text}");
    }
}

#[test]
fn fish_offers_commands_options_and_files() {
    let dir = work("completions-fish");
    for (line, offered, not_offered) in ASKED {
        let script =
            format!("source '{}'; complete -C '{line}'", packaged("flume-ng.fish").display());
        let Some(text) = run("fish", &["--no-config", "-c"], &script, &dir) else { return };
        // What is offered, without what is told about it.
        let text: Vec<&str> = text.lines().filter_map(|line| line.split('\t').next()).collect();
        let text = text.join(" ");
        assert!(text.contains(offered) && !text.contains(not_offered), "{line}: {text}");
    }
}

/// A zsh at a terminal of its own, in which the key is really pressed: the completion system
/// does not work elsewhere. What the key makes of a line with one answer is that answer.
#[test]
fn zsh_offers_commands_options_and_files() {
    let dir = work("completions-zsh");
    std::fs::copy(packaged("_flume-ng"), dir.path().join("_flume-ng")).unwrap();
    let lines: Vec<String> =
        ASKED.iter().map(|(line, offered, _)| format!("ask '{line}' '{offered}'")).collect();
    let script = format!("{ZSH}\n{}\nzpty -d z\nprint done\n", lines.join("\n"));
    let Some(text) = run("zsh", &["-f", "-c"], &script, &dir) else { return };
    assert_eq!(text, "done\n");
}

/// `ask LINE WORD` types the line and a tab, and waits for the word at most 20 seconds. A line of
/// output is told by its mark, which the terminal's echo does not have.
const ZSH: &str = r#"
zmodload zsh/zpty zsh/datetime
zpty z zsh -f -i
expect() {
  local seen= chunk end=$((EPOCHREALTIME + 20))
  until [[ $seen == *$1* ]]; do
    if ((EPOCHREALTIME > end)); then print -r -- "$2: no $1 in ${(q)seen}"; return 1; fi
    zpty -rt z chunk && seen+=$chunk || sleep 0.02
  done
}
zpty -w z "fpath=($PWD \$fpath); autoload -Uz compinit; compinit -u -d $PWD/dump; PS1='> '; print rea''dy"
expect ready start || exit 1
ask() { zpty -wn z "$1"$'\t'; expect "$2" "$1"; zpty -wn z $'\x15'; zpty -w z "print clea''red"; expect cleared "$1"; }
"#;
