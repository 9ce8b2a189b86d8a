//! How many statements run at once, how many wait, and which ids they have.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::exception::{Code, Exception};

/// Places for KILL, which must get through when all others are taken.
const KILL_PLACES: usize = 2;

/// The doorkeeper.
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    kill_places: Arc<Semaphore>,
    connections: u32,
    waiting: AtomicUsize,
    max_waiting: usize,
    ids: Mutex<HashSet<String>>,
}

/// The right to use an id; given up when dropped.
pub(crate) struct Id {
    admission: Arc<Admission>,
    id: String,
}

/// The right to run a statement; given up when dropped.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// Which places a statement takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// Those of all.
    Common,
    /// Those kept free for KILL.
    Kill,
}

impl Admission {
    /// Lets `connections` statements run and `max_waiting` more wait.
    pub(crate) fn new(connections: u32, max_waiting: usize) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(connections as usize)),
            kill_places: Arc::new(Semaphore::new(KILL_PLACES)),
            connections,
            waiting: AtomicUsize::new(0),
            max_waiting,
            ids: Mutex::default(),
        })
    }

    /// Takes an id.
    ///
    /// # Errors
    /// A statement with this id waits or runs.
    pub(crate) fn take_id(self: &Arc<Self>, id: &str) -> Result<Id, Exception> {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if !ids.insert(id.to_owned()) {
            let text = format!("Query with id = {id} is already running");
            return Err(Exception::new(Code::QueryWithSameIdIsAlreadyRunning, text));
        }
        Ok(Id {
            admission: Arc::clone(self),
            id: id.to_owned(),
        })
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// Too many wait already, or the server ends.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the queue.
    pub(crate) async fn enter(&self, entrance: Entrance) -> Result<Place, Exception> {
        let places = match entrance {
            Entrance::Common => &self.places,
            Entrance::Kill => &self.kill_places,
        };
        if let Ok(permit) = Arc::clone(places).try_acquire_owned() {
            return Ok(Place { _permit: permit });
        }
        let _waiting = Waiting::new(self)?;
        let permit = Arc::clone(places)
            .acquire_owned()
            .await
            .map_err(|_| Exception::new(Code::QueryWasCancelled, "The server is shutting down"))?;
        Ok(Place { _permit: permit })
    }

    /// Lets nobody in any more; those who wait are turned away.
    pub(crate) fn close(&self) {
        self.places.close();
        self.kill_places.close();
    }
}

struct Waiting<'a>(&'a Admission);

impl<'a> Waiting<'a> {
    fn new(admission: &'a Admission) -> Result<Self, Exception> {
        let before = admission.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Self(admission);
        if before < admission.max_waiting {
            return Ok(waiting);
        }
        let text = format!(
            "Too many simultaneous queries: {} run and {} wait. Maximum: {} and {}",
            admission.connections, before, admission.connections, admission.max_waiting
        );
        Err(Exception::new(Code::TooManySimultaneousQueries, text))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Id {
    fn drop(&mut self) {
        let mut ids = self
            .admission
            .ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        ids.remove(&self.id);
    }
}
