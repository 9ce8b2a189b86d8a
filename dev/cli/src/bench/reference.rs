//! The references: what the same machine does when only the unavoidable is done. Each is a process of its own, so that its
//! CPU time is its own, and the same release build with the same allocator as what it is compared with.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use axum::serve::ListenerExt;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use weir_common::kafka::KafkaConfig;

use super::meter::Meter;

const PATIENCE: Duration = Duration::from_secs(20);

/// One reference.
#[derive(Debug, clap::Args)]
pub(crate) struct Reference {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Reads bodies and answers 200 until standard input closes; prints its address
    Http,
    /// Produces records of a topic to it again, with the collector's settings
    Produce(Produce),
    /// Consumes topics from start to end, again and again
    Consume(Consume),
}

/// Arguments of the bare producer.
#[derive(Debug, clap::Args)]
pub(crate) struct Produce {
    #[arg(long)]
    brokers: String,
    #[arg(long)]
    topic: String,
    /// How many records of each partition to produce, again and again
    #[arg(long)]
    sample: i64,
    #[arg(long)]
    warm_up_ms: u64,
    #[arg(long)]
    measure_ms: u64,
}

/// Arguments of the bare consumer.
#[derive(Debug, clap::Args)]
pub(crate) struct Consume {
    #[arg(long)]
    brokers: String,
    #[arg(long, value_delimiter = ',')]
    topics: Vec<String>,
    #[arg(long)]
    measure_ms: u64,
}

/// What a producer or consumer did within its window.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Flow {
    /// Records acknowledged or received.
    pub(crate) records: u64,
    /// The window's length.
    pub(crate) seconds: f64,
    /// CPU time of the process in it.
    pub(crate) cpu_seconds: f64,
}

impl Flow {
    /// Returns records per second.
    pub(crate) fn per_second(self) -> f64 {
        self.records as f64 / self.seconds.max(1e-9)
    }

    /// Returns microseconds of CPU per record.
    pub(crate) fn cpu_us(self) -> f64 {
        self.cpu_seconds * 1e6 / (self.records as f64).max(1.0)
    }
}

impl Reference {
    /// Runs the reference.
    ///
    /// # Errors
    /// Kafka is away, or an address cannot be listened on.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let flow = match &self.what {
            What::Http => {
                serve()?;
                return Ok(ExitCode::SUCCESS);
            }
            What::Produce(produce) => produce.run()?,
            What::Consume(consume) => consume.run()?,
        };
        println!("{}", serde_json::to_string(&flow)?);
        Ok(ExitCode::SUCCESS)
    }
}

/// A running bare HTTP server.
#[derive(Debug)]
pub(crate) struct BareHttp {
    child: Child,
    /// `host:port`.
    pub(crate) authority: String,
}

impl BareHttp {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start() -> Result<Self> {
        let mut child = command(&["http"])?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the bare HTTP server")?;
        let output = child.stdout.take().context("no pipe to the child")?;
        let mut authority = String::new();
        BufReader::new(output).read_line(&mut authority)?;
        Ok(Self {
            child,
            authority: authority.trim().to_owned(),
        })
    }

    /// Returns the number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for BareHttp {
    fn drop(&mut self) {
        // It ends by itself when its input closes; this is for its exit status not to be left behind.
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

/// Runs a bare producer or consumer to its end.
///
/// # Errors
/// It fails; its own words are on standard error.
pub(crate) fn run(arguments: &[&str]) -> Result<Flow> {
    let output = command(arguments)?
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start a reference")?;
    if !output.status.success() {
        bail!(
            "the reference {} failed ({})",
            arguments.join(" "),
            output.status
        );
    }
    serde_json::from_slice(&output.stdout).context("the reference printed no figures")
}

fn command(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", "reference"]).args(arguments);
    Ok(command)
}

/// Serves until standard input closes, as it does when the parent ends.
fn serve() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.spawn(async {
        let taken = async |_body: axum::body::Bytes| {
            let json = [(axum::http::header::CONTENT_TYPE, "application/json")];
            (json, r#"{"success":true}"#)
        };
        let router = axum::Router::new().fallback(taken);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        axum::serve(listener, router).await
    });
    std::io::stdin().read_to_end(&mut Vec::new())?;
    runtime.shutdown_background();
    Ok(())
}

/// Counts acknowledged records.
struct Acknowledged(Arc<AtomicU64>);

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Produce {
    fn run(&self) -> Result<Flow> {
        let kafka = KafkaConfig::new(&*self.brokers);
        let sample = self.sample(&kafka)?;
        let acknowledged = Arc::new(AtomicU64::new(0));
        let producer: ThreadedProducer<Acknowledged> = kafka
            .producer()
            .create_with_context(Acknowledged(Arc::clone(&acknowledged)))?;
        let started = Instant::now();
        let begin = started + Duration::from_millis(self.warm_up_ms);
        let end = begin + Duration::from_millis(self.measure_ms);
        let mut window = None;
        for (key, value) in sample.iter().cycle() {
            let mut record = BaseRecord::to(&self.topic).key(key).payload(value);
            while let Err((error, back)) = producer.send(record) {
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    return Err(error).context("a record cannot be queued");
                }
                record = back;
                std::thread::park_timeout(Duration::from_millis(1));
            }
            let now = Instant::now();
            if window.is_none() && now >= begin {
                let meter = Meter::start(std::process::id())?;
                window = Some((now, acknowledged.load(Ordering::Relaxed), meter));
            }
            if now >= end {
                break;
            }
        }
        let (begun, before, meter) = window.context("there are no records to produce")?;
        let flow = Flow {
            records: acknowledged.load(Ordering::Relaxed) - before,
            seconds: begun.elapsed().as_secs_f64(),
            cpu_seconds: meter.read()?.cpu.as_secs_f64(),
        };
        producer.flush(PATIENCE)?;
        Ok(flow)
    }

    /// Reads what to produce: what the collector made of the same traffic.
    fn sample(&self, kafka: &KafkaConfig) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut sample = Vec::new();
        let mut full = BTreeSet::new();
        read_all(kafka, &[&self.topic], |message, partitions| {
            let bytes = |part: Option<&[u8]>| part.unwrap_or_default().to_vec();
            if message.offset() < self.sample {
                sample.push((bytes(message.key()), bytes(message.payload())));
            } else {
                full.insert(message.partition());
            }
            full.len() < partitions
        })?;
        Ok(sample)
    }
}

impl Consume {
    fn run(&self) -> Result<Flow> {
        let kafka = KafkaConfig::new(&*self.brokers);
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        let mut flow = Flow::default();
        let mut bytes = 0;
        while flow.seconds * 1e3 < self.measure_ms as f64 {
            let (took, cpu) = read_all(&kafka, &topics, |message, _| {
                flow.records += 1;
                bytes += message.payload_len();
                true
            })?;
            if bytes == 0 {
                bail!("the topics are empty");
            }
            flow.seconds += took.as_secs_f64();
            flow.cpu_seconds += cpu.as_secs_f64();
        }
        Ok(flow)
    }
}

/// Reads topics from start to end, or until `take` returns false, which is told the number of partitions. Returns the time
/// since the partitions were assigned, and the CPU time in it.
fn read_all(
    kafka: &KafkaConfig,
    topics: &[&str],
    mut take: impl FnMut(&BorrowedMessage<'_>, usize) -> bool,
) -> Result<(Duration, Duration)> {
    let consumer: BaseConsumer = kafka
        .consumer("bench-reference")
        .set("enable.partition.eof", "true")
        .create()?;
    let mut list = TopicPartitionList::new();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
        for partition in metadata
            .topics()
            .iter()
            .flat_map(|found| found.partitions())
        {
            list.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
        }
    }
    let (meter, started) = (Meter::start(std::process::id())?, Instant::now());
    consumer.assign(&list)?;
    let mut open = list.count();
    while open > 0 {
        match consumer.poll(PATIENCE).context("kafka gives no records")? {
            Ok(message) if take(&message, list.count()) => {}
            Ok(_) => break,
            Err(KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok((started.elapsed(), meter.read()?.cpu))
}
