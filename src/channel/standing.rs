//! How the brokers of a channel stand, for those who look.

use std::time::{Duration, Instant};

use super::tls::Summary;

/// With fewer days left, `check` advises to renew a certificate.
pub const DAYS_LEFT_MIN: i64 = 30;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// `host:port`.
    pub address: String,
    pub state: State,
    /// What was wrong with it last, and how long ago.
    pub last_error: Option<(String, Duration)>,
    /// What it showed when it was connected to last; `None` without TLS.
    pub certificate: Option<Summary>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Another one was asked.
    Unasked,
    Asked,
    /// It answers, and leads no partition of the topic.
    Answers,
    /// It leads partitions, and there is a connection to it.
    Connected,
    Failed,
}

impl State {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            State::Unasked => "not asked",
            State::Asked => "asked",
            State::Answers => "answers",
            State::Connected => "connected",
            State::Failed => "failed",
        }
    }
}

/// A broker, and what was wrong with it last.
#[derive(Debug)]
struct Known {
    address: String,
    state: State,
    error: Option<(String, Instant)>,
    certificate: Option<Summary>,
}

/// What is known of all brokers of a channel, over reconnects.
#[derive(Debug, Default)]
pub struct Standings {
    brokers: Vec<Known>,
    /// Partition and address of its leader.
    leaders: Vec<(i32, String)>,
    /// The certificate that we show, if there is one.
    pub own: Option<Summary>,
}

impl Standings {
    /// These are the brokers now; what was wrong with them before is still known.
    pub fn take(&mut self, told: Vec<(String, State, Option<String>)>) {
        let mut before = std::mem::take(&mut self.brokers);
        for (address, state, why) in told {
            let known = before.iter_mut().find(|known| known.address == address);
            let (last, certificate) =
                known.map_or((None, None), |known| (known.error.take(), known.certificate.take()));
            let error = why.map(|why| match last.as_ref() {
                // Since then.
                Some((known, at)) if *known == why => (why, *at),
                _ => (why, Instant::now()),
            });
            let error = error.or(last);
            self.brokers.push(Known { address, state, error, certificate });
        }
    }

    /// These lead which partitions, and these have shown who they are.
    pub fn connected(&mut self, leaders: Vec<(i32, String)>, certificates: Vec<(String, Summary)>) {
        self.leaders = leaders;
        for (address, certificate) in certificates {
            let known = self.brokers.iter_mut().find(|known| known.address == address);
            if let Some(known) = known {
                known.certificate = Some(certificate);
            }
        }
    }

    /// The connections are closed.
    pub fn closed(&mut self) {
        self.leaders.clear();
        for known in self.brokers.iter_mut().filter(|known| known.state != State::Failed) {
            known.state = State::Unasked;
        }
    }

    pub fn leader(&self, partition: i32) -> Option<&str> {
        let leader = self.leaders.iter().find(|(id, _)| *id == partition);
        leader.map(|(_, address)| address.as_str())
    }

    pub fn brokers(&self) -> Vec<Standing> {
        let standing = |known: &Known| {
            let last_error = known.error.as_ref().map(|(why, at)| (why.clone(), at.elapsed()));
            let certificate = known.certificate.clone();
            Standing { address: known.address.clone(), state: known.state, last_error, certificate }
        };
        self.brokers.iter().map(standing).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_wrong_is_known_after_it_is_well() {
        let mut standings = Standings::default();
        let refused = || Some("refused".to_string());
        standings.take(vec![("a:1".into(), State::Failed, refused())]);
        standings.take(vec![
            ("a:1".into(), State::Connected, None),
            ("b:1".into(), State::Unasked, None),
        ]);
        let shown = Summary { subject: "CN=a".into(), issuer: "CN=ca".into(), not_after: 86_400 };
        standings.connected(vec![(0, "a:1".into())], vec![("a:1".into(), shown.clone())]);
        let brokers = standings.brokers();
        assert_eq!((brokers[0].state, brokers.len()), (State::Connected, 2));
        assert_eq!(brokers[0].last_error.as_ref().map(|(why, _)| why.as_str()), Some("refused"));
        assert_eq!((standings.leader(0), standings.leader(1)), (Some("a:1"), None));
        standings.closed();
        assert_eq!((standings.leader(0), standings.brokers()[0].state), (None, State::Unasked));
        // Its certificate is known on, when it is not to be had any more: it may be over.
        standings.take(vec![("a:1".into(), State::Failed, refused())]);
        assert_eq!(standings.brokers()[0].certificate, Some(shown));
        // One that is named no more is forgotten.
        standings.take(Vec::new());
        assert!(standings.brokers().is_empty());
    }
}
