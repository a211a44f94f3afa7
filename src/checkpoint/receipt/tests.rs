use super::*;
use crate::checkpoint::scratch::Scratch;

fn receipt(number: u64) -> Receipt {
    Receipt {
        name: b"010_2017041212.log".to_vec(),
        completed: b"010_2017041212.log.COMPLETED".to_vec(),
        device: 64512,
        inode: number,
        born_ns: 1_491_999_999_000_000_000,
        head_len: 256,
        head_crc: 0x1234_abcd,
        tail_crc: 0xdcba,
        size: 400_000,
        lines: 20_000,
        events: 19_999,
        bytes_crc: 0x0bad_cafe,
        opened_ms: 1_492_000_000_000,
        finished_ms: 1_492_003_600_000,
        ranges: vec![ReceiptRange {
            channel: "c1".into(),
            topic: "t".into(),
            partition: 2,
            producer_id: -1,
            first: 100,
            last: 20_098,
            events: 19_999,
        }],
        names_from: Vec::new(),
    }
}

fn append(dir: &Path, receipt: &Receipt) {
    Receipts::new(dir).append(receipt).unwrap();
}

/// Inodes of the receipts; damaged lines as their negative number.
fn inodes(dir: &Path) -> Vec<i64> {
    let number = |item| match item {
        Ok(Receipt { inode, .. }) => inode as i64,
        Err(ReceiptError::Damaged { line, .. }) => -(line as i64),
        Err(error) => panic!("{error}"),
    };
    read_all(dir).unwrap().map(number).collect()
}

#[test]
fn a_line_reads_like_this() {
    let line = receipt(131).to_line();
    let (text, crc) = line.trim_end().split_at(line.len() - 1 - CRC_KEY.len() - 8);
    assert_eq!(
        text,
        "name=010_2017041212.log completed=010_2017041212.log.COMPLETED device=64512 \
         inode=131 size=400000 lines=20000 events=19999 bytes_crc32=0badcafe \
         opened_ms=1492000000000 finished_ms=1492003600000 \
         born_ns=1491999999000000000 head=256:1234abcd tail_crc32=0000dcba range=c1:t:2:-1:100-20098:19999"
    );
    assert_eq!(crc, format!(" crc32={:08x}", crc32fast::hash(text.as_bytes())));
}

#[test]
fn receipts_with_any_name_come_back_in_order() {
    let scratch = Scratch::new("receipt-names");
    assert_eq!(read_all(&scratch.dir).unwrap().count(), 0);
    let all_bytes: Vec<u8> = (0..=255).collect();
    let mut wanted = vec![receipt(1), receipt(2), Receipt::default()];
    wanted[1].name = all_bytes;
    wanted[1].completed = "日志 %41=:x\n".into();
    wanted[1].ranges[0].topic = "a:b c%".into();
    wanted[1].ranges.push(ReceiptRange { first: 5, ..ReceiptRange::default() });
    let mut receipts = Receipts::new(&scratch.dir);
    wanted.iter().for_each(|r| receipts.append(r).unwrap());
    let found: Vec<Receipt> = read_all(&scratch.dir).unwrap().map(Result::unwrap).collect();
    assert_eq!(found, wanted);
    assert!(std::fs::read(scratch.dir.join(FILE_NAME)).unwrap().is_ascii());
}

/// Cut at every length: nothing but whole receipts is read, also after going on.
#[test]
fn a_torn_end_is_ignored_and_repaired() {
    let scratch = Scratch::new("receipt-torn");
    let path = scratch.dir.join(FILE_NAME);
    append(&scratch.dir, &receipt(1));
    let first = std::fs::read(&path).unwrap().len();
    append(&scratch.dir, &receipt(2));
    let bytes = std::fs::read(&path).unwrap();
    for len in first..=bytes.len() {
        std::fs::write(&path, &bytes[..len]).unwrap();
        let mut wanted = if len + 1 >= bytes.len() { vec![1, 2] } else { vec![1] };
        assert_eq!(inodes(&scratch.dir), wanted, "{len}");
        append(&scratch.dir, &receipt(3));
        wanted.push(3);
        assert_eq!(inodes(&scratch.dir), wanted, "{len}");
    }
}

#[test]
fn a_repair_that_was_cut_itself_is_repaired() {
    let scratch = Scratch::new("receipt-repair");
    let path = scratch.dir.join(FILE_NAME);
    append(&scratch.dir, &receipt(1));
    let mut torn = std::fs::read(&path).unwrap();
    let whole = torn.len();
    torn.extend_from_slice(&receipt(2).to_line().as_bytes()[..50]);
    std::fs::write(&path, &torn).unwrap();
    append(&scratch.dir, &receipt(3));
    let repaired = std::fs::read(&path).unwrap();
    for len in whole..=repaired.len() {
        std::fs::write(&path, &repaired[..len]).unwrap();
        append(&scratch.dir, &receipt(4));
        let wanted = if len + 1 >= repaired.len() { vec![1, 3, 4] } else { vec![1, 4] };
        assert_eq!(inodes(&scratch.dir), wanted, "{len}");
    }
}

#[test]
fn a_last_line_with_a_hole_is_torn_as_well() {
    let scratch = Scratch::new("receipt-hole");
    let path = scratch.dir.join(FILE_NAME);
    append(&scratch.dir, &receipt(1));
    append(&scratch.dir, &receipt(2));
    let mut bytes = std::fs::read(&path).unwrap();
    let len = bytes.len();
    bytes[len - 60..len - 20].fill(0);
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(inodes(&scratch.dir), [1]);
    append(&scratch.dir, &receipt(3));
    assert_eq!(inodes(&scratch.dir), [1, 3]);
}

#[test]
fn damage_before_the_end_is_reported_and_the_rest_read() {
    let scratch = Scratch::new("receipt-damage");
    let path = scratch.dir.join(FILE_NAME);
    for number in 1..=4 {
        append(&scratch.dir, &receipt(number));
    }
    let mut bytes = std::fs::read(&path).unwrap();
    let line = bytes.len() / 4;
    for at in 0..line - 1 {
        bytes[line + at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let found = inodes(&scratch.dir);
        // A byte that became a newline makes two damaged lines of it.
        assert!(found.starts_with(&[1, -2]) && found.ends_with(&[3, 4]), "{at}: {found:?}");
        bytes[line + at] ^= 1;
    }
    bytes[2 * line - 20] ^= 1;
    bytes[3 * line - 20] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(inodes(&scratch.dir), [1, -2, -3, 4]);
}

#[test]
fn unknown_keys_are_left_alone_and_missing_ones_are_not() {
    let line = |text: &str| format!("{text}{CRC_KEY}{:08x}", crc32fast::hash(text.as_bytes()));
    let text = receipt(1).to_line();
    let text = text.split(CRC_KEY).next().unwrap();
    assert_eq!(Receipt::parse(line(&format!("{text} new=1")).as_bytes()), Some(receipt(1)));
    assert_eq!(Receipt::parse(line(&text.replace("size", "sizes")).as_bytes()), None);
    assert_eq!(Receipt::parse(line(&text.replace("range=c1", "range=c1:c1")).as_bytes()), None);
}

#[test]
fn an_endless_line_is_no_receipt_and_takes_bounded_memory() {
    let scratch = Scratch::new("receipt-long");
    let path = scratch.dir.join(FILE_NAME);
    let mut bytes = vec![b'x'; LINE_BYTES_MAX + 100_000];
    bytes.push(b'\n');
    bytes.extend_from_slice(receipt(7).to_line().as_bytes());
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(inodes(&scratch.dir), [-1, 7]);
    bytes.truncate(LINE_BYTES_MAX + 100_000);
    std::fs::write(&path, &bytes).unwrap();
    append(&scratch.dir, &receipt(8));
    assert_eq!(inodes(&scratch.dir), [8]);
}
