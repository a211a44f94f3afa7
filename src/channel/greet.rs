//! Greeting one broker: a connection, the versions spoken on it, and the login. A step never
//! waits.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use kafka_protocol::messages::{ApiVersionsResponse, MetadataRequest, MetadataResponse};

use super::broker::{Fault, Progress};
use super::client::Client;
use super::cluster::named;
use super::connecting::{Attempt, Connecting};
use super::finish::{Waits, finish};
use super::protocol::{self, Asked, METADATA_OLD, Versions};
use super::sasl::Authentication;
use super::wire::{ANSWER_BYTES_MAX, Connection};

/// Longest rest while a broker is awaited: how often its deadlines are checked.
pub const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// A broker that has not answered the question for its versions in this time is asked, over another
/// connection, what brokers of every release before 4.0 answer; and one that has answered that has
/// this time once more for the first question.
const SILENCE: Duration = Duration::from_millis(1_000);

/// What may be the reason where a broker that is spoken to by TLS or a login does not tell what it speaks.
const OLD_HINT: &str = " when it was asked what it speaks; brokers before 0.10 do so, and TLS and logins \
                        need 0.10 or later";

/// A connection, and what the broker behind it speaks.
pub type Greeted = (Connection, Spoken);

/// What a broker says it speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spoken {
    Versions(Versions),
    /// One before 0.10 knows no question for that, and is known by what it does with it.
    Elder(Elder),
}

/// A release before 0.10.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elder {
    /// 0.8.2 or before: closes the connection on a question that it does not know.
    V08,
    /// 0.9: never answers one.
    V09,
}

impl Spoken {
    /// `None` before 0.10.
    pub fn versions(&self) -> Option<&Versions> {
        match self {
            Spoken::Versions(versions) => Some(versions),
            Spoken::Elder(_) => None,
        }
    }
}

/// One that has begun. Brokers before 0.10 have no answer to the question for their versions: 0.8
/// closes the connection, and so does one that is just going down; 0.9 is silent, and so is one that
/// is frozen. Hence a second connection, with a question that all of them answer, before either is
/// believed: who answers that, and has been asked for its versions again in vain, or is silent still,
/// is that old.
pub struct Greeting {
    broker: String,
    /// Where it is, if its name need not be looked up.
    address: Option<SocketAddr>,
    topic: String,
    client: Client,
    deadline: Instant,
    stage: Stage,
}

/// The question for the versions, under way.
struct Question {
    connection: Connection,
    asked: Asked,
    /// When it counts as not answered.
    until: Instant,
}

/// It on the first connection; `None` where that was closed instead.
type First = Option<Question>;

enum Stage {
    Connecting(Connecting),
    Asking(Question),
    /// It was not answered.
    ConnectingAgain(First, Connecting),
    AskingOld(First, Connection, Asked),
    /// The old question was answered at once, the first one is still not.
    Waiting(Question, Connection),
    /// The connection on which it did answer is kept, should it close this one too.
    ConnectingLast(Connection, Connecting),
    AskingLast(Connection, Question),
    /// It speaks these: who we are comes next, before anything else is asked.
    Known(Connection, Versions),
    Authenticating(Connection, Versions, Box<Authentication>),
    /// Done, or failed.
    Over,
}

impl Greeting {
    /// Begins to connect to `broker` (`host:port`). The name is looked up at once, which waits for
    /// the system's resolver.
    ///
    /// # Errors
    /// As [`Connecting::start`].
    pub fn start(
        broker: &str,
        topic: &str,
        client: &Client,
        deadline: Instant,
    ) -> Result<Greeting, Fault> {
        Greeting::start_at(broker, None, topic, client, deadline)
    }

    /// Begins to connect once more to where `connection` leads. No name is looked up.
    ///
    /// # Errors
    /// As [`Connecting::start`].
    pub fn start_beside(
        connection: &Connection,
        topic: &str,
        client: &Client,
        deadline: Instant,
    ) -> Result<Greeting, Fault> {
        Greeting::start_at(connection.peer(), connection.address(), topic, client, deadline)
    }

    fn start_at(
        broker: &str,
        address: Option<SocketAddr>,
        topic: &str,
        client: &Client,
        deadline: Instant,
    ) -> Result<Greeting, Fault> {
        let connecting = Connecting::start(broker, address, client, deadline)?;
        Ok(Greeting {
            broker: broker.to_string(),
            address,
            topic: topic.to_string(),
            client: client.clone(),
            deadline,
            stage: Stage::Connecting(connecting),
        })
    }

    /// Goes as far as it can now.
    ///
    /// # Errors
    /// `Unreachable`, `Lost`; it is over then.
    pub fn poll(&mut self) -> Result<Progress<Greeted>, Fault> {
        loop {
            let stage = std::mem::replace(&mut self.stage, Stage::Over);
            match self.step(stage)? {
                Next::Stage(stage) => self.stage = stage,
                Next::Later(stage) => {
                    self.stage = stage;
                    return Ok(Progress::Pending);
                }
                Next::Done(greeted) => return Ok(Progress::Done(greeted)),
            }
        }
    }

    fn step(&mut self, stage: Stage) -> Result<Next, Fault> {
        Ok(match stage {
            Stage::Connecting(connecting) => match connecting.poll()? {
                Attempt::Later(connecting) => Next::Later(Stage::Connecting(connecting)),
                Attempt::Made(connection) => Next::Stage(Stage::Asking(self.question(connection)?)),
            },
            Stage::Asking(mut question) => match question.poll() {
                Ok(Progress::Done(versions)) => question.answered(versions),
                Ok(Progress::Pending) if question.is_overdue() && self.may_be_elder() => {
                    self.ask_otherwise(question)
                }
                Ok(Progress::Pending) => Next::Later(Stage::Asking(question)),
                Err(Fault::Lost(_)) if Instant::now() < self.deadline && self.may_be_elder() => {
                    Next::Stage(Stage::ConnectingAgain(None, self.connect()?))
                }
                // What a peer says instead, in words of its own or by TLS, tells more.
                Err(Fault::Lost(why))
                    if !self.may_be_elder()
                        && (question.connection.has_ended() || Instant::now() >= self.deadline) =>
                {
                    return Err(Fault::Lost(format!("{why}{OLD_HINT}")));
                }
                Err(other) => return Err(other),
            },
            Stage::ConnectingAgain(mut first, connecting) => {
                if let Some(done) = answered(&mut first) {
                    return Ok(done);
                }
                match connecting.poll() {
                    Ok(Attempt::Later(connecting)) => {
                        Next::Later(Stage::ConnectingAgain(first, connecting))
                    }
                    Ok(Attempt::Made(mut connection)) => {
                        let asked = self.ask_topic(&mut connection)?;
                        Next::Stage(Stage::AskingOld(first, connection, asked))
                    }
                    Err(fault) => self.go_on_with(first, fault)?,
                }
            }
            Stage::AskingOld(mut first, mut connection, asked) => {
                if let Some(done) = answered(&mut first) {
                    return Ok(done);
                }
                match asked.poll::<MetadataResponse>(&mut connection) {
                    Ok(Progress::Pending) => {
                        Next::Later(Stage::AskingOld(first, connection, asked))
                    }
                    Ok(Progress::Done(_)) => match first {
                        Some(mut question) => {
                            question.until = self.silence();
                            Next::Later(Stage::Waiting(question, connection))
                        }
                        None => Next::Stage(Stage::ConnectingLast(connection, self.connect()?)),
                    },
                    Err(fault) => self.go_on_with(first, hinted(fault, &connection))?,
                }
            }
            Stage::Waiting(mut question, old) => match question.poll() {
                Ok(Progress::Done(versions)) => question.answered(versions),
                Ok(Progress::Pending) if question.is_overdue() => elder(old, Elder::V09),
                Ok(Progress::Pending) => Next::Later(Stage::Waiting(question, old)),
                Err(_) => Next::Stage(Stage::ConnectingLast(old, self.connect()?)),
            },
            Stage::ConnectingLast(old, connecting) => match connecting.poll()? {
                Attempt::Later(connecting) => Next::Later(Stage::ConnectingLast(old, connecting)),
                Attempt::Made(connection) => match self.question(connection) {
                    Ok(question) => Next::Stage(Stage::AskingLast(old, question)),
                    Err(_) => elder(old, Elder::V08),
                },
            },
            Stage::AskingLast(old, mut question) => match question.poll() {
                Ok(Progress::Done(versions)) => question.answered(versions),
                Ok(Progress::Pending) if question.is_overdue() => elder(old, Elder::V09),
                Ok(Progress::Pending) => Next::Later(Stage::AskingLast(old, question)),
                Err(Fault::Lost(_)) => elder(old, Elder::V08),
                Err(other) => return Err(other),
            },
            Stage::Known(connection, versions) => {
                match Authentication::begin(&self.client, self.deadline) {
                    Some(login) => {
                        let login = Box::new(login);
                        Next::Stage(Stage::Authenticating(connection, versions, login))
                    }
                    None => Next::Done((connection, Spoken::Versions(versions))),
                }
            }
            Stage::Authenticating(mut connection, versions, mut login) => {
                match login.step(&mut connection, &versions)? {
                    Progress::Done(()) => Next::Done((connection, Spoken::Versions(versions))),
                    Progress::Pending => {
                        Next::Later(Stage::Authenticating(connection, versions, login))
                    }
                }
            }
            Stage::Over => return Err(Fault::Lost(format!("{} was greeted before", self.broker))),
        })
    }

    /// Those before 0.10 are spoken to in the clear only, and whoever wants to know first who we
    /// are answers no other question either.
    fn may_be_elder(&self) -> bool {
        self.client.security.is_none()
    }

    /// A second connection for one that is silent. Where none can be made, the first is waited for.
    fn ask_otherwise(&self, question: Question) -> Next {
        match self.connect() {
            Ok(connecting) => Next::Stage(Stage::ConnectingAgain(Some(question), connecting)),
            Err(_) => self.wait_for(question),
        }
    }

    /// The second connection tells nothing.
    fn go_on_with(&self, first: First, fault: Fault) -> Result<Next, Fault> {
        first.map(|question| self.wait_for(question)).ok_or(fault)
    }

    /// Nothing else is tried until the time is over.
    fn wait_for(&self, question: Question) -> Next {
        Next::Later(Stage::Asking(Question { until: self.deadline, ..question }))
    }

    fn silence(&self) -> Instant {
        self.deadline.min(Instant::now() + SILENCE)
    }

    fn connect(&self) -> Result<Connecting, Fault> {
        Connecting::start(&self.broker, self.address, &self.client, self.deadline)
    }

    fn question(&self, mut connection: Connection) -> Result<Question, Fault> {
        let asked = Versions::ask(&mut connection, &self.client.id, self.deadline)?;
        Ok(Question { connection, asked, until: self.silence() })
    }

    fn ask_topic(&self, connection: &mut Connection) -> Result<Asked, Fault> {
        let request = MetadataRequest::default().with_topics(Some(vec![named(&self.topic)]));
        let (api, client) = (METADATA_OLD, self.client.id.as_str());
        let bytes_max = ANSWER_BYTES_MAX;
        protocol::ask(connection, api, 0, client, &request, bytes_max, self.deadline)
    }
}

/// With what may be the reason.
pub fn hinted(fault: Fault, connection: &Connection) -> Fault {
    match fault {
        Fault::Lost(why) => Fault::Lost(format!("{why}{}", connection.hint())),
        other => other,
    }
}

enum Next {
    /// More can be done at once.
    Stage(Stage),
    Later(Stage),
    Done(Greeted),
}

impl Question {
    fn poll(&mut self) -> Result<Progress<Versions>, Fault> {
        Ok(match self.asked.poll::<ApiVersionsResponse>(&mut self.connection)? {
            Progress::Done(answer) => Progress::Done(Versions::of(&answer)),
            Progress::Pending => Progress::Pending,
        })
    }

    fn is_overdue(&self) -> bool {
        Instant::now() >= self.until
    }

    fn answered(self, versions: Versions) -> Next {
        Next::Stage(Stage::Known(self.connection, versions))
    }
}

/// The first question has its answer after all. One whose connection is closed by now is gone.
fn answered(first: &mut First) -> Option<Next> {
    match first.as_mut()?.poll() {
        Ok(Progress::Pending) => None,
        Ok(Progress::Done(versions)) => first.take().map(|question| question.answered(versions)),
        Err(_) => {
            *first = None;
            None
        }
    }
}

fn elder(connection: Connection, elder: Elder) -> Next {
    Next::Done((connection, Spoken::Elder(elder)))
}

impl Waits for Greeting {
    fn descriptors(&self, add: &mut dyn FnMut(RawFd, bool)) {
        let mut of = |connection: &Connection| add(connection.fd(), connection.wants_write());
        match &self.stage {
            Stage::Asking(question)
            | Stage::Waiting(question, _)
            | Stage::AskingLast(_, question) => of(&question.connection),
            Stage::AskingOld(first, connection, _) => {
                of(connection);
                first.iter().for_each(|question| of(&question.connection));
            }
            Stage::ConnectingAgain(first, connecting) => {
                first.iter().for_each(|question| of(&question.connection));
                connecting.descriptors(add);
            }
            Stage::Connecting(connecting) | Stage::ConnectingLast(_, connecting) => {
                connecting.descriptors(add);
            }
            Stage::Known(connection, _) => of(connection),
            Stage::Authenticating(connection, _, login) => login.descriptors(connection, add),
            Stage::Over => {}
        }
    }

    fn patience(&self) -> Duration {
        match &self.stage {
            Stage::Authenticating(.., login) => login.patience(),
            _ => LOOK_PAUSE.min(self.deadline.saturating_duration_since(Instant::now())),
        }
    }
}

/// Connects and asks what the broker speaks; waits for it.
///
/// # Errors
/// `Unreachable`, `Lost`, `Stopped`.
pub fn greet(
    broker: &str,
    topic: &str,
    client: &Client,
    deadline: Instant,
) -> Result<Greeted, Fault> {
    finish(&mut Greeting::start(broker, topic, client, deadline)?, Greeting::poll)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// What a peer does with one kind of question.
    #[derive(Debug, Clone, Copy)]
    enum Does {
        Close,
        /// It answers so much later, ms.
        Answer(u64),
        Nothing,
        /// The alert of a peer that expects TLS.
        Alert,
    }

    /// A peer that does so with each question for its versions, and with each for a topic.
    fn peer(versions: Does, topic: Does) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || serve(stream, versions, topic));
            }
        });
        address
    }

    fn serve(mut stream: TcpStream, versions: Does, topic: Does) {
        let mut frame = [0; 1024];
        while let Ok(12..) = stream.read(&mut frame) {
            let is_versions = frame[5] == 18;
            match if is_versions { versions } else { topic } {
                Does::Close => return,
                Does::Nothing => {}
                Does::Alert => drop(stream.write_all(&[0x15, 3, 1, 0, 2, 2, 80])),
                Does::Answer(ms) => {
                    std::thread::sleep(Duration::from_millis(ms));
                    // No error and one request that is known; or no brokers and no topics.
                    let body: &[u8] = match is_versions {
                        true => &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 3],
                        false => &[0; 8],
                    };
                    let size = (4 + body.len() as i32).to_be_bytes();
                    let answer = [&size, &frame[8..12], body].concat();
                    if stream.write_all(&answer).is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn met(versions: Does, topic: Does) -> Result<Spoken, Fault> {
        let deadline = Instant::now() + Duration::from_millis(3_500);
        greet(&peer(versions, topic), "t", &Client::plain("c"), deadline).map(|(_, spoken)| spoken)
    }

    #[test]
    fn releases_before_0_10_are_told_by_what_they_do_with_an_unknown_question() {
        let elder = |elder| Ok(Spoken::Elder(elder));
        assert_eq!(met(Does::Close, Does::Answer(0)), elder(Elder::V08));
        assert_eq!(met(Does::Nothing, Does::Answer(0)), elder(Elder::V09));
    }

    #[test]
    fn an_old_release_is_named_where_tls_or_a_login_is_configured() {
        use crate::channel::client::Security;
        use crate::config::{sasl::Login, secret::Secret, security};
        let login = Login::Plain { name: "alice".to_string(), password: Secret::new("secret") };
        let protocol = security::Protocol::SaslPlaintext;
        let config = security::Security { protocol, login: Some(login), tls: None };
        let security = Some(std::rc::Rc::new(Security::new(config)));
        let client = Client { id: "c".to_string(), security };
        for versions in [Does::Close, Does::Nothing] {
            let deadline = Instant::now() + Duration::from_millis(1_500);
            let met = greet(&peer(versions, Does::Answer(0)), "t", &client, deadline);
            let Err(Fault::Lost(why)) = met.map(drop) else { panic!("{versions:?}") };
            assert!(why.ends_with(OLD_HINT), "{why}");
        }
        let deadline = Instant::now() + Duration::from_millis(1_500);
        let met = greet(&peer(Does::Alert, Does::Nothing), "t", &client, deadline);
        let Err(Fault::Lost(why)) = met.map(drop) else { panic!("an alert") };
        assert!(why.contains("speaks TLS") && !why.contains(OLD_HINT), "{why}");
    }

    /// It was frozen, or is far away: its versions come, if later than an answer of one before 0.10.
    #[test]
    fn who_is_slow_is_not_taken_for_an_old_release() {
        // Side by side, as they wait.
        std::thread::scope(|scope| {
            for topic in [Does::Answer(0), Does::Close, Does::Nothing] {
                scope.spawn(move || {
                    let spoken = met(Does::Answer(1_500), topic);
                    assert!(matches!(spoken, Ok(Spoken::Versions(_))), "{topic:?}: {spoken:?}");
                });
            }
        });
    }

    #[test]
    fn who_answers_nothing_is_no_old_release() {
        std::thread::scope(|scope| {
            for topic in [Does::Nothing, Does::Close] {
                scope.spawn(move || {
                    let spoken = met(Does::Nothing, topic);
                    assert!(matches!(spoken, Err(Fault::Lost(_))), "{topic:?}: {spoken:?}");
                });
            }
        });
    }
}
