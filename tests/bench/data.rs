//! Log lines to measure with: always the same ones, so that runs can be compared.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Bytes of a line without its newline.
pub const LINE_BYTES: usize = 108;

/// What a line holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// ASCII.
    Plain,
    /// Half of it Chinese, in GBK.
    Gbk,
    /// UTF-8 with a malformed byte in every line.
    Malformed,
}

/// Numbers that look random and are the same every time (Knuth's MMIX).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }
}

/// Makes the lines.
pub struct Lines {
    text: Text,
    /// Of a line without its newline.
    bytes: usize,
    numbers: Numbers,
    count: u64,
}

impl Lines {
    pub fn new(text: Text) -> Lines {
        Lines { text, bytes: LINE_BYTES, numbers: Numbers(2017), count: 0 }
    }

    /// Of another length.
    pub fn of_bytes(bytes: usize) -> Lines {
        Lines { bytes, ..Lines::new(Text::Plain) }
    }

    /// Appends the next line with its newline.
    pub fn push(&mut self, out: &mut Vec<u8>) {
        const LEVELS: [&str; 4] = ["INFO ", "INFO ", "WARN ", "DEBUG"];
        let start = out.len();
        let (a, b) = (self.numbers.next(), self.numbers.next());
        let level = LEVELS[a as usize % 4];
        let (worker, user, took) = (a / 4 % 32, b % 1_000_000, a / 128 % 5000);
        let n = self.count;
        write!(out, "{n:010} 2017-04-12 11:36:18 {level} worker-{worker:02} user={user} ")
            .expect("a Vec takes all");
        let end = start + self.bytes;
        match self.text {
            Text::Plain => {
                write!(out, "GET /orders/{b} took {took} ms, status 200, ").expect("as above");
                while out.len() < end {
                    out.push(b'a' + (self.numbers.next() % 26) as u8);
                }
            }
            Text::Gbk => {
                while out.len() + 1 < end {
                    // The first level of GB 2312: characters in use.
                    let n = self.numbers.next();
                    out.extend([0xB0 + (n % 39) as u8, 0xA1 + (n / 64 % 94) as u8]);
                }
                out.resize(end, b'.');
            }
            Text::Malformed => {
                out.extend(b"caf\xe9 ");
                while out.len() < end {
                    out.push(b'a' + (self.numbers.next() % 26) as u8);
                }
            }
        }
        out.truncate(end);
        out.push(b'\n');
        self.count += 1;
    }

    /// Writes a file of `count` further lines.
    pub fn write(&mut self, path: &Path, count: u64) {
        let mut file = BufWriter::new(File::create(path).expect("a data file"));
        let mut line = Vec::new();
        for _ in 0..count {
            line.clear();
            self.push(&mut line);
            file.write_all(&line).expect("room for the data");
        }
        file.flush().expect("room for the data");
    }
}
