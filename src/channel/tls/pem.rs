//! PEM: DER in base64 between two lines. In a property, the lines may be one: Kafka takes a blank for
//! the end of a line, too.

/// Sections that are looked at: a system's bundle has some 150.
const SECTIONS_MAX: usize = 10_000;

/// What stands between two such lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    /// As `CERTIFICATE`.
    pub label: String,
    /// `None` where it is no base64.
    pub der: Option<Vec<u8>>,
}

/// Is it one, as far as its beginning tells?
pub(super) fn is_pem(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, b"-----BEGIN ").is_some()
}

/// All sections, in their order.
pub(super) fn sections(text: &[u8]) -> Vec<Section> {
    let mut sections = Vec::new();
    let mut rest = text;
    while sections.len() < SECTIONS_MAX {
        let Some(section) = next(&mut rest) else { break };
        sections.push(section);
    }
    sections
}

fn next(rest: &mut &[u8]) -> Option<Section> {
    let find = |text: &[u8], what: &[u8]| memchr::memmem::find(text, what);
    let at = find(rest, b"-----BEGIN ")? + b"-----BEGIN ".len();
    *rest = &rest[at..];
    let end = find(rest, b"-----")?;
    let label = String::from_utf8_lossy(&rest[..end]).trim().to_string();
    *rest = &rest[end + 5..];
    let body = &rest[..find(rest, b"-----END ")?];
    *rest = &rest[body.len()..];
    Some(Section { label, der: decode(body) })
}

/// Base64, blanks and ends of lines aside.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count, mut is_over) = (0u32, 0, false);
    for byte in text.iter().filter(|b| !b.is_ascii_whitespace()) {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                is_over = true;
                continue;
            }
            _ => return None,
        };
        if is_over {
            return None;
        }
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    (count < 6).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_stand_in_lines_or_in_one() {
        let lines = "Bag\n-----BEGIN CERTIFICATE-----\nAAEC\nAwQ=\n-----END CERTIFICATE-----\n";
        let one = "-----BEGIN PRIVATE KEY----- AAE C -----END PRIVATE KEY-----";
        let text = format!("{lines}{one}-----BEGIN X-----%-----END X-----  -----BEGIN ");
        let section = |label: &str, der: Option<&[u8]>| Section {
            label: label.to_string(),
            der: der.map(<[u8]>::to_vec),
        };
        assert_eq!(
            sections(text.as_bytes()),
            [
                section("CERTIFICATE", Some(&[0, 1, 2, 3, 4])),
                section("PRIVATE KEY", Some(&[0, 1, 2])),
                section("X", None)
            ]
        );
        assert!(is_pem(text.as_bytes()) && !is_pem(b"\xfe\xed\xfe\xed"));
        assert_eq!(decode(b"AAAAA"), None);
    }
}
