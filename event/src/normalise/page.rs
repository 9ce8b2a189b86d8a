//! Where an event happened on the web: the page, its referrer and its campaign.
//!
//! Texts stay as they were sent; only what is taken out of them (hosts, paths, campaign parameters) is put in
//! order. An address that cannot be read costs its parts and a warning, never the event.

use super::fields::{give_back, take_first, take_object, take_same, take_text};
use crate::event::{Event, EventType};
use serde_json::{Map, Value};
use url::Url;

/// Whether the addresses of an event could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Addresses {
    Read,
    Unreadable,
}

/// Fills the page, referrer and campaign fields of `event` from its properties and its context, and takes out
/// of both what it used.
///
/// A page call's own properties come first; of the other calls only `context.page` says where they happened.
pub(crate) fn fill(event: &mut Event) -> Addresses {
    let mut context_page = take_object(&mut event.context, "page");
    let mut own = match event.r#type {
        EventType::Page => std::mem::take(&mut event.properties),
        EventType::Track
        | EventType::Identify
        | EventType::Screen
        | EventType::Group
        | EventType::Alias => Map::new(),
    };
    let mut sources = [&mut own, &mut context_page];
    event.page_url = take_first(&mut sources, "url");
    event.page_title = take_first(&mut sources, "title");
    event.referrer = take_first(&mut sources, "referrer");
    let page_read = fill_page(event, &mut sources);
    if event.r#type == EventType::Page {
        event.properties = own;
    }
    give_back(&mut event.context, "page", context_page);

    let referrer_read = fill_referrer(event);
    fill_campaign(event);
    if page_read && referrer_read {
        Addresses::Read
    } else {
        Addresses::Unreadable
    }
}

/// A path that is sent wins over the address's own: single-page applications know better, and log lines have
/// nothing else.
fn fill_page(event: &mut Event, sources: &mut [&mut Map<String, Value>]) -> bool {
    let mut readable = true;
    if let Some(url) = absolute(&event.page_url) {
        event.page_host = host(&url);
        event.page_path = url.path().to_owned();
        event.page_query = url.query().unwrap_or_default().to_owned();
    } else if event.page_url.starts_with('/') {
        let address = event.page_url.split('#').next().unwrap_or_default();
        (event.page_path, event.page_query) = split_query(address);
    } else {
        readable = event.page_url.is_empty();
    }
    let (path, query) = split_query(&take_first(sources, "path"));
    if !path.is_empty() {
        event.page_path = path;
    }
    if event.page_query.is_empty() {
        event.page_query = query;
    }
    if event.page_query.is_empty() {
        event.page_query = take_first(sources, "search")
            .trim_start_matches('?')
            .to_owned();
    }
    for map in sources {
        take_same(map, "search", "");
        take_same(map, "search", &format!("?{}", event.page_query));
    }
    readable
}

fn fill_referrer(event: &mut Event) -> bool {
    if event.referrer.is_empty() {
        let mut referrer = take_object(&mut event.context, "referrer");
        event.referrer = take_text(&mut referrer, "url");
        give_back(&mut event.context, "referrer", referrer);
    }
    match absolute(&event.referrer) {
        Some(url) => {
            event.referrer_host = host(&url);
            true
        }
        // SDKs send "$direct" or a path for a page of one's own; neither has a host, and neither is a
        // mistake.
        None => event.referrer.is_empty() || event.referrer.starts_with(['/', '$']),
    }
}

/// Campaign parameters in the page's own query win over what the SDK made of them.
fn fill_campaign(event: &mut Event) {
    let mut campaign = take_object(&mut event.context, "campaign");
    let slots = [
        ("utm_source", "source", &mut event.utm_source),
        ("utm_medium", "medium", &mut event.utm_medium),
        ("utm_campaign", "name", &mut event.utm_campaign),
        ("utm_term", "term", &mut event.utm_term),
        ("utm_content", "content", &mut event.utm_content),
    ];
    for (parameter, field, slot) in slots {
        *slot = url::form_urlencoded::parse(event.page_query.as_bytes())
            .find(|(name, value)| name == parameter && !value.is_empty())
            .map(|(_, value)| value.replace('\0', ""))
            .unwrap_or_default();
        if slot.is_empty() {
            *slot = take_text(&mut campaign, field);
        } else {
            take_same(&mut campaign, field, slot);
        }
    }
    give_back(&mut event.context, "campaign", campaign);
}

/// Reads an address with a scheme and an authority or a path; `data:` and its like name no page.
fn absolute(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| !url.cannot_be_a_base())
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_lowercase()
}

fn split_query(path: &str) -> (String, String) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    (path.to_owned(), query.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn filled(kind: EventType, properties: Value, context: Value) -> (Event, Addresses) {
        let mut event = Event::new(kind);
        event.properties = serde_json::from_value(properties).unwrap();
        event.context = serde_json::from_value(context).unwrap();
        let read = fill(&mut event);
        (event, read)
    }

    #[test]
    fn a_page_call_is_described_by_its_properties_and_else_by_its_context() {
        let page = json!({"url": "https://Shop.Example/p/1?a=b&utm_source=news#x", "path": "/p/1", "search": "?a=b&utm_source=news",
            "title": "One", "referrer": "https://WWW.Google.com/"});
        let (event, read) = filled(EventType::Page, page.clone(), json!({"page": page}));
        assert_eq!(read, Addresses::Read);
        assert_eq!(
            event.page_url,
            "https://Shop.Example/p/1?a=b&utm_source=news#x"
        );
        assert_eq!(
            (&*event.page_host, &*event.page_path, &*event.page_query),
            ("shop.example", "/p/1", "a=b&utm_source=news")
        );
        assert_eq!(
            (
                &*event.page_title,
                &*event.referrer_host,
                &*event.utm_source
            ),
            ("One", "www.google.com", "news")
        );
        assert!(
            event.properties.is_empty() && event.context.is_empty(),
            "{event:?}"
        );

        let (event, _) = filled(
            EventType::Page,
            json!({"path": "/a?b=c", "plan": 1}),
            json!({"page": {"url": "https://x.example/b", "extra": 1}}),
        );
        assert_eq!(
            (&*event.page_path, &*event.page_query, &*event.page_host),
            ("/a", "b=c", "x.example")
        );
        assert_eq!(
            (event.properties.len(), event.context["page"].clone()),
            (1, json!({"extra": 1}))
        );
    }

    #[test]
    fn a_track_calls_own_url_is_no_page() {
        let (event, _) = filled(
            EventType::Track,
            json!({"url": "https://a.example/x"}),
            json!({"page": {"url": "https://b.example/y"}}),
        );
        assert_eq!(
            (&*event.page_host, event.properties.len()),
            ("b.example", 1)
        );
    }

    #[test]
    fn campaigns_come_from_the_query_and_else_from_the_context() {
        let context = json!({"page": {"url": "https://x.example/?utm_source=a%20b&utm_medium=&utm_term=%00t"},
            "campaign": {"source": "a b", "medium": "cpc", "name": "spring", "term": "kept", "id": "7"}});
        let (event, _) = filled(EventType::Track, json!({}), context);
        assert_eq!(
            (
                &*event.utm_source,
                &*event.utm_medium,
                &*event.utm_campaign,
                &*event.utm_term
            ),
            ("a b", "cpc", "spring", "t")
        );
        assert_eq!(
            event.context["campaign"],
            json!({"term": "kept", "id": "7"})
        );
    }

    #[test]
    fn odd_addresses_are_kept_as_sent() {
        let cases = [
            (
                "https://user@[2001:DB8::1]:8080/x",
                "[2001:db8::1]",
                "/x",
                Addresses::Read,
            ),
            (
                "https://MÜNCHEN.example/",
                "xn--mnchen-3ya.example",
                "/",
                Addresses::Read,
            ),
            ("https://x.example", "x.example", "/", Addresses::Read),
            (
                "capacitor://LocalHost/tab",
                "localhost",
                "/tab",
                Addresses::Read,
            ),
            ("file:///home/a.html", "", "/home/a.html", Addresses::Read),
            ("/pricing?x=1#top", "", "/pricing", Addresses::Read),
            ("pricing", "", "", Addresses::Unreadable),
            ("data:text/html,hi", "", "", Addresses::Unreadable),
            ("about:blank", "", "", Addresses::Unreadable),
            ("http://", "", "", Addresses::Unreadable),
        ];
        for (url, host, path, read) in cases {
            let (event, found) = filled(EventType::Page, json!({"url": url}), json!({}));
            assert_eq!(
                (
                    &*event.page_url,
                    &*event.page_host,
                    &*event.page_path,
                    found
                ),
                (url, host, path, read),
                "{url}"
            );
        }
    }

    #[test]
    fn referrers_come_from_wherever_sdks_put_them() {
        let (event, read) = filled(
            EventType::Track,
            json!({}),
            json!({"referrer": {"url": "android-app://com.Google.mail/", "type": "app"}}),
        );
        assert_eq!(
            (&*event.referrer_host, read),
            ("com.google.mail", Addresses::Read)
        );
        assert_eq!(event.context["referrer"], json!({"type": "app"}));
        let (event, read) = filled(
            EventType::Page,
            json!({"path": "/", "referrer": "$direct"}),
            json!({}),
        );
        assert_eq!(
            (&*event.referrer, &*event.referrer_host, read),
            ("$direct", "", Addresses::Read)
        );
        let (_, read) = filled(
            EventType::Page,
            json!({"path": "/", "referrer": "no address"}),
            json!({}),
        );
        assert_eq!(read, Addresses::Unreadable);
    }
}
