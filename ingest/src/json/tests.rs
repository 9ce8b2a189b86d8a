use proptest::prelude::*;

use super::*;

fn members(text: &str) -> Result<Vec<(&str, &str)>, Broken> {
    let mut members = Members::open(text.as_bytes(), 0).expect("an object");
    let mut found = Vec::new();
    while let Some(member) = members.next()? {
        found.push((&text[member.name], &text[member.value]));
    }
    Ok(found)
}

fn elements(text: &str) -> Result<Vec<&str>, Broken> {
    let mut elements = Elements::open(text.as_bytes(), 0).expect("an array");
    let mut found = Vec::new();
    while let Some(range) = elements.next()? {
        found.push(&text[range]);
    }
    Ok(found)
}

#[test]
fn members_are_found_with_their_exact_bytes() {
    let text = r#"{ "a" : 1,"b":{"c":["}",{}]} , "a\"": "x\\" }"#;
    assert_eq!(
        members(text).unwrap(),
        [
            (r#""a""#, "1"),
            (r#""b""#, r#"{"c":["}",{}]}"#),
            (r#""a\"""#, r#""x\\""#)
        ]
    );
}

#[test]
fn an_element_that_is_no_json_does_not_hide_its_neighbours() {
    assert_eq!(
        elements(r#"[{"a":NaN},{"b" 1},{"c":3}]"#).unwrap(),
        [r#"{"a":NaN}"#, r#"{"b" 1}"#, r#"{"c":3}"#]
    );
}

#[test]
fn empty_lists_have_no_entries() {
    assert_eq!(elements(" [ ]".trim()).unwrap(), Vec::<&str>::new());
    assert_eq!(members("{\n}").unwrap(), Vec::new());
}

#[test]
fn what_is_broken_is_named_with_its_offset() {
    let cases = [
        (
            r#"{"a":1 "b":2}"#,
            Broken {
                at: 7,
                expected: "`,` or `}`",
            },
        ),
        (
            r#"{"a" 1}"#,
            Broken {
                at: 5,
                expected: "`:`",
            },
        ),
        (
            "{a:1}",
            Broken {
                at: 1,
                expected: "a member name in double quotes",
            },
        ),
        (
            r#"{"a":}"#,
            Broken {
                at: 5,
                expected: "a value",
            },
        ),
        (
            r#"{"a":"#,
            Broken {
                at: 5,
                expected: "a value, but the text ends",
            },
        ),
        (
            r#"{"a":"x"#,
            Broken {
                at: 7,
                expected: "the end of a string, but the text ends",
            },
        ),
        (
            r#"{"a":"x\"#,
            Broken {
                at: 8,
                expected: "the end of a string, but the text ends",
            },
        ),
        (
            r#"{"a":[1,{"b":2}"#,
            Broken {
                at: 15,
                expected: "a closing bracket, but the text ends",
            },
        ),
    ];
    for (text, broken) in cases {
        assert_eq!(members(text), Err(broken), "{text}");
    }
}

#[test]
fn depth_costs_nothing() {
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert_eq!(skip_value(deep.as_bytes(), 0), Ok(deep.len()));
}

#[test]
fn lines_and_columns_count_from_one() {
    assert_eq!(line_and_column(b"{\n  x", 4), (2, 3));
    assert_eq!(line_and_column(b"", 0), (1, 1));
    assert_eq!(line_and_column(b"ab", 99), (1, 3));
}

#[test]
fn names_are_compared_without_their_escapes() {
    assert!(is_named(r#""ip""#, "ip"));
    assert!(is_named(r#""i\u0070""#, "ip"));
    assert!(!is_named(r#""ip\ud800""#, "ip"));
}

#[test]
fn a_string_that_is_no_text_reads_as_none() {
    assert_eq!(string(r#""\ud800""#), None);
    assert_eq!(string("5"), None);
    assert_eq!(string(r#""a\u0062""#).as_deref(), Some("ab"));
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        ".*".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::hash_map(".*", inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_scanned_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0_usize..200) {
        let at = at.min(bytes.len());
        if let Ok(end) = skip_value(&bytes, at) {
            prop_assert!(end > at && end <= bytes.len());
        }
        if let Some(mut members) = Members::open(&bytes, at) {
            while let Ok(Some(member)) = members.next() {
                prop_assert!(member.value.end <= bytes.len());
            }
        }
        if let Some(mut elements) = Elements::open(&bytes, at) {
            while let Ok(Some(element)) = elements.next() {
                prop_assert!(element.end <= bytes.len());
            }
        }
    }

    #[test]
    fn near_json_is_scanned_without_a_panic(text in r#"[\[\]{}",:\\a1 ]{0,60}"#) {
        let _ = skip_value(text.as_bytes(), 0);
        if let Some(mut members) = Members::open(text.as_bytes(), 0) {
            while let Ok(Some(_)) = members.next() {}
        }
    }

    #[test]
    fn valid_json_is_skipped_to_its_end(value in any_json()) {
        let text = value.to_string();
        prop_assert_eq!(skip_value(text.as_bytes(), 0), Ok(text.len()));
        if let serde_json::Value::Array(array) = &value {
            let found: Vec<_> = elements(&text).unwrap();
            prop_assert_eq!(found.len(), array.len());
        }
    }
}
