use super::*;

type Event = (Vec<u8>, usize);

fn decoder(charset: &str, policy: DecodePolicy, max_line_units: usize) -> LineDecoder {
    LineDecoder::new(LineConfig {
        ends: LineEnds::Newline,
        charset: Charset::for_name(charset).unwrap(),
        output: Charset::UTF_8,
        policy,
        max_line_units,
    })
}

/// Events with their ends in the file, read in one piece.
fn whole(
    decoder: &mut LineDecoder,
    file: &[u8],
    tail: Tail,
) -> (Vec<Event>, Result<Split, Malformed>) {
    let mut events = Vec::new();
    let split = decoder.split(file, true, tail, |body, end| {
        events.push((body.to_vec(), end));
        true
    });
    (events, split)
}

/// The same, the file growing by `step()` bytes between reads of at most `batch` events.
fn grown(
    decoder: &mut LineDecoder,
    file: &[u8],
    tail: Tail,
    batch: usize,
    mut step: impl FnMut() -> usize,
) -> (Vec<Event>, usize) {
    let (mut at, mut size, mut events) = (0, 0, Vec::new());
    loop {
        let now = if size == file.len() { tail } else { Tail::Open };
        let mut taken = 0;
        let split = decoder
            .split(&file[at..size], at == 0, now, |body, end| {
                events.push((body.to_vec(), at + end));
                taken += 1;
                taken < batch
            })
            .unwrap();
        at += split.consumed;
        assert_eq!(split.stopped, taken == batch);
        if split.stopped {
            continue;
        }
        if size == file.len() {
            return (events, at);
        }
        size = file.len().min(size + step());
    }
}

fn bodies(decoder: &mut LineDecoder, file: &[u8]) -> Vec<String> {
    let (events, _) = whole(decoder, file, Tail::Final(CutCharacter::Malformed));
    events.into_iter().map(|(body, _)| String::from_utf8(body).unwrap()).collect()
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    /// Bytes drawn from pieces of text, good and bad.
    fn file(&mut self, pieces: &[&[u8]]) -> Vec<u8> {
        let count = self.below(40);
        (0..count).flat_map(|_| pieces[self.below(pieces.len())].to_vec()).collect()
    }
}

const UTF_8_PIECES: [&[u8]; 16] = [
    b"\n",
    b"\n",
    b"abc",
    b"x",
    "中文".as_bytes(),
    "é".as_bytes(),
    "😀".as_bytes(),
    b"\xE4\xBD",
    b"\xF0\x9F",
    b"\xED\xA0\x80",
    b"\xFF",
    b"\x80",
    b"\xC0",
    b"\r",
    b"\0",
    b"\xF4\x90",
];

#[test]
fn a_line_ends_at_a_newline_only() {
    let mut utf8 = decoder("UTF-8", DecodePolicy::Fail, 2048);
    let file = "a\r\n\n\u{85}b\u{2028}c\u{b}\u{c}\0\n\u{feff}d".as_bytes();
    assert_eq!(bodies(&mut utf8, file), ["a\r", "", "\u{85}b\u{2028}c\u{b}\u{c}\0", "\u{feff}d"]);
}

#[test]
fn long_lines_are_cut_as_flume_cuts_them() {
    for name in ["UTF-8", "GBK", "ISO-2022-JP"] {
        let mut decoder = decoder(name, DecodePolicy::Fail, 2048);
        for (length, parts) in
            [(2047, &[2047][..]), (2048, &[2048, 0]), (2049, &[2048, 1]), (4096, &[2048, 2048, 0])]
        {
            let lengths: Vec<usize> =
                bodies(&mut decoder, &[&vec![b'a'; length][..], b"\n"].concat())
                    .iter()
                    .map(String::len)
                    .collect();
            assert_eq!(lengths, parts, "{name} {length}");
        }
    }
    let mut utf8 = decoder("UTF-8", DecodePolicy::Fail, 4);
    assert_eq!(bodies(&mut utf8, "中文中文\n".as_bytes()), ["中文中文", ""]);
    assert_eq!(bodies(&mut utf8, "😀😀\n".as_bytes()), ["😀😀", ""]);
    assert_eq!(bodies(&mut utf8, "abc😀d\n".as_bytes()), ["abc", "😀d"]);
    assert_eq!(bodies(&mut utf8, b"abcd"), ["abcd"]);
    let mut one = decoder("UTF-8", DecodePolicy::Fail, 1);
    assert_eq!(bodies(&mut one, "😀a\n".as_bytes()), ["😀", "a", ""]);
}

#[test]
fn a_cut_does_not_wait_for_the_newline() {
    let mut utf8 = decoder("UTF-8", DecodePolicy::Fail, 4);
    let (events, split) = whole(&mut utf8, b"abcdef", Tail::Open);
    assert_eq!(events, [(b"abcd".to_vec(), 4)]);
    assert_eq!(split, Ok(Split { consumed: 4, stopped: false, lines: 0 }));
}

#[test]
fn malformed_input_by_policy() {
    let file =
        b"ok\nbad\xff\xfebytes\ntrunc\xe4\xbd line\nsurrogate \xed\xa0\x80 z\n\xe4\xbd\xa0 good\n";
    let replaced =
        ["ok", "bad\u{fffd}\u{fffd}bytes", "trunc\u{fffd} line", "surrogate \u{fffd} z", "你 good"];
    assert_eq!(bodies(&mut decoder("UTF-8", DecodePolicy::Replace, 2048), file), replaced);
    let ignored = ["ok", "badbytes", "trunc line", "surrogate  z", "你 good"];
    assert_eq!(bodies(&mut decoder("UTF-8", DecodePolicy::Ignore, 2048), file), ignored);
    let (events, split) = whole(&mut decoder("UTF-8", DecodePolicy::Fail, 2048), file, Tail::Open);
    assert_eq!(events, [(b"ok".to_vec(), 3)]);
    assert_eq!(split, Err(Malformed { offset: 6, bytes: vec![0xFF] }));
    assert_eq!(split.unwrap_err().to_string(), "malformed input: FF");
}

#[test]
fn a_character_cut_by_the_end_of_the_file() {
    let file = b"one\ntwo\xe4\xb8";
    let run = |policy, cut| {
        let mut decoder = decoder("UTF-8", policy, 2048);
        let (events, split) = whole(&mut decoder, file, Tail::Final(cut));
        let last = String::from_utf8(events.last().unwrap().0.clone()).unwrap();
        (last, split.map(|split| split.consumed))
    };
    let all = Ok(file.len());
    assert_eq!(run(DecodePolicy::Fail, CutCharacter::Drop), ("two".into(), all.clone()));
    assert_eq!(
        run(DecodePolicy::Replace, CutCharacter::Malformed),
        ("two\u{fffd}".into(), all.clone())
    );
    assert_eq!(run(DecodePolicy::Ignore, CutCharacter::Malformed), ("two".into(), all));
    let error = Malformed { offset: 7, bytes: vec![0xE4, 0xB8] };
    assert_eq!(run(DecodePolicy::Fail, CutCharacter::Malformed), ("one".into(), Err(error)));
    // Nothing but the cut character: no event.
    let mut utf8 = decoder("UTF-8", DecodePolicy::Fail, 2048);
    let (events, split) = whole(&mut utf8, b"\xe4\xb8", Tail::Final(CutCharacter::Drop));
    assert_eq!((events.len(), split.unwrap().consumed), (0, 2));
}

#[test]
fn utf16_newlines_are_units() {
    // U+0A0A and U+0A00 hold the byte 0A, but are no newline.
    let text = "\u{feff}a\u{a0a}b\u{a00}\nc\u{100}\n";
    let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let kept = ["\u{feff}a\u{a0a}b\u{a00}", "c\u{100}"];
    let removed = ["a\u{a0a}b\u{a00}", "c\u{100}"];
    for (name, file, want) in [
        ("UTF-16LE", &le, kept),
        ("UTF-16BE", &be, kept),
        ("UTF-16", &le, removed),
        ("UTF-16", &be, removed),
        ("x-UTF-16LE-BOM", &le, removed),
    ] {
        assert_eq!(bodies(&mut decoder(name, DecodePolicy::Fail, 2048), file), want, "{name}");
    }
    let bare = &be[2..];
    assert_eq!(bodies(&mut decoder("UTF-16", DecodePolicy::Fail, 2048), bare), removed);
    // From the middle of a file, whose head tells the order.
    let mut middle = decoder("UTF-16", DecodePolicy::Fail, 2048);
    middle.begin_file(&le[..2]);
    let mut seen = Vec::new();
    let at = le.len() - 6;
    middle
        .split(&le[at..], false, Tail::Open, |body, _| {
            seen.push(body.to_vec());
            true
        })
        .unwrap();
    assert_eq!(seen, ["c\u{100}".as_bytes()]);
}

#[test]
fn a_newline_ends_a_line_whatever_stands_before_it() {
    for (name, line) in [
        ("UTF-8", &b"a\xE4"[..]),
        ("GBK", b"a\xB0"),
        ("GB18030", b"a\x81\x30"),
        ("Big5", b"a\xA4"),
        ("Shift_JIS", b"a\x88"),
        ("EUC-JP", b"a\x8F\xA1"),
        ("EUC-KR", b"a\xB0"),
        ("ISO-2022-JP", b"a\x1B$"),
        ("UTF-16BE", b"\0a\xD8\0"),
    ] {
        let newline: &[u8] = if name == "UTF-16BE" { b"\0\n" } else { b"\n" };
        let after: &[u8] = if name == "UTF-16BE" { b"\0b\0\n" } else { b"b\n" };
        let mut decoder = decoder(name, DecodePolicy::Ignore, 2048);
        let got = bodies(&mut decoder, &[line, newline, after].concat());
        assert_eq!((got.len(), got[0].trim_end(), &got[1][..]), (2, "a", "b"), "{name}");
    }
}

#[test]
fn iso_2022_jp_is_ascii_again_after_a_newline_and_cut_in_ascii() {
    let mut decoder = decoder("ISO-2022-JP", DecodePolicy::Fail, 3);
    assert_eq!(bodies(&mut decoder, b"\x1B$B0l\nAB\n"), ["一", "AB"]);
    let file = b"\x1B$B0l0l0l0l\x1B(Bxyz!\n";
    assert_eq!(bodies(&mut decoder, file), ["一一一一", "xyz", "!"]);
}

#[test]
fn other_output_charsets() {
    let mut decoder = LineDecoder::new(LineConfig {
        ends: LineEnds::Newline,
        charset: Charset::UTF_8,
        output: Charset::for_name("GBK").unwrap(),
        policy: DecodePolicy::Fail,
        max_line_units: 2048,
    });
    let (events, _) = whole(&mut decoder, "a\n中😀\n".as_bytes(), Tail::Open);
    assert_eq!(events, [(b"a".to_vec(), 2), (b"\xD6\xD0?".to_vec(), 10)]);
}

/// UTF-8 with REPLACE by other means than the decoder's.
fn model(file: &[u8], max: usize) -> Vec<String> {
    let mut events = Vec::new();
    let mut rest = file;
    while !rest.is_empty() {
        let newline = rest.iter().position(|&b| b == b'\n');
        let line = &rest[..newline.unwrap_or(rest.len())];
        let mut event = String::new();
        for c in String::from_utf8_lossy(line).chars() {
            if event.encode_utf16().count() + c.len_utf16() > max && !event.is_empty() {
                events.push(std::mem::take(&mut event));
            }
            event.push(c);
            if event.encode_utf16().count() >= max {
                events.push(std::mem::take(&mut event));
            }
        }
        if newline.is_some() || !event.is_empty() {
            events.push(event);
        }
        rest = &rest[newline.map_or(rest.len(), |at| at + 1)..];
    }
    events
}

#[test]
fn random_utf8_agrees_with_a_model() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    // Lossy decoding counts an encoded surrogate as three.
    let pieces: Vec<&[u8]> =
        UTF_8_PIECES.into_iter().filter(|piece| !piece.starts_with(b"\xED")).collect();
    for _ in 0..4000 {
        let file = random.file(&pieces);
        let max = 1 + random.below(9);
        let mut decoder = decoder("UTF-8", DecodePolicy::Replace, max);
        assert_eq!(bodies(&mut decoder, &file), model(&file, max), "{file:x?} {max}");
    }
}

#[test]
fn events_do_not_depend_on_the_blocks() {
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let bytes: Vec<Vec<u8>> = (0..=255).map(|b| vec![b]).collect();
    let any: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
    let legacy: [&[u8]; 13] = [
        b"\n",
        b"\n",
        b"abc",
        b"\xD6\xD0",
        b"\xB0",
        b"\x81\x30",
        b"\x81\x30\x81\x30",
        b"\x8F\xB0\xA1",
        b"\xFF",
        b"\xA1",
        b"\x95\x32\x82\x36",
        b"\x80",
        b"~",
    ];
    let jp: [&[u8]; 13] = [
        b"\n", b"abc", b"\x1B$B", b"\x1B(B", b"\x1B(J", b"\x1B(I", b"0l", b"0l0l", b"\x1B",
        b"\x1B$", b"\x0E", b"\x0F", b"\xFF",
    ];
    let wide: [&[u8]; 11] = [
        b"\0\n",
        b"\n\0",
        b"\0a",
        b"a\0",
        b"\xD8\x3D\xDE\0",
        b"\x3D\xD8\0\xDE",
        b"\xD8\0",
        b"\xFE\xFF",
        b"\xFF\xFE",
        b"\n",
        b"\x4E\x2D",
    ];
    let sets: [(&[&str], &[&[u8]]); 5] = [
        (&["UTF-8"], &UTF_8_PIECES),
        (&["UTF-8", "GBK", "UTF-16LE"], &any),
        (&["GBK", "GB18030", "Big5", "EUC-JP", "windows-31j", "windows-1252"], &legacy),
        (&["ISO-2022-JP"], &jp),
        (&["UTF-16", "UTF-16LE", "UTF-16BE", "x-UTF-16LE-BOM"], &wide),
    ];
    for (names, pieces) in sets {
        for name in names {
            let charset = Charset::for_name(name).unwrap();
            for _ in 0..600 {
                let file = random.file(pieces);
                let policy = [DecodePolicy::Replace, DecodePolicy::Ignore][random.below(2)];
                let cut = [CutCharacter::Drop, CutCharacter::Malformed][random.below(2)];
                let tail = [Tail::Open, Tail::Final(cut)][random.below(2)];
                let mut decoder = LineDecoder::new(LineConfig {
                    ends: LineEnds::Newline,
                    charset: charset.clone(),
                    output: Charset::UTF_8,
                    policy,
                    max_line_units: 1 + random.below(12),
                });
                let (events, split) = whole(&mut decoder, &file, tail);
                let expected = (events, split.unwrap().consumed);
                for limit in [1, 1, 4, 100] {
                    let batch = 1 + random.below(5);
                    let got = grown(&mut decoder, &file, tail, batch, || 1 + random.below(limit));
                    assert_eq!(got, expected, "{name} {file:x?} {tail:?}");
                }
            }
        }
    }
}
