//! Where ClickHouse is and who Weir is there.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Settings of the ClickHouse connection, section `[clickhouse]`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClickHouseConfig {
    /// Address of ClickHouse's HTTP interface, `http://` or `https://`. Environment: `WEIR_CLICKHOUSE_URL`.
    pub url: String,
    /// User that owns Weir's tables: it writes, migrates and reads `system` tables. Environment: `WEIR_CLICKHOUSE_USER`.
    pub user: String,
    /// Password of `user`; empty means none. Environment: `WEIR_CLICKHOUSE_PASSWORD`.
    pub password: String,
    /// Database that holds Weir's tables; `weir migrate up` creates it. Environment: `WEIR_CLICKHOUSE_DATABASE`.
    pub database: String,
    /// User with `readonly = 1` for statistics and ad-hoc SQL; empty means `user` reads too.
    /// Environment: `WEIR_CLICKHOUSE_READER_USER`.
    pub reader_user: String,
    /// Password of `reader_user`; empty means none. Environment: `WEIR_CLICKHOUSE_READER_PASSWORD`.
    pub reader_password: String,
}

impl Default for ClickHouseConfig {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8123".into(),
            user: "default".into(),
            password: String::new(),
            database: "weir".into(),
            reader_user: String::new(),
            reader_password: String::new(),
        }
    }
}

/// Passwords never reach a log.
impl fmt::Debug for ClickHouseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClickHouseConfig")
            .field("url", &self.url)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("reader_user", &self.reader_user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_holds_no_password() {
        let config = ClickHouseConfig {
            password: "hunter2".into(),
            reader_password: "hunter3".into(),
            ..ClickHouseConfig::default()
        };
        assert!(!format!("{config:?}").contains("hunter"));
    }
}
