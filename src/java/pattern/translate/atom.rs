//! Atoms outside classes: groups, anchors, escapes.

use super::super::{MAX_MARKS, class};
use super::set::is_set;
use super::{Atom, Flags, Parser, PatternError, Token};

impl Parser<'_> {
    /// Reads one atom and writes its translation.
    pub(super) fn atom(&mut self, token: Token, depth: usize) -> Result<Atom, PatternError> {
        if token.quoted {
            self.at += 1;
            self.literal(token.c, self.at - 1)?;
            return Ok(Atom::Single);
        }
        match token.c {
            '(' => self.group(depth),
            '\\' => self.escape(),
            '[' => {
                self.at += 1;
                let class = self.class(0)?;
                self.out.push(&class);
                Ok(Atom::Single)
            }
            '.' => {
                self.at += 1;
                self.dot();
                Ok(Atom::Single)
            }
            '^' => {
                self.at += 1;
                self.line_start();
                Ok(Atom::Assertion)
            }
            '$' => {
                self.at += 1;
                self.line_end(self.flags.multi_line);
                Ok(Atom::Assertion)
            }
            '?' | '*' | '+' => Err(self.error(format!("Dangling meta character '{}'", token.c))),
            '{' => Err(self.error("Illegal repetition")),
            c => {
                self.at += 1;
                self.literal(c, self.at - 1)?;
                Ok(Atom::Single)
            }
        }
    }

    fn dot(&mut self) {
        let exact = match self.flags {
            Flags { dot_all: true, .. } => "(?s:.)".to_owned(),
            Flags { unix_lines: true, .. } => r"[^\n]".to_owned(),
            _ => format!("[^{}]", class::TERMINATOR),
        };
        self.out.push_each(&exact, "(?s:.)");
    }

    fn line_start(&mut self) {
        let exact = match self.flags {
            Flags { multi_line: false, .. } => {
                self.out.push(r"\A");
                return;
            }
            Flags { unix_lines: true, .. } => r"(?:(?!\z)(?:\A|(?<=\n)))",
            // Not between CR and LF, not behind the last terminator.
            _ => r"(?:(?!\z)(?:\A|(?<=[\n\x{85}\x{2028}\x{2029}])|(?<=\r)(?!\n)))",
        };
        self.fancy = true;
        self.out.push_each(exact, r"(?:\A(?!\z))");
    }

    /// `$`, and `\Z` with `multi_line` off: before the last line terminator
    /// or at the end; never between CR and LF.
    fn line_end(&mut self, multi_line: bool) {
        let exact = match (multi_line, self.flags.unix_lines) {
            (false, false) => r"(?:\z|(?=\r\n\z|[\r\x{85}\x{2028}\x{2029}]\z)|(?<!\r)(?=\n\z))",
            (false, true) => r"(?:\z|(?=\n\z))",
            (true, false) => r"(?:\z|(?=[\r\x{85}\x{2028}\x{2029}])|(?<!\r)(?=\n))",
            (true, true) => r"(?:\z|(?=\n))",
        };
        self.fancy = true;
        self.out.push_each(exact, r"\z");
    }

    /// Reads a group from its `(`.
    fn group(&mut self, depth: usize) -> Result<Atom, PatternError> {
        let start = self.at;
        self.at += 1;
        let saved = self.flags;
        let mut number = None;
        let mut atom = Atom::Group;
        if self.accept('?') {
            match self.special_group(start)? {
                Special::Flags => return Ok(Atom::Flags),
                Special::Open(kind) => atom = kind,
                Special::Capture(n) => number = Some(n),
            }
        } else {
            number = Some(self.open_capture());
        }
        self.alternatives(depth + 1)?;
        if !self.accept(')') {
            return Err(self.error("Unclosed group"));
        }
        self.out.push(")");
        self.closed.extend(number);
        self.flags = saved;
        Ok(atom)
    }

    fn open_capture(&mut self) -> usize {
        self.opened += 1;
        self.out.push(if self.captures { "(" } else { "(?:" });
        self.opened
    }

    /// Reads what follows `(?`.
    fn special_group(&mut self, start: usize) -> Result<Special, PatternError> {
        let kinds = [
            ("?:", Atom::Group),
            ("?=", Atom::Assertion),
            ("?!", Atom::Assertion),
            ("?>", Atom::Group),
            ("?<=", Atom::Assertion),
            ("?<!", Atom::Assertion),
        ];
        for (open, kind) in kinds {
            if open[1..].chars().enumerate().all(|(i, c)| self.is(i, c)) {
                self.at += open.len() - 1;
                self.fancy |= open != "?:";
                self.out.push("(");
                self.out.push(open);
                return Ok(Special::Open(kind));
            }
        }
        if self.accept('<') {
            let name = self.group_name()?;
            if self.names.iter().any(|(n, _)| *n == name) {
                return Err(self.error_at(
                    start,
                    format!("Named capturing group <{name}> is already defined"),
                ));
            }
            let number = self.open_capture();
            self.names.push((name, number));
            return Ok(Special::Capture(number));
        }
        let saved = self.flags;
        self.inline_flags()?;
        if self.accept(')') {
            return Ok(Special::Flags);
        }
        if !self.accept(':') {
            self.flags = saved;
            return Err(self.error("Unknown inline modifier"));
        }
        self.out.push("(?:");
        Ok(Special::Open(Atom::Group))
    }

    fn group_name(&mut self) -> Result<String, PatternError> {
        let mut name = String::new();
        while let Some(token) = self.next() {
            match token.c {
                '>' if !name.is_empty() => return Ok(name),
                c if c.is_ascii_alphabetic() => name.push(c),
                c if c.is_ascii_digit() && !name.is_empty() => name.push(c),
                _ => break,
            }
        }
        Err(self.error_at(
            self.at.saturating_sub(1),
            "the name of a capturing group is letters and digits, then '>'",
        ))
    }

    fn inline_flags(&mut self) -> Result<(), PatternError> {
        let mut on = true;
        while let Some(token) = self.peek() {
            let flags = &mut self.flags;
            match token.c {
                'i' => flags.case_insensitive = on,
                'm' => flags.multi_line = on,
                's' => flags.dot_all = on,
                'd' => flags.unix_lines = on,
                'u' => flags.unicode_case = on,
                'U' => {
                    flags.unicode_class = on;
                    // On implies Unicode case; off takes both away.
                    flags.unicode_case = on;
                }
                'x' if on => return Err(self.error("(?x) is not supported")),
                'x' => {}
                'c' => return Err(self.error("(?c) is not supported")),
                '-' if on => on = false,
                _ => return Ok(()),
            }
            self.at += 1;
        }
        Ok(())
    }

    /// Reads an escape outside a class.
    fn escape(&mut self) -> Result<Atom, PatternError> {
        let start = self.at;
        let Some(letter) = self.tokens.get(start + 1).map(|t| t.c) else {
            return Err(self.error("Unexpected internal error: a single \\ at the end"));
        };
        if is_set(letter) {
            let set = self.set_escape(start)?;
            self.set(&set);
            return Ok(Atom::Single);
        }
        self.at = start + 2;
        match letter {
            '1'..='9' => self.numbered_reference(start, letter),
            'k' => self.named_reference(start),
            'A' => Ok(self.assertion(r"\A")),
            'z' => Ok(self.assertion(r"\z")),
            'Z' => {
                self.line_end(false);
                Ok(Atom::Assertion)
            }
            'b' | 'B' if self.is(0, '{') => {
                Err(self.error_at(start, format!(r"\{letter}{{…}} is not supported")))
            }
            'b' | 'B' => {
                self.boundary(letter == 'B');
                Ok(Atom::Assertion)
            }
            'R' => {
                self.out.push(r"(?:\r\n|[\n\x0B\x0C\r\x{85}\x{2028}\x{2029}])");
                Ok(Atom::LineEnd)
            }
            'G' | 'X' | 'N' => Err(self.error_at(start, format!(r"\{letter} is not supported"))),
            _ => {
                self.at = start + 1;
                let c = self.char_escape(start)?;
                self.literal(c, start)?;
                Ok(Atom::Single)
            }
        }
    }

    fn assertion(&mut self, text: &str) -> Atom {
        self.out.push(text);
        Atom::Assertion
    }

    /// `\b`: up to Java 18 a word is made of letters and digits of any script
    /// and `_`, and a combining mark belongs to the letter it stands on.
    fn boundary(&mut self, negated: bool) {
        let plain = if negated { r"\B" } else { r"\b" };
        if self.flags.unicode_class {
            self.out.push(plain);
            return;
        }
        let mut left = String::from(r"[\p{L}\p{Nd}_]");
        for marks in 1..=MAX_MARKS {
            left.push_str(&format!(r"|[\p{{L}}\p{{Nd}}]\p{{Mn}}{{{marks}}}"));
        }
        let right = r"[\p{L}\p{Nd}_]";
        // Before a mark both sides are alike, unless a `_` precedes, which
        // is a word of its own but nothing for a mark to stand on.
        let boundary = format!(
            r"(?=\p{{Mn}})(?<=_)|(?!\p{{Mn}})(?:(?<={left})(?!{right})|(?<!{left})(?={right}))"
        );
        let exact = if negated { format!("(?!{boundary})") } else { format!("(?:{boundary})") };
        self.fancy = true;
        self.word_boundary = true;
        self.out.push_each(&exact, plain);
    }

    fn numbered_reference(&mut self, start: usize, first: char) -> Result<Atom, PatternError> {
        let mut number = first as usize - '0' as usize;
        // A further digit belongs to it if there is such a group.
        while let Some(digit) = self.peek().filter(|t| !t.quoted).and_then(|t| t.c.to_digit(10)) {
            let longer = number * 10 + digit as usize;
            if longer > self.opened {
                break;
            }
            number = longer;
            self.at += 1;
        }
        self.reference(start, number)
    }

    fn named_reference(&mut self, start: usize) -> Result<Atom, PatternError> {
        if !self.accept('<') {
            return Err(self.error(r"\k is not followed by '<' for named capturing group"));
        }
        let name = self.group_name()?;
        match self.names.iter().find(|(n, _)| *n == name) {
            Some(&(_, number)) => self.reference(start, number),
            None => {
                Err(self.error_at(start, format!("named capturing group <{name}> does not exist")))
            }
        }
    }

    fn reference(&mut self, start: usize, number: usize) -> Result<Atom, PatternError> {
        if !self.closed.contains(&number) {
            return Err(self.error_at(
                start,
                format!("a back-reference to group {number}, which is not closed before it, is not supported"),
            ));
        }
        if self.flags.case_insensitive {
            return Err(self.error_at(start, "a back-reference under (?i) is not supported"));
        }
        self.fancy = true;
        // In a group of its own, so that no digit can follow.
        self.out.push(&format!(r"(?:\{number})"));
        Ok(Atom::Group)
    }

    /// Reads an escape at `start`, of which the backslash was read, that
    /// stands for one character.
    pub(super) fn char_escape(&mut self, start: usize) -> Result<char, PatternError> {
        let Some(token) = self.next() else {
            return Err(self.error("a single \\ at the end"));
        };
        Ok(match token.c {
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'f' => '\x0C',
            'a' => '\x07',
            'e' => '\x1B',
            '0' => self.octal(start)?,
            'x' => self.hexadecimal(start)?,
            'u' => self.unicode(start)?,
            'c' => match self.next() {
                Some(t) if t.c.is_ascii() => char::from(t.c as u8 ^ 64),
                _ => return Err(self.error_at(start, "Illegal control escape sequence")),
            },
            c if c.is_ascii_alphanumeric() => {
                return Err(
                    self.error_at(start, format!("Illegal/unsupported escape sequence \\{c}"))
                );
            }
            c => c,
        })
    }

    fn digit(&self, radix: u32) -> Option<u32> {
        self.peek().filter(|t| !t.quoted)?.c.to_digit(radix)
    }

    /// `\0n`, `\0nn`, `\0mnn` with m up to 3.
    fn octal(&mut self, start: usize) -> Result<char, PatternError> {
        let mut code = None;
        for length in 0..3 {
            let Some(digit) = self.digit(8) else { break };
            if length == 2 && code > Some(0o37) {
                break;
            }
            code = Some(code.unwrap_or(0) * 8 + digit);
            self.at += 1;
        }
        code.and_then(char::from_u32)
            .ok_or_else(|| self.error_at(start, "Illegal octal escape sequence"))
    }

    /// `\xhh` or `\x{h…}`.
    fn hexadecimal(&mut self, start: usize) -> Result<char, PatternError> {
        let braces = self.accept('{');
        let mut code = 0_u32;
        let mut length = 0;
        while let Some(digit) = self.digit(16) {
            if !braces && length == 2 {
                break;
            }
            code = code.saturating_mul(16).saturating_add(digit);
            length += 1;
            self.at += 1;
        }
        let complete = if braces { length > 0 && self.accept('}') } else { length == 2 };
        match char::from_u32(code) {
            Some(c) if complete => Ok(c),
            _ => Err(self.error_at(start, "Illegal hexadecimal escape sequence")),
        }
    }

    /// `\uhhhh`, or two of them for a surrogate pair.
    fn unicode(&mut self, start: usize) -> Result<char, PatternError> {
        let illegal = "Illegal Unicode escape sequence";
        let unit = self.code_unit().ok_or_else(|| self.error_at(start, illegal))?;
        let mut units = vec![unit];
        if (0xD800..0xDC00).contains(&unit) && self.accept('\\') {
            if !self.accept('u') {
                return Err(self.error_at(start, "half a surrogate pair is not supported"));
            }
            units.push(self.code_unit().ok_or_else(|| self.error_at(start, illegal))?);
        }
        let mut chars = char::decode_utf16(units);
        match (chars.next(), chars.next()) {
            (Some(Ok(c)), None) => Ok(c),
            _ => Err(self.error_at(start, "half a surrogate pair is not supported")),
        }
    }

    fn code_unit(&mut self) -> Option<u16> {
        let mut unit = 0_u16;
        for _ in 0..4 {
            unit = unit << 4 | self.digit(16)? as u16;
            self.at += 1;
        }
        Some(unit)
    }
}

/// What `(?` began.
enum Special {
    /// `(?i)`: nothing to close.
    Flags,
    /// A group that captures nothing.
    Open(Atom),
    /// A named group, by number.
    Capture(usize),
}
