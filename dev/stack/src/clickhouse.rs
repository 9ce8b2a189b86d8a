//! ClickHouse for the stack: our HTTP server over its engine, or a real server named by `WEIR_CLICKHOUSE_URL`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use uuid::Uuid;

use crate::binaries::{self, Binary, Profile};
use crate::data::DataDir;
use crate::process::Program;
use crate::service::Service;
use crate::wait::Check;
use crate::{artifacts, http, ports};

/// How to start ClickHouse; `Default` is a fresh one for a test.
#[derive(Clone, Debug, Default)]
pub struct StartOptions {
    /// Where tables and logs are kept; `None` is a temporary directory, removed at the end.
    pub data: Option<PathBuf>,
    /// The HTTP port; `None` is a free one.
    pub port: Option<u16>,
    /// The passwords of admin and reader; `None` are random ones.
    pub passwords: Option<Passwords>,
    /// The profile to build the server with.
    pub profile: Profile,
}

/// The passwords of the two users.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub struct Passwords {
    /// Of the user who may do everything.
    pub admin: String,
    /// Of the user with `readonly=1`.
    pub reader: String,
}

impl Passwords {
    /// Returns two random passwords.
    pub fn random() -> Self {
        Self {
            admin: Uuid::new_v4().simple().to_string(),
            reader: Uuid::new_v4().simple().to_string(),
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
    /// Whether the reader was created here, on a real server.
    own_reader: bool,
}

impl ClickHouse {
    /// Starts our server, or takes the one `WEIR_CLICKHOUSE_URL` names, with a database of its own there.
    ///
    /// # Errors
    /// The engine cannot be fetched, the server does not build or start, or the real one refuses.
    pub fn start(options: StartOptions) -> Result<Self> {
        match std::env::var("WEIR_CLICKHOUSE_URL") {
            Ok(url) if !url.is_empty() => Self::external(&url),
            _ => Self::own(options),
        }
    }

    fn own(options: StartOptions) -> Result<Self> {
        let library = artifacts::libchdb()?;
        let server = binaries::binaries(&[Binary::ChdbServer], options.profile)?
            .pop()
            .context("no server was built")?;
        let port = options.port.map_or_else(ports::free, Ok)?;
        let passwords = options.passwords.unwrap_or_else(Passwords::random);
        let data = DataDir::open(options.data)?;
        let url = format!("http://127.0.0.1:{port}");
        let program = Program::new(server)
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--user", "admin", "--reader", "reader"])
            .arg("--data", data.path().join("clickhouse"))
            .arg("--library", library)
            // Not as arguments: those are for everyone to see.
            .env("WEIR_CHDB_PASSWORD", &passwords.admin)
            .env("WEIR_CHDB_READER_PASSWORD", &passwords.reader);
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
                password: passwords.admin,
                reader: "reader".to_owned(),
                reader_password: passwords.reader,
                own_reader: false,
            },
            _data: Some(data),
        };
        clickhouse.execute("CREATE DATABASE IF NOT EXISTS weir")?;
        Ok(clickhouse)
    }

    fn external(url: &str) -> Result<Self> {
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        let suffix = &Uuid::new_v4().simple().to_string()[..12];
        let user = match variable("WEIR_CLICKHOUSE_USER") {
            user if user.is_empty() => "default".to_owned(),
            user => user,
        };
        let reader = variable("WEIR_CLICKHOUSE_READER_USER");
        let own_reader = reader.is_empty();
        let access = Access {
            url: url.trim_end_matches('/').to_owned(),
            database: format!("weir_{suffix}"),
            user,
            password: variable("WEIR_CLICKHOUSE_PASSWORD"),
            reader: if own_reader {
                format!("weir_reader_{suffix}")
            } else {
                reader
            },
            reader_password: if own_reader {
                Passwords::random().reader
            } else {
                variable("WEIR_CLICKHOUSE_READER_PASSWORD")
            },
            own_reader,
        };
        let clickhouse = Self {
            service: None,
            access,
            _data: None,
        };
        let access = &clickhouse.access;
        clickhouse
            .execute(&format!("CREATE DATABASE {}", access.database))
            .with_context(|| format!("the server that WEIR_CLICKHOUSE_URL names ({url})"))?;
        if own_reader {
            clickhouse.execute(&format!(
                "CREATE USER {} IDENTIFIED BY '{}' SETTINGS readonly = 1",
                access.reader, access.reader_password
            ))?;
            clickhouse.execute(&format!(
                "GRANT SELECT ON {}.* TO {}",
                access.database, access.reader
            ))?;
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
        let access = &self.access;
        // The statement that makes the database cannot run in it.
        let database = if statement.starts_with("CREATE DATABASE") {
            ""
        } else {
            &access.database
        };
        let headers = [
            ("X-ClickHouse-User", access.user.as_str()),
            ("X-ClickHouse-Key", access.password.as_str()),
            ("X-ClickHouse-Database", database),
        ];
        let headers = if database.is_empty() {
            &headers[..2]
        } else {
            &headers[..]
        };
        let answer = http::post(&format!("{}/", access.url), headers, statement)?;
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

impl Drop for ClickHouse {
    fn drop(&mut self) {
        if self.service.is_some() {
            return;
        }
        let mut statements = vec![format!("DROP DATABASE IF EXISTS {}", self.access.database)];
        if self.access.own_reader {
            statements.push(format!("DROP USER IF EXISTS {}", self.access.reader));
        }
        for statement in statements {
            if let Err(error) = self.execute(&statement) {
                eprintln!("weir-stack: cannot clean up {}: {error:#}", self.access.url);
            }
        }
    }
}
