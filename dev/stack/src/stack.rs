//! The whole stack: Kafka, ClickHouse, migrations, topics and roles, tied together for tests and for `cargo dev up`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};

use crate::binaries::{self, Binary};
use crate::clickhouse::{ClickHouse, Credentials};
use crate::data::DataDir;
use crate::description::{ClickHouseAccess, Description};
use crate::kafka::Kafka;
use crate::options::{Ports, StackOptions};
use crate::roles::{Role, RoleProcess, RoleSpec};
use crate::service::Service;
use crate::{artifacts, clickhouse, kafka, ports, progress, sources};

/// A running stack. Dropping it kills every process; [`Stack::stop`] ends them in order.
///
/// Methods take `&self` and may be called from several threads.
#[derive(Debug)]
pub struct Stack {
    roles: Mutex<BTreeMap<String, Arc<RoleProcess>>>,
    clickhouse: ClickHouse,
    kafka: Kafka,
    weir: PathBuf,
    environment: Vec<(String, String)>,
    write_keys: BTreeMap<String, String>,
    /// Dropped last: after the processes that write into it.
    data: DataDir,
}

impl Stack {
    /// Builds the binaries and starts everything; returns when all of it answers.
    ///
    /// # Errors
    /// Something does not build or start; the message holds the end of its log.
    pub fn start(mut options: StackOptions) -> Result<Self> {
        // Before the build, which may take minutes: what is missing should be known at once.
        artifacts::java()?;
        artifacts::kafka_jars()?;
        if clickhouse::external().is_none() {
            artifacts::libchdb()?;
        }
        let binaries = binaries::binaries(&[Binary::Weir, Binary::ChdbServer], options.profile)?;
        let weir = binaries.into_iter().next().context("no weir was built")?;
        let data = DataDir::open(options.data.clone())?;
        let (kafka, clickhouse) = std::thread::scope(|scope| {
            let kafka = scope.spawn(|| start_kafka(&options, &data));
            let clickhouse = start_clickhouse(&options, &data);
            let kafka = kafka
                .join()
                .unwrap_or_else(|_| Err(anyhow!("the thread that started Kafka panicked")));
            anyhow::Ok((kafka?, clickhouse?))
        })?;
        let sources = data.path().join("sources.toml");
        let write_keys = sources::write_keys(&sources)?;
        let mut environment = environment(&kafka, &clickhouse, &data);
        environment.append(&mut options.environment);
        let stack = Self {
            roles: Mutex::default(),
            clickhouse,
            kafka,
            weir,
            environment,
            write_keys,
            data,
        };
        // The commands below read it.
        stack.describe()?.write(&stack.stack_file())?;
        let started = Instant::now();
        stack.weir(&["migrate", "up"])?;
        stack.weir(&["topics", "apply"])?;
        progress::step("tables and topics are there", started);
        stack.start_roles(options.roles, options.ports)?;
        Ok(stack)
    }

    fn start_roles(&self, specs: Vec<RoleSpec>, which: Ports) -> Result<()> {
        let started = Instant::now();
        let mut names = Vec::new();
        for (place, mut spec) in (0..).zip(specs) {
            if which == Ports::Usual {
                if spec.role == Role::Ingest {
                    spec.port = Some(ports::preferred(8080)?);
                }
                spec.metrics_port = Some(ports::preferred(9101 + place)?);
            }
            // All begin before the first is waited for.
            self.spawn_role(&spec)?;
            names.push(spec.name);
        }
        for name in &names {
            self.role(name)?.service().wait_ready()?;
        }
        self.describe()?.write(&self.stack_file())?;
        if !names.is_empty() {
            progress::step(&format!("{} ready", names.join(" and ")), started);
        }
        Ok(())
    }

    /// Starts one more process and waits until it is ready. A name whose process has ended may be used again.
    ///
    /// # Errors
    /// A process of the name runs, or the new one does not become ready.
    pub fn start_role(&self, spec: &RoleSpec) -> Result<Arc<RoleProcess>> {
        let role = self.spawn_role(spec)?;
        role.service().wait_ready()?;
        Ok(role)
    }

    /// Starts one more process without waiting until it is ready.
    ///
    /// # Errors
    /// A process of the name runs, or the new one cannot be started.
    pub fn spawn_role(&self, spec: &RoleSpec) -> Result<Arc<RoleProcess>> {
        if let Some(old) = self.roles().get(&spec.name)
            && old.service().pid().is_some()
            && old.service().ended()?.is_none()
        {
            bail!("{} runs already", spec.name);
        }
        let role = Arc::new(RoleProcess::new(
            spec,
            &self.weir,
            self.data.path(),
            &self.environment,
        )?);
        role.service().spawn()?;
        self.roles().insert(spec.name.clone(), Arc::clone(&role));
        Ok(role)
    }

    /// Returns a role's process.
    ///
    /// # Errors
    /// There is none of the name.
    pub fn role(&self, name: &str) -> Result<Arc<RoleProcess>> {
        let roles = self.roles();
        roles.get(name).map(Arc::clone).with_context(|| {
            let names: Vec<&str> = roles.keys().map(String::as_str).collect();
            format!("no role is called {name}; there are: {}", names.join(", "))
        })
    }

    /// Returns the broker.
    pub fn kafka(&self) -> &Kafka {
        &self.kafka
    }

    /// Returns ClickHouse.
    pub fn clickhouse(&self) -> &ClickHouse {
        &self.clickhouse
    }

    /// Returns the address of the first collector, without a slash at the end.
    ///
    /// # Errors
    /// The stack has none.
    pub fn ingest_url(&self) -> Result<String> {
        self.roles()
            .values()
            .find_map(|role| role.url().map(str::to_owned))
            .context("the stack runs no ingest")
    }

    /// Returns the write key of a source: `web`, `ios`, `android`, `server` or `import`.
    ///
    /// # Errors
    /// The sources file has no such source.
    pub fn write_key(&self, source: &str) -> Result<&str> {
        self.write_keys
            .get(source)
            .map(String::as_str)
            .with_context(|| format!("no source is called {source}"))
    }

    /// Returns the data directory, with the children's logs in `logs/`.
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// Returns the `weir` binary the stack runs.
    pub fn weir_path(&self) -> &Path {
        &self.weir
    }

    /// Prepares a `weir` command that works on this stack.
    pub fn weir_command(&self) -> Command {
        let mut command = Command::new(&self.weir);
        command
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs a `weir` command on this stack and returns its standard output.
    ///
    /// # Errors
    /// It fails; the message holds what it printed.
    pub fn weir(&self, arguments: &[&str]) -> Result<String> {
        let output = self
            .weir_command()
            .args(arguments)
            .output()
            .with_context(|| format!("cannot run {}", self.weir.display()))?;
        if !output.status.success() {
            bail!(
                "`weir {}` failed ({}):\n{}{}",
                arguments.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Calls `visit` on every process in the order in which they are stopped.
    ///
    /// # Errors
    /// Whatever `visit` returns first.
    pub fn each_service(&self, mut visit: impl FnMut(&Service) -> Result<()>) -> Result<()> {
        let mut roles: Vec<Arc<RoleProcess>> = self.roles().values().map(Arc::clone).collect();
        roles.sort_by_key(|role| match role.role() {
            Role::Ingest => 0,
            Role::Processor => 1,
        });
        for role in &roles {
            visit(role.service())?;
        }
        if let Ok(service) = self.clickhouse.service() {
            visit(service)?;
        }
        visit(self.kafka.service())
    }

    /// Ends everything in order: collectors, processors, ClickHouse, Kafka. What does not end in time is killed.
    ///
    /// # Errors
    /// Something had to be killed; the rest is ended all the same.
    pub fn stop(&self) -> Result<()> {
        let mut failed = Ok(());
        self.each_service(|service| {
            let stopped = service.stop();
            if failed.is_ok() {
                failed = stopped;
            }
            Ok(())
        })?;
        failed
    }

    /// Returns addresses, keys and processes as they are now.
    ///
    /// # Errors
    /// The number of a process cannot be told.
    pub fn describe(&self) -> Result<Description> {
        let mut pids = BTreeMap::new();
        self.each_service(|service| {
            if let Some(pid) = service.pid() {
                pids.insert(service.name().to_owned(), pid);
            }
            Ok(())
        })?;
        let metrics = self
            .roles()
            .iter()
            .map(|(name, role)| (name.clone(), role.metrics_url().to_owned()))
            .collect();
        let clickhouse = &self.clickhouse;
        Ok(Description {
            kafka: self.kafka.bootstrap().to_owned(),
            clickhouse: ClickHouseAccess {
                url: clickhouse.url().to_owned(),
                user: clickhouse.user().to_owned(),
                password: clickhouse.password().to_owned(),
                reader: clickhouse.reader().to_owned(),
                reader_password: clickhouse.reader_password().to_owned(),
                database: clickhouse.database().to_owned(),
            },
            ingest: self.ingest_url().unwrap_or_default(),
            write_keys: self.write_keys.clone(),
            metrics,
            sources: self.data.path().join("sources.toml"),
            pids,
            data: self.data.path().to_path_buf(),
        })
    }

    /// Returns the stack file that this stack's own commands read, in its data directory.
    pub fn stack_file(&self) -> PathBuf {
        self.data.path().join("stack.json")
    }

    fn roles(&self) -> MutexGuard<'_, BTreeMap<String, Arc<RoleProcess>>> {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start_kafka(options: &StackOptions, data: &DataDir) -> Result<Kafka> {
    let started = Instant::now();
    let port = match options.ports {
        Ports::Free => None,
        Ports::Usual => Some(ports::preferred(9092)?),
    };
    let kafka = Kafka::start(kafka::StartOptions {
        data: Some(data.path().to_path_buf()),
        port,
        settings: options.kafka_settings.clone(),
        profile: options.profile,
    })?;
    progress::step(&format!("Kafka ready on {}", kafka.bootstrap()), started);
    Ok(kafka)
}

fn start_clickhouse(options: &StackOptions, data: &DataDir) -> Result<ClickHouse> {
    let started = Instant::now();
    let port = match options.ports {
        Ports::Free => None,
        Ports::Usual => Some(ports::preferred(8123)?),
    };
    let clickhouse = ClickHouse::start(clickhouse::StartOptions {
        data: Some(data.path().to_path_buf()),
        port,
        credentials: Some(credentials(data)?),
        profile: options.profile,
        database: match options.data {
            Some(_) => clickhouse::Database::Keep,
            None => clickhouse::Database::Drop,
        },
    })?;
    progress::step(
        &format!("ClickHouse ready on {}", clickhouse.url()),
        started,
    );
    Ok(clickhouse)
}

/// Returns the credentials this data directory was first started with.
fn credentials(data: &DataDir) -> Result<Credentials> {
    let path = data.path().join("credentials.json");
    if path.exists() {
        return serde_json::from_slice(&fs::read(&path)?)
            .with_context(|| format!("{} is damaged", path.display()));
    }
    let credentials = Credentials::random();
    sources::write_private(&path, &serde_json::to_string(&credentials)?)?;
    Ok(credentials)
}

fn environment(kafka: &Kafka, clickhouse: &ClickHouse, data: &DataDir) -> Vec<(String, String)> {
    let path = |name: &str| data.path().join(name).display().to_string();
    [
        ("WEIR_STACK", path("stack.json")),
        ("WEIR_KAFKA_BROKERS", kafka.bootstrap().to_owned()),
        ("WEIR_CLICKHOUSE_URL", clickhouse.url().to_owned()),
        ("WEIR_CLICKHOUSE_USER", clickhouse.user().to_owned()),
        ("WEIR_CLICKHOUSE_PASSWORD", clickhouse.password().to_owned()),
        ("WEIR_CLICKHOUSE_DATABASE", clickhouse.database().to_owned()),
        (
            "WEIR_CLICKHOUSE_READER_USER",
            clickhouse.reader().to_owned(),
        ),
        (
            "WEIR_CLICKHOUSE_READER_PASSWORD",
            clickhouse.reader_password().to_owned(),
        ),
        ("WEIR_INGEST_SOURCES", path("sources.toml")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}
