//! An answer in the making. It is held back until it is complete or a megabyte long, so that most errors still get a status of their
//! own; after that it goes out piece by piece, as fast as the client takes it.

use std::io;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::encoder::Encoder;
use crate::exception::{Code, Exception};
use crate::ffi::Counts;
use crate::request::{ContentEncoding, Request};

/// How much of an answer is held back, in bytes.
const HELD_BACK_BYTES: usize = 1 << 20;
/// How much of an answer is held back with `wait_end_of_query`, in bytes. A server would use its disk.
const MAX_HELD_BACK_BYTES: usize = 256 << 20;
/// Pieces on their way to a client that does not read.
const PIECES_IN_FLIGHT: usize = 4;
/// Size of the pieces a large result is cut into, in bytes.
const PIECE_BYTES: usize = 1 << 20;

/// Status and headers.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The exception, if there is one.
    pub(crate) exception_code: Option<i32>,
    /// HTTP status.
    pub(crate) status: u16,
    /// Format of the result, if there is a result.
    pub(crate) format: Option<String>,
    /// How the body is encoded.
    pub(crate) encoding: ContentEncoding,
    /// Marks an exception inside the body.
    pub(crate) tag: String,
    /// `X-ClickHouse-Summary`.
    pub(crate) summary: String,
}

/// The rest of a body.
pub(crate) type Pieces = mpsc::Receiver<io::Result<Bytes>>;

/// An answer that can be sent, whole or as it begins.
pub(crate) enum Started {
    /// All of it.
    Complete(Head, Bytes),
    /// Its head; the body comes.
    Streaming(Head, Pieces),
}

/// Why a statement ends before its result does.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It failed.
    Failed(Exception),
    /// Nobody waits for it any more.
    Gone,
}

impl From<Exception> for Stop {
    fn from(exception: Exception) -> Self {
        Self::Failed(exception)
    }
}

/// Where the result is written to.
pub(crate) struct Answer {
    started: Option<oneshot::Sender<Started>>,
    pieces: Option<mpsc::Sender<io::Result<Bytes>>>,
    encoder: Option<Encoder>,
    encoding: ContentEncoding,
    blocks: bool,
    wait_end: bool,
    format: Option<String>,
    tag: String,
    version: String,
    counts: Counts,
    begin: Instant,
}

impl Answer {
    /// Makes an empty answer and what tells when it starts.
    pub(crate) fn new(request: &Request, version: &str) -> (Self, oneshot::Receiver<Started>) {
        let (sender, receiver) = oneshot::channel();
        let answer = Self {
            started: Some(sender),
            pieces: None,
            encoder: Some(Encoder::new(request.accept_encoding, request.compress)),
            encoding: request.accept_encoding,
            blocks: request.compress,
            wait_end: request.wait_end,
            format: None,
            tag: random_tag(),
            version: version.to_owned(),
            counts: Counts::default(),
            begin: Instant::now(),
        };
        (answer, receiver)
    }

    /// Names the format of the result.
    pub(crate) fn set_format(&mut self, format: &str) {
        self.format = Some(format.to_owned());
    }

    /// Adds to what is counted.
    pub(crate) fn count(&mut self, counts: Counts) {
        self.counts.add(counts);
    }

    /// Tells whether nobody waits for the answer any more.
    pub(crate) fn is_unwanted(&self) -> bool {
        match (&self.started, &self.pieces) {
            (Some(started), _) => started.is_closed(),
            (None, Some(pieces)) => pieces.is_closed(),
            (None, None) => true,
        }
    }

    /// Takes a part of the result. Blocks while the client does not read.
    ///
    /// # Errors
    /// The client is gone, or the answer must be held back and is too large for that.
    pub(crate) fn write(&mut self, data: &[u8]) -> Result<(), Stop> {
        for piece in data.chunks(PIECE_BYTES) {
            let Some(encoder) = &mut self.encoder else {
                return Err(Stop::Gone);
            };
            encoder
                .write(piece)
                .map_err(|error| encoding_failed(&error))?;
            let ready = encoder.ready_bytes();
            if self.wait_end && ready > MAX_HELD_BACK_BYTES {
                let text = format!(
                    "The result is larger than {MAX_HELD_BACK_BYTES} bytes, too large for wait_end_of_query=1"
                );
                return Err(Exception::new(Code::MemoryLimitExceeded, text).into());
            }
            if !self.wait_end && ready >= HELD_BACK_BYTES {
                self.send_ready()?;
            }
        }
        Ok(())
    }

    fn send_ready(&mut self) -> Result<(), Stop> {
        if self.pieces.is_none() {
            let (sender, receiver) = mpsc::channel(PIECES_IN_FLIGHT);
            let head = self.head(None);
            let started = self.started.take().ok_or(Stop::Gone)?;
            started
                .send(Started::Streaming(head, receiver))
                .map_err(|_| Stop::Gone)?;
            self.pieces = Some(sender);
        }
        let piece = self.encoder.as_mut().map(Encoder::take).unwrap_or_default();
        self.send(Ok(Bytes::from(piece)))
    }

    fn send(&mut self, piece: io::Result<Bytes>) -> Result<(), Stop> {
        let pieces = self.pieces.as_ref().ok_or(Stop::Gone)?;
        pieces.blocking_send(piece).map_err(|_| Stop::Gone)
    }

    /// Ends the answer. A client that is gone is none of its business any more.
    pub(crate) fn finish(mut self) {
        let Some(encoder) = self.encoder.take() else {
            return;
        };
        match encoder.finish() {
            Err(error) => self.fail(&encoding_failed(&error)),
            Ok(rest) => {
                let rest = Bytes::from(rest);
                if self.pieces.is_some() {
                    let _gone = self.send(Ok(rest));
                } else {
                    self.complete(None, rest);
                }
            }
        }
    }

    /// Ends the answer with an exception: with its status if nothing was sent yet, else inside the body, whose end is then broken off
    /// so that no client takes it for whole.
    pub(crate) fn fail(mut self, exception: &Exception) {
        let text = format!("{exception} (version {} (libchdb))\n", self.version);
        if self.pieces.is_none() {
            let mut encoder = Encoder::new(self.encoding, self.blocks);
            let body = encoder
                .write(text.as_bytes())
                .and_then(|()| encoder.finish());
            self.complete(Some(exception), body.unwrap_or_default().into());
            return;
        }
        let Some(mut encoder) = self.encoder.take() else {
            return;
        };
        let tag = &self.tag;
        let marked = format!(
            "\r\n__exception__\r\n{tag}\r\n{text}{} {tag}\r\n__exception__\r\n",
            text.len()
        );
        let rest = encoder
            .write(marked.as_bytes())
            .and_then(|()| encoder.finish())
            .unwrap_or_default();
        let broken = io::Error::other("the statement failed");
        let _gone = self
            .send(Ok(Bytes::from(rest)))
            .and_then(|()| self.send(Err(broken)));
    }

    fn complete(&mut self, exception: Option<&Exception>, body: Bytes) {
        let head = self.head(exception);
        if let Some(started) = self.started.take() {
            let _gone = started.send(Started::Complete(head, body));
        }
    }

    fn head(&self, exception: Option<&Exception>) -> Head {
        Head {
            exception_code: exception.map(|exception| exception.code),
            status: exception.map_or(200, Exception::status),
            format: self.format.clone(),
            encoding: self.encoding,
            tag: self.tag.clone(),
            summary: self.summary(),
        }
    }

    fn summary(&self) -> String {
        let counts = self.counts;
        // A server counts the rows of an insert's body as read; the engine does not tell them from those of views.
        let elapsed = self.begin.elapsed().as_nanos();
        format!(
            r#"{{"read_rows":"{}","read_bytes":"{}","written_rows":"{}","written_bytes":"{}","total_rows_to_read":"0","result_rows":"{}","result_bytes":"{}","elapsed_ns":"{elapsed}"}}"#,
            counts.read_rows,
            counts.read_bytes,
            counts.written_rows,
            counts.written_bytes,
            counts.result_rows,
            counts.result_bytes,
        )
    }
}

fn encoding_failed(error: &io::Error) -> Exception {
    let text = format!("Cannot encode the answer: {error}");
    Exception::new(Code::UnknownException, text)
}

fn random_tag() -> String {
    uuid::Uuid::new_v4()
        .as_bytes()
        .iter()
        .map(|byte| char::from(b'a' + byte % 26))
        .collect()
}
