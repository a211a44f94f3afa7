//! The files that a configuration is read from: one as a rule. Of several a later one adds to those before it, and its
//! values win.

use std::fmt;
use std::path::{Path, PathBuf};

/// In the order in which they were given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfFiles(Vec<PathBuf>);

impl ConfFiles {
    pub fn push(&mut self, path: PathBuf) {
        self.0.push(path);
    }

    pub fn paths(&self) -> &[PathBuf] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first that is not there.
    pub fn missing(&self) -> Option<&Path> {
        self.0.iter().map(PathBuf::as_path).find(|path| !path.exists())
    }

    /// As they can be found from anywhere.
    pub fn absolute(&self) -> ConfFiles {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        ConfFiles(self.0.iter().map(absolute).collect())
    }
}

impl<P: Into<PathBuf>> From<P> for ConfFiles {
    fn from(path: P) -> ConfFiles {
        ConfFiles(vec![path.into()])
    }
}

impl fmt::Display for ConfFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, path) in self.0.iter().enumerate() {
            write!(f, "{}{}", if at == 0 { "" } else { ", " }, path.display())?;
        }
        Ok(())
    }
}

/// The file that a URI names, as Flume's `--conf-uri` takes it. `None`: it is not `file:`.
pub fn of_uri(uri: &str) -> Option<PathBuf> {
    let path = uri.strip_prefix("file:")?;
    let path = path.strip_prefix("//localhost").or_else(|| path.strip_prefix("//")).unwrap_or(path);
    let (mut bytes, mut out) = (path.bytes(), Vec::new());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digits = [bytes.next()?, bytes.next()?];
        let digits = std::str::from_utf8(&digits).ok()?;
        out.push(u8::from_str_radix(digits, 16).ok()?);
    }
    let path = String::from_utf8(out).ok()?;
    (!path.is_empty() && !path.contains('\0')).then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_a_file() {
        for (uri, path) in [
            ("file:/etc/a1.conf", "/etc/a1.conf"),
            ("file:///etc/a%201.conf", "/etc/a 1.conf"),
            ("file://localhost/etc/a1.conf", "/etc/a1.conf"),
            ("file:a1.conf", "a1.conf"),
        ] {
            assert_eq!(of_uri(uri), Some(path.into()), "{uri}");
        }
        for uri in [
            "http://h/a1.conf",
            "classpath:a1.conf",
            "/etc/a1.conf",
            "file:",
            "file:/a%2",
            "file:/a%zz",
        ] {
            assert_eq!(of_uri(uri), None, "{uri}");
        }
    }
}
