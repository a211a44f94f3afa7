//! For how long a broker believes who we are, on one connection, and what becomes of that when we cannot tell it
//! again: who gives tokens or tickets may be down for a while, and until the time is over that costs nothing.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::{Authentication, tries};
use crate::channel::broker::Fault;
use crate::channel::client::Client;
use crate::log;

/// A broker takes no second login on a connection within a second (KIP-368): it answers with error 34.
const AGAIN_MIN: Duration = Duration::from_millis(1_200);
/// A login that is believed for longer is made anew all the same.
const LIFETIME_MAX: Duration = Duration::from_secs(7 * 86_400);
/// The rest after the first try that came to nothing; each is twice as long as the one before,
const REST_MIN: Duration = Duration::from_secs(1);
/// up to this.
const REST_MAX: Duration = Duration::from_secs(60);

/// A login that ends.
#[derive(Debug, Clone)]
pub struct Session {
    /// When it has to be told again: after four fifths of the time that the broker has named, but not at once.
    renew_at: Instant,
    /// From then on nothing is sent by it. The broker has counted from a little earlier, and what is sent is under way
    /// for a while.
    ends_at: Instant,
    /// After the last try.
    rest: Duration,
    client: Client,
}

impl Session {
    /// One that has begun a moment ago.
    pub fn begun(lifetime: Duration, client: Client) -> Session {
        let (now, lifetime) = (Instant::now(), lifetime.min(LIFETIME_MAX));
        let renew_after = (lifetime / 5 * 4).max(AGAIN_MIN);
        let ends_after = (lifetime / 20 * 19).max(renew_after);
        Session {
            renew_at: now + renew_after,
            ends_at: now + ends_after,
            rest: Duration::ZERO,
            client,
        }
    }

    /// Is it time to log in again?
    pub fn is_due(&self, now: Instant) -> bool {
        now >= self.renew_at
    }

    /// May nothing more be sent by it?
    pub fn is_over(&self, now: Instant) -> bool {
        now >= self.ends_at
    }

    /// Begins to log in again.
    pub fn renew(&self, deadline: Instant) -> Option<Authentication> {
        Authentication::begin(&self.client, deadline)
    }

    /// That came to nothing before the broker at `peer` heard of it: it is tried again after a rest, and for the last time
    /// when it is over.
    pub fn put_off(&mut self, peer: &str, fault: &Fault, now: Instant) {
        self.rest = match fault {
            // No account is to be locked.
            Fault::LoginRefused(_) => tries::REST,
            _ => (self.rest * 2).clamp(REST_MIN, REST_MAX),
        };
        self.renew_at = self.ends_at.min(now + self.rest);
        if let Some(security) = &self.client.security {
            security.renewals.failed(peer, fault, self.ends_at.saturating_duration_since(now));
        }
    }
}

/// Whether logins of a channel can be made anew. Its connections need the same for that, so it is said once.
#[derive(Debug, Default)]
pub struct Renewals {
    fail: Cell<bool>,
}

impl Renewals {
    fn failed(&self, peer: &str, fault: &Fault, left: Duration) {
        if self.fail.replace(true) {
            return;
        }
        log::warn(
            "kafka.KafkaChannel",
            format_args!(
                "{peer}: the login cannot be made anew: {fault}. It is valid for {} s more; until then lines are \
                 sent, and it is tried again",
                left.as_secs()
            ),
        );
    }

    /// One was made.
    pub(super) fn done(&self, peer: &str) {
        if self.fail.replace(false) {
            log::info(
                "kafka.KafkaChannel",
                format_args!("{peer}: the login was made anew; tokens or tickets are given again"),
            );
        }
    }
}

#[cfg(test)]
impl Session {
    /// One that is due in `due_in` and over in `over_in`.
    pub fn ending(due_in: Duration, over_in: Duration, client: Client) -> Session {
        let now = Instant::now();
        Session { renew_at: now + due_in, ends_at: now + over_in, rest: Duration::ZERO, client }
    }

    pub fn due_at(&self) -> Instant {
        self.renew_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_to_nothing_is_tried_again_until_the_end_and_at_the_end() {
        let now = Instant::now();
        let day = Duration::from_secs(86_400);
        let mut session = Session::begun(day, Client::plain("c"));
        let fault = Fault::NotReady("no token".to_string());
        let mut rests = Vec::new();
        let mut at = session.due_at();
        for _ in 0..8 {
            session.put_off("h:1", &fault, at);
            rests.push((session.due_at() - at).as_secs());
            at = session.due_at();
        }
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 60, 60]);
        while !session.is_over(at) {
            session.put_off("h:1", &fault, at);
            assert!(session.is_due(session.due_at()) && session.due_at() > at);
            at = session.due_at();
        }
        let end = at - now;
        assert!(end > day * 9 / 10 && end < day * 24 / 25, "{end:?}");
    }

    #[test]
    fn a_refusal_is_not_repeated_within_a_minute() {
        let mut session = Session::begun(Duration::from_secs(86_400), Client::plain("c"));
        let now = session.due_at();
        session.put_off("h:1", &Fault::LoginRefused("no".to_string()), now);
        assert_eq!(session.due_at() - now, tries::REST);
    }
}
