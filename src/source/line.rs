//! The LINE deserializer (replaced at the merge).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodePolicy {
    Fail,
    Replace,
    Ignore,
}
