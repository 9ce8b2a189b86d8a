//! Apache Kafka: one node that is broker and controller (KRaft), started from its jars.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use uuid::Uuid;

use crate::binaries::Profile;
use crate::data::DataDir;
use crate::process::{self, Program};
use crate::service::Service;
use crate::wait::Check;
use crate::{artifacts, ports};

/// Largest record batch the broker takes, in bytes. Topics may set their own `max.message.bytes`.
pub const MESSAGE_MAX_BYTES: u32 = 8 << 20;

/// Shortest session timeout a consumer may ask for, in both group protocols.
pub const MIN_SESSION_TIMEOUT: Duration = Duration::from_secs(1);

/// How to start Kafka; `Default` is a fresh one for a test.
#[derive(Clone, Debug, Default)]
pub struct StartOptions {
    /// Where records and logs are kept; `None` is a temporary directory, removed at the end.
    pub data: Option<PathBuf>,
    /// The port clients connect to; `None` is a free one.
    pub port: Option<u16>,
    /// Broker settings beside, or instead of, the stack's own.
    pub settings: BTreeMap<String, String>,
    /// Whether the broker must be fast: otherwise its virtual machine compiles quickly rather than well, and is up in
    /// little more than half the time.
    pub profile: Profile,
}

/// A running broker. Dropping it kills it.
#[derive(Debug)]
pub struct Kafka {
    service: Service,
    bootstrap: String,
    /// Dropped last: after the broker that writes into it.
    _data: DataDir,
}

impl Kafka {
    /// Starts a broker and waits until it answers a metadata request.
    ///
    /// # Errors
    /// Java is missing or too old, the jars cannot be fetched, or the broker does not start.
    pub fn start(options: StartOptions) -> Result<Self> {
        let java = artifacts::java()?;
        let jars = artifacts::kafka_jars()?;
        let port = options.port.map_or_else(ports::free, Ok)?;
        let data = DataDir::open(options.data)?;
        let bootstrap = format!("127.0.0.1:{port}");

        let directory = data.path().join("kafka");
        fs::create_dir_all(&directory)?;
        let properties = directory.join("server.properties");
        let settings = settings(&directory, port, ports::free()?, options.settings);
        fs::write(&properties, settings)?;
        let logging = directory.join("log4j2.xml");
        fs::write(&logging, include_str!("kafka.log4j2.xml"))?;
        let classpath = format!("{}/*", jars.display());
        if !directory.join("records").join("meta.properties").exists() {
            format(&java, &classpath, &properties)?;
        }

        let log = data.log("kafka");
        let program = Program::new(java)
            .args([
                "-Xms256m",
                "-Xmx512m",
                "-XX:+UseG1GC",
                "-XX:+ExitOnOutOfMemoryError",
            ])
            .args([
                "-Djava.awt.headless=true".to_owned(),
                format!("-Dlog4j2.configurationFile={}", logging.display()),
                format!("-Dweir.log={}", data.log("kafka-broker").display()),
            ])
            .args(match options.profile {
                Profile::Dev => Some("-XX:TieredStopAtLevel=1"),
                Profile::Release => None,
            })
            .arg("-cp", classpath)
            .args([Path::new("kafka.Kafka"), &properties]);
        let service = Service::new("kafka", program, log, Box::new(probe(bootstrap.clone())));
        service.start()?;
        Ok(Self {
            service,
            bootstrap,
            _data: data,
        })
    }

    /// Returns `host:port` for clients.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Returns the broker's process.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Kills the broker by SIGKILL; its records stay.
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn kill(&self) -> Result<()> {
        self.service.kill9()
    }

    /// Stops the broker if it runs and starts it with the same records and port.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart(&self) -> Result<()> {
        self.service.restart()
    }
}

fn probe(bootstrap: String) -> impl Fn() -> Check<()> + Send + Sync {
    move || Check::from_result(answers(&bootstrap))
}

/// Asks a broker for its metadata, with a client of its own: an old one backs off from a broker that was away.
///
/// # Errors
/// It does not answer within 2 s.
pub fn answers(bootstrap: &str) -> Result<()> {
    let metadata = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("log_level", "0")
        .create::<BaseConsumer>()?
        .fetch_metadata(None, Duration::from_secs(2))?;
    if metadata.brokers().is_empty() {
        bail!("metadata without a broker");
    }
    Ok(())
}

fn settings(
    directory: &Path,
    port: u16,
    controller_port: u16,
    own: BTreeMap<String, String>,
) -> String {
    let listeners =
        format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}");
    let session = MIN_SESSION_TIMEOUT.as_millis().to_string();
    let defaults: [(&str, String); 28] = [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", "1".to_owned()),
        (
            "controller.quorum.voters",
            format!("1@127.0.0.1:{controller_port}"),
        ),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("listeners", listeners),
        (
            "advertised.listeners",
            format!("PLAINTEXT://127.0.0.1:{port}"),
        ),
        (
            "listener.security.protocol.map",
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
        ),
        ("inter.broker.listener.name", "PLAINTEXT".to_owned()),
        ("log.dirs", directory.join("records").display().to_string()),
        // Topics are declared, and made by `weir topics apply`: a misspelt name must fail.
        ("auto.create.topics.enable", "false".to_owned()),
        ("message.max.bytes", MESSAGE_MAX_BYTES.to_string()),
        ("replica.fetch.max.bytes", MESSAGE_MAX_BYTES.to_string()),
        ("offsets.topic.replication.factor", "1".to_owned()),
        ("offsets.topic.num.partitions", "4".to_owned()),
        ("transaction.state.log.replication.factor", "1".to_owned()),
        ("transaction.state.log.min.isr", "1".to_owned()),
        ("transaction.state.log.num.partitions", "1".to_owned()),
        (
            "share.coordinator.state.topic.replication.factor",
            "1".to_owned(),
        ),
        ("share.coordinator.state.topic.min.isr", "1".to_owned()),
        (
            "share.coordinator.state.topic.num.partitions",
            "1".to_owned(),
        ),
        // Tests of expelled members must not last minutes.
        ("group.initial.rebalance.delay.ms", "0".to_owned()),
        ("group.min.session.timeout.ms", session.clone()),
        ("group.consumer.min.session.timeout.ms", session),
        ("group.consumer.min.heartbeat.interval.ms", "200".to_owned()),
        // A killed broker is back as soon as its old session is over.
        ("broker.session.timeout.ms", "3000".to_owned()),
        ("broker.heartbeat.interval.ms", "500".to_owned()),
        // The default buffer of 128 MiB would be a quarter of the heap.
        ("log.cleaner.dedupe.buffer.size", (16 << 20).to_string()),
        ("num.io.threads", "4".to_owned()),
    ];
    let mut all: BTreeMap<String, String> = defaults
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    all.extend(own);
    all.iter()
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect()
}

/// Writes the node's identity into its data directory.
fn format(java: &Path, classpath: &str, properties: &Path) -> Result<()> {
    let mut command = Command::new(java);
    command
        // Half the start-up time of a virtual machine that is about to end.
        .args([
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            classpath,
        ])
        .args(["kafka.tools.StorageTool", "format", "--ignore-formatted"])
        .args(["--cluster-id", &cluster_id(), "--config"])
        .arg(properties)
        .stderr(Stdio::piped());
    let output = process::output(&mut command).context("cannot run java")?;
    if !output.status.success() {
        bail!(
            "Kafka's storage tool failed ({}):\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// Returns a random id as Kafka writes it: 16 bytes in 22 characters of URL-safe base64.
fn cluster_id() -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let id = Uuid::new_v4().as_u128();
    // The last character holds two bits only; the first must not be a dash, which the tool would take for a flag.
    let last = usize::try_from(id & 0b11).unwrap_or_default() << 4;
    let rest =
        (0..20).map(|place| usize::try_from((id >> (2 + 6 * place)) & 0x3f).unwrap_or_default());
    std::iter::once(0)
        .chain(rest)
        .chain(std::iter::once(last))
        .map(|digit| char::from(ALPHABET[digit]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_a_test_win() {
        let own = BTreeMap::from([("num.io.threads".to_owned(), "1".to_owned())]);
        let text = settings(Path::new("/data"), 1, 2, own);
        assert!(text.contains("num.io.threads=1\n"), "{text}");
        assert!(!text.contains("num.io.threads=4"), "{text}");
        assert!(text.contains("auto.create.topics.enable=false\n"), "{text}");
    }

    #[test]
    fn cluster_ids_differ_and_have_the_length_of_a_uuid() {
        let (one, other) = (cluster_id(), cluster_id());
        assert_eq!(one.len(), 22);
        assert_ne!(one, other);
    }
}
