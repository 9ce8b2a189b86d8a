//! ClickHouse's own compression of data streams, used with `compress=1` and `decompress=1`.
//!
//! A stream is a sequence of blocks. A block is
//!
//! | bytes | what |
//! |-------|------|
//! | 16 | CityHash128 (version 1.0.2) of all that follows, the two 64-bit halves in the order low, high, each little endian |
//! | 1 | method: `0x82` LZ4, `0x02` none |
//! | 4 | size of this and the following, hence 9 + the data's, little endian |
//! | 4 | size of the data when decompressed, little endian |
//! | … | the data |

use std::io::{self, Read};

use crate::body::MAX_BODY_BYTES;
use crate::exception::{Code, Exception};

const LZ4: u8 = 0x82;
const NONE: u8 = 0x02;
const CHECKSUM_BYTES: usize = 16;
const HEADER_BYTES: usize = 9;
/// Size of the blocks written, as a server's.
const BLOCK_BYTES: usize = 1 << 20;

fn checksum(data: &[u8]) -> u128 {
    // The crate returns the halves the other way round.
    cityhash_rs::cityhash_102_128(data).rotate_right(64)
}

/// Reads what is inside the blocks of another reader.
pub(crate) struct BlockReader<R> {
    source: R,
    block: Vec<u8>,
    data: Vec<u8>,
    read: usize,
}

impl<R: Read> BlockReader<R> {
    /// Starts before the first block.
    pub(crate) fn new(source: R) -> Self {
        Self {
            source,
            block: Vec::new(),
            data: Vec::new(),
            read: 0,
        }
    }

    /// Loads the next block; false at the end.
    fn load(&mut self) -> io::Result<bool> {
        let mut sum = [0; CHECKSUM_BYTES];
        let mut filled = 0;
        while filled < sum.len() {
            match self.source.read(&mut sum[filled..])? {
                0 if filled == 0 => return Ok(false),
                0 => return Err(cut_off()),
                count => filled += count,
            }
        }
        self.block.resize(HEADER_BYTES, 0);
        exactly(&mut self.source, &mut self.block)?;
        let size = |from: usize| {
            let bytes = [0, 1, 2, 3].map(|at| self.block[from + at]);
            u32::from_le_bytes(bytes) as usize
        };
        let (method, packed, unpacked) = (self.block[0], size(1), size(5));
        if !(HEADER_BYTES..=MAX_BODY_BYTES).contains(&packed) || unpacked > MAX_BODY_BYTES {
            let text = "A compressed block is too large, most likely the data are corrupted";
            return Err(Exception::new(Code::TooLargeSizeCompressed, text).into());
        }
        self.block.resize(packed, 0);
        exactly(&mut self.source, &mut self.block[HEADER_BYTES..])?;
        let (expected, actual) = (u128::from_le_bytes(sum), checksum(&self.block));
        if expected != actual {
            let text = format!(
                "Checksum doesn't match: corrupted data. Reference: {expected:032x}. Actual: {actual:032x}. \
                 Size of compressed block: {packed}"
            );
            return Err(Exception::new(Code::ChecksumDoesntMatch, text).into());
        }
        self.unpack(method, unpacked)?;
        self.read = 0;
        Ok(true)
    }

    fn unpack(&mut self, method: u8, size: usize) -> Result<(), Exception> {
        let packed = &self.block[HEADER_BYTES..];
        self.data.resize(size, 0);
        let unpacked = match method {
            LZ4 => lz4_flex::block::decompress_into(packed, &mut self.data).ok(),
            NONE if packed.len() == size => {
                self.data.copy_from_slice(packed);
                Some(size)
            }
            NONE => None,
            _ => {
                let text = format!("Unknown codec family code: {method:#x}; this server knows LZ4");
                return Err(Exception::new(Code::UnknownCodec, text));
            }
        };
        if unpacked == Some(size) {
            Ok(())
        } else {
            let text = "Cannot decompress a block of the request's body";
            Err(Exception::new(Code::CannotDecompress, text))
        }
    }
}

impl<R: Read> Read for BlockReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.data.len() {
            if !self.load()? {
                return Ok(0);
            }
        }
        let count = (&self.data[self.read..]).read(buffer)?;
        self.read += count;
        Ok(count)
    }
}

fn exactly(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<()> {
    source.read_exact(buffer).map_err(|error| {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            cut_off()
        } else {
            error
        }
    })
}

fn cut_off() -> io::Error {
    let text = "Cannot read all data: the body ends inside a compressed block";
    Exception::new(Code::CannotReadAllData, text).into()
}

/// Packs data into blocks.
#[derive(Debug, Default)]
pub(crate) struct BlockWriter {
    pending: Vec<u8>,
}

impl BlockWriter {
    /// Takes data and appends the blocks that are full to `packed`.
    pub(crate) fn write(&mut self, mut data: &[u8], packed: &mut Vec<u8>) {
        while self.pending.len() + data.len() >= BLOCK_BYTES {
            let (now, later) = data.split_at(BLOCK_BYTES - self.pending.len());
            self.pending.extend_from_slice(now);
            self.flush(packed);
            data = later;
        }
        self.pending.extend_from_slice(data);
    }

    /// Appends what is left as a block.
    pub(crate) fn flush(&mut self, packed: &mut Vec<u8>) {
        if self.pending.is_empty() {
            return;
        }
        let start = packed.len();
        let data_start = start + CHECKSUM_BYTES + HEADER_BYTES;
        let room = lz4_flex::block::get_maximum_output_size(self.pending.len());
        packed.resize(data_start + room, 0);
        let (method, size) =
            match lz4_flex::block::compress_into(&self.pending, &mut packed[data_start..]) {
                Ok(size) => (LZ4, size),
                Err(_) => {
                    packed[data_start..data_start + self.pending.len()]
                        .copy_from_slice(&self.pending);
                    (NONE, self.pending.len())
                }
            };
        packed.truncate(data_start + size);
        let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
        let header = start + CHECKSUM_BYTES;
        packed[header] = method;
        packed[header + 1..header + 5].copy_from_slice(&length(size + HEADER_BYTES));
        packed[header + 5..header + 9].copy_from_slice(&length(self.pending.len()));
        let sum = checksum(&packed[header..]).to_le_bytes();
        packed[start..header].copy_from_slice(&sum);
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests;
