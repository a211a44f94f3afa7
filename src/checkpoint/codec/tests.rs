//! One record, one encoding; and no input that makes decoding panic.

use super::*;

/// xorshift64*: the tests need the same "random" records in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn list<T>(&mut self, max: usize, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(max + 1)).map(|_| one(self)).collect()
    }

    fn text(&mut self) -> String {
        self.list(12, |r| ['a', '0', '/', 'é', '日', '\n', '\0'][r.below(7)]).iter().collect()
    }

    fn bytes(&mut self) -> Vec<u8> {
        self.list(40, |r| r.next() as u8)
    }

    fn channel(&mut self) -> ChannelRecord {
        ChannelRecord {
            name: self.text(),
            topic: self.text(),
            cluster_id: self.text(),
            topic_id: std::array::from_fn(|_| self.next() as u8),
            producer_id: self.next() as i64,
            producer_epoch: self.next() as i16,
            partitions: self.list(5, Random::partition),
            former: if self.below(4) == 0 { self.list(2, Random::former) } else { Vec::new() },
        }
    }

    fn partition(&mut self) -> PartitionRecord {
        PartitionRecord {
            partition: self.next() as i32,
            next_sequence: self.next() as i32,
            floor_offset: self.next() as i64,
            mark: (self.below(2) == 0).then(|| self.mark()),
        }
    }

    fn former(&mut self) -> FormerLog {
        FormerLog {
            topic: self.text(),
            cluster_id: self.text(),
            topic_id: std::array::from_fn(|_| self.next() as u8),
            is_foreign: self.below(2) == 0,
            partitions: self.list(2, Random::partition),
        }
    }

    /// `logs`: how many former ones the channel has.
    fn trace(&mut self, logs: usize) -> Trace {
        Trace {
            log: self.below(logs) as u16,
            partition: self.next() as i32,
            producer_id: self.next() as i64,
            producer_epoch: self.next() as i16,
            base_sequence: self.next() as i32,
            count: self.next() as u32,
            values_crc: self.next() as u32,
            first_crc: self.next() as u32,
        }
    }

    fn mark(&mut self) -> Mark {
        Mark {
            offset: self.next() as i64,
            producer_id: self.next() as i64,
            producer_epoch: self.next() as i16,
            base_sequence: self.next() as i32,
            count: self.next() as u32,
            values_crc: self.next() as u32,
            first_crc: self.next() as u32,
        }
    }

    fn file(&mut self, channels: usize) -> FileRecord {
        FileRecord {
            id: self.next(),
            device: self.next(),
            inode: self.next(),
            born_ns: self.next() as i64,
            head_len: self.below(HEAD_BYTES + 1) as u32,
            head_crc: self.next() as u32,
            tail_len: self.below(TAIL_BYTES + 1) as u32,
            tail_crc: self.next() as u32,
            name: self.bytes(),
            current_name: self.bytes(),
            state: [FileState::Live, FileState::Draining, FileState::Superseded][self.below(3)],
            skips_line: self.below(2) == 0,
            position: self.next(),
            lines: self.next(),
            events: self.next(),
            bytes_crc: self.next() as u32,
            opened_ms: self.next() as i64,
            ranges: self.list(if channels == 0 { 0 } else { 4 }, |r| OffsetRange {
                channel: r.below(channels) as u16,
                partition: r.next() as i32,
                producer_id: r.next() as i64,
                first: r.next() as i64,
                last: r.next() as i64,
                events: r.next(),
            }),
            marks: self.list(3, |r| ReadMark {
                position: r.next(),
                bytes_crc: r.next() as u32,
                lines: r.next(),
                events: r.next(),
            }),
            directory: self.next(),
            is_remnant: self.below(2) == 0,
            directory_born_ns: self.next() as i64,
            root: [0, self.next()][self.below(2)],
            root_born_ns: [0, self.next() as i64][self.below(2)],
            former_names: self.list(2, |r| FormerName {
                name: r.bytes(),
                device: r.next(),
                directory: r.next(),
                directory_born_ns: r.next() as i64,
            }),
        }
    }

    fn batch(&mut self, channels: &[ChannelRecord]) -> BatchRecord {
        let channel = self.below(channels.len());
        let logs = channels[channel].former.len();
        BatchRecord {
            channel: channel as u16,
            partition: self.next() as i32,
            producer_id: self.next() as i64,
            producer_epoch: self.next() as i16,
            base_sequence: self.next() as i32,
            count: self.next() as u32,
            file: self.next(),
            start: self.next(),
            end: self.next(),
            lines: self.next(),
            bytes_crc: self.next() as u32,
            tail_crc: self.next() as u32,
            values_crc: self.next() as u32,
            first_crc: self.next() as u32,
            stamp_ms: self.next() as i64,
            fate: match self.below(4) {
                0 => Fate::InDoubt,
                1 => Fate::Nowhere,
                2 => Fate::Spread,
                _ => Fate::At((self.next() >> 1) as i64),
            },
            is_final: self.below(2) == 0,
            is_foreign: self.below(2) == 0,
            share: (self.below(2) == 0).then(|| Share {
                rule: self.next() as u32,
                partitions: self.next() as u32,
                of: self.next() as i32,
                has_free: self.below(2) == 0,
                read_ms: self.next() as i64,
                events: self.next() as u32,
            }),
            traces: if logs == 0 { Vec::new() } else { self.list(2, |r| r.trace(logs)) },
        }
    }

    fn record(&mut self) -> Record {
        let channels = self.list(3, Random::channel);
        let count = channels.len();
        Record {
            generation: self.next(),
            own_device: self.next(),
            own_inode: self.next(),
            agent: self.text(),
            source: self.text(),
            next_file_id: self.next(),
            receipts_void: self.next(),
            letters_known: LettersKnown::of_number(match self.below(3) {
                0 => u64::MAX,
                _ => self.next(),
            }),
            names_from: if self.below(2) == 0 { Vec::new() } else { self.text().into() },
            files: self.list(4, |r| r.file(count)),
            batches: self.list(if count == 0 { 0 } else { 9 }, |r| r.batch(&channels)),
            channels,
        }
    }
}

fn encode(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    encode_into(record, &Vec::from_iter(&record.files), &mut out);
    out
}

/// As version 2 wrote it, without topic ids and marks, version 3, without those of files, version 4,
/// without the spool directory, or version 5, without its time of birth.
fn encode_old(record: &Record, version: u16) -> Vec<u8> {
    let mut out = Vec::new();
    let head = Record {
        channels: Vec::new(),
        files: Vec::new(),
        batches: Vec::new(),
        names_from: Vec::new(),
        ..record.clone()
    };
    encode_into(&head, &Vec::from_iter(&head.files), &mut out);
    let end = out.split_off(out.len() - 2 * 8);
    out.truncate(out.len() - 3 * 4);
    put(&mut out, version.to_le_bytes());
    out.rotate_right(2);
    out.drain(2..4);
    put_length(&mut out, record.channels.len());
    for channel in &record.channels {
        if version > VERSION_MIN {
            encode_channel(channel, &mut out);
            continue;
        }
        put_bytes(&mut out, channel.name.as_bytes());
        put_bytes(&mut out, channel.topic.as_bytes());
        put_bytes(&mut out, channel.cluster_id.as_bytes());
        put(&mut out, channel.producer_id.to_le_bytes());
        put(&mut out, channel.producer_epoch.to_le_bytes());
        put_length(&mut out, channel.partitions.len());
        for partition in &channel.partitions {
            put(&mut out, partition.partition.to_le_bytes());
            put(&mut out, partition.next_sequence.to_le_bytes());
            put(&mut out, partition.floor_offset.to_le_bytes());
        }
    }
    put_length(&mut out, record.files.len());
    for file in &record.files {
        encode_file(file, &mut out);
        if version >= WITH_READ_MARKS {
            encode_read_marks(&file.marks, &mut out);
        }
        if version >= WITH_DIRECTORY {
            encode_directory(file, &mut out);
        }
    }
    put_length(&mut out, record.batches.len());
    record.batches.iter().for_each(|batch| encode_batch(batch, &mut out));
    if version >= WITH_DIRECTORY {
        out.extend(end);
    }
    out
}

/// The state of a busy source: one file, three partitions, `batches` batches.
fn typical(batches: usize) -> Record {
    let mut random = Random(7);
    let mut channel = ChannelRecord {
        name: "c1".into(),
        topic: "log010".into(),
        cluster_id: "Zk0pX1FTTK2vO7m1gHwTKg".into(),
        ..random.channel()
    };
    channel.partitions = vec![PartitionRecord::default(); 3];
    channel.former.clear();
    let name = b"010_2017041212.log".to_vec();
    let mut file = FileRecord { current_name: name.clone(), name, ..random.file(0) };
    file.ranges = vec![OffsetRange::default(); 3];
    (file.root, file.root_born_ns) = (0, 0);
    file.former_names.clear();
    Record {
        agent: "a1".into(),
        source: "r1".into(),
        batches: (0..batches).map(|_| random.batch(std::slice::from_ref(&channel))).collect(),
        channels: vec![channel],
        files: vec![file],
        ..Record::default()
    }
}

#[test]
fn random_records_come_back() {
    let mut random = Random(1);
    for _ in 0..3000 {
        let record = random.record();
        assert_eq!(decode(&encode(&record)), Ok(record));
    }
}

#[test]
fn the_versions_before_are_read() {
    let mut random = Random(5);
    for _ in 0..1000 {
        let mut record = random.record();
        record.names_from.clear();
        for file in &mut record.files {
            (file.directory_born_ns, file.root, file.root_born_ns) = (0, 0, 0);
            file.former_names.clear();
        }
        record.channels.iter_mut().for_each(|channel| channel.former.clear());
        record.batches.iter_mut().for_each(|batch| batch.traces.clear());
        assert_eq!(decode(&encode_old(&record, 5)).as_ref(), Ok(&record));
        record.files.iter_mut().for_each(|file| (file.directory, file.is_remnant) = (0, false));
        (record.receipts_void, record.letters_known) = (0, LettersKnown::Unsaid);
        assert_eq!(decode(&encode_old(&record, 4)).as_ref(), Ok(&record));
        record.files.iter_mut().for_each(|file| file.marks.clear());
        assert_eq!(decode(&encode_old(&record, 3)).as_ref(), Ok(&record));
        for channel in &mut record.channels {
            channel.topic_id = [0; 16];
            channel.partitions.iter_mut().for_each(|p| p.mark = None);
        }
        assert_eq!(decode(&encode_old(&record, 2)), Ok(record));
    }
}

#[test]
fn the_least_sizes_are_those_of_empty_elements() {
    let size = |record: &Record| encode(record).len();
    let none = Record { channels: vec![ChannelRecord::default()], ..Record::default() };
    // Those of version 2, which has no topic id and no byte for the mark; of files no marks and no
    // directory.
    assert_eq!(size(&none) - size(&Record::default()), CHANNEL_BYTES_MIN + 16);
    let mut some = none.clone();
    some.channels[0].partitions.push(PartitionRecord::default());
    assert_eq!(size(&some) - size(&none), PARTITION_BYTES_MIN + 1);
    let mut file = none.clone();
    file.files.push(FileRecord::default());
    assert_eq!(size(&file) - size(&none), FILE_BYTES_MIN + 4 + 9 + 8);
    let mut range = file.clone();
    range.files[0].ranges.push(OffsetRange::default());
    assert_eq!(size(&range) - size(&file), RANGE_BYTES);
    let mut marked = file.clone();
    marked.files[0].marks.push(ReadMark::default());
    assert_eq!(size(&marked) - size(&file), READ_MARK_BYTES);
    let mut renamed = file.clone();
    renamed.files[0].former_names.push(FormerName::default());
    assert_eq!(size(&renamed) - size(&file), 4 + FORMER_NAME_BYTES_MIN);
    let mut batch = none.clone();
    batch.batches.push(BatchRecord::default());
    assert_eq!(size(&batch) - size(&none), BATCH_BYTES_MIN);
    let mut moved = batch.clone();
    moved.channels[0].former.push(FormerLog::default());
    let mut twice = moved.clone();
    twice.channels[0].former.push(FormerLog::default());
    assert_eq!(size(&twice) - size(&moved), FORMER_LOG_BYTES_MIN);
    let mut traced = moved.clone();
    traced.batches[0].traces.push(Trace::default());
    assert_eq!(size(&traced) - size(&moved), TRACE_BYTES);
}

/// A program that does not know of such logs may go on with everything else.
#[test]
fn only_a_record_that_names_a_former_log_needs_a_later_program() {
    let version = |bytes: &[u8]| u16::from_le_bytes([bytes[0], bytes[1]]);
    let mut record = typical(1);
    let mut bytes = encode(&record);
    assert_eq!(version(&bytes), WITHOUT_FORMER_LOGS);
    // The same, as if it did.
    bytes[..2].copy_from_slice(&VERSION.to_le_bytes());
    assert!(decode(&bytes).is_err());
    record.channels[0].former.push(FormerLog::default());
    record.batches[0].traces.push(Trace::default());
    let bytes = encode(&record);
    assert_eq!(version(&bytes), VERSION);
    assert_eq!(decode(&bytes), Ok(record.clone()));
    record.batches[0].traces[0].log = 1;
    let dangling = DecodeError::Value { at: 0, what: "index of a former log" };
    let found = decode(&encode(&record)).map_err(|error| match error {
        DecodeError::Value { what, .. } => DecodeError::Value { at: 0, what },
        other => other,
    });
    assert_eq!(found, Err(dangling));
}

#[test]
fn a_typical_record_is_small() {
    assert!(encode(&typical(3)).len() < 1024, "{}", encode(&typical(3)).len());
    assert!(encode(&typical(15)).len() < 2048, "{}", encode(&typical(15)).len());
}

#[test]
fn cut_and_lengthened_records_are_refused() {
    let mut bytes = encode(&typical(3));
    for len in 0..bytes.len() {
        assert!(matches!(decode(&bytes[..len]), Err(DecodeError::Cut { .. })), "{len}");
    }
    let at = bytes.len();
    bytes.push(0);
    assert_eq!(decode(&bytes), Err(DecodeError::Trailing { at }));
}

#[test]
fn another_version_is_named() {
    let mut bytes = encode(&Record::default());
    bytes[..2].copy_from_slice(&9u16.to_le_bytes());
    assert_eq!(decode(&bytes), Err(DecodeError::Version(9)));
}

#[test]
fn an_index_without_a_channel_is_refused() {
    let mut record = typical(1);
    let bytes = encode(&record);
    record.channels.push(ChannelRecord::default());
    record.batches[0].channel = 1;
    let mut other = encode(&record);
    // The second channel's bytes are taken out and the count put back: the index dangles.
    let at = bytes.iter().zip(&other).position(|(a, b)| a != b).unwrap();
    other[at] = 1;
    let place = (0..other.len()).find(|&place| {
        let mut cut = other.clone();
        cut.drain(place..(place + CHANNEL_BYTES_MIN + 16).min(other.len()));
        matches!(decode(&cut), Err(DecodeError::Value { what: "index of a channel", .. }))
    });
    assert!(place.is_some());
}

/// Flipped, cut and made-up bytes: an error, or a record that stands for exactly these bytes.
#[test]
fn hostile_bytes_are_refused_or_are_a_record() {
    let mut random = Random(3);
    let mut decoded = 0;
    for round in 0..20_000 {
        let mut bytes = match round % 8 {
            0 => random.bytes(),
            1 => encode_old(&random.record(), 2),
            2 => encode_old(&random.record(), 3),
            3 => encode_old(&random.record(), 5),
            _ => encode(&random.record()),
        };
        for _ in 0..random.below(4) {
            if !bytes.is_empty() {
                let at = random.below(bytes.len());
                bytes[at] = [random.next() as u8, 0xff, 0, bytes[at] ^ 1][random.below(4)];
            }
        }
        if let Ok(record) = decode(&bytes) {
            match u16::from_le_bytes([bytes[0], bytes[1]]) {
                WITHOUT_FORMER_LOGS | VERSION => assert_eq!(encode(&record), bytes),
                version => assert_eq!(encode_old(&record, version), bytes),
            }
            decoded += 1;
        }
    }
    assert!(decoded > 500);
}
