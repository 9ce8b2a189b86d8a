//! Reads a request's body: by its content rather than its headers, and never beyond the limits.

use std::io::Read;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use crate::budget::Reservation;
use crate::error::Refusal;

/// How much is decompressed before other requests get their turn.
const INFLATE_STEP_BYTES: usize = 64 << 10;

/// How much of a refused request's body is read and thrown away, so that its sender, who reads no answer before
/// it has sent everything, gets to see the refusal.
const DISCARD_MAX_BYTES: u64 = 16 << 20;

/// How long a refused request's body is read.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// Limits of one body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimits {
    /// Most bytes as sent.
    pub(crate) encoded: usize,
    /// Most bytes once decompressed.
    pub(crate) decoded: usize,
    /// Longest time for the body to arrive.
    pub(crate) timeout: Duration,
}

/// Refuses what the head alone tells to be unreadable: a declared length beyond the limit, an unknown encoding.
///
/// # Errors
///
/// The refusal.
pub(crate) fn check_head(headers: &HeaderMap, limits: &BodyLimits) -> Result<(), Refusal> {
    if declared_length(headers).is_some_and(|length| length > limits.encoded as u64) {
        return Err(Refusal::EncodedTooLarge(limits.encoded as u64));
    }
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let text = String::from_utf8_lossy(value.as_bytes());
        let known = ["gzip", "x-gzip", "identity", ""];
        if !known
            .iter()
            .any(|name| text.trim().eq_ignore_ascii_case(name))
        {
            return Err(Refusal::UnsupportedEncoding(
                text.chars().take(64).collect(),
            ));
        }
    }
    Ok(())
}

/// Returns the body's length as the head declares it.
pub(crate) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Reads the whole body and decompresses it if it is gzip, whatever the headers say. Its bytes are counted in
/// `reservation` before they are kept.
///
/// # Errors
///
/// The refusal: too large in either form, too slow, broken off, damaged, or no room left.
pub(crate) async fn read(
    body: &mut Body,
    limits: &BodyLimits,
    reservation: &mut Reservation,
) -> Result<Bytes, Refusal> {
    let encoded = collect(body, limits, reservation).await?;
    if encoded.starts_with(&[0x1f, 0x8b]) {
        let decoded = inflate(&encoded, limits.decoded, reservation).await?;
        reservation.shrink_to(decoded.len());
        return Ok(decoded);
    }
    if encoded.len() > limits.decoded {
        return Err(Refusal::DecodedTooLarge(limits.decoded as u64));
    }
    Ok(encoded)
}

async fn collect(
    body: &mut Body,
    limits: &BodyLimits,
    reservation: &mut Reservation,
) -> Result<Bytes, Refusal> {
    let deadline = Instant::now() + limits.timeout;
    // Most bodies are one piece, which then needs no copy.
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = timeout_at(deadline, body.frame())
        .await
        .map_err(|_| Refusal::SlowBody)?
    {
        let frame = frame
            .map_err(|error| Refusal::MalformedBody(format!("the body broke off: {error}")))?;
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        if first.len() + rest.len() + piece.len() > limits.encoded {
            return Err(Refusal::EncodedTooLarge(limits.encoded as u64));
        }
        reservation
            .grow(piece.len())
            .map_err(|_| Refusal::Overloaded)?;
        if first.is_empty() && rest.is_empty() {
            first = piece;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
                first.clear();
            }
            rest.extend_from_slice(&piece);
        }
    }
    Ok(if rest.is_empty() {
        first
    } else {
        rest.freeze()
    })
}

/// Decompresses in steps: each is counted before it is made, and other requests run in between.
async fn inflate(
    encoded: &[u8],
    limit: usize,
    reservation: &mut Reservation,
) -> Result<Bytes, Refusal> {
    let mut decoder = MultiGzDecoder::new(encoded);
    let mut decoded = Vec::new();
    loop {
        // One byte more than allowed tells a body that is too large from one that just fits.
        let step = INFLATE_STEP_BYTES.min(limit + 1 - decoded.len());
        reservation.grow(step).map_err(|_| Refusal::Overloaded)?;
        let read = (&mut decoder)
            .take(step as u64)
            .read_to_end(&mut decoded)
            .map_err(|error| Refusal::MalformedBody(format!("damaged gzip: {error}")))?;
        if decoded.len() > limit {
            return Err(Refusal::DecodedTooLarge(limit as u64));
        }
        if read < step {
            return Ok(decoded.into());
        }
        tokio::task::yield_now().await;
    }
}

/// Reads what is left of a refused request's body and throws it away, within bounds; returns whether the end came.
pub(crate) async fn discard(body: &mut Body) -> bool {
    let deadline = Instant::now() + DISCARD_TIMEOUT;
    let mut read = 0;
    loop {
        match timeout_at(deadline, body.frame()).await {
            Ok(None) => return true,
            Ok(Some(Ok(frame))) => {
                read += frame.data_ref().map_or(0, |data| data.len() as u64);
                if read > DISCARD_MAX_BYTES {
                    return false;
                }
            }
            Ok(Some(Err(_))) | Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::budget::Budget;

    const LIMITS: BodyLimits = BodyLimits {
        encoded: 4_000,
        decoded: 100_000,
        timeout: Duration::from_secs(10),
    };

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    async fn read_all(body: impl Into<Body>) -> Result<Bytes, Refusal> {
        let budget = Budget::new(1 << 20);
        let read = read(&mut body.into(), &LIMITS, &mut budget.reservation()).await;
        assert_eq!(budget.used(), 0, "everything was given back");
        read
    }

    #[tokio::test]
    async fn bodies_are_read_by_their_content() {
        let text = b"{\"a\":1}".repeat(100);
        assert_eq!(read_all(text.clone()).await.unwrap(), text);
        assert_eq!(read_all(gzip(&text)).await.unwrap(), text);
        assert_eq!(read_all("").await.unwrap(), "");
        let mut members = gzip(b"ab");
        members.extend(gzip(b"cd"));
        assert_eq!(read_all(members).await.unwrap(), "abcd");
    }

    #[tokio::test]
    async fn pieces_are_put_together() {
        let pieces = ["{\"a\"", ":", "", "1}"].map(Ok::<_, std::io::Error>);
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        assert_eq!(read_all(body).await.unwrap(), "{\"a\":1}");
    }

    #[tokio::test]
    async fn both_sizes_are_bounded() {
        assert_eq!(read_all(vec![b' '; 4_000]).await.unwrap().len(), 4_000);
        assert_eq!(
            read_all(vec![b' '; 4_001]).await,
            Err(Refusal::EncodedTooLarge(4_000))
        );
        assert_eq!(
            read_all(gzip(&[b' '; 100_000])).await.unwrap().len(),
            100_000
        );
        let bomb = gzip(&[b' '; 3_000_000]);
        assert!(bomb.len() < 4_000);
        assert_eq!(read_all(bomb).await, Err(Refusal::DecodedTooLarge(100_000)));
    }

    #[tokio::test]
    async fn a_bomb_takes_no_more_than_the_limit_from_the_budget() {
        let budget = Budget::new(1 << 30);
        let mut reservation = budget.reservation();
        let bomb = gzip(&[b' '; 3_000_000]);
        let refused = read(&mut bomb.into(), &LIMITS, &mut reservation).await;
        assert_eq!(refused, Err(Refusal::DecodedTooLarge(100_000)));
        assert!(budget.used() <= 4_000 + 100_001, "{}", budget.used());
    }

    #[tokio::test]
    async fn no_room_is_an_overload() {
        let budget = Budget::new(50);
        let read = read(
            &mut vec![b' '; 51].into(),
            &LIMITS,
            &mut budget.reservation(),
        )
        .await;
        assert_eq!(read, Err(Refusal::Overloaded));
    }

    #[tokio::test]
    async fn damaged_gzip_is_malformed() {
        let mut cut = gzip(b"{\"a\":1}");
        cut.truncate(cut.len() - 3);
        assert!(matches!(
            read_all(cut).await,
            Err(Refusal::MalformedBody(_))
        ));
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_given_up() {
        let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let limits = BodyLimits {
            timeout: Duration::from_millis(10),
            ..LIMITS
        };
        let mut reservation = Budget::new(1).reservation();
        let read = read(&mut Body::from_stream(never), &limits, &mut reservation).await;
        assert_eq!(read, Err(Refusal::SlowBody));
    }

    #[test]
    fn the_head_alone_refuses_what_cannot_be_read() {
        let check = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            check_head(&headers, &LIMITS)
        };
        assert_eq!(
            check("content-length", "4001"),
            Err(Refusal::EncodedTooLarge(4_000))
        );
        assert_eq!(check("content-length", "4000"), Ok(()));
        assert_eq!(check("content-encoding", "GZIP"), Ok(()));
        assert_eq!(check("content-encoding", "identity"), Ok(()));
        assert_eq!(
            check("content-encoding", "br"),
            Err(Refusal::UnsupportedEncoding("br".to_owned()))
        );
        assert_eq!(
            check("content-encoding", "gzip, gzip"),
            Err(Refusal::UnsupportedEncoding("gzip, gzip".to_owned()))
        );
    }
}
