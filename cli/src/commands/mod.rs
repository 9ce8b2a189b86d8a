//! One module per command: its flags with their help, and what it does with the libraries.

pub(crate) mod config;
pub(crate) mod events;
pub(crate) mod failed;
pub(crate) mod import;
pub(crate) mod ingest;
pub(crate) mod migrate;
pub(crate) mod processor;
pub(crate) mod sql;
pub(crate) mod stats;
pub(crate) mod topics;
pub(crate) mod verify;
