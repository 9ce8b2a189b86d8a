//! A request's body: read within limits, then taken apart piece by piece without ever being copied into one buffer.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body as HttpBody;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::blocks::BlockReader;
use crate::exception::{Code, Exception};
use crate::request::ContentEncoding;

/// Largest body, encoded and decoded, in bytes.
pub(crate) const MAX_BODY_BYTES: usize = 256 << 20;
/// How long a client may take for the next piece; a server's `http_receive_timeout`.
const STALLED: Duration = Duration::from_secs(30);
/// Piece size of decoded bodies, in bytes.
const PIECE_BYTES: usize = 256 << 10;

/// What all bodies together may take.
pub(crate) struct Budget {
    used_bytes: AtomicUsize,
    limit_bytes: usize,
}

impl Budget {
    /// Makes a budget of so many bytes.
    pub(crate) fn new(limit_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            used_bytes: AtomicUsize::new(0),
            limit_bytes,
        })
    }
}

/// A part of the budget, given back when dropped.
struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Share {
    fn take(&mut self, bytes: usize) -> Result<(), Exception> {
        self.bytes += bytes;
        let used = self.budget.used_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if used <= self.budget.limit_bytes {
            return Ok(());
        }
        let text = format!(
            "Memory limit exceeded: request bodies may take {} bytes together",
            self.budget.limit_bytes
        );
        Err(Exception::new(Code::MemoryLimitExceeded, text))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget
            .used_bytes
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A whole body as it came.
pub(crate) struct Body {
    pieces: VecDeque<Bytes>,
    share: Share,
}

/// Why a body is not there.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// It breaks a limit.
    Refused(Exception),
    /// The client went away.
    Gone,
}

impl Body {
    /// Reads a body to its end.
    ///
    /// # Errors
    /// It is too large or stalls, or the client went away before its end: then nothing of it may be used.
    pub(crate) async fn read(body: HttpBody, budget: &Arc<Budget>) -> Result<Self, BodyError> {
        let mut whole = Self {
            pieces: VecDeque::new(),
            share: Share {
                budget: Arc::clone(budget),
                bytes: 0,
            },
        };
        let mut stream = body.into_data_stream();
        let stalled = |_| {
            let text = format!("Timeout exceeded: the request's body stalled for {STALLED:?}");
            BodyError::Refused(Exception::new(Code::SocketTimeout, text))
        };
        while let Some(piece) = timeout(STALLED, stream.next()).await.map_err(stalled)? {
            let piece = piece.map_err(|_| BodyError::Gone)?;
            if whole.share.bytes + piece.len() > MAX_BODY_BYTES {
                return Err(BodyError::Refused(too_large()));
            }
            whole.share.take(piece.len()).map_err(BodyError::Refused)?;
            if !piece.is_empty() {
                whole.pieces.push_back(piece);
            }
        }
        Ok(whole)
    }

    /// Undoes the encodings, the outer first. `blocks` are ClickHouse's compressed blocks.
    pub(crate) fn decode(self, encoding: ContentEncoding, blocks: bool) -> Decoded {
        if encoding == ContentEncoding::Identity && !blocks {
            return Decoded {
                source: Source::Pieces(self),
                decoded_bytes: 0,
            };
        }
        let outer: Box<dyn Read + Send> = match encoding {
            ContentEncoding::Identity => Box::new(self),
            ContentEncoding::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(self)),
            ContentEncoding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(self)),
        };
        let reader: Box<dyn Read + Send> = if blocks {
            Box::new(BlockReader::new(outer))
        } else {
            outer
        };
        Decoded {
            source: Source::Reader(reader),
            decoded_bytes: 0,
        }
    }
}

/// Copies the body out; for decoders. The pieces are freed as they are read.
impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(piece) = self.pieces.front_mut() else {
            return Ok(0);
        };
        let count = piece.len().min(buffer.len());
        let taken = piece.split_to(count);
        buffer[..count].copy_from_slice(&taken);
        if piece.is_empty() {
            self.pieces.pop_front();
        }
        Ok(count)
    }
}

enum Source {
    /// The pieces as they came.
    Pieces(Body),
    Reader(Box<dyn Read + Send>),
}

/// A body without its encodings.
pub(crate) struct Decoded {
    source: Source,
    decoded_bytes: usize,
}

impl Decoded {
    /// Returns some of the beginning; nothing of an encoded body.
    pub(crate) fn begin(&self) -> &[u8] {
        match &self.source {
            Source::Pieces(body) => body.pieces.front().map_or(&[], |piece| piece),
            Source::Reader(_) => &[],
        }
    }

    /// Returns the next piece; `None` at the end.
    ///
    /// # Errors
    /// The encoding is damaged, or there is too much.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, Exception> {
        let reader = match &mut self.source {
            Source::Pieces(body) => return Ok(body.pieces.pop_front()),
            Source::Reader(reader) => reader,
        };
        let mut piece = vec![0; PIECE_BYTES];
        let mut filled = 0;
        while filled < piece.len() {
            match reader.read(&mut piece[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(decoding_failed(error)),
            }
        }
        self.decoded_bytes += filled;
        if self.decoded_bytes > MAX_BODY_BYTES {
            return Err(too_large());
        }
        piece.truncate(filled);
        Ok((filled > 0).then(|| Bytes::from(piece)))
    }
}

fn decoding_failed(error: io::Error) -> Exception {
    match error.downcast::<Exception>() {
        Ok(exception) => exception,
        Err(error) => {
            let text = format!("Cannot decode the request's body: {error}");
            Exception::new(Code::CannotDecompress, text)
        }
    }
}

fn too_large() -> Exception {
    let text = format!("The request's body is larger than {MAX_BODY_BYTES} bytes");
    Exception::new(Code::QueryIsTooLarge, text)
}
