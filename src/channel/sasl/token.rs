//! A token from whoever gives them (OAuth 2.0, client credentials: RFC 6749, section 4.4): one request
//! over HTTP, and its answer. Bytes in, bytes out.

use std::time::Duration;

use serde_json::Value;

use super::base64;
use crate::config::sasl::Endpoint;

/// No answer is longer, bytes.
pub const BYTES_MAX: usize = 256 << 10;
const HEADERS_MAX: usize = 100;
/// Lifetime of a token whose server does not give one.
const LIFETIME: Duration = Duration::from_secs(60);
const LIFETIME_MAX: Duration = Duration::from_secs(7 * 86_400);

/// What was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    pub bearer: String,
    pub lifetime: Duration,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoToken {
    /// Another time it may give one: it has too much to do, or something is wrong with it.
    Now(String),
    /// It does not give one to this client, or does not know how.
    Refused(String),
}

/// The whole request.
pub fn request(endpoint: &Endpoint) -> Vec<u8> {
    let Endpoint { host, port, path, client_id, secret, scope, is_encrypted, .. } = endpoint;
    let basic = base64::encode(format!("{client_id}:{}", secret.reveal()).as_bytes());
    let mut body = "grant_type=client_credentials".to_string();
    if let Some(scope) = scope {
        body += &format!("&scope={}", escaped(scope));
    }
    let is_usual = *port == if *is_encrypted { 443 } else { 80 };
    let shown = if is_usual { host.clone() } else { format!("{host}:{port}") };
    format!(
        "POST {path} HTTP/1.1\r\nHost: {shown}\r\nAuthorization: Basic {basic}\r\n\
         Accept: application/json\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         User-Agent: flume-ng\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The token, once all of the answer is there. `is_over`: nothing more will come.
///
/// # Errors
/// There is none.
pub fn read(answer: &[u8], is_over: bool) -> Result<Option<Given>, NoToken> {
    let why_not = |why: &str| format!("its answer has no token: {why}");
    let none = |why: &str| Err(NoToken::Refused(why_not(why)));
    let cut_off = || Err(NoToken::Now(why_not("it ends too early")));
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let at = match head.parse(answer) {
        Ok(httparse::Status::Complete(at)) => at,
        Ok(httparse::Status::Partial) if !is_over => return Ok(None),
        Ok(httparse::Status::Partial) => return cut_off(),
        Err(_) => return none("it is not HTTP"),
    };
    let header = |name: &str| {
        let found = head.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
        found.and_then(|h| std::str::from_utf8(h.value).ok()).map(str::trim)
    };
    let rest = &answer[at..];
    let is_chunked = header("Transfer-Encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked"));
    let length = header("Content-Length").and_then(|length| length.parse::<usize>().ok());
    let body = match (is_chunked, length) {
        (true, _) => match unchunked(rest) {
            Some(body) => body,
            None if is_over => return cut_off(),
            None => return Ok(None),
        },
        (false, Some(length)) if length > BYTES_MAX => return none("it is too long"),
        (false, Some(length)) => match rest.get(..length) {
            Some(body) => body.to_vec(),
            None if is_over => return cut_off(),
            None => return Ok(None),
        },
        (false, None) if is_over => rest.to_vec(),
        (false, None) => return Ok(None),
    };
    let told: Value = serde_json::from_slice(&body).unwrap_or_default();
    if head.code != Some(200) {
        let error = told["error"].as_str().unwrap_or("it does not say why");
        let error: String = error.chars().filter(|c| !c.is_control()).take(100).collect();
        let code = head.code.unwrap_or(0);
        let why = format!("it gives none (HTTP {code}): {error}");
        return Err(match code {
            // A request that took too long, one too many, and all that is the server's own fault.
            408 | 429 | 500.. => NoToken::Now(why),
            _ => NoToken::Refused(why),
        });
    }
    let Some(bearer) = told["access_token"].as_str() else { return none("no access_token in it") };
    if bearer.is_empty() || !bearer.bytes().all(|b| b.is_ascii_graphic()) {
        return none("access_token is none");
    }
    let lifetime = told["expires_in"].as_u64().map_or(LIFETIME, Duration::from_secs);
    Ok(Some(Given { bearer: bearer.to_string(), lifetime: lifetime.min(LIFETIME_MAX) }))
}

/// `None`: it is not whole yet, or never will be.
fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let line = std::str::from_utf8(&rest[..end]).ok()?;
        let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

/// As forms write it.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
            char::from(byte).to_string()
        }
        b' ' => "+".to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::secret::Secret;

    fn endpoint() -> Endpoint {
        Endpoint {
            is_encrypted: true,
            host: "id.example".to_string(),
            port: 443,
            path: "/token".to_string(),
            client_id: "s6BhdRkqt3".to_string(),
            secret: Secret::new("gX1fBat3bV"),
            scope: Some("a b/c".to_string()),
            trust: None,
        }
    }

    /// The header is that of RFC 6749, section 2.3.1.
    #[test]
    fn the_request_is_that_of_the_standard() {
        let text = String::from_utf8(request(&endpoint())).unwrap();
        assert!(text.starts_with("POST /token HTTP/1.1\r\nHost: id.example\r\n"), "{text}");
        assert!(text.contains("Authorization: Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\ngrant_type=client_credentials&scope=a+b%2Fc"), "{text}");
        assert!(text.contains("Content-Length: 43\r\n"), "{text}");
    }

    fn given(answer: &str) -> Result<Option<Given>, NoToken> {
        read(answer.as_bytes(), true)
    }

    #[test]
    fn a_server_that_gives_no_token_now_does_not_refuse_one() {
        for code in ["408 Request Timeout", "429 Too Many Requests", "503 Service Unavailable"] {
            let answer = format!("HTTP/1.1 {code}\r\nContent-Length: 4\r\n\r\nbusy");
            let why = format!("it gives none (HTTP {}): it does not say why", &code[..3]);
            assert_eq!(given(&answer), Err(NoToken::Now(why)));
        }
        for cut_off in
            ["", "HTTP/1.1 200 O", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"access_"]
        {
            assert!(matches!(given(cut_off), Err(NoToken::Now(_))), "{cut_off}");
        }
        for refused in
            ["HTTP/1.1 401 Unauthorized\r\n\r\n", "SSH-2.0\r\n", "HTTP/1.1 200 OK\r\n\r\n{}"]
        {
            assert!(matches!(given(refused), Err(NoToken::Refused(_))), "{refused}");
        }
    }

    #[test]
    fn answers_whole_in_pieces_and_wrong() {
        let body = r#"{"access_token":"a.b.c","token_type":"Bearer","expires_in":300}"#;
        let length = body.len();
        let whole = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        let (first, second) = body.split_at(20);
        let chunked = format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n14\r\n{first}\r\n{:x};x\r\n\
             {second}\r\n0\r\n\r\n",
            second.len()
        );
        let closed = format!("HTTP/1.0 200 OK\r\n\r\n{body}");
        for answer in [&whole, &chunked, &closed] {
            let token = given(answer).unwrap().unwrap();
            assert_eq!((token.bearer.as_str(), token.lifetime.as_secs()), ("a.b.c", 300));
        }
        // The last end of a line of what comes in pieces is no longer needed.
        for end in 0..whole.len() {
            assert!(matches!(read(&whole.as_bytes()[..end], false), Ok(None)), "{end}");
            assert!(read(&whole.as_bytes()[..end], true).is_err(), "{end}");
        }
        for end in 0..chunked.len() - 2 {
            assert!(matches!(read(&chunked.as_bytes()[..end], false), Ok(None)), "{end}");
        }
        let refused = "HTTP/1.1 401 Unauthorized\r\n\r\n{\"error\":\"invalid_client\"}";
        let why = "it gives none (HTTP 401): invalid_client".to_string();
        assert_eq!(given(refused), Err(NoToken::Refused(why)));
        for wrong in [
            "",
            "SSH-2.0\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\n\r\n{\"access_token\":\"a b\"}",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n{}",
        ] {
            assert!(given(wrong).is_err(), "{wrong}");
        }
    }
}
