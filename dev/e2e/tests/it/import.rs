//! A real server's traffic, from its log to the numbers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::support;

fn log_file() -> PathBuf {
    weir_stack::binaries::workspace().join("dev/e2e/data/access.log.gz")
}

#[test]
fn an_access_log_comes_out_as_the_numbers_it_holds_and_a_second_import_changes_nothing()
-> Result<()> {
    let stack = support::start()?;
    let path = log_file().display().to_string();
    let rejects = stack.data().join("rejects.tsv").display().to_string();
    let first = stack
        .weir_command()
        .args(["import", "access-log", "-", "--rejects", &rejects])
        .stdin(File::open(log_file())?)
        .output()?;
    ensure!(
        first.status.code() == Some(1),
        "one line is no line of a log: {}\n{}{}",
        first.status,
        String::from_utf8_lossy(&first.stdout),
        String::from_utf8_lossy(&first.stderr)
    );
    support::settle_and_verify(&stack)?;

    assert_eq!(
        support::number(&stack, "SELECT count() FROM events")?,
        9_999
    );
    let rejected = std::fs::read_to_string(&rejects)?;
    ensure!(
        rejected
            .lines()
            .filter(|line| line.contains("8899"))
            .count()
            == 1,
        "rejects: {rejected}"
    );
    let before = numbers(&stack)?;
    assert_eq!(before["page_views"], 3_770);
    assert_eq!(before["visitors"], 1_432);
    let days: Vec<u64> = before["series"]
        .as_array()
        .context("no days")?
        .iter()
        .filter_map(|day| day["page_views"].as_u64())
        .collect();
    assert_eq!(days, [680, 1_245, 995, 850]);
    let pages: Vec<(String, u64)> = before["top_pages"]
        .as_array()
        .context("no pages")?
        .iter()
        .take(10)
        .map(|page| {
            (
                page["path"].as_str().unwrap_or_default().to_owned(),
                page["page_views"].as_u64().unwrap_or_default(),
            )
        })
        .collect();
    assert_eq!(pages, top_pages_of_the_log()?);

    let again = || {
        let by_path = ["import", "access-log", &path];
        stack.weir(&[&by_path[..], &["--rejects", &rejects, "--max-rejects", "1"]].concat())
    };
    again()?;
    support::settle_and_verify(&stack)?;
    assert_eq!(
        support::number(&stack, "SELECT count() FROM events")?,
        9_999
    );
    let repeated = "SELECT count() FROM failed_events WHERE reason = 'duplicate'";
    assert_eq!(support::number(&stack, repeated)?, 9_999);
    assert_eq!(numbers(&stack)?, before);

    // As if the window had passed: the content is known, and taken again only when asked to.
    support::query(
        &stack,
        "INSERT INTO imports SELECT * REPLACE (imported_at - INTERVAL 3 DAY AS imported_at) FROM imports",
    )?;
    support::query(
        &stack,
        "DELETE FROM imports WHERE imported_at > now() - INTERVAL 1 DAY",
    )?;
    let refused = again().unwrap_err().to_string();
    ensure!(refused.contains("--again"), "refused with: {refused}");
    Ok(())
}

fn numbers(stack: &weir_stack::Stack) -> Result<Value> {
    let text = stack.weir(&[
        "stats",
        "--source",
        "import",
        "--from",
        "2015-05-17",
        "--to",
        "2015-05-20",
        "--by",
        "day",
        "--timezone",
        "UTC",
        "--include-bots",
        "-o",
        "json",
    ])?;
    Ok(serde_json::from_str(&text)?)
}

/// Counts the log by the importer's documented rule, with none of its code.
fn top_pages_of_the_log() -> Result<Vec<(String, u64)>> {
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(File::open(log_file())?).read_to_end(&mut text)?;
    let mut pages: BTreeMap<String, u64> = BTreeMap::new();
    for line in String::from_utf8_lossy(&text).lines() {
        let Some(request) = line.split('"').nth(1) else {
            continue;
        };
        let Some(answer) = line.split('"').nth(2) else {
            continue;
        };
        let status = answer.split_whitespace().next().unwrap_or_default();
        let mut words = request.split(' ');
        if words.next() != Some("GET") || !(status.starts_with('2') || status == "304") {
            continue;
        }
        let target = words.next().unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default();
        let known = [".html", ".htm", ".xhtml", ".php", ".asp", ".aspx", ".jsp"];
        if !name.contains('.') || known.iter().any(|end| name.ends_with(end)) {
            *pages.entry(path.to_owned()).or_default() += 1;
        }
    }
    let mut pages: Vec<(String, u64)> = pages.into_iter().collect();
    pages.sort_by(|(path, views), (other, others)| others.cmp(views).then(path.cmp(other)));
    pages.truncate(10);
    Ok(pages)
}
