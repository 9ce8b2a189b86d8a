//! Settings: text forms for durations and sizes, and the loader that layers their sources.
//!
//! What the settings mean belongs to the crates that own the structs; what sections exist belongs
//! to the binary.

mod error;
mod human;
mod loader;

pub use error::ConfigError;
pub use human::{HumanDuration, HumanSize, ParseHumanError};
pub use loader::{Loader, Setting};

/// Tells whether the last part of a setting's name says that its value must not be shown, as in
/// `clickhouse.password` or `kafka.client.ssl.key.pem`.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    const WORDS: [&str; 6] = ["password", "secret", "token", "jaas", "pem", "passphrase"];
    let name = name.to_ascii_lowercase();
    name.split(['.', '_']).any(|word| WORDS.contains(&word))
}
