//! Event schemas, topics and the registry that compiles them.
//!
//! The files are the truth: `events/<name>/<MODEL-REVISION-ADDITION>.json` holds one JSON Schema (2020-12)
//! per version of an event, `common/<name>/<version>.json` holds fragments they share,
//! `examples/<name>/<version>/{valid,invalid}/*.json` holds what must and must not pass, and `topics.json`
//! declares the Kafka topics. [`Registry`] compiles a set once; [`topics()`] reads the declarations.
//!
//! Deliberately absent: fetching (a `$ref` resolves inside the set or the set does not load), a clock, and
//! any I/O but [`Registry::from_dir`].

mod error;
mod registry;
mod report;
mod set;
mod topics;
mod version;

pub use error::{FieldError, LoadError};
pub use registry::{Registry, Schema};
pub use topics::{Topic, TopicKind, topics};
pub use version::{ParseVersionError, Version};
