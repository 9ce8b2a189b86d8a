//! Who may ask: one administrator and one reader.

use axum::http::HeaderMap;

use super::User;
use crate::exception::{Code, Exception};

/// The two users and their passwords.
#[derive(Clone)]
pub(crate) struct Credentials {
    /// Name of the user who may do everything.
    pub(crate) admin: String,
    /// Their password.
    pub(crate) admin_password: String,
    /// Name of the user who may only read.
    pub(crate) reader: String,
    /// Their password.
    pub(crate) reader_password: String,
}

impl Credentials {
    /// Finds out who asks: by `X-ClickHouse-User` and `X-ClickHouse-Key`, by Basic authentication, or by the parameters `user` and
    /// `password`. Without any of them it is `default` with an empty password.
    ///
    /// # Errors
    /// 516 for a wrong user or password, or more than one kind of credentials.
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        parameters: &[(String, Vec<u8>)],
    ) -> Result<User, Exception> {
        let header = |name: &str| headers.get(name).map(|value| value.as_bytes().to_vec());
        let parameter = |name: &str| {
            let found = parameters.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.clone())
        };
        let in_headers = (header("x-clickhouse-user"), header("x-clickhouse-key"));
        let in_url = (parameter("user"), parameter("password"));
        let basic = header("authorization").map(|value| basic(&value));
        let given =
            |pair: &(Option<Vec<u8>>, Option<Vec<u8>>)| pair.0.is_some() || pair.1.is_some();
        let kinds = [given(&in_headers), basic.is_some(), given(&in_url)];
        if kinds.iter().filter(|&&is_given| is_given).count() > 1 {
            let text = "Invalid authentication: it is not allowed to use headers, HTTP Basic authentication and parameters together";
            return Err(Exception::new(Code::AuthenticationFailed, text));
        }
        let (user, password) = match basic {
            Some(Some(pair)) => pair,
            Some(None) => {
                let text =
                    "Invalid authentication: only the HTTP authorization scheme Basic is supported";
                return Err(Exception::new(Code::AuthenticationFailed, text));
            }
            None => {
                let (user, password) = if given(&in_headers) {
                    in_headers
                } else {
                    in_url
                };
                (
                    user.unwrap_or_else(|| b"default".to_vec()),
                    password.unwrap_or_default(),
                )
            }
        };
        self.find(&user, &password)
    }

    fn find(&self, user: &[u8], password: &[u8]) -> Result<User, Exception> {
        let is = |name: &str, secret: &str| {
            name.as_bytes() == user && constant_time_eq(secret.as_bytes(), password)
        };
        if is(&self.admin, &self.admin_password) {
            Ok(User::Admin)
        } else if is(&self.reader, &self.reader_password) {
            Ok(User::Reader)
        } else {
            let text = format!(
                "{}: Authentication failed: password is incorrect, or there is no user with such name",
                String::from_utf8_lossy(user)
            );
            Err(Exception::new(Code::AuthenticationFailed, text))
        }
    }
}

fn constant_time_eq(left: &[u8], right: &[u8]) -> bool {
    let difference = left
        .iter()
        .zip(right)
        .fold(0, |sum, (left, right)| sum | (left ^ right));
    left.len() == right.len() && difference == 0
}

fn basic(header: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, encoded) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let pair = decode_base64(encoded.trim_ascii())?;
    let colon = pair.iter().position(|&byte| byte == b':')?;
    Some((pair[..colon].to_vec(), pair[colon + 1..].to_vec()))
}

fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3);
    let mut bits = 0_u32;
    let mut count = 0;
    for &byte in text.iter().take_while(|&&byte| byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::basic;

    #[test]
    fn basic_credentials_are_read() {
        assert_eq!(
            basic(b"Basic YWRtaW46czNjcmV0Og=="),
            Some((b"admin".to_vec(), b"s3cret:".to_vec()))
        );
        assert_eq!(basic(b"Bearer x"), None);
        assert_eq!(basic(b"Basic %"), None);
    }
}
