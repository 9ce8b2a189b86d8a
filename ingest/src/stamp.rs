//! Makes a record of an event: id, key, visitor, reduced addresses, and the envelope around it all.
//!
//! Pure: clock, secret and fresh ids are passed in. An event that cannot be taken becomes a rejected record, never
//! an error, so that its neighbours go their way.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use serde_json::value::RawValue;
use uuid::Uuid;
use weir_event::envelope::REJECTED_PAYLOAD_MAX_BYTES;
use weir_event::{
    Body, Envelope, EnvelopeError, EventType, KeyClass, RejectCode, Rejected, time, warning,
};

use crate::address;
use crate::ids;
use crate::item::{Fields, Flaw, Item};
use crate::privacy;
use crate::sink::Record;
use crate::sources::Source;
use crate::split::{self, Route};
use crate::visitor::{self, VisitorSecret};

mod fault;

#[cfg(test)]
mod tests;

use fault::Fault;

/// Most bytes of a user agent that are kept; real ones are shorter.
const AGENT_MAX_BYTES: usize = 1024;

/// What the events of one request have in common.
#[derive(Debug)]
pub(crate) struct Stamper<'a> {
    /// The source they are from.
    pub(crate) source: &'a Source,
    /// How far their sender is trusted.
    pub(crate) class: KeyClass,
    /// The write key they came with, so that it can be taken out.
    pub(crate) key: &'a str,
    /// The secret of the cookieless visitor ids.
    pub(crate) secret: &'a VisitorSecret,
    /// When they were received, Unix milliseconds.
    pub(crate) received_at_ms: i64,
    /// The address they came from.
    pub(crate) client: IpAddr,
    /// The user agent they came from.
    pub(crate) agent: &'a str,
    /// The route they came by.
    pub(crate) route: Route,
    /// When the client says it sent them.
    pub(crate) sent_at: Option<&'a str>,
    /// What the batch says once for all of them.
    pub(crate) inherited: &'a [(&'static str, &'a str)],
    /// Most bytes of one event.
    pub(crate) max_event_bytes: usize,
    /// Makes ids for events that carry nothing to make one of.
    pub(crate) fresh_id: fn() -> Uuid,
}

/// Where an event stood in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It was the body.
    Body,
    /// It was this element of the batch, from 0.
    Batch(usize),
}

impl fmt::Display for Place {
    /// Writes the JSON pointer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Body => Ok(()),
            Place::Batch(index) => write!(f, "/batch/{index}"),
        }
    }
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamped {
    /// Its record.
    pub(crate) record: Record,
    /// Why it was rejected, if it was.
    pub(crate) rejected: Option<RejectCode>,
}

/// Whose event it is.
struct Visit<'a> {
    agent: Cow<'a, str>,
    address: Option<IpAddr>,
    /// What keeps a visitor's events together: anonymous id, else user id, else the cookieless id.
    identity: Cow<'a, str>,
    /// The cookieless id, if it is what identifies them.
    visitor: Option<String>,
}

impl Stamper<'_> {
    /// Makes the record of the event with these bytes.
    ///
    /// # Errors
    ///
    /// The clock is out of the range an envelope can say.
    pub(crate) fn stamp(&self, event: &[u8], place: Place) -> Result<Stamped, EnvelopeError> {
        let item = match Item::read(event) {
            Ok(item) => item,
            Err(flaw) => return self.reject_flaw(event, place, flaw),
        };
        // Before it inherits: what is too large by itself is not worth the work.
        if let Some(fault) = self.size_fault(item.raw.get()) {
            return self.reject_item(&item, place, &fault);
        }
        match split::inherit(item.raw.get(), self.inherited) {
            None => self.stamp_item(&item, place),
            Some(text) => match Item::read(text.as_bytes()) {
                Ok(item) => self.stamp_item(&item, place),
                Err(flaw) => self.reject_flaw(event, place, flaw),
            },
        }
    }

    fn stamp_item(&self, item: &Item<'_>, place: Place) -> Result<Stamped, EnvelopeError> {
        let (event, fields) = (item.raw.get(), &item.fields);
        if let Some(fault) = self.size_fault(event) {
            return self.reject_item(item, place, &fault);
        }
        let kind = match self.route {
            Route::One(kind) => kind,
            Route::Batch => match fields.kind.as_deref().and_then(EventType::from_name) {
                Some(kind) => kind,
                None => {
                    let fault = Fault::unknown_type(fields.kind.as_deref());
                    return self.reject_item(item, place, &fault);
                }
            },
        };
        let visit = self.visit(fields);
        let reduced = privacy::reduce(event, self.source.address);
        let call: &RawValue = match &reduced {
            Some(text) => serde_json::from_str(text)?,
            None => item.raw,
        };
        let (id, warning) = self.id(fields, &visit, kind, call.get());
        let warnings = warning.into_iter().map(Cow::Borrowed).collect();
        let record = self.record(
            Header {
                id,
                kind: kind.as_str(),
                sent_at: fields.sent_at.as_deref(),
                warnings,
            },
            &visit,
            Body::Call(call),
            place,
        )?;
        Ok(Stamped {
            record,
            rejected: None,
        })
    }

    /// Returns the event's id, and what is doubtful about knowing a repeat by it.
    fn id<'f>(
        &self,
        fields: &'f Fields<'_>,
        visit: &Visit<'_>,
        kind: EventType,
        call: &str,
    ) -> (Cow<'f, str>, Option<&'static str>) {
        let id = if let Some(id) = &fields.message_id {
            ids::bounded(id)
        } else if fields.tells_events_apart() {
            let id = ids::derived_id(&self.source.id, &visit.identity, kind, call);
            Cow::Owned(id.to_string())
        } else {
            let fresh = (self.fresh_id)().to_string();
            return (Cow::Owned(fresh), Some(warning::NO_EVENT_ID));
        };
        // A server says itself whose address it had; with a time of its own every try makes the same visitor.
        let settled = self.class == KeyClass::Server && client_time_ms(fields).is_some();
        let doubtful = visit.visitor.is_some() && !settled;
        (id, doubtful.then_some(warning::NO_VISITOR_ID))
    }

    /// Returns what is wrong with an event, or with what it inherits, for its size.
    fn size_fault(&self, event: &str) -> Option<Fault> {
        let inherited = self.inherited.iter().map(|(_, object)| object.len()).sum();
        Fault::of_size(event.len(), inherited, self.max_event_bytes)
    }

    /// Rejects an event that is JSON: its addresses are taken out as they are of any other event.
    fn reject_item(
        &self,
        item: &Item<'_>,
        place: Place,
        fault: &Fault,
    ) -> Result<Stamped, EnvelopeError> {
        let visit = self.visit(&item.fields);
        let event = item.raw.get();
        let reduced = privacy::reduce(event, self.source.address);
        let event = reduced.as_deref().unwrap_or(event);
        self.reject(event.as_bytes(), place, fault, &item.fields, &visit)
    }

    fn reject_flaw(
        &self,
        event: &[u8],
        place: Place,
        flaw: Flaw,
    ) -> Result<Stamped, EnvelopeError> {
        let (code, message) = match flaw {
            Flaw::InvalidJson(message) => (RejectCode::InvalidJson, message),
            Flaw::NotAnObject => (
                RejectCode::NotAnObject,
                "an event is an object; this is none".to_owned(),
            ),
        };
        let fault = Fault {
            code,
            path: "",
            message,
        };
        let fields = Fields::default();
        let visit = self.visit(&fields);
        self.reject(event, place, &fault, &fields, &visit)
    }

    fn reject(
        &self,
        event: &[u8],
        place: Place,
        fault: &Fault,
        fields: &Fields<'_>,
        visit: &Visit<'_>,
    ) -> Result<Stamped, EnvelopeError> {
        // A repeat of a rejected event is judged again, so its id need not tell it from its repeats.
        let payload = self.payload(event);
        let id = match &fields.message_id {
            Some(id) => ids::bounded(id),
            None => Cow::Owned(ids::rejected_id(&self.source.id, &payload).to_string()),
        };
        let kind = match self.route {
            Route::One(kind) => kind.as_str(),
            Route::Batch => cut(fields.kind.as_deref().unwrap_or_default(), 64),
        };
        let rejected = Rejected {
            code: Cow::Borrowed(fault.code.as_str()),
            path: Cow::Owned(format!("{place}{}", fault.path)),
            message: Cow::Borrowed(&fault.message),
            payload: Cow::Owned(payload),
        };
        let header = Header {
            id,
            kind,
            sent_at: fields.sent_at.as_deref(),
            warnings: Vec::new(),
        };
        let record = self.record(header, visit, Body::Rejected(rejected), place)?;
        Ok(Stamped {
            record,
            rejected: Some(fault.code),
        })
    }

    fn record(
        &self,
        header: Header<'_>,
        visit: &Visit<'_>,
        body: Body<'_>,
        place: Place,
    ) -> Result<Record, EnvelopeError> {
        let address = visit
            .address
            .and_then(|address| self.source.address.reduce(address));
        let value = Envelope {
            id: header.id,
            source: Cow::Borrowed(&self.source.id),
            platform: Cow::Borrowed(self.source.platform.as_str()),
            key_class: self.class,
            r#type: Cow::Borrowed(header.kind),
            received_at_ms: self.received_at_ms,
            sent_at: header
                .sent_at
                .or(self.sent_at)
                .map(|text| Cow::Borrowed(cut(text, 64))),
            agent: Cow::Borrowed(&visit.agent),
            address: Cow::Owned(address.map_or_else(String::new, |address| address.to_string())),
            visitor: visit.visitor.as_deref().map(Cow::Borrowed),
            warnings: header.warnings,
            body,
        }
        .to_vec()?;
        Ok(Record {
            topic: self.source.platform.topic(),
            key: format!("{}\0{}", self.source.id, visit.identity).into_bytes(),
            value,
            place,
        })
    }

    /// Finds out whose event it is. Only server keys speak for somebody else: their own address is a machine's.
    fn visit<'f>(&'f self, fields: &'f Fields<'_>) -> Visit<'f> {
        let (address, agent) = match self.class {
            KeyClass::Browser | KeyClass::Mobile => (Some(self.client), Cow::Borrowed(self.agent)),
            KeyClass::Server => (
                fields.context_text("ip").and_then(|ip| address::parse(&ip)),
                fields
                    .context_text("userAgent")
                    .unwrap_or(Cow::Borrowed(self.agent)),
            ),
        };
        let agent = match agent {
            Cow::Borrowed(agent) => Cow::Borrowed(cut(agent, AGENT_MAX_BYTES)),
            Cow::Owned(agent) => Cow::Owned(cut(&agent, AGENT_MAX_BYTES).to_owned()),
        };
        if let Some(id) = fields.anonymous_id.as_deref().or(fields.user_id.as_deref()) {
            return Visit {
                agent,
                address,
                identity: ids::bounded(id),
                visitor: None,
            };
        }
        let client_ms = client_time_ms(fields);
        let day = visitor::day(client_ms, self.received_at_ms, self.class);
        let visitor = self.secret.visitor(&self.source.id, day, address, &agent);
        Visit {
            agent,
            address,
            identity: Cow::Owned(visitor.clone()),
            visitor: Some(visitor),
        }
    }

    /// Returns the head of a rejected event's text, without addresses and write key.
    fn payload(&self, event: &[u8]) -> String {
        // A little more than is kept, so that an address at the end is seen as a whole.
        let head = &event[..event.len().min(REJECTED_PAYLOAD_MAX_BYTES + 512)];
        let text = String::from_utf8_lossy(head).replace(self.key, "[write key]");
        let reduced = privacy::reduce_text(&text, self.source.address);
        cut(&reduced, REJECTED_PAYLOAD_MAX_BYTES).to_owned()
    }
}

/// What an envelope says of the event itself.
struct Header<'a> {
    id: Cow<'a, str>,
    kind: &'a str,
    sent_at: Option<&'a str>,
    warnings: Vec<Cow<'a, str>>,
}

/// Turns a record that Kafka finds too large into the rejection of its event; `None` if it is one already.
pub(crate) fn reject_too_large(record: &Record) -> Option<Record> {
    let mut envelope = Envelope::from_slice(&record.value).ok()?;
    let Body::Call(call) = envelope.body else {
        return None;
    };
    envelope.body = Body::Rejected(Rejected {
        code: Cow::Borrowed(RejectCode::TooLarge.as_str()),
        path: Cow::Owned(record.place.to_string()),
        message: Cow::Borrowed("the event's record is larger than Kafka takes"),
        payload: Cow::Borrowed(cut(call.get(), REJECTED_PAYLOAD_MAX_BYTES)),
    });
    Some(Record {
        value: envelope.to_vec().ok()?,
        topic: record.topic,
        key: record.key.clone(),
        place: record.place,
    })
}

/// Returns the time the client says the event happened, Unix milliseconds, as the processor reads it.
fn client_time_ms(fields: &Fields<'_>) -> Option<i64> {
    let text = fields.timestamp.or(fields.original_timestamp)?;
    time::from_json(&serde_json::from_str(text).ok()?)
}

/// Returns the longest start of `text` that has at most `max_bytes` and ends between two characters.
fn cut(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}
