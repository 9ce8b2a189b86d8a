//! Whether a canonical event is what the schemas say it is.
//!
//! Two schemas look at it: the one of its call, which every event must hold to, and, for a track call, the
//! one of its own name if there is one. So an event's own schema need only say what is particular to it.

use crate::decode::Refusal;
use crate::event::{Event, EventType};
use crate::failure::Reason;
use serde_json::{Map, Value};
use std::mem::take;
use weir_schemas::{FieldError, Registry, Schema};

/// Checks an event against its schemas and notes in it which one was its own.
pub(crate) fn validate(event: &mut Event, registry: &Registry) -> Result<(), Refusal> {
    let kind = event.r#type;
    let Some(call) = registry.latest(kind.as_str()) else {
        let message = format!("there is no schema for {kind} calls");
        return Err(refusal(
            event,
            Reason::SchemaMissing,
            vec![FieldError::new("/type", "schema", message)],
        ));
    };
    let own = own_schema(event, registry);
    let named = own.unwrap_or(call);
    event.schema_version = format!("{}/{}", named.name(), named.version());

    let instance = Instance::lend(event);
    let mut errors = call.validate(&instance.value);
    if let Some(own) = own {
        errors.extend(own.validate(&instance.value));
    }
    instance.give_back(event);
    if errors.is_empty() {
        return Ok(());
    }
    errors.truncate(Registry::MAX_ERRORS);
    for error in &mut errors {
        if let Some(sent) = sent_path(kind, &error.path) {
            error.message = format!("{} (sent as {sent})", error.message);
        }
    }
    Err(refusal(event, Reason::SchemaInvalid, errors))
}

/// The names of the six calls are theirs alone: a track call named "Page" is still a track call.
fn own_schema<'a>(event: &Event, registry: &'a Registry) -> Option<&'a Schema> {
    let named = event.r#type == EventType::Track && EventType::from_name(&event.name).is_none();
    named.then(|| registry.latest(&event.name)).flatten()
}

fn refusal(event: &Event, reason: Reason, errors: Vec<FieldError>) -> Refusal {
    Refusal {
        reason,
        errors,
        name: event.name.clone(),
    }
}

/// An event in its JSON form. Its properties and context, which make up most of it, are lent by the event,
/// not copied.
struct Instance {
    value: Value,
}

impl Instance {
    fn lend(event: &mut Event) -> Self {
        let properties = take(&mut event.properties);
        let context = take(&mut event.context);
        let mut value = serde_json::to_value(&*event).unwrap_or_default();
        if let Value::Object(map) = &mut value {
            for (key, lent) in [("properties", properties), ("context", context)] {
                if !lent.is_empty() {
                    map.insert(key.to_owned(), Value::Object(lent));
                }
            }
        }
        Self { value }
    }

    fn give_back(mut self, event: &mut Event) {
        let mut take_back = |key: &str| match self.value.get_mut(key).map(Value::take) {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        };
        event.properties = take_back("properties");
        event.context = take_back("context");
    }
}

/// Returns the pointer under which a client sent what is at the canonical pointer `path`, where the two
/// differ and that is known.
fn sent_path(kind: EventType, path: &str) -> Option<String> {
    let has_traits = matches!(kind, EventType::Identify | EventType::Group);
    let page = if kind == EventType::Page {
        "/properties"
    } else {
        "/context/page"
    };
    let inner = path.strip_prefix('/')?;
    let (field, rest) = inner.split_once('/').unwrap_or((inner, ""));
    let sent = match field {
        "properties" if has_traits => "/traits".to_owned(),
        "name" if kind == EventType::Track => "/event".to_owned(),
        "name_sent" => if kind == EventType::Track {
            "/event"
        } else {
            "/name"
        }
        .to_owned(),
        "client_event_id" => "/messageId".to_owned(),
        "user_id" => "/userId".to_owned(),
        "anonymous_id" => "/anonymousId".to_owned(),
        "previous_id" => "/previousId".to_owned(),
        "group_id" if kind == EventType::Group => "/groupId".to_owned(),
        "group_id" => "/context/groupId".to_owned(),
        "client_ts_ms" => "/timestamp".to_owned(),
        "sent_at_ms" => "/sentAt".to_owned(),
        "page_url" | "page_path" | "page_title" => format!("{page}/{}", &field["page_".len()..]),
        "page_query" => format!("{page}/search"),
        "referrer" => format!("{page}/referrer"),
        "utm_source" | "utm_medium" | "utm_term" | "utm_content" => {
            format!("/context/campaign/{}", &field["utm_".len()..])
        }
        "utm_campaign" => "/context/campaign/name".to_owned(),
        "os" => "/context/os/name".to_owned(),
        "os_version" => "/context/os/version".to_owned(),
        "device" => "/context/device/model".to_owned(),
        "locale" => "/context/locale".to_owned(),
        "library" => "/context/library/name".to_owned(),
        "library_version" => "/context/library/version".to_owned(),
        _ => return None,
    };
    Some(if rest.is_empty() {
        sent
    } else {
        format!("{sent}/{rest}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(kind: EventType) -> Event {
        let mut event = Event::new(kind);
        event.source_id = "shop".to_owned();
        event.platform = "web".to_owned();
        event.name = kind.as_str().to_owned();
        event.user_id = "u".to_owned();
        event
    }

    #[test]
    fn schemas_see_the_json_form_and_the_event_gets_back_what_it_lent() {
        let mut track = event(EventType::Track);
        for properties in [json!({}), json!({"a": {"b": [1, null]}})] {
            track.properties = serde_json::from_value(properties).unwrap();
            let before = track.clone();
            let instance = Instance::lend(&mut track);
            assert_eq!(instance.value, serde_json::to_value(&before).unwrap());
            instance.give_back(&mut track);
            assert_eq!(track, before);
        }
    }

    #[test]
    fn without_a_schema_for_the_call_there_is_no_event() {
        let registry = Registry::embedded().unwrap();
        for kind in EventType::ALL {
            assert!(registry.latest(kind.as_str()).is_some(), "{kind}");
        }
        let dir = std::env::temp_dir().join(format!("weir-event-validate-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("events/page")).unwrap();
        let schema = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "weir:///events/page/2-0-0.json"});
        std::fs::write(dir.join("events/page/2-0-0.json"), schema.to_string()).unwrap();
        let registry = Registry::from_dir(&dir);
        std::fs::remove_dir_all(&dir).unwrap();
        let registry = registry.unwrap();

        let refusal = validate(&mut event(EventType::Track), &registry).unwrap_err();
        assert_eq!(
            (refusal.reason, &*refusal.errors[0].message),
            (Reason::SchemaMissing, "there is no schema for track calls")
        );
        let mut page = event(EventType::Page);
        assert_eq!(validate(&mut page, &registry), Ok(()));
        assert_eq!(page.schema_version, "page/2-0-0");
    }

    #[test]
    fn pointers_are_translated_where_client_and_event_differ() {
        let cases = [
            (
                EventType::Identify,
                "/properties/address/city",
                Some("/traits/address/city"),
            ),
            (EventType::Track, "/properties/total", None),
            (EventType::Track, "/name", Some("/event")),
            (EventType::Screen, "/name_sent", Some("/name")),
            (EventType::Group, "/group_id", Some("/groupId")),
            (EventType::Track, "/group_id", Some("/context/groupId")),
            (EventType::Page, "/page_path", Some("/properties/path")),
            (EventType::Track, "/page_path", Some("/context/page/path")),
            (
                EventType::Track,
                "/utm_campaign",
                Some("/context/campaign/name"),
            ),
            (EventType::Track, "/context/screen/width", None),
            (EventType::Track, "/", None),
            (EventType::Track, "", None),
        ];
        for (kind, path, expected) in cases {
            assert_eq!(sent_path(kind, path).as_deref(), expected, "{path}");
        }
    }
}
