//! Requests as SDKs of several platforms would send them. Pure: the time and the seed are passed in.

use serde_json::{Map, Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::flaws;
use super::random::Random;
use super::scenery::{BOTS, BROWSERS, LOCALES, ORIGINS, PAGES, PRODUCTS, SCREENS, SITE};

/// How far back visits go. Events of browsers and apps may be up to a week old.
const SPAN: Duration = Duration::hours(6 * 24 + 20);

/// Events per visitor, about: two or three visits of a few events, the visitors of some days ago not all among them.
const EVENTS_PER_VISITOR: u64 = 9;

/// One visit in so many is replaced by something that goes wrong.
const VISITS_PER_FLAW: usize = 25;

/// One HTTP request to the collector.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Whose write key it carries; another word is a key nobody knows.
    pub(crate) source: &'static str,
    /// The path, such as `/v1/batch`.
    pub(crate) path: String,
    /// The `User-Agent` header.
    pub(crate) agent: &'static str,
    /// The `X-Forwarded-For` header.
    pub(crate) address: String,
    /// The body.
    pub(crate) body: String,
    /// How many records it makes if it is accepted.
    pub(crate) events: u64,
}

/// A person who comes back, or a program.
struct Visitor {
    source: &'static str,
    /// Empty for those who refuse cookies.
    anonymous_id: String,
    agent: &'static str,
    address: String,
    locale: &'static str,
    user_id: Option<String>,
}

/// Plays visits until as many events as asked for are made.
pub(crate) struct Traffic {
    random: Random,
    now: OffsetDateTime,
    visitors: Vec<Visitor>,
    visits: usize,
}

impl Traffic {
    /// Prepares visitors for about `events` events.
    pub(crate) fn new(seed: u64, now: OffsetDateTime, events: u64) -> Self {
        let mut random = Random::new(seed);
        let count = usize::try_from(events / EVENTS_PER_VISITOR).unwrap_or(usize::MAX);
        let visitors = (0..count.clamp(20, 200_000))
            .map(|place| visitor(place, &mut random))
            .collect();
        Self {
            random,
            now,
            visitors,
            visits: 0,
        }
    }

    /// Returns the requests of the next visit, and now and then what goes wrong in real life.
    pub(crate) fn visit(&mut self) -> Vec<Request> {
        let random = &mut self.random;
        self.visits += 1;
        if self.visits.is_multiple_of(VISITS_PER_FLAW) {
            let before = self.visits / VISITS_PER_FLAW - 1;
            return vec![flaws::request(before, random, self.now)];
        }
        let place = random.skewed(self.visitors.len());
        let visitor = &mut self.visitors[place];
        // More visits by day than by night.
        let mut begin = self.now - SPAN * (random.below(1_000_000) as f64 / 1e6);
        if begin.hour() < 6 && random.percent(60) {
            begin += Duration::hours(9);
        }
        begin = begin.min(self.now - Duration::minutes(20));
        let calls = match visitor.source {
            "web" => browse(visitor, random, begin),
            "server" => bill(random, begin),
            _ => tap(visitor, random, begin),
        };
        let mut requests = send(visitor, calls, random, self.now);
        // The answer got lost and the SDK sends again: the same ids must not count twice.
        if random.percent(2)
            && let Some(first) = requests.first().cloned()
        {
            requests.push(first);
        }
        requests
    }
}

fn visitor(place: usize, random: &mut Random) -> Visitor {
    // Spread over the list, so that every platform has some of the frequent visitors at its begin.
    let (source, agent) = match place * 37 % 100 {
        0..55 => ("web", random.pick(&BROWSERS)),
        55..60 => ("web", random.pick(&BOTS)),
        60..75 => ("ios", "Roastery/4.2 CFNetwork/1568.300.101 Darwin/24.6.0"),
        75..92 => ("android", "Roastery/4.2 (Linux; U; Android 15; Pixel 9)"),
        _ => ("server", "analytics-node/2.3.0"),
    };
    let cookieless = source == "web" && random.percent(8);
    Visitor {
        source,
        anonymous_id: if cookieless {
            String::new()
        } else {
            random.uuid()
        },
        agent,
        // Networks for documentation.
        address: format!(
            "{}.{}",
            random.pick(&["192.0.2", "198.51.100", "203.0.113"]),
            random.below(254) + 1
        ),
        locale: random.pick(&LOCALES),
        user_id: random.percent(15).then(|| user(random)),
    }
}

fn user(random: &mut Random) -> String {
    format!("user-{}", random.below(1_000_000))
}

/// A visit to the web site.
fn browse(visitor: &mut Visitor, random: &mut Random, begin: OffsetDateTime) -> Vec<Value> {
    let (origin, campaign) = random.pick(&ORIGINS);
    let mut referrer = origin.to_owned();
    let mut query = campaign.map_or_else(String::new, |[source, medium, name]| {
        format!("?utm_source={source}&utm_medium={medium}&utm_campaign={name}")
    });
    let mut at = begin;
    let mut calls = Vec::new();
    for _ in 0..=random.below(7) {
        let (path, title) = PAGES[random.skewed(PAGES.len())];
        let url = format!("{SITE}{path}{query}");
        let page = json!({"url": url, "path": path, "search": query, "title": title, "referrer": referrer});
        let mut call =
            json!({"type": "page", "name": title, "properties": page, "timestamp": text(at)});
        if !query.is_empty()
            && let Some([source, medium, name]) = campaign
        {
            call["context"] =
                json!({"campaign": {"source": source, "medium": medium, "name": name}});
        }
        calls.push(call);
        if path.starts_with("/shop/") && random.percent(40) {
            let properties = json!({"product": title, "path": path});
            calls.push(track(
                "Product Viewed",
                properties,
                at + Duration::seconds(4),
            ));
        }
        referrer = url;
        query.clear();
        at += Duration::seconds(8 + i64::try_from(random.below(110)).unwrap_or_default());
    }
    if visitor.user_id.is_none() && random.percent(6) {
        let user_id = user(random);
        calls.push(json!({"type": "identify", "traits": {"plan": "free", "newsletter": random.percent(50)}, "timestamp": text(at)}));
        calls.push(track(
            "Signup Completed",
            json!({"method": random.pick(&["email", "google", "apple"])}),
            at,
        ));
        visitor.user_id = Some(user_id);
    }
    if random.percent(7) {
        calls.push(track("Order Completed", order(random), at));
    }
    calls
}

/// A visit in an app.
fn tap(visitor: &Visitor, random: &mut Random, begin: OffsetDateTime) -> Vec<Value> {
    let mut at = begin;
    let mut calls = vec![track("Application Opened", json!({"version": "4.2"}), at)];
    for _ in 0..=random.below(5) {
        at += Duration::seconds(5 + i64::try_from(random.below(60)).unwrap_or_default());
        let screen = SCREENS[random.skewed(SCREENS.len())];
        calls.push(json!({"type": "screen", "name": screen, "properties": {"variant": random.pick(&["a", "b"])}, "timestamp": text(at)}));
    }
    if random.percent(5) {
        calls.push(track("Order Completed", order(random), at));
    }
    let os = if visitor.source == "ios" {
        json!({"name": "iOS", "version": "18.6"})
    } else {
        json!({"name": "Android", "version": "15"})
    };
    for call in &mut calls {
        call["context"] = json!({"os": os, "app": {"name": "Roastery", "version": "4.2"}});
    }
    calls
}

/// What the shop's own server reports.
fn bill(random: &mut Random, begin: OffsetDateTime) -> Vec<Value> {
    let company = format!("company-{}", random.below(50));
    let user_id = user(random);
    let mut calls = vec![
        json!({"type": "group", "groupId": company, "traits": {"employees": random.below(200) + 1}, "timestamp": text(begin)}),
        track(
            "Invoice Paid",
            json!({"amount": random.below(90_000) as f64 / 100.0, "currency": "EUR"}),
            begin,
        ),
    ];
    for call in &mut calls {
        call["userId"] = json!(user_id);
    }
    calls
}

/// Properties of a valid order.
pub(crate) fn order(random: &mut Random) -> Value {
    let products: Vec<Value> = (0..=random.below(3))
        .map(|_| {
            let (id, name, price) = random.pick(&PRODUCTS);
            json!({"product_id": id, "name": name, "price": price, "quantity": random.below(3) + 1})
        })
        .collect();
    let total: f64 = products
        .iter()
        .map(|product| {
            product["price"].as_f64().unwrap_or_default()
                * product["quantity"].as_f64().unwrap_or_default()
        })
        .sum();
    json!({
        "order_id": format!("o-{}", random.below(1_000_000_000)),
        "total": (total * 100.0).round() / 100.0,
        "currency": "EUR",
        "products": products,
    })
}

/// Returns a track call.
pub(crate) fn track(event: &str, properties: Value, at: OffsetDateTime) -> Value {
    let mut call = json!({"type": "track", "event": event, "timestamp": text(at)});
    call["properties"] = properties;
    call
}

/// Gives the calls ids and packs them as the platform's SDK does: scripts send singly, apps and servers in batches.
fn send(
    visitor: &Visitor,
    calls: Vec<Value>,
    random: &mut Random,
    now: OffsetDateTime,
) -> Vec<Request> {
    let calls: Vec<Value> = calls
        .into_iter()
        .map(|call| complete(visitor, call, random))
        .collect();
    let singly = visitor.source == "web" && random.percent(30);
    let request = |path: String, body: Value, events: usize| Request {
        source: visitor.source,
        path,
        agent: visitor.agent,
        address: visitor.address.clone(),
        body: body.to_string(),
        events: events as u64,
    };
    if !singly {
        let events = calls.len();
        let body = json!({"batch": calls, "sentAt": text(now)});
        return vec![request("/v1/batch".to_owned(), body, events)];
    }
    calls
        .into_iter()
        .map(|mut call| {
            call["sentAt"] = json!(text(now));
            let path = format!("/v1/{}", call["type"].as_str().unwrap_or("track"));
            request(path, call, 1)
        })
        .collect()
}

fn complete(visitor: &Visitor, mut call: Value, random: &mut Random) -> Value {
    call["messageId"] = json!(random.uuid());
    if visitor.source != "server" && !visitor.anonymous_id.is_empty() {
        call["anonymousId"] = json!(visitor.anonymous_id);
    }
    if let Some(user_id) = &visitor.user_id
        && call.get("userId").is_none()
    {
        call["userId"] = json!(user_id);
    }
    let library = match visitor.source {
        "web" => json!({"name": "analytics.js", "version": "2.1"}),
        "server" => json!({"name": "analytics-node", "version": "2.3.0"}),
        other => json!({"name": format!("analytics-{other}"), "version": "4.1"}),
    };
    if !call["context"].is_object() {
        call["context"] = Value::Object(Map::new());
    }
    call["context"]["library"] = library;
    call["context"]["locale"] = json!(visitor.locale);
    call
}

/// Writes a time as SDKs do.
pub(crate) fn text(at: OffsetDateTime) -> String {
    at.replace_nanosecond(at.nanosecond() / 1_000_000 * 1_000_000)
        .unwrap_or(at)
        .format(&Rfc3339)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(seed: u64) -> Vec<Request> {
        let mut traffic = Traffic::new(
            seed,
            OffsetDateTime::UNIX_EPOCH + Duration::days(20_000),
            3_000,
        );
        (0..500).flat_map(|_| traffic.visit()).collect()
    }

    #[test]
    fn a_seed_gives_the_same_traffic_of_all_platforms() {
        let first = requests(3);
        let again: Vec<String> = requests(3)
            .into_iter()
            .map(|request| request.body)
            .collect();
        assert_eq!(
            first
                .iter()
                .map(|request| &request.body)
                .collect::<Vec<_>>(),
            again.iter().collect::<Vec<_>>()
        );
        for source in ["web", "ios", "android", "server"] {
            assert!(
                first.iter().any(|request| request.source == source),
                "{source}"
            );
        }
    }

    #[test]
    fn sound_requests_hold_as_many_events_as_they_say_each_in_the_past_week() {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        for request in requests(4) {
            let Ok(body) = serde_json::from_str::<Value>(&request.body) else {
                assert_eq!(request.events, 0, "{}", request.body);
                continue;
            };
            let calls = body["batch"]
                .as_array()
                .map_or_else(|| vec![body.clone()], Clone::clone);
            if request.source != "unknown" {
                assert_eq!(request.events, calls.len() as u64);
            }
            for call in calls {
                let Some(timestamp) = call["timestamp"].as_str() else {
                    continue;
                };
                let at = OffsetDateTime::parse(timestamp, &Rfc3339).unwrap();
                assert!(at <= now && at > now - Duration::days(7), "{timestamp}");
            }
        }
    }
}
