//! Charsets (replaced at the merge).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charset;
