//! Encodes answers: ClickHouse's blocks inside, HTTP's content encoding outside.

use std::io::{self, Write};

use crate::blocks::BlockWriter;
use crate::request::ContentEncoding;

enum Outer {
    Identity(Vec<u8>),
    Lz4(Box<lz4_flex::frame::FrameEncoder<Vec<u8>>>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
}

impl Outer {
    fn new(encoding: ContentEncoding) -> Self {
        match encoding {
            ContentEncoding::Identity => Self::Identity(Vec::new()),
            ContentEncoding::Lz4 => {
                Self::Lz4(Box::new(lz4_flex::frame::FrameEncoder::new(Vec::new())))
            }
            ContentEncoding::Gzip => Self::Gzip(flate2::write::GzEncoder::new(
                Vec::new(),
                flate2::Compression::fast(),
            )),
        }
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Identity(encoded) => encoded.write_all(data),
            Self::Lz4(encoder) => encoder.write_all(data),
            Self::Gzip(encoder) => encoder.write_all(data),
        }
    }

    fn encoded(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Identity(encoded) => encoded,
            Self::Lz4(encoder) => encoder.get_mut(),
            Self::Gzip(encoder) => encoder.get_mut(),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Identity(encoded) => Ok(encoded),
            Self::Lz4(encoder) => encoder.finish().map_err(io::Error::other),
            Self::Gzip(encoder) => encoder.finish(),
        }
    }
}

/// Takes plain data, gives encoded data.
pub(crate) struct Encoder {
    blocks: Option<BlockWriter>,
    outer: Outer,
}

impl Encoder {
    /// Makes an encoder; `blocks` for ClickHouse's compressed blocks.
    pub(crate) fn new(encoding: ContentEncoding, blocks: bool) -> Self {
        Self {
            blocks: blocks.then(BlockWriter::default),
            outer: Outer::new(encoding),
        }
    }

    /// Takes data.
    ///
    /// # Errors
    /// The compressor fails, which it does not in memory.
    pub(crate) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        let Some(blocks) = &mut self.blocks else {
            return self.outer.write(data);
        };
        let mut packed = Vec::new();
        blocks.write(data, &mut packed);
        self.outer.write(&packed)
    }

    /// Returns how much encoded data are ready.
    pub(crate) fn ready_bytes(&mut self) -> usize {
        self.outer.encoded().len()
    }

    /// Returns the encoded data that are ready.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.outer.encoded())
    }

    /// Ends the encoding and returns the rest.
    ///
    /// # Errors
    /// The compressor fails, which it does not in memory.
    pub(crate) fn finish(mut self) -> io::Result<Vec<u8>> {
        let mut packed = Vec::new();
        if let Some(blocks) = &mut self.blocks {
            blocks.flush(&mut packed);
        }
        self.outer.write(&packed)?;
        self.outer.finish()
    }
}
