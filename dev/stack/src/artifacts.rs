//! The pinned parts of the stack that are not ours, fetched once into a cache: Kafka's jars by Maven, the ClickHouse engine by npm.
//!
//! The manifests are compiled in, so that the stack works from any directory. A changed manifest is a new directory in the cache,
//! `${XDG_CACHE_HOME:-~/.cache}/weir/artifacts/<kind>-<hash>`; several processes may ask for it at once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{process, progress};

/// The oldest Java that Kafka's broker runs on.
const JAVA: u32 = 17;

/// Something to fetch: the files that pin it, the tool that reads them, and a file that is there afterwards.
struct Artifact {
    kind: &'static str,
    title: &'static str,
    manifest: &'static [(&'static str, &'static str)],
    tool: Tool,
    arguments: &'static [&'static str],
    result: &'static str,
}

/// A program that must be installed, and the advice to whom it is missing.
struct Tool {
    program: &'static str,
    advice: &'static str,
}

const KAFKA: Artifact = Artifact {
    kind: "kafka",
    title: "Kafka's jars (55 MB)",
    manifest: &[("pom.xml", include_str!("../../artifacts/kafka/pom.xml"))],
    tool: Tool {
        program: "mvn",
        advice: "Maven (`mvn`) is not installed, and Kafka is fetched with it: install Maven 3.6 or newer, on Debian and Ubuntu \
                 with `apt-get install maven`",
    },
    arguments: &[
        "--batch-mode",
        "--quiet",
        "dependency:copy-dependencies",
        "-DincludeScope=runtime",
        "-DoutputDirectory=lib",
    ],
    result: "lib",
};

const CLICKHOUSE: Artifact = Artifact {
    kind: "clickhouse",
    title: "the ClickHouse engine (543 MB)",
    manifest: &[
        (
            "package.json",
            include_str!("../../artifacts/clickhouse/package.json"),
        ),
        (
            "package-lock.json",
            include_str!("../../artifacts/clickhouse/package-lock.json"),
        ),
        (".npmrc", include_str!("../../artifacts/clickhouse/.npmrc")),
    ],
    tool: Tool {
        program: "npm",
        advice: "npm is not installed, and the ClickHouse engine is fetched with it: install Node.js 18 or newer, on Debian and \
                 Ubuntu with `apt-get install nodejs npm`",
    },
    arguments: &[
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ],
    result: "node_modules/@chdb/lib-linux-x64-gnu/libchdb.so",
};

/// Returns the directory of Kafka's jars, fetched if need be.
///
/// # Errors
/// Maven is missing or fails, or the cache cannot be written.
pub fn kafka_jars() -> Result<PathBuf> {
    fetch(&KAFKA, &cache()?)
}

/// Returns the path of `libchdb.so`, fetched if need be.
///
/// # Errors
/// The machine is not x86-64 Linux, npm is missing or fails, or the cache cannot be written.
pub fn libchdb() -> Result<PathBuf> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!(
            "the ClickHouse engine comes as a library for x86-64 Linux only: on this machine start a ClickHouse server and name \
             it in WEIR_CLICKHOUSE_URL"
        );
    }
    fetch(&CLICKHOUSE, &cache()?)
}

/// Returns the `java` to run Kafka with: of `JAVA_HOME` if set, else of `PATH`.
///
/// # Errors
/// It is missing or older than Java 17.
pub fn java() -> Result<PathBuf> {
    let java = match std::env::var_os("JAVA_HOME") {
        Some(home) if !home.is_empty() => Path::new(&home).join("bin/java"),
        _ => PathBuf::from("java"),
    };
    let advice = format!(
        "install Java {JAVA} or newer, on Debian and Ubuntu with `apt-get install openjdk-{JAVA}-jre-headless`"
    );
    let Ok(output) = Command::new(&java).arg("-version").output() else {
        bail!(
            "Java is not installed (no `{}`), and Kafka runs on it: {advice}",
            java.display()
        );
    };
    let text = String::from_utf8_lossy(&output.stderr);
    match java_major(&text) {
        Some(major) if major >= JAVA => Ok(java),
        Some(major) => bail!(
            "Kafka needs Java {JAVA}, but `{}` is Java {major}: {advice}",
            java.display()
        ),
        None => bail!("`{} -version` names no version: {advice}", java.display()),
    }
}

/// Reads the major version out of `openjdk version "17.0.15" …` or `java version "1.8.0_292"`.
fn java_major(text: &str) -> Option<u32> {
    let version = text.split('"').nth(1)?;
    let mut numbers = version.split(|character: char| !character.is_ascii_digit());
    let first = numbers.next()?.parse().ok()?;
    if first == 1 {
        numbers.next()?.parse().ok()
    } else {
        Some(first)
    }
}

fn cache() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME") {
        Some(cache) if !cache.is_empty() => PathBuf::from(cache),
        _ => std::env::home_dir()
            .context("no home directory to keep fetched files in: set XDG_CACHE_HOME")?
            .join(".cache"),
    };
    Ok(base.join("weir").join("artifacts"))
}

fn fetch(artifact: &Artifact, cache: &Path) -> Result<PathBuf> {
    let directory = cache.join(format!("{}-{}", artifact.kind, hash(artifact)));
    let result = directory.join(artifact.result);
    // The directory appears by a rename, whole or not at all, so a look without the lock is enough.
    if result.exists() {
        return Ok(result);
    }
    fs::create_dir_all(cache).with_context(|| format!("cannot create {}", cache.display()))?;
    let lock = cache.join(format!("{}.lock", artifact.kind));
    let lock = File::create(&lock).with_context(|| format!("cannot write {}", lock.display()))?;
    // Held until the file is closed at the end of this function, or by the kernel when the process dies.
    lock.lock()?;
    if result.exists() {
        return Ok(result);
    }
    let partial = directory.with_extension("partial");
    remove(&partial)?;
    remove(&directory)?;
    run(artifact, &partial)?;
    fs::rename(&partial, &directory)
        .with_context(|| format!("cannot move {} into place", partial.display()))?;
    if !result.exists() {
        bail!(
            "`{}` succeeded but left no {}",
            artifact.tool.program,
            result.display()
        );
    }
    Ok(result)
}

fn run(artifact: &Artifact, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    for (name, text) in artifact.manifest {
        fs::write(directory.join(name), text)?;
    }
    progress::line(&format!("fetching {}, once …", artifact.title));
    let started = Instant::now();
    let mut command = Command::new(artifact.tool.program);
    command
        .args(artifact.arguments)
        .current_dir(directory)
        .stderr(Stdio::piped());
    let output = match process::output(&mut command) {
        Ok(output) => output,
        Err(error) if is_not_found(&error) => bail!("{}", artifact.tool.advice),
        Err(error) => return Err(error.context(format!("cannot run {}", artifact.tool.program))),
    };
    if !output.status.success() {
        bail!(
            "`{} {}` failed ({}):\n{}{}",
            artifact.tool.program,
            artifact.arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    progress::step(&format!("fetched {}", artifact.title), started);
    Ok(())
}

fn is_not_found(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

fn hash(artifact: &Artifact) -> String {
    let mut hasher = blake3::Hasher::new();
    for (name, text) in artifact.manifest {
        hasher.update(name.as_bytes()).update(&[0]);
        hasher.update(text.as_bytes()).update(&[0]);
    }
    for argument in artifact.arguments {
        hasher.update(argument.as_bytes()).update(&[0]);
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(program: &'static str, arguments: &'static [&'static str]) -> Artifact {
        Artifact {
            kind: "test",
            title: "a test",
            manifest: &[("manifest", "1")],
            tool: Tool {
                program,
                advice: "nothing is installed: install something",
            },
            arguments,
            result: "result",
        }
    }

    #[test]
    fn java_versions_old_and_new_are_understood() {
        assert_eq!(
            java_major("openjdk version \"17.0.15\" 2025-04-15\n"),
            Some(17)
        );
        assert_eq!(java_major("java version \"1.8.0_292\"\n"), Some(8));
        assert_eq!(java_major("openjdk version \"25\" 2025-09-16\n"), Some(25));
        assert_eq!(java_major("command not found"), None);
    }

    #[test]
    fn a_missing_tool_is_one_sentence_that_says_what_to_install() {
        let cache = tempfile::tempdir().unwrap();
        let error = fetch(&echo("no-such-tool-weir", &[]), cache.path()).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "nothing is installed: install something"
        );
    }

    #[test]
    fn a_failed_fetch_leaves_nothing_that_looks_complete_and_shows_what_the_tool_said() {
        let cache = tempfile::tempdir().unwrap();
        let broken = echo("sh", &["-c", "touch result; echo no network >&2; exit 3"]);
        let error = fetch(&broken, cache.path()).unwrap_err();
        assert!(format!("{error:#}").contains("no network"), "{error:#}");
        assert!(
            !cache
                .path()
                .join(format!("test-{}", hash(&broken)))
                .exists()
        );
    }

    #[test]
    fn two_at_once_fetch_once() {
        let cache = tempfile::tempdir().unwrap();
        let artifact = echo("sh", &["-c", "echo fetched >> ../count; touch result"]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| fetch(&artifact, cache.path()).unwrap());
            }
        });
        let count = fs::read_to_string(cache.path().join("count")).unwrap();
        assert_eq!(count, "fetched\n");
    }
}
