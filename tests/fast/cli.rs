//! The command line of the binary: forms, texts and exit codes.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_flume-ng")).args(args).output().unwrap()
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

fn reference() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/log010.conf");
    path.to_str().unwrap().to_string()
}

#[test]
fn help_and_version_go_to_stdout_with_0() {
    for args in [&["help"][..], &["agent", "-h"], &["agent", "-n", "a1", "--help"]] {
        let output = run(args);
        let (stdout, stderr) = texts(&output);
        assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{args:?}");
        assert!(stdout.starts_with("Usage: flume-ng <command> [options]"), "{stdout}");
        assert!(stdout.lines().count() <= 24);
    }
    let (stdout, _) = texts(&run(&["version"]));
    let starts: Vec<&str> = stdout.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(starts, ["Flume", "Source", "Revision:", "Compiled", "From"]);
    assert!(stdout.starts_with("Flume 1.6.0 compatible"), "{stdout}");
}

#[test]
fn an_unknown_command_is_told_with_the_usage() {
    for (args, word, hint) in [
        (&[][..], "", ""),
        (&["help", "statsu"], "statsu", "flume-ng: did you mean status?\n"),
        (&["statsu"], "statsu", "flume-ng: did you mean status?\n"),
        (&["avro-client", "-H", "x"], "avro-client", ""),
    ] {
        let output = run(args);
        let (stdout, stderr) = texts(&output);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(stderr, format!("Error: Unknown or unspecified command '{word}'\n{hint}"));
        assert!(stdout.starts_with("\nUsage: flume-ng"), "{stdout}");
    }
}

/// Start-up errors that have words in Flume have them here: its two lines and one with the way out.
#[test]
fn usage_errors_have_flumes_words_and_code_2() {
    for (args, exception, way_out) in [
        (
            &["agent"][..],
            "org.apache.commons.cli.MissingOptionException: Missing required option: n",
            "give --name",
        ),
        (
            &["agent", "-f", "x"],
            "org.apache.commons.cli.MissingOptionException: Missing required option: n",
            "give --name",
        ),
        (
            &["agent", "--bogus", "-n", "a1"],
            "org.apache.commons.cli.UnrecognizedOptionException: Unrecognized option: --bogus",
            "see flume-ng help",
        ),
        (
            &["agent", "--na", "a1"],
            "org.apache.commons.cli.UnrecognizedOptionException: Unrecognized option: --na",
            "not abbreviated",
        ),
        (
            &["agent", "-n"],
            "org.apache.commons.cli.MissingArgumentException: Missing argument for option: n",
            "needs an argument",
        ),
    ] {
        let output = run(args);
        let (stdout, stderr) = texts(&output);
        assert_eq!((output.status.code(), stdout.as_str()), (Some(2), ""), "{args:?}");
        let lines: Vec<&str> = stderr.lines().collect();
        assert_eq!(lines.len(), 3, "{stderr}");
        let fatal =
            " ERROR node.Application: A fatal error occurred while running. Exception follows.";
        assert!(lines[0].ends_with(fatal), "{stderr}");
        assert_eq!(lines[1], exception);
        assert!(lines[2].starts_with("flume-ng: ") && lines[2].contains(way_out), "{stderr}");
    }
}

/// Flume has no such command, or says nothing there that a script could look for.
#[test]
fn our_own_commands_speak_no_java() {
    for (args, text) in [
        (&["check", "-n", "a1"][..], "flume-ng: which configuration? give --conf-file "),
        (&["status"], "flume-ng: which agent? give --name "),
        (&["agent", "-n", "a1"], "flume-ng: which configuration? give --conf-file "),
        (&["check", "--jsn"], "--jsn; did you mean --json? See flume-ng help check\n"),
        (&["verify", "--bogus"], "there is no option --bogus; see flume-ng help verify\n"),
        (&["status", "-v"], "there is no option -v; see flume-ng help status\n"),
        (&["verify", "--whole"], "options are not abbreviated, see flume-ng help verify\n"),
        (&["status", "a1"], "unexpected argument \"a1\"; see flume-ng help status\n"),
    ] {
        let output = run(args);
        let (stdout, stderr) = texts(&output);
        assert_eq!((output.status.code(), stdout.as_str()), (Some(2), ""), "{args:?}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(text), "{stderr}");
    }
}

/// The configuration is right, and to change it mends nothing.
#[test]
fn a_source_that_the_agent_does_not_have_is_a_wrong_command_line() {
    let output = run(&["letters", "-n", "a1", "-f", &reference(), "--source", "r2"]);
    assert_eq!(texts(&output).1, "flume-ng: agent a1 has no source r2, but r1\n");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn what_is_refused_says_why() {
    for (args, text) in [
        (&["agent", "--conf"][..], "Error: Option --conf requires an argument\n"),
        (&["agent", "-n", "a1", "-C"], "Error: Option -C requires an argument\n"),
        (
            &["agent", "-n", "a1", "-z", "h:2181"],
            "flume-ng: --zkConnString: a configuration in ZooKeeper is not supported; save it to a file and give --conf-file\n",
        ),
        (
            &["agent", "-n", "a1", "-p", "/f"],
            "flume-ng: --zkBasePath: a configuration in ZooKeeper is not supported; save it to a file and give --conf-file\n",
        ),
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(texts(&output).1, text, "{args:?}");
    }
}

#[test]
fn every_form_reaches_the_configuration() {
    let file = reference();
    let joined = [format!("--conf-file={file}"), format!("-f={file}"), format!("-f{file}")];
    let [long, short, stuck] = joined.each_ref().map(String::as_str);
    for args in [
        &["--conf", "conf", "--conf-file", &file, "--name", "a1", "--dryrun"][..],
        &["-c", "conf", "-f", &file, "-n", "a1", "-d"],
        &["-d", "--name=a1", long],
        &["-d", "-n=a1", short, "-Dflume.root.logger=INFO,console"],
        &["-d", "-na1", stuck, "-Xmx512m", "-C", "x.jar", "--plugins-path", "p"],
        &["-d", "-name", "a1", "-conf-file", &file, "--no-reload-conf"],
        &["stray", "-d", "-n", "a1", "words", "-n", "b1", "-f", &file],
    ] {
        let mut all = vec!["agent"];
        all.extend(args);
        let output = run(&all);
        let (stdout, stderr) = texts(&output);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {stderr}");
        assert!(stdout.starts_with("a1\n"), "{stdout}");
        assert!(stderr.contains("Reloading configuration file:"), "{stderr}");
    }
}

/// A dry run is there to find slips: these were told by a start alone, or by nothing.
#[test]
fn what_means_nothing_on_the_command_line_is_told_by_a_dry_run() {
    let file = reference();
    let slips =
        ["-Dflume.log.fmt=json", "-Dflume.monitoring.typ=http", "-Dflume.monitoring.type=htpp"];
    let output =
        run(&[&["agent", "extra", "-d", "-n", "a1", "-f", &file][..], &slips[..]].concat());
    let (_, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    for text in [
        "\"extra\" belongs to no option, ignored\n",
        "-Dflume.log.fmt is not known here, ignored; known are -Dflume.log.format, ",
        "-Dflume.monitoring.typ is not known here, ignored; did you mean -Dflume.monitoring.type?\n",
        "-Dflume.monitoring.type=htpp is not supported, http is; ",
    ] {
        assert!(stderr.contains(text), "{text}: {stderr}");
    }
}

#[test]
fn the_log_level_is_honoured() {
    let file = reference();
    for (level, lines) in [("WARN,console", false), ("off", false), ("DEBUG,LOGFILE", true)] {
        let define = format!("-Dflume.root.logger={level}");
        let output = run(&["agent", "-d", "-n", "a1", "-f", &file, &define]);
        assert_eq!(!output.stderr.is_empty(), lines, "{level}");
    }
    let output = run(&["agent", "-d", "-n", "a1", "-f", &file, "-Dflume.root.logger=LOUD"]);
    assert!(texts(&output).1.contains("\"LOUD\" is not a level; INFO is used"));
}

#[test]
fn node_is_agent_with_a_warning() {
    let output = run(&["node", "-d", "-n", "a1", "-f", &reference()]);
    let warning = "Warning: The \"node\" command is deprecated. Please use \"agent\" instead.\n";
    assert!(texts(&output).1.contains(warning));
    assert_eq!(output.status.code(), Some(0));
}

/// A closed stderr or stdout, or a reader that has gone away, is no reason to panic.
#[test]
fn closed_outputs_do_no_harm() {
    let program = env!("CARGO_BIN_EXE_flume-ng");
    let mut shell =
        Command::new("sh").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let script = format!(
        "{program} agent -d -n a1 -f {file} 2>&- >/dev/null; echo $?\n\
         {program} agent -d -n a1 -f {file} >&- 2>/dev/null; echo $?\n\
         {program} help | true; echo $?\n",
        file = reference()
    );
    shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n0\n0\n");
}

/// The man page and the completions in packaging/ are what the table of options says. To write
/// them anew: `make documents`.
#[test]
fn the_documentation_of_the_options_is_that_of_the_table() {
    for (name, path) in [
        ("man", "man/flume-ng.1"),
        ("bash", "completions/flume-ng.bash"),
        ("zsh", "completions/_flume-ng"),
        ("fish", "completions/flume-ng.fish"),
    ] {
        let (made, stderr) = texts(&run(&["--generate", name]));
        assert_eq!(stderr, "");
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("packaging").join(path);
        if std::env::var_os("FLUME_NG_WRITE_DOCS").is_some() {
            std::fs::write(&path, made).unwrap();
        } else {
            let kept = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(kept == made, "{} is out of date: make documents", path.display());
        }
    }
}

#[test]
fn each_command_has_its_help() {
    let (agent, _) = texts(&run(&["help", "agent"]));
    assert!(agent.contains("-Dflume.monitoring.port=PORT"), "{agent}");
    assert!(agent.lines().all(|line| line.len() <= 80), "{agent}");
    for command in ["check", "status", "generate", "verify", "letters"] {
        let (by_help, _) = texts(&run(&["help", command]));
        assert!(by_help.lines().all(|line| line.len() <= 80), "{by_help}");
        let output = run(&[command, "--help"]);
        assert_eq!((output.status.code(), texts(&output).0), (Some(0), by_help.clone()));
        assert!(by_help.starts_with(&format!("Usage: flume-ng {command} ")), "{by_help}");
        assert!(by_help.lines().count() <= 24);
    }
}
