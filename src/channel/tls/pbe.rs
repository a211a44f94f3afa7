//! Keys and certificates that are locked with a password: PBES2 and the ways of PKCS12 before it.

use std::num::NonZeroU32;

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt as _, InnerIvInit as _, KeyIvInit};
use ring::{digest, hmac, pbkdf2};

use super::der::{Der, INTEGER, Malformed, OCTETS, OID, SEQUENCE};

/// Rounds of deriving a key. Java makes 10,000, OpenSSL 2,048; a hostile store must not hold us up.
const ROUNDS_MAX: u32 = 1_000_000;

/// Why something that is locked stays so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Locked {
    Malformed,
    /// Another cipher, or hash, than is known here.
    Unknown,
    WrongPassword,
}

impl From<Malformed> for Locked {
    fn from(_: Malformed) -> Locked {
        Locked::Malformed
    }
}

const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 13];
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 12];
/// Followed by what kind it is: 3 and 4 are triple DES, 5 and 6 RC2.
const PKCS12_PBE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 12, 1];
const HMAC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2];
const AES_CBC: &[u8] = &[0x60, 0x86, 0x48, 1, 101, 3, 4, 1];
const TRIPLE_DES: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 3, 7];

/// Opens a key. With another password than it was locked with, what comes of it is no value of DER.
pub(super) fn open_key(
    algorithm: Der<'_>,
    locked: &[u8],
    password: &str,
) -> Result<Vec<u8>, Locked> {
    let key = open(algorithm, locked, password)?;
    let is_one = Der(&key).take(SEQUENCE).is_ok_and(|value| value.whole.len() == key.len());
    if is_one { Ok(key) } else { Err(Locked::WrongPassword) }
}

/// Opens what was locked as `algorithm` (the inside of an `AlgorithmIdentifier`) says.
pub(super) fn open(algorithm: Der<'_>, locked: &[u8], password: &str) -> Result<Vec<u8>, Locked> {
    let mut algorithm = algorithm;
    let oid = algorithm.take(OID)?.content;
    let mut parameters = algorithm.enter(SEQUENCE)?;
    if oid == PBES2 {
        return open_2(parameters, locked, password);
    }
    let Some([kind]) = oid.strip_prefix(PKCS12_PBE) else { return Err(Locked::Unknown) };
    let salt = parameters.take(OCTETS)?.content;
    let rounds = rounds(parameters.number()?)?;
    let password = bmp(password);
    let derive = |id, length| derive(&SHA_1, id, &password, salt, rounds, length);
    let iv = derive(2, 8);
    match kind {
        3 => cbc::<des::TdesEde3>(&derive(1, 24), &iv, locked),
        4 => {
            let mut key = derive(1, 16);
            key.extend_from_within(..8);
            cbc::<des::TdesEde3>(&key, &iv, locked)
        }
        5 => rc2(&derive(1, 16), &iv, locked),
        6 => rc2(&derive(1, 5), &iv, locked),
        _ => Err(Locked::Unknown),
    }
}

fn rounds(count: u32) -> Result<NonZeroU32, Locked> {
    NonZeroU32::new(count).filter(|n| n.get() <= ROUNDS_MAX).ok_or(Locked::Malformed)
}

fn open_2(mut parameters: Der<'_>, locked: &[u8], password: &str) -> Result<Vec<u8>, Locked> {
    let mut derivation = parameters.enter(SEQUENCE)?;
    let mut encryption = parameters.enter(SEQUENCE)?;
    if derivation.take(OID)?.content != PBKDF2 {
        return Err(Locked::Unknown);
    }
    let mut derivation = derivation.enter(SEQUENCE)?;
    let salt = derivation.take(OCTETS)?.content;
    let rounds = rounds(derivation.number()?)?;
    derivation.optional(INTEGER)?;
    let hash = match derivation.optional(SEQUENCE)? {
        None => 7,
        Some(hash) => match hash.inner().take(OID)?.content.strip_prefix(HMAC) {
            Some([kind]) => *kind,
            _ => return Err(Locked::Unknown),
        },
    };
    let algorithm = match hash {
        7 => pbkdf2::PBKDF2_HMAC_SHA1,
        9 => pbkdf2::PBKDF2_HMAC_SHA256,
        10 => pbkdf2::PBKDF2_HMAC_SHA384,
        11 => pbkdf2::PBKDF2_HMAC_SHA512,
        _ => return Err(Locked::Unknown),
    };
    let cipher = encryption.take(OID)?.content;
    let iv = encryption.take(OCTETS)?.content;
    let derive = |length| {
        let mut key = vec![0; length];
        pbkdf2::derive(algorithm, rounds, salt, password.as_bytes(), &mut key);
        key
    };
    match cipher.strip_prefix(AES_CBC) {
        Some([2]) => cbc::<aes::Aes128>(&derive(16), iv, locked),
        Some([22]) => cbc::<aes::Aes192>(&derive(24), iv, locked),
        Some([42]) => cbc::<aes::Aes256>(&derive(32), iv, locked),
        _ if cipher == TRIPLE_DES => cbc::<des::TdesEde3>(&derive(24), iv, locked),
        _ => Err(Locked::Unknown),
    }
}

fn cbc<C>(key: &[u8], iv: &[u8], locked: &[u8]) -> Result<Vec<u8>, Locked>
where
    C: aes::cipher::BlockCipherDecrypt + aes::cipher::KeyInit,
{
    let decryptor = cbc::Decryptor::<C>::new_from_slices(key, iv).map_err(|_| Locked::Malformed)?;
    let mut bytes = locked.to_vec();
    let open = decryptor.decrypt_padded::<Pkcs7>(&mut bytes).map_err(|_| Locked::WrongPassword)?;
    Ok(open.to_vec())
}

fn rc2(key: &[u8], iv: &[u8], locked: &[u8]) -> Result<Vec<u8>, Locked> {
    let cipher = rc2::Rc2::new_with_eff_key_len(key, 8 * key.len());
    let decryptor =
        cbc::Decryptor::inner_iv_slice_init(cipher, iv).map_err(|_| Locked::Malformed)?;
    let mut bytes = locked.to_vec();
    let open = decryptor.decrypt_padded::<Pkcs7>(&mut bytes).map_err(|_| Locked::WrongPassword)?;
    Ok(open.to_vec())
}

/// A password as PKCS12 takes it: two bytes for each unit, and two zeros.
fn bmp(password: &str) -> Vec<u8> {
    password.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect()
}

/// A hash, as PKCS12 uses one.
struct Hash {
    digest: &'static digest::Algorithm,
    hmac: hmac::Algorithm,
}

const SHA_1: Hash =
    Hash { digest: &digest::SHA1_FOR_LEGACY_USE_ONLY, hmac: hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY };
const SHA_256: Hash = Hash { digest: &digest::SHA256, hmac: hmac::HMAC_SHA256 };
const SHA_384: Hash = Hash { digest: &digest::SHA384, hmac: hmac::HMAC_SHA384 };
const SHA_512: Hash = Hash { digest: &digest::SHA512, hmac: hmac::HMAC_SHA512 };

/// PKCS12's own way from a password to a key (RFC 7292, appendix B). `id`: 1 for a key, 2 for an
/// initial vector, 3 for a checksum.
fn derive(
    hash: &Hash,
    id: u8,
    password: &[u8],
    salt: &[u8],
    rounds: NonZeroU32,
    length: usize,
) -> Vec<u8> {
    let block = hash.digest.block_len();
    let fill = |bytes: &[u8]| -> Vec<u8> {
        let length = bytes.len().div_ceil(block) * block;
        bytes.iter().copied().cycle().take(length).collect()
    };
    let mut input = fill(salt);
    input.extend(fill(password));
    let mut key = Vec::new();
    while key.len() < length {
        let mut context = digest::Context::new(hash.digest);
        context.update(&vec![id; block]);
        context.update(&input);
        let mut piece = context.finish();
        for _ in 1..rounds.get() {
            piece = digest::digest(hash.digest, piece.as_ref());
        }
        key.extend_from_slice(piece.as_ref());
        let addend: Vec<u8> = piece.as_ref().iter().copied().cycle().take(block).collect();
        for chunk in input.chunks_mut(block) {
            let mut carry = 1u16;
            for (byte, more) in chunk.iter_mut().zip(&addend).rev() {
                carry += u16::from(*byte) + u16::from(*more);
                *byte = carry as u8;
                carry >>= 8;
            }
        }
    }
    key.truncate(length);
    key
}

const SHA1_OID: &[u8] = &[0x2b, 14, 3, 2, 26];
const SHA2_OID: &[u8] = &[0x60, 0x86, 0x48, 1, 101, 3, 4, 2];

/// Is `mac` (the inside of PKCS12's `MacData`) that of `content` under this password?
pub(super) fn is_sealed(mut mac: Der<'_>, content: &[u8], password: &str) -> Result<bool, Locked> {
    let mut info = mac.enter(SEQUENCE)?;
    let oid = info.enter(SEQUENCE)?.take(OID)?.content;
    let hash = match oid.strip_prefix(SHA2_OID) {
        Some([1]) => SHA_256,
        Some([2]) => SHA_384,
        Some([3]) => SHA_512,
        None if oid == SHA1_OID => SHA_1,
        _ => return Err(Locked::Unknown),
    };
    let sum = info.take(OCTETS)?.content;
    let salt = mac.take(OCTETS)?.content;
    let rounds = rounds(if mac.is_empty() { 1 } else { mac.number()? })?;
    let key = derive(&hash, 3, &bmp(password), salt, rounds, hash.digest.output_len());
    Ok(hmac::verify(&hmac::Key::new(hash.hmac, &key), content, sum).is_ok())
}
