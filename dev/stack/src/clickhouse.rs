//! ClickHouse for the stack: our HTTP server over its engine, or a real server named by `WEIR_CLICKHOUSE_URL`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use uuid::Uuid;

use crate::binaries::{self, Binary, Profile};
use crate::data::DataDir;
use crate::process::Program;
use crate::service::Service;
use crate::wait::Check;
use crate::{artifacts, http, ports, progress};

/// How to start ClickHouse; `Default` is a fresh one for a test.
#[derive(Clone, Debug, Default)]
pub struct StartOptions {
    /// Where tables and logs are kept; `None` is a temporary directory, removed at the end.
    pub data: Option<PathBuf>,
    /// The HTTP port; `None` is a free one.
    pub port: Option<u16>,
    /// Passwords and names; `None` are random ones.
    pub credentials: Option<Credentials>,
    /// The profile to build the server with.
    pub profile: Profile,
    /// What becomes of the database on a real server.
    pub database: Database,
}

/// What becomes of a stack's database on a real server, and of the reader made for it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Database {
    /// They are dropped at the end.
    #[default]
    Drop,
    /// They stay for the next start with the same credentials.
    Keep,
}

/// What a stack that is started again on its data must know of the last time.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Password of the user who may do everything; of our own server only.
    pub password: String,
    /// Password of the user with `readonly=1`.
    pub reader_password: String,
    /// Distinguishes this stack's database and reader from others' on a real server.
    pub suffix: String,
}

impl Credentials {
    /// Returns random ones.
    pub fn random() -> Self {
        let random = || Uuid::new_v4().simple().to_string();
        Self {
            password: random(),
            reader_password: random(),
            suffix: random()[..12].to_owned(),
        }
    }
}

/// A running ClickHouse with an empty (or kept) database. Dropping it ends our server, or drops the database of a real one.
#[derive(Debug)]
pub struct ClickHouse {
    /// `None` with a real server.
    service: Option<Service>,
    access: Access,
    /// Dropped last: after the server that writes into it.
    _data: Option<DataDir>,
}

#[derive(Clone, Debug)]
struct Access {
    url: String,
    database: String,
    user: String,
    password: String,
    reader: String,
    reader_password: String,
    /// What to undo at the end, on a real server.
    undo: Vec<String>,
}

impl ClickHouse {
    /// Starts our server, or takes the one `WEIR_CLICKHOUSE_URL` names, with a database of its own there.
    ///
    /// # Errors
    /// The engine cannot be fetched, the server does not build or start, or the real one refuses.
    pub fn start(options: StartOptions) -> Result<Self> {
        match external() {
            Some(url) => Self::external(&url, options),
            None => Self::own(options),
        }
    }

    fn own(options: StartOptions) -> Result<Self> {
        let library = artifacts::libchdb()?;
        let server = binaries::binaries(&[Binary::ChdbServer], options.profile)?
            .pop()
            .context("no server was built")?;
        let port = options.port.map_or_else(ports::free, Ok)?;
        let credentials = options.credentials.unwrap_or_else(Credentials::random);
        let data = DataDir::open(options.data)?;
        let url = format!("http://127.0.0.1:{port}");
        let program = Program::new(server)
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--admin-user", "admin", "--reader-user", "reader"])
            .arg("--path", data.path().join("clickhouse"))
            .arg("--lib", library)
            // Not as arguments: those are for everyone to see.
            .env("WEIR_CHDB_PASSWORD", &credentials.password)
            .env("WEIR_CHDB_READER_PASSWORD", &credentials.reader_password);
        let ping = format!("{url}/ping");
        let service = Service::new(
            "clickhouse",
            program,
            data.log("clickhouse"),
            Box::new(move || match http::get(&ping) {
                Ok(answer) => Check::that(
                    answer.status == 200,
                    format!("status {} from {ping}", answer.status),
                ),
                Err(error) => Check::NotYet(format!("{error:#}")),
            }),
        );
        service.start()?;
        let clickhouse = Self {
            service: Some(service),
            access: Access {
                url,
                database: "weir".to_owned(),
                user: "admin".to_owned(),
                password: credentials.password,
                reader: "reader".to_owned(),
                reader_password: credentials.reader_password,
                undo: Vec::new(),
            },
            _data: Some(data),
        };
        clickhouse.execute_in("", "CREATE DATABASE IF NOT EXISTS weir")?;
        Ok(clickhouse)
    }

    fn external(url: &str, options: StartOptions) -> Result<Self> {
        let credentials = options.credentials.unwrap_or_else(Credentials::random);
        let database = format!("weir_{}", credentials.suffix);
        let given_reader = variable("WEIR_CLICKHOUSE_READER_USER");
        let own_reader = given_reader.is_none();
        let reader = given_reader.unwrap_or_else(|| format!("weir_reader_{}", credentials.suffix));
        let reader_password = if own_reader {
            credentials.reader_password
        } else {
            variable("WEIR_CLICKHOUSE_READER_PASSWORD").unwrap_or_default()
        };
        let mut clickhouse = Self {
            service: None,
            access: Access {
                url: url.trim_end_matches('/').to_owned(),
                database: database.clone(),
                user: variable("WEIR_CLICKHOUSE_USER").unwrap_or_else(|| "default".to_owned()),
                password: variable("WEIR_CLICKHOUSE_PASSWORD").unwrap_or_default(),
                reader: reader.clone(),
                reader_password: reader_password.clone(),
                undo: Vec::new(),
            },
            _data: None,
        };
        clickhouse
            .execute_in("", &format!("CREATE DATABASE IF NOT EXISTS {database}"))
            .with_context(|| format!("the server that WEIR_CLICKHOUSE_URL names ({url})"))?;
        let temporary = options.database == Database::Drop;
        if temporary {
            clickhouse
                .access
                .undo
                .push(format!("DROP DATABASE IF EXISTS {database}"));
        }
        if own_reader {
            let create = format!(
                "CREATE USER IF NOT EXISTS {reader} IDENTIFIED BY '{reader_password}' SETTINGS readonly = 1"
            );
            clickhouse.execute(&create)?;
            clickhouse.execute(&format!("GRANT SELECT ON {database}.* TO {reader}"))?;
            if temporary {
                clickhouse
                    .access
                    .undo
                    .push(format!("DROP USER IF EXISTS {reader}"));
            }
        }
        Ok(clickhouse)
    }

    /// Returns the HTTP address without a slash at the end.
    pub fn url(&self) -> &str {
        &self.access.url
    }

    /// Returns the database made for this stack.
    pub fn database(&self) -> &str {
        &self.access.database
    }

    /// Returns the user who may do everything.
    pub fn user(&self) -> &str {
        &self.access.user
    }

    /// Returns the password of [`Self::user`].
    pub fn password(&self) -> &str {
        &self.access.password
    }

    /// Returns the user with `readonly=1`.
    pub fn reader(&self) -> &str {
        &self.access.reader
    }

    /// Returns the password of [`Self::reader`].
    pub fn reader_password(&self) -> &str {
        &self.access.reader_password
    }

    /// Returns the process behind it, to freeze or inspect.
    ///
    /// # Errors
    /// It is a server named by `WEIR_CLICKHOUSE_URL`, which is not ours to stop.
    pub fn service(&self) -> Result<&Service> {
        self.service.as_ref().with_context(|| {
            format!(
                "{} is not a process of this stack: unset WEIR_CLICKHOUSE_URL for tests that stop ClickHouse",
                self.access.url
            )
        })
    }

    /// Kills the server by SIGKILL; its data stays.
    ///
    /// # Errors
    /// As [`Self::service`].
    pub fn kill(&self) -> Result<()> {
        self.service()?.kill9()
    }

    /// Stops the server if it runs and starts it on the same data and port.
    ///
    /// # Errors
    /// As [`Self::service`], or it does not start.
    pub fn restart(&self) -> Result<()> {
        self.service()?.restart()
    }

    /// Runs one statement as the admin in the stack's database and returns the answer's text.
    ///
    /// # Errors
    /// The server is away or refuses; the message is the server's.
    pub fn execute(&self, statement: &str) -> Result<String> {
        self.execute_in(&self.access.database, statement)
    }

    fn execute_in(&self, database: &str, statement: &str) -> Result<String> {
        let mut headers = vec![
            ("X-ClickHouse-User", self.user()),
            ("X-ClickHouse-Key", self.password()),
        ];
        // The statement that makes the database cannot run in it.
        if !database.is_empty() {
            headers.push(("X-ClickHouse-Database", database));
        }
        let answer = http::post(&format!("{}/", self.url()), &headers, statement)?;
        if answer.status != 200 {
            bail!(
                "ClickHouse answered {}: {}",
                answer.status,
                answer.body.trim()
            );
        }
        Ok(answer.body)
    }
}

/// Returns the address of the real server to use, if one is named.
pub(crate) fn external() -> Option<String> {
    variable("WEIR_CLICKHOUSE_URL")
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Drop for ClickHouse {
    fn drop(&mut self) {
        for statement in &self.access.undo {
            if let Err(error) = self.execute_in("", statement) {
                progress::line(&format!("cannot clean up {}: {error:#}", self.url()));
            }
        }
    }
}
