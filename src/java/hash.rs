//! `String.hashCode`, and the order of a `HashMap`.

/// `text.hashCode()` of Java, over its UTF-16 units.
pub(crate) fn string_hash(text: &str) -> u32 {
    let add = |hash: u32, unit: u32| hash.wrapping_mul(31).wrapping_add(unit);
    if text.is_ascii() {
        return text.bytes().fold(0, |hash, byte| add(hash, byte.into()));
    }
    text.encode_utf16().fold(0, |hash, unit| add(hash, unit.into()))
}

/// murmur2 as Kafka's Java clients compute it of a record's key.
pub(crate) fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ bytes.len() as u32;
    let (words, tail) = bytes.as_chunks::<4>();
    for word in words {
        let mut part = u32::from_le_bytes(*word).wrapping_mul(M);
        part ^= part >> 24;
        hash = hash.wrapping_mul(M) ^ part.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (at, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(M);
    hash ^ hash >> 15
}

/// The bucket of a key in a `java.util.HashMap` of so many buckets, a power of two.
fn bucket(text: &str, buckets: u32) -> u32 {
    let code = string_hash(text);
    (code ^ code >> 16) & (buckets - 1)
}

/// Different keys in the order in which a `java.util.HashMap` gives them that was filled in this one.
pub(crate) fn map_order(keys: &[String]) -> Vec<&str> {
    let mut buckets = 16;
    while keys.len() as u64 > u64::from(buckets) / 4 * 3 {
        buckets *= 2;
    }
    let mut order: Vec<&str> = keys.iter().map(String::as_str).collect();
    order.sort_by_key(|key| bucket(key, buckets));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_java() {
        assert_eq!(string_hash(""), 0);
        assert_eq!(string_hash("Aa"), string_hash("BB"));
        assert_eq!(string_hash("hello"), 99_162_322);
    }

    /// From a JVM: `Utils.murmur2` of kafka-clients 2.7.2, and `String.hashCode`.
    #[test]
    fn hashes_of_keys_are_those_of_kafka() {
        let keys = [
            ("alpha", 0x4fbe_e528, 0x0589_b15e),
            ("beta", 0xd3ed_a4a0, 0x002e_15f0),
            ("zürich", 0x5d3e_c180, 0xde43_c79e),
            ("世界", 0x62d2_a6fc, 0x0009_e9f6),
            ("", 0x106e_08d9, 0),
            ("user-4711", 0x006f_dccb, 0x115e_54a5),
            ("😀", 0x07dc_5a91, 0x001b_0d63),
        ];
        for (key, murmur, code) in keys {
            assert_eq!((murmur2(key.as_bytes()), string_hash(key)), (murmur, code), "{key}");
        }
    }

    #[test]
    fn keys_come_by_their_buckets() {
        let keys = ["web", "db", "rest"].map(str::to_owned);
        let order = map_order(&keys);
        let buckets: Vec<u32> = order.iter().map(|key| bucket(key, 16)).collect();
        assert!(buckets.is_sorted(), "{order:?} {buckets:?}");
        // Equal ones stay as they came.
        let equal = ["BB", "Aa"].map(str::to_owned);
        assert_eq!(map_order(&equal), ["BB", "Aa"]);
    }
}
