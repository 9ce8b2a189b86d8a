use super::*;

const GOOD: &str = r#"
[[source]]
id = "shop"
name = "The shop"
platform = "web"
timezone = "Europe/Vienna"
address = "drop"

[[source.key]]
key = "web-key-0123456789"
class = "browser"

[[source.key]]
key = "server-key-0123456789"
class = "server"

[[source]]
id = "app"
platform = "ios"

[[source.key]]
key = "app-key-0123456789"
class = "mobile"
"#;

fn error(text: &str) -> String {
    parse(text, "sources.toml").unwrap_err().to_string()
}

fn source(lines: &str) -> String {
    format!(
        "[[source]]\nid = \"shop\"\nplatform = \"web\"\n{lines}\n[[source.key]]\nkey = \"abcdefghijklmnop\"\nclass = \"browser\"\n"
    )
}

#[test]
fn keys_lead_to_their_source_and_class() {
    let sources = parse(GOOD, "sources.toml").unwrap();
    let access = sources.find("server-key-0123456789").unwrap();
    assert_eq!(access.class, KeyClass::Server);
    assert_eq!(
        *access.source,
        Source {
            id: "shop".to_owned(),
            name: "The shop".to_owned(),
            platform: Platform::Web,
            timezone: "Europe/Vienna".to_owned(),
            address: AddressPolicy::Drop,
        }
    );
    let app = sources.find("app-key-0123456789").unwrap();
    assert_eq!(
        (app.class, app.source.name.as_str()),
        (KeyClass::Mobile, "app")
    );
    assert_eq!(
        (app.source.timezone.as_str(), app.source.address),
        ("UTC", AddressPolicy::Truncate)
    );
    assert!(sources.find("web-key").is_none());
    assert!(sources.find("").is_none());
    assert_eq!(sources.topics(), ["events.web", "events.ios"]);
}

#[test]
fn keys_appear_in_no_debug_output() {
    let sources = parse(GOOD, "sources.toml").unwrap();
    assert!(!format!("{sources:?}").contains("key-0123456789"));
}

#[test]
fn mistakes_are_named_with_their_line() {
    let cases = [
        ("", "sources.toml:1: there is no [[source]]"),
        (
            &source("platfrom = \"web\""),
            "sources.toml:4: unknown field `platfrom`",
        ),
        (
            &source("timezone = \"Europe/Wien\""),
            "sources.toml:4: timezone \"Europe/Wien\" is not",
        ),
        (
            &source("address = \"hash\""),
            "sources.toml:4: unknown variant `hash`",
        ),
        (
            "[[source]]\nid = \"a b\"\nplatform = \"web\"",
            "sources.toml:2: source id \"a b\" must",
        ),
        (
            "\n[[source]]\nid = \"a\"\nplatform = \"web\"",
            "sources.toml:2: source \"a\" has no [[source.key]]",
        ),
        (
            "[[source]]\nid = \"a\"\nplatform = \"tv\"",
            "sources.toml:3: unknown variant `tv`",
        ),
        ("[[source]]\nid = ", "sources.toml:2: "),
    ];
    for (text, expected) in cases {
        let error = error(text);
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn duplicates_are_refused() {
    let twice = format!("{}{}", source(""), source(""));
    assert!(error(&twice).starts_with("sources.toml:9: source id \"shop\" is taken in line 2"));
    let same_key = twice.replacen("id = \"shop\"", "id = \"other\"", 1);
    assert_eq!(
        error(&same_key),
        "sources.toml:13: the key is the same as in line 6"
    );
}

#[test]
fn messages_never_show_a_key() {
    let cases = [
        "[[source]]\nid = \"a\"\nplatform = \"web\"\n[[source.key]]\nkey = \"sec ret\"\nclass = \"browser\"",
        "[[source]]\nid = \"a\"\nplatform = \"web\"\n[[source.key]]\nkey = \"sec ret",
        "[[source]]\nid = \"a\"\nplatform = \"web\"\n[[source.key]]\nkey = \"sec ret\" x\nclass = \"browser\"",
    ];
    for text in cases {
        let error = error(text);
        assert!(error.starts_with("sources.toml:5: "), "{error}");
        assert!(
            !error.contains("sec") && !error.contains("ret\""),
            "{error}"
        );
    }
}

#[test]
fn the_list_of_zones_knows_old_and_new_names() {
    for zone in [
        "UTC",
        "Europe/Kyiv",
        "Europe/Kiev",
        "America/Argentina/Ushuaia",
        "Etc/GMT+5",
    ] {
        assert!(is_zone(zone), "{zone}");
    }
    assert!(!is_zone("") && !is_zone("Factory"));
}
