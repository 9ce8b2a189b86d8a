//! What is known of Kafka, and what that means for records.

/// What is known of Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Status {
    /// It does not answer.
    Away(String),
    /// It answers, and lacks these topics.
    Up { missing: Vec<&'static str> },
}

impl Status {
    /// Returns why records for a topic have no chance.
    pub(super) fn obstacle(&self, topic: &str) -> Option<String> {
        match self {
            Status::Away(reason) => Some(format!("Kafka cannot be reached: {reason}")),
            Status::Up { missing } => missing.contains(&topic).then(|| missing_text(topic)),
        }
    }

    /// Returns why not every record has a chance.
    pub(super) fn any_obstacle(&self) -> Option<String> {
        match self {
            Status::Away(reason) => Some(format!("Kafka cannot be reached: {reason}")),
            Status::Up { missing } if missing.is_empty() => None,
            Status::Up { missing } => Some(missing_text(&missing.join(", "))),
        }
    }
}

fn missing_text(topics: &str) -> String {
    format!("topic {topics} does not exist; `weir topics apply` creates it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_that_are_missing_are_named() {
        let up = Status::Up {
            missing: vec!["events.ios"],
        };
        assert_eq!(up.obstacle("events.web"), None);
        assert!(
            up.obstacle("events.ios")
                .unwrap()
                .contains("weir topics apply")
        );
        assert!(up.any_obstacle().unwrap().contains("events.ios"));
        let away = Status::Away("no route".to_owned());
        assert_eq!(
            away.obstacle("events.web").as_deref(),
            Some("Kafka cannot be reached: no route")
        );
    }
}
