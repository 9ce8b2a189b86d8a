//! TCP ports on the loopback address that nobody else takes before the child binds them.
//!
//! They come from below the kernel's ephemeral range: a port from `bind(0)` may, while a broker restarts, become the
//! source port of somebody's outgoing connection, even of a connection to itself.

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use uuid::Uuid;

const RANGE: std::ops::Range<u16> = 15_000..32_000;

/// Lock files of the ports this process was given, held until it ends.
static RESERVED: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// Returns a port that no process listens on and that no other process using this function is given meanwhile.
///
/// # Errors
/// No port is free, or the lock files in the temporary directory cannot be written.
pub fn free() -> Result<u16> {
    let offset = u16::try_from(Uuid::new_v4().as_u128() % RANGE.len() as u128)?;
    let (low, high) = (
        RANGE.start..RANGE.start + offset,
        RANGE.start + offset..RANGE.end,
    );
    for port in high.chain(low) {
        if is_free(port) && reserve(port)? {
            return Ok(port);
        }
    }
    bail!("no free TCP port between {} and {}", RANGE.start, RANGE.end)
}

/// Returns `preferred` if nobody listens on it, else a free port.
///
/// # Errors
/// As [`free`].
pub fn preferred(preferred: u16) -> Result<u16> {
    if is_free(preferred) && reserve(preferred)? {
        return Ok(preferred);
    }
    free()
}

fn is_free(port: u16) -> bool {
    // The unspecified address conflicts with a listener on any address.
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}

fn reserve(port: u16) -> Result<bool> {
    // One directory per user: another's cannot be written.
    let user = std::fs::metadata("/proc/self").map_or(0, |process| process.uid());
    let directory = std::env::temp_dir().join(format!("weir-ports-{user}"));
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    let path = directory.join(port.to_string());
    // Another user's lock file cannot be opened for writing: then the port counts as taken.
    let Ok(file) = OpenOptions::new().create(true).append(true).open(&path) else {
        return Ok(false);
    };
    if file.try_lock().is_err() {
        return Ok(false);
    }
    RESERVED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(file);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_calls_never_give_the_same_port() {
        let mut ports: Vec<u16> = (0..50).map(|_| free().unwrap()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 50);
    }

    #[test]
    fn a_taken_port_is_replaced_by_a_free_one() {
        let port = free().unwrap();
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert_ne!(preferred(port).unwrap(), port);
    }
}
