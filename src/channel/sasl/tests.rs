use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::cluster::Leader;
use super::super::finish::{Waits, finish};
use super::super::greet::{Greeting, Spoken, greet};
use super::super::lane::Lane;
use super::*;
use crate::config::sasl::{Claims, Endpoint, Tickets, Token};
use crate::config::secret::Secret;
use crate::config::security;
use crate::log;
use crate::os::{self, Interest};
use kafka_protocol::messages::MetadataRequest;

fn client(login: Login) -> Client {
    let protocol = security::Protocol::SaslPlaintext;
    let config = security::Security { protocol, login: Some(login), tls: None };
    Client { id: "c".to_string(), security: Some(Rc::new(Security::new(config))) }
}

fn plain() -> Login {
    Login::Plain { name: "alice".to_string(), password: Secret::new("secret") }
}

/// What a broker says it speaks: keys and their highest versions.
const MODERN: &[(u8, u8)] = &[(3, 5), (17, 1), (36, 1)];
const MIDDLE: &[(u8, u8)] = &[(3, 2), (17, 0)];

/// A broker that answers each request or token by what comes next; the first is that for its versions.
fn broker(speaks: &'static [(u8, u8)], answers: Vec<Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let request = take(&mut stream);
        let mut versions = [&request[4..8], &[0, 0, 0, 0, 0, speaks.len() as u8]].concat();
        for (key, highest) in speaks {
            versions.extend_from_slice(&[0, *key, 0, 0, 0, *highest]);
        }
        put(&mut stream, &versions);
        for (at, answer) in answers.into_iter().enumerate() {
            let request = take(&mut stream);
            // What follows the handshake of the older brokers has no head.
            let is_bare = speaks == MIDDLE && at > 0;
            let head = if is_bare { &[][..] } else { &request[4..8] };
            put(&mut stream, &[head, &answer].concat());
        }
    });
    address
}

fn take(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).unwrap();
    frame
}

fn put(stream: &mut TcpStream, frame: &[u8]) {
    stream.write_all(&(frame.len() as u32).to_be_bytes()).unwrap();
    stream.write_all(frame).unwrap();
}

/// Of a handshake: an error, and the mechanisms that are taken.
fn handshake(error: u8, mechanisms: &[&str]) -> Vec<u8> {
    let mut answer = vec![0, error, 0, 0, 0, mechanisms.len() as u8];
    for name in mechanisms {
        protocol::put_string(&mut answer, name);
    }
    answer
}

/// Of a token: an error with its words, a token, and for how long we are believed.
fn told(error: u8, words: &str, token: &[u8], lifetime_ms: i64) -> Vec<u8> {
    let mut answer = vec![0, error];
    protocol::put_string(&mut answer, words);
    answer.extend_from_slice(&(token.len() as i32).to_be_bytes());
    answer.extend_from_slice(token);
    answer.extend_from_slice(&lifetime_ms.to_be_bytes());
    answer
}

fn log_in(login: Login, address: &str) -> Result<Connection, Fault> {
    let deadline = Instant::now() + Duration::from_secs(20);
    let (connection, spoken) = greet(address, "t", &client(login), deadline)?;
    assert!(matches!(spoken, Spoken::Versions(_)));
    Ok(connection)
}

#[test]
fn a_login_is_believed_for_as_long_as_the_broker_says() {
    for (lifetime_ms, ends) in
        [(0, false), (-5, false), (900, true), (5_000, true), (i64::MAX, true)]
    {
        let answers = vec![handshake(0, &["PLAIN"]), told(0, "", b"", lifetime_ms)];
        let begun = Instant::now();
        let connection = log_in(plain(), &broker(MODERN, answers)).unwrap();
        assert_eq!(connection.session().is_some(), ends, "{lifetime_ms}");
        let is_due = |ms| {
            let session = connection.session().unwrap();
            session.is_due(Instant::now() + Duration::from_millis(ms))
        };
        if lifetime_ms == 900 {
            // No broker takes a second one within a second.
            let session = connection.session().unwrap();
            assert!(!session.is_due(begun + Duration::from_millis(1_000)) && is_due(1_300));
        }
        if lifetime_ms == 5_000 {
            assert!(!is_due(0) && is_due(4_000));
        }
    }
}

#[test]
fn brokers_before_1_0_take_tokens_without_requests_around_them() {
    let answers = vec![handshake(0, &["PLAIN"]), Vec::new()];
    assert!(log_in(plain(), &broker(MIDDLE, answers)).unwrap().session().is_none());
    // They close the connection on a wrong password. So does one that is just going down: that costs
    // one more try, and not a minute.
    let address = broker(MIDDLE, vec![handshake(0, &["PLAIN"])]);
    let Err(Fault::Lost(why)) = log_in(plain(), &address) else { panic!() };
    assert!(why.ends_with("in the middle of the login; it is tried once more"), "{why}");
    let address = broker(MIDDLE, vec![handshake(0, &["PLAIN"])]);
    let Err(Fault::LoginRefused(why)) = log_in(plain(), &address) else { panic!() };
    let start = format!("{address}: no login as alice by PLAIN: the broker closed the connection");
    assert!(why.starts_with(&start), "{why}");
}

#[test]
fn a_refused_login_says_who_where_and_why() {
    let refused = |answers| match log_in(plain(), &broker(MODERN, answers)) {
        Err(Fault::LoginRefused(why)) => why,
        other => panic!("{:?}", other.map(drop)),
    };
    let why = refused(vec![
        handshake(0, &["PLAIN"]),
        told(58, "Authentication failed: Invalid\x1b username", b"", 0),
    ]);
    assert!(
        why.ends_with(
            ": no login as alice by PLAIN: Authentication failed: Invalid? username (error 58)"
        ),
        "{why}"
    );
    let why = refused(vec![handshake(33, &["SCRAM-SHA-256", "GSSAPI"])]);
    assert!(
        why.contains("accepts no logins by PLAIN (error 33); it accepts SCRAM-SHA-256, GSSAPI"),
        "{why}"
    );
    assert!(refused(vec![handshake(34, &[])]).contains("wants no login here (error 34)"));
    assert!(!format!("{:?}", client(plain())).contains("secret"));
}

#[test]
fn a_token_that_is_refused_is_told_by_the_brokers_first_word() {
    let claims = Claims {
        texts: vec![("sub".to_string(), "alice".to_string())],
        lifetime_s: 60,
        principal_claim: "sub".to_string(),
        ..Claims::default()
    };
    let login = Login::OAuth { token: Token::Unsecured(claims), extensions: Vec::new() };
    let answers = vec![
        handshake(0, &["OAUTHBEARER"]),
        told(0, "", br#"{"status":"invalid_token"}"#, 0),
        told(58, "Authentication failed", b"", 0),
    ];
    let Err(Fault::LoginRefused(why)) = log_in(login, &broker(MODERN, answers)) else { panic!() };
    assert!(why.ends_with("refuses the token: invalid_token (error 58)"), "{why}");
}

#[test]
fn answers_that_are_none_end_the_login_without_a_refusal() {
    let garbage: [Vec<u8>; 6] = [
        vec![],
        vec![0],
        vec![0, 0, 0x7f, 0xff, 0xff, 0xff],
        vec![0, 0, 0, 0, 0, 1, 0, 9, b'P'],
        vec![0, 99, 0, 0, 0, 0],
        vec![0xff; 30],
    ];
    for answer in garbage {
        let fault = log_in(plain(), &broker(MODERN, vec![answer.clone()])).map(drop).unwrap_err();
        assert!(matches!(fault, Fault::Lost(_)), "{answer:?}: {fault:?}");
        let answers = vec![handshake(0, &["PLAIN"]), answer.clone()];
        let fault = log_in(plain(), &broker(MODERN, answers)).map(drop).unwrap_err();
        assert!(matches!(fault, Fault::Lost(_)), "{answer:?}: {fault:?}");
    }
}

/// A broker that asks for one token after the other.
#[test]
fn an_exchange_has_an_end() {
    let login = Login::Scram256 { name: "u".to_string(), password: Secret::new("p") };
    let mut answers = vec![handshake(0, &["SCRAM-SHA-256"])];
    answers.extend((0..3).map(|_| told(0, "", b"r=x,s=eA==,i=4096", 0)));
    let fault = log_in(login, &broker(MODERN, answers)).map(drop).unwrap_err();
    assert!(matches!(fault, Fault::LoginRefused(_)), "{fault:?}");
}

#[test]
fn a_login_is_made_anew_on_the_same_connection() {
    let answers = vec![
        handshake(0, &["PLAIN"]),
        told(0, "", b"", 1_000),
        handshake(0, &["PLAIN"]),
        told(0, "", b"", 2_000),
    ];
    let address = broker(MODERN, answers);
    let deadline = Instant::now() + Duration::from_secs(20);
    let (mut connection, spoken) = greet(&address, "t", &client(plain()), deadline).unwrap();
    let first = connection.session().unwrap().clone();
    let mut login = first.renew(deadline).unwrap();
    let versions = spoken.versions().unwrap();
    finish(&mut connection, |connection| login.step(connection, versions)).unwrap();
    assert!(connection.session().unwrap().due_at() > first.due_at());
}

/// Where a server of tokens listens, and the login by one of them.
fn endpoint() -> (TcpListener, Login) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint {
        is_encrypted: false,
        host: "127.0.0.1".to_string(),
        port: listener.local_addr().unwrap().port(),
        path: "/".to_string(),
        client_id: "alice".to_string(),
        secret: Secret::new("secret"),
        scope: None,
        trust: None,
    };
    (listener, Login::OAuth { token: Token::Endpoint(endpoint), extensions: Vec::new() })
}

/// Gives one token after the other, each for an hour; how many.
fn give_tokens(listener: TcpListener) -> Arc<AtomicUsize> {
    give_tokens_after(0, listener)
}

/// It has too much to do when it is asked first, so many times.
fn give_tokens_after(busy: usize, listener: TcpListener) -> Arc<AtomicUsize> {
    let given = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&given);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let mut end = 0;
            while !request[..end].ends_with(b"grant_type=client_credentials") {
                end += stream.read(&mut request[end..]).unwrap();
            }
            let number = count.fetch_add(1, Ordering::SeqCst);
            if number < busy {
                stream.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").unwrap();
                continue;
            }
            let body = format!(r#"{{"access_token":"token-{number}","expires_in":3600}}"#);
            let length = body.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    given
}

/// Whoever gives the tokens has taken it back, or has another key by now.
#[test]
fn a_token_that_was_refused_is_not_shown_again() {
    let (listener, login) = endpoint();
    let given = give_tokens(listener);
    let client = client(login);
    let log_in = |answers: Vec<Vec<u8>>| {
        let deadline = Instant::now() + Duration::from_secs(20);
        let answers = [vec![handshake(0, &["OAUTHBEARER"])], answers].concat();
        let met = greet(&broker(MODERN, answers), "t", &client, deadline);
        (met.map(drop), given.load(Ordering::SeqCst))
    };
    let believed = || vec![told(0, "", b"", 0)];
    assert_eq!(log_in(believed()), (Ok(()), 1));
    assert_eq!(log_in(believed()), (Ok(()), 1));
    // An answer that says nothing of the token leaves it.
    assert!(matches!(log_in(vec![told(99, "", b"", 0)]), (Err(Fault::Lost(_)), 1)));
    let objection = br#"{"status":"invalid_token"}"#;
    let refused = vec![told(0, "", objection, 0), told(58, "Authentication failed", b"", 0)];
    assert!(matches!(log_in(refused), (Err(Fault::LoginRefused(_)), 1)));
    assert_eq!(log_in(believed()), (Ok(()), 2));
}

/// A broker that tells what it speaks, and hangs up.
fn broker_that_hangs_up(listener: TcpListener) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let request = take(&mut stream);
        let versions = [0, 0, 0, 0, 0, 2, 0, 17, 0, 0, 0, 1, 0, 36, 0, 0, 0, 1];
        put(&mut stream, &[&request[4..8], &versions].concat());
    })
}

/// Does anything stir that is waited for?
fn stirs(within: Duration, descriptors: impl FnOnce(&mut dyn FnMut(RawFd, bool))) -> bool {
    let mut interests = Vec::new();
    descriptors(&mut |fd, write| interests.push(Interest { fd, write }));
    os::wait(&interests, within).unwrap()
}

/// Its end would stir at each turn, in which nothing could be done but to ask for the token's once more.
#[test]
fn a_broker_that_hangs_up_while_a_token_is_fetched_is_not_waited_for() {
    let (tokens, login) = endpoint();
    tokens.set_nonblocking(true).unwrap();
    let client = client(login);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let broker = broker_that_hangs_up(listener);
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut greeting = Greeting::start(&address, "t", &client, deadline).unwrap();
    let go_on = |greeting: &mut Greeting| matches!(greeting.poll(), Ok(Progress::Pending));
    let asked = loop {
        assert!(go_on(&mut greeting));
        if let Ok((asked, _)) = tokens.accept() {
            break asked;
        }
    };
    broker.join().unwrap();
    // What the connection for the token has to write is written.
    while stirs(Duration::ZERO, |add| greeting.descriptors(add)) {
        assert!(go_on(&mut greeting) && Instant::now() < deadline, "the broker's end stirs");
        std::thread::yield_now();
    }
    drop(asked);
    assert!(stirs(Duration::from_secs(20), |add| greeting.descriptors(add)));
    assert!(greeting.poll().is_err());
}

/// The same where a login that is over soon is made anew.
#[test]
fn a_broker_that_hangs_up_while_a_token_is_fetched_anew_is_not_waited_for() {
    let (tokens, login) = endpoint();
    tokens.set_nonblocking(true).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let broker = broker_that_hangs_up(listener);
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut lane = lane_due(&address, login, Duration::from_secs(60));
    let asked = loop {
        lane.receive(&mut |_, _, _| Ok(())).unwrap();
        if let Ok((asked, _)) = tokens.accept() {
            break asked;
        }
    };
    broker.join().unwrap();
    while stirs(Duration::ZERO, |add| lane.descriptors(add)) {
        assert!(Instant::now() < deadline, "the broker's end stirs");
        lane.receive(&mut |_, _, _| Ok(())).unwrap();
        std::thread::yield_now();
    }
    assert!(lane.is_closed());
    drop(asked);
}

/// A connection to that broker on which a login is due now, and is over in so long.
fn lane_due(address: &str, login: Login, over_in: Duration) -> Lane {
    let deadline = Instant::now() + Duration::from_secs(20);
    let (mut connection, spoken) = greet(address, "t", &Client::plain("c"), deadline).unwrap();
    connection.set_session(Some(Session::ending(Duration::ZERO, over_in, client(login))));
    Lane::new(Leader { connection, spoken }, Duration::from_secs(20))
}

/// Asks anything.
fn ask(lane: &mut Lane) -> i32 {
    let number = lane.next_correlation();
    let request = MetadataRequest::default();
    let frame = protocol::frame(protocol::METADATA_OLD, 0, number, "c", &request).unwrap();
    lane.ask(&frame, number, TOKEN_BYTES_MAX).unwrap();
    number
}

/// Takes turns until it is so.
fn turns(lane: &mut Lane, mut is_so: impl FnMut(&mut Lane) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so(lane) {
        assert!(Instant::now() < deadline, "it does not come to that");
        lane.receive(&mut |_, _, _| Ok(())).unwrap();
        stirs(Duration::from_millis(20), |add| lane.descriptors(add));
    }
}

fn is_answered(lane: &mut Lane, number: i32) -> bool {
    matches!(lane.take(number), Progress::Done(_))
}

/// Whoever gives the tokens is down for a while when one is needed; what the broker has believed still holds.
#[test]
fn a_login_that_cannot_be_made_anew_ends_no_connection_before_it_is_over() {
    let (tokens, login) = endpoint();
    let asked = give_tokens_after(2, tokens);
    let answers =
        vec![vec![0; 8], handshake(0, &["OAUTHBEARER"]), told(0, "", b"", 3_600_000), vec![0; 8]];
    let ((), lines) = log::capture(|| {
        let mut lane = lane_due(&broker(MODERN, answers), login, Duration::from_secs(600));
        let number = ask(&mut lane);
        turns(&mut lane, |lane| is_answered(lane, number));
        let later = Instant::now() + Duration::from_secs(1_200);
        turns(&mut lane, |lane| lane.connection().session().unwrap().due_at() > later);
        let number = ask(&mut lane);
        turns(&mut lane, |lane| is_answered(lane, number));
        assert!(!lane.is_closed());
    });
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    let count = |words: &str| lines.iter().filter(|line| line.contains(words)).count();
    assert_eq!(count("the login cannot be made anew: no token from 127.0.0.1:"), 1, "{lines:?}");
    assert_eq!(count("the login was made anew"), 1, "{lines:?}");
}

#[test]
fn a_login_that_is_over_and_cannot_be_made_anew_ends_the_connection() {
    let (tokens, login) = endpoint();
    give_tokens_after(usize::MAX, tokens);
    let mut lane = lane_due(&broker(MODERN, vec![vec![0; 8]]), login, Duration::ZERO);
    let number = ask(&mut lane);
    let deadline = Instant::now() + Duration::from_secs(20);
    let fault = loop {
        assert!(Instant::now() < deadline && !is_answered(&mut lane, number), "it was sent");
        match lane.receive(&mut |_, _, _| Ok(())) {
            Ok(()) => stirs(Duration::from_millis(20), |add| lane.descriptors(add)),
            Err(fault) => break fault,
        };
    };
    assert!(matches!(fault, Fault::NotReady(_)), "{fault:?}");
}

/// No KDC, no library, or nothing in the cache: the broker must not hear of a login that cannot go on.
#[test]
fn a_ticket_that_cannot_be_had_ends_no_connection_before_its_login_is_over() {
    let login = Login::Gssapi {
        service: "kafka".to_string(),
        principal: None,
        tickets: Tickets::Cache(Some("/nonexistent/cache".into())),
        configuration: None,
    };
    let mut lane = lane_due(&broker(MODERN, vec![vec![0; 8]]), login, Duration::from_secs(600));
    let number = ask(&mut lane);
    turns(&mut lane, |lane| is_answered(lane, number));
    assert!(!lane.connection().session().unwrap().is_due(Instant::now()));
}
