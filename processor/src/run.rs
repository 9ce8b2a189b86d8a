//! Putting the processor together, and taking it down.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::join_all;
use rdkafka::error::KafkaError;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_clickhouse::insert::MAX_EXECUTION;
use weir_clickhouse::rows::Encoder;
use weir_clickhouse::{ClickHouseConfig, Db};
use weir_common::backoff::Backoff;
use weir_common::kafka::KafkaConfig;
use weir_common::telemetry::{Health, Metrics, serve};
use weir_event::{Evaluator, EvaluatorError};
use weir_schemas::{LoadError, Registry, TopicKind, topics};

use crate::batch::BatchLimits;
use crate::config::{ConfigError, ProcessorConfig};
use crate::exactly_once::Rules;
use crate::group::{Assignments, Group};
use crate::metrics::ProcessorMetrics;
use crate::outputs::Outputs;
use crate::pacer::Pacer;
use crate::prepare::Codec;
use crate::reader::Reader;
use crate::worker::{Shared, Signal, Worker};

const LAG_INTERVAL: Duration = Duration::from_secs(5);

/// Why the processor could not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is out of bounds.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The schemas cannot be loaded.
    #[error("cannot load the event schemas")]
    Schemas(#[from] LoadError),
    /// The evaluator cannot be built.
    #[error("cannot build the evaluator")]
    Evaluator(#[from] EvaluatorError),
    /// A topic is not one of those Weir declares.
    #[error("processor.topics names {0}, which is not a raw topic; the raw topics are {1}")]
    UnknownTopic(String, String),
    /// ClickHouse's settings cannot work.
    #[error(transparent)]
    ClickHouse(#[from] weir_clickhouse::Error),
    /// Kafka's settings cannot work, or the client failed for good.
    #[error("kafka client")]
    Kafka(#[from] KafkaError),
    /// A metric is registered twice.
    #[error("cannot register metrics")]
    Metrics(#[from] prometheus::Error),
    /// A worker ended by a defect; its partition is taken over after a restart.
    #[error("the worker of {0} ended by a defect")]
    Worker(String),
}

/// Runs the processor until `shutdown` is cancelled; batches under way are finished first.
///
/// # Errors
/// Those that keep it from starting, and the ones it cannot go on after. Kafka or ClickHouse being away is none of
/// them: it waits, with red readiness.
///
/// # Cancel safety
/// Dropping the future is like a crash: the next processor finds what was begun.
pub async fn run(
    config: ProcessorConfig,
    kafka: KafkaConfig,
    clickhouse: ClickHouseConfig,
    metrics_listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    config.check()?;
    let registry = Arc::new(match &config.schemas {
        Some(folder) => Registry::from_dir(folder)?,
        None => Registry::embedded()?,
    });
    let schema_set = registry.digest().to_owned();
    let evaluator = Arc::new(Evaluator::new(registry)?);
    let platforms = platforms(&config)?;
    let metrics = Metrics::new("processor", env!("CARGO_PKG_VERSION"))?;
    let processor_metrics = ProcessorMetrics::register(&metrics)?;
    let health = Health::new(&["clickhouse", "kafka group"]);
    let stop_serving = CancellationToken::new();
    let served = tokio::spawn(serve(
        metrics_listener,
        metrics,
        health.clone(),
        stop_serving.clone(),
    ));

    let db = Db::new(&clickhouse)?;
    let Some((codec, ledger)) = load_encoders(&db, evaluator, &health, &shutdown).await else {
        return Ok(());
    };
    let shared = Arc::new(Shared {
        inserter: db.inserter()?,
        db,
        codec: RwLock::new(Arc::new(codec)),
        ledger,
        reader: Reader::new(&kafka, &config.group)?,
        outputs: Outputs::new(&kafka)?,
        metrics: processor_metrics,
        health,
        pacer: Pacer::new(config.inserts_per_second),
        limits: limits(&config),
        rules: rules(&config),
        dedup_window_ms: millis(config.dedup_window.0),
        dedup_max_ids: config.dedup_max_ids,
        platforms,
        positions: Mutex::default(),
    });
    let reading = tokio::spawn(shared.reader.clone().serve(shutdown.clone()));
    let measuring = tokio::spawn(measure_lag(Arc::clone(&shared)));
    tracing::info!(
        schema_set,
        group = config.group,
        "the processor is starting to work"
    );
    let ended = work(&config, &kafka, Arc::clone(&shared), shutdown.clone()).await;

    reading.abort();
    measuring.abort();
    let outputs = shared.outputs.clone();
    let flushed = tokio::task::spawn_blocking(move || outputs.flush(Duration::from_secs(5))).await;
    if let Ok(Err(error)) = flushed {
        tracing::warn!(%error, "the outputs are not flushed");
    }
    stop_serving.cancel();
    let _joined = served.await;
    ended
}

/// Joins the group and works until the shutdown or a fatal error.
async fn work(
    config: &ProcessorConfig,
    kafka: &KafkaConfig,
    shared: Arc<Shared>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let mut topics: Vec<String> = shared.platforms.keys().cloned().collect();
    topics.sort_unstable();
    let failed = CancellationToken::new();
    let workers = Arc::new(Workers {
        shared: Arc::clone(&shared),
        group: Mutex::default(),
        closing: AtomicBool::new(false),
        running: Mutex::default(),
        runtime: Handle::current(),
        drain_timeout: config.drain_timeout.0,
        failed: failed.clone(),
        defect: Arc::default(),
    });
    let group = Group::new(kafka, &config.group, Arc::clone(&workers) as _)?;
    // Before the first rebalance can happen.
    workers.set_group(Some(group.clone()));
    group.subscribe(&topics)?;

    let stop = Arc::new(AtomicBool::new(false));
    let serving = {
        let (group, stop, failed) = (group.clone(), Arc::clone(&stop), failed.clone());
        // Longer than a rebalance may wait for batches under way.
        let heartbeat = shared
            .health
            .heartbeat("group", 3 * config.drain_timeout.0.max(MAX_EXECUTION));
        tokio::task::spawn_blocking(move || {
            let ended = group.serve(&stop, &heartbeat);
            failed.cancel();
            ended
        })
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = failed.cancelled() => {}
    }
    workers.closing.store(true, Ordering::Relaxed);
    workers.stop_all(Signal::Drain).await;
    stop.store(true, Ordering::Relaxed);
    let served = serving.await.unwrap_or(Err(KafkaError::Canceled));
    // With the last clone the client leaves the group, so that others take over at once.
    workers.set_group(None);
    let defect = workers
        .defect
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    drop(workers);
    let _left = tokio::task::spawn_blocking(move || drop(group)).await;
    served?;
    match defect {
        Some(partition) => Err(Error::Worker(partition)),
        None => Ok(()),
    }
}

/// Platforms of the topics to read.
fn platforms(config: &ProcessorConfig) -> Result<HashMap<String, String>, Error> {
    let raw: HashMap<String, String> = topics()?
        .into_iter()
        .filter(|topic| topic.kind == TopicKind::Raw)
        .map(|topic| (topic.name, topic.platform.unwrap_or_default()))
        .collect();
    if config.topics.is_empty() {
        return Ok(raw);
    }
    let chosen = config.topics.iter().map(|name| match raw.get(name) {
        Some(platform) => Ok((name.clone(), platform.clone())),
        None => {
            let mut known: Vec<&str> = raw.keys().map(String::as_str).collect();
            known.sort_unstable();
            Err(Error::UnknownTopic(name.clone(), known.join(", ")))
        }
    });
    chosen.collect()
}

fn limits(config: &ProcessorConfig) -> BatchLimits {
    BatchLimits {
        max_rows: config.batch_max_rows,
        max_bytes: usize::try_from(config.batch_max_bytes.0).unwrap_or(usize::MAX),
        max_age: config.batch_max_age.0,
    }
}

fn rules(config: &ProcessorConfig) -> Rules {
    Rules {
        horizon_ms: millis(config.resend_horizon.0),
        window_parts: config.window_parts,
        first_byte_ms: millis(config.insert_start_limit.0),
        shard: config.shard.clone(),
        ..Rules::default()
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Reads the tables' columns, waiting for ClickHouse and its migrations as long as it takes; `None` at shutdown.
async fn load_encoders(
    db: &Db,
    evaluator: Arc<Evaluator>,
    health: &Health,
    shutdown: &CancellationToken,
) -> Option<(Codec, weir_clickhouse::rows::BatchEncoder)> {
    let mut pause = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    loop {
        let loaded = async {
            let codec = Codec::load(db, Arc::clone(&evaluator)).await?;
            Ok::<_, weir_clickhouse::Error>((codec, Encoder::load(db).await?))
        };
        match loaded.await {
            Ok(loaded) => {
                health.ready("clickhouse");
                return Some(loaded);
            }
            Err(error) => {
                tracing::warn!(%error, "the tables cannot be read yet");
                health.not_ready("clickhouse", error.to_string());
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return None,
            () = tokio::time::sleep(pause.next_delay()) => {}
        }
    }
}

/// Keeps the lag of every partition that is ours up to date, whether its worker gets on or not.
async fn measure_lag(shared: Arc<Shared>) {
    loop {
        for ((topic, partition), next_offset) in shared.positions() {
            // While Kafka is away the lag is not known; its absence shows elsewhere.
            let Ok((_, end)) = shared.reader.bounds(Arc::clone(&topic), partition).await else {
                continue;
            };
            let lag = shared
                .metrics
                .lag
                .with_label_values(&[&*topic, &partition.to_string()]);
            lag.set((end - next_offset).max(0));
        }
        tokio::time::sleep(LAG_INTERVAL).await;
    }
}

struct Running {
    signal: watch::Sender<Signal>,
    task: JoinHandle<()>,
}

/// The workers of the partitions that are ours.
struct Workers {
    shared: Arc<Shared>,
    /// `None` before the group is joined and after it is left: the group itself holds this.
    group: Mutex<Option<Group>>,
    closing: AtomicBool,
    running: Mutex<HashMap<(Arc<str>, i32), Running>>,
    runtime: Handle,
    drain_timeout: Duration,
    failed: CancellationToken,
    defect: Arc<Mutex<Option<String>>>,
}

impl Workers {
    fn set_group(&self, group: Option<Group>) {
        *self.group.lock().unwrap_or_else(PoisonError::into_inner) = group;
    }

    fn take(&self, partitions: &[(Arc<str>, i32)]) -> Vec<Running> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        partitions
            .iter()
            .filter_map(|partition| running.remove(partition))
            .collect()
    }

    async fn stop_all(&self, signal: Signal) {
        let all: Vec<_> = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.drain().map(|(_, running)| running).collect()
        };
        self.stop(all, signal).await;
    }

    /// Ends workers: all are told at once, then awaited. One that cannot finish is told that its partition is lost,
    /// and ends after the insert under way.
    async fn stop(&self, mut stopping: Vec<Running>, signal: Signal) {
        for running in &stopping {
            running.signal.send_replace(signal);
        }
        let ended = join_all(stopping.iter_mut().map(|running| &mut running.task));
        if tokio::time::timeout(self.drain_timeout, ended)
            .await
            .is_ok()
        {
            return;
        }
        stopping.retain(|running| !running.task.is_finished());
        for running in &stopping {
            running.signal.send_replace(Signal::Lost);
        }
        let patience = MAX_EXECUTION + Duration::from_secs(10);
        let ended = join_all(stopping.iter_mut().map(|running| &mut running.task));
        if tokio::time::timeout(patience, ended).await.is_err() {
            for running in &stopping {
                running.task.abort();
            }
        }
    }
}

impl Assignments for Workers {
    fn assigned(&self, partitions: Vec<(Arc<str>, i32)>) {
        if self.closing.load(Ordering::Relaxed) {
            return;
        }
        let group = self
            .group
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(group) = group else {
            return;
        };
        self.shared.health.ready("kafka group");
        let rebalances = &self.shared.metrics.rebalances;
        for partition in partitions {
            rebalances.with_label_values(&["assigned"]).inc();
            tracing::info!(topic = &*partition.0, partition = partition.1, "assigned");
            let (signal, receiver) = watch::channel(Signal::Run);
            let worker = Worker::new(
                Arc::clone(&self.shared),
                group.clone(),
                partition.clone(),
                receiver,
            );
            let guard = Defect {
                workers: Arc::clone(&self.defect),
                failed: self.failed.clone(),
                partition: format!("{}/{}", partition.0, partition.1),
            };
            let task = self.runtime.spawn(async move {
                let _guard = guard;
                worker.run().await;
            });
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.insert(partition, Running { signal, task });
        }
    }

    fn revoked(&self, partitions: Vec<(Arc<str>, i32)>, lost: bool) {
        let (kind, signal) = if lost {
            ("lost", Signal::Lost)
        } else {
            ("revoked", Signal::Drain)
        };
        if lost {
            self.shared
                .health
                .not_ready("kafka group", "membership was lost, joining again");
        }
        let rebalances = &self.shared.metrics.rebalances;
        rebalances
            .with_label_values(&[kind])
            .inc_by(partitions.len() as u64);
        for (topic, partition) in &partitions {
            tracing::info!(topic = &**topic, partition, "{kind}");
        }
        let stopping = self.take(&partitions);
        self.runtime.block_on(self.stop(stopping, signal));
    }
}

/// Ends the process when a worker panics: a partition without a worker would stand still unseen.
struct Defect {
    workers: Arc<Mutex<Option<String>>>,
    failed: CancellationToken,
    partition: String,
}

impl Drop for Defect {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut defect = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
            *defect = Some(std::mem::take(&mut self.partition));
            self.failed.cancel();
        }
    }
}
