//! `String.hashCode`, and the order of a `HashMap`.

/// `text.hashCode()` of Java, over its UTF-16 units.
pub(crate) fn string_hash(text: &str) -> u32 {
    text.encode_utf16().fold(0u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()))
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
