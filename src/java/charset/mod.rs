//! Character sets as the JVM knows them.
//!
//! Names, mappings and the length of a malformed sequence follow Java, not the
//! WHATWG standard: ISO-8859-1 is the true one, US-ASCII has no upper half, GB2312
//! is no GBK, UTF-16 looks at the byte order mark. Single-byte charsets are tables
//! taken from a JVM (`single_byte.tsv`); double-byte ones are the WHATWG tables of
//! `encoding_rs` with the JVM's differences laid over them (`double_byte.tsv`).

mod decode;
mod encode;
mod names;
mod tables;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub(crate) use decode::{Mode, Step};
use tables::{Pairs, Single};

/// A character set that bytes can be decoded from and text be encoded to.
///
/// Cloning is cheap: the tables are shared.
#[derive(Clone)]
pub struct Charset {
    name: &'static str,
    form: Form,
}

/// How bytes become characters.
#[derive(Clone)]
enum Form {
    Utf8,
    /// `by_mark`: a byte order mark at the start of the file decides, `little` if
    /// there is none. Otherwise U+FEFF is a character like any other.
    Utf16 {
        little: bool,
        by_mark: bool,
    },
    Single(Arc<Single>),
    Double(Arc<Pairs>),
    Gb18030(Arc<Pairs>),
    EucJp(Arc<Pairs>),
    /// Escapes choose among ASCII, katakana and the two-byte sets of EUC-JP.
    Iso2022Jp(Arc<Pairs>),
}

/// A charset name that neither Java nor the WHATWG standard has, or that this
/// program cannot decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownCharset {
    /// The name as it stood in the property.
    pub name: String,
    /// Up to three names that look like it, best first.
    pub near: Vec<&'static str>,
}

impl fmt::Display for UnknownCharset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown charset \"{}\"", self.name)?;
        if !self.near.is_empty() {
            write!(f, "; did you mean {}?", self.near.join(" or "))?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownCharset {}

impl Charset {
    /// UTF-8.
    pub const UTF_8: Charset = Charset { name: "UTF-8", form: Form::Utf8 };

    /// The charset of that name: a Java name or alias, else a WHATWG label; letter
    /// case and surrounding blanks do not matter.
    ///
    /// Builds the tables of the charset (some ms for the double-byte ones).
    ///
    /// # Errors
    /// [`UnknownCharset`] if there is none.
    pub fn for_name(name: &str) -> Result<Charset, UnknownCharset> {
        let unknown = || UnknownCharset { name: name.to_string(), near: names::near(name) };
        let name = names::canonical(name).ok_or_else(unknown)?;
        let form = match name {
            "UTF-8" => Form::Utf8,
            "UTF-16" => Form::Utf16 { little: false, by_mark: true },
            "UTF-16BE" => Form::Utf16 { little: false, by_mark: false },
            "UTF-16LE" => Form::Utf16 { little: true, by_mark: false },
            "x-UTF-16LE-BOM" => Form::Utf16 { little: true, by_mark: true },
            "ISO-2022-JP" => Form::Iso2022Jp(Pairs::load("EUC-JP").ok_or_else(unknown)?),
            "GB18030" => Form::Gb18030(Pairs::load(name).ok_or_else(unknown)?),
            "EUC-JP" => Form::EucJp(Pairs::load(name).ok_or_else(unknown)?),
            _ => match Single::load(name) {
                Some(table) => Form::Single(table),
                None => Form::Double(Pairs::load(name).ok_or_else(unknown)?),
            },
        };
        Ok(Charset { name, form })
    }

    /// Java's canonical name, e.g. `windows-31j` for `MS932`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether this is UTF-8, so that text needs no conversion.
    pub fn is_utf8(&self) -> bool {
        matches!(self.form, Form::Utf8)
    }

    /// Whether a newline is `00 0A` (false) or `0A 00` (true); none if the bytes of a
    /// file below 0x80 are ASCII (in ISO-2022-JP: if no escape says otherwise), so that
    /// a newline is the byte 0A.
    pub(crate) fn little_endian(&self) -> Option<bool> {
        match self.form {
            Form::Utf16 { little, .. } => Some(little),
            _ => None,
        }
    }

    /// The charset that a file beginning with `head` is really in, and the length of
    /// its byte order mark, which is no text. Only `UTF-16` and `x-UTF-16LE-BOM` look
    /// at the file; two bytes of it are enough.
    pub fn for_file(&self, head: &[u8]) -> (Charset, usize) {
        let Form::Utf16 { little, by_mark: true } = self.form else {
            return (self.clone(), 0);
        };
        let (little, mark) = match head {
            [0xFE, 0xFF, ..] => (false, 2),
            [0xFF, 0xFE, ..] => (true, 2),
            _ => (little, 0),
        };
        let name = if little { "UTF-16LE" } else { "UTF-16BE" };
        (Charset { name, form: Form::Utf16 { little, by_mark: false } }, mark)
    }

    /// Whether [`Charset::for_file`] depends on the file.
    pub fn looks_at_file(&self) -> bool {
        matches!(self.form, Form::Utf16 { by_mark: true, .. })
    }
}

impl fmt::Debug for Charset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Charset({})", self.name)
    }
}

impl PartialEq for Charset {
    fn eq(&self, other: &Charset) -> bool {
        self.name == other.name
    }
}

impl Eq for Charset {}
