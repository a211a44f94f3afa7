//! Signature Version 4 of AWS, as far as a request that is signed in its address needs it.

use super::crypto::{self, Hash};

/// Who signs.
pub struct Keys<'a> {
    pub id: &'a str,
    pub secret: &'a str,
    /// Of keys that were given for a while.
    pub token: Option<&'a str>,
}

/// What is signed: a GET.
pub struct Request<'a> {
    pub host: &'a str,
    /// As it stands in the address.
    pub path: &'a str,
    /// Further parameters, plain.
    pub query: &'a [(&'a str, &'a str)],
    pub region: &'a str,
    pub service: &'a str,
    /// `20130524T000000Z`
    pub stamp: &'a str,
    pub expires_s: u32,
    /// SHA-256 of the body in hex, or what stands for it.
    pub body: &'a str,
}

/// All parameters of the signed address in their order, plain; the signature is the last.
pub fn sign(keys: &Keys<'_>, request: &Request<'_>) -> Vec<(String, String)> {
    let day = request.stamp.get(..8).unwrap_or(request.stamp);
    let scope = format!("{day}/{}/{}/aws4_request", request.region, request.service);
    let mut query: Vec<(String, String)> =
        request.query.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let mut add = |name: &str, value: &str| query.push((name.to_string(), value.to_string()));
    add("X-Amz-Algorithm", "AWS4-HMAC-SHA256");
    add("X-Amz-Credential", &format!("{}/{scope}", keys.id));
    add("X-Amz-Date", request.stamp);
    add("X-Amz-Expires", &request.expires_s.to_string());
    keys.token.iter().for_each(|token| add("X-Amz-Security-Token", token));
    add("X-Amz-SignedHeaders", "host");
    query.sort();
    let pairs: Vec<String> =
        query.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
    let canonical = format!(
        "GET\n{}\n{}\nhost:{}\n\nhost\n{}",
        request.path,
        pairs.join("&"),
        request.host,
        request.body
    );
    let key = key(keys.secret, day, request.region, request.service);
    query.push(("X-Amz-Signature".to_string(), signature(&key, request.stamp, &scope, &canonical)));
    query
}

fn signature(key: &[u8], stamp: &str, scope: &str, canonical: &str) -> String {
    let digest = hex(&crypto::digest(Hash::Sha256, canonical.as_bytes()));
    let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}");
    hex(&crypto::hmac(Hash::Sha256, key, text.as_bytes()))
}

/// That of a day, a region and a service.
fn key(secret: &str, day: &str, region: &str, service: &str) -> Vec<u8> {
    let first = format!("AWS4{secret}").into_bytes();
    [day, region, service, "aws4_request"]
        .iter()
        .fold(first, |key, word| crypto::hmac(Hash::Sha256, &key, word.as_bytes()))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As AWS wants it: all but letters, digits and `-._~`.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(escape).collect()
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use super::*;

    /// "Signature Version 4 signing process", derivation of the key.
    #[test]
    fn published_key() {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        assert_eq!(
            hex(&key(secret, "20120215", "us-east-1", "iam")),
            "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"
        );
    }

    /// `get-vanilla` of the test suite of AWS.
    #[test]
    fn published_request() {
        let key =
            key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20150830", "us-east-1", "service");
        let canonical = "GET\n/\n\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\n\
                         host;x-amz-date\n\
                         e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let scope = "20150830/us-east-1/service/aws4_request";
        assert_eq!(
            signature(&key, "20150830T123600Z", scope, canonical),
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
    }

    /// "Authenticating requests: using query parameters" of S3.
    #[test]
    fn published_address() {
        let keys = Keys {
            id: "AKIAIOSFODNN7EXAMPLE",
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            token: None,
        };
        let request = Request {
            host: "examplebucket.s3.amazonaws.com",
            path: "/test.txt",
            query: &[],
            region: "us-east-1",
            service: "s3",
            stamp: "20130524T000000Z",
            expires_s: 86_400,
            body: "UNSIGNED-PAYLOAD",
        };
        let signed = sign(&keys, &request);
        assert_eq!(
            signed.last().unwrap().1,
            "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
        assert_eq!(signed[1].1, "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request");
    }
}
