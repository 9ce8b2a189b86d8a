//! Weir's roles as child processes, with their settings in the environment.

use std::path::Path;

use anyhow::Result;

use crate::process::Program;
use crate::service::Service;
use crate::wait::Check;
use crate::{http, ports};

/// A role of the `weir` binary that runs until it is stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// HTTP to Kafka.
    Ingest,
    /// Kafka to ClickHouse.
    Processor,
}

impl Role {
    /// Returns the word after `weir`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Processor => "processor",
        }
    }
}

/// One process to run: several of a role may run side by side under different names.
#[derive(Clone, Debug)]
pub struct RoleSpec {
    /// Names the process, its log file and its directory.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Settings beside the stack's own, such as `("WEIR_PROCESSOR_MAX_AGE", "1s")`; they win.
    pub environment: Vec<(String, String)>,
    /// Port of the collector; `None` is a free one.
    pub port: Option<u16>,
    /// Port for metrics and health; `None` is a free one.
    pub metrics_port: Option<u16>,
}

impl RoleSpec {
    /// Describes a process of the role under its own name, on free ports.
    pub fn new(role: Role) -> Self {
        Self {
            name: role.name().to_owned(),
            role,
            environment: Vec::new(),
            port: None,
            metrics_port: None,
        }
    }

    /// Gives the process another name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Adds a setting.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A role's process and its addresses.
#[derive(Debug)]
pub struct RoleProcess {
    service: Service,
    role: Role,
    url: Option<String>,
    metrics_url: String,
}

impl RoleProcess {
    /// Prepares the process; `common` is the environment every role gets.
    ///
    /// # Errors
    /// No port is free.
    pub(crate) fn new(
        spec: &RoleSpec,
        weir: &Path,
        data: &Path,
        common: &[(String, String)],
    ) -> Result<Self> {
        let section = spec.role.name().to_uppercase();
        let metrics = format!(
            "127.0.0.1:{}",
            spec.metrics_port.map_or_else(ports::free, Ok)?
        );
        let mut program = Program::new(weir)
            .args([spec.role.name()])
            .envs(common.iter().map(|(name, value)| (name, value)))
            .env(format!("WEIR_{section}_METRICS_LISTEN"), &metrics);
        let mut url = None;
        if spec.role == Role::Ingest {
            let listen = format!("127.0.0.1:{}", spec.port.map_or_else(ports::free, Ok)?);
            program = program
                .env("WEIR_INGEST_LISTEN", &listen)
                .env("WEIR_INGEST_DATA_DIR", data.join(&spec.name));
            url = Some(format!("http://{listen}"));
        }
        program = program.envs(spec.environment.iter().map(|(name, value)| (name, value)));
        let log = data.join("logs").join(format!("{}.log", spec.name));
        let ready = format!("http://{metrics}/health/ready");
        Ok(Self {
            service: Service::new(&spec.name, program, log, Box::new(move || probe(&ready))),
            role: spec.role,
            url,
            metrics_url: format!("http://{metrics}"),
        })
    }

    /// Returns the process, to stop, kill or freeze.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Returns what the process does.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Returns the address of the role's public interface; only a collector has one.
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// Returns the address of the listener for metrics and health, without a path.
    pub fn metrics_url(&self) -> &str {
        &self.metrics_url
    }

    /// Returns the present value of a metric, summed over its label sets; `None` if it is not there.
    ///
    /// # Errors
    /// The process does not answer.
    pub fn metric(&self, name: &str) -> Result<Option<f64>> {
        let answer = http::get(&format!("{}/metrics", self.metrics_url))?;
        Ok(sum(&answer.body, name))
    }
}

fn probe(url: &str) -> Check<()> {
    match http::get(url) {
        Ok(answer) => Check::that(
            answer.status == 200,
            format!("status {}: {}", answer.status, answer.body.trim()),
        ),
        Err(error) => Check::NotYet(format!("{error:#}")),
    }
}

/// Sums the samples of a metric in Prometheus' text format.
fn sum(text: &str, name: &str) -> Option<f64> {
    text.lines()
        .filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            if !rest.starts_with(['{', ' ']) {
                return None;
            }
            rest.rsplit(' ').next()?.parse::<f64>().ok()
        })
        .reduce(|total, value| total + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_metric_are_summed_and_no_others() {
        let text = "# TYPE a_total counter\na_total{x=\"1\"} 2\na_total{x=\"2 3\"} 3\na_total_bytes 50\nb 1\n";
        assert_eq!(sum(text, "a_total"), Some(5.0));
        assert_eq!(sum(text, "c"), None);
    }
}
