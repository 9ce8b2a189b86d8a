use super::{Insert, Query, Statement, analyse, identifier, quoted, with_query_ids};

fn insert(text: &str) -> Option<(String, String, String)> {
    match analyse(text.as_bytes()) {
        Statement::Insert(Insert {
            head_end,
            format,
            data_start,
        }) => Some((
            text[..head_end].to_owned(),
            format,
            text[data_start..].to_owned(),
        )),
        Statement::Query(_) => None,
    }
}

fn query(text: &str) -> Query {
    match analyse(text.as_bytes()) {
        Statement::Query(query) => query,
        Statement::Insert(insert) => panic!("{text} is {insert:?}"),
    }
}

#[test]
fn the_rows_of_an_insert_begin_after_one_line_end() {
    for (text, head, format, data) in [
        (
            "INSERT INTO t FORMAT CSV\n\n1",
            "INSERT INTO t ",
            "CSV",
            "\n1",
        ),
        ("insert into t format CSV 1", "insert into t ", "CSV", "1"),
        (
            "INSERT INTO t FORMAT TSV \t\r\n\t",
            "INSERT INTO t ",
            "TSV",
            "\t",
        ),
        (
            "INSERT INTO t (a, b) VALUES (1)",
            "INSERT INTO t (a, b) ",
            "Values",
            " (1)",
        ),
        ("INSERT INTO t VALUES", "INSERT INTO t ", "Values", ""),
        (
            "INSERT INTO TABLE db.t FORMAT CSV\n",
            "INSERT INTO TABLE db.t ",
            "CSV",
            "",
        ),
        (
            "INSERT INTO table VALUES (1)",
            "INSERT INTO table ",
            "Values",
            " (1)",
        ),
        (
            "INSERT INTO `format`.\"values\" FORMAT CSV\n",
            "INSERT INTO `format`.\"values\" ",
            "CSV",
            "",
        ),
        (
            "INSERT INTO db.values (values) FORMAT CSV\n",
            "INSERT INTO db.values (values) ",
            "CSV",
            "",
        ),
        (
            "INSERT INTO t SETTINGS a = 1, b = 'FORMAT X' FORMAT CSV\n",
            "INSERT INTO t SETTINGS a = 1, b = 'FORMAT X' ",
            "CSV",
            "",
        ),
        (
            "/* FORMAT */ INSERT INTO t -- VALUES\nFORMAT CSV\n",
            "/* FORMAT */ INSERT INTO t -- VALUES\n",
            "CSV",
            "",
        ),
        (
            "INSERT INTO FUNCTION null('a Int8') VALUES (1)",
            "INSERT INTO FUNCTION null('a Int8') ",
            "Values",
            " (1)",
        ),
        ("INSERT INTO {t:Identifier} FORMAT CSV\n", "", "", ""),
    ] {
        let expected =
            (!format.is_empty()).then(|| (head.to_owned(), format.to_owned(), data.to_owned()));
        assert_eq!(insert(text), expected, "{text}");
    }
}

#[test]
fn binary_rows_are_not_looked_at() {
    let mut text = b"INSERT INTO t FORMAT RowBinary\n".to_vec();
    text.extend_from_slice(b"'\xff\0SELECT(");
    let Statement::Insert(insert) = analyse(&text) else {
        panic!("no insert");
    };
    assert_eq!(insert.data_start, 31);
}

#[test]
fn inserts_from_selects_are_queries() {
    for text in [
        "INSERT INTO t SELECT 1",
        "INSERT INTO t (a) SELECT 1 FORMAT CSV",
        "INSERT INTO t (SELECT 1)",
        "INSERT INTO t WITH 1 AS x SELECT x",
        "INSERT INTO t",
        "INSERT INTO t FORMAT",
    ] {
        assert!(query(text).is_insert, "{text}");
    }
    assert!(query("INSERT INTO t FROM INFILE 'x' FORMAT CSV").reads_file);
    assert!(query("INSERT INTO t SELECT * FROM input('a Int8') FORMAT CSV").reads_input);
    assert!(!query("SELECT input FROM t").reads_input);
}

#[test]
fn a_query_tells_its_format_and_kind() {
    assert_eq!(
        query("SELECT 'FORMAT x', (SELECT 1) FORMAT JSON SETTINGS a = 1").format,
        Some("JSON".to_owned())
    );
    assert_eq!(query("SELECT 1").format, None);
    assert!(query("(SELECT 1) UNION ALL (SELECT 2)").is_select);
    assert!(query("WITH 1 AS x SELECT x").is_select);
    assert!(!query("SHOW TABLES").is_select);
    assert!(query("SELECT 1 INTO OUTFILE 'x'").writes_file);
    assert!(query(" -- nothing\n/* at all */").is_empty);
}

#[test]
fn functions_that_reach_out_are_known_by_their_names() {
    for text in [
        "SELECT file('x')",
        "DESCRIBE URL ('x')",
        "SELECT * FROM s3Cluster('c', 'u')",
        "SELECT * FROM icebergS3('u')",
    ] {
        assert!(query(text).reaches_out, "{text}");
    }
    for text in [
        "SELECT url FROM t",
        "SELECT URLHash(url)",
        "SELECT count(file) FROM t",
        "SELECT numbers(1)",
    ] {
        assert!(!query(text).reaches_out, "{text}");
    }
}

#[test]
fn only_one_statement_is_a_statement() {
    assert!(!query("SELECT 1; -- over").is_followed);
    assert!(!query("SELECT ';' ;;").is_followed);
    assert!(query("SELECT 1; SELECT 2").is_followed);
    assert!(query("CREATE TABLE t (a Int8); garbage").is_followed);
    assert!(!query("SELECT $x$;SELECT$x$, $y").is_followed);
}

#[test]
fn query_ids_are_looked_up_where_they_are_kept() {
    let rewritten =
        |text: &str| String::from_utf8(with_query_ids(text.as_bytes()).into_owned()).unwrap();
    assert_eq!(
        rewritten("KILL QUERY WHERE query_id = 'query_id' SYNC"),
        "KILL QUERY WHERE Settings['query_cache_tag'] = 'query_id' SYNC"
    );
    assert_eq!(
        rewritten("SELECT query_id FROM system.processes WHERE 1"),
        "SELECT query_id FROM (SELECT * REPLACE (Settings['query_cache_tag'] AS query_id, \
         Settings['query_cache_tag'] AS initial_query_id) FROM system.processes) WHERE 1"
    );
    for text in [
        "SELECT query_id FROM system.query_log",
        "KILL MUTATION WHERE query_id = 1",
        "SELECT 'FROM system.processes'",
    ] {
        assert_eq!(rewritten(text), text);
    }
}

#[test]
fn values_and_names_are_quoted() {
    assert_eq!(quoted(r"it's \n"), r"'it\'s \\n'");
    assert_eq!(identifier("a`b"), r"`a\`b`");
}
