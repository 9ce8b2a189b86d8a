//! Finds the write key in a request: in headers, query and body, wherever SDKs put it.
//!
//! Keys are compared and looked up here, and never logged.

use axum::extract::Query;
use axum::http::{HeaderMap, Uri, header};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::error::Refusal;
use crate::sources::{Access, Sources};

const X_WRITE_KEY: &str = "x-write-key";

/// Basic credentials with or without the padding that some clients leave out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Returns the write key that headers and query show: the user of Basic, `X-Write-Key`, the token of Bearer, or
/// `writeKey` in the query. Empty ones count as absent.
///
/// # Errors
///
/// Two of them differ, or one cannot be read.
pub(crate) fn key_in_head(headers: &HeaderMap, uri: &Uri) -> Result<Option<String>, Refusal> {
    let mut key = None;
    for value in headers.get_all(header::AUTHORIZATION) {
        let text = value.to_str().map_err(|_| Refusal::UnknownKey)?;
        let Some((scheme, credentials)) = text.trim().split_once(' ') else {
            continue;
        };
        if scheme.eq_ignore_ascii_case("basic") {
            agree(&mut key, basic_user(credentials.trim())?)?;
        } else if scheme.eq_ignore_ascii_case("bearer") {
            agree(&mut key, credentials.trim().to_owned())?;
        }
    }
    for value in headers.get_all(X_WRITE_KEY) {
        let text = value.to_str().map_err(|_| Refusal::UnknownKey)?;
        agree(&mut key, text.trim().to_owned())?;
    }
    if uri.query().is_some_and(|query| query.contains("writeKey")) {
        let Query(pairs) =
            Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| Refusal::UnknownKey)?;
        for (name, value) in pairs {
            if name == "writeKey" {
                agree(&mut key, value)?;
            }
        }
    }
    Ok(key)
}

/// Takes a further key the request shows; it must be the one shown before.
///
/// # Errors
///
/// The two differ.
pub(crate) fn agree(key: &mut Option<String>, further: String) -> Result<(), Refusal> {
    if further.is_empty() {
        return Ok(());
    }
    match key {
        Some(first) if *first != further => Err(Refusal::ConflictingKeys),
        Some(_) => Ok(()),
        None => {
            *key = Some(further);
            Ok(())
        }
    }
}

/// Returns what the key stands for.
///
/// # Errors
///
/// There is no key, or no source has it.
pub(crate) fn check<'a>(key: Option<&str>, sources: &'a Sources) -> Result<&'a Access, Refusal> {
    sources
        .find(key.ok_or(Refusal::MissingKey)?)
        .ok_or(Refusal::UnknownKey)
}

/// Returns the user of Basic credentials; Segment's SDKs send the key there, with an empty password.
fn basic_user(credentials: &str) -> Result<String, Refusal> {
    let decoded = BASE64
        .decode(credentials)
        .map_err(|_| Refusal::UnknownKey)?;
    let text = String::from_utf8(decoded).map_err(|_| Refusal::UnknownKey)?;
    Ok(text.split(':').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(lines: &[(&'static str, &str)], uri: &'static str) -> Result<Option<String>, Refusal> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        key_in_head(&headers, &Uri::from_static(uri))
    }

    #[test]
    fn the_key_is_found_wherever_sdks_put_it() {
        let basic = format!("Basic {}", BASE64.encode("abc:"));
        let without_colon = "basic  YWJj";
        assert_eq!(basic, "Basic YWJjOg==");
        assert_eq!(
            key(&[("authorization", "Basic YWJjOg")], "/"),
            Ok(Some("abc".to_owned()))
        );
        let found = Ok(Some("abc".to_owned()));
        assert_eq!(key(&[("authorization", &basic)], "/"), found);
        assert_eq!(key(&[("authorization", without_colon)], "/"), found);
        assert_eq!(key(&[("authorization", "Bearer abc")], "/"), found);
        assert_eq!(key(&[("x-write-key", "abc")], "/"), found);
        assert_eq!(key(&[], "/v1/batch?a=1&writeKey=abc"), found);
        assert_eq!(key(&[], "/v1/batch?writeKey=%61bc"), found);
        assert_eq!(
            key(
                &[("authorization", &basic), ("x-write-key", "abc")],
                "/?writeKey=abc"
            ),
            found
        );
    }

    #[test]
    fn absent_and_empty_keys_are_none() {
        let empty = format!("Basic {}", BASE64.encode(":"));
        assert_eq!(key(&[], "/"), Ok(None));
        assert_eq!(
            key(
                &[("authorization", &empty), ("x-write-key", "")],
                "/?writeKey="
            ),
            Ok(None)
        );
        assert_eq!(
            key(&[("authorization", "Digest abc")], "/?writekey=x"),
            Ok(None)
        );
    }

    #[test]
    fn keys_that_disagree_are_refused() {
        assert_eq!(
            key(
                &[("authorization", "Bearer abc"), ("x-write-key", "abd")],
                "/"
            ),
            Err(Refusal::ConflictingKeys)
        );
        assert_eq!(
            key(&[("x-write-key", "abc")], "/?writeKey=x"),
            Err(Refusal::ConflictingKeys)
        );
        assert_eq!(
            key(&[], "/?writeKey=abc&writeKey=abd"),
            Err(Refusal::ConflictingKeys)
        );
    }

    #[test]
    fn unreadable_credentials_are_an_unknown_key() {
        assert_eq!(
            key(&[("authorization", "Basic !!")], "/"),
            Err(Refusal::UnknownKey)
        );
        assert_eq!(
            key(&[("authorization", "Basic /w==")], "/"),
            Err(Refusal::UnknownKey)
        );
    }
}
