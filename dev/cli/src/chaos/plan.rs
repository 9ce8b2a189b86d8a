//! Which fault follows which: a function of the seed, so that a run can be repeated. No clock, no stack.

use std::fmt;
use std::time::Duration;

use weir_stack::faults::POINTS;

use crate::demo::random::Random;

/// A fault. Every processor that is started in its course has the schema set of its [`Step`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// SIGKILL whatever it is doing.
    KillProcessor,
    /// SIGKILL at an exact step.
    KillProcessorAt {
        /// The step.
        point: &'static str,
        /// The how-manieth time one of its workers comes there.
        nth: u64,
    },
    /// SIGKILL while ClickHouse works on its insert.
    KillProcessorInsideInsert,
    /// A view of `events` throws; SIGKILL once it did, and the view is mended.
    ThrowingView,
    /// SIGTERM.
    StopProcessor,
    /// A second processor takes over from one that is frozen past its session timeout and wakes later.
    Zombie {
        /// The step to freeze it at; `None` is wherever it is.
        point: Option<&'static str>,
        /// How long both are awake.
        both: Duration,
        /// Whether the one that slept stays at the end, rather than its successor.
        sleeper_stays: bool,
    },
    /// SIGKILL.
    KillIngest {
        /// How long it is away.
        away: Duration,
    },
    /// SIGKILL.
    KillKafka {
        /// How long it is away.
        away: Duration,
    },
    /// SIGSTOP, then SIGCONT.
    FreezeKafka {
        /// How long it is frozen.
        away: Duration,
    },
    /// SIGKILL.
    KillClickHouse {
        /// How long it is away.
        away: Duration,
    },
    /// SIGKILL while it works on an insert, and then the processor.
    KillClickHouseInsideInsert {
        /// How long it is away.
        away: Duration,
    },
    /// SIGSTOP, then SIGCONT.
    FreezeClickHouse {
        /// How long it is frozen.
        away: Duration,
    },
}

/// One fault and what comes before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Step {
    /// How long everything runs undisturbed before.
    pub(crate) pause: Duration,
    /// The schema set of processors started from here on: 0 or 1.
    pub(crate) schemas: usize,
    /// The fault.
    pub(crate) fault: Fault,
}

/// The endless sequence of a seed.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    random: Random,
    mean_pause: Duration,
}

impl Plan {
    /// Begins the sequence; pauses go from 0 to twice the mean.
    pub(crate) fn new(seed: u64, mean_pause: Duration) -> Self {
        Self {
            random: Random::new(seed),
            mean_pause,
        }
    }

    fn time(&mut self, from_ms: u64, to_ms: u64) -> Duration {
        Duration::from_millis(from_ms + self.random.below(to_ms - from_ms))
    }

    fn fault(&mut self) -> Fault {
        match self.random.below(100) {
            0..14 => Fault::KillProcessor,
            14..38 => Fault::KillProcessorAt {
                point: self.random.pick(&POINTS),
                nth: 1 + self.random.below(3),
            },
            38..56 => Fault::KillProcessorInsideInsert,
            56..61 => Fault::ThrowingView,
            61..65 => Fault::StopProcessor,
            65..73 => Fault::Zombie {
                point: self.random.percent(60).then(|| self.random.pick(&POINTS)),
                both: self.time(500, 5_000),
                sleeper_stays: self.random.percent(50),
            },
            73..79 => Fault::KillIngest {
                away: self.time(0, 2_000),
            },
            79..84 => Fault::KillKafka {
                away: self.time(0, 5_000),
            },
            84..88 => Fault::FreezeKafka {
                away: self.time(500, 10_000),
            },
            88..92 => Fault::KillClickHouse {
                away: self.time(0, 5_000),
            },
            92..96 => Fault::KillClickHouseInsideInsert {
                away: self.time(0, 3_000),
            },
            _ => Fault::FreezeClickHouse {
                away: self.time(500, 10_000),
            },
        }
    }
}

impl Iterator for Plan {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let longest = u64::try_from(self.mean_pause.as_millis()).unwrap_or(u64::MAX / 2) * 2;
        Some(Step {
            pause: self.time(0, longest.max(1)),
            schemas: usize::from(self.random.percent(50)),
            fault: self.fault(),
        })
    }
}

impl Fault {
    /// Names its kind, for counting.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::KillProcessor => "kill processor",
            Self::KillProcessorAt { .. } => "kill processor at a step",
            Self::KillProcessorInsideInsert => "kill processor inside an insert",
            Self::ThrowingView => "throwing view",
            Self::StopProcessor => "stop processor",
            Self::Zombie { .. } => "freeze processor past its session",
            Self::KillIngest { .. } => "kill ingest",
            Self::KillKafka { .. } => "kill Kafka",
            Self::FreezeKafka { .. } => "freeze Kafka",
            Self::KillClickHouse { .. } => "kill ClickHouse",
            Self::KillClickHouseInsideInsert { .. } => "kill ClickHouse inside an insert",
            Self::FreezeClickHouse { .. } => "freeze ClickHouse",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.kind())?;
        match self {
            Self::KillProcessor
            | Self::KillProcessorInsideInsert
            | Self::ThrowingView
            | Self::StopProcessor => Ok(()),
            Self::KillProcessorAt { point, nth } => write!(formatter, ": {point}, time {nth}"),
            Self::Zombie {
                point,
                both,
                sleeper_stays,
            } => {
                let at = point.unwrap_or("anywhere");
                let stays = if *sleeper_stays {
                    "it"
                } else {
                    "its successor"
                };
                write!(
                    formatter,
                    ": at {at}, awake beside its successor for {both:?}, {stays} stays"
                )
            }
            Self::KillIngest { away }
            | Self::KillKafka { away }
            | Self::FreezeKafka { away }
            | Self::KillClickHouse { away }
            | Self::KillClickHouseInsideInsert { away }
            | Self::FreezeClickHouse { away } => write!(formatter, " for {away:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn steps(seed: u64) -> Vec<Step> {
        Plan::new(seed, Duration::from_secs(2)).take(300).collect()
    }

    #[test]
    fn a_seed_gives_one_plan_and_another_seed_another() {
        assert_eq!(steps(1), steps(1));
        assert_ne!(steps(1), steps(2));
    }

    #[test]
    fn a_long_plan_has_every_kind_of_fault_and_both_schema_sets() {
        let steps = steps(3);
        let kinds: BTreeSet<&str> = steps.iter().map(|step| step.fault.kind()).collect();
        assert_eq!(kinds.len(), 12, "{kinds:?}");
        let sets: BTreeSet<usize> = steps.iter().map(|step| step.schemas).collect();
        assert_eq!(sets.len(), 2);
        assert!(steps.iter().all(|step| step.pause < Duration::from_secs(4)));
    }
}
