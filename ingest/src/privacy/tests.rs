use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

fn truncated(event: &str) -> String {
    reduce(event, AddressPolicy::Truncate).unwrap_or_else(|| event.to_owned())
}

#[test]
fn the_list_of_names_is_sorted() {
    assert!(ADDRESS_NAMES.is_sorted());
}

#[test]
fn an_event_without_addresses_passes_byte_for_byte() {
    let event = r#"{ "event" : "x", "context":{"ip": null,"page":{"url":"/"}},"properties":{"ip":" ","IP":true,"ipv6":[],"n":1.0} }"#;
    assert_eq!(reduce(event, AddressPolicy::Truncate), None);
    assert_eq!(reduce(event, AddressPolicy::Drop), None);
}

#[test]
fn known_address_fields_are_truncated_wherever_they_stand() {
    assert_eq!(
        truncated(
            r#"{"ip":"203.0.113.7","request_ip":"203.0.113.7:80","context":{"a":1,"ip":"2001:db8:1:2::3","traits":{"IP_Address":"203.0.113.7"}},"properties":{"$ip":"203.0.113.7","x":2},"traits":{"ip":"1.2.3.4"}}"#
        ),
        r#"{"ip":"203.0.113.0","request_ip":"203.0.113.0","context":{"a":1,"ip":"2001:db8:1::","traits":{"IP_Address":"203.0.113.0"}},"properties":{"$ip":"203.0.113.0","x":2},"traits":{"ip":"1.2.3.0"}}"#
    );
}

#[test]
fn lists_of_addresses_are_truncated_one_by_one() {
    assert_eq!(
        truncated(r#"{"context":{"X-Forwarded-For":"203.0.113.7, unknown,198.51.100.9"}}"#),
        r#"{"context":{"X-Forwarded-For":"203.0.113.0, 198.51.100.0"}}"#
    );
}

#[test]
fn arrays_of_addresses_are_reduced_element_by_element() {
    assert_eq!(
        truncated(
            r#"{"ip":["203.0.113.7", null,"","x",7,["1.2.3.4"],{"a":"1.2.3.4"},"1.2.3.4, 5.6.7.8"]}"#
        ),
        r#"{"ip":["203.0.113.0",null,"","1.2.3.0, 5.6.7.0"]}"#
    );
    assert_eq!(truncated(r#"{"ip":["x",{}],"a":1}"#), r#"{"a":1}"#);
    assert_eq!(
        reduce(r#"{"ip":["203.0.113.7"],"a":1}"#, AddressPolicy::Drop).as_deref(),
        Some(r#"{"a":1}"#)
    );
}

#[test]
fn zones_and_prefix_lengths_do_not_hide_an_address() {
    for (sent, kept) in [
        ("203.0.113.7/32", "203.0.113.0"),
        ("fe80::1%eth0", "fe80::"),
        ("[2001:db8:1:2::3%25en0]:443", "2001:db8:1::"),
        ("2001:db8:1:2::3%1/128", "2001:db8:1::"),
    ] {
        assert_eq!(
            truncated(&format!(r#"{{"ip":"{sent}"}}"#)),
            format!(r#"{{"ip":"{kept}"}}"#)
        );
    }
}

#[test]
fn what_is_no_address_does_not_pass_under_an_addresses_name() {
    let event = |value: &str| format!(r#"{{"a":1,"context":{{"ip":{value}}}}}"#);
    for value in [
        r#""x203.0.113.7""#,
        r#""203.0.113.7/255.255.255.255""#,
        r#""none""#,
        r#""\ud800 203.0.113.7""#,
        "3405803783",
        r#"{"v4":"203.0.113.7"}"#,
        r#"[["203.0.113.7"]]"#,
    ] {
        for policy in [AddressPolicy::Truncate, AddressPolicy::Drop] {
            assert_eq!(
                reduce(&event(value), policy).as_deref(),
                Some(r#"{"a":1,"context":{}}"#),
                "{value}"
            );
        }
        assert_eq!(reduce(&event(value), AddressPolicy::Keep), None, "{value}");
    }
}

#[test]
fn dropping_removes_the_members() {
    let event = r#"{"ip":"203.0.113.7", "a":1 ,"context":{"ip":"203.0.113.7"},"properties":{"b":2,"ip":"203.0.113.7"}}"#;
    assert_eq!(
        reduce(event, AddressPolicy::Drop).as_deref(),
        Some(r#"{"a":1,"context":{},"properties":{"b":2}}"#)
    );
}

#[test]
fn keeping_keeps_addresses_but_never_the_write_key() {
    let event = r#"{"writeKey":"secret","ip":"203.0.113.7"}"#;
    assert_eq!(
        reduce(event, AddressPolicy::Keep).as_deref(),
        Some(r#"{"ip":"203.0.113.7"}"#)
    );
    assert_eq!(
        reduce(r#"{"a":1, "writeKey":"secret" }"#, AddressPolicy::Drop).as_deref(),
        Some(r#"{"a":1}"#)
    );
    assert_eq!(
        reduce(r#"{"writeKey":"secret"}"#, AddressPolicy::Drop).as_deref(),
        Some("{}")
    );
}

#[test]
fn names_written_with_escapes_are_seen() {
    assert_eq!(
        truncated(r#"{"\u0069p":"203.0.113.7"}"#),
        r#"{"\u0069p":"203.0.113.0"}"#
    );
    assert_eq!(
        truncated(r#"{"ip":"203.0.113.\u0037"}"#),
        r#"{"ip":"203.0.113.0"}"#
    );
}

#[test]
fn repeated_members_are_all_reduced() {
    assert_eq!(
        truncated(r#"{"ip":"1.2.3.4","ip":"5.6.7.8"}"#),
        r#"{"ip":"1.2.3.0","ip":"5.6.7.0"}"#
    );
}

#[test]
fn free_text_loses_its_quoted_addresses() {
    assert_eq!(
        reduce_text(
            r#"{"ip" "203.0.113.7", NaN, "1.2.3.4"#,
            AddressPolicy::Truncate
        ),
        r#"{"ip" "203.0.113.0", NaN, "1.2.3.0"#
    );
    assert_eq!(
        reduce_text(r#"{"ip":"203.0.113.7"}"#, AddressPolicy::Drop),
        r#"{"ip":""}"#
    );
}

proptest! {
    #[test]
    fn what_is_rewritten_is_json_and_differs_in_the_addresses_only(
        before in "[a-z]{1,3}", number in any::<u32>(), octets in any::<[u8; 4]>(), space in "[ \n]{0,2}"
    ) {
        let ip = IpAddr::from(octets);
        let event = format!(
            r#"{{{space}"{before}x"{space}:{space}{number}{space},{space}"context":{{"ip":"{ip}","n":[1,{{}}]}},"writeKey":"k"}}"#
        );
        let reduced = reduce(&event, AddressPolicy::Truncate).unwrap();
        let mut expected: serde_json::Value = serde_json::from_str(&event).unwrap();
        expected["context"]["ip"] = AddressPolicy::Truncate.reduce(ip).unwrap().to_string().into();
        expected.as_object_mut().unwrap().remove("writeKey");
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&reduced).unwrap(), expected);
    }

    #[test]
    fn any_text_is_reduced_without_a_panic(text in ".{0,80}") {
        drop(reduce(&text, AddressPolicy::Drop));
        drop(reduce_text(&text, AddressPolicy::Truncate));
    }
}
