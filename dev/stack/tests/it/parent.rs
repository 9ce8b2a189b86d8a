//! What becomes of the children when the process that started them ends.
//!
//! The parent must be another process: it is this test binary again, told by a variable to play the parent.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use weir_stack::wait::{self, Check};
use weir_stack::{ClickHouse, Kafka, start_time};

const PARENT: &str = "WEIR_STACK_TEST_PARENT";

/// Starts a broker and a server, prints their numbers and the data directory, and holds or ends as told.
#[test]
fn a_parent_starts_its_children() {
    let Ok(mode) = std::env::var(PARENT) else {
        return;
    };
    // A thread that has ended must not take the children with it.
    let (kafka, clickhouse) = std::thread::spawn(|| {
        (
            Kafka::start(weir_stack::kafka::StartOptions::default()).unwrap(),
            ClickHouse::start(weir_stack::clickhouse::StartOptions::default()).unwrap(),
        )
    })
    .join()
    .unwrap();
    let log = kafka.service().log();
    let data = log.ancestors().nth(2).unwrap();
    let pids = [kafka.service().pid(), clickhouse.service().unwrap().pid()];
    println!(
        "\nchildren {} {} {}",
        pids[0].unwrap(),
        pids[1].unwrap(),
        data.display()
    );
    kafka.service().sigstop().unwrap();
    match mode.as_str() {
        "holds" => loop {
            std::thread::park();
        },
        // As at the end of a test binary whose stack is a static: no destructor runs.
        _ => std::process::exit(0),
    }
}

struct Family {
    parent: Child,
    children: Vec<(u32, u64)>,
    data: PathBuf,
}

fn family(mode: &str) -> Family {
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "parent::a_parent_starts_its_children",
            "--nocapture",
        ])
        .env(PARENT, mode)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(parent.stdout.take().unwrap());
    let line = output
        .lines()
        .map_while(Result::ok)
        .find(|line| line.starts_with("children "))
        .expect("the parent failed");
    let words: Vec<&str> = line.splitn(4, ' ').collect();
    let children = words[1..3]
        .iter()
        .map(|word| word.parse().unwrap())
        .filter_map(|pid| Some((pid, start_time(pid)?)))
        .collect();
    Family {
        parent,
        children,
        data: PathBuf::from(words[3]),
    }
}

fn is_gone(family: &Family) -> Check<()> {
    let left: Vec<u32> = family
        .children
        .iter()
        .filter(|(pid, started)| start_time(*pid) == Some(*started))
        .map(|(pid, _)| *pid)
        .collect();
    let data = family.data.exists();
    Check::that(
        left.is_empty() && !data,
        format!("processes {left:?}, data directory there: {data}"),
    )
}

#[test]
fn children_and_data_of_a_killed_parent_are_gone() {
    let mut family = family("holds");
    assert_eq!(family.children.len(), 2, "both children run");
    assert!(family.data.exists());
    family.parent.kill().unwrap();
    family.parent.wait().unwrap();
    let within = Duration::from_secs(20);
    wait::until("the children to die", within, || is_gone(&family)).unwrap();
}

#[test]
fn children_and_data_of_a_parent_that_just_exits_are_gone() {
    let mut family = family("exits");
    family.parent.wait().unwrap();
    let within = Duration::from_secs(20);
    wait::until("the children to die", within, || is_gone(&family)).unwrap();
}
