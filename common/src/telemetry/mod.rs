//! Telemetry: logs to stderr, Prometheus metrics, health, and the listener that serves them.

mod health;
mod logging;
mod metrics;
mod serve;

pub use health::{ComponentReport, Health, HealthReport, Heartbeat};
pub use logging::{LogConfig, LogError, LogFormat, init_logging};
pub use metrics::Metrics;
pub use serve::serve;
