//! Becoming acquainted with one broker: a connection, and what is spoken on it. A step never waits.

use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use kafka_protocol::messages::{ApiVersionsResponse, MetadataRequest, MetadataResponse};

use super::broker::{Fault, Progress};
use super::cluster::named;
use super::finish::{Waits, finish};
use super::protocol::{self, Asked, METADATA_OLD, Versions};
use super::wire::{ANSWER_BYTES_MAX, Attempt, Connecting, Connection};

/// Longest rest while a broker is awaited: its deadlines are looked at so often.
pub const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// A connection, and what the broker behind it speaks: `None` before 0.10.
pub type Greeted = (Connection, Option<Versions>);

/// One that has begun. Brokers before 0.10 close the connection on the question for their versions;
/// so does one that is just going down, hence a second try, with a question between that brokers of
/// every version answer.
pub struct Greeting {
    broker: String,
    topic: String,
    client: String,
    deadline: Instant,
    stage: Stage,
}

enum Stage {
    Connecting(Connecting),
    Asking(Connection, Asked),
    /// It closed the connection instead of answering.
    ConnectingAgain(Connecting),
    AskingOld(Connection, Asked),
    /// The connection on which it did answer is kept, should it close this one too.
    ConnectingLast(Connection, Connecting),
    AskingLast(Connection, Connection, Asked),
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
        client: &str,
        deadline: Instant,
    ) -> Result<Greeting, Fault> {
        let connecting = Connecting::start(broker, deadline)?;
        Ok(Greeting {
            broker: broker.to_string(),
            topic: topic.to_string(),
            client: client.to_string(),
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
                Attempt::Made(mut connection) => {
                    let asked = self.ask_versions(&mut connection)?;
                    Next::Stage(Stage::Asking(connection, asked))
                }
            },
            Stage::Asking(mut connection, asked) => match versions(&asked, &mut connection) {
                Ok(Progress::Pending) => Next::Later(Stage::Asking(connection, asked)),
                Ok(Progress::Done(versions)) => Next::Done((connection, Some(versions))),
                Err(Fault::Lost(_)) if Instant::now() < self.deadline => {
                    Next::Stage(Stage::ConnectingAgain(self.connect()?))
                }
                Err(other) => return Err(other),
            },
            Stage::ConnectingAgain(connecting) => match connecting.poll()? {
                Attempt::Later(connecting) => Next::Later(Stage::ConnectingAgain(connecting)),
                Attempt::Made(mut connection) => {
                    let asked = self.ask_topic(&mut connection)?;
                    Next::Stage(Stage::AskingOld(connection, asked))
                }
            },
            Stage::AskingOld(mut connection, asked) => {
                let answer = asked.poll::<MetadataResponse>(&mut connection);
                match answer.map_err(|fault| hinted(fault, &connection))? {
                    Progress::Pending => Next::Later(Stage::AskingOld(connection, asked)),
                    Progress::Done(_) => {
                        Next::Stage(Stage::ConnectingLast(connection, self.connect()?))
                    }
                }
            }
            Stage::ConnectingLast(old, connecting) => match connecting.poll()? {
                Attempt::Later(connecting) => Next::Later(Stage::ConnectingLast(old, connecting)),
                Attempt::Made(mut connection) => match self.ask_versions(&mut connection) {
                    Ok(asked) => Next::Stage(Stage::AskingLast(old, connection, asked)),
                    Err(_) => Next::Done((old, None)),
                },
            },
            Stage::AskingLast(old, mut connection, asked) => {
                match versions(&asked, &mut connection) {
                    Ok(Progress::Pending) => Next::Later(Stage::AskingLast(old, connection, asked)),
                    Ok(Progress::Done(versions)) => Next::Done((connection, Some(versions))),
                    Err(Fault::Lost(_)) => Next::Done((old, None)),
                    Err(other) => return Err(other),
                }
            }
            Stage::Over => return Err(Fault::Lost(format!("{} was greeted before", self.broker))),
        })
    }

    fn connect(&self) -> Result<Connecting, Fault> {
        Connecting::start(&self.broker, self.deadline)
    }

    fn ask_versions(&self, connection: &mut Connection) -> Result<Asked, Fault> {
        Versions::ask(connection, &self.client, self.deadline)
    }

    fn ask_topic(&self, connection: &mut Connection) -> Result<Asked, Fault> {
        let request = MetadataRequest::default().with_topics(Some(vec![named(&self.topic)]));
        let (api, client) = (METADATA_OLD, self.client.as_str());
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

fn versions(asked: &Asked, connection: &mut Connection) -> Result<Progress<Versions>, Fault> {
    Ok(match asked.poll::<ApiVersionsResponse>(connection)? {
        Progress::Done(answer) => Progress::Done(Versions::of(&answer)),
        Progress::Pending => Progress::Pending,
    })
}

impl Waits for Greeting {
    fn descriptors(&self, add: &mut dyn FnMut(RawFd, bool)) {
        match &self.stage {
            Stage::Connecting(connecting)
            | Stage::ConnectingAgain(connecting)
            | Stage::ConnectingLast(_, connecting) => add(connecting.fd(), true),
            Stage::Asking(connection, _)
            | Stage::AskingOld(connection, _)
            | Stage::AskingLast(_, connection, _) => add(connection.fd(), connection.wants_write()),
            Stage::Over => {}
        }
    }

    fn patience(&self) -> Duration {
        LOOK_PAUSE.min(self.deadline.saturating_duration_since(Instant::now()))
    }
}

/// Connects and asks what the broker speaks; waits for it.
///
/// # Errors
/// `Unreachable`, `Lost`, `Stopped`.
pub fn greet(broker: &str, topic: &str, client: &str, deadline: Instant) -> Result<Greeted, Fault> {
    finish(&mut Greeting::start(broker, topic, client, deadline)?, Greeting::poll)
}
