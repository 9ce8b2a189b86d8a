//! A process's metrics: one registry with short constructors for the usual kinds.
//!
//! Names and labels belong to each crate's own `metrics` module.

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Error, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

/// A registry that already has `weir_build_info` and the process's metrics; clones share it.
///
/// Every constructor fails if the name is malformed or taken: a mistake of the programmer that
/// should stop the start.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// Creates the registry of a role; `version` is the crate's.
    ///
    /// # Errors
    /// Fails if the process's own metrics cannot be registered.
    pub fn new(role: &str, version: &str) -> Result<Self, Error> {
        let metrics = Self {
            registry: Registry::new(),
        };
        metrics
            .registry
            .register(Box::new(ProcessCollector::for_self()))?;
        metrics
            .gauge_vec(
                "weir_build_info",
                "Always 1; the labels say which role and version run.",
                &["role", "version"],
            )?
            .with_label_values(&[role, version])
            .set(1);
        Ok(metrics)
    }

    /// Registers a counter.
    ///
    /// # Errors
    /// Fails if the name is malformed or taken.
    pub fn counter(&self, name: &str, help: &str) -> Result<IntCounter, Error> {
        self.add(IntCounter::new(name, help)?)
    }

    /// Registers counters told apart by labels.
    ///
    /// # Errors
    /// Fails if the name is malformed or taken.
    pub fn counter_vec(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, Error> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    /// Registers a gauge.
    ///
    /// # Errors
    /// Fails if the name is malformed or taken.
    pub fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, Error> {
        self.add(IntGauge::new(name, help)?)
    }

    /// Registers gauges told apart by labels.
    ///
    /// # Errors
    /// Fails if the name is malformed or taken.
    pub fn gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, Error> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    /// Registers a histogram with upper bounds `buckets`, in the unit its name ends with.
    ///
    /// # Errors
    /// Fails if the name is malformed or taken.
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, Error> {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.add(Histogram::with_opts(opts)?)
    }

    /// Registers histograms told apart by labels.
    ///
    /// # Errors
    /// Fails if the name is malformed or taken.
    pub fn histogram_vec(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, Error> {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.add(HistogramVec::new(opts, labels)?)
    }

    /// Returns everything in Prometheus's text format.
    ///
    /// # Errors
    /// Fails if a collector gives inconsistent families.
    pub fn render(&self) -> Result<String, Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    fn add<C: Collector + Clone + 'static>(&self, collector: C) -> Result<C, Error> {
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
}
