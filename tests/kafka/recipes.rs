//! The recipes of docs/security.md, as they stand there, at real brokers. What an operator puts in (a host, a
//! path, the name of a topic) is put in here as well; everything else is run to the letter.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use flume_ng::channel::sasl::base64;

use crate::sasl::{Kdc, start};
use crate::support::certificates::{Certificates, PASSWORD};
use crate::support::torture::{self, ARRIVE_MAX, Group, NONE, Tally, V28, V43, hazard, lines};
use crate::support::{Agent, Cluster, Topic, Work, wait_for};

const FILE: &str = "010_{H}.log";
const TOLD: Duration = Duration::from_secs(60);
/// What the recipes of the document log in as, and what a password is.
const SECRET: &str = "alice-secret";

/// Each recipe of the document, in its order: heading, language.
const RECIPES: [(&str, &str); 11] = [
    TRUST,
    TRUST_STORE,
    OWN_CERTIFICATE,
    OWN_STORE,
    LOGIN,
    TOKEN,
    TICKET,
    AWS,
    RIGHTS,
    NUMBERING,
    CREATION,
];
const TRUST: (&str, &str) = ("TLS", "properties");
const TRUST_STORE: (&str, &str) = ("TLS", "sh");
const OWN_CERTIFICATE: (&str, &str) = ("TLS 2", "properties");
const OWN_STORE: (&str, &str) = ("TLS 2", "sh");
const LOGIN: (&str, &str) = ("Logins", "properties");
const TOKEN: (&str, &str) = ("OAUTHBEARER", "properties");
const TICKET: (&str, &str) = ("GSSAPI (Kerberos)", "properties");
const AWS: (&str, &str) = ("AWS_MSK_IAM", "properties");
const RIGHTS: (&str, &str) = ("Rights", "sh");
const NUMBERING: (&str, &str) = ("Rights 2", "sh");
const CREATION: (&str, &str) = ("Rights 3", "sh");

/// What stands between fences: (heading and which of its kind below it, language), text.
fn blocks() -> Vec<((String, String), String)> {
    let text = include_str!("../../docs/security.md");
    let (mut heading, mut blocks) = ("", Vec::new());
    let mut rest = text.lines();
    while let Some(line) = rest.next() {
        if let Some(title) = line.strip_prefix('#') {
            heading = title.trim_start_matches('#').trim();
        }
        let Some(language) = line.strip_prefix("```") else { continue };
        let lines: Vec<&str> = rest.by_ref().take_while(|line| *line != "```").collect();
        let is_like = |((of, kind), _): &&((String, String), String)| {
            kind == language && (of == heading || of.starts_with(&format!("{heading} ")))
        };
        let name = match blocks.iter().filter(is_like).count() {
            0 => heading.to_string(),
            before => format!("{heading} {}", before + 1),
        };
        blocks.push(((name, language.to_string()), lines.join("\n")));
    }
    blocks
}

/// The recipe's text with these words put in for those of the document, each of which is there.
#[track_caller]
fn recipe((heading, language): (&str, &str), words: &[(&str, &str)]) -> String {
    let blocks = blocks();
    let found = blocks.iter().find(|((of, kind), _)| of == heading && kind == language);
    let (_, text) = found.unwrap_or_else(|| panic!("no recipe {heading} {language}"));
    words.iter().fold(text.clone(), |text, (of_document, of_ours)| {
        assert!(text.contains(of_document), "{heading}: no {of_document} in {text}");
        text.replace(of_document, of_ours)
    })
}

#[test]
fn every_recipe_of_the_document_is_run_by_a_test() {
    let found: Vec<(String, String)> = blocks().into_iter().map(|(name, _)| name).collect();
    let known = RECIPES.map(|(heading, language)| (heading.to_string(), language.to_string()));
    assert_eq!(found, known);
}

/// With the properties of a recipe.
fn with(work: Work, properties: &str) -> Work {
    properties.lines().fold(work, |work, line| {
        let (key, value) = line.split_once(" = ").expect("a property");
        work.set(key, value)
    })
}

fn work(topic: &Topic, properties: &str) -> Work {
    with(Work::new(topic).set("a1.sources.r1.retireGraceMs", 300), properties)
}

/// Runs commands in a directory; returns what they say.
#[track_caller]
fn run(commands: &str, dir: &Path, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new("sh");
    command.args(["-ec", commands]).current_dir(dir).envs(variables.iter().copied());
    let output = command.stdin(Stdio::null()).output().expect("sh runs");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{commands}: {said}");
    said
}

/// The program with some options; none of the secrets may be told.
struct Run<'a> {
    options: &'a [&'a str],
    secrets: &'a [&'a str],
}

impl Run<'_> {
    fn agent(&self, work: &Work) -> Agent {
        let mut command = work.command();
        command.args(self.options);
        work.start_command(command)
    }

    /// Exit code, and what was said.
    fn program(&self, work: &Work, name: &str) -> (Option<i32>, String) {
        let mut command = work.program();
        command.args([name, "--name", "a1", "--conf-file"]).arg(work.write_conf());
        let output = command.args(self.options).stdin(Stdio::null()).output().expect("it runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        self.keeps_secrets(&said);
        (output.status.code(), said)
    }

    #[track_caller]
    fn keeps_secrets(&self, said: &str) {
        assert!(!self.secrets.iter().any(|secret| said.contains(secret)), "{said}");
    }

    /// The agent delivers 100 more lines, of which there are `before`; `check` and `verify` find nothing.
    #[track_caller]
    fn delivers(&self, work: &Work, topic: &Topic, before: u64, tally: &mut Tally) {
        work.append(FILE, &lines("a", before, before + 100));
        let mut agent = self.agent(work);
        agent.expect_records(topic, before as usize + 100, ARRIVE_MAX);
        agent.expect("all is known to be there", ARRIVE_MAX, || work.is_committed());
        assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
        self.keeps_secrets(&agent.log());
        for name in ["check", "verify"] {
            let (code, said) = self.program(work, name);
            assert_eq!(code, Some(0), "{name}: {said}");
        }
        tally.exact("one agent", topic, &[("a", before + 100)], &agent);
    }
}

const PLAINLY: Run<'static> = Run { options: &[], secrets: &[SECRET] };

#[track_caller]
fn wait_for_word(agent: &Agent, word: &str) {
    let found = wait_for(TOLD, || agent.log().contains(word));
    assert!(found, "not told: {word}\n{}", agent.log());
}

#[test]
fn tls_with_and_without_a_certificate_of_its_own() {
    let mut tally = Tally::row(Group::Claims, "docs/security.md: TLS, as it stands there", V43);
    let certificates = Certificates::new();
    ["broker", "agent"].iter().for_each(|name| certificates.issue(name));
    let mut plan = Cluster::with(V43).listener("SSL");
    for (key, value) in certificates.of_broker("broker") {
        plan = plan.set(&key, value);
    }
    let cluster = plan.start();
    let brokers = cluster.listener("SSL");
    let path = |file: &str| certificates.path(file).display().to_string();
    let dir = certificates.path("");
    let (trust, own) = (path("trust.jks"), path("agent.p12"));

    let said = run(&recipe(TRUST_STORE, &[("h1:9093", &brokers)]), &dir, &[]);
    assert!(said.contains("CN=broker") || said.contains("CN = broker"), "{said}");
    let trusting =
        recipe(TRUST, &[("h1:9093,h2:9093", &brokers), ("/etc/flume-ng/trust.jks", &trust)]);
    let topic = cluster.fresh_topic("recipe-tls", 2);
    let run_1 = Run { options: &[], secrets: &["changeit", "of-the-key", PASSWORD] };
    let first = work(&topic, &trusting).variable("TRUST_PASSWORD", "changeit");
    run_1.delivers(&first, &topic, 0, &mut tally);

    // The stores of all channels, by the environment and by -D, which counts first.
    let brokers_only: Vec<&str> =
        trusting.lines().filter(|line| !line.contains("truststore")).collect();
    let of_all = |path: &str| {
        work(&topic, &brokers_only.join("\n"))
            .variable("FLUME_SSL_TRUSTSTORE_PATH", path)
            .variable("FLUME_SSL_TRUSTSTORE_PASSWORD", "changeit")
            .file(FILE, b"one\n", 0)
    };
    let option = format!("-Djavax.net.ssl.trustStore={trust}");
    let options = [&option[..], "-Djavax.net.ssl.trustStorePassword=changeit"];
    for (path, options) in [(&trust[..], &[][..]), ("/nowhere", &options)] {
        let (code, said) = Run { options, ..run_1 }.program(&of_all(path), "check");
        assert_eq!(code, Some(0), "{said}");
    }

    cluster.upgrade_with(V43, &[("ssl.client.auth", "required")]);
    let agent = run_1.agent(&first);
    wait_for_word(&agent, "it wants a certificate of ours, and there is none");
    drop(agent);
    run(&recipe(OWN_STORE, &[]), &dir, &[("KEY_PASSWORD", "of-the-key")]);
    let showing = recipe(OWN_CERTIFICATE, &[("/etc/flume-ng/agent.p12", &own)]);
    let showing = with(first, &showing).variable("KEY_PASSWORD", "of-the-key");
    run_1.delivers(&showing, &topic, 100, &mut tally);
}

/// A release, and whose rights are looked at by whom there.
struct Guarded {
    version: &'static str,
    authorizer: &'static str,
    /// It wants IdempotentWrite.
    numbers_apart: bool,
    /// `check` is told what is granted.
    tells: bool,
}

const GUARDED: [Guarded; 4] = [
    Guarded {
        version: V43,
        authorizer: "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        numbers_apart: false,
        tells: true,
    },
    Guarded {
        version: V28,
        authorizer: "kafka.security.authorizer.AclAuthorizer",
        numbers_apart: false,
        tells: true,
    },
    Guarded {
        version: "1.1.1",
        authorizer: "kafka.security.auth.SimpleAclAuthorizer",
        numbers_apart: true,
        tells: false,
    },
    Guarded {
        version: "0.11.0.3",
        authorizer: "kafka.security.auth.SimpleAclAuthorizer",
        numbers_apart: true,
        tells: false,
    },
];

/// A login by the recipe, at brokers that permit nobody anything; each right by its recipe, each taken away
/// again, and given back. Returns the brokers.
fn rights(guarded: &Guarded) -> Cluster {
    let Guarded { version, authorizer, numbers_apart, tells } = *guarded;
    let what = "docs/security.md: a login, and each right given and taken away";
    let mut tally = Tally::row(Group::Claims, what, version);
    let plan = Cluster::with(version)
        .set("authorizer.class.name", authorizer)
        .set("super.users", "User:ANONYMOUS");
    let cluster = start(plan, version);
    let topic = cluster.fresh_topic("recipe-rights", 1);
    let properties = recipe(LOGIN, &[("h1:9094,h2:9094", &cluster.logins())]);
    let work = work(&topic, &properties).variable("KAFKA_PASSWORD", SECRET);
    fs::write(work.dir().join("admin.properties"), "").expect("a new file");
    let (server, tool) =
        ("--bootstrap-server h1:9094 --command-config admin.properties", cluster.kafka_acls());
    let at = match version {
        V43 | V28 => {
            format!("--bootstrap-server {} --command-config admin.properties", cluster.bootstrap())
        }
        _ => format!("--authorizer-properties zookeeper.connect={}", cluster.zookeeper()),
    };
    let command = |name: (&str, &str), more: &[(&str, &str)]| {
        let words = [&[("kafka-acls", &tool[..]), (server, &at)], more].concat();
        recipe(name, &words)
    };
    let on_topic = [("--topic lines", &format!("--topic {}", topic.name())[..])];
    let grant = |name| match name {
        RIGHTS => run(&command(RIGHTS, &on_topic), work.dir(), &[]),
        name => run(&command(name, &[]), work.dir(), &[]),
    };
    let take_away = |name, operation: &str| {
        let others = ["Write", "Read"].into_iter().filter(|other| *other != operation);
        let others: Vec<String> = others.map(|other| format!("--operation {other} ")).collect();
        let removed = [("--add", "--remove --force")];
        let left_out = [(&others[0][..], "")];
        match name {
            RIGHTS => {
                run(&command(name, &[&on_topic[..], &removed, &left_out].concat()), work.dir(), &[])
            }
            _ => run(&command(name, &removed), work.dir(), &[]),
        };
    };
    let check = |words: &str| {
        let mut told = String::new();
        // What was granted takes a moment to be known.
        let is_said = wait_for(TOLD, || {
            told = PLAINLY.program(&work, "check").1;
            told.contains(words)
        });
        assert!(is_said, "not told: {words}\n{told}");
    };

    work.append(FILE, &lines("a", 0, 100));
    // Those before 1.0 do not say whether there is such a topic.
    let is_hidden = version == "0.11.0.3";
    check(match is_hidden {
        true => "of a topic that User:alice may not read, write or describe",
        false => "not even the first is granted to User:alice",
    });
    let mut agent = PLAINLY.agent(&work);
    wait_for_word(&agent, if is_hidden { topic.name() } else { "(to User:alice)" });
    grant(RIGHTS);
    if numbers_apart {
        check("IdempotentWrite on the cluster is missing for User:alice");
        wait_for_word(&agent, "allow the operation IdempotentWrite on the cluster");
        assert_eq!(topic.count(), 0);
        grant(NUMBERING);
    }
    agent.expect_records(&topic, 100, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    PLAINLY.delivers(&work, &topic, 100, &mut tally);

    // Read: nothing can be proven.
    take_away(RIGHTS, "Read");
    if tells {
        check(&format!("missing for User:alice: Read on topic {};", topic.name()));
    }
    let denied = wait_for(TOLD, || {
        let (code, said) = PLAINLY.program(&work, "verify");
        code != Some(0) && said.contains(&format!("Read on topic {}", topic.name()))
    });
    assert!(denied, "verify: {:?}", PLAINLY.program(&work, "verify"));
    grant(RIGHTS);

    // Write: nothing is sent, under the eyes of an agent.
    let mut agent = PLAINLY.agent(&work);
    work.append(FILE, &lines("a", 200, 300));
    agent.expect_records(&topic, 300, ARRIVE_MAX);
    take_away(RIGHTS, "Write");
    if tells {
        check(&format!("missing for User:alice: Write on topic {};", topic.name()));
    }
    let mut count = 300;
    let denied = wait_for(TOLD, || {
        // Until the broker knows of it, it takes lines.
        if topic.count() == count {
            work.append(FILE, &lines("a", count as u64, count as u64 + 1));
            count += 1;
        }
        agent.log().contains(&format!("Write on topic {}", topic.name()))
    });
    assert!(denied, "{}", agent.log());
    grant(RIGHTS);
    agent.expect_records(&topic, count, ARRIVE_MAX);

    if numbers_apart {
        take_away(NUMBERING, "");
        let told = agent.log().len();
        let denied = wait_for(TOLD, || {
            if topic.count() == count {
                work.append(FILE, &lines("a", count as u64, count as u64 + 1));
                count += 1;
            }
            agent.log()[told..].contains("IdempotentWrite on the cluster")
        });
        assert!(denied, "{}", agent.log());
        grant(NUMBERING);
        agent.expect_records(&topic, count, ARRIVE_MAX);
    }
    agent.expect("all is known to be there", ARRIVE_MAX, || work.is_committed());
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    tally.exact("each right", &topic, &[("a", count as u64)], &agent);
    cluster
}

#[test]
fn a_login_and_the_rights_that_it_needs_with_4_3_1() {
    let cluster = rights(&GUARDED[0]);
    the_right_to_make_the_topic(&cluster);
}

#[test]
#[ignore = "long: make torture"]
fn a_login_and_the_rights_that_it_needs_with_2_8_2() {
    rights(&GUARDED[1]);
}

#[test]
fn a_login_and_the_rights_that_it_needs_with_1_1_1() {
    rights(&GUARDED[2]);
}

#[test]
#[ignore = "long: make torture"]
fn a_login_and_the_rights_that_it_needs_with_0_11_0_3() {
    rights(&GUARDED[3]);
}

/// A topic that is not there, with the rights on its name, and then that to make it.
fn the_right_to_make_the_topic(cluster: &Cluster) {
    let mut tally = Tally::row(Group::Claims, "docs/security.md: the right to make the topic", V43);
    let topic = cluster.topic("made-by-alice");
    let properties = recipe(LOGIN, &[("h1:9094,h2:9094", &cluster.logins())]);
    let work = work(&topic, &properties).variable("KAFKA_PASSWORD", SECRET).file(
        FILE,
        &lines("a", 0, 100),
        0,
    );
    fs::write(work.dir().join("admin.properties"), "").expect("a new file");
    let tool = cluster.kafka_acls();
    let words = [("kafka-acls", &tool[..]), ("h1:9094", cluster.bootstrap())];
    let on_topic = [&words[..], &[("--topic lines", "--topic made-by-alice")]].concat();
    run(&recipe(RIGHTS, &on_topic), work.dir(), &[]);
    let mut agent = PLAINLY.agent(&work);
    wait_for_word(&agent, "Create");
    assert!(!topic.is_known());
    run(&recipe(CREATION, &words), work.dir(), &[]);
    agent.expect("the topic is made", ARRIVE_MAX, || topic.is_known());
    agent.expect_records(&topic, 100, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    tally.exact("one agent", &topic, &[("a", 100)], &agent);
}

#[test]
fn a_token_in_a_file() {
    let mut tally = Tally::row(Group::Claims, "docs/security.md: OAUTHBEARER by a file", V43);
    let cluster = start(Cluster::with(V43), V43);
    let topic = cluster.fresh_topic("recipe-token", 1);
    let dir = Certificates::new();
    let token = dir.path("token");
    let now = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_secs();
    let claims = format!(r#"{{"sub":"bob","iat":{now},"exp":{}}}"#, now + 3_600);
    let part = |text: &str| base64::encode_for_url(text.as_bytes());
    fs::write(&token, format!("{}.{}.\n", part(r#"{"alg":"none"}"#), part(&claims)))
        .expect("a file");
    let login = recipe(LOGIN, &[("h1:9094,h2:9094", &cluster.logins())]);
    let brokers: Vec<&str> = login.lines().take(2).collect();
    let path = token.display().to_string();
    let properties = recipe(TOKEN, &[("/run/flume-ng/token", &path)]);
    let work = with(work(&topic, &brokers.join("\n")), &properties);
    PLAINLY.delivers(&work, &topic, 0, &mut tally);
}

#[test]
#[ignore = "long: make torture"]
fn a_ticket_of_kerberos() {
    let mut tally = Tally::row(Group::Claims, "docs/security.md: GSSAPI by a keytab", V43);
    let Some(kdc) = Kdc::start() else {
        std::mem::forget(tally);
        return torture::forget_row();
    };
    let option = format!("-Djava.security.krb5.conf={}", kdc.path("krb5.conf"));
    let of_broker = format!(
        "com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true \
         keyTab=\"{}\" principal=\"kafka/127.0.0.1@FLUME.TEST\";",
        kdc.path("kafka.keytab")
    );
    let cluster = Cluster::with(V43)
        .logins()
        .java(&option)
        .set("sasl.enabled.mechanisms", "GSSAPI")
        .set("sasl.kerberos.service.name", "kafka")
        .set("listener.name.sasl_plaintext.gssapi.sasl.jaas.config", &of_broker)
        .start();
    let topic = cluster.fresh_topic("recipe-ticket", 1);
    let login = recipe(LOGIN, &[("h1:9094,h2:9094", &cluster.logins())]);
    let brokers: Vec<&str> = login.lines().take(2).collect();
    let keytab = kdc.path("alice.keytab");
    let words = [("/etc/flume-ng/alice.keytab", &keytab[..]), ("EXAMPLE.ORG", "FLUME.TEST")];
    let properties = recipe(TICKET, &words);
    let work = with(work(&topic, &brokers.join("\n")), &properties);
    Run { options: &[&option], ..PLAINLY }.delivers(&work, &topic, 0, &mut tally);
}

/// No such broker can run here: the configuration is taken.
#[test]
fn a_login_by_keys_of_aws_is_taken() {
    let _row = hazard(Group::Claims, "docs/security.md: AWS_MSK_IAM is taken", NONE);
    let topic = Topic::new("127.0.0.1:1", "recipe-aws");
    let login = recipe(LOGIN, &[("h1:9094,h2:9094", "127.0.0.1:1")]);
    let brokers: Vec<&str> = login.lines().take(2).collect();
    let work = with(work(&topic, &brokers.join("\n")), &recipe(AWS, &[]));
    let mut command = work.program();
    command.args(["agent", "--dryrun", "--name", "a1", "--conf-file"]).arg(work.write_conf());
    let output = command.output().expect("the program runs");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(!said.contains("ERROR"), "{said}");
}
