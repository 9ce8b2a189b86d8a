//! `weir events`: what the processor lets through and what not, as it happens.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::{Message, Offset, TopicPartitionList};
use serde_json::Value;
use weir_common::shutdown::{self, CancellationToken};
use weir_common::time::rfc3339;
use weir_processor::{FAILED_TOPIC, VALID_TOPIC};

use crate::cli::Output;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Format, Reader};
use crate::settings::Settings;
use crate::text::show;

/// What to do with events.
#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// Prints events as they come out of the processor, one a line, until Ctrl-C
    Tail(TailArgs),
}

/// Flags of `weir events tail`.
#[derive(Debug, Args)]
#[command(
    after_help = "Reads events.valid (with --failed events.failed) from Kafka, from now on, without \
leaving a trace in any consumer group. After a crash of a processor a record may come twice: its stream, topic, \
partition and offset tell."
)]
pub(crate) struct TailArgs {
    /// Shows records that did not become events, with what is wrong
    #[arg(long)]
    failed: bool,
    /// Only events of a source
    #[arg(long, value_name = "ID")]
    source: Option<String>,
    /// Only events of this name, such as order_completed; of other calls than track their type
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// Only events of this user id or anonymous id
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Begins with the oldest event that Kafka still has
    #[arg(long)]
    from_start: bool,
    /// Ends after so many events
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    output: Output,
}

/// Runs the command.
///
/// # Errors
/// Those of Kafka.
pub(crate) async fn run(settings: &Settings, command: EventsCommand) -> Result<Outcome> {
    let EventsCommand::Tail(args) = command;
    let topic = if args.failed {
        FAILED_TOPIC
    } else {
        VALID_TOPIC
    };
    let admin = settings.kafka_admin()?;
    let topics = admin
        .topics()
        .await
        .with_context(|| settings.about_kafka())?;
    let Some(layout) = topics.get(topic) else {
        bail!(Failure::Usage(format!(
            "topic {topic} does not exist; `weir topics apply` creates it"
        )));
    };
    // Partitions are assigned by hand: the group is a name only.
    let consumer: StreamConsumer = settings
        .kafka()?
        .consumer("weir-events-tail")
        .create()
        .context("cannot create a consumer")?;
    let mut partitions = TopicPartitionList::new();
    for partition in 0..layout.partitions {
        let from = if args.from_start {
            Offset::Beginning
        } else {
            Offset::End
        };
        partitions.add_partition_offset(topic, partition, from)?;
    }
    consumer.assign(&partitions)?;
    let shutdown = shutdown::on_signals()?;
    follow(&consumer, &args, &shutdown).await?;
    Ok(Outcome::Fine)
}

async fn follow(
    consumer: &StreamConsumer,
    args: &TailArgs,
    shutdown: &CancellationToken,
) -> Result<()> {
    const PAUSE: Duration = Duration::from_millis(500);
    let mut shown = 0;
    while args.limit.is_none_or(|limit| shown < limit) {
        let record = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            record = consumer.recv() => record,
        };
        let record = match record {
            Ok(record) => record,
            // A broker that is away comes back; everything is still there then.
            Err(error) => {
                tracing::error!("waiting for Kafka: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let payload = record.payload().unwrap_or_default();
        let Ok(event) = serde_json::from_slice::<Value>(payload) else {
            continue;
        };
        if matches(&event, args) {
            let line = match args.output.output {
                Format::Json => String::from_utf8_lossy(payload).into_owned(),
                Format::Table => describe(&event, args.failed),
            };
            if output::bytes(format!("{line}\n").as_bytes())? == Reader::Gone {
                return Ok(());
            }
            shown += 1;
        }
    }
    Ok(())
}

fn matches(event: &Value, args: &TailArgs) -> bool {
    let is = |wanted: &Option<String>, fields: &[&str]| {
        wanted
            .as_ref()
            .is_none_or(|wanted| fields.iter().any(|field| text(event, field) == *wanted))
    };
    is(&args.source, &["source_id"])
        && is(&args.event, &["name", "type"])
        && is(&args.user, &["user_id", "anonymous_id"])
}

fn text<'a>(event: &'a Value, field: &str) -> &'a str {
    event[field].as_str().unwrap_or_default()
}

/// One line, fit for a terminal: when, source, what, who, where; for a failure what is wrong.
fn describe(event: &Value, failed: bool) -> String {
    let line = tell(event, failed);
    show(line.trim_end().as_bytes()).into_owned()
}

fn tell(event: &Value, failed: bool) -> String {
    let time = if failed { "received_at_ms" } else { "ts_ms" };
    let what = match text(event, "name") {
        "" => text(event, "type"),
        name => name,
    };
    let mut line = format!(
        "{}  {:<12} {:<20}",
        rfc3339(event[time].as_i64().unwrap_or_default()),
        text(event, "source_id"),
        what
    );
    let mut add = |label: &str, value: &str| {
        if !value.is_empty() {
            line.push_str(&format!(" {label}{value}"));
        }
    };
    if failed {
        add("", text(event, "reason"));
        for error in event["errors"].as_array().into_iter().flatten() {
            let place = text(error, "path");
            let place = if place.is_empty() {
                String::new()
            } else {
                format!("{place}: ")
            };
            add("", &format!("[{place}{}]", text(error, "message")));
        }
        add("id=", text(event, "event_id"));
        return line;
    }
    add("user=", text(event, "user_id"));
    add("anonymous=", text(event, "anonymous_id"));
    add(
        "",
        &format!("{}{}", text(event, "page_host"), text(event, "page_path")),
    );
    if let Some(properties) = event["properties"]
        .as_object()
        .filter(|map| !map.is_empty())
    {
        const SHOWN: usize = 120;
        let properties = Value::from(properties.clone()).to_string();
        let cut: String = properties.chars().take(SHOWN).collect();
        let more = if cut.len() < properties.len() {
            "…"
        } else {
            ""
        };
        add("", &format!("{cut}{more}"));
    }
    if event["is_bot"] == true {
        add("", "(bot)");
    }
    line
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: TailArgs,
    }

    fn args(line: &str) -> TailArgs {
        Line::parse_from(format!("tail {line}").split_whitespace()).args
    }

    #[test]
    fn filters_hold_together() {
        let event =
            json!({"source_id": "web", "type": "track", "name": "signup", "anonymous_id": "a"});
        for line in [
            "",
            "--source web",
            "--event signup",
            "--event track --user a",
        ] {
            assert!(matches(&event, &args(line)), "{line}");
        }
        for line in ["--source ios", "--event page", "--source web --user b"] {
            assert!(!matches(&event, &args(line)), "{line}");
        }
    }

    #[test]
    fn an_event_is_one_line() {
        let event = json!({"ts_ms": 0, "source_id": "web", "type": "page", "name": "page", "user_id": "u",
            "page_host": "x", "page_path": "/a", "is_bot": true});
        assert_eq!(
            describe(&event, false),
            "1970-01-01T00:00:00.000Z  web          page                 user=u x/a (bot)"
        );
        let failure = json!({"received_at_ms": 0, "source_id": "web", "type": "track", "reason": "schema_invalid",
            "errors": [{"path": "/properties/total", "message": "is no number"}], "event_id": "e"});
        assert_eq!(
            describe(&failure, true),
            "1970-01-01T00:00:00.000Z  web          track                schema_invalid \
             [/properties/total: is no number] id=e"
        );
    }

    #[test]
    fn an_event_cannot_command_the_terminal() {
        let event = json!({"ts_ms": 0, "source_id": "web", "type": "page", "name": "\u{1b}[2J", "user_id": "a\nb",
            "page_path": "/ü\u{9b}"});
        assert_eq!(
            describe(&event, false),
            r"1970-01-01T00:00:00.000Z  web          \x1b[2J                 user=a\x0ab /ü\u{9b}"
        );
        let failure = json!({"received_at_ms": 0, "source_id": "web", "type": "\r", "reason": "protocol",
            "errors": [{"path": "/\u{7}", "message": "\u{7f}"}], "event_id": "\u{0}"});
        assert!(!describe(&failure, true).contains(char::is_control));
    }
}
