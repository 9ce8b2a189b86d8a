//! How to start a stack.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::binaries::Profile;
use crate::roles::{Role, RoleSpec};

/// Which ports to listen on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Ports {
    /// Free ones, for tests.
    #[default]
    Free,
    /// 9092, 8123, 8080 and 9101 upward; a free one in place of a taken one.
    Usual,
}

/// How to start a stack; `Default` is a fresh one for a test with one collector and one processor.
#[derive(Clone, Debug)]
pub struct StackOptions {
    /// The data directory; `None` is a temporary one, removed at the end.
    pub data: Option<PathBuf>,
    /// Which ports to listen on.
    pub ports: Ports,
    /// The profile to build Weir's binaries with; with [`Profile::Release`] the broker is set up for speed too.
    pub profile: Profile,
    /// What to run beside Kafka and ClickHouse.
    pub roles: Vec<RoleSpec>,
    /// Settings of all roles, such as `("WEIR_LOG_LEVEL", "debug")`.
    pub environment: Vec<(String, String)>,
    /// Broker settings beside the stack's own.
    pub kafka_settings: BTreeMap<String, String>,
}

impl Default for StackOptions {
    fn default() -> Self {
        Self {
            data: None,
            ports: Ports::default(),
            profile: Profile::default(),
            roles: vec![RoleSpec::new(Role::Ingest), RoleSpec::new(Role::Processor)],
            environment: Vec::new(),
            kafka_settings: BTreeMap::new(),
        }
    }
}
