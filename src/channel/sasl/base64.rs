//! Base64, as the exchanges write it (RFC 4648): with padding, and for names in URLs without.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const FOR_URLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub fn encode(bytes: &[u8]) -> String {
    let mut text = digits(bytes, ALPHABET);
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// Without padding, and with `-_` in place of `+/`.
pub fn encode_for_url(bytes: &[u8]) -> String {
    digits(bytes, FOR_URLS)
}

fn digits(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..=three.len() {
            let value = bits >> (18 - 6 * digit) & 0x3f;
            text.push(alphabet[value as usize].into());
        }
    }
    text
}

/// `None` where it is no base64 with its padding.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take(2).take_while(|b| **b == b'=').count();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let mut bits = 0u32;
    for (at, digit) in text[..text.len() - padding].iter().enumerate() {
        let value = ALPHABET.iter().position(|d| d == digit)?;
        bits = bits << 6 | value as u32;
        if at % 4 == 3 {
            bytes.extend_from_slice(&bits.to_be_bytes()[1..]);
            bits = 0;
        }
    }
    match padding {
        1 => bytes.extend_from_slice(&(bits << 6).to_be_bytes()[1..3]),
        2 => bytes.extend_from_slice(&(bits << 12).to_be_bytes()[1..2]),
        _ => {}
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648, section 10.
    #[test]
    fn published_vectors() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, text) in vectors {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(plain.as_bytes()));
        }
        assert_eq!(encode_for_url(&[0xfb, 0xff, 0xfe, 1]), "-__-AQ");
        for wrong in ["Z", "Zg=", "Zg", "Z===", "====", "Zm9v!m==", "Zg==Zg==", "Zé=="] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
