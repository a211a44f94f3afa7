//! Charset names: Java's, then the WHATWG labels.

use encoding_rs::Encoding;

use super::tables::single_names;

/// Java names and aliases of the charsets that are not in `single_byte.tsv`.
const MULTI: [(&str, &str); 17] = [
    ("UTF-8", "UTF8 unicode-1-1-utf-8"),
    ("UTF-16", "UTF_16 unicode utf16 UnicodeBig"),
    ("UTF-16BE", "X-UTF-16BE UTF_16BE ISO-10646-UCS-2 UnicodeBigUnmarked"),
    ("UTF-16LE", "UnicodeLittleUnmarked UTF_16LE X-UTF-16LE"),
    ("x-UTF-16LE-BOM", "UnicodeLittle"),
    ("GBK", "CP936 windows-936"),
    ("GB2312", "euc-cn x-EUC-CN euccn EUC_CN gb2312-80 gb2312-1980"),
    ("x-mswin-936", "ms936 ms_936"),
    ("GB18030", "gb18030-2022"),
    ("Big5", "csBig5"),
    ("x-windows-950", "ms950 windows-950"),
    (
        "EUC-KR",
        "ksc5601-1987 csEUCKR ksc5601_1987 ksc5601 5601 euc_kr ksc_5601 ks_c_5601-1987 euckr",
    ),
    ("x-windows-949", "windows949 ms949 windows-949 ms_949"),
    ("Shift_JIS", "x-sjis sjis shift-jis ms_kanji csShiftJIS"),
    ("windows-31j", "MS932 windows-932 csWindows31J"),
    (
        "EUC-JP",
        "csEUCPkdFmtjapanese x-euc-jp eucjis Extended_UNIX_Code_Packed_Format_for_Japanese \
         euc_jp eucjp x-eucjp",
    ),
    ("ISO-2022-JP", "csjisencoding iso2022jp jis_encoding jis csISO2022JP"),
];

/// Where the WHATWG name of an encoding is not a Java name of the same charset.
const WHATWG: [(&str, &str); 2] = [("macintosh", "x-MacRoman"), ("x-mac-cyrillic", "x-MacUkraine")];

fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    MULTI.iter().copied().chain(single_names())
}

/// Java's name of a Java or WHATWG name, whatever its letter case.
pub(super) fn canonical(name: &str) -> Option<&'static str> {
    let name = name.trim();
    let matches = |alias: &str| alias.eq_ignore_ascii_case(name);
    if let Some((java, _)) =
        all().find(|(java, aliases)| matches(java) || aliases.split(' ').any(matches))
    {
        return Some(java);
    }
    let encoding = Encoding::for_label(name.as_bytes())?;
    let whatwg = encoding.name();
    if let Some(&(_, java)) = WHATWG.iter().find(|(known, _)| *known == whatwg) {
        return Some(java);
    }
    match all().find(|(java, _)| java.eq_ignore_ascii_case(whatwg)) {
        Some((java, _)) => Some(java),
        None => encoding.is_single_byte().then_some(whatwg),
    }
}

/// Up to three known names that look like `name`, best first.
pub(super) fn near(name: &str) -> Vec<&'static str> {
    let plain = plain(name);
    let allowed = (plain.len() / 3).max(1);
    let mut found: Vec<(usize, &'static str)> = Vec::new();
    for (java, aliases) in all() {
        let best = std::iter::once(java)
            .chain(aliases.split(' '))
            .map(|alias| distance(&plain, &self::plain(alias)))
            .min();
        match best {
            Some(best) if best <= allowed => found.push((best, java)),
            _ => {}
        }
    }
    found.sort_by_key(|(distance, _)| *distance);
    found.into_iter().take(3).map(|(_, java)| java).collect()
}

/// Letters and digits only, in lower case: people forget the dashes.
fn plain(name: &str) -> Vec<u8> {
    name.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_lowercase()).collect()
}

/// Edit distance; two letters swapped are one edit.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            if i == 0 || j == 0 {
                table[i][j] = i + j;
                continue;
            }
            let replaced = table[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(table[i - 1][j] + 1).min(table[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(table[i - 2][j - 2] + 1);
            }
            table[i][j] = best;
        }
    }
    table[a.len()][b.len()]
}
