//! SimpleDateFormat (replaced at the merge).
#[derive(Debug)]
pub struct DatePattern;
