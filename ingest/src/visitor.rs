//! Cookieless visitor ids: who a visitor is for one day, without anything stored on their device.
//!
//! The id is a hash of source, day, address and user agent, keyed with a secret that never leaves the data
//! directory: without it nobody can try addresses until one fits.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;
use weir_event::{KeyClass, time};

const FILE_NAME: &str = "visitor.secret";

const DAY_MS: i64 = 86_400_000;

/// The secret of the cookieless visitor ids.
#[derive(Clone)]
pub(crate) struct VisitorSecret([u8; 32]);

impl std::fmt::Debug for VisitorSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VisitorSecret")
    }
}

/// Why the secret is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The data directory cannot be used.
    #[error("{} cannot be used: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} is not a visitor secret (64 hexadecimal digits); restore it, or remove it to begin anew with other visitor ids", path.display())]
    Content {
        /// The file.
        path: PathBuf,
    },
}

impl VisitorSecret {
    /// Reads the secret kept in `directory`; makes directory and secret if they are not there.
    ///
    /// Of several processes that start at once, all get the same secret.
    ///
    /// # Errors
    ///
    /// The directory cannot be used, or the file's content is no secret.
    pub(crate) fn open(directory: &Path) -> Result<VisitorSecret, SecretError> {
        let path = directory.join(FILE_NAME);
        let io = |source| SecretError::Io {
            path: path.clone(),
            source,
        };
        if !path.try_exists().map_err(io)? {
            create(directory, &path).map_err(io)?;
        }
        let text = fs::read_to_string(&path).map_err(io)?;
        let secret = blake3::Hash::from_hex(text.trim());
        secret
            .map(|hash| VisitorSecret(*hash.as_bytes()))
            .map_err(|_| SecretError::Content { path })
    }

    /// Returns the id of whoever has this address and agent on this day: 32 hexadecimal digits.
    pub(crate) fn visitor(
        &self,
        source: &str,
        day: i64,
        address: Option<IpAddr>,
        agent: &str,
    ) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        let address = address.map_or_else(String::new, |address| address.to_string());
        for part in [source, &address, agent] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.update(&day.to_le_bytes());
        let hash = hasher.finalize().to_hex();
        hash.as_str()[..32].to_owned()
    }

    #[cfg(test)]
    pub(crate) fn for_testing(byte: u8) -> VisitorSecret {
        VisitorSecret([byte; 32])
    }
}

/// Makes the file as a whole or not at all, and leaves alone one that another process made first.
fn create(directory: &Path, path: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let partial = directory.join(format!("{FILE_NAME}.{}", Uuid::new_v4()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)?;
    let written = writeln!(file, "{}", random_bytes().to_hex()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| match fs::hard_link(&partial, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    fs::remove_file(&partial)?;
    linked?;
    File::open(directory)?.sync_all()
}

/// Returns 32 bytes from the system's random numbers, which version 4 UUIDs are made of.
fn random_bytes() -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for _ in 0..4 {
        hasher.update(Uuid::new_v4().as_bytes());
    }
    hasher.finalize()
}

/// Returns the UTC day an event counts for, as days since 1970: the client's if its clock is believable, else the
/// day of arrival. The event's own time is found in the same way.
pub(crate) fn day(client_ms: Option<i64>, received_at_ms: i64, class: KeyClass) -> i64 {
    time::settle(client_ms, received_at_ms, class)
        .ts_ms
        .div_euclid(DAY_MS)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_secret_is_made_once_and_only_its_owner_may_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("deep/data");
        let secrets: Vec<_> = std::thread::scope(|scope| {
            let open = || VisitorSecret::open(&data).unwrap();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap().0)
                .collect()
        });
        assert!(secrets.iter().all(|secret| *secret == secrets[0]));
        assert_eq!(VisitorSecret::open(&data).unwrap().0, secrets[0]);
        let files: Vec<_> = fs::read_dir(&data)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(files, [data.join(FILE_NAME)]);
        assert_eq!(
            fs::metadata(&files[0]).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let other = VisitorSecret::open(&directory.path().join("other")).unwrap();
        assert_ne!(other.0, secrets[0]);
    }

    #[test]
    fn a_damaged_secret_is_refused_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        fs::write(&path, "abc").unwrap();
        let error = VisitorSecret::open(directory.path()).unwrap_err();
        assert!(matches!(error, SecretError::Content { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "abc");
    }

    #[test]
    fn everything_that_tells_visitors_apart_changes_the_id() {
        let secret = VisitorSecret::for_testing(1);
        let address = Some("203.0.113.7".parse().unwrap());
        let id = secret.visitor("s", 1, address, "a");
        assert_eq!(id.len(), 32);
        assert_eq!(id, secret.visitor("s", 1, address, "a"));
        let others = [
            VisitorSecret::for_testing(2).visitor("s", 1, address, "a"),
            secret.visitor("t", 1, address, "a"),
            secret.visitor("s", 2, address, "a"),
            secret.visitor("s", 1, None, "a"),
            secret.visitor("s", 1, Some("203.0.113.8".parse().unwrap()), "a"),
            secret.visitor("s", 1, address, "b"),
        ];
        assert!(!others.contains(&id));
    }

    #[test]
    fn the_day_follows_a_believable_clock_only() {
        let noon = 20_000 * DAY_MS + DAY_MS / 2;
        let day = |client, class| day(client, noon, class);
        assert_eq!(day(None, KeyClass::Browser), 20_000);
        assert_eq!(day(Some(noon - 6 * DAY_MS), KeyClass::Browser), 19_994);
        assert_eq!(day(Some(noon - 8 * DAY_MS), KeyClass::Mobile), 20_000);
        assert_eq!(day(Some(noon - 4000 * DAY_MS), KeyClass::Server), 16_000);
        assert_eq!(day(Some(noon - 8000 * DAY_MS), KeyClass::Server), 20_000);
        assert_eq!(day(Some(noon + DAY_MS), KeyClass::Server), 20_000);
    }
}
