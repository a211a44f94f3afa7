//! Who logs in, by what is configured.

use super::super::diagnostics::{Diagnostics, Severity};
use super::super::{parse, setting};
use super::*;

const BASE: &str = "\
a1.sources = r1
a1.channels = c1
a1.sources.r1.type = spooltail
a1.sources.r1.spoolDir = /logs/
a1.sources.r1.channels = c1
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.kafka.bootstrap.servers = h1:9092
a1.channels.c1.kafka.producer.security.protocol = SASL_PLAINTEXT
";
const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";
const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";
const OAUTH: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";

/// The login of a text, or all that is said of it.
fn read_with(lines: &[&str], system: &[(String, String)]) -> Result<Login, String> {
    let lines: String =
        lines.iter().map(|line| format!("a1.channels.c1.kafka.producer.{line}\n")).collect();
    let text = format!("{BASE}{lines}");
    let found = Diagnostics::new("x.conf");
    match parse(text.as_bytes(), "a1", &setting(system), false, found) {
        Ok(mut loaded) => Ok(loaded.config.destinations.remove(0).security.login.unwrap()),
        Err(found) => {
            let errors = found.iter().filter(|d| d.severity == Severity::Error);
            Err(errors.map(|d| d.to_string()).collect::<Vec<_>>().join("\n"))
        }
    }
}

fn read(mechanism: &str, jaas: &str) -> Result<Login, String> {
    let jaas = format!("sasl.jaas.config = {jaas}");
    read_with(&[&format!("sasl.mechanism = {mechanism}"), &jaas], &[])
}

#[test]
fn names_and_passwords() {
    let (name, password) = ("alice".to_string(), Secret::new("pw"));
    let options = "required username=\"alice\" password=\"pw\";";
    let read = |mechanism, class| read(mechanism, &format!("{class} {options}"));
    assert_eq!(
        read("PLAIN", PLAIN),
        Ok(Login::Plain { name: name.clone(), password: password.clone() })
    );
    let login = Login::Scram256 { name: name.clone(), password: password.clone() };
    assert_eq!(read("scram-sha-256", SCRAM), Ok(login));
    let login = Login::Scram512 { name, password };
    assert_eq!(read("SCRAM-SHA-512", SCRAM), Ok(login.clone()));
    assert_eq!((login.mechanism(), login.principal()), ("SCRAM-SHA-512", Some("alice")));
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_without_the_password() {
    let cases = [
        (
            "PLAIN",
            format!("{SCRAM} required username=\"a\" password=\"hunter2\";"),
            "is not the module of PLAIN; write org.apache.kafka.common.security.plain.PlainLoginModule",
        ),
        ("PLAIN", format!("{PLAIN} required password=\"hunter2\";"), "username is missing"),
        ("PLAIN", format!("{PLAIN} required username=\"a\" password=\"\";"), "password is empty"),
        (
            "PLAIN",
            format!("{PLAIN} required username=\"a\" password=\"hunter2\""),
            "the semicolon behind the last option is missing",
        ),
        (
            "PLAIN",
            format!("{PLAIN} required username=\"a\" password=\"hunter2\\t\";"),
            "password holds a control character",
        ),
        (
            "SCRAM-SHA-256",
            format!("{SCRAM} required username=\"a\" password=\"hunter2\" tokenauth=true;"),
            "delegation tokens are not supported",
        ),
        (
            "SCRAM-SHA-1",
            format!("{SCRAM} required username=\"a\" password=\"hunter2\";"),
            "is not known; write one of GSSAPI, PLAIN",
        ),
        (
            "OAUTHBEARER",
            format!("{OAUTH} required;"),
            "no user is named; write unsecuredLoginStringClaim_sub",
        ),
    ];
    for (mechanism, jaas, expected) in cases {
        // A properties file takes one backslash away.
        let why = read(mechanism, &jaas.replace('\\', "\\\\")).unwrap_err();
        assert!(why.contains(expected), "{jaas}: {why}");
        assert!(why.contains("(x.conf line "), "{why}");
        assert!(!why.contains("hunter2"), "{why}");
    }
    let why = read_with(&["sasl.mechanism = PLAIN"], &[]).unwrap_err();
    assert!(why.contains("no login is configured"), "{why}");
}

#[test]
fn code_of_others_is_refused() {
    let jaas = format!("sasl.jaas.config = {PLAIN} required username=\"a\" password=\"b\";");
    let handler = "sasl.login.callback.handler.class = com.example.Vault";
    let why = read_with(&["sasl.mechanism = PLAIN", &jaas, handler], &[]).unwrap_err();
    assert!(why.contains("com.example.Vault is third-party Java code"), "{why}");
}

#[test]
fn a_file_of_java_is_read_where_the_property_is_missing() {
    let path = std::env::temp_dir().join(format!("flume-ng-jaas-{}", std::process::id()));
    let text = format!("KafkaClient {{\n {PLAIN} required username=a password=\"b\";\n}};\n");
    std::fs::write(&path, text).unwrap();
    let system = [(JAAS_FILE.to_string(), path.display().to_string())];
    let read = || read_with(&["sasl.mechanism = PLAIN"], &system);
    let login = Login::Plain { name: "a".to_string(), password: Secret::new("b") };
    assert_eq!(read(), Ok(login));
    std::fs::write(&path, "Client { A required; };").unwrap();
    assert!(read().unwrap_err().contains("has no section KafkaClient"));
    std::fs::write(&path, "KafkaClient {\n\n A needed; };").unwrap();
    assert!(read().unwrap_err().contains("line 3, character 4: the class needs the word"));
    std::fs::remove_file(&path).unwrap();
    assert!(read().unwrap_err().contains("cannot be read: "));
}

#[test]
fn tokens() {
    let jaas = format!(
        "{OAUTH} required unsecuredLoginStringClaim_sub=\"bob\" \
             unsecuredLoginNumberClaim_n=7 unsecuredLoginListClaim_scope=\",a,b\" \
             unsecuredLoginLifetimeSeconds=60 unsecuredLoginExtension_team=x;"
    );
    let login = read("OAUTHBEARER", &jaas).unwrap();
    assert_eq!(login.principal(), Some("bob"));
    let Login::OAuth { token: Token::Unsecured(claims), extensions } = login else { panic!() };
    assert_eq!(claims.numbers, [("n".to_string(), 7)]);
    assert_eq!(claims.lists[0].1, ["a", "b"]);
    assert_eq!(claims.lifetime_s, 60);
    assert_eq!(extensions, [("team".to_string(), "x".to_string())]);
    let file = |url: &str| {
        let url = format!("sasl.oauthbearer.token.endpoint.url = {url}");
        let jaas = format!("sasl.jaas.config = {OAUTH} required;");
        read_with(&["sasl.mechanism = OAUTHBEARER", &jaas, &url], &[])
    };
    for url in ["file:///run/token", "file:/run/token"] {
        let token = Token::File("/run/token".into());
        assert_eq!(file(url), Ok(Login::OAuth { token, extensions: Vec::new() }));
    }
    assert!(file("ftp://h/").unwrap_err().contains("file:///PATH"));
    assert!(file("http://h/").unwrap_err().contains("the secret would be sent unencrypted"));
    assert!(file("http://localhost/").unwrap_err().contains("clientId is missing"));
    let given = |url: &str| {
        let url = format!("sasl.oauthbearer.token.endpoint.url = {url}");
        let jaas = format!("sasl.jaas.config = {OAUTH} required clientId=i clientSecret=s;");
        match read_with(&["sasl.mechanism = OAUTHBEARER", &jaas, &url], &[]) {
            Ok(Login::OAuth { token: Token::Endpoint(e), .. }) => {
                Ok(format!("{} {} {} {}", e.is_encrypted, e.host, e.port, e.path))
            }
            other => Err(format!("{other:?}")),
        }
    };
    for (url, meant) in [
        ("https://id.example/a/b?c=d", "true id.example 443 /a/b?c=d"),
        ("https://id.example:8443", "true id.example 8443 /"),
        ("http://[::1]:81/t", "false ::1 81 /t"),
    ] {
        assert_eq!(given(url).as_deref(), Ok(meant));
    }
    for wrong in ["https://", "https://:1/", "https://h:x/", "https://u@h/", "https://h/a b"] {
        assert!(given(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn nobody_logs_in_in_the_clear_unless_told_so() {
    let text = format!(
        "{}a1.channels.c1.kafka.producer.sasl.mechanism = PLAIN\n",
        BASE.replace("SASL_PLAINTEXT", "PLAINTEXT")
    );
    let found = Diagnostics::new("x.conf");
    let loaded = parse(text.as_bytes(), "a1", &setting(&[]), false, found).unwrap();
    assert_eq!(loaded.config.destinations[0].security.login, None);
    let told = loaded.findings.iter().any(|d| d.to_string().contains("there is no login, since"));
    assert!(told, "{:?}", loaded.findings);
}
