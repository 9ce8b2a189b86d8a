//! Holds a stack together until it is told to stop: a child that dies is started again, one that was asked to end stays ended.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Result;
use weir_stack::{Service, Stack, progress};

use super::place::{self, Found};
use super::record::{Record, remove};

/// How often the children are looked at.
const INTERVAL: Duration = Duration::from_millis(250);
/// Pause before a child is started again; doubled each time up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A child that ran this long begins again with the shortest pause.
const HEALTHY: Duration = Duration::from_secs(60);

/// A stack that is watched.
#[derive(Debug)]
pub(crate) struct Supervisor {
    stack: Stack,
    children: BTreeMap<String, Child>,
}

#[derive(Debug)]
struct Child {
    started: Instant,
    pause: Duration,
    /// When to start it again; `None` while it runs or shall stay ended.
    due: Option<Instant>,
    seen_ended: Option<u32>,
}

impl Supervisor {
    /// Takes over a running stack.
    pub(crate) fn new(stack: Stack) -> Self {
        Self {
            stack,
            children: BTreeMap::new(),
        }
    }

    /// Returns the stack.
    pub(crate) fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Writes down what runs now, for `status`, `down` and `weir`'s commands.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(crate) fn publish(&self) -> Result<Found> {
        let description = self.stack.describe()?;
        description.write(&self.stack.stack_file())?;
        Record::running(&description)?.write(self.stack.data())?;
        place::announce(&description)
    }

    /// Watches the children until a signal comes.
    ///
    /// # Errors
    /// The state of a child cannot be read, or a file cannot be written.
    pub(crate) fn watch(&mut self, signals: &Receiver<()>) -> Result<()> {
        loop {
            match signals.recv_timeout(INTERVAL) {
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => self.look()?,
            }
        }
    }

    fn look(&mut self) -> Result<()> {
        let mut changed = false;
        let children = &mut self.children;
        self.stack.each_service(|service| {
            let child = children
                .entry(service.name().to_owned())
                .or_insert_with(Child::new);
            changed |= child.look(service)?;
            Ok(())
        })?;
        if changed {
            self.publish()?;
        }
        Ok(())
    }

    /// Ends everything in order and removes what was written down.
    ///
    /// # Errors
    /// Something had to be killed.
    pub(crate) fn stop(self) -> Result<()> {
        let started = Instant::now();
        let data = self.stack.data().to_path_buf();
        let stopped = self.stack.stop();
        drop(self.stack);
        clean(&data)?;
        stopped?;
        progress::step("stopped", started);
        Ok(())
    }
}

/// Removes what says that a stack runs in the data directory.
///
/// # Errors
/// A file cannot be removed.
pub(crate) fn clean(data: &Path) -> Result<()> {
    place::withdraw(data)?;
    remove(&data.join("stack.json"))?;
    Record::remove(data)
}

impl Child {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            pause: SHORTEST_PAUSE,
            due: None,
            seen_ended: None,
        }
    }

    /// Returns whether the child was started again.
    fn look(&mut self, service: &Service) -> Result<bool> {
        let (name, pid) = (service.name(), service.pid());
        let Some(status) = service.ended()? else {
            return Ok(false);
        };
        if self.seen_ended != pid {
            self.seen_ended = pid;
            let how = service.ended_text()?.unwrap_or_default();
            if status.success() {
                progress::line(&format!("{name} was asked to end and did; it stays ended"));
                return Ok(false);
            }
            if self.started.elapsed() > HEALTHY {
                self.pause = SHORTEST_PAUSE;
            }
            progress::line(&format!(
                "{name} ended with {how}; it is started again in {:?}. The end of {}:\n{}",
                self.pause,
                service.log().display(),
                service.log_tail()
            ));
            self.due = Some(Instant::now() + self.pause);
        }
        if self.due.is_none_or(|due| due > Instant::now()) {
            return Ok(false);
        }
        self.due = None;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.started = Instant::now();
        service.spawn()?;
        progress::line(&format!(
            "{name} runs again, as process {}",
            service.pid().unwrap_or_default()
        ));
        Ok(true)
    }
}
