//! The collector: HTTP to Kafka.
//!
//! Takes events from SDKs, checks shape, size and write key, derives ids, reduces addresses, and writes each event
//! as a record of its platform's topic. It answers 200 only once Kafka has acknowledged every event of a request.
//! It knows nothing of what events mean and never talks to ClickHouse.

mod address;
mod auth;
mod budget;
mod collect;
mod config;
mod error;
mod ids;
mod item;
mod json;
mod metrics;
mod payload;
mod privacy;
mod router;
mod server;
mod sink;
mod sources;
mod split;
mod stamp;
mod visitor;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use weir_common::kafka::KafkaConfig;
use weir_common::telemetry::{self, Health, Metrics};

pub use address::AddressPolicy;
pub use config::{ConfigError, IngestConfig};
pub use sources::{Access, Platform, Source, Sources, SourcesError};
pub use visitor::SecretError;

use collect::Collector;
use metrics::IngestMetrics;
use server::ServerLimits;
use sink::KafkaSink;
use visitor::VisitorSecret;

/// How long records without a waiting request may take at the end.
const MIN_FLUSH: Duration = Duration::from_secs(1);

/// Why the collector could not start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is out of its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The sources file is missing or wrong.
    #[error(transparent)]
    Sources(#[from] SourcesError),
    /// The data directory holds no usable secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// librdkafka refuses an option.
    #[error("setting kafka.client is not valid: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// A metric's name is taken.
    #[error("metrics cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    /// An address cannot be listened on.
    #[error("setting ingest.{setting}: {address} cannot be listened on: {source}")]
    Listen {
        /// The setting.
        setting: &'static str,
        /// Its value.
        address: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The operators' listener failed.
    #[error("the listener of metrics failed: {0}")]
    Telemetry(io::Error),
}

/// The collector's two listeners, bound.
#[derive(Debug)]
pub struct Listeners {
    /// For SDKs.
    pub api: TcpListener,
    /// For operators: metrics and health.
    pub metrics: TcpListener,
}

impl Listeners {
    /// Binds the addresses of the settings; port 0 is any free one.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`]: an address is wrong or taken; the operator changes the setting.
    pub async fn bind(config: &IngestConfig) -> Result<Listeners, Error> {
        Ok(Listeners {
            api: bind("listen", &config.listen).await?,
            metrics: bind("metrics_listen", &config.metrics_listen).await?,
        })
    }

    /// Returns the addresses that were bound, for SDKs and for operators.
    ///
    /// # Errors
    ///
    /// The system does not know them.
    pub fn addresses(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.api.local_addr()?, self.metrics.local_addr()?))
    }
}

async fn bind(setting: &'static str, address: &str) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .await
        .map_err(|source| Error::Listen {
            setting,
            address: address.to_owned(),
            source,
        })
}

/// Runs the collector until `shutdown`, then ends the requests under way and waits for their acknowledgements.
///
/// Events are answered 503 until Kafka was reached; `/health/ready` on the metrics listener says so.
///
/// # Errors
///
/// [`Error`], each before the first request is taken, except [`Error::Telemetry`].
///
/// # Cancel safety
///
/// None: dropping the future cuts off requests under way. They were not answered 200.
pub async fn run(
    config: IngestConfig,
    kafka: KafkaConfig,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    config.check()?;
    let sources = Sources::load(&config.sources)?;
    let secret = VisitorSecret::open(&config.data_dir)?;
    let registry = Metrics::new("ingest", env!("CARGO_PKG_VERSION"))?;
    let metrics = IngestMetrics::new(&registry)?;
    let sink = KafkaSink::new(
        &kafka,
        config.ack_timeout.0,
        sources.topics(),
        metrics.clone(),
    )?;
    let sink = Arc::new(sink);
    let health = Health::new(&["kafka", "listener"]);
    if let Ok((api, metrics)) = listeners.addresses() {
        let sources = sources.iter().count();
        tracing::info!(listen = %api, metrics_listen = %metrics, sources, "ingest is up");
    }

    // These outlive the requests: who watches the end wants to see it.
    let background = CancellationToken::new();
    let _stop = background.clone().drop_guard();
    let telemetry = tokio::spawn(telemetry::serve(
        listeners.metrics,
        registry,
        health.clone(),
        background.clone(),
    ));
    let watch = tokio::spawn(Arc::clone(&sink).watch(health.clone(), background.clone()));

    let open = metrics.connections.clone();
    let collector = Collector::new(&config, sources, secret, Arc::clone(&sink), metrics);
    let router = router::router(Arc::new(collector));
    let limits = ServerLimits {
        connections: config.max_connections,
        head_timeout: config.read_timeout.0,
        drain_timeout: config.shutdown_timeout.0,
    };
    health.ready("listener");
    let unready = {
        let (health, shutdown) = (health.clone(), shutdown.clone());
        tokio::spawn(async move {
            shutdown.cancelled().await;
            health.not_ready("listener", "stopping");
        })
    };
    let left = server::serve(listeners.api, router, limits, open, shutdown).await;
    // Requests waited for their records; what is left belongs to clients that went away.
    sink.flush(left.max(MIN_FLUSH)).await;
    tracing::info!("ingest stopped");
    unready.abort();
    background.cancel();
    if let Err(error) = watch.await {
        tracing::error!(%error, "the watch over kafka failed");
    }
    match telemetry.await {
        Ok(served) => served.map_err(Error::Telemetry),
        Err(error) => Err(Error::Telemetry(io::Error::other(error))),
    }
}
