//! Which values must not be printed: passwords and their like, in messages as in tables.

use std::fmt;

use super::diagnostics::Diagnostics;
use crate::java::properties::Properties;

/// What stands for such a value wherever it is shown.
pub(crate) const SHOWN: &str = "***";

/// A text that no message, no table and no trace shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: &str) -> Secret {
        Secret(text.to_string())
    }

    /// The text itself, for who needs it to log in or to open a store.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHOWN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHOWN)
    }
}

/// Is the value of this key one, by what Kafka and Flume call them?
pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let words = ["password", "passwd", "jaas", "secret", "credential"];
    // `kafka.producer.ssl.keystore.key` holds the key itself; that of an interceptor is a header's name.
    words.iter().any(|word| key.contains(word))
        || key.ends_with(".key") && !key.contains(".interceptors.")
}

/// Of an agent's configuration that every user of the machine may read: which keys say a secret there.
pub(super) fn warn_of_written_ones(properties: &Properties, agent: &str, found: &mut Diagnostics) {
    let prefix = format!("{agent}.");
    let is_written = |value: &str| !value.trim().is_empty() && !value.trim().starts_with("${");
    for entry in &properties.entries {
        let key = entry.key.trim();
        if key.starts_with(&prefix) && is_secret(key) && is_written(&entry.value) {
            let message = "every user of this machine can read this secret; chmod o-r the file, or \
                           write ${env:NAME} and set NAME for the agent";
            found.warn(key, entry.line, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(secret.reveal(), "hunter2");
    }

    #[test]
    fn secrets_are_known_by_their_names() {
        for key in [
            "a1.channels.c1.kafka.producer.ssl.keystore.password",
            "a1.channels.c1.kafka.consumer.sasl.jaas.config",
            "a1.channels.c1.kafka.producer.ssl.keystore.key",
            "a1.channels.c1.kafka.producer.sasl.oauthbearer.clientSecret",
            "a1.sources.r1.credential.provider.path",
            "a1.channels.c1.encryption.key",
        ] {
            assert!(is_secret(key), "{key}");
        }
        for key in ["a1.sources.r1.interceptors.i1.key", "a1.channels.c1.topic"] {
            assert!(!is_secret(key), "{key}");
        }
    }
}
