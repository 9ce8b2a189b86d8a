//! Health: what a process depends on and does, by component, with reasons in words.
//!
//! *Ready* says that the process can do its work; *live* that its loops still turn. Only the second
//! is a reason to restart it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::time::boot_ms;

/// The health of a process; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// `None` is ready, `Some` the reason why not.
    components: BTreeMap<String, Option<String>>,
    heartbeats: BTreeMap<String, Heartbeat>,
}

/// A loop's sign of life; clones share it.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    last_ms: Arc<AtomicU64>,
    max_age: Duration,
}

/// What `/health/ready` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthReport {
    /// `ready` or `not ready`, `live` or `not live`.
    pub status: &'static str,
    /// Each component with its reason.
    pub components: BTreeMap<String, ComponentReport>,
}

/// The state of one component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentReport {
    /// Whether it is well.
    pub ok: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Health {
    /// Creates a health whose `components` are not ready yet, with the reason `starting`.
    #[must_use]
    pub fn new(components: &[&str]) -> Self {
        let health = Self::default();
        for component in components {
            health.not_ready(component, "starting");
        }
        health
    }

    /// Marks a component as ready.
    pub fn ready(&self, component: &str) {
        self.lock().components.insert(component.to_owned(), None);
    }

    /// Marks a component as not ready, with a reason that helps an operator.
    pub fn not_ready(&self, component: &str, reason: impl Into<String>) {
        let reason = Some(reason.into());
        self.lock().components.insert(component.to_owned(), reason);
    }

    /// Forgets a component, as when a partition goes to another process.
    pub fn remove(&self, component: &str) {
        self.lock().components.remove(component);
    }

    /// Registers a loop that must beat at least once in `max_age`, or the process is not live.
    #[must_use]
    pub fn heartbeat(&self, name: &str, max_age: Duration) -> Heartbeat {
        let heartbeat = Heartbeat {
            last_ms: Arc::new(AtomicU64::new(boot_ms())),
            max_age,
        };
        self.lock()
            .heartbeats
            .insert(name.to_owned(), heartbeat.clone());
        heartbeat
    }

    /// Tells whether every component is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.lock().components.values().all(Option::is_none)
    }

    /// Returns the readiness of every component.
    #[must_use]
    pub fn readiness(&self) -> HealthReport {
        let components = self.lock().components.clone();
        report("ready", "not ready", components)
    }

    /// Returns the liveness of every registered loop.
    #[must_use]
    pub fn liveness(&self) -> HealthReport {
        let now = boot_ms();
        let late = |heartbeat: &Heartbeat| {
            let age = now.saturating_sub(heartbeat.last_ms.load(Ordering::Relaxed));
            (Duration::from_millis(age) > heartbeat.max_age)
                .then(|| format!("no sign of life for {} s", age / 1000))
        };
        let shared = self.lock();
        let beats = shared.heartbeats.iter();
        let components = beats.map(|(name, beat)| (name.clone(), late(beat)));
        report("live", "not live", components.collect())
    }

    // A poisoned lock only means that a panic happened elsewhere; the map is whole.
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heartbeat {
    /// Records that the loop turned.
    pub fn beat(&self) {
        self.last_ms.store(boot_ms(), Ordering::Relaxed);
    }
}

impl HealthReport {
    /// Tells whether every component is well.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.components.values().all(|component| component.ok)
    }
}

fn report(
    good: &'static str,
    bad: &'static str,
    components: BTreeMap<String, Option<String>>,
) -> HealthReport {
    let ok = components.values().all(Option::is_none);
    let component = |reason: Option<String>| ComponentReport {
        ok: reason.is_none(),
        reason,
    };
    HealthReport {
        status: if ok { good } else { bad },
        components: components
            .into_iter()
            .map(|(name, reason)| (name, component(reason)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_red_until_it_reports() {
        let health = Health::new(&["kafka", "clickhouse"]);
        assert!(!health.is_ready());
        health.ready("kafka");
        assert!(!health.is_ready());
        assert_eq!(
            health.readiness().components["clickhouse"]
                .reason
                .as_deref(),
            Some("starting")
        );
        health.ready("clickhouse");
        assert!(health.is_ready());
        health.not_ready("events.web/3", "table events is missing");
        assert!(!health.is_ready());
        health.remove("events.web/3");
        assert!(health.readiness().is_ok());
    }

    #[test]
    fn a_loop_that_stops_makes_the_process_not_live() {
        let health = Health::new(&[]);
        let heartbeat = health.heartbeat("consume", Duration::from_secs(60));
        assert!(health.liveness().is_ok());
        heartbeat
            .last_ms
            .store(boot_ms().saturating_sub(61_000), Ordering::Relaxed);
        let report = health.liveness();
        // A machine that booted within the minute has no such past.
        assert!(!report.is_ok() || boot_ms() < 61_000, "{report:?}");
        heartbeat.beat();
        assert!(health.liveness().is_ok());
    }
}
