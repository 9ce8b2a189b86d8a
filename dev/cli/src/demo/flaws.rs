//! What goes wrong in real life: one bad event among good ones, or a request that is refused as a whole.

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::random::Random;
use super::scenery::BROWSERS;
use super::traffic::{Request, order, text, track};

/// Returns a request with something wrong in it.
pub(crate) fn request(random: &mut Random, now: OffsetDateTime) -> Request {
    let at = now - Duration::minutes(30);
    let mut request = Request {
        source: "web",
        path: "/v1/batch".to_owned(),
        agent: random.pick(&BROWSERS),
        address: "203.0.113.7".to_owned(),
        body: String::new(),
        events: 0,
    };
    match random.below(10) {
        // Cut off on its way: nothing of it can be kept, and its sender hears so.
        0 => r#"{"batch":[{"type":"page","anonymo"#.clone_into(&mut request.body),
        1 => {
            request.source = "unknown";
            request.body =
                json!({"batch": [event(random, track("Button Clicked", json!({}), at))]})
                    .to_string();
        }
        kind => {
            let good = event(
                random,
                track("Button Clicked", json!({"button": "buy"}), at),
            );
            let bad = flawed(kind, random, at);
            let bad = event(random, bad);
            // Written by hand: JSON values cannot hold a number beyond 64 bits.
            request.body = format!(r#"{{"batch":[{good},{bad}],"sentAt":"{}"}}"#, text(now))
                .replace("\"2^65\"", "36893488147419103232");
            request.events = 2;
        }
    }
    request
}

/// Returns one call that will be refused, while its neighbour is stored.
fn flawed(kind: u64, random: &mut Random, at: OffsetDateTime) -> Value {
    let mut order = order(random);
    match kind {
        2 | 3 => order["total"] = json!("49,90 €"),
        4 => order["order_id"] = Value::Null,
        5 => order["currency"] = json!("Euros and cents"),
        6 => return json!({"type": "purchase", "properties": order, "timestamp": text(at)}),
        7 => return json!({"type": "track", "properties": order, "timestamp": text(at)}),
        8 => return track("Ledger Exported", json!({"rows": "2^65"}), at),
        // Larger than one event may be.
        _ => {
            return track(
                "Page Dumped",
                json!({"html": "<p>coffee</p>".repeat(4_000)}),
                at,
            );
        }
    }
    track("Order Completed", order, at)
}

fn event(random: &mut Random, mut call: Value) -> Value {
    call["messageId"] = json!(random.uuid());
    call["anonymousId"] = json!(random.uuid());
    call
}
