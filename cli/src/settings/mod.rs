//! The binary's settings: which sections exist, and in which order their sources win.
//!
//! Defaults < local stack < TOML file < environment < flags.

mod describe;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use weir_clickhouse::{ClickHouseConfig, Db};
use weir_common::config::{ConfigError, Loader, Setting};
use weir_common::kafka::{Admin, KafkaConfig};
use weir_common::telemetry::LogConfig;
use weir_ingest::IngestConfig;
use weir_processor::ProcessorConfig;

pub(crate) use describe::{help_for, meaning, variable};

use crate::exit::Failure;
use crate::stack::LocalStack;

/// Every effective setting, and the local stack if one runs.
#[derive(Debug)]
pub(crate) struct Settings {
    loader: Loader,
    stack: Option<LocalStack>,
}

/// Where settings come from besides defaults.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// TOML file.
    pub(crate) file: Option<PathBuf>,
    /// State file of the local stack.
    pub(crate) stack: Option<PathBuf>,
    /// Environment.
    pub(crate) variables: Vec<(String, String)>,
    /// `NAME=VALUE` of `--set`, in order.
    pub(crate) set: Vec<String>,
}

impl Settings {
    /// Gathers all sources.
    ///
    /// # Errors
    /// Names the setting or file that is wrong.
    pub(crate) fn load(sources: Sources) -> Result<Self> {
        let mut loader = sections()?;
        let stack = match &sources.stack {
            Some(path) => LocalStack::read(path)?,
            None => None,
        };
        if let Some(stack) = &stack {
            let origin = format!("local stack {}", stack.path.display());
            loader = loader.layer(&origin, stack.settings());
        }
        if let Some(file) = &sources.file {
            loader = loader.toml_file(file)?;
        }
        loader = loader.env(sources.variables)?;
        for setting in &sources.set {
            let (name, value) = setting.split_once('=').ok_or_else(|| {
                Failure::Usage(format!(
                    "--set {setting}: expected NAME=VALUE, such as log.level=debug"
                ))
            })?;
            loader = loader.text("flag --set", name.trim(), value)?;
        }
        Ok(Self { loader, stack })
    }

    /// Lets a flag win over every other source, if it was given.
    ///
    /// # Errors
    /// Fails if the value is not of the setting's type.
    pub(crate) fn flag(&mut self, flag: &str, name: &str, value: Option<&str>) -> Result<()> {
        if let Some(value) = value {
            let loader = std::mem::take(&mut self.loader);
            self.loader = loader.text(&format!("flag {flag}"), name, value)?;
        }
        Ok(())
    }

    /// Returns the local stack, if one runs.
    pub(crate) fn stack(&self) -> Option<&LocalStack> {
        self.stack.as_ref()
    }

    /// Returns `[kafka]`.
    pub(crate) fn kafka(&self) -> Result<KafkaConfig, ConfigError> {
        self.loader.extract("kafka")
    }

    /// Returns `[clickhouse]`.
    pub(crate) fn clickhouse(&self) -> Result<ClickHouseConfig, ConfigError> {
        self.loader.extract("clickhouse")
    }

    /// Returns `[ingest]`, checked.
    pub(crate) fn ingest(&self) -> Result<IngestConfig> {
        let config: IngestConfig = self.section("ingest")?;
        config
            .check()
            .map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(config)
    }

    /// Returns `[processor]`, checked.
    pub(crate) fn processor(&self) -> Result<ProcessorConfig> {
        let config: ProcessorConfig = self.section("processor")?;
        config
            .check()
            .map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(config)
    }

    /// Returns `[log]`; `quiet` is the level where none was set, for commands whose output is not
    /// their log.
    pub(crate) fn log(&self, quiet: Option<&str>) -> Result<LogConfig> {
        let mut config: LogConfig = self.section("log")?;
        if let Some(quiet) = quiet
            && self.origin("log.level") == "default"
        {
            quiet.clone_into(&mut config.level);
        }
        Ok(config)
    }

    fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T, ConfigError> {
        self.loader.extract(name)
    }

    /// Returns every effective setting.
    pub(crate) fn all(&self) -> Vec<Setting> {
        self.loader.settings()
    }

    /// Returns where a setting's value came from.
    pub(crate) fn origin(&self, name: &str) -> String {
        let settings = self.loader.settings();
        let found = settings.into_iter().find(|setting| setting.name == name);
        found.map_or_else(|| "default".to_owned(), |setting| setting.origin)
    }

    /// Connects to ClickHouse and checks that it answers.
    ///
    /// # Errors
    /// Says where it was looked for and who said so.
    pub(crate) async fn connect_clickhouse(&self) -> Result<Db> {
        let config = self.clickhouse()?;
        let db = Db::new(&config).map_err(|error| Failure::Usage(error.to_string()))?;
        db.ping()
            .await
            .with_context(|| self.about_clickhouse(&config))?;
        Ok(db)
    }

    /// Returns what to say about a failure to talk to ClickHouse.
    pub(crate) fn about_clickhouse(&self, config: &ClickHouseConfig) -> String {
        let origin = self.origin("clickhouse.url");
        format!(
            "ClickHouse at {} (clickhouse.url from: {origin})",
            config.url
        )
    }

    /// Creates a client for Kafka's admin requests.
    ///
    /// # Errors
    /// Fails if the client refuses its options.
    pub(crate) fn kafka_admin(&self) -> Result<Admin> {
        Ok(Admin::new(&self.kafka()?)?)
    }

    /// Returns what to say about a failure to talk to Kafka.
    pub(crate) fn about_kafka(&self) -> String {
        format!(
            "Kafka (kafka.brokers from: {})",
            self.origin("kafka.brokers")
        )
    }
}

fn sections() -> Result<Loader, ConfigError> {
    Loader::new()
        .section::<KafkaConfig>("kafka")?
        .section::<ClickHouseConfig>("clickhouse")?
        .section::<IngestConfig>("ingest")?
        .section::<ProcessorConfig>("processor")?
        .section::<LogConfig>("log")
}

/// Returns the settings file to read: the one that was named, else `weir.toml` in the current
/// folder if it is there.
pub(crate) fn file_to_read(named: Option<PathBuf>) -> Option<PathBuf> {
    let usual = Path::new("weir.toml");
    named.or_else(|| usual.exists().then(|| usual.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack_file() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = r#"{"kafka":"127.0.0.1:1","ingest":"http://127.0.0.1:2","write_keys":{"server":"k"},
            "clickhouse":{"url":"http://127.0.0.1:3","user":"u","password":"p","database":"d",
            "reader":"r","reader_password":"rp"},"metrics":{},"sources":"/s.toml","pids":{"x":1},"data":"/d"}"#;
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn sources_win_in_their_order() {
        let stack = stack_file();
        let toml = tempfile::NamedTempFile::new().unwrap();
        let text = "[clickhouse]\nuser = 'toml'\ndatabase = 'toml'\nreader_user = 'toml'";
        std::fs::write(toml.path(), text).unwrap();
        let mut settings = Settings::load(Sources {
            file: Some(toml.path().to_owned()),
            stack: Some(stack.path().to_owned()),
            variables: vec![
                ("WEIR_CLICKHOUSE_DATABASE".to_owned(), "env".to_owned()),
                ("WEIR_CLICKHOUSE_READER_USER".to_owned(), "env".to_owned()),
            ],
            set: vec!["clickhouse.reader_user=set".to_owned()],
        })
        .unwrap();
        let config = settings.clickhouse().unwrap();
        assert_eq!(config.url, "http://127.0.0.1:3");
        assert_eq!(
            (config.user.as_str(), config.database.as_str()),
            ("toml", "env")
        );
        assert_eq!(config.reader_user, "set");
        assert_eq!(config.reader_password, "rp");
        assert!(
            settings
                .origin("clickhouse.url")
                .starts_with("local stack ")
        );
        assert_eq!(settings.kafka().unwrap().brokers, "127.0.0.1:1");
        assert_eq!(settings.origin("log.level"), "default");
        assert_eq!(settings.log(Some("error")).unwrap().level, "error");

        settings
            .flag("--listen", "ingest.listen", Some("0.0.0.0:1"))
            .unwrap();
        settings.flag("--sources", "ingest.sources", None).unwrap();
        let ingest = settings.ingest().unwrap();
        assert_eq!(ingest.listen, "0.0.0.0:1");
        assert_eq!(ingest.sources, Path::new("/s.toml"));
        assert_eq!(settings.origin("ingest.listen"), "flag --listen");
    }

    #[test]
    fn a_setting_of_the_flag_needs_a_value() {
        let sources = Sources {
            set: vec!["log.level".to_owned()],
            ..Sources::default()
        };
        let error = Settings::load(sources).unwrap_err().to_string();
        assert!(error.contains("expected NAME=VALUE"), "{error}");
    }

    #[test]
    fn every_default_is_valid() {
        let settings = Settings::load(Sources::default()).unwrap();
        settings.kafka().unwrap();
        settings.clickhouse().unwrap();
        settings.ingest().unwrap();
        settings.processor().unwrap();
        settings.log(None).unwrap();
    }
}
