use std::ffi::OsString;

use super::*;

fn parse_line(line: &str) -> Result<Command, UsageError> {
    parse(line.split_whitespace().map(OsString::from))
}

fn agent(line: &str) -> AgentArgs {
    match parse_line(line) {
        Ok(Command::Agent(args)) => args,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn every_form_of_name_and_file() {
    for line in [
        "agent --name a1 --conf-file F",
        "agent -n a1 -f F",
        "agent --name=a1 --conf-file=F",
        "agent -n=a1 -f=F",
        "agent -na1 -fF",
        "agent -name a1 -conf-file F",
        "agent -name=a1 -conf-file=F",
        "agent --n a1 --f F",
        "agent stray -n a1 words - -f F more",
        "agent -n a1 --name b1 -f F",
        "agent -c conf -n a1 -f F",
        "agent -f F --conf conf -n a1 -C x.jar --plugins-path p:q -Xmx512m",
        "agent --conf=conf -n a1 -f F --no-reload-conf",
        "agent -n -d a1 -f F",
        "agent -n a1 -f F -- --bogus",
        "agent -n \"a1\" -f F",
    ] {
        let args = agent(line);
        assert_eq!(
            (args.name.as_str(), args.conf_files.to_string()),
            ("a1", "F".to_string()),
            "{line}"
        );
    }
}

#[test]
fn flags_and_system_properties() {
    let args =
        agent("node -Dflume.root.logger=DEBUG,console -n a1 -Da -f F -d --no-reload-conf -Da=b=c");
    assert!(args.dry_run && args.said_node && !args.reload_conf);
    assert_eq!(args.system_property("a"), Some("b=c"));
    assert_eq!(args.log_level(), Ok(Some(Level::Debug)));
    let args = agent("agent -n a1 -f F -Dflume.root.logger=LOUD");
    assert!(!args.dry_run && args.reload_conf);
    assert_eq!(args.log_level(), Err("LOUD".to_string()));
    assert_eq!(agent("agent -n a1 -f F").log_level(), Ok(None));
}

#[test]
fn a_run_that_ends_by_itself() {
    let once = |timeout_s| Some(Once { timeout_s });
    assert_eq!(agent("agent -n a1 -f F").once, None);
    assert_eq!(agent("agent -n a1 -f F --once").once, once(None));
    assert_eq!(agent("agent --once --timeout 90 -n a1 -f F").once, once(Some(90)));
    assert_eq!(agent("agent --timeout=0 -n a1 -f F -once").once, once(Some(0)));
    let Ok(Command::Status(args)) = parse_line("status -n a1 -f F --wait 30") else {
        panic!("status takes --wait");
    };
    assert_eq!(args.wait_s, Some(30));
    let apart = UsageError::Apart { option: "wait", from: "watch" };
    assert_eq!(parse_line("status -n a1 -f F --wait 30 --watch"), Err(apart));
    // Commands that look at an agent take its command line as it is.
    assert!(parse_line("status -n a1 -f F --once --timeout 5").is_ok());
    let alone = UsageError::Alone { option: "timeout", with: "once" };
    assert_eq!(parse_line("agent -n a1 -f F --timeout 5"), Err(alone));
    let bad = |value: &str| UsageError::BadValue {
        option: "timeout",
        value: value.into(),
        want: "a number of seconds from 0 to 31622400",
    };
    for value in ["soon", "-1", "1.5", "99999999999"] {
        let line = format!("agent -n a1 -f F --once --timeout={value}");
        assert_eq!(parse_line(&line), Err(bad(value)));
    }
}

#[test]
fn refusals() {
    use UsageError::{
        MissingArgument, NoConfFile, NoName, ScriptArgument, UnknownCommand, UnrecognizedOption,
        ZooKeeper,
    };
    for (line, error) in [
        ("", UnknownCommand(String::new())),
        ("agnet -n a1", UnknownCommand("agnet".into())),
        ("avro-client", UnknownCommand("avro-client".into())),
        ("agent", NoName),
        ("agent -f F", NoName),
        ("agent -n a1", NoConfFile),
        ("agent --na a1 -f F", UnrecognizedOption("--na".into())),
        ("agent --bogus", UnrecognizedOption("--bogus".into())),
        ("agent -n a1 -f F -q", UnrecognizedOption("-q".into())),
        ("agent -conf conf", UnrecognizedOption("-conf".into())),
        ("agent -n", MissingArgument("n".into())),
        ("agent -n -f F", MissingArgument("n".into())),
        ("agent -n a1 --conf", ScriptArgument("--conf".into())),
        ("agent -n a1 -C", ScriptArgument("-C".into())),
        ("agent -n a1 -z host:2181", ZooKeeper("--zkConnString".into())),
        ("agent -n a1 -f F -p /flume", ZooKeeper("--zkBasePath".into())),
    ] {
        assert_eq!(parse_line(line), Err(error), "{line}");
    }
}

#[test]
fn several_files_come_in_their_order() {
    let line = "agent -n a1 -f F --conf-uri file:///G%20H -f I";
    let Ok(Command::Agent(args)) = parse_line(line) else { panic!("{line}") };
    assert_eq!(args.conf_files.to_string(), "F, /G H, I");
    let want = "a file: URI; fetch what http: or classpath: names, and give the file";
    let value = "http://h/a1.conf".to_string();
    let error = UsageError::BadValue { option: "conf-uri", value, want };
    assert_eq!(parse_line("agent -n a1 -u http://h/a1.conf"), Err(error));
}

#[test]
fn verify_takes_files_and_options_in_any_order() {
    let expected = VerifyArgs {
        name: "a1".into(),
        conf_files: "F".into(),
        system_properties: vec![("java.security.auth.login.config".into(), "J".into())],
        json: true,
        range_only: false,
        whole_topic: true,
        allow_gone: true,
        since: None,
        all_agents: false,
        memory_mib: 7,
        files: vec!["a.log".into(), "b.log".into(), "-x".into()],
    };
    let line = "verify a.log --name a1 -c conf --json -f F --whole-topic --allow-gone \
                -Djava.security.auth.login.config=J --memory 7 b.log -- -x";
    assert_eq!(parse_line(line), Ok(Command::Verify(expected)));
}

#[test]
fn verify_refuses() {
    for (line, error) in [
        ("verify", UsageError::NoName),
        ("verify -n a1", UsageError::NoConfFile),
        (
            "verify -n a1 -f F --memory 0",
            UsageError::BadValue {
                option: "memory",
                value: "0".into(),
                want: "a number of MiB from 1 to 1048576",
            },
        ),
        ("verify -n a1 -f F --memory", UsageError::MissingArgument("memory".into())),
        (
            "verify -n a1 -f F --no-reload-conf",
            UsageError::UnrecognizedOption("--no-reload-conf".into()),
        ),
        ("agent -n a1 -f F --json", UsageError::UnrecognizedOption("--json".into())),
    ] {
        assert_eq!(parse_line(line), Err(error), "{line}");
    }
}

#[test]
fn help_in_any_place() {
    for line in ["help", "--help", "agent -h", "agent -n a1 --help", "agent -help"] {
        assert_eq!(parse_line(line), Ok(Command::Help(None)), "{line}");
    }
    assert_eq!(parse_line("version -x"), Ok(Command::Version));
    assert!(matches!(parse_line("agent -n --bogus -f F"), Ok(Command::Agent(_))));
    assert_eq!(parse_line("verify -h"), Ok(Command::Help(Some("verify"))));
    assert_eq!(parse_line("help check"), Ok(Command::Help(Some("check"))));
    assert_eq!(parse_line("help agent"), Ok(Command::Help(Some("agent"))));
    assert_eq!(parse_line("generate -h"), Ok(Command::Help(Some("generate"))));
    assert_eq!(parse_line("help version"), Ok(Command::Help(None)));
    let unknown = Err(UsageError::UnknownCommand("chekc".into()));
    assert_eq!(parse_line("help chekc"), unknown);
}

#[test]
fn commands_beside_the_agent_take_its_command_line_and_their_own() {
    let line = "check -c conf -n a1 -f F -Xmx1g -Da=b --create-topic 3:2 --json";
    let Ok(Command::Check(args)) = parse_line(line) else { panic!() };
    assert_eq!(
        (args.agent.name.as_str(), args.create_topic, args.json),
        ("a1", Some((3, 2)), true)
    );
    assert!(!args.verbose);
    let Ok(Command::Check(args)) = parse_line("check -v -n a1 -f F") else { panic!() };
    assert!(args.verbose);
    let Ok(Command::Status(args)) = parse_line("status -na1 -fF --watch") else { panic!() };
    assert!(args.watch && !args.json && !args.prometheus);
    let line = "generate --dir D --pattern=010_yyyyMMddHH --lines 5 --rate 10 --torn";
    let Ok(Command::Generate(args)) = parse_line(line) else { panic!() };
    assert_eq!((args.lines, args.rate, args.size, args.torn), (Some(5), Some(10), 110, true));
    for (line, start) in [
        ("check -n a1 -f F --watch", "there is no option --watch"),
        ("status -n a1 -f F stray", "unexpected argument \"stray\""),
        ("verify -n a1 -f F --whole-topic --range-only", "--whole-topic and --range-only exclude"),
        ("check -n a1 -f F --create-topic 3", "--create-topic: \"3\" is not PARTITIONS"),
        ("generate --pattern x", "where to?"),
        ("generate --dir D", "which files?"),
        ("generate --dir D --pattern x --rate 0", "--rate: \"0\" is not"),
        ("generate --dir D --pattern x --size 99999999999999", "--size: \"99999999999999\" is not"),
        ("generate --dir D --pattern x --lines -1", "--lines: \"-1\" is not a number of lines"),
        ("generate --dir D --pattern x --lines", "option lines needs an argument"),
        ("--generate troff", "--generate: \"troff\" is not one of"),
    ] {
        let text = parse_line(line).unwrap_err().to_string();
        assert!(text.starts_with(start), "{line}: {text}");
    }
}

/// Each changed nothing, and nothing was said.
#[test]
fn words_and_system_properties_that_mean_nothing_are_known_to() {
    let line = "agent -n a1 stray -f F -Dflume.log.fmt=json -Dflume.monitoring.typ=http -Dflume.log.dir=x \
                -Dflume.monitoring.port=1 -Dmine=1 more";
    let args = agent(line);
    assert_eq!(args.stray, ["stray", "more"]);
    let told = args.misspelt_properties();
    let known = "known are -Dflume.log.format, -Dflume.log.dir, -Dflume.log.file";
    assert_eq!(told[0], ("flume.log.fmt", known.to_owned()));
    let meant = "did you mean -Dflume.monitoring.type?";
    assert_eq!(told[1], ("flume.monitoring.typ", meant.to_owned()));
    assert_eq!(told.len(), 2);
}

#[test]
fn every_document_names_every_command_and_option() {
    for name in ["man", "bash", "zsh", "fish"] {
        let text = documents::document(name).unwrap().replace("\\-", "-");
        for command in table::COMMANDS {
            assert!(text.contains(command.name), "{name}: {}", command.name);
        }
        for option in table::OPTIONS.iter().filter(|o| !o.help.is_empty()) {
            assert!(text.contains(option.long), "{name}: {}", option.long);
        }
    }
}

#[test]
fn usage_fits_a_screen() {
    let usage = usage();
    assert!(usage.lines().count() <= 24, "{}", usage.lines().count());
    assert!(usage.lines().all(|line| line.chars().count() <= 80), "{usage}");
    assert_eq!(version().lines().count(), 5);
    for command in table::COMMANDS.iter().filter(|c| c.bit != 0) {
        let usage = documents::command_usage(command);
        assert!(usage.lines().count() <= 24);
    }
}

#[test]
fn words_that_are_no_text() {
    use std::os::unix::ffi::OsStringExt;
    let word = OsString::from_vec(vec![b'x', 0xff]);
    assert!(matches!(parse(["agent".into(), word]), Err(UsageError::NotUtf8(_))));
}
