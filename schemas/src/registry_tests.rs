use super::*;
use serde_json::json;

const TRACK: &str = "events/track/1-0-0.json";

fn files(pairs: &[(&str, Value)]) -> Files {
    pairs
        .iter()
        .map(|(path, document)| ((*path).to_owned(), document.to_string()))
        .collect()
}

fn schema(path: &str, rest: &Value) -> Value {
    let mut document =
        json!({"$schema": DIALECTS[0], "$id": format!("{BASE}{path}"), "type": "object"});
    for (key, value) in rest.as_object().unwrap() {
        document[key] = value.clone();
    }
    document
}

fn refused(pairs: &[(&str, Value)]) -> (String, String, String) {
    match Registry::compile(&files(pairs)).unwrap_err() {
        LoadError::Schema {
            file,
            pointer,
            message,
        } => (file, pointer, message),
        other => panic!("{other}"),
    }
}

fn errors(rest: &Value, event: &Value) -> Vec<FieldError> {
    let registry = Registry::compile(&files(&[(TRACK, schema(TRACK, rest))])).unwrap();
    registry.latest("track").unwrap().validate(event)
}

#[test]
fn the_embedded_set_holds_a_schema_for_every_call() {
    let registry = Registry::embedded().unwrap();
    let names: Vec<_> = registry.iter().map(Schema::name).collect();
    for name in [
        "alias",
        "group",
        "identify",
        "order_completed",
        "page",
        "screen",
        "signup_completed",
        "track",
    ] {
        assert!(names.contains(&name), "{name}");
    }
    assert_eq!(registry.digest().len(), 16);
    assert_eq!(
        registry
            .get("track", "1-0-0".parse().unwrap())
            .unwrap()
            .name(),
        "track"
    );
    assert!(
        registry.get("track", "9-0-0".parse().unwrap()).is_none()
            && registry.latest("event").is_none()
    );
}

#[test]
fn a_directory_gives_the_set_that_was_built_in() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (read, embedded) = (
        Registry::from_dir(here).unwrap(),
        Registry::embedded().unwrap(),
    );
    assert_eq!(read.digest(), embedded.digest());
    let missing = Registry::from_dir(&here.join("src")).unwrap_err();
    assert!(matches!(missing, LoadError::Empty { .. }), "{missing}");
}

#[test]
fn the_newest_version_is_the_greatest_by_number() {
    let paths = [
        "events/track/1-0-9.json",
        "events/track/1-0-10.json",
        "events/track/1-0-2.json",
    ];
    let set: Vec<_> = paths
        .iter()
        .map(|path| (*path, schema(path, &json!({}))))
        .collect();
    let registry = Registry::compile(&files(&set)).unwrap();
    assert_eq!(
        registry.latest("track").unwrap().version().to_string(),
        "1-0-10"
    );
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_the_place_in_it() {
    let (file, pointer, _) = refused(&[(TRACK, schema(TRACK, &json!({"type": "objekt"})))]);
    assert_eq!((file.as_str(), pointer.as_str()), (TRACK, "/type"));
    let (_, pointer, message) = refused(&[(
        TRACK,
        schema(TRACK, &json!({"$id": "weir:///events/page/1-0-0.json"})),
    )]);
    assert_eq!(
        (pointer.as_str(), message.as_str()),
        (
            "/$id",
            "must be \"weir:///events/track/1-0-0.json\", as the file's place says"
        )
    );
    let (_, pointer, _) = refused(&[(
        TRACK,
        schema(
            TRACK,
            &json!({"$schema": "http://json-schema.org/draft-03/schema#"}),
        ),
    )]);
    assert_eq!(pointer, "/$schema");
    for unknown in [
        json!({"properties": {"a": {"format": "no-such-format"}}}),
        json!({"properties": {"a": {"pattern": "(?=lookahead)"}}}),
    ] {
        let (file, ..) = refused(&[(TRACK, schema(TRACK, &unknown))]);
        assert_eq!(file, TRACK);
    }
    let text = Files::from([(TRACK.to_owned(), "{".to_owned())]);
    assert!(
        matches!(Registry::compile(&text), Err(LoadError::NotJson { file, .. }) if file == TRACK)
    );
}

#[test]
fn references_stay_inside_the_set() {
    let shared = "common/money/1-0-0.json";
    let money = schema(shared, &json!({"type": "number", "minimum": 0}));
    for reference in [
        "../../common/money/1-0-0.json",
        "weir:///common/money/1-0-0.json",
    ] {
        let track = schema(
            TRACK,
            &json!({"properties": {"total": {"$ref": reference}}}),
        );
        let registry =
            Registry::compile(&files(&[(shared, money.clone()), (TRACK, track)])).unwrap();
        let found = registry
            .latest("track")
            .unwrap()
            .validate(&json!({"total": -1}));
        assert_eq!(
            found,
            [FieldError::new(
                "/total",
                "minimum",
                "-1 is less than the minimum of 0"
            )]
        );
        assert!(registry.latest("money").is_none());
    }
    for reference in [
        "https://example.com/s.json",
        "file:///etc/passwd",
        "../../common/other/1-0-0.json",
        "../../../x.json",
    ] {
        let track = schema(TRACK, &json!({"properties": {"a/b": {"$ref": reference}}}));
        let (file, pointer, message) = refused(&[(shared, money.clone()), (TRACK, track)]);
        assert_eq!(
            (file.as_str(), pointer.as_str()),
            (TRACK, "/properties/a~1b/$ref")
        );
        assert!(message.contains(reference), "{message}");
    }
    let (file, ..) = refused(&[(TRACK, schema(TRACK, &json!({"$ref": "#/$defs/none"})))]);
    assert_eq!(file, TRACK);
}

#[test]
fn every_error_is_reported_at_the_property_it_is_about() {
    let rest = json!({
        "required": ["a", "b~c"],
        "properties": {"n": {"type": "integer", "maximum": 3}, "s": {"type": "string", "maxLength": 3}, "list": {"items": {"type": "string"}}},
        "additionalProperties": false,
    });
    let mut found = errors(
        &rest,
        &json!({"n": 5, "s": "x".repeat(500), "list": ["a", {}], "extra": 1, "more/": 2}),
    );
    found.sort_by(|a, b| a.path.cmp(&b.path));
    let expected = [
        ("/a", "required", "\"a\" is required"),
        ("/b~0c", "required", "\"b~c\" is required"),
        (
            "/extra",
            "additionalProperties",
            "\"extra\" is not a property of this object",
        ),
        ("/list/1", "type", "an object is not of type \"string\""),
        (
            "/more~1",
            "additionalProperties",
            "\"more/\" is not a property of this object",
        ),
        ("/n", "maximum", "5 is greater than the maximum of 3"),
        (
            "/s",
            "maxLength",
            "a text of 500 characters is longer than 3 characters",
        ),
    ];
    assert_eq!(
        found,
        expected.map(|(path, keyword, message)| FieldError::new(path, keyword, message))
    );
}

#[test]
fn alternatives_say_what_each_of_them_wants() {
    let either = json!({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]});
    assert_eq!(
        errors(&either, &json!({})),
        [FieldError::new("", "anyOf", "one of a, b is required")]
    );
    let mixed = json!({"properties": {"x": {"oneOf": [{"type": "string"}, {"minimum": 3}]}}});
    let message = "none of the alternatives holds: 2 is not of type \"string\"; or 2 is less than the minimum of 3";
    assert_eq!(
        errors(&mixed, &json!({"x": 2})),
        [FieldError::new("/x", "oneOf", message)]
    );
}

#[test]
fn endless_errors_are_cut() {
    let rest = json!({"properties": {"list": {"items": {"type": "string"}}}, "additionalProperties": false});
    assert_eq!(
        errors(&rest, &json!({"list": vec![1; 1000]})).len(),
        Registry::MAX_ERRORS
    );
    let many: serde_json::Map<_, _> = (0..1000).map(|i| (format!("k{i}"), json!(i))).collect();
    assert_eq!(
        errors(&rest, &Value::Object(many)).len(),
        Registry::MAX_ERRORS
    );
}

#[test]
fn the_older_dialects_are_understood() {
    let path = "events/track/1-0-0.json";
    let four = json!({"$schema": "http://json-schema.org/draft-04/schema#", "id": format!("{BASE}{path}"),
        "properties": {"n": {"type": "number", "minimum": 0, "exclusiveMinimum": true}}});
    let registry = Registry::compile(&files(&[(path, four)])).unwrap();
    assert_eq!(
        registry
            .latest("track")
            .unwrap()
            .validate(&json!({"n": 0}))
            .len(),
        1
    );
    let seven = json!({"$schema": "http://json-schema.org/draft-07/schema#", "$id": format!("{BASE}{path}"),
        "properties": {"n": {"exclusiveMinimum": 0}}});
    let registry = Registry::compile(&files(&[(path, seven)])).unwrap();
    assert_eq!(
        registry
            .latest("track")
            .unwrap()
            .validate(&json!({"n": 0}))
            .len(),
        1
    );
}

/// Calls `check` on a schema and the schemas of all properties and items inside it.
fn visit(schema: &Value, pointer: &str, check: &mut dyn FnMut(&str, &Value)) {
    check(pointer, schema);
    let named = schema.get("properties").and_then(Value::as_object);
    for (name, inner) in named.into_iter().flatten() {
        visit(inner, &child(&child(pointer, "properties"), name), check);
    }
    if let Some(items) = schema.get("items") {
        visit(items, &child(pointer, "items"), check);
    }
}

#[test]
fn the_embedded_schemas_describe_every_property_and_say_what_else_may_be_there() {
    for (path, text) in set::embedded().unwrap() {
        let document: Value = serde_json::from_str(&text).unwrap();
        assert!(document["title"].is_string(), "{path} has a title");
        visit(&document, "", &mut |pointer, schema| {
            let is = |name: &str| {
                let types = &schema["type"];
                types == name
                    || types
                        .as_array()
                        .is_some_and(|types| types.contains(&name.into()))
            };
            let here = format!("{path}{pointer}");
            let item = pointer.ends_with("/items");
            assert!(
                item || schema["description"].is_string(),
                "{here} has a description"
            );
            assert!(
                !is("object") || schema["additionalProperties"].is_boolean(),
                "{here} says what else may be there"
            );
            assert!(
                !is("array") || schema["maxItems"].is_number(),
                "{here} has an end"
            );
            // What is at the top of an event is bounded by the common part.
            let top = path.starts_with("events/") && pointer.matches('/').count() == 2;
            assert!(
                !is("string") || top || schema["maxLength"].is_number(),
                "{here} has an end"
            );
        });
    }
}
