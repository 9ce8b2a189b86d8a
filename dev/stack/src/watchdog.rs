//! Nothing survives this process, however it ends.
//!
//! A shell reads what to kill and what to remove from a pipe that only this process holds open. The pipe closes when the process
//! ends, also by kill -9, and the shell then kills the registered process groups and removes the registered directories.
//! `PR_SET_PDEATHSIG` would do for processes only, needs `unsafe`, and fires when the spawning *thread* ends.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

const SCRIPT: &str = r#"
trap '' HUP INT TERM
pids=' '
dirs='
'
while read -r op arg; do
  case $op in
    +) pids="$pids$arg " ;;
    -) pids="${pids%%" $arg "*} ${pids#*" $arg "}" ;;
    dir) dirs="$dirs$arg
" ;;
  esac
done
for pid in $pids; do kill -s KILL -- "-$pid" 2>/dev/null; done
printf '%s' "$dirs" | while read -r dir; do
  if [ -n "$dir" ]; then
    # The processes need a moment to die; what they still write would keep the directory alive.
    for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$dir" 2>/dev/null && [ ! -e "$dir" ] && break; sleep 0.2; done
  fi
done
"#;

static PIPE: Mutex<Option<ChildStdin>> = Mutex::new(None);

/// Kills the process group `pid` when this process ends.
///
/// # Errors
/// The watchdog cannot be started or was killed.
pub(crate) fn guard(pid: u32) -> Result<()> {
    tell(&format!("+ {pid}\n"))
}

/// Forgets a process group that ended, before its number can be given to another.
///
/// # Errors
/// As [`guard`].
pub(crate) fn release(pid: u32) -> Result<()> {
    tell(&format!("- {pid}\n"))
}

/// Removes the directory when this process ends, after its processes.
///
/// # Errors
/// As [`guard`].
pub(crate) fn remove_at_exit(directory: &Path) -> Result<()> {
    tell(&format!("dir {}\n", directory.display()))
}

fn tell(line: &str) -> Result<()> {
    let mut pipe = PIPE.lock().unwrap_or_else(PoisonError::into_inner);
    if pipe.is_none() {
        *pipe = Some(start()?);
    }
    let Some(pipe) = pipe.as_mut() else {
        return Ok(());
    };
    pipe.write_all(line.as_bytes())
        .context("the watchdog of this process was killed")
}

fn start() -> Result<ChildStdin> {
    // A group of its own: a Ctrl-C in the terminal must not reach it.
    let mut child = Command::new("/bin/sh")
        .args(["-c", SCRIPT, "weir-stack-watchdog"])
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("cannot start /bin/sh")?;
    child.stdin.take().context("the watchdog has no pipe")
}
