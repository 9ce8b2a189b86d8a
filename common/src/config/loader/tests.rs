use std::time::Duration;

use serde::Deserialize;

use super::*;
use crate::config::{HumanDuration, HumanSize};

#[derive(Debug, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
struct Demo {
    address: String,
    max_age: HumanDuration,
    max_bytes: HumanSize,
    rows: u32,
    strict: bool,
    names: Vec<String>,
    path: Option<String>,
    client: BTreeMap<String, String>,
    inner: Inner,
}

#[derive(Debug, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
struct Inner {
    depth: u32,
}

impl Default for Inner {
    fn default() -> Self {
        Self { depth: 40 }
    }
}

impl Default for Demo {
    fn default() -> Self {
        Self {
            address: "localhost".to_owned(),
            max_age: HumanDuration(Duration::from_secs(1)),
            max_bytes: HumanSize(1 << 20),
            rows: 10,
            strict: false,
            names: Vec::new(),
            path: None,
            client: BTreeMap::new(),
            inner: Inner::default(),
        }
    }
}

fn loader() -> Loader {
    Loader::new().section::<Demo>("demo").unwrap()
}

fn env(loader: Loader, name: &str, value: &str) -> Result<Loader, ConfigError> {
    loader.env([(name.to_owned(), value.to_owned())])
}

fn origin_of(loader: &Loader, name: &str) -> String {
    let settings = loader.settings();
    let setting = settings.into_iter().find(|setting| setting.name == name);
    setting.unwrap().origin
}

#[test]
fn without_any_source_the_defaults_hold() {
    assert_eq!(loader().extract::<Demo>("demo").unwrap(), Demo::default());
}

#[test]
fn later_layers_win_and_each_value_names_its_source() {
    let loader = loader()
        .layer("local stack", [("demo.address".to_owned(), "stack")])
        .layer("local stack", [("demo.path".to_owned(), "/stack")])
        .toml(
            "weir.toml",
            "[demo]\naddress = 'toml'\nrows = 20\nstrict = true",
        )
        .unwrap();
    let loader = env(loader, "WEIR_DEMO_ROWS", "30").unwrap();
    let loader = loader.layer("flag --strict", [("demo.strict".to_owned(), false)]);
    let demo: Demo = loader.extract("demo").unwrap();
    assert_eq!(demo.address, "toml");
    assert_eq!(demo.rows, 30);
    assert!(!demo.strict);
    assert_eq!(demo.path.as_deref(), Some("/stack"));
    assert_eq!(origin_of(&loader, "demo.address"), "weir.toml");
    assert_eq!(
        origin_of(&loader, "demo.rows"),
        "environment variable WEIR_DEMO_ROWS"
    );
    assert_eq!(origin_of(&loader, "demo.strict"), "flag --strict");
    assert_eq!(origin_of(&loader, "demo.path"), "local stack");
    assert_eq!(origin_of(&loader, "demo.max_age"), "default");
}

#[test]
fn variables_take_the_type_of_their_field() {
    let mut all = loader();
    for (name, value) in [
        ("WEIR_DEMO_ADDRESS", "12345"),
        ("WEIR_DEMO_MAX_AGE", "2m"),
        ("WEIR_DEMO_MAX_BYTES", "32MiB"),
        ("WEIR_DEMO_STRICT", "true"),
        ("WEIR_DEMO_NAMES", "a, b"),
        ("WEIR_DEMO_PATH", "007"),
        ("WEIR_DEMO_INNER_DEPTH", "7"),
        ("WEIR_DEMO_CLIENT_SECURITY_PROTOCOL", "SSL"),
    ] {
        all = env(all, name, value).unwrap();
    }
    let demo: Demo = all.extract("demo").unwrap();
    assert_eq!(demo.address, "12345");
    assert_eq!(demo.max_age.0, Duration::from_secs(120));
    assert_eq!(demo.max_bytes.0, 32 << 20);
    assert!(demo.strict);
    assert_eq!(demo.names, ["a", "b"]);
    assert_eq!(demo.path.as_deref(), Some("007"));
    assert_eq!(demo.inner.depth, 7);
    assert_eq!(demo.client["security.protocol"], "SSL");
}

#[test]
fn free_maps_keep_dots_in_their_keys_in_every_spelling() {
    let text = "[demo.client]\nlinger.ms = '5'\n\"batch.size\" = '9'";
    let loader = loader().toml("weir.toml", text).unwrap();
    let demo: Demo = loader.extract("demo").unwrap();
    assert_eq!(demo.client["linger.ms"], "5");
    assert_eq!(demo.client["batch.size"], "9");
    assert_eq!(origin_of(&loader, "demo.client.linger.ms"), "weir.toml");
}

#[test]
fn a_secret_can_come_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    std::fs::write(&path, "s3cret\n").unwrap();
    let loader = env(loader(), "WEIR_DEMO_ADDRESS_FILE", path.to_str().unwrap()).unwrap();
    assert_eq!(loader.extract::<Demo>("demo").unwrap().address, "s3cret");
    let error = env(loader, "WEIR_DEMO_ADDRESS_FILE", "/nowhere").unwrap_err();
    assert!(
        error.to_string().contains("cannot read the file /nowhere"),
        "{error}"
    );
}

#[test]
fn unknown_settings_are_refused_with_the_known_ones() {
    let error = loader().toml("weir.toml", "[demo]\nadress = 'x'").unwrap();
    let error = error.extract::<Demo>("demo").unwrap_err().to_string();
    assert!(
        error.starts_with("unknown setting demo.adress (weir.toml); known are address, max_age"),
        "{error}"
    );

    let error = loader().toml("weir.toml", "[dmeo]\nrows = 1").unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown setting dmeo (weir.toml); known are demo"
    );

    let error = env(loader(), "WEIR_DEMO_ADRESS", "x")
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("unknown setting demo.adress (environment variable WEIR_DEMO_ADRESS)"),
        "{error}"
    );
}

#[test]
fn variables_of_others_are_ignored() {
    for name in [
        "PATH",
        "WEIR_STACK",
        "WEIR_DEMO_SERVICE_HOST",
        "WEIR_DEMO_PORT",
        "WEIR_DEMO_PORT_80_TCP_ADDR",
    ] {
        assert!(env(loader(), name, "tcp://10.0.0.1:80").is_ok(), "{name}");
    }
}

#[test]
fn wrong_values_name_the_setting_the_source_and_what_is_expected() {
    let loader_ = loader().toml("weir.toml", "[demo]\nmax_age = 5").unwrap();
    let error = loader_.extract::<Demo>("demo").unwrap_err().to_string();
    assert!(
        error.starts_with("setting demo.max_age (weir.toml): "),
        "{error}"
    );
    assert!(error.contains("such as"), "{error}");

    let loader_ = env(loader(), "WEIR_DEMO_MAX_BYTES", "lots").unwrap();
    let error = loader_.extract::<Demo>("demo").unwrap_err().to_string();
    assert!(
        error.starts_with("setting demo.max_bytes (environment variable WEIR_DEMO_MAX_BYTES): "),
        "{error}"
    );

    let error = env(loader(), "WEIR_DEMO_ROWS", "many").unwrap_err();
    assert_eq!(
        error.to_string(),
        "setting demo.rows (environment variable WEIR_DEMO_ROWS): found \"many\", expected a number"
    );

    let loader_ = env(loader(), "WEIR_DEMO_INNER_DEPTH", "-1").unwrap();
    let error = loader_.extract::<Demo>("demo").unwrap_err().to_string();
    assert!(
        error.starts_with("setting demo.inner.depth (env"),
        "{error}"
    );
}

#[test]
fn a_broken_file_says_where() {
    let error = loader().toml("weir.toml", "[demo\nrows = 1").unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("weir.toml is not valid TOML") && error.contains("line 1"),
        "{error}"
    );
    let error = loader()
        .toml_file(Path::new("/nowhere/weir.toml"))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot read the settings file /nowhere/weir.toml"),
        "{error}"
    );
}

#[test]
fn a_setting_can_be_given_as_text_by_its_full_name() {
    let mut all = loader();
    for (name, value) in [
        ("demo.rows", "3"),
        ("demo.inner.depth", "4"),
        ("demo.client.linger.ms", "5"),
        ("demo.max_age", "6s"),
    ] {
        all = all.text("flag --set", name, value).unwrap();
    }
    let demo: Demo = all.extract("demo").unwrap();
    assert_eq!((demo.rows, demo.inner.depth), (3, 4));
    assert_eq!(demo.client["linger.ms"], "5");
    assert_eq!(demo.max_age.0, Duration::from_secs(6));
    for (name, value) in [
        ("demo.row", "3"),
        ("dmeo.rows", "3"),
        ("rows", "3"),
        ("demo.rows", "x"),
    ] {
        let error = loader()
            .text("flag --set", name, value)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(name) && error.contains("flag --set"),
            "{error}"
        );
    }
}
