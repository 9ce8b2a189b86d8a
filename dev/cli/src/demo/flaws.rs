//! What goes wrong in real life: one bad event among good ones, or a request that is refused as a whole.

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::random::Random;
use super::scenery::BROWSERS;
use super::traffic::{Request, order, text, track};

/// Kinds of flaws, each taken in turn.
const KINDS: [Flaw; 9] = [
    Flaw::TotalIsText,
    Flaw::UnknownType,
    Flaw::TooLarge,
    Flaw::NumberTooLarge,
    Flaw::Truncated,
    Flaw::UnknownKey,
    Flaw::NoOrderId,
    Flaw::WrongCurrency,
    Flaw::NoName,
];

/// What is wrong.
#[derive(Clone, Copy)]
enum Flaw {
    TotalIsText,
    UnknownType,
    TooLarge,
    NumberTooLarge,
    Truncated,
    UnknownKey,
    NoOrderId,
    WrongCurrency,
    NoName,
}

/// Returns a request with something wrong in it; `number` says how many there were before.
pub(crate) fn request(number: usize, random: &mut Random, now: OffsetDateTime) -> Request {
    let at = now - Duration::minutes(30);
    let mut request = Request {
        source: "web",
        path: "/v1/batch".to_owned(),
        agent: random.pick(&BROWSERS),
        address: "203.0.113.7".to_owned(),
        body: String::new(),
        events: 0,
    };
    let bad = match KINDS[number % KINDS.len()] {
        Flaw::Truncated => {
            // Cut off on its way: nothing of it can be kept, and its sender hears so.
            r#"{"batch":[{"type":"page","anonymo"#.clone_into(&mut request.body);
            return request;
        }
        Flaw::UnknownKey => {
            request.source = "unknown";
            let call = event(random, track("Button Clicked", json!({}), at));
            request.body = json!({"batch": [call]}).to_string();
            return request;
        }
        Flaw::TotalIsText => order_with(random, "total", json!("49,90 €"), at),
        Flaw::NoOrderId => order_with(random, "order_id", Value::Null, at),
        Flaw::WrongCurrency => order_with(random, "currency", json!("Euros and cents"), at),
        Flaw::UnknownType => {
            json!({"type": "purchase", "properties": order(random), "timestamp": text(at)})
        }
        Flaw::NoName => {
            json!({"type": "track", "properties": order(random), "timestamp": text(at)})
        }
        Flaw::NumberTooLarge => track("Ledger Exported", json!({"rows": "2^65"}), at),
        Flaw::TooLarge => track(
            "Page Dumped",
            json!({"html": "<p>coffee</p>".repeat(4_000)}),
            at,
        ),
    };
    let good = event(
        random,
        track("Button Clicked", json!({"button": "buy"}), at),
    );
    let bad = event(random, bad);
    // Written by hand: JSON values cannot hold a number beyond 64 bits.
    request.body = format!(r#"{{"batch":[{good},{bad}],"sentAt":"{}"}}"#, text(now))
        .replace("\"2^65\"", "36893488147419103232");
    request.events = 2;
    request
}

fn order_with(random: &mut Random, property: &str, value: Value, at: OffsetDateTime) -> Value {
    let mut order = order(random);
    order[property] = value;
    track("Order Completed", order, at)
}

fn event(random: &mut Random, mut call: Value) -> Value {
    call["messageId"] = json!(random.uuid());
    call["anonymousId"] = json!(random.uuid());
    call
}
