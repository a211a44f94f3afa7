//! What is spoken on a connection, and whose a certificate is, for those who look. A build without TLS
//! knows these too, and never sees one.

use time::OffsetDateTime;

/// What is spoken on a connection: the version, and the cipher as Java calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spoken {
    pub version: &'static str,
    pub cipher: String,
    /// The broker's.
    pub certificate: Option<Summary>,
}

/// A certificate for those who look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub subject: String,
    pub issuer: String,
    /// Seconds since 1970.
    pub not_after: i64,
}

impl Summary {
    /// Its last moment, for a message.
    pub fn end(&self) -> String {
        shown_time(self.not_after)
    }

    /// Whole days that are left of it at that time, negative when it is over.
    pub fn days_left(&self, now_s: i64) -> i64 {
        self.not_after.saturating_sub(now_s).div_euclid(86_400)
    }
}

/// A moment (seconds since 1970) for a message.
pub(super) fn shown_time(seconds: i64) -> String {
    match OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(at) => format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        ),
        Err(_) => format!("{seconds} s after 1970"),
    }
}
