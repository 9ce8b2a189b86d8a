use super::*;
use proptest::prelude::*;
use serde_json::json;

fn read(text: &str) -> Result<Value, Refusal> {
    parse(text, &Limits::default()).map(|parsed| parsed.value)
}

fn refused(text: &str) -> (Reason, String, String, String) {
    let refusal = read(text).unwrap_err();
    let error = refusal.errors.into_iter().next().unwrap();
    (refusal.reason, error.path, error.keyword, error.message)
}

#[test]
fn valid_json_reads_as_serde_json_reads_it() {
    for text in [
        "null",
        " true ",
        "\t\n\r[]",
        "{}",
        r#"{"a":[1,-1,1.5,-0.0,1e3,1E-3,2e+2,0],"b":{"c":"x","":""}}"#,
        r#""\"\\\/\b\f\n\r\té€\ud83d\ude00é""#,
        "18446744073709551615",
        "-9223372036854775808",
        "[[[[1]]]]",
        "1.7976931348623157e308",
        "5e-324",
        "1e-999",
    ] {
        assert_eq!(
            read(text).unwrap(),
            serde_json::from_str::<Value>(text).unwrap(),
            "{text}"
        );
    }
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    for text in [
        "",
        " ",
        "{",
        "[",
        "[1,",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{\"a\":1,}",
        "[1,]",
        "01",
        "-",
        "+1",
        ".5",
        "1.",
        "1e",
        "1e+",
        "tru",
        "nul",
        "truex",
        "\"a",
        "\"\\",
        "\"\\x\"",
        "\"\\u12",
        "\"\\u12g4\"",
        "'a'",
        "1 2",
        "NaN",
        "Infinity",
        "\"a\nb\"",
        "\u{feff}1",
        "{\"a\":1}}",
        "//x",
        "[1}",
        "\u{0}",
    ] {
        let (reason, _, keyword, message) = refused(text);
        assert_eq!(
            (reason, keyword.as_str()),
            (Reason::Decode, "json"),
            "{text:?}"
        );
        assert!(message.starts_with("not JSON: "), "{text:?}: {message}");
    }
    let (_, path, _, message) = refused(r#"{"properties":{"items":[{"price":1.0},{"price":"#);
    assert_eq!(path, "/properties/items/1/price");
    assert_eq!(
        message,
        "not JSON: the text ends at byte 47, a value is missing; it seems cut off"
    );
    let (_, path, _, message) = refused(r#"{"properties":{"a":tru3}}"#);
    assert_eq!(path, "/properties/a");
    assert_eq!(message, "not JSON: expected a value, found 't' at byte 19");
}

#[test]
fn what_no_store_can_hold_is_refused_with_its_pointer() {
    let cases = [
        (r#"{"a":[0,18446744073709551616]}"#, "/a/1", "integer_range"),
        (r#"{"a":-9223372036854775809}"#, "/a", "integer_range"),
        (r#"{"a":1e999}"#, "/a", "number_range"),
        (r#"{"a":-1e999}"#, "/a", "number_range"),
        (r#"{"a":"\ud800"}"#, "/a", "surrogate"),
        (r#"{"a":"\ud800\n"}"#, "/a", "surrogate"),
        (r#"{"a":"\ud800\ud800"}"#, "/a", "surrogate"),
        (r#"{"a":"\udc00\ud800"}"#, "/a", "surrogate"),
        (r#"{"a":"x\u0000"}"#, "/a", "nul"),
        (r#"{"b":{"a\u0000":1}}"#, "/b", "nul"),
    ];
    for (text, pointer, rule) in cases {
        let (reason, path, keyword, message) = refused(text);
        assert_eq!(
            (reason, path.as_str(), keyword.as_str()),
            (Reason::Decode, pointer, rule),
            "{text}: {message}"
        );
    }
    let (.., message) = refused(r#"{"a":18446744073709551616}"#);
    assert_eq!(
        message,
        "the number 18446744073709551616 does not fit into 64 bits; send it as a text"
    );
}

#[test]
fn limits_hold_and_name_what_they_allow() {
    let deep = "[".repeat(10_000);
    let (reason, path, keyword, message) = refused(&deep);
    assert_eq!(
        (reason, keyword.as_str(), message.as_str()),
        (Reason::Size, "depth", "nested deeper than 40 levels")
    );
    assert_eq!(path, "/0".repeat(40));

    let many: Vec<String> = (0..100_000).map(|i| format!("\"k{i}\":{i}")).collect();
    let (reason, _, keyword, _) = refused(&format!("{{{}}}", many.join(",")));
    assert_eq!((reason, keyword.as_str()), (Reason::Size, "keys"));

    let (reason, path, keyword, _) = refused(&format!(r#"{{"a":{{"{}":1}}}}"#, "k".repeat(257)));
    assert_eq!(
        (reason, path.as_str(), keyword.as_str()),
        (Reason::Size, "/a", "key_length")
    );

    let (reason, path, keyword, _) =
        refused(&format!(r#"{{"a":["{}"]}}"#, "x".repeat(32 * 1024 + 1)));
    assert_eq!(
        (reason, path.as_str(), keyword.as_str()),
        (Reason::Size, "/a/0", "string_length")
    );

    let wide = format!(r#"{{"properties":{{"a":[{}1]}}}}"#, "1,".repeat(200_000));
    let (reason, path, keyword, _) = refused(&wide);
    assert_eq!(
        (reason, path.as_str(), keyword.as_str()),
        (Reason::Size, "/properties", "bytes")
    );
    assert!(read(&wide.replace("properties", "other")).is_ok());
}

#[test]
fn the_depth_limit_itself_is_allowed() {
    let text = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    assert!(read(&text).is_ok());
    assert!(read(&format!("[{text}]")).is_err());
}

#[test]
fn of_equal_keys_the_last_wins_and_is_noted() {
    let parsed = parse(
        r#"{"a":1,"b":{"c":1,"\u0063":2},"a":3}"#,
        &Limits::default(),
    )
    .unwrap();
    assert_eq!(parsed.value, json!({"a": 3, "b": {"c": 2}}));
    assert!(parsed.duplicate_keys);
    assert!(!parsed.dotted_keys);
    let parsed = parse(r#"{"a.b":1}"#, &Limits::default()).unwrap();
    assert!(parsed.dotted_keys && !parsed.duplicate_keys);
}

proptest! {
    #[test]
    fn any_text_reads_or_is_refused_as_by_serde_json(text in "[\\[\\]{}\",:\\\\ \n0-9eE+.truefalsn\u{e9}-]{0,40}") {
        let ours = read(&text);
        let theirs = serde_json::from_str::<Value>(&text);
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs),
            (Ok(_), Err(error)) => prop_assert!(false, "only serde_json refuses {:?}: {}", text, error),
            (Err(refusal), Ok(_)) => prop_assert!(refusal.errors[0].keyword != "json", "only we refuse {:?}: {:?}", text, refusal),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn what_serde_json_writes_reads_back(value in arbitrary_json()) {
        prop_assert_eq!(read(&value.to_string()).unwrap(), value.clone());
        prop_assert_eq!(read(&serde_json::to_string_pretty(&value).unwrap()).unwrap(), value);
    }
}

fn arbitrary_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("finite", |f| f.is_finite())
            .prop_map(Value::from),
        "[^\u{0}]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[^\u{0}]{0,6}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
