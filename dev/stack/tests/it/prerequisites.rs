//! A missing toolchain is one clear sentence.
//!
//! The environment of a running test binary must not be changed: it runs itself again with another one.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use weir_stack::artifacts;

const ASKED: &str = "WEIR_STACK_TEST_ARTIFACT";

/// Prints why something cannot be had in this environment.
#[test]
fn an_artifact_is_asked_for() {
    let Ok(asked) = std::env::var(ASKED) else {
        return;
    };
    let got = match asked.as_str() {
        "java" => artifacts::java(),
        "kafka" => artifacts::kafka_jars(),
        _ => artifacts::libchdb(),
    };
    println!("\n[{:#}]", got.unwrap_err());
}

/// Returns the error with only `tools` in the path and an empty cache.
fn error(asked: &str, tools: &Path) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "prerequisites::an_artifact_is_asked_for",
            "--nocapture",
        ])
        .env(ASKED, asked)
        .env("PATH", tools)
        .env("XDG_CACHE_HOME", tools.join("cache"))
        .env_remove("JAVA_HOME")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let error = text.lines().find(|line| line.starts_with('['));
    error
        .unwrap_or_else(|| panic!("no error in {text}"))
        .to_owned()
}

fn tool(directory: &Path, name: &str, script: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn what_is_missing_and_how_to_install_it_is_said_in_one_sentence() {
    let empty = tempfile::tempdir().unwrap();
    for (asked, missing, package) in [
        ("java", "Java is not installed", "openjdk-17-jre-headless"),
        (
            "kafka",
            "Maven (`mvn`) is not installed",
            "apt-get install maven",
        ),
        (
            "clickhouse",
            "npm is not installed",
            "apt-get install nodejs npm",
        ),
    ] {
        let error = error(asked, empty.path());
        assert!(
            error.contains(missing) && error.contains(package),
            "{error}"
        );
    }
}

#[test]
fn an_old_java_is_named_with_its_version() {
    let tools = tempfile::tempdir().unwrap();
    tool(
        tools.path(),
        "java",
        r#"echo 'openjdk version "11.0.2" 2019-01-15' >&2"#,
    );
    let error = error("java", tools.path());
    assert!(
        error.contains("needs Java 17") && error.contains("is Java 11"),
        "{error}"
    );
}

#[test]
fn a_tool_that_fails_is_quoted() {
    let tools = tempfile::tempdir().unwrap();
    let failing = tool(
        tools.path(),
        "mvn",
        "echo 'the registry is away' >&2; exit 1",
    );
    symlink(failing, tools.path().join("npm")).unwrap();
    for asked in ["kafka", "clickhouse"] {
        let output = error(asked, tools.path());
        assert!(output.contains("failed (exit status: 1)"), "{output}");
    }
}
