//! The configuration language of Java's logins (JAAS): `Module flag key="value" ... ;`, by itself in
//! a property, or in a file in sections of a name.
//!
//! It holds passwords. So no message shows anything of it but names of modules and options.

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

/// A module and its options.
#[derive(Clone, PartialEq, Eq)]
pub struct Module {
    pub class: String,
    options: Vec<(String, String)>,
}

/// What is wrong, where, and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Counts from 1.
    pub line: usize,
    /// Counts from 1, in characters.
    pub column: usize,
    pub why: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            1 => write!(f, "character {}: {}", self.column, self.why),
            line => write!(f, "line {line}, character {}: {}", self.column, self.why),
        }
    }
}

/// Names of options alone.
impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.options.iter().map(|(name, _)| name.as_str()).collect();
        write!(f, "{} {names:?}", self.class)
    }
}

impl Module {
    /// The value of an option.
    pub fn get(&self, option: &str) -> Option<&str> {
        self.options.iter().find(|(name, _)| name == option).map(|(_, value)| value.as_str())
    }

    /// Is it `true`, letter case aside?
    pub fn is_true(&self, option: &str) -> bool {
        self.get(option).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The options whose names begin so, with the rest of the name.
    pub fn beginning<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let options = self.options.iter();
        options.filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }
}

/// Flags are for several modules in a row, of which there are none here.
const FLAGS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];

/// The one module of a property.
///
/// # Errors
/// It is not one.
pub fn read_property(text: &str) -> Result<Module, Wrong> {
    let mut reader = Reader::new(text);
    let module = reader.module()?;
    match reader.next()? {
        Token::End => Ok(module),
        _ => Err(reader.wrong(
            "there is a second module; write only one, and end it with a \
                               semicolon",
        )),
    }
}

/// The module of the section `name` of a file; `None` where there is no such section.
///
/// # Errors
/// It is no such file, or the section has more than one module.
pub fn read_file(text: &str, name: &str) -> Result<Option<Module>, Wrong> {
    let mut reader = Reader::new(text);
    let mut found = None;
    loop {
        let section = match reader.next()? {
            Token::End => return Ok(found),
            Token::Word(word) => word,
            _ => {
                return Err(reader.wrong(
                    "the name of a section is missing; write KafkaClient { \
            ... };",
                ));
            }
        };
        if reader.next()? != Token::Mark('{') {
            return Err(reader.wrong("the name of a section needs { behind it"));
        }
        let mut modules = Vec::new();
        while !reader.takes('}')? {
            modules.push(reader.module()?);
        }
        if reader.next()? != Token::Mark(';') {
            return Err(reader.wrong("the } of a section needs a semicolon behind it"));
        }
        if section == name {
            if modules.len() != 1 {
                return Err(reader.wrong("the section needs one module; remove the others"));
            }
            found = found.or(modules.pop());
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    /// One of `{};=`.
    Mark(char),
    End,
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
    column: usize,
    /// Where the last token began.
    at: (usize, usize),
    /// Read before its time.
    kept: Option<Token>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Reader<'a> {
        Reader { rest: text.chars().peekable(), line: 1, column: 1, at: (1, 1), kept: None }
    }

    fn wrong(&self, why: &str) -> Wrong {
        Wrong { line: self.at.0, column: self.at.1, why: why.to_string() }
    }

    fn take(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        match c {
            '\n' => (self.line, self.column) = (self.line + 1, 1),
            _ => self.column += 1,
        }
        Some(c)
    }

    /// `Module flag key="value" ... ;`
    fn module(&mut self) -> Result<Module, Wrong> {
        let class = match self.next()? {
            Token::Word(class) => class,
            Token::End => {
                return Err(
                    self.wrong("there is no module; write its class, required, its options and ;")
                );
            }
            _ => return Err(self.wrong("this is not the class of a module")),
        };
        match self.next()? {
            Token::Word(flag) if FLAGS.iter().any(|f| f.eq_ignore_ascii_case(&flag)) => {}
            _ => return Err(self.wrong("the class needs the word required behind it")),
        }
        let mut options: Vec<(String, String)> = Vec::new();
        while !self.takes(';')? {
            let name = match self.next()? {
                Token::Word(name) => name,
                Token::End => {
                    return Err(self.wrong("the semicolon behind the last option is missing"));
                }
                _ => {
                    return Err(self.wrong(
                        "this is not the name of an option; is a quote \
                missing?",
                    ));
                }
            };
            if self.next()? != Token::Mark('=') {
                let why = format!("the option {} needs = and a value behind it", shown(&name));
                return Err(self.wrong(&why));
            }
            let value = match self.next()? {
                Token::Word(value) | Token::Quoted(value) => value,
                _ => {
                    let why = format!("the option {} has no value", shown(&name));
                    return Err(self.wrong(&why));
                }
            };
            if options.iter().any(|(known, _)| *known == name) {
                let why = format!("the option {} is there twice; remove one", shown(&name));
                return Err(self.wrong(&why));
            }
            options.push((name, value));
        }
        Ok(Module { class, options })
    }

    /// Takes the mark, if it comes next.
    fn takes(&mut self, mark: char) -> Result<bool, Wrong> {
        let token = self.next()?;
        let is_it = token == Token::Mark(mark);
        if !is_it {
            self.kept = Some(token);
        }
        Ok(is_it)
    }

    fn next(&mut self) -> Result<Token, Wrong> {
        if let Some(token) = self.kept.take() {
            return Ok(token);
        }
        self.skip_blanks()?;
        self.at = (self.line, self.column);
        let Some(first) = self.take() else { return Ok(Token::End) };
        match first {
            '{' | '}' | ';' | '=' => Ok(Token::Mark(first)),
            '"' | '\'' => self.quoted(first),
            c if is_of_word(c) => {
                let mut word = String::from(c);
                while let Some(c) = self.rest.next_if(|c| is_of_word(*c)) {
                    self.column += 1;
                    word.push(c);
                }
                Ok(Token::Word(word))
            }
            _ => Err(self.wrong("this character needs quotes around its value")),
        }
    }

    /// Blanks, and comments of both kinds.
    fn skip_blanks(&mut self) -> Result<(), Wrong> {
        loop {
            while self.rest.peek().is_some_and(|c| c.is_whitespace()) {
                self.take();
            }
            let mut ahead = self.rest.clone();
            if ahead.next() != Some('/') {
                return Ok(());
            }
            self.at = (self.line, self.column);
            match ahead.next() {
                Some('/') => {
                    while self.rest.peek().is_some_and(|c| *c != '\n') {
                        self.take();
                    }
                }
                Some('*') => {
                    self.take();
                    self.take();
                    let mut last = ' ';
                    loop {
                        match self.take() {
                            Some('/') if last == '*' => break,
                            Some(c) => last = c,
                            None => return Err(self.wrong("this comment has no end; write */")),
                        }
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    /// Up to the same quote; what stands behind a backslash is taken as Java does.
    fn quoted(&mut self, quote: char) -> Result<Token, Wrong> {
        let mut text = String::new();
        loop {
            match self.take() {
                Some(c) if c == quote => return Ok(Token::Quoted(text)),
                None | Some('\n') => {
                    return Err(self.wrong("this quote is not closed on its line"));
                }
                Some('\\') => match self.take() {
                    Some(digit @ '0'..='7') => text.push(self.octal(digit)),
                    Some(c) => text.push(match c {
                        'a' => '\x07',
                        'b' => '\x08',
                        'f' => '\x0c',
                        'n' => '\n',
                        'r' => '\r',
                        't' => '\t',
                        'v' => '\x0b',
                        other => other,
                    }),
                    None => {}
                },
                Some(c) => text.push(c),
            }
        }
    }

    /// Up to three digits, of which the first is at most 3 then.
    fn octal(&mut self, first: char) -> char {
        let mut value = first.to_digit(8).unwrap_or(0);
        let more = if first <= '3' { 2 } else { 1 };
        for _ in 0..more {
            let Some(digit) = self.rest.peek().and_then(|c| c.to_digit(8)) else { break };
            self.take();
            value = value * 8 + digit;
        }
        char::from_u32(value).unwrap_or('\0')
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '$' | '*')
}

/// A name for a message. Where a quote is missing it may be a part of a password.
fn shown(name: &str) -> &str {
    let is_name = name.len() <= 40 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if is_name && KNOWN.iter().any(|known| name.starts_with(known)) { name } else { "here" }
}

/// How the options begin that modules know.
const KNOWN: [&str; 23] = [
    "ssl",
    "username",
    "password",
    "tokenauth",
    "unsecuredLogin",
    "clientId",
    "clientSecret",
    "scope",
    "extension_",
    "useKeyTab",
    "keyTab",
    "principal",
    "storeKey",
    "useTicketCache",
    "ticketCache",
    "serviceName",
    "renewTGT",
    "doNotPrompt",
    "debug",
    "awsProfileName",
    "awsRoleArn",
    "awsRoleSessionName",
    "awsStsRegion",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Vec<(String, String)> {
        read_property(text).map(|module| module.options).unwrap()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_string(), value.to_string())
    }

    #[test]
    fn a_module_with_its_options() {
        let text = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                    username=\"alice\"  password='a\"b;=\\\\c';";
        let module = read_property(text).unwrap();
        assert_eq!(module.class, "org.apache.kafka.common.security.plain.PlainLoginModule");
        assert_eq!(
            (module.get("username"), module.get("password")),
            (Some("alice"), Some("a\"b;=\\c"))
        );
        assert_eq!(module.get("user"), None);
        // No password, whatever prints it.
        assert_eq!(format!("{module:?}"), format!("{} [\"username\", \"password\"]", module.class));
    }

    #[test]
    fn comments_words_and_escapes() {
        let text = "/* one\n * and */ M required // two\n useKeyTab=true n = 12 // three = ;\n\
                    k=\"\\141\\n\\\"\\x\" /**/;\n // four";
        let expected = vec![pair("useKeyTab", "true"), pair("n", "12"), pair("k", "a\n\"x")];
        assert_eq!(options(text), expected);
        assert_eq!(options("M optional;"), vec![]);
        assert_eq!(options("M Required k=\"//no comment\";"), vec![pair("k", "//no comment")]);
        let module = read_property("M required a_x=1 a_y=True;").unwrap();
        assert!(module.is_true("a_y") && !module.is_true("a_x") && !module.is_true("a"));
        let beginning: Vec<_> = module.beginning("a_").collect();
        assert_eq!(beginning, [("x", "1"), ("y", "True")]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_without_secrets() {
        let told = |text: &str| read_property(text).unwrap_err().to_string();
        let cases = [
            ("", "character 1: there is no module"),
            ("M", "character 2: the class needs the word required"),
            ("M needed;", "character 3: the class needs the word required"),
            ("M required", "character 11: the semicolon behind the last option is missing"),
            ("M required password;", "character 20: the option password needs ="),
            ("M required password=;", "character 21: the option password has no value"),
            ("M required password=\"x", "character 21: this quote is not closed"),
            ("M required password=x/y;", "character 22: this character needs quotes"),
            ("M required a=1 a=2;", "character 18: the option here is there twice"),
            ("M required; N required;", "character 13: there is a second module"),
            ("M required\n /* x", "line 2, character 2: this comment has no end"),
            ("M required\n\n = 1;", "line 3, character 2: this is not the name of an option"),
            ("\"M\" required;", "character 1: this is not the class"),
        ];
        for (text, expected) in cases {
            let told = told(text);
            assert!(told.starts_with(expected), "{text}: {told}");
        }
        // A quote too many makes a name of a part of the password.
        let told = told("M required password=\"hun\"ter2;");
        assert!(!told.contains("ter2") && !told.contains("hun"), "{told}");
    }

    #[test]
    fn a_file_has_sections() {
        let text = "// of a host\nServer {\n A required;\n B optional x=1;\n};\n\
                    KafkaClient {\n  com.sun.security.auth.module.Krb5LoginModule required\n\
                    useKeyTab=true keyTab=\"/etc/k\";\n};\n";
        let module = read_file(text, "KafkaClient").unwrap().unwrap();
        assert_eq!(module.get("keyTab"), Some("/etc/k"));
        assert_eq!(read_file(text, "Client"), Ok(None));
        assert!(read_file(text, "Server").unwrap_err().why.contains("one module"));
        for wrong in
            ["KafkaClient", "K { A required; }", "K { A required;", "{", "K { A };", "K A;"]
        {
            assert!(read_file(wrong, "K").is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_text_panics() {
        let alphabet: Vec<char> = "M =;{}\"'\\/*\n7r€".chars().collect();
        let mut seed = 5u64;
        for _ in 0..20_000 {
            let mut text = String::from("M required ");
            for _ in 0..12 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push(alphabet[(seed >> 33) as usize % alphabet.len()]);
            }
            let _ = (read_property(&text), read_file(&text, "M"));
        }
    }
}
