//! Is a line JSON? Nothing of it is kept, and nothing is allocated.

/// Values within values, at most: as deep as `serde_json` goes.
const DEPTH_MAX: usize = 128;

/// Is `text` one JSON value (RFC 8259), with white space around it or without?
pub(crate) fn is_json(text: &[u8]) -> bool {
    simdutf8::basic::from_utf8(text).is_ok() && Reader { text, at: 0 }.is_whole()
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// Goes through the text with a stack of what is open: objects and arrays.
    fn is_whole(&mut self) -> bool {
        let mut is_object = [false; DEPTH_MAX];
        let mut depth = 0;
        loop {
            // A value begins here.
            self.blanks();
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    self.at += 1;
                    if depth == DEPTH_MAX {
                        return false;
                    }
                    is_object[depth] = open == b'{';
                    depth += 1;
                    self.blanks();
                    let close = if open == b'{' { b'}' } else { b']' };
                    if self.peek() != Some(close) {
                        if open == b'{' && !self.key() {
                            return false;
                        }
                        continue;
                    }
                }
                Some(b'"') if self.string() => {}
                Some(b't') if self.word(b"true") => {}
                Some(b'f') if self.word(b"false") => {}
                Some(b'n') if self.word(b"null") => {}
                Some(b'-' | b'0'..=b'9') if self.number() => {}
                _ => return false,
            }
            // A value has ended, and perhaps what it is in.
            loop {
                self.blanks();
                if depth == 0 {
                    return self.at == self.text.len();
                }
                let is_object = is_object[depth - 1];
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        self.blanks();
                        if is_object && !self.key() {
                            return false;
                        }
                        break;
                    }
                    Some(b'}') if is_object => depth -= 1,
                    Some(b']') if !is_object => depth -= 1,
                    _ => return false,
                }
                self.at += 1;
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn key(&mut self) -> bool {
        if self.peek() != Some(b'"') || !self.string() {
            return false;
        }
        self.blanks();
        let is_key = self.peek() == Some(b':');
        self.at += 1;
        is_key
    }

    /// From its quote to the one behind it.
    fn string(&mut self) -> bool {
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return true;
                }
                Some(b'\\') => {
                    let count = match self.text.get(self.at + 1) {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                        Some(b'u') => 6,
                        _ => return false,
                    };
                    let digits = self.text.get(self.at + 2..self.at + count);
                    if !digits.is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit)) {
                        return false;
                    }
                    self.at += count;
                }
                Some(0..=0x1f) | None => return false,
                Some(_) => self.at += 1,
            }
        }
    }

    fn word(&mut self, word: &[u8]) -> bool {
        let is_there = self.text[self.at..].starts_with(word);
        self.at += word.len();
        is_there
    }

    fn number(&mut self) -> bool {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let first = self.peek();
        let whole = self.digits();
        if whole == 0 || first == Some(b'0') && whole > 1 {
            return false;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return false;
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            return self.digits() > 0;
        }
        true
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_serde_json_says() {
        let good = [
            "{}",
            "[]",
            " {\"a\" : [1, -0.5e+3, \"x\\u00e9\\n\", {\"b\":null}] , \"\":true}\r",
            "0",
            "\"ü\"",
            "[[[]],{}]",
            "false",
            "-1",
            "1E5",
        ];
        let bad = [
            "",
            " ",
            "{",
            "}",
            "[1,]",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "01",
            "1.",
            ".5",
            "-",
            "1e",
            "tru",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"a\tb\"",
            "[1 2]",
            "{} {}",
            "{\"a\":1,}",
            "nul",
            "[}",
            "INFO x",
            "\"\\u12\"",
            "{\"a\":1",
            "NaN",
        ];
        for text in good.iter().chain(&bad) {
            let says = serde_json::from_str::<serde_json::Value>(text).is_ok();
            assert_eq!(is_json(text.as_bytes()), says, "{text:?}");
        }
        assert!(good.iter().all(|text| is_json(text.as_bytes())));
        assert!(!is_json(b"\"\xff\""));
    }

    #[test]
    fn no_depth_is_too_much() {
        let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
        assert!(is_json(nested(DEPTH_MAX).as_bytes()));
        assert!(!is_json(nested(100_000).as_bytes()));
    }
}
