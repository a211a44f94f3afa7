//! DER: a tag, a length and so many bytes. What is read here comes from files and from brokers, and
//! nothing is believed of a length but that it lies within what is there.

/// What is no DER, or not what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// A field that is known by its number, with others in it.
pub(super) const fn field(number: u8) -> u8 {
    0xa0 | number
}

/// What is left to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Der<'a>(pub &'a [u8]);

/// One value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value<'a> {
    pub tag: u8,
    pub content: &'a [u8],
    /// With tag and length.
    pub whole: &'a [u8],
}

impl<'a> Value<'a> {
    /// What is in it.
    pub(super) fn inner(&self) -> Der<'a> {
        Der(self.content)
    }
}

impl<'a> Der<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next value.
    pub(super) fn any(&mut self) -> Result<Value<'a>, Malformed> {
        let all = self.0;
        let (&tag, rest) = all.split_first().ok_or(Malformed)?;
        let (&first, mut rest) = rest.split_first().ok_or(Malformed)?;
        // Numbers of tags that need more than a byte are in nothing that is read here.
        if tag & 0x1f == 0x1f {
            return Err(Malformed);
        }
        let length = match first {
            0..=0x7f => usize::from(first),
            0x81..=0x84 => {
                let (bytes, behind) =
                    rest.split_at_checked(usize::from(first & 0x7f)).ok_or(Malformed)?;
                rest = behind;
                bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
            }
            _ => return Err(Malformed),
        };
        let (content, behind) = rest.split_at_checked(length).ok_or(Malformed)?;
        self.0 = behind;
        Ok(Value { tag, content, whole: &all[..all.len() - behind.len()] })
    }

    /// The next value, which has to be of this kind.
    pub(super) fn take(&mut self, tag: u8) -> Result<Value<'a>, Malformed> {
        let value = self.any()?;
        if value.tag == tag { Ok(value) } else { Err(Malformed) }
    }

    /// What is in the next value.
    pub(super) fn enter(&mut self, tag: u8) -> Result<Der<'a>, Malformed> {
        Ok(self.take(tag)?.inner())
    }

    /// The next value, if it is of this kind.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<Value<'a>>, Malformed> {
        if self.0.first() == Some(&tag) { self.any().map(Some) } else { Ok(None) }
    }

    /// A number that is not negative and fits.
    pub(super) fn number(&mut self) -> Result<u32, Malformed> {
        let bytes = self.take(INTEGER)?.content;
        let significant = match bytes {
            [0, rest @ ..] => rest,
            [0x80..=0xff, ..] | [] => return Err(Malformed),
            all => all,
        };
        if significant.len() > 4 {
            return Err(Malformed);
        }
        Ok(significant.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_not_believed() {
        for wrong in [
            &[][..],
            &[0x30],
            &[0x30, 1],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 1],
            &[0x30, 0x85, 0, 0, 0, 0, 1, 1],
            &[0x30, 0x82, 1],
            &[0x1f, 0x81, 1, 0],
        ] {
            assert_eq!(Der(wrong).any(), Err(Malformed), "{wrong:?}");
        }
        let mut der = Der(&[0x30, 0x81, 1, 7, 2, 1, 5]);
        assert_eq!(der.enter(SEQUENCE).map(|d| d.0), Ok(&[7][..]));
        assert_eq!((der.number(), der.is_empty()), (Ok(5), true));
        assert_eq!(Der(&[2, 5, 1, 1, 1, 1, 1]).number(), Err(Malformed));
        assert_eq!(Der(&[2, 1, 0xff]).number(), Err(Malformed));
    }
}
