//! Java regular expressions (written elsewhere; replaced at the merge).
#[derive(Debug)]
pub struct Pattern;
