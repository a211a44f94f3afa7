//! PKCS12 (RFC 7292): what OpenSSL writes, and `keytool` of today, whatever the file is called.

use super::der::{Der, OCTETS, OID, SEQUENCE, SET, field};
use super::pbe::{self, Locked};
use super::store::{Entry, Flaw};
use super::x509::Certificate;

const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
const ENCRYPTED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 6];
/// Followed by the kind of the bag.
const BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 12, 10, 1];
const FRIENDLY_NAME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 20];
const LOCAL_KEY_ID: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 21];
/// How Java marks what it trusts.
const JAVA_TRUSTED: &[u8] = &[0x60, 0x86, 0x48, 1, 0x86, 0xf9, 0x66, 0xad, 0xca, 0x7b, 1, 1];
/// Locked parts of a store, each of which takes a while to be opened.
const LOCKED_MAX: usize = 64;
/// Certificates above a key's own.
const CHAIN_MAX: usize = 16;

/// What a store holds, as it stands there.
#[derive(Default)]
struct Bags {
    keys: Vec<Key>,
    certificates: Vec<Held>,
    locked: usize,
}

struct Key {
    marks: Marks,
    /// `None`: it was not asked for.
    key: Option<Vec<u8>>,
}

struct Held {
    marks: Marks,
    der: Vec<u8>,
}

#[derive(Default)]
struct Marks {
    name: String,
    id: Vec<u8>,
    is_trusted: bool,
}

impl From<Locked> for Flaw {
    fn from(locked: Locked) -> Flaw {
        match locked {
            Locked::Malformed => Flaw::Malformed,
            Locked::Unknown => Flaw::Unknown,
            Locked::WrongPassword => Flaw::WrongPassword,
        }
    }
}

/// Reads all entries. Without a password, an empty one is tried. `key_password`: that of its keys,
/// which are passed over without one.
pub(super) fn read(
    bytes: &[u8],
    password: Option<&str>,
    key_password: Option<&str>,
) -> Result<Vec<Entry>, Flaw> {
    let mut pfx = Der(bytes).enter(SEQUENCE)?;
    if pfx.number()? != 3 {
        return Err(Flaw::Malformed);
    }
    let mut safe = pfx.enter(SEQUENCE)?;
    if safe.take(OID)?.content != DATA {
        return Err(Flaw::Unknown);
    }
    let content = safe.enter(field(0))?.take(OCTETS)?.content;
    let text = password.unwrap_or_default();
    if !pfx.is_empty() && !pbe::is_sealed(pfx.enter(SEQUENCE)?, content, text)? {
        return Err(if password.is_some() { Flaw::WrongPassword } else { Flaw::NoPassword });
    }
    let mut bags = Bags::default();
    let mut parts = Der(content).enter(SEQUENCE)?;
    while !parts.is_empty() {
        let mut part = parts.enter(SEQUENCE)?;
        let kind = part.take(OID)?.content;
        let mut inside = part.enter(field(0))?;
        if kind == DATA {
            bags.add(inside.take(OCTETS)?.content, key_password)?;
        } else if kind == ENCRYPTED_DATA {
            bags.add(&bags.opened(inside, text)?, key_password)?;
        } else {
            return Err(Flaw::Unknown);
        }
    }
    Ok(bags.into_entries())
}

impl Bags {
    fn opened(&self, mut data: Der<'_>, password: &str) -> Result<Vec<u8>, Flaw> {
        if self.locked >= LOCKED_MAX {
            return Err(Flaw::Malformed);
        }
        let mut data = data.enter(SEQUENCE)?;
        data.number()?;
        let mut info = data.enter(SEQUENCE)?;
        info.take(OID)?;
        let algorithm = info.enter(SEQUENCE)?;
        // [0] in place of the tag of the bytes.
        Ok(pbe::open(algorithm, info.take(0x80)?.content, password)?)
    }

    fn add(&mut self, bags: &[u8], key_password: Option<&str>) -> Result<(), Flaw> {
        self.locked += 1;
        let mut bags = Der(bags).enter(SEQUENCE)?;
        while !bags.is_empty() {
            let mut bag = bags.enter(SEQUENCE)?;
            let kind = bag.take(OID)?.content;
            let mut value = bag.enter(field(0))?;
            let marks = if bag.is_empty() { Marks::default() } else { marks(bag.enter(SET)?)? };
            match kind.strip_prefix(BAG) {
                Some([1]) => {
                    let key = Some(value.take(SEQUENCE)?.whole.to_vec());
                    self.keys.push(Key { marks, key });
                }
                Some([2]) => {
                    let mut locked = value.enter(SEQUENCE)?;
                    let algorithm = locked.enter(SEQUENCE)?;
                    let locked = locked.take(OCTETS)?.content;
                    self.locked += 1;
                    if self.locked > LOCKED_MAX {
                        return Err(Flaw::Malformed);
                    }
                    let key = key_password.map(|password| {
                        pbe::open_key(algorithm, locked, password).map_err(|why| match why {
                            Locked::WrongPassword => Flaw::WrongKeyPassword,
                            other => other.into(),
                        })
                    });
                    self.keys.push(Key { marks, key: key.transpose()? });
                }
                Some([3]) => {
                    let mut certificate = value.enter(SEQUENCE)?;
                    certificate.take(OID)?;
                    let der = certificate.enter(field(0))?.take(OCTETS)?.content.to_vec();
                    self.certificates.push(Held { marks, der });
                }
                // Lists of revoked ones, secrets, and bags of bags.
                _ => {}
            }
        }
        Ok(())
    }

    /// What Java sees in it: of certificates beside keys, and where some are marked as trusted, only
    /// those that are marked count by themselves. OpenSSL marks none.
    fn into_entries(self) -> Vec<Entry> {
        let Bags { keys, certificates, .. } = self;
        let marked = !keys.is_empty() || certificates.iter().any(|c| c.marks.is_trusted);
        let mut entries: Vec<Entry> = keys
            .into_iter()
            .map(|Key { marks, key }| {
                let own =
                    certificates.iter().find(|c| !c.marks.id.is_empty() && c.marks.id == marks.id);
                let own = own.or(if certificates.len() == 1 { certificates.first() } else { None });
                let chain = own.map(|own| chain(own, &certificates)).unwrap_or_default();
                Entry::Key { alias: marks.name, key, chain }
            })
            .collect();
        let trusted = certificates.into_iter().filter(|c| !marked || c.marks.is_trusted);
        entries.extend(trusted.map(|c| Entry::Trusted(c.der)));
        entries
    }
}

/// A certificate and those above it, each the issuer of the one before.
fn chain(own: &Held, all: &[Held]) -> Vec<Vec<u8>> {
    let mut chain = vec![own.der.clone()];
    while chain.len() < CHAIN_MAX {
        let Ok(last) = Certificate::read(&chain[chain.len() - 1]) else { break };
        if last.is_self_issued() {
            break;
        }
        let issues = |held: &&Held| {
            Certificate::read(&held.der).is_ok_and(|c| c.subject_der == last.issuer_der)
        };
        let Some(issuer) = all.iter().find(issues).map(|held| held.der.clone()) else { break };
        if chain.contains(&issuer) {
            break;
        }
        chain.push(issuer);
    }
    chain
}

fn marks(mut attributes: Der<'_>) -> Result<Marks, Flaw> {
    let mut marks = Marks::default();
    while !attributes.is_empty() {
        let mut attribute = attributes.enter(SEQUENCE)?;
        let oid = attribute.take(OID)?.content;
        let mut values = attribute.enter(SET)?;
        if oid == JAVA_TRUSTED {
            marks.is_trusted = true;
        } else if oid == LOCAL_KEY_ID {
            marks.id = values.any()?.content.to_vec();
        } else if oid == FRIENDLY_NAME {
            let units = values.any()?.content.chunks_exact(2);
            let units: Vec<u16> = units.map(|u| u16::from_be_bytes([u[0], u[1]])).collect();
            marks.name = String::from_utf16_lossy(&units);
        }
    }
    Ok(marks)
}
