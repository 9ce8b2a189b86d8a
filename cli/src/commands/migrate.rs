//! `weir migrate`: brings the tables to what this version needs.

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde::Serialize;
use weir_clickhouse::Db;
use weir_clickhouse::migrate::{self, Migration, Migrations, Topology};
use weir_common::time::rfc3339;

use crate::cli::Output;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Format, Rows};
use crate::settings::Settings;

/// Flags of `weir migrate`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = false)]
pub(crate) struct MigrateArgs {
    #[command(subcommand)]
    action: Option<Action>,
    /// Prints the statements of pending migrations instead of running them
    #[arg(long, global = true)]
    dry_run: bool,
    /// Name of the ClickHouse cluster to create replicated tables on [default: one server]
    #[arg(long, value_name = "NAME", env = "WEIR_MIGRATE_CLUSTER", global = true)]
    cluster: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Applies pending migrations in order, creating the database if it is missing
    Up,
    /// Shows every migration and when it was applied; exit code 1 if any is pending
    Status {
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Serialize)]
struct Shown {
    version: u32,
    name: String,
    applied_at: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Those of ClickHouse, and refusals where the database does not fit this version.
pub(crate) async fn run(settings: &Settings, args: MigrateArgs) -> Result<Outcome> {
    let topology = match args.cluster {
        Some(name) => Topology::Cluster { name },
        None => Topology::SingleNode,
    };
    let migrations = Migrations::embedded()?;
    let action = match (args.action, args.dry_run) {
        (None | Some(Action::Up), true) => return dry_run(settings, &migrations, &topology).await,
        (Some(action), _) => action,
        (None, false) => bail!(Failure::Usage(
            "say what to do: weir migrate up, weir migrate status or weir migrate --dry-run"
                .to_owned()
        )),
    };
    let db = settings.connect_clickhouse().await?;
    match action {
        Action::Up => up(&db, &migrations, &topology).await,
        Action::Status { output } => status(&db, &migrations, output.output).await,
    }
}

async fn up(db: &Db, migrations: &Migrations, topology: &Topology) -> Result<Outcome> {
    let announce = |migration: &Migration| {
        // A full disk below stdout is no reason to stop halfway.
        drop(output::line(&format!(
            "applying {:04}_{}",
            migration.version, migration.name
        )));
    };
    let done = migrate::up(db, migrations, topology, announce).await?;
    let database = &db.config().database;
    let last = migrations
        .list()
        .last()
        .map_or(0, |migration| migration.version);
    output::line(&match done.len() {
        0 => format!("Database {database} is up to date (migration {last:04})."),
        n => format!("Database {database}: {n} applied, now at migration {last:04}."),
    })?;
    Ok(Outcome::Fine)
}

async fn dry_run(
    settings: &Settings,
    migrations: &Migrations,
    topology: &Topology,
) -> Result<Outcome> {
    let db = settings.connect_clickhouse().await?;
    let pending = migrate::pending(&db, migrations)
        .await
        .context("cannot tell what is pending")?;
    for migration in &pending {
        output::line(&format!("-- {:04}_{}", migration.version, migration.name))?;
        for statement in migration.statements(topology)? {
            output::line(&format!("{};\n", statement.trim()))?;
        }
    }
    if pending.is_empty() {
        output::line("-- nothing is pending")?;
    }
    Ok(Outcome::Fine)
}

async fn status(db: &Db, migrations: &Migrations, format: Format) -> Result<Outcome> {
    let all = migrate::status(db, migrations).await?;
    let shown: Vec<Shown> = all
        .into_iter()
        .map(|status| Shown {
            version: status.migration.version,
            name: status.migration.name,
            applied_at: status.applied_at_ms.map(rfc3339),
        })
        .collect();
    match format {
        Format::Json => output::json(&shown)?,
        Format::Table => {
            let mut rows = Rows::new(["migration", "applied"]);
            for status in &shown {
                let name = format!("{:04}_{}", status.version, status.name);
                let applied = status.applied_at.clone();
                rows.add([name, applied.unwrap_or_else(|| "pending".to_owned())]);
            }
            output::table(&rows)?;
        }
    }
    let pending = shown.iter().any(|status| status.applied_at.is_none());
    Ok(if pending {
        Outcome::Findings
    } else {
        Outcome::Fine
    })
}
