//! Keeps records in memory, for tests of everything before Kafka.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::{Record, Sink, SinkError};
use crate::budget::Reservation;

/// Records, and what to answer to those that come.
#[derive(Debug, Clone)]
pub(crate) struct MemorySink {
    records: Arc<Mutex<Vec<Record>>>,
    mode: Arc<watch::Sender<Mode>>,
    calls: Arc<watch::Sender<usize>>,
}

/// How the sink behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It keeps everything.
    Keep,
    /// It keeps nothing and says so before a body is read.
    Away,
    /// It keeps nothing, and says so when records come.
    Failing(SinkError),
    /// It waits until the mode changes.
    Hanging,
    /// It finds records with longer values too large.
    UpTo(usize),
}

impl MemorySink {
    pub(crate) fn new() -> MemorySink {
        MemorySink {
            records: Arc::default(),
            mode: Arc::new(watch::Sender::new(Mode::Keep)),
            calls: Arc::new(watch::Sender::new(0)),
        }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Waits until records of so many requests have come.
    pub(crate) async fn called(&self, requests: usize) {
        let mut calls = self.calls.subscribe();
        let called = calls.wait_for(|calls| *calls >= requests);
        let within = Duration::from_secs(10);
        assert!(
            tokio::time::timeout(within, called).await.is_ok(),
            "records of {requests} requests"
        );
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.records.lock().unwrap().clone()
    }
}

impl Sink for MemorySink {
    fn check(&self, _topic: &str) -> Result<(), SinkError> {
        match *self.mode.borrow() {
            Mode::Away => Err(SinkError::Unavailable("away".to_owned())),
            _ => Ok(()),
        }
    }

    async fn send(
        &self,
        records: Vec<Record>,
        held: Arc<Reservation>,
    ) -> Result<Vec<Record>, SinkError> {
        self.calls.send_modify(|calls| *calls += 1);
        let mut mode = self.mode.subscribe();
        let mode = mode
            .wait_for(|mode| *mode != Mode::Hanging)
            .await
            .unwrap()
            .clone();
        drop(held);
        let (kept, too_large): (Vec<_>, Vec<_>) = match mode {
            Mode::Keep => (records, Vec::new()),
            Mode::UpTo(bytes) => records
                .into_iter()
                .partition(|record| record.value.len() <= bytes),
            Mode::Failing(error) => return Err(error),
            Mode::Away | Mode::Hanging => return Err(SinkError::Unavailable("away".to_owned())),
        };
        self.records.lock().unwrap().extend(kept);
        Ok(too_large)
    }
}
