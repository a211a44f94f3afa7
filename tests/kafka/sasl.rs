//! Logins, at real brokers: by each mechanism, with right and wrong passwords, for a while only, under
//! load and over kills. Whatever happens, the topic holds each line once.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use flume_ng::channel::sasl::base64;

use crate::support::certificates::{Certificates, PASSWORD};
use crate::support::torture::{
    self, ARRIVE_MAX, Chance, Group, Growing, Tally, V010, V28, V39, V43, hazard, lines, times,
};
use crate::support::wire::{Body, Connection, Input};
use crate::support::{Agent, Cluster, Plan, TempDir, Topic, Work, spawn, wait_for};

const FILE: &str = "010_{H}.log";
const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";
const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";
const OAUTH: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";
const ARRIVES: Duration = Duration::from_secs(60);
const TOLD: Duration = Duration::from_secs(30);

/// Of a release of this version, with alice in it.
pub fn start(plan: Plan, version: &str) -> Cluster {
    let cluster = plan.logins().start();
    if version != V43 {
        let passwords =
            "SCRAM-SHA-256=[password=alice-secret],SCRAM-SHA-512=[password=alice-secret]";
        let alter = ["--alter", "--add-config", passwords];
        let whom = ["--entity-type", "users", "--entity-name", "alice"];
        cluster.tool("kafka.admin.ConfigCommand", &[alter.as_slice(), &whom].concat());
    }
    cluster
}

/// A configuration that logs in.
fn work(cluster: &Cluster, topic: &Topic, mechanism: &str, jaas: &str) -> Work {
    Work::new(topic)
        .set("a1.channels.c1.brokerList", cluster.logins())
        .set("a1.channels.c1.kafka.producer.security.protocol", "SASL_PLAINTEXT")
        .set("a1.channels.c1.kafka.producer.sasl.mechanism", mechanism)
        .set("a1.channels.c1.kafka.producer.sasl.jaas.config", jaas)
        .set("a1.sources.r1.retireGraceMs", 300)
}

fn by_password(module: &str, password: &str) -> String {
    format!("{module} required username=\"alice\" password=\"{password}\";")
}

fn delivers(cluster: &Cluster, mechanism: &str, jaas: &str) {
    let topic = cluster.fresh_topic("login", 2);
    let work = work(cluster, &topic, mechanism, jaas).file(FILE, &lines("a", 0, 500), 0);
    let mut agent = work.start();
    agent.expect_records(&topic, 500, ARRIVES);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let mut tally = Tally::row(Group::Sticks, &format!("a login by {mechanism}"), "-");
    tally.exact("one agent", &topic, &[("a", 500)], &agent);
    assert!(!agent.log().contains("alice-secret"), "{}", agent.log());
}

/// One try, and a word: more would lock the account.
fn is_refused(cluster: &Cluster, mechanism: &str, jaas: &str, why: &str) {
    let topic = cluster.fresh_topic("refused", 1);
    let work = work(cluster, &topic, mechanism, jaas).file(FILE, b"a 0\n", 0);
    let mut agent = work.start();
    wait_for_word(&mut agent, why);
    let log = agent.log();
    assert!(log.contains("Next try in 60000 milliseconds"), "{log}");
    assert!(!log.contains("wrong-secret"), "{log}");
    assert_eq!(topic.count(), 0);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
}

#[track_caller]
fn wait_for_word(agent: &mut Agent, word: &str) {
    let found = wait_for(TOLD, || agent.log().contains(word));
    assert!(found, "not told: {word}\n{}", agent.log());
}

fn passwords(cluster: &Cluster, version: &str) {
    let mechanisms = [("PLAIN", PLAIN), ("SCRAM-SHA-256", SCRAM), ("SCRAM-SHA-512", SCRAM)];
    for (mechanism, module) in mechanisms {
        delivers(cluster, mechanism, &by_password(module, "alice-secret"));
        let why = match version {
            V010 => format!("no login as alice by {mechanism}: the broker closed the connection"),
            _ => format!("no login as alice by {mechanism}: Authentication failed"),
        };
        is_refused(cluster, mechanism, &by_password(module, "wrong-secret"), &why);
    }
}

/// From 2.0 on.
fn passwords_and_an_unsigned_token(version: &str) {
    let _row = hazard(Group::Sticks, "right and wrong passwords, each mechanism", version);
    let cluster = start(Cluster::with(version), version);
    passwords(&cluster, version);
    let jaas = format!("{OAUTH} required unsecuredLoginStringClaim_sub=\"bob\";");
    delivers(&cluster, "OAUTHBEARER", &jaas);
}

#[test]
fn right_and_wrong_passwords_with_4_3_1() {
    passwords_and_an_unsigned_token(V43);
}

#[test]
#[ignore = "long: make torture"]
fn right_and_wrong_passwords_with_3_9_1() {
    passwords_and_an_unsigned_token(V39);
}

#[test]
#[ignore = "long: make torture"]
fn right_and_wrong_passwords_with_2_8_2() {
    passwords_and_an_unsigned_token(V28);
}

#[test]
#[ignore = "long: make torture"]
fn right_and_wrong_passwords_with_0_10_2_0() {
    let _row = hazard(Group::Sticks, "right and wrong passwords, each mechanism", V010);
    let cluster = start(Cluster::with(V010), V010);
    passwords(&cluster, V010);
}

/// Who gives tokens, and how many were asked for.
struct Giver {
    url: String,
    asked: Arc<AtomicU32>,
    /// OpenSSL's, where TLS is spoken.
    server: Option<std::process::Child>,
}

impl Giver {
    /// In the clear.
    fn start() -> Giver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/token", listener.local_addr().expect("its port"));
        let asked = Arc::new(AtomicU32::new(0));
        let counter = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = give(&stream, &stream, &counter);
            }
        });
        Giver { url, asked, server: None }
    }

    /// By TLS, as `openssl s_server` speaks it, one after the other.
    fn start_with_tls(certificates: &Certificates) -> Giver {
        let port = crate::monitor::free_port();
        let mut command = Command::new("openssl");
        command.args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}")]);
        command.arg("-cert").arg(certificates.path("giver.pem"));
        command.arg("-key").arg(certificates.path("giver.key"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = spawn(command).expect("openssl runs");
        let (from, to) =
            (server.stdout.take().expect("piped"), server.stdin.take().expect("piped"));
        let asked = Arc::new(AtomicU32::new(0));
        let counter = asked.clone();
        std::thread::spawn(move || {
            let (mut from, mut to) = (from, to);
            while give(&mut from, &mut to, &counter).is_ok() {}
        });
        let address = format!("127.0.0.1:{port}");
        assert!(wait_for(TOLD, || std::net::TcpStream::connect(&address).is_ok()));
        Giver { url: format!("https://{address}/token"), asked, server: Some(server) }
    }
}

impl Drop for Giver {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// Takes a request, and gives a token to who knows the secret.
fn give(mut from: impl Read, mut to: impl Write, asked: &AtomicU32) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"grant_type=client_credentials") {
        let mut some = [0; 4_096];
        match from.read(&mut some)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => request.extend_from_slice(&some[..count]),
        }
    }
    asked.fetch_add(1, Relaxed);
    let now = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_secs();
    let claims = format!(r#"{{"sub":"bob","iat":{now},"exp":{}}}"#, now + 5);
    let part = |text: &str| base64::encode_for_url(text.as_bytes());
    let token = format!("{}.{}.", part(r#"{"alg":"none"}"#), part(&claims));
    let body = format!(r#"{{"access_token":"{token}","expires_in":5}}"#);
    // i:s
    let is_right = request.windows(10).any(|ten| ten == b"Basic aTpz");
    let status = if is_right { "200 OK" } else { "401 Unauthorized" };
    let length = body.len();
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
    to.write_all(answer.as_bytes())?;
    to.flush()
}

/// The broker believes a login for as long as its token is good: five seconds. `options`: of the login.
fn tokens_that_end(giver: &Giver, options: &str) {
    let plan = Cluster::with(V43).set("connections.max.reauth.ms", 60_000);
    let cluster = start(plan, V43);
    let topic = cluster.fresh_topic("token", 2);
    let work = |secret: &str, options: &str| {
        let jaas = format!("{OAUTH} required clientId=\"i\" clientSecret=\"{secret}\"{options};");
        work(&cluster, &topic, "OAUTHBEARER", &jaas)
            .set("a1.channels.c1.kafka.producer.sasl.oauthbearer.token.endpoint.url", &giver.url)
            .file(FILE, &lines("a", 0, 500), 0)
    };
    let wrong = work("wrong-secret", options);
    let mut agent = wrong.start();
    wait_for_word(&mut agent, "it gives none (HTTP 401)");
    assert!(agent.log().contains("Next try in 60000 milliseconds"), "{}", agent.log());
    assert!(!agent.log().contains("wrong-secret"), "{}", agent.log());
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    if giver.server.is_some() {
        // Whom the system trusts, the authority of this test is not among them.
        let trusting = work("s", "");
        let mut agent = trusting.start();
        wait_for_word(&mut agent, "its certificate (CN=giver) was issued by CN=Authority");
        assert!(agent.log().contains("no token from 127.0.0.1:"), "{}", agent.log());
        assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    }
    let right = work("s", options);
    let mut agent = right.start();
    agent.expect_records(&topic, 500, ARRIVES);
    agent.expect("three tokens", ARRIVES, || giver.asked.load(Relaxed) >= 4);
    right.append(FILE, &lines("a", 500, 600));
    agent.expect_records(&topic, 600, ARRIVES);
    let log = agent.log();
    assert!(log.matches("Connected to").count() == 1 && !log.contains("in trouble"), "{log}");
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let mut tally = Tally::row(Group::Sticks, "a login by tokens that end", V43);
    tally.exact("one agent", &topic, &[("a", 600)], &agent);
}

#[test]
#[ignore = "long: make torture"]
fn a_token_is_asked_for_again_before_it_ends() {
    let _row = hazard(Group::Sticks, "tokens that end every 5 s", V43);
    tokens_that_end(&Giver::start(), "");
}

#[test]
#[ignore = "long: make torture"]
fn tokens_are_got_by_https() {
    let _row = hazard(Group::Sticks, "tokens that end every 5 s, by https", V43);
    let certificates = Certificates::new();
    certificates.issue("giver");
    let trust = certificates.path("ca.pem").display().to_string();
    let options = format!(" ssl.truststore.location=\"{trust}\"");
    tokens_that_end(&Giver::start_with_tls(&certificates), &options);
}

/// A login that is believed for five seconds, under load: each is made anew in time, and none costs a
/// recovery.
fn logins_end_under_load(version: &str, seconds: u64) {
    let mut tally = Tally::row(Group::Sticks, "logins that end every 5 s, under load", version);
    let plan = Cluster::with(version).set("connections.max.reauth.ms", 5_000);
    let cluster = start(plan, version);
    let topic = cluster.fresh_topic("renewed", 2);
    let jaas = by_password(SCRAM, "alice-secret");
    let work = work(&cluster, &topic, "SCRAM-SHA-512", &jaas);
    let growing = Growing::start(&work, FILE, "a", 0, 40);
    let mut agent = work.start();
    std::thread::sleep(Duration::from_secs(seconds));
    let written = growing.stop();
    agent.expect_records(&topic, written as usize, ARRIVE_MAX);
    // None of them has cost the connection.
    let log = agent.log();
    assert_eq!(log.matches("Connected to").count(), 1, "{log}");
    assert!(!log.contains("in trouble"), "{log}");
    // And one that nothing is sent on.
    std::thread::sleep(Duration::from_secs(seconds.min(12)));
    work.append(FILE, &lines("a", written, written + 10));
    agent.expect_records(&topic, written as usize + 10, ARRIVE_MAX);
    assert_eq!(agent.log().matches("Connected to").count(), 1, "{}", agent.log());
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    tally.exact("one agent", &topic, &[("a", written + 10)], &agent);
}

#[test]
fn a_login_that_ends_is_made_anew_in_time_with_4_3_1() {
    logins_end_under_load(V43, 12);
}

#[test]
#[ignore = "long: make torture"]
fn a_login_that_ends_is_made_anew_in_time_with_2_8_2() {
    logins_end_under_load(V28, 30);
}

#[test]
#[ignore = "long: make torture"]
fn a_login_that_ends_is_made_anew_in_time_with_3_9_1() {
    logins_end_under_load(V39, 30);
}

fn kills(version: &str, mechanism: &str, module: &str) {
    let what = format!("kill -9 of the agent, {mechanism}");
    let mut tally = Tally::new(&what, version);
    let mut plan = Cluster::with(version);
    if version != V010 {
        plan = plan.set("connections.max.reauth.ms", 5_000);
    }
    let cluster = start(plan, version);
    let topic = cluster.fresh_topic("kills", 2);
    let work = work(&cluster, &topic, mechanism, &by_password(module, "alice-secret"));
    let growing = Growing::start(&work, FILE, "a", 0, 40);
    let mut chance = Chance::new();
    const KILLS: u64 = 15;
    for _ in 0..times(KILLS) {
        let mut agent = work.start();
        std::thread::sleep(Duration::from_millis(chance.below(1_500)));
        agent.kill9();
    }
    let mut agent = work.start();
    let written = growing.stop();
    agent.expect_records(&topic, written as usize, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    tally.exact("15 kills", &topic, &[("a", written)], &agent);
    tally.add(times(KILLS) - 1, 0);
}

#[test]
#[ignore = "long: make torture"]
fn kill_9_behind_a_login() {
    kills(V43, "SCRAM-SHA-512", SCRAM);
    kills(V39, "SCRAM-SHA-512", SCRAM);
    kills(V28, "SCRAM-SHA-256", SCRAM);
    kills(V010, "PLAIN", PLAIN);
}

/// Logins over TLS: with a wrong password, under kills, made anew every 5 s; each line once.
fn logins_over_tls(version: &str) {
    let what = "logins over TLS, kill -9 of the agent, every login ends after 5 s";
    let mut tally = Tally::new(what, version);
    let certificates = Certificates::new();
    certificates.issue("broker");
    let mut plan = Cluster::with(version).listener("SASL_SSL");
    for (key, value) in certificates.of_broker("broker") {
        plan = plan.set(&key, value);
    }
    if version != V010 {
        let plain = format!("{PLAIN} required user_alice=\"alice-secret\";");
        plan = plan
            .set("connections.max.reauth.ms", 5_000)
            .set("listener.name.sasl_ssl.sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-512")
            .set("listener.name.sasl_ssl.plain.sasl.jaas.config", plain)
            .set(
                "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config",
                format!("{SCRAM} required;"),
            );
    }
    let cluster = start(plan, version);
    let topic = cluster.fresh_topic("over-tls", 2);
    let over_tls = |mechanism: &str, jaas: &str| {
        work(&cluster, &topic, mechanism, jaas)
            .set("a1.channels.c1.brokerList", cluster.listener("SASL_SSL"))
            .set("a1.channels.c1.kafka.producer.security.protocol", "SASL_SSL")
            .set(
                "a1.channels.c1.kafka.producer.ssl.truststore.location",
                certificates.path("ca.pem").display(),
            )
    };
    let wrong = over_tls("PLAIN", &by_password(PLAIN, "wrong-secret")).file(FILE, b"b 0\n", 0);
    let mut agent = wrong.start();
    wait_for_word(&mut agent, "no login as alice by PLAIN");
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    assert_eq!(topic.count(), 0);
    let work = over_tls("SCRAM-SHA-512", &by_password(SCRAM, "alice-secret"));
    let growing = Growing::start(&work, FILE, "a", 0, 40);
    let mut chance = Chance::new();
    const KILLS: u64 = 8;
    for _ in 0..times(KILLS) {
        let mut agent = work.start();
        std::thread::sleep(Duration::from_millis(chance.below(1_500)));
        agent.kill9();
    }
    let mut agent = work.start();
    std::thread::sleep(Duration::from_secs(12));
    let written = growing.stop();
    agent.expect_records(&topic, written as usize, ARRIVE_MAX);
    let log = agent.log();
    assert!(log.matches("Connected to").count() == 1 && !log.contains("in trouble"), "{log}");
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    tally.exact("8 kills", &topic, &[("a", written)], &agent);
    tally.add(times(KILLS) - 1, 0);
}

#[test]
#[ignore = "long: make torture"]
fn logins_over_tls_with_4_3_1_3_9_1_2_8_2_and_0_10_2_0() {
    [V43, V39, V28, V010].into_iter().for_each(logins_over_tls);
}

/// A configuration of Flume 1.11, but for its addresses, paths and name.
const OF_1_11: &str = r#"
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = TAILDIR
a1.sources.r1.positionFile = @SPOOL@/../state/pos.json
a1.sources.r1.filegroups = f1
a1.sources.r1.filegroups.f1 = @SPOOL@/.*log
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.sinks.k1.type = org.apache.flume.sink.kafka.KafkaSink
a1.sinks.k1.channel = c1
a1.sinks.k1.kafka.bootstrap.servers = @BROKERS@
a1.sinks.k1.kafka.topic = @TOPIC@
a1.sinks.k1.kafka.producer.security.protocol = SASL_SSL
a1.sinks.k1.kafka.producer.sasl.mechanism = SCRAM-SHA-512
"#;

/// It delivers; the password is told nowhere, and a wrong one of the trust store is an error that says so.
/// Then with the login in a file of its own, for the agent, `check` and `verify` alike.
#[test]
fn a_sink_of_flume_1_11_by_scram_over_tls() {
    let _row = hazard(Group::Sticks, "a Kafka sink of Flume 1.11 by SCRAM over TLS", V43);
    let certificates = Certificates::new();
    certificates.issue("broker");
    certificates.trust("truststore.jks", "JKS");
    let mut plan = Cluster::with(V43).listener("SASL_SSL");
    for (key, value) in certificates.of_broker("broker") {
        plan = plan.set(&key, value);
    }
    let listener = "listener.name.sasl_ssl";
    plan = plan
        .set(&format!("{listener}.sasl.enabled.mechanisms"), "SCRAM-SHA-512")
        .set(&format!("{listener}.scram-sha-512.sasl.jaas.config"), format!("{SCRAM} required;"));
    let cluster = start(plan, V43);
    let topic = cluster.fresh_topic("secured", 2);
    const P: &str = "a1.sinks.k1.kafka.producer";
    let login = by_password(SCRAM, "alice-secret");
    let secured = |store_password: &str| {
        Work::new(&topic)
            .conf(OF_1_11)
            .set("a1.sinks.k1.kafka.bootstrap.servers", cluster.listener("SASL_SSL"))
            .set(
                &format!("{P}.ssl.truststore.location"),
                certificates.path("truststore.jks").display(),
            )
            .set(&format!("{P}.ssl.truststore.password"), store_password)
    };
    let inside = |work: Work| work.set(&format!("{P}.sasl.jaas.config"), &login);
    let run = |work: &Work, command: &str, option: Option<&str>| {
        let mut program = work.program();
        program.args([command, "--name", "a1", "--conf-file"]).arg(work.write_conf());
        program.args(option);
        let output = program.output().expect("the program runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!said.contains("alice-secret") && !said.contains(PASSWORD), "{said}");
        (output.status.code(), said)
    };
    let wrong = inside(secured("wrong-one")).file("app.log", b"x\n", 0);
    let mut agent = wrong.start();
    wait_for_word(&mut agent, "truststore.jks: as JKS: its password is wrong, or it is damaged");
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let work = inside(secured(PASSWORD)).file("app.log", &lines("a", 0, 500), 0);
    let (code, said) = run(&work, "check", None);
    assert!(code != Some(78) && said.contains("SCRAM-SHA-512 as alice"), "{said}");
    let mut agent = work.start();
    agent.expect_records(&topic, 500, ARRIVES);
    agent.expect("all is known to be there", ARRIVES, || work.is_committed());
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let log = agent.log();
    assert!(!log.contains("alice-secret") && !log.contains(PASSWORD), "{log}");
    let written = lines("a", 0, 500);
    let mut written: Vec<&[u8]> = written.trim_ascii_end().split(|b| *b == b'\n').collect();
    let records = topic.all();
    let mut found: Vec<&[u8]> = records.iter().filter_map(|r| r.value.as_deref()).collect();
    written.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, written);
    // The login in a file.
    let outside = secured(PASSWORD).file("app.log", &lines("b", 0, 100), 0);
    let file = certificates.path("jaas.conf");
    std::fs::write(&file, format!("KafkaClient {{ {login} }};")).expect("a file");
    let option = format!("-Djava.security.auth.login.config={}", file.display());
    let (code, said) = run(&outside, "verify", None);
    assert_eq!(code, Some(78), "{said}");
    let mut command = outside.command();
    command.arg(&option);
    let mut agent = outside.start_command(command);
    agent.expect_records(&topic, 600, ARRIVES);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let (code, said) = run(&outside, "verify", Some(&option));
    assert!(code == Some(0) || code == Some(1), "{said}");
    assert!(said.contains("app.log") && !said.contains("no login"), "{said}");
}

/// What alice may do, or all that she may no more.
fn allow(topic: &Topic, operation: i8) {
    let mut body = Body::new();
    body.i32(1).i8(2).string(topic.name()).i8(3).string("User:alice").string("*");
    body.i8(operation).i8(3);
    let mut broker = Connection::open(topic.bootstrap()).expect("a connection");
    // CreateAcls.
    let answer = broker.call(30, 1, &body).expect("an answer");
    let mut input = Input(&answer);
    input.take(8);
    assert_eq!(input.i16(), 0);
}

#[test]
#[ignore = "long: make torture"]
fn check_names_who_has_logged_in_and_what_is_missing() {
    let _row = hazard(Group::Claims, "check: mechanism, principal, missing rights", V43);
    let plan = Cluster::with(V43)
        .set("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
        .set("super.users", "User:ANONYMOUS");
    let cluster = start(plan, V43);
    let topic = cluster.fresh_topic("rights", 1);
    let work = work(&cluster, &topic, "SCRAM-SHA-256", &by_password(SCRAM, "alice-secret"));
    work.write(FILE, &lines("a", 0, 100), 0);
    let conf = work.write_conf();
    let check = || {
        let mut command = work.program();
        command.args(["check", "--name", "a1", "--conf-file"]).arg(&conf);
        let output = command.output().expect("the program runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let says = |words: &str| {
        let mut told = String::new();
        // What was granted takes a moment to be known.
        let is_said = wait_for(TOLD, || {
            told = check();
            told.contains(words)
        });
        assert!(is_said, "not told: {words}\n{told}");
        assert!(!told.contains("alice-secret"), "{told}");
        told
    };
    let told = says("not even the first is granted to User:alice");
    assert!(told.contains("SCRAM-SHA-256 as alice"), "{told}");
    let mut agent = work.start();
    wait_for_word(&mut agent, "(to User:alice)");
    const READ: i8 = 3;
    const WRITE: i8 = 4;
    const DESCRIBE: i8 = 8;
    allow(&topic, DESCRIBE);
    says(&format!("missing for User:alice: Write and Read on topic {};", topic.name()));
    allow(&topic, WRITE);
    says(&format!("missing for User:alice: Read on topic {};", topic.name()));
    allow(&topic, READ);
    says("Describe, Write and Read are granted");
    agent.expect_records(&topic, 100, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
}

/// A KDC, where its programs are.
pub struct Kdc {
    dir: TempDir,
    child: std::process::Child,
}

impl Kdc {
    const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/kdc");

    pub fn start() -> Option<Kdc> {
        let dir = TempDir::new("kdc");
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
        let port = port.expect("a free port").port().to_string();
        let path = dir.path().to_str().expect("UTF-8");
        let output = Command::new(Kdc::SCRIPT).args(["prepare", path, &port]).output();
        let output = output.expect("tests/kafka/kdc runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() == Some(3) {
            println!("left out: {said}");
            return None;
        }
        assert!(output.status.success(), "{said}");
        let mut command = Command::new(Kdc::SCRIPT);
        command.args(["exec", path]).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::null());
        let child = spawn(command).expect("the KDC runs");
        let address = format!("127.0.0.1:{port}");
        let answers = wait_for(TOLD, || std::net::TcpStream::connect(&address).is_ok());
        assert!(answers, "the KDC does not answer");
        Some(Kdc { dir, child })
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }
}

impl Drop for Kdc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tickets_of_kerberos(version: &str) {
    let Some(kdc) = Kdc::start() else { return torture::forget_row() };
    let krb5 = "com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true";
    let jaas = |who: &str, principal: &str| {
        let keytab = kdc.path(who);
        format!("{krb5} keyTab=\"{keytab}\" principal=\"{principal}@FLUME.TEST\";")
    };
    let of_broker = jaas("kafka.keytab", "kafka/127.0.0.1");
    let option = format!("-Djava.security.krb5.conf={}", kdc.path("krb5.conf"));
    let mut plan = Cluster::with(version)
        .logins()
        .java(&option)
        .set("sasl.enabled.mechanisms", "GSSAPI")
        .set("sasl.kerberos.service.name", "kafka");
    if version == V010 {
        let path = kdc.path("jaas.conf");
        std::fs::write(&path, format!("KafkaServer {{ {of_broker} }};")).expect("a file");
        plan = plan.java(&format!("-Djava.security.auth.login.config={path}"));
    } else {
        plan = plan
            .set("listener.name.sasl_plaintext.gssapi.sasl.jaas.config", &of_broker)
            .set("connections.max.reauth.ms", 5_000);
    }
    let cluster = plan.start();
    let topic = cluster.fresh_topic("kerberos", 2);
    let work = |jaas: &str| {
        work(&cluster, &topic, "GSSAPI", jaas)
            .set("a1.channels.c1.kafka.producer.sasl.kerberos.service.name", "kafka")
            .file(FILE, &lines("a", 0, 500), 0)
    };
    // Nobody of that name has a key in it.
    let stranger = work(&jaas("alice.keytab", "bob"));
    let mut command = stranger.command();
    let mut agent = stranger.start_command({
        command.arg(&option);
        command
    });
    wait_for_word(&mut agent, "no ticket for kafka/127.0.0.1: ");
    assert!(agent.log().contains("Next try in 60000 milliseconds"), "{}", agent.log());
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    // Alice has one. Her login is made anew twice.
    let alice = work(&jaas("alice.keytab", "alice"));
    let mut command = alice.command();
    let mut agent = alice.start_command({
        command.arg(&option);
        command
    });
    agent.expect_records(&topic, 500, ARRIVES);
    std::thread::sleep(Duration::from_secs(10));
    alice.append(FILE, &lines("a", 500, 600));
    agent.expect_records(&topic, 600, ARRIVES);
    let log = agent.log();
    assert!(log.matches("Connected to").count() == 1 && !log.contains("in trouble"), "{log}");
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let mut tally = Tally::row(Group::Sticks, "a login by a ticket of Kerberos", version);
    tally.exact("one agent", &topic, &[("a", 600)], &agent);
}

#[test]
#[ignore = "long: make torture"]
fn tickets_of_kerberos_with_4_3_1() {
    let _row = hazard(Group::Sticks, "a login by GSSAPI, with and without a key", V43);
    tickets_of_kerberos(V43);
}

#[test]
#[ignore = "long: make torture"]
fn tickets_of_kerberos_with_0_10_2_0() {
    let _row = hazard(Group::Sticks, "a login by GSSAPI, with and without a key", V010);
    tickets_of_kerberos(V010);
}
