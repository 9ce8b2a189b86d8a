//! The engine on one directory: opens a fresh session for every request, so that settings, the current database and temporary tables
//! of one request can never be seen by another. A session costs about 0.2 ms.

use std::collections::HashMap;
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail};

use crate::exception::{Code, Exception};
use crate::ffi::{Api, Session, Statement};
use crate::sql;

/// Settings in which the library differs from a server, put back to a server's.
const SERVER_DEFAULTS: &[(&str, &str)] = &[
    ("allow_introspection_functions", "0"),
    ("implicit_select", "0"),
    ("storage_file_read_method", "pread"),
];

/// The engine, running.
pub(crate) struct Engine {
    api: &'static Api,
    path: String,
    /// Keeps the engine up while no request runs, and ends it when taken.
    anchor: Mutex<Option<Session>>,
    version: String,
    timezone: String,
    /// Every setting with its value.
    settings: HashMap<String, String>,
}

/// What a session starts with.
#[derive(Clone, Debug, Default)]
pub(crate) struct SessionOptions<'a> {
    /// Current database; empty is `default`.
    pub(crate) database: &'a str,
    /// Settings that the server decides.
    pub(crate) own_settings: Vec<(&'a str, String)>,
    /// Settings that the client asks for; they win.
    pub(crate) settings: &'a [(String, String)],
    /// The value of `readonly`.
    pub(crate) readonly: u8,
}

impl Engine {
    /// Loads the library and starts the engine on `path`, an existing directory.
    ///
    /// # Errors
    /// The library does not load, or the engine does not take the directory.
    pub(crate) fn start(library: &Path, path: &Path) -> anyhow::Result<Self> {
        let api = Api::load(library)?;
        let path = path
            .canonicalize()
            .with_context(|| format!("cannot use the data directory {}", path.display()))?;
        let config = write_config(&path)?;
        let path = path
            .to_str()
            .with_context(|| format!("{} is not valid UTF-8", path.display()))?
            .to_owned();
        let mut arguments = base_arguments(&path)?;
        arguments.push(CString::new(format!("--config-file={}", config.display()))?);
        let Some(mut anchor) = api.connect(&arguments) else {
            bail!("the ClickHouse engine does not start on {path}; its reason may stand above");
        };
        let facts = rows(&mut anchor, "SELECT version(), timezone()")?;
        let [version, timezone] = facts.first().map(Vec::as_slice).unwrap_or_default() else {
            bail!("the ClickHouse engine does not tell its version");
        };
        let (version, timezone) = (version.clone(), timezone.clone());
        let settings = rows(&mut anchor, "SELECT name, value FROM system.settings")?
            .into_iter()
            .filter_map(|row| <[String; 2]>::try_from(row).ok())
            .map(|[name, value]| (name, value))
            .collect();
        Ok(Self {
            api,
            path,
            anchor: Mutex::new(Some(anchor)),
            version,
            timezone,
            settings,
        })
    }

    /// Returns the engine's version, `26.7.2.1`.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Returns the server's time zone.
    pub(crate) fn timezone(&self) -> &str {
        &self.timezone
    }

    /// Returns the default of a setting, `None` if there is no such setting.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// Opens a session.
    ///
    /// # Errors
    /// A setting has a value the engine does not take, or the database does not exist.
    pub(crate) fn session(&self, options: &SessionOptions<'_>) -> Result<Session, Exception> {
        let mut session = match self.connect(options, options.settings)? {
            Some(session) => session,
            None => return Err(self.why_refused(options)),
        };
        if !options.database.is_empty() && options.database != "default" {
            let sql = format!("USE {}", sql::identifier(options.database));
            run(&mut session, &sql)?;
        }
        Ok(session)
    }

    fn connect(
        &self,
        options: &SessionOptions<'_>,
        settings: &[(String, String)],
    ) -> Result<Option<Session>, Exception> {
        let mut arguments = base_arguments(&self.path)
            .map_err(|error| Exception::new(Code::BadArguments, format!("{error:#}")))?;
        let readonly = ("readonly", options.readonly.to_string());
        let own = SERVER_DEFAULTS
            .iter()
            .map(|&(name, value)| (name, value))
            .chain(
                options
                    .own_settings
                    .iter()
                    .map(|(name, value)| (*name, value.as_str())),
            );
        let clients = settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let last = (options.readonly > 0).then_some((readonly.0, readonly.1.as_str()));
        for (name, value) in own.chain(clients).chain(last) {
            let argument = CString::new(format!("--{name}={value}")).map_err(|_| {
                Exception::new(
                    Code::BadArguments,
                    format!("Setting '{name}' contains a NUL"),
                )
            })?;
            arguments.push(argument);
        }
        Ok(self.api.connect(&arguments))
    }

    /// The engine refuses a session without a reason; a SET of the same settings tells it.
    fn why_refused(&self, options: &SessionOptions<'_>) -> Exception {
        let unknown = || Exception::new(Code::UnknownException, "The engine refuses a session");
        let Ok(Some(mut session)) = self.connect(options, &[]) else {
            return unknown();
        };
        let changes: Vec<String> = options
            .settings
            .iter()
            .map(|(name, value)| format!("{} = {}", sql::identifier(name), sql::quoted(value)))
            .collect();
        match run(&mut session, &format!("SET {}", changes.join(", "))) {
            Ok(()) => unknown(),
            Err(exception) => exception,
        }
    }

    /// Asks the running queries with this id to end; all that came by HTTP if there is no id. Returns before they have.
    pub(crate) fn kill(&self, query_id: Option<&str>) -> Result<(), Exception> {
        let mut session = self.session(&SessionOptions::default())?;
        let tag = format!("Settings['{}']", sql::ID_SETTING);
        let condition = match query_id {
            Some(id) => format!("{tag} = {}", sql::quoted(id)),
            None => format!("{tag} != ''"),
        };
        run(&mut session, &format!("KILL QUERY WHERE {condition} ASYNC"))
    }

    /// Ends the engine. Sessions must be closed by then.
    pub(crate) fn stop(&self) {
        let anchor = self
            .anchor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(anchor);
    }
}

fn base_arguments(path: &str) -> Result<Vec<CString>, std::ffi::NulError> {
    Ok(vec![
        CString::new("weir-chdb-server")?,
        CString::new(format!("--path={path}"))?,
    ])
}

/// Without a configuration file of its own the engine takes one from the working or the home directory.
fn write_config(path: &Path) -> anyhow::Result<PathBuf> {
    let file = path.join("weir-chdb-server.xml");
    std::fs::write(&file, "<clickhouse></clickhouse>\n")
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

fn run(session: &mut Session, sql: &str) -> Result<(), Exception> {
    rows(session, sql).map(|_| ())
}

/// Runs a statement and splits its output; for values without tabs and line ends.
fn rows(session: &mut Session, sql: &str) -> Result<Vec<Vec<String>>, Exception> {
    let output = session
        .query(Statement {
            sql: sql.as_bytes(),
            format: "TabSeparated",
            parameters: &[],
        })
        .map_err(|message| Exception::from_engine(&message))?;
    Ok(String::from_utf8_lossy(output.data())
        .lines()
        .map(|line| line.split('\t').map(str::to_owned).collect())
        .collect())
}
