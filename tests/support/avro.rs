//! AvroFlumeEvent, the value that Flume's Kafka channel writes: a map of headers and a body
//! of bytes, in Avro's binary encoding without schema or frame.

use super::wire::Input;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// In the order of the bytes.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Panics if `value` is not one event and nothing else.
pub fn decode_event(value: &[u8]) -> Event {
    let mut input = Input(value);
    let mut headers = Vec::new();
    loop {
        let mut count = input.zigzag();
        if count == 0 {
            break;
        }
        if count < 0 {
            // Then the block's size in bytes follows, for those who want to skip it.
            count = -count;
            input.zigzag();
        }
        for _ in 0..count {
            let key = text(&mut input);
            headers.push((key, text(&mut input)));
        }
    }
    let length = input.zigzag() as usize;
    let body = input.take(length).to_vec();
    assert!(input.0.is_empty(), "bytes behind the event: {:?}", input.0);
    Event { headers, body }
}

fn text(input: &mut Input) -> String {
    let length = input.zigzag() as usize;
    String::from_utf8(input.take(length).to_vec()).expect("UTF-8")
}
