//! The reject file: lines that could not be imported, with number and reason, tab-separated.
//!
//! It is made with the first such line; a run without one leaves no file, and takes an old one away
//! only by overwriting it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::text::show;

/// Writes rejected lines and counts them.
#[derive(Debug)]
pub(crate) struct Rejects {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    count: u64,
}

impl Rejects {
    /// Prepares a reject file at `path`; nothing is written yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            count: 0,
        }
    }

    /// Adds a line of the input `name`.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub(crate) fn add(&mut self, name: &str, number: u64, reason: &str, line: &[u8]) -> Result<()> {
        let context = || format!("cannot write the reject file {}", self.path.display());
        let file = match &mut self.file {
            Some(file) => file,
            slot => {
                let file = File::create(&self.path).with_context(context)?;
                let mut file = BufWriter::new(file);
                file.write_all(b"file\tline\treason\ttext\n")
                    .with_context(context)?;
                slot.insert(file)
            }
        };
        let text = show(line);
        writeln!(file, "{name}\t{number}\t{reason}\t{text}").with_context(context)?;
        self.count += 1;
        Ok(())
    }

    /// Returns how many lines were added.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Returns where the file is, if there is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.file.is_some().then_some(self.path.as_path())
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if let Some(file) = &mut self.file {
            let path = self.path.display();
            file.flush()
                .with_context(|| format!("cannot write the reject file {path}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_appears_with_the_first_reject() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rejects.tsv");
        let mut rejects = Rejects::new(path.clone());
        rejects.flush().unwrap();
        assert!(!path.exists());
        rejects.add("a.log", 3, "no time", b"x\ty\xff").unwrap();
        rejects.flush().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "file\tline\treason\ttext\na.log\t3\tno time\tx\\x09y\\xff\n"
        );
        assert_eq!((rejects.count(), rejects.path()), (1, Some(path.as_path())));
    }
}
