//! What the exchanges need of cryptography, from `ring`.

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    Sha256,
    Sha512,
}

pub use with::{digest, hmac, is_hmac, pbkdf2, random};

#[cfg(feature = "tls")]
mod with {
    use std::num::NonZeroU32;

    use ring::rand::{SecureRandom as _, SystemRandom};
    use ring::{digest, hmac, pbkdf2};

    use super::Hash;

    fn algorithm(hash: Hash) -> hmac::Algorithm {
        match hash {
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha512 => hmac::HMAC_SHA512,
        }
    }

    pub fn hmac(hash: Hash, key: &[u8], message: &[u8]) -> Vec<u8> {
        let key = hmac::Key::new(algorithm(hash), key);
        hmac::sign(&key, message).as_ref().to_vec()
    }

    /// Is it the HMAC? Takes as long whatever differs.
    pub fn is_hmac(hash: Hash, key: &[u8], message: &[u8], tag: &[u8]) -> bool {
        hmac::verify(&hmac::Key::new(algorithm(hash), key), message, tag).is_ok()
    }

    pub fn digest(hash: Hash, bytes: &[u8]) -> Vec<u8> {
        let algorithm = match hash {
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes).as_ref().to_vec()
    }

    /// A million rounds take about half a second.
    pub fn pbkdf2(hash: Hash, password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Vec<u8> {
        let (algorithm, length) = match hash {
            Hash::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, 32),
            Hash::Sha512 => (pbkdf2::PBKDF2_HMAC_SHA512, 64),
        };
        let mut key = vec![0; length];
        pbkdf2::derive(algorithm, iterations, salt, password, &mut key);
        key
    }

    /// Fills `out`. `false`: the system gives no random numbers.
    pub fn random(out: &mut [u8]) -> bool {
        SystemRandom::new().fill(out).is_ok()
    }
}

/// The configuration of a program that was built without them refuses logins.
#[cfg(not(feature = "tls"))]
mod with {
    use std::num::NonZeroU32;

    use super::Hash;

    pub fn hmac(_: Hash, _: &[u8], _: &[u8]) -> Vec<u8> {
        Vec::new()
    }

    pub fn is_hmac(_: Hash, _: &[u8], _: &[u8], _: &[u8]) -> bool {
        false
    }

    pub fn digest(_: Hash, _: &[u8]) -> Vec<u8> {
        Vec::new()
    }

    pub fn pbkdf2(_: Hash, _: &[u8], _: &[u8], _: NonZeroU32) -> Vec<u8> {
        Vec::new()
    }

    pub fn random(_: &mut [u8]) -> bool {
        false
    }
}
