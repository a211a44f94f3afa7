//! PLAIN (RFC 4616): name and password in the clear, in one token.

/// The only token.
pub fn token(name: &str, password: &str) -> Vec<u8> {
    [b"\0", name.as_bytes(), b"\0", password.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_password_stand_behind_zeros() {
        // RFC 4616, section 4.
        assert_eq!(token("tim", "tanstaaftanstaaf"), b"\0tim\0tanstaaftanstaaf");
    }
}
