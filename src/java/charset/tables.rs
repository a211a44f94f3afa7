//! The mapping tables.

use std::sync::{Arc, OnceLock};

use encoding_rs::Encoding;

static SINGLE_BYTE: &str = include_str!("single_byte.tsv");
static DOUBLE_BYTE: &str = include_str!("double_byte.tsv");

/// Marks a byte or pair that maps to nothing.
pub(super) const NONE: u16 = 0xFFFD;

/// The WHATWG encoding on which each double-byte charset is built.
pub(super) const DOUBLE: [(&str, &Encoding); 11] = [
    ("GBK", encoding_rs::GBK),
    ("GB2312", encoding_rs::GBK),
    ("x-mswin-936", encoding_rs::GBK),
    ("GB18030", encoding_rs::GB18030),
    ("Big5", encoding_rs::BIG5),
    ("x-windows-950", encoding_rs::BIG5),
    ("EUC-KR", encoding_rs::EUC_KR),
    ("x-windows-949", encoding_rs::EUC_KR),
    ("Shift_JIS", encoding_rs::SHIFT_JIS),
    ("windows-31j", encoding_rs::SHIFT_JIS),
    ("EUC-JP", encoding_rs::EUC_JP),
];

/// A single-byte charset: ASCII below 0x80, this table above.
pub(super) struct Single(pub [u16; 128]);

/// Names and aliases of the single-byte charsets.
pub(super) fn single_names() -> impl Iterator<Item = (&'static str, &'static str)> {
    SINGLE_BYTE.lines().filter_map(|line| {
        let mut fields = line.split('\t');
        Some((fields.next()?, fields.next()?))
    })
}

impl Single {
    /// The table of a canonical name, Java's or (where Java has no such charset)
    /// that of the WHATWG standard.
    pub(super) fn load(name: &str) -> Option<Arc<Single>> {
        for line in SINGLE_BYTE.lines() {
            let mut fields = line.split('\t');
            if fields.next() == Some(name) {
                let units = fields.nth(1)?.as_bytes().chunks(4);
                let mut table = [NONE; 128];
                for (slot, hex) in table.iter_mut().zip(units) {
                    *slot = hex_u16(std::str::from_utf8(hex).ok()?)?;
                }
                return Some(Arc::new(Single(table)));
            }
        }
        let encoding = Encoding::for_label(name.as_bytes())?;
        if !encoding.is_single_byte() {
            return None;
        }
        let mut table = [NONE; 128];
        for (byte, slot) in (0x80..=0xFFu8).zip(table.iter_mut()) {
            *slot = unit(encoding, &[byte]);
        }
        Some(Arc::new(Single(table)))
    }
}

/// A double-byte charset over ASCII.
pub(super) struct Pairs {
    /// Bytes from 0x80 that are a character by themselves.
    pub single: [u16; 128],
    /// By lead byte less 0x80, then trail byte.
    pub pair: Vec<u16>,
    /// Whether a byte from 0x80 begins any pair.
    pub lead: [bool; 128],
    /// What the pairs are built on, for longer sequences and for encoding.
    pub base: &'static Encoding,
    reverse: OnceLock<Vec<(u16, u16)>>,
}

impl Pairs {
    /// Builds the table of a canonical name.
    pub(super) fn load(name: &str) -> Option<Arc<Pairs>> {
        let &(_, base) = DOUBLE.iter().find(|(known, _)| *known == name)?;
        let mut pairs = Pairs::whatwg(base);
        for line in DOUBLE_BYTE.lines() {
            if let Some(run) = line.strip_prefix(name).and_then(|rest| rest.strip_prefix('\t')) {
                pairs.overlay(run)?;
            }
        }
        for (lead, row) in pairs.lead.iter_mut().zip(pairs.pair.chunks(256)) {
            *lead = row.iter().any(|&unit| unit != NONE);
        }
        Some(Arc::new(pairs))
    }

    /// The bare WHATWG table; pairs that give two characters or one outside the BMP
    /// are left out, as no Java charset here has them.
    pub(super) fn whatwg(base: &'static Encoding) -> Pairs {
        let mut pairs = Pairs {
            single: [NONE; 128],
            pair: vec![NONE; 128 * 256],
            lead: [false; 128],
            base,
            reverse: OnceLock::new(),
        };
        for lead in 0x80..=0xFFu8 {
            let row = (lead - 0x80) as usize;
            pairs.single[row] = unit(base, &[lead]);
            if pairs.single[row] == NONE {
                // A trail byte below 0x30 is in no charset.
                for trail in 0x30..=0xFFu8 {
                    pairs.pair[row * 256 + trail as usize] = unit(base, &[lead, trail]);
                }
            }
        }
        pairs
    }

    /// Lays one line of differences over the table: first byte or pair, length of the
    /// run, first unit or `-`; units of a run count up.
    fn overlay(&mut self, run: &str) -> Option<()> {
        let mut fields = run.split('\t');
        let (first, count, unit) = (fields.next()?, fields.next()?, fields.next()?);
        let count: usize = count.parse().ok()?;
        let start = hex_u16(first)? as usize;
        let slots = match first.len() {
            2 => self.single.get_mut(start - 0x80..start - 0x80 + count)?,
            _ => self.pair.get_mut(start - 0x8000..start - 0x8000 + count)?,
        };
        let unit = if unit == "-" { None } else { Some(hex_u16(unit)?) };
        for (i, slot) in slots.iter_mut().enumerate() {
            *slot = unit.map_or(NONE, |unit| unit + i as u16);
        }
        Some(())
    }

    /// The unit of a pair, or [`NONE`].
    pub(super) fn pair(&self, lead: u8, trail: u8) -> u16 {
        self.pair[(lead as usize & 0x7F) << 8 | trail as usize]
    }

    /// The bytes of a BMP character from U+0080: a pair, a single byte (below 0x100),
    /// or nothing. Where several pairs give it, the one the WHATWG encoder writes.
    pub(super) fn bytes_of(&self, unit: u16) -> Option<u16> {
        let reverse = self.reverse.get_or_init(|| self.build_reverse());
        let at = reverse.binary_search_by_key(&unit, |&(unit, _)| unit).ok()?;
        Some(reverse[at].1)
    }

    fn build_reverse(&self) -> Vec<(u16, u16)> {
        let singles = self.single.iter().zip(0x80u16..);
        let pairs = self.pair.iter().zip(0x8000u16..=0xFFFF);
        let mut all: Vec<(u16, u16)> =
            singles.chain(pairs).filter(|(unit, _)| **unit != NONE).map(|(&u, b)| (u, b)).collect();
        all.sort_unstable();
        // Of several, keep the one the base would write if it is among them.
        let mut kept: Vec<(u16, u16)> = Vec::with_capacity(all.len());
        for group in all.chunk_by(|a, b| a.0 == b.0) {
            let preferred = if group.len() > 1 { self.base_bytes(group[0].0) } else { None };
            let best = group.iter().find(|entry| Some(entry.1) == preferred);
            kept.push(*best.unwrap_or(&group[0]));
        }
        kept
    }

    fn base_bytes(&self, unit: u16) -> Option<u16> {
        let text = char::from_u32(unit.into())?.to_string();
        let (bytes, _, unmappable) = self.base.encode(&text);
        match (&*bytes, unmappable) {
            (&[byte], false) => Some(byte.into()),
            (&[lead, trail], false) => Some(u16::from_be_bytes([lead, trail])),
            _ => None,
        }
    }
}

/// The one UTF-16 unit that the bytes decode to, or [`NONE`].
fn unit(encoding: &'static Encoding, bytes: &[u8]) -> u16 {
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes);
    let mut units = text.iter().flat_map(|text| text.encode_utf16());
    match (units.next(), units.next()) {
        (Some(unit), None) => unit,
        _ => NONE,
    }
}

fn hex_u16(digits: &str) -> Option<u16> {
    u16::from_str_radix(digits, 16).ok()
}
