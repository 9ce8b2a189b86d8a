//! The canonical event: what a call of any dialect becomes, and what schemas, tables and downstream readers
//! see.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use uuid::Uuid;

/// The six calls of the dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventType {
    /// Something happened.
    Track,
    /// Who someone is.
    Identify,
    /// A page was viewed.
    Page,
    /// A screen of an app was viewed.
    Screen,
    /// A user belongs to a group.
    Group,
    /// Two ids are one person.
    Alias,
}

impl EventType {
    /// Every type, in the order of declaration.
    pub const ALL: [Self; 6] = [
        Self::Track,
        Self::Identify,
        Self::Page,
        Self::Screen,
        Self::Group,
        Self::Alias,
    ];

    /// Returns the name used on the wire and in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Track => "track",
            Self::Identify => "identify",
            Self::Page => "page",
            Self::Screen => "screen",
            Self::Group => "group",
            Self::Alias => "alias",
        }
    }

    /// Returns the type of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A canonical event. Its JSON form (the one schemas see and `events.valid` holds) leaves out empty texts,
/// lists, maps and absent times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The client's id when that is a UUID, else a UUID (version 8) made from its hash.
    pub event_id: Uuid,
    /// The client's id as sent, when it was no UUID; else empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client_event_id: String,
    /// The source's id.
    pub source_id: String,
    /// The source's platform, such as `web`.
    pub platform: String,
    /// Which of the six calls it was.
    pub r#type: EventType,
    /// A track call's event in `snake_case`; for the other calls their type.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The event's name as sent; for page and screen calls the name of the page or screen.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name_sent: String,
    /// The schema it was validated by: name and version, such as `order_completed/1-0-0`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub schema_version: String,
    /// When it happened, Unix time in milliseconds: the client's time when that is believable, else
    /// `received_at_ms`.
    pub ts_ms: i64,
    /// The client's time, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ts_ms: Option<i64>,
    /// When the client says it sent the event, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at_ms: Option<i64>,
    /// When the collector received it, Unix milliseconds.
    pub received_at_ms: i64,
    /// The known user.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user_id: String,
    /// The id a device or browser gave its user.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub anonymous_id: String,
    /// The group of a group call, or the group the event happened in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group_id: String,
    /// The former id of an alias call.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub previous_id: String,
    /// Whose event it is, for counting: a hash of source and id. A decimal text in JSON, for readers whose
    /// numbers end at 2^53.
    #[serde(with = "decimal")]
    pub visitor_id: u64,
    /// The page's address as sent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub page_url: String,
    /// The page's host, lower case.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub page_host: String,
    /// The page's path, without query.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub page_path: String,
    /// The page's query, without the question mark.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub page_query: String,
    /// The page's title.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub page_title: String,
    /// The referrer's address as sent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub referrer: String,
    /// The referrer's host, lower case.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub referrer_host: String,
    /// Campaign source.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub utm_source: String,
    /// Campaign medium.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub utm_medium: String,
    /// Campaign name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub utm_campaign: String,
    /// Campaign term.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub utm_term: String,
    /// Campaign content.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub utm_content: String,
    /// The user agent as received.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub agent: String,
    /// Browser family, such as `Firefox`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub browser: String,
    /// Browser version, such as `128.0`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub browser_version: String,
    /// Operating system, such as `iOS`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub os: String,
    /// Operating system version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// Device model or family, such as `iPhone`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub device: String,
    /// Whether any bot rule holds.
    pub is_bot: bool,
    /// The bot rules that hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bot_reasons: Vec<String>,
    /// Language and region, such as `de-AT`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub locale: String,
    /// The visitor's address, reduced at the edge.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// The sending library.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub library: String,
    /// The sending library's version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub library_version: String,
    /// Properties; of identify and group calls the traits.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub properties: Map<String, Value>,
    /// What is left of the context once the fields above are taken out.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub context: Map<String, Value>,
    /// What was doubtful but did not keep the event out, such as `clock`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Event {
    /// Returns an event of that type whose other fields are all empty.
    pub fn new(kind: EventType) -> Self {
        Self {
            event_id: Uuid::nil(),
            client_event_id: String::new(),
            source_id: String::new(),
            platform: String::new(),
            r#type: kind,
            name: String::new(),
            name_sent: String::new(),
            schema_version: String::new(),
            ts_ms: 0,
            client_ts_ms: None,
            sent_at_ms: None,
            received_at_ms: 0,
            user_id: String::new(),
            anonymous_id: String::new(),
            group_id: String::new(),
            previous_id: String::new(),
            visitor_id: 0,
            page_url: String::new(),
            page_host: String::new(),
            page_path: String::new(),
            page_query: String::new(),
            page_title: String::new(),
            referrer: String::new(),
            referrer_host: String::new(),
            utm_source: String::new(),
            utm_medium: String::new(),
            utm_campaign: String::new(),
            utm_term: String::new(),
            utm_content: String::new(),
            agent: String::new(),
            browser: String::new(),
            browser_version: String::new(),
            os: String::new(),
            os_version: String::new(),
            device: String::new(),
            is_bot: false,
            bot_reasons: Vec::new(),
            locale: String::new(),
            address: String::new(),
            library: String::new(),
            library_version: String::new(),
            properties: Map::new(),
            context: Map::new(),
            warnings: Vec::new(),
        }
    }
}

mod decimal {
    //! A `u64` as decimal text.

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde's `with` hands fields over by reference"
    )]
    pub(super) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_json_form_leaves_out_what_is_empty_and_reads_back() {
        let mut event = Event::new(EventType::Track);
        event.source_id = "web".to_owned();
        event.visitor_id = u64::MAX;
        event.properties = serde_json::from_value(json!({"total": 1.5, "none": null})).unwrap();
        let value = serde_json::to_value(&event).unwrap();
        assert_eq!(
            value,
            json!({"event_id": "00000000-0000-0000-0000-000000000000", "source_id": "web", "platform": "", "type": "track", "ts_ms": 0,
                "received_at_ms": 0, "visitor_id": "18446744073709551615", "is_bot": false, "properties": {"total": 1.5, "none": null}})
        );
        assert_eq!(serde_json::from_value::<Event>(value).unwrap(), event);
    }

    #[test]
    fn every_type_has_its_name() {
        for kind in EventType::ALL {
            assert_eq!(EventType::from_name(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert_eq!(EventType::from_name("Track"), None);
    }
}
