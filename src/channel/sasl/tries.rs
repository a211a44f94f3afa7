//! Whether a login may be tried now, over all channels of this process: several sources may log in as one, and
//! an account is locked by all of their tries together. So one tries a login first, and where it is
//! refused none tries it for a while.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::config::security::Security;

/// How long a refused login is not tried again.
pub const REST: Duration = Duration::from_secs(60);
/// How long the others wait for the answer to the first.
const FIRST: Duration = Duration::from_secs(3);
/// No more are remembered.
const KNOWN_MAX: usize = 64;

struct Known {
    brokers: Vec<String>,
    as_whom: Security,
    state: State,
}

#[derive(Clone)]
enum State {
    Tried { since: Instant },
    Believed,
    Refused { at: Instant, why: String },
}

thread_local! {
    static KNOWN: RefCell<Vec<Known>> = const { RefCell::new(Vec::new()) };
    /// Logins in the middle of which a connection was closed, and that nobody has believed since.
    static CLOSED: RefCell<Vec<Security>> = const { RefCell::new(Vec::new()) };
}

/// What to do about a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum May {
    Try,
    /// Another channel is trying it now.
    Wait,
    /// It was refused a moment ago, for this reason.
    Rest(String),
}

/// May it be tried at these brokers? If so, it counts as being tried.
pub fn may(brokers: &[String], as_whom: &Security, now: Instant) -> May {
    let may = match state(brokers, as_whom) {
        Some(State::Believed) => return May::Try,
        Some(State::Tried { since }) if now < since + FIRST => May::Wait,
        Some(State::Refused { at, why }) if now < at + REST => May::Rest(why),
        _ => May::Try,
    };
    if may == May::Try {
        set(brokers, as_whom, Some(State::Tried { since: now }));
    }
    may
}

/// A connection was closed in the middle of it, which is how brokers before 1.0 refuse a login, and what
/// a broker does as well that is just going down. Does it count as a refusal? Not the first time: then it is
/// tried once more.
pub fn closed(as_whom: &Security) -> bool {
    CLOSED.with_borrow_mut(|closed| {
        if closed.contains(as_whom) {
            return true;
        }
        if closed.len() >= KNOWN_MAX {
            closed.remove(0);
        }
        closed.push(as_whom.clone());
        false
    })
}

/// They have believed it.
pub fn believed(brokers: &[String], as_whom: &Security) {
    CLOSED.with_borrow_mut(|closed| closed.retain(|other| other != as_whom));
    set(brokers, as_whom, Some(State::Believed));
}

/// They have just refused it.
pub fn refused(brokers: &[String], as_whom: &Security, why: &str, now: Instant) {
    set(brokers, as_whom, Some(State::Refused { at: now, why: why.to_string() }));
}

/// It was not answered.
pub fn unanswered(brokers: &[String], as_whom: &Security) {
    if matches!(state(brokers, as_whom), Some(State::Tried { .. })) {
        set(brokers, as_whom, None);
    }
}

fn state(brokers: &[String], as_whom: &Security) -> Option<State> {
    KNOWN.with_borrow(|known| {
        let found = known.iter().find(|k| k.brokers == brokers && k.as_whom == *as_whom);
        found.map(|k| k.state.clone())
    })
}

fn set(brokers: &[String], as_whom: &Security, state: Option<State>) {
    KNOWN.with_borrow_mut(|known| {
        known.retain(|k| !(k.brokers == brokers && k.as_whom == *as_whom));
        if known.len() >= KNOWN_MAX {
            // Those of configurations of before.
            known.remove(0);
        }
        if let Some(state) = state {
            known.push(Known { brokers: brokers.to_vec(), as_whom: as_whom.clone(), state });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sasl::Login;
    use crate::config::secret::Secret;

    #[test]
    fn a_connection_that_is_closed_twice_in_a_row_is_a_refusal() {
        let alice = |password: &str| Security {
            login: Some(Login::Plain {
                name: "alice".to_string(),
                password: Secret::new(password),
            }),
            ..Security::default()
        };
        let brokers = ["h:9092".to_string()];
        assert!(!closed(&alice("a")) && !closed(&alice("b")));
        believed(&brokers, &alice("b"));
        // One try a minute from then on, and no two.
        assert!(closed(&alice("a")) && closed(&alice("a")));
        assert!(!closed(&alice("b")));
    }

    #[test]
    fn the_same_login_rests_for_a_minute_whoever_tried_it() {
        let brokers = |name: &str| vec![format!("{name}:9092")];
        let alice = |password: &str| Security {
            login: Some(Login::Plain {
                name: "alice".to_string(),
                password: Secret::new(password),
            }),
            ..Security::default()
        };
        let start = Instant::now();
        let later = |s| start + Duration::from_secs(s);
        let ask = |name: &str, password: &str, s| may(&brokers(name), &alice(password), later(s));
        // The others wait for the first, but not for ever.
        assert_eq!((ask("h", "a", 0), ask("h", "a", 1)), (May::Try, May::Wait));
        assert_eq!((ask("h", "a", 3), ask("h", "a", 4)), (May::Try, May::Wait));
        unanswered(&brokers("h"), &alice("a"));
        assert_eq!(ask("h", "a", 4), May::Try);
        refused(&brokers("h"), &alice("a"), "no", later(5));
        unanswered(&brokers("h"), &alice("a"));
        assert_eq!(ask("h", "a", 64), May::Rest("no".to_string()));
        // Another password, or other brokers, may be right.
        assert_eq!((ask("h", "b", 64), ask("i", "a", 64)), (May::Try, May::Try));
        assert_eq!((ask("h", "a", 65), ask("h", "a", 66)), (May::Try, May::Wait));
        believed(&brokers("h"), &alice("a"));
        assert_eq!((ask("h", "a", 66), ask("h", "a", 66)), (May::Try, May::Try));
    }
}
