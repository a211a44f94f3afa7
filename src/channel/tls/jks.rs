//! Java's own kind of store, as `keytool -storetype JKS` writes it.

use ring::digest::{Context, Digest, SHA1_FOR_LEGACY_USE_ONLY as SHA1};

use super::der::{Der, OCTETS, OID, SEQUENCE};
use super::store::{Entry, Flaw};

pub(super) const MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];
/// How Java marks a key that is locked in its own way.
const PROTECTOR: &[u8] = &[0x2b, 6, 1, 4, 1, 0x2a, 2, 0x11, 1, 1];
const SUM_BYTES: usize = 20;

/// Reads all entries. `password`: that of the store, whose checksum is left alone without one.
/// `key_password`: that of its keys, which are passed over without one.
pub(super) fn read(
    bytes: &[u8],
    password: Option<&str>,
    key_password: Option<&str>,
) -> Result<Vec<Entry>, Flaw> {
    let body = bytes.len().checked_sub(SUM_BYTES).ok_or(Flaw::Malformed)?;
    let (body, sum) = bytes.split_at(body);
    if let Some(password) = password {
        let told = sum_of(&[&utf16(password), b"Mighty Aphrodite", body]);
        if told.as_ref() != sum {
            return Err(Flaw::WrongPassword);
        }
    }
    let mut r = Bytes(body);
    if r.take(4)? != MAGIC {
        return Err(Flaw::Malformed);
    }
    let version = r.number()?;
    if !(1..=2).contains(&version) {
        return Err(Flaw::Malformed);
    }
    let mut entries = Vec::new();
    // A count says how often to go on, and nothing of how much room is needed.
    for _ in 0..r.number()? {
        let kind = r.number()?;
        let alias = r.text()?;
        r.take(8)?;
        match kind {
            1 => {
                let locked = r.block()?;
                let mut chain = Vec::new();
                for _ in 0..r.number()? {
                    chain.push(certificate(&mut r, version)?);
                }
                let key = key_password.map(|password| open(locked, password)).transpose()?;
                entries.push(Entry::Key { alias, key, chain });
            }
            2 => entries.push(Entry::Trusted(certificate(&mut r, version)?)),
            _ => return Err(Flaw::Malformed),
        }
    }
    Ok(entries)
}

fn certificate(r: &mut Bytes<'_>, version: u32) -> Result<Vec<u8>, Flaw> {
    if version == 2 {
        r.text()?;
    }
    r.block().map(<[u8]>::to_vec)
}

/// Opens a key: it is laid over with a stream of checksums.
fn open(locked: &[u8], password: &str) -> Result<Vec<u8>, Flaw> {
    let mut info = Der(locked).enter(SEQUENCE)?;
    if info.enter(SEQUENCE)?.take(OID)?.content != PROTECTOR {
        return Err(Flaw::Unknown);
    }
    let sealed = info.take(OCTETS)?.content;
    let (salt, rest) = sealed.split_at_checked(SUM_BYTES).ok_or(Flaw::Malformed)?;
    let at = rest.len().checked_sub(SUM_BYTES).ok_or(Flaw::Malformed)?;
    let (hidden, sum) = rest.split_at(at);
    let password = utf16(password);
    let mut last = sum_of(&[&password, salt]);
    let mut key = Vec::with_capacity(hidden.len());
    for piece in hidden.chunks(SUM_BYTES) {
        key.extend(piece.iter().zip(last.as_ref()).map(|(a, b)| a ^ b));
        last = sum_of(&[&password, last.as_ref()]);
    }
    match sum_of(&[&password, &key]).as_ref() == sum {
        true => Ok(key),
        false => Err(Flaw::WrongKeyPassword),
    }
}

fn utf16(password: &str) -> Vec<u8> {
    password.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

fn sum_of(parts: &[&[u8]]) -> Digest {
    let mut context = Context::new(&SHA1);
    parts.iter().for_each(|part| context.update(part));
    context.finish()
}

/// What is left to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Flaw> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Flaw::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, Flaw> {
        Ok(self.take(4)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    fn block(&mut self) -> Result<&'a [u8], Flaw> {
        let length = self.number()?;
        self.take(length as usize)
    }

    fn text(&mut self) -> Result<String, Flaw> {
        let length = self.take(2)?.iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }
}
