//! From an envelope and a client's call to the canonical event.
//!
//! Each module owns one concern: [`name`], [`time`], [`page`], [`agent`], [`identity`], [`properties`]. What
//! is of the wrong type where only one type makes sense is refused, all of it at once; what is merely odd
//! becomes a warning. Whether the values make sense together is for the schemas to say.

pub(crate) mod agent;
mod fields;
mod identity;
pub(crate) mod name;
mod page;
mod properties;
pub mod time;

use crate::decode::{Call, Refusal, conflict};
use crate::envelope::{Envelope, KeyClass};
use crate::event::{Event, EventType};
use crate::failure::Reason;
use agent::{Agent, Agents};
use fields::{Members, give_back, take_object, take_text};
use identity::{EventIdForm, VisitorKind};
use page::Addresses;
use properties::Leftover;
use serde_json::Value;
use weir_schemas::FieldError;

/// Warnings: the collector's, and those this stage adds.
pub mod warning {
    /// The collector's: the event had no id and nothing to make one of, so a repeat is another event.
    pub const NO_EVENT_ID: &str = "no_event_id";
    /// The collector's: the event named no visitor, and who it is depends on when and from where it was sent.
    /// A repeat from another network or another day may not be recognised as one.
    pub const NO_VISITOR_ID: &str = "no_visitor_id";
    /// The client's time was unreadable or unbelievable; `ts_ms` is when the event was received.
    pub const CLOCK: &str = "clock";
    /// Some object had two members of one name; the last one was kept.
    pub const DUPLICATE_KEY: &str = "duplicate_key";
    /// The page's or the referrer's address could not be read.
    pub const ADDRESS: &str = "unreadable_url";
    /// The call had members the dialect does not know; they are in `context.unknown_members`.
    pub const UNKNOWN_MEMBER: &str = "unknown_member";
}

/// Bot rules, as they appear in `bot_reasons`.
pub mod bot {
    /// The user agent names a crawler.
    pub const SPIDER: &str = "ua_spider";
    /// There is no user agent.
    pub const NO_AGENT: &str = "no_agent";
}

/// Returns the canonical event of a call, not yet validated.
pub(crate) fn normalise(
    envelope: &Envelope<'_>,
    kind: EventType,
    call: Call,
    agents: &Agents,
) -> Result<Event, Refusal> {
    let Call {
        fields,
        duplicate_keys,
        dotted_keys,
    } = call;
    let mut members = Members {
        map: fields,
        errors: Vec::new(),
    };
    let mut event = Event::new(kind);
    event.received_at_ms = envelope.received_at_ms;
    event.source_id = envelope.source.clone().into_owned();
    event.platform = envelope.platform.clone().into_owned();
    event.warnings = envelope
        .warnings
        .iter()
        .map(|warning| warning.clone().into_owned())
        .collect();

    let (event_id, form) = identity::event_id(&envelope.id);
    event.event_id = event_id;
    if form == EventIdForm::Hashed {
        event.client_event_id = envelope.id.clone().into_owned();
    }
    event.context = members.object("context");
    let name = properties::name(kind, &mut members);
    event.properties = properties::properties(kind, &mut members, &mut event.context, &name.sent);
    event.name = name.name;
    event.name_sent = name.sent;

    fill_ids(&mut event, &mut members, envelope);
    fill_times(&mut event, &mut members, envelope);
    if page::fill(&mut event) == Addresses::Unreadable {
        event.warn(warning::ADDRESS);
    }
    fill_agent(&mut event, envelope, agents);
    fill_device_and_library(&mut event);
    if properties::leftover(&mut members, &mut event.context) == Leftover::Unknown {
        event.warn(warning::UNKNOWN_MEMBER);
    }
    if duplicate_keys {
        event.warn(warning::DUPLICATE_KEY);
    }
    let mut refusal = Refusal {
        reason: Reason::Protocol,
        errors: members.errors,
        name: event.name.clone(),
    };
    if refusal.errors.is_empty() && dotted_keys {
        refusal.reason = Reason::Decode;
        refusal.errors = conflicts(&event);
    }
    if refusal.errors.is_empty() {
        Ok(event)
    } else {
        Err(refusal)
    }
}

fn fill_ids(event: &mut Event, members: &mut Members, envelope: &Envelope<'_>) {
    event.user_id = members.id("userId");
    event.anonymous_id = members.id("anonymousId");
    event.previous_id = members.id("previousId");
    event.group_id = members.id("groupId");
    if event.group_id.is_empty() {
        event.group_id = take_text(&mut event.context, "groupId");
    }
    let visitor = envelope.visitor.as_deref().unwrap_or_default();
    let known = [
        (VisitorKind::Anonymous, event.anonymous_id.as_str()),
        (VisitorKind::User, event.user_id.as_str()),
        (VisitorKind::Cookieless, visitor),
    ];
    match known.into_iter().find(|(_, id)| !id.is_empty()) {
        Some((kind, id)) => event.visitor_id = identity::visitor_id(&event.source_id, kind, id),
        None if members.errors.is_empty() => {
            let message = "nobody this event belongs to: send anonymousId or userId";
            members
                .errors
                .push(FieldError::new("/anonymousId", "required", message));
        }
        None => {}
    }
}

fn fill_times(event: &mut Event, members: &mut Members, envelope: &Envelope<'_>) {
    let sent = [members.time("timestamp"), members.time("originalTimestamp")];
    let claimed = sent.into_iter().flatten().next();
    event.client_ts_ms = claimed.as_ref().and_then(time::from_json);
    let own_sent_at = members.time("sentAt");
    event.sent_at_ms = match &envelope.sent_at {
        Some(text) => time::parse(text),
        None => own_sent_at.as_ref().and_then(time::from_json),
    };
    let settled = time::settle(event.client_ts_ms, event.received_at_ms, envelope.key_class);
    event.ts_ms = settled.ts_ms;
    if settled.doubted || (claimed.is_some() && event.client_ts_ms.is_none()) {
        event.warn(warning::CLOCK);
    }
}

/// Whose user agent the event's is.
#[derive(PartialEq, Eq)]
enum AgentOwner {
    Visitor,
    /// A backend that sends on behalf of visitors, and does not say with which agent they came.
    Backend,
}

/// Only a server key may say by which agent and address the visitor came. The agent of the backend itself is
/// kept, but says nothing about the visitor: no browser, no robot.
fn fill_agent(event: &mut Event, envelope: &Envelope<'_>, agents: &Agents) {
    let mut owner = AgentOwner::Visitor;
    event.agent = envelope.agent.clone().into_owned();
    event.address = envelope.address.clone().into_owned();
    if envelope.key_class == KeyClass::Server {
        if event.context.get("userAgent").is_some_and(Value::is_string) {
            event.agent = take_text(&mut event.context, "userAgent");
        } else if !event.agent.is_empty() {
            owner = AgentOwner::Backend;
        }
        if event.context.get("ip").is_some_and(Value::is_string) {
            event.address = take_text(&mut event.context, "ip");
        }
    } else {
        let agent = event.agent.clone();
        fields::take_same(&mut event.context, "userAgent", &agent);
    }
    if event.agent.trim().is_empty() {
        event.bot_reasons.push(bot::NO_AGENT.to_owned());
    } else if owner == AgentOwner::Visitor {
        let parsed = agents.parse(&event.agent);
        event.describe(&parsed);
    }
    event.is_bot = !event.bot_reasons.is_empty();
}

/// Apps know their device better than their agent does, so what they say of it wins.
fn fill_device_and_library(event: &mut Event) {
    let mut os = take_object(&mut event.context, "os");
    let name = take_text(&mut os, "name");
    if !name.is_empty() {
        event.os = name;
        event.os_version = take_text(&mut os, "version");
    }
    give_back(&mut event.context, "os", os);
    let mut device = take_object(&mut event.context, "device");
    let model = take_text(&mut device, "model");
    if !model.is_empty() {
        event.device = model;
    }
    give_back(&mut event.context, "device", device);
    let mut library = take_object(&mut event.context, "library");
    event.library = take_text(&mut library, "name");
    event.library_version = take_text(&mut library, "version");
    give_back(&mut event.context, "library", library);
    event.locale = take_text(&mut event.context, "locale");
}

/// Returns what the store's JSON columns would refuse, two values for one path, under the names the client
/// used.
fn conflicts(event: &Event) -> Vec<FieldError> {
    let properties = match event.r#type {
        EventType::Identify | EventType::Group => "traits",
        EventType::Track | EventType::Page | EventType::Screen | EventType::Alias => "properties",
    };
    let columns = [(&event.properties, properties), (&event.context, "context")];
    columns
        .into_iter()
        .filter_map(|(map, root)| conflict(map, root))
        .collect()
}

impl Event {
    /// Adds a warning, once.
    fn warn(&mut self, warning: &str) {
        if !self.warnings.iter().any(|known| known == warning) {
            self.warnings.push(warning.to_owned());
        }
    }

    fn describe(&mut self, agent: &Agent) {
        self.browser.clone_from(&agent.browser);
        self.browser_version.clone_from(&agent.browser_version);
        self.os.clone_from(&agent.os);
        self.os_version.clone_from(&agent.os_version);
        self.device.clone_from(&agent.device);
        if agent.is_spider {
            self.bot_reasons.push(bot::SPIDER.to_owned());
        }
    }
}
