//! Logins that were refused a moment ago, by whichever channel of this process: several sources may log in
//! as one, and an account is locked by all of their tries together.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::config::security::Security;

/// So long nobody tries the same again.
pub const REST: Duration = Duration::from_secs(60);
/// No more are remembered.
const KNOWN_MAX: usize = 64;

struct Refused {
    brokers: Vec<String>,
    as_whom: Security,
    at: Instant,
    why: String,
}

thread_local! {
    static KNOWN: RefCell<Vec<Refused>> = const { RefCell::new(Vec::new()) };
}

/// These brokers have just refused it.
pub fn note(brokers: &[String], as_whom: &Security, why: &str, now: Instant) {
    KNOWN.with_borrow_mut(|known| {
        known.retain(|r| now < r.at + REST && !(r.brokers == brokers && r.as_whom == *as_whom));
        if known.len() < KNOWN_MAX {
            let (brokers, as_whom) = (brokers.to_vec(), as_whom.clone());
            known.push(Refused { brokers, as_whom, at: now, why: why.to_string() });
        }
    });
}

/// Have they refused it a moment ago? Their reason.
pub fn lately(brokers: &[String], as_whom: &Security, now: Instant) -> Option<String> {
    KNOWN.with_borrow(|known| {
        let is_it = |r: &&Refused| r.brokers == brokers && r.as_whom == *as_whom;
        let found = known.iter().find(is_it).filter(|r| now < r.at + REST);
        found.map(|r| r.why.clone())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sasl::Login;
    use crate::config::secret::Secret;

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
        let now = Instant::now();
        let later = |s| now + Duration::from_secs(s);
        note(&brokers("h"), &alice("a"), "no", now);
        let told = |name: &str, password: &str, at| lately(&brokers(name), &alice(password), at);
        assert_eq!(told("h", "a", later(59)).as_deref(), Some("no"));
        assert_eq!(told("h", "a", later(60)), None);
        // Another password, or other brokers, may be right.
        assert_eq!(told("h", "b", now).or_else(|| told("i", "a", now)), None);
        note(&brokers("h"), &alice("a"), "again", later(60));
        assert_eq!(told("h", "a", later(100)).as_deref(), Some("again"));
    }
}
