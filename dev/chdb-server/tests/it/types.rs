//! Types on the way in and out.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::macros::datetime;
use uuid::Uuid;

use crate::server::Server;

#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
struct Everything {
    id: u64,
    small: i8,
    large: i128,
    float: f64,
    flag: bool,
    text: String,
    fixed: [u8; 4],
    maybe: Option<String>,
    low: String,
    low_maybe: Option<String>,
    list: Vec<Option<i32>>,
    pair: (String, u8),
    map: BTreeMap<String, u32>,
    #[serde(with = "clickhouse::serde::uuid")]
    uuid: Uuid,
    #[serde(with = "clickhouse::serde::time::datetime64::millis")]
    at: OffsetDateTime,
    #[serde(with = "clickhouse::serde::time::datetime")]
    second: OffsetDateTime,
}

const COLUMNS: &str = "id UInt64, small Int8, large Int128, float Float64, flag Bool, text String, fixed FixedString(4), \
    maybe Nullable(String), low LowCardinality(String), low_maybe LowCardinality(Nullable(String)), list Array(Nullable(Int32)), \
    pair Tuple(String, UInt8), map Map(String, UInt32), uuid UUID, at DateTime64(3, 'UTC'), second DateTime('UTC')";

fn everything() -> [Everything; 2] {
    let full = Everything {
        id: u64::MAX,
        small: -128,
        large: i128::MIN,
        float: -0.1,
        flag: true,
        text: "tab\tline\n\0quote'\\ ünïcödé".to_owned(),
        fixed: *b"a\0\nb",
        maybe: Some(String::new()),
        low: "low".to_owned(),
        low_maybe: Some("low".to_owned()),
        list: vec![Some(-1), None, Some(i32::MAX)],
        pair: ("left".to_owned(), 255),
        map: BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]),
        uuid: Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
        at: datetime!(2026-01-02 03:04:05.678 UTC),
        second: datetime!(2026-01-02 03:04:05 UTC),
    };
    let empty = Everything {
        id: 0,
        small: 0,
        large: 0,
        float: 0.0,
        flag: false,
        text: String::new(),
        fixed: [0; 4],
        maybe: None,
        low: String::new(),
        low_maybe: None,
        list: Vec::new(),
        pair: (String::new(), 0),
        map: BTreeMap::new(),
        uuid: Uuid::nil(),
        at: datetime!(1970-01-01 00:00 UTC),
        second: datetime!(1970-01-01 00:00 UTC),
    };
    [empty, full]
}

#[tokio::test]
async fn values_survive_the_round_trip_through_the_crate() {
    let server = Server::start();
    server.execute(&format!(
        "CREATE TABLE everything ({COLUMNS}) ENGINE = MergeTree ORDER BY id"
    ));
    let client = server.client();
    for validated in [true, false] {
        let client = client.clone().with_validation(validated);
        server.execute("TRUNCATE TABLE everything");
        let mut insert = client.insert::<Everything>("everything").await.unwrap();
        for row in everything() {
            insert.write(&row).await.unwrap();
        }
        insert.end().await.unwrap();
        let rows = client
            .query("SELECT ?fields FROM everything ORDER BY id")
            .fetch_all::<Everything>()
            .await
            .unwrap();
        // A Map comes as pairs, which serde reads into a map as well.
        assert_eq!(rows, everything());
    }
}

#[tokio::test]
async fn values_survive_the_round_trip_through_every_format() {
    let server = Server::start();
    for table in ["source", "target"] {
        server.execute(&format!(
            "CREATE TABLE {table} ({COLUMNS}) ENGINE = MergeTree ORDER BY id"
        ));
    }
    let mut insert = server
        .client()
        .insert::<Everything>("source")
        .await
        .unwrap();
    for row in everything() {
        insert.write(&row).await.unwrap();
    }
    insert.end().await.unwrap();
    for format in [
        "TabSeparated",
        "TabSeparatedWithNamesAndTypes",
        "JSONEachRow",
        "JSONCompactEachRow",
        "JSON",
        "Values",
        "RowBinary",
        "RowBinaryWithNamesAndTypes",
        "Native",
        "Parquet",
    ] {
        server.execute("TRUNCATE TABLE target");
        let rows = server
            .request()
            .param("default_format", format)
            .body("SELECT * FROM source")
            .send();
        assert_eq!(rows.status, 200, "{}", rows.text());
        let statement = format!("INSERT INTO target FORMAT {format}");
        let insert = server.request().param("query", statement).body(rows.body);
        assert_eq!(insert.send().ok(), "", "{format}");
        let differences = "SELECT count() FROM (SELECT * FROM source EXCEPT SELECT * FROM target)";
        assert_eq!(server.execute(differences), "0", "{format}");
        assert_eq!(
            server.execute("SELECT count() FROM target"),
            "2",
            "{format}"
        );
    }
}

#[test]
fn json_objects_survive_the_round_trip() {
    let server = Server::start();
    server.execute("CREATE TABLE objects (id UInt8, object JSON) ENGINE = MergeTree ORDER BY id");
    let rows = concat!(
        r#"{"id": 1, "object": {"a": {"b": 42}, "list": [1, 2], "text": "x\n\n"}}"#,
        "\n",
        r#"{"id": 2, "object": {}}"#,
        "\n",
    );
    server
        .request()
        .param("query", "INSERT INTO objects FORMAT JSONEachRow")
        .body(rows)
        .send()
        .ok();
    assert_eq!(
        server.execute("SELECT object.a.b, object.text, object FROM objects ORDER BY id FORMAT JSONCompactEachRow"),
        "[42, \"x\\n\\n\", {\"a\":{\"b\":42},\"list\":[1,2],\"text\":\"x\\n\\n\"}]\n[null, null, {}]"
    );
    let refused = server
        .request()
        .param("query", "INSERT INTO objects FORMAT JSONEachRow")
        .body(r#"{"id": 3, "object": {"a": 1, "a": 2}}"#)
        .send();
    assert_eq!(refused.code(), 117, "{}", refused.text());
    assert_eq!(server.execute("SELECT count() FROM objects"), "2");
}

#[tokio::test]
async fn json_objects_pass_the_crate_as_text() {
    #[derive(Debug, PartialEq, Row, Serialize, Deserialize)]
    struct Object {
        id: u8,
        object: String,
    }
    let server = Server::start();
    server.execute("CREATE TABLE objects (id UInt8, object JSON) ENGINE = MergeTree ORDER BY id");
    let client = server
        .client()
        .with_setting("input_format_binary_read_json_as_string", "1")
        .with_setting("output_format_binary_write_json_as_string", "1");
    let row = Object {
        id: 1,
        object: r#"{"a":{"b":42}}"#.to_owned(),
    };
    let mut insert = client.insert::<Object>("objects").await.unwrap();
    insert.write(&row).await.unwrap();
    insert.end().await.unwrap();
    let rows = client
        .query("SELECT ?fields FROM objects")
        .fetch_all::<Object>()
        .await
        .unwrap();
    assert_eq!(rows, [row]);
}

#[test]
fn aggregate_states_are_kept_and_merged() {
    let server = Server::start();
    server.execute(
        "CREATE TABLE states (day Date, visitors AggregateFunction(uniqExact, UInt64), views SimpleAggregateFunction(sum, UInt64)) \
         ENGINE = AggregatingMergeTree ORDER BY day",
    );
    for range in ["0, 100", "50, 100"] {
        server.execute(&format!(
            "INSERT INTO states SELECT '2026-01-01', uniqExactState(number), count() FROM numbers({range})"
        ));
    }
    let states = server
        .request()
        .body("SELECT * FROM states FORMAT RowBinary")
        .send();
    assert_eq!(states.status, 200);
    server.execute("TRUNCATE TABLE states");
    server
        .request()
        .param("query", "INSERT INTO states FORMAT RowBinary")
        .body(states.body)
        .send()
        .ok();
    assert_eq!(
        server.execute("SELECT day, uniqExactMerge(visitors), sum(views) FROM states GROUP BY day"),
        "2026-01-01\t150\t200"
    );
}
