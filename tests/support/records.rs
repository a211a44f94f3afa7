//! What a broker keeps, taken apart: message sets of 0.10 (magic 0 and 1) and record
//! batches from 0.11 on (magic 2), with every checksum looked at.

use std::io::Read;

use super::wire::Input;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub offset: i64,
    /// Milliseconds; -1 where the message has none.
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub magic: i8,
    /// 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
    pub codec: u8,
    /// Who wrote it, where that is known.
    pub producer: Option<Producer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
    /// Of this record.
    pub sequence: i32,
}

/// The records of a fetched set, and the offset behind the last whole batch (None if there
/// is no whole one). A fetch cuts at its limit of bytes, so the last batch may be cut.
pub fn parse(mut set: &[u8]) -> (Vec<Record>, Option<i64>) {
    let mut records = Vec::new();
    let mut next = None;
    while set.len() >= 17 {
        let length = 12 + u32::from_be_bytes(set[8..12].try_into().expect("four bytes")) as usize;
        if set.len() < length {
            break;
        }
        let (entry, rest) = set.split_at(length);
        set = rest;
        next = Some(match entry[16] {
            0 | 1 => {
                let messages = messages(entry);
                let last = messages
                    .last()
                    .expect("a message is at least itself")
                    .offset;
                records.extend(messages);
                last + 1
            }
            2 => batch(entry, &mut records),
            magic => panic!("magic {magic}"),
        });
    }
    (records, next)
}

/// A message, or those in it if it is compressed.
fn messages(entry: &[u8]) -> Vec<Record> {
    let mut input = Input(entry);
    let offset = input.i64();
    input.i32();
    let crc = input.u32();
    assert_eq!(
        crc,
        crc32fast::hash(input.0),
        "CRC of the message at offset {offset}"
    );
    let magic = input.i8();
    let attributes = input.i8();
    let timestamp = if magic >= 1 { input.i64() } else { -1 };
    let key = input.bytes().map(<[u8]>::to_vec);
    let value = input.bytes();
    let codec = attributes as u8 & 7;
    if codec == 0 {
        let value = value.map(<[u8]>::to_vec);
        let (headers, producer) = (Vec::new(), None);
        return vec![Record {
            offset,
            timestamp,
            key,
            value,
            headers,
            magic,
            codec,
            producer,
        }];
    }
    let inner = decompress(codec, value.expect("a compressed set"));
    let (mut records, _) = parse(&inner);
    // With magic 1 the inner offsets count from 0 and the outer one is that of the last.
    let shift = match (magic, records.last()) {
        (1, Some(last)) => offset - last.offset,
        _ => 0,
    };
    for record in &mut records {
        record.offset += shift;
        record.codec = codec;
    }
    records
}

/// Returns the offset behind the batch.
fn batch(entry: &[u8], records: &mut Vec<Record>) -> i64 {
    let mut input = Input(entry);
    let base = input.i64();
    input.i32(); // length
    input.i32(); // leader epoch
    let magic = input.i8();
    let crc = input.u32();
    assert_eq!(
        crc,
        crc32c::crc32c(input.0),
        "CRC of the batch at offset {base}"
    );
    let attributes = input.i16();
    let last_delta = input.i32();
    let base_timestamp = input.i64();
    let max_timestamp = input.i64();
    let (id, epoch, sequence) = (input.i64(), input.i16(), input.i32());
    let count = input.i32();
    let codec = attributes as u8 & 7;
    let next = base + i64::from(last_delta) + 1;
    if attributes & 0x20 != 0 {
        return next; // a transaction's marker, not a record
    }
    let log_append_time = attributes & 0x08 != 0;
    let plain = if codec == 0 {
        input.0.to_vec()
    } else {
        decompress(codec, input.0)
    };
    let mut input = Input(&plain);
    for number in 0..count {
        let length = input.zigzag() as usize;
        let mut record = Input(input.take(length));
        record.i8();
        let timestamp = base_timestamp + record.zigzag();
        let offset = base + record.zigzag();
        let key = nullable(&mut record);
        let value = nullable(&mut record);
        let mut headers = Vec::new();
        for _ in 0..record.zigzag() {
            let name = nullable(&mut record).expect("a header has a name");
            headers.push((
                String::from_utf8(name).expect("UTF-8"),
                nullable(&mut record),
            ));
        }
        let sequence = sequence.wrapping_add(number) & i32::MAX;
        let producer = (id >= 0).then_some(Producer {
            id,
            epoch,
            sequence,
        });
        let timestamp = if log_append_time {
            max_timestamp
        } else {
            timestamp
        };
        records.push(Record {
            offset,
            timestamp,
            key,
            value,
            headers,
            magic,
            codec,
            producer,
        });
    }
    assert!(
        input.0.is_empty(),
        "bytes behind the last record at offset {base}"
    );
    next
}

fn nullable(input: &mut Input) -> Option<Vec<u8>> {
    let length = input.zigzag();
    (length >= 0).then(|| input.take(length as usize).to_vec())
}

fn decompress(codec: u8, packed: &[u8]) -> Vec<u8> {
    match codec {
        1 => {
            let mut plain = Vec::new();
            let read = flate2::read::MultiGzDecoder::new(packed).read_to_end(&mut plain);
            read.expect("a gzip stream");
            plain
        }
        2 => snappy(packed),
        codec => panic!("codec {codec} is not known to the tests"),
    }
}

/// Java wraps blocks of snappy in a frame of its own; others write one bare block.
fn snappy(packed: &[u8]) -> Vec<u8> {
    let block = |block| {
        snap::raw::Decoder::new()
            .decompress_vec(block)
            .expect("a snappy block")
    };
    let Some(framed) = packed.strip_prefix(b"\x82SNAPPY\0") else {
        return block(packed);
    };
    let mut input = Input(&framed[8..]);
    let mut plain = Vec::new();
    while !input.0.is_empty() {
        plain.extend(block(input.bytes().expect("a length")));
    }
    plain
}
