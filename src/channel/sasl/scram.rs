//! SCRAM (RFC 5802) with SHA-256 (RFC 7677) and SHA-512, without channel binding: each side proves to
//! the other that it knows the password, and neither tells it.
//!
//! Kafka takes names and passwords as they are (its brokers prepare none, SASLprep or otherwise), and
//! so does this.

use std::num::NonZeroU32;

use super::base64;
use super::crypto::{self, Hash};
use super::exchange::{Refusal, Step};

/// Fewer rounds make a stolen answer cheap to try passwords on. Kafka's brokers keep none with fewer.
const ITERATIONS_MIN: u32 = 4_096;
/// More would hold up everything else for longer than half a second.
const ITERATIONS_MAX: u32 = 1_000_000;
const NONCE_BYTES: usize = 24;

/// `c=` of a client that binds to no channel: base64 of `n,,`.
const BINDING: &str = "c=biws";

/// One exchange.
pub struct Scram {
    hash: Hash,
    password: String,
    state: State,
}

enum State {
    /// What stands in the first message behind `n,,`, and its nonce.
    First {
        bare: String,
        nonce: String,
    },
    /// What the server's signature has to be one of, and its key.
    Final {
        server_key: Vec<u8>,
        message: String,
    },
    Over,
}

impl Scram {
    /// Begins, and the first token.
    ///
    /// # Errors
    /// Where the system has no random numbers.
    pub fn start(hash: Hash, name: &str, password: &str) -> Result<(Scram, Vec<u8>), Refusal> {
        let mut random = [0; NONCE_BYTES];
        if !crypto::random(&mut random) {
            return Err(Refusal("the system gives no random numbers".to_string()));
        }
        Ok(Scram::with_nonce(hash, name, password, &base64::encode(&random)))
    }

    fn with_nonce(hash: Hash, name: &str, password: &str, nonce: &str) -> (Scram, Vec<u8>) {
        let name = name.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={name},r={nonce}");
        let token = format!("n,,{bare}").into_bytes();
        let state = State::First { bare, nonce: nonce.to_string() };
        (Scram { hash, password: password.to_string(), state }, token)
    }

    /// What is to be done on the server's token.
    ///
    /// # Errors
    /// The server refuses; or it does not know the password either, and is an impostor.
    pub fn answer(&mut self, token: &[u8]) -> Result<Step, Refusal> {
        let text = std::str::from_utf8(token).map_err(|_| garbled())?;
        match std::mem::replace(&mut self.state, State::Over) {
            State::First { bare, nonce } => self.prove(text, &bare, &nonce),
            State::Final { server_key, message } => {
                judge(self.hash, text, &server_key, &message).map(|()| Step::Done)
            }
            State::Over => Err(garbled()),
        }
    }

    fn prove(&mut self, first: &str, bare: &str, nonce: &str) -> Result<Step, Refusal> {
        if let Some(why) = first.strip_prefix("e=") {
            return Err(refused(why));
        }
        let Challenge { nonce, salt, iterations } = Challenge::read(first, nonce)?;
        let hash = self.hash;
        let salted = crypto::pbkdf2(hash, self.password.as_bytes(), &salt, iterations);
        let client_key = crypto::hmac(hash, &salted, b"Client Key");
        let stored_key = crypto::digest(hash, &client_key);
        let server_key = crypto::hmac(hash, &salted, b"Server Key");
        let last = format!("{BINDING},r={nonce}");
        let message = format!("{bare},{first},{last}");
        let signature = crypto::hmac(hash, &stored_key, message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        self.state = State::Final { server_key, message };
        Ok(Step::Send(format!("{last},p={}", base64::encode(&proof)).into_bytes()))
    }
}

/// The server's first message.
struct Challenge<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    iterations: NonZeroU32,
}

impl<'a> Challenge<'a> {
    fn read(text: &'a str, ours: &str) -> Result<Challenge<'a>, Refusal> {
        let mut fields = text.split(',');
        let mut field = |key: &str| fields.next().and_then(|f| f.strip_prefix(key));
        let (Some(nonce), Some(salt), Some(iterations)) = (field("r="), field("s="), field("i="))
        else {
            return Err(garbled());
        };
        if !nonce.starts_with(ours) || nonce.len() == ours.len() {
            let why = "the broker answered another login than this one: something on the way \
                       repeats an old answer";
            return Err(Refusal(why.to_string()));
        }
        let salt = base64::decode(salt).filter(|salt| !salt.is_empty()).ok_or_else(garbled)?;
        let rounds = iterations.parse::<u32>().map_err(|_| garbled())?;
        let iterations = NonZeroU32::new(rounds)
            .filter(|_| (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&rounds))
            .ok_or_else(|| {
                Refusal(format!(
                    "the broker wants {rounds} iterations of SCRAM, and only {ITERATIONS_MIN} to \
                     {ITERATIONS_MAX} are accepted; set the user's password again with a number \
                     in that range"
                ))
            })?;
        Ok(Challenge { nonce, salt, iterations })
    }
}

/// Does the server know the password, too?
fn judge(hash: Hash, last: &str, server_key: &[u8], message: &str) -> Result<(), Refusal> {
    if let Some(why) = last.strip_prefix("e=") {
        return Err(refused(why));
    }
    let first = last.split(',').next().unwrap_or_default();
    let signature = first.strip_prefix("v=").and_then(base64::decode).ok_or_else(garbled)?;
    if crypto::is_hmac(hash, server_key, message.as_bytes(), &signature) {
        return Ok(());
    }
    let why = "the broker does not know the password that it asks for: an impostor answers in \
               its place";
    Err(Refusal(why.to_string()))
}

fn refused(why: &str) -> Refusal {
    let why: String = why.chars().take(100).collect();
    Refusal(format!("the broker refuses the login: {why}"))
}

fn garbled() -> Refusal {
    Refusal("the broker's answer is not valid for SCRAM".to_string())
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use super::*;

    fn text(step: Step) -> String {
        match step {
            Step::Send(token) => String::from_utf8(token).unwrap(),
            other => panic!("{other:?} is not a token"),
        }
    }

    /// RFC 7677, section 3.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const LAST: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn begun() -> (Scram, Vec<u8>) {
        Scram::with_nonce(Hash::Sha256, "user", "pencil", NONCE)
    }

    #[test]
    fn published_exchange_with_sha_256() {
        let (mut scram, token) = begun();
        assert_eq!(token, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        assert_eq!(
            text(scram.answer(FIRST.as_bytes()).unwrap()),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(scram.answer(LAST.as_bytes()), Ok(Step::Done));
        assert!(scram.answer(LAST.as_bytes()).is_err());
    }

    #[test]
    fn a_broker_that_does_not_know_the_password_is_somebody_else() {
        for last in
            ["v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95H4=", "v=", "v=AAAA", "e=other", "x", ""]
        {
            let (mut scram, _) = begun();
            scram.answer(FIRST.as_bytes()).unwrap();
            assert!(scram.answer(last.as_bytes()).is_err(), "{last}");
        }
    }

    #[test]
    fn a_challenge_is_bounded() {
        let rounds = |n: &str| FIRST.replace("4096", n);
        let other = FIRST.replace("rOpr", "rOpq");
        let own = "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".to_string();
        for first in [
            rounds("4095"),
            rounds("1000001"),
            rounds("4294967296"),
            rounds("-1"),
            rounds("0"),
            rounds(""),
            other,
            own,
            "e=unknown-user".to_string(),
            "m=x,".to_string() + FIRST,
            FIRST.replace("W22Z", "W2,Z"),
            FIRST.replace("s=W22ZaJ0SNY7soEsUEjb6gQ==", "s="),
        ] {
            assert!(begun().0.answer(first.as_bytes()).is_err(), "{first}");
        }
        let why = begun().0.answer(rounds("4095").as_bytes()).unwrap_err().0;
        assert!(why.starts_with("the broker wants 4095 iterations of SCRAM"), "{why}");
        assert!(begun().0.answer(&[0xff, 0xfe]).is_err());
    }

    #[test]
    fn a_name_with_commas_is_written_so_that_it_stays_one() {
        let (_, token) = Scram::with_nonce(Hash::Sha512, "a,b=c", "p", "n");
        assert_eq!(token, b"n,,n=a=2Cb=3Dc,r=n");
        let (_, one) = Scram::start(Hash::Sha512, "u", "p").unwrap();
        let (_, other) = Scram::start(Hash::Sha512, "u", "p").unwrap();
        assert_ne!(one, other);
        assert_eq!(one.len(), "n,,n=u,r=".len() + 32);
    }

    /// Both sides by their formulas, since nobody has published an exchange with SHA-512.
    #[test]
    fn both_sides_agree_with_sha_512() {
        let (mut scram, _) = Scram::with_nonce(Hash::Sha512, "user", "pencil", "abc");
        let first = "r=abcdef,s=c2FsdA==,i=8192";
        let last = text(scram.answer(first.as_bytes()).unwrap());
        let (without, proof) = last.rsplit_once(",p=").unwrap();
        let rounds = NonZeroU32::new(8192).unwrap();
        let salted = crypto::pbkdf2(Hash::Sha512, b"pencil", b"salt", rounds);
        let message = format!("n=user,r=abc,{first},{without}");
        let client_key = crypto::hmac(Hash::Sha512, &salted, b"Client Key");
        let stored = crypto::digest(Hash::Sha512, &client_key);
        let signature = crypto::hmac(Hash::Sha512, &stored, message.as_bytes());
        let proven: Vec<u8> =
            base64::decode(proof).unwrap().iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        assert_eq!(proven, client_key);
        let server_key = crypto::hmac(Hash::Sha512, &salted, b"Server Key");
        let tag = crypto::hmac(Hash::Sha512, &server_key, message.as_bytes());
        let answer = format!("v={}", base64::encode(&tag));
        assert_eq!(scram.answer(answer.as_bytes()), Ok(Step::Done));
    }
}
