//! How large a record and the call in it may be.

/// Bounds on one record. A record beyond one of them fails with the reason `size`; what lies within them is
/// read with bounded memory and bounded recursion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a record's value.
    pub record_bytes: usize,
    /// Deepest nesting of objects and arrays, the call itself counting as one. ClickHouse gives up near
    /// 1,000.
    pub depth: usize,
    /// Most object members in a call, at all levels together.
    pub keys: usize,
    /// Most bytes of an object member's name.
    pub key_bytes: usize,
    /// Most bytes of one text.
    pub string_bytes: usize,
    /// Most bytes of JSON in each of `properties`, `traits` and `context`.
    pub properties_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            record_bytes: 1024 * 1024,
            depth: 40,
            keys: 2_000,
            key_bytes: 256,
            string_bytes: 32 * 1024,
            properties_bytes: 256 * 1024,
        }
    }
}
