//! Tests of the stack on real Kafka, the real engine and real processes.

mod kafka;
