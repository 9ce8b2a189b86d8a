//! Insert bodies, in ClickHouse's own compression framing (`decompress=1`).
//!
//! A frame is 16 bytes of checksum (CityHash128 of the rest, its two halves swapped), one byte of method (`0x82` is
//! LZ4), the compressed length including these 9 header bytes and the plain length (both 32-bit little-endian), then
//! an LZ4 block. Frames follow each other without anything between them.

use bytes::Bytes;

/// Plain bytes a frame holds at most: small enough that neither side needs a large buffer.
const FRAME_BYTES: usize = 1 << 20;
const CHECKSUM_BYTES: usize = 16;
const HEADER_BYTES: usize = 9;
const LZ4: u8 = 0x82;

/// An insert's body, made once and sent as often as needed. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct Body {
    bytes: Bytes,
    compressed: bool,
    json: Json,
}

/// How values of JSON columns are encoded in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Json {
    /// As text, the way [`crate::rows`] encodes them.
    Text,
    /// In ClickHouse's binary encoding, the way [`crate::readback`] reads them.
    Binary,
}

impl Body {
    /// Returns a body that is sent as it is.
    pub fn plain(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            compressed: false,
            json: Json::Text,
        }
    }

    /// Returns a body of `plain` compressed with LZ4.
    pub fn lz4(plain: &[u8]) -> Self {
        let mut out = Vec::with_capacity(plain.len() / 2 + CHECKSUM_BYTES + HEADER_BYTES);
        for chunk in plain.chunks(FRAME_BYTES) {
            frame(chunk, &mut out);
        }
        Self {
            bytes: out.into(),
            compressed: true,
            json: Json::Text,
        }
    }

    /// Returns how many bytes go over the wire.
    pub fn wire_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn with_binary_json(self) -> Self {
        Self {
            json: Json::Binary,
            ..self
        }
    }

    pub(crate) fn json(&self) -> Json {
        self.json
    }

    pub(crate) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    pub(crate) fn is_compressed(&self) -> bool {
        self.compressed
    }
}

fn frame(plain: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let data = start + CHECKSUM_BYTES + HEADER_BYTES;
    out.resize(data, 0);
    out.extend_from_slice(&lz4_flex::block::compress(plain));

    // Both lengths fit: a frame's plain bytes are at most FRAME_BYTES, and LZ4 adds less than one percent.
    let compressed = (out.len() - start - CHECKSUM_BYTES) as u32;
    let header = start + CHECKSUM_BYTES;
    out[header] = LZ4;
    out[header + 1..header + 5].copy_from_slice(&compressed.to_le_bytes());
    out[header + 5..data].copy_from_slice(&(plain.len() as u32).to_le_bytes());

    let checksum = cityhash_rs::cityhash_102_128(&out[header..]).rotate_right(64);
    out[start..header].copy_from_slice(&checksum.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unframe(mut wire: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        while !wire.is_empty() {
            let (checksum, rest) = wire.split_at(CHECKSUM_BYTES);
            let compressed = u32::from_le_bytes(rest[1..5].try_into().unwrap()) as usize;
            let length = u32::from_le_bytes(rest[5..9].try_into().unwrap()) as usize;
            let expected = cityhash_rs::cityhash_102_128(&rest[..compressed]).rotate_right(64);
            assert_eq!(checksum, expected.to_le_bytes());
            assert_eq!(rest[0], LZ4);
            plain.extend(
                lz4_flex::block::decompress(&rest[HEADER_BYTES..compressed], length).unwrap(),
            );
            wire = &rest[compressed..];
        }
        plain
    }

    #[test]
    fn bodies_of_many_frames_come_back_whole() {
        for length in [0, 1, FRAME_BYTES, FRAME_BYTES + 1, 3 * FRAME_BYTES + 17] {
            let plain: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            assert_eq!(unframe(&Body::lz4(&plain).bytes()), plain);
        }
    }
}
