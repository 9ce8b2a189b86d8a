//! RowBinary: the bytes of ClickHouse values, written straight into a buffer.
//!
//! Only the types of Weir's tables are here. Nothing is checked against the table: [`crate::rows`] pairs a column's
//! type with the right function.

use uuid::Uuid;

/// 1900-01-01 and 2299-12-31T23:59:59.999 in milliseconds: what `DateTime64(3)` can show.
const DATETIME64_MS: std::ops::RangeInclusive<i64> = -2_208_988_800_000..=10_413_791_999_999;

/// Appends a variable-length unsigned integer (LEB128).
pub fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a `String`: length in bytes, then the bytes, which may be any.
pub fn string(out: &mut Vec<u8>, value: impl AsRef<[u8]>) {
    let bytes = value.as_ref();
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a `String` whose bytes `fill` writes to the end of the buffer; the length goes before them.
pub fn string_with(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    fill(out);
    let length = out.len() - start;
    varint(out, length as u64);
    let prefix = out.len() - start - length;
    out[start..].rotate_right(prefix);
}

/// Appends an `Array(String)` or `Array(LowCardinality(String))`.
pub fn strings(out: &mut Vec<u8>, values: &[impl AsRef<str>]) {
    varint(out, values.len() as u64);
    for value in values {
        string(out, value.as_ref());
    }
}

/// Appends a `UUID`: two little-endian halves, the high one first.
pub fn uuid(out: &mut Vec<u8>, value: Uuid) {
    let (high, low) = value.as_u64_pair();
    out.extend_from_slice(&high.to_le_bytes());
    out.extend_from_slice(&low.to_le_bytes());
}

/// Appends a `DateTime64(3)` from milliseconds since the epoch, held within the years 1900 to 2299.
pub fn datetime64(out: &mut Vec<u8>, ms: i64) {
    let ms = ms.clamp(*DATETIME64_MS.start(), *DATETIME64_MS.end());
    out.extend_from_slice(&ms.to_le_bytes());
}

/// Reads a variable-length unsigned integer off the front of `input`; `None` when it is cut short or too long.
pub fn read_varint(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Reads `length` bytes off the front of `input`; `None` when there are fewer.
pub fn read_bytes<'a>(input: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (bytes, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some(bytes)
}

/// Reads a `String` off the front of `input`; `None` when it is cut short.
pub fn read_string<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(read_varint(input)?).ok()?;
    read_bytes(input, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_written_backwards_equals_one_written_forwards() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 70_000] {
            let text = "x".repeat(length);
            let (mut forward, mut backward) = (vec![7], vec![7]);
            string(&mut forward, &text);
            string_with(&mut backward, |out| out.extend_from_slice(text.as_bytes()));
            assert_eq!(forward, backward);
            assert_eq!(read_string(&mut &forward[1..]), Some(text.as_bytes()));
        }
    }

    #[test]
    fn times_beyond_the_type_are_held_at_its_ends() {
        let mut out = Vec::new();
        datetime64(&mut out, i64::MAX);
        assert_eq!(out, 10_413_791_999_999i64.to_le_bytes());
    }

    #[test]
    fn a_cut_value_reads_as_none() {
        assert_eq!(read_varint(&mut &[0x80u8][..]), None);
        assert_eq!(read_varint(&mut &[0xffu8; 11][..]), None);
        assert_eq!(read_string(&mut &[3u8, b'a'][..]), None);
    }
}
