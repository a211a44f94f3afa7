//! What is to be said of a certificate, and what has to be known of it beside its signatures: whose it
//! is, who issued it, until when it holds, and for which names.

use std::net::IpAddr;

use super::der::{BIT_STRING, Der, INTEGER, Malformed, OCTETS, OID, SEQUENCE, SET, field};

/// Longest name that is shown, characters.
const SHOWN_MAX: usize = 200;
/// Names of one certificate that are kept.
const NAMES_MAX: usize = 1_000;

const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate<'a> {
    /// 1 to 3.
    pub version: u32,
    /// The most special part first: `CN=kafka1, O=Example, C=DE`.
    pub subject: String,
    pub issuer: String,
    pub subject_der: &'a [u8],
    pub issuer_der: &'a [u8],
    /// Seconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
    /// Of the subject, the last one first.
    pub common_names: Vec<String>,
    /// Of the extension for other names.
    pub dns: Vec<String>,
    pub addresses: Vec<IpAddr>,
}

impl<'a> Certificate<'a> {
    /// # Errors
    /// It is none.
    pub(super) fn read(der: &'a [u8]) -> Result<Certificate<'a>, Malformed> {
        let mut body = Der(der).enter(SEQUENCE)?.enter(SEQUENCE)?;
        let version = match body.optional(field(0))? {
            Some(version) => version.inner().number()?.saturating_add(1),
            None => 1,
        };
        body.take(INTEGER)?;
        body.take(SEQUENCE)?;
        let issuer = body.take(SEQUENCE)?;
        let mut validity = body.enter(SEQUENCE)?;
        let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
        let subject = body.take(SEQUENCE)?;
        body.take(SEQUENCE)?;
        let (subject_name, mut common_names) = name(subject.inner())?;
        common_names.reverse();
        let mut certificate = Certificate {
            version,
            subject: subject_name,
            issuer: name(issuer.inner())?.0,
            subject_der: subject.whole,
            issuer_der: issuer.whole,
            not_before,
            not_after,
            common_names,
            dns: Vec::new(),
            addresses: Vec::new(),
        };
        while !body.is_empty() {
            let extra = body.any()?;
            if extra.tag == field(3) {
                certificate.take_extensions(extra.inner().enter(SEQUENCE)?)?;
            }
        }
        Ok(certificate)
    }

    fn take_extensions(&mut self, mut extensions: Der<'_>) -> Result<(), Malformed> {
        while !extensions.is_empty() {
            let mut extension = extensions.enter(SEQUENCE)?;
            if extension.take(OID)?.content != SUBJECT_ALT_NAME {
                continue;
            }
            extension.optional(1)?;
            let mut names = Der(extension.take(OCTETS)?.content).enter(SEQUENCE)?;
            while !names.is_empty() && self.dns.len() + self.addresses.len() < NAMES_MAX {
                let value = names.any()?;
                match value.tag {
                    0x82 => self.dns.push(String::from_utf8_lossy(value.content).into_owned()),
                    0x87 => self.addresses.extend(address(value.content)),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    pub(super) fn is_self_issued(&self) -> bool {
        self.subject_der == self.issuer_der
    }

    /// The names that it is for, in words. An address is never a common name.
    pub(super) fn names(&self, of_host: bool) -> String {
        let mut names = self.dns.clone();
        names.extend(self.addresses.iter().map(IpAddr::to_string));
        if self.dns.is_empty() && of_host {
            names.extend(self.common_names.first().cloned());
        }
        names.dedup();
        let more = names.len().saturating_sub(8);
        names.truncate(8);
        let all = match names.is_empty() {
            true => "nobody".to_string(),
            false => names.join(", "),
        };
        if more > 0 { format!("{all} and {more} more") } else { all }
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

fn time(r: &mut Der<'_>) -> Result<i64, Malformed> {
    let value = r.any()?;
    let digits = value.content.strip_suffix(b"Z").ok_or(Malformed)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    let number = |digits: &[u8]| digits.iter().fold(0i64, |n, d| n * 10 + i64::from(d - b'0'));
    let (year, rest) = match (value.tag, digits.len()) {
        (0x17, 12) => {
            let year = number(&digits[..2]);
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        (0x18, 14) => (number(&digits[..4]), &digits[4..]),
        _ => return Err(Malformed),
    };
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|at| number(&rest[at..at + 2]));
    let narrow = |n: i64| u8::try_from(n).map_err(|_| Malformed);
    let month = time::Month::try_from(narrow(month)?).map_err(|_| Malformed)?;
    let date = time::Date::from_calendar_date(year as i32, month, narrow(day)?);
    let date = date.map_err(|_| Malformed)?;
    Ok(date.midnight().assume_utc().unix_timestamp() + hour * 3600 + minute * 60 + second)
}

/// A name as it is written, and the common names in it.
fn name(mut parts: Der<'_>) -> Result<(String, Vec<String>), Malformed> {
    let (mut shown, mut common) = (Vec::new(), Vec::new());
    while !parts.is_empty() {
        let mut set = parts.enter(SET)?;
        while !set.is_empty() {
            let mut attribute = set.enter(SEQUENCE)?;
            let oid = attribute.take(OID)?.content;
            let value = attribute.any()?;
            let text = text(value.tag, value.content);
            shown.push(format!("{}={text}", short(oid)));
            if oid == COMMON_NAME && common.len() < NAMES_MAX {
                common.push(text);
            }
        }
    }
    shown.reverse();
    let mut shown = if shown.is_empty() { "no name".to_string() } else { shown.join(", ") };
    if let Some((at, _)) = shown.char_indices().nth(SHOWN_MAX) {
        shown.truncate(at);
        shown.push('…');
    }
    Ok((shown, common))
}

fn short(oid: &[u8]) -> String {
    let word = match oid {
        [0x55, 4, 3] => "CN",
        [0x55, 4, 5] => "SERIALNUMBER",
        [0x55, 4, 6] => "C",
        [0x55, 4, 7] => "L",
        [0x55, 4, 8] => "ST",
        [0x55, 4, 10] => "O",
        [0x55, 4, 11] => "OU",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1] => "EMAILADDRESS",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25] => "DC",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1] => "UID",
        _ => {
            let bytes = oid.iter().take(16);
            return bytes.map(|b| format!("{b:02x}")).collect();
        }
    };
    word.to_string()
}

fn text(tag: u8, bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(4 * SHOWN_MAX)];
    match tag {
        // Two bytes for each unit, or four for each character.
        0x1e => {
            let units = bytes.chunks_exact(2).map(|u| u16::from_be_bytes([u[0], u[1]]));
            char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect()
        }
        0x1c => bytes
            .chunks_exact(4)
            .map(|c| char::from_u32(u32::from_be_bytes([c[0], c[1], c[2], c[3]])))
            .map(|c| c.unwrap_or('\u{fffd}'))
            .collect(),
        BIT_STRING => bytes.iter().map(|b| format!("{b:02x}")).collect(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}
