//! Texts are those of ClickHouse 26.7.

use super::*;

const READ: &str = "\n: While executing BinaryRowInputFormat.";

fn unreadable(row: Option<u64>) -> Class {
    Class::UnreadableRow { row }
}

#[test]
fn a_value_the_body_holds_and_the_table_refuses_is_its_rows_fault() {
    for (code, message, row) in [
        (
            117,
            format!(
                "Code: 117. DB::Exception: Cannot parse JSON object here: {{\"a\":}}: (at row 3){READ} (INCORRECT_DATA) (version 26.7.2.1)"
            ),
            Some(2),
        ),
        (
            117,
            format!(
                "Code: 117. DB::Exception: Cannot insert data into JSON column: Duplicate path found during parsing JSON object: a.b. You can enable setting type_json_skip_duplicated_paths to skip duplicated paths during insert: (at row 1){READ} (INCORRECT_DATA) (version 26.7.1.1 (official build))\n"
            ),
            Some(0),
        ),
        (
            691,
            format!("Unknown element 9 for enum: (at row 12){READ} (UNKNOWN_ELEMENT_OF_ENUM)"),
            Some(11),
        ),
        (
            117,
            "Cannot read: While executing BinaryRowInputFormat. (INCORRECT_DATA)".to_owned(),
            None,
        ),
        (117, format!("(at row 0){READ} (INCORRECT_DATA)"), None),
    ] {
        assert_eq!(classify(code, &message), unreadable(row), "{message}");
    }
}

#[test]
fn a_row_that_quotes_an_exception_does_not_change_the_judgement() {
    let quoted = format!(
        "Cannot parse JSON object here: {{\"x\": while pushing to view a. (at row 9){READ} (INCORRECT_DATA)}}: (at row 1){READ} (INCORRECT_DATA) (version 26.7.2.1)"
    );
    assert_eq!(classify(117, &quoted), unreadable(Some(0)));
}

#[test]
fn an_error_of_a_view_is_no_rows_fault() {
    for (code, message) in [
        (395, format!("boom (at row 3){READ} (INCORRECT_DATA): while executing 'FUNCTION throwIf(…)': while pushing to view weir.t_mv. (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO) (version 26.7.2.1)")),
        (6, "Cannot parse string 'page' as UInt64: syntax error at begin of string: while executing 'FUNCTION toUInt64(…)': while pushing to view weir.t_mv. (CANNOT_PARSE_TEXT) (version 26.7.2.1)".to_owned()),
        (117, format!("Cannot parse: (at row 3){READ}: while pushing to view weir.t_mv. (INCORRECT_DATA) (version 26.7.2.1)")),
        (469, "Constraint `x` for table weir.t is violated at row 4. Expression: (a < 3). Column values: a = 3: while pushing to view weir.t_mv. (VIOLATED_CONSTRAINT) (version 26.7.2.1)".to_owned()),
    ] {
        assert_eq!(classify(code, &message), Class::Stop, "{message}");
    }
}

#[test]
fn rows_that_do_not_fit_the_columns_stop() {
    for (code, message) in [
        (33, format!("Cannot read all data. Bytes read: 1. Bytes expected: 2: (at row 5){READ} (CANNOT_READ_ALL_DATA) (version 26.7.2.1)")),
        (128, "Too large array size: 1125899906842624: While executing BinaryRowInputFormat. (TOO_LARGE_ARRAY_SIZE) (version 26.7.2.1)".to_owned()),
        (131, format!("Too large string size: 1099511627776: (at row 2){READ} (TOO_LARGE_STRING_SIZE) (version 26.7.2.1)")),
    ] {
        assert_eq!(classify(code, &message), Class::Stop, "{message}");
    }
}

#[test]
fn load_network_and_replication_are_retried_whatever_the_text() {
    let reading = format!(
        "Query memory limit exceeded: (at row 3){READ} (MEMORY_LIMIT_EXCEEDED) (version 26.7.2.1)"
    );
    for code in [
        159, 160, 202, 209, 210, 225, 236, 241, 242, 243, 252, 285, 319, 425, 999,
    ] {
        assert_eq!(classify(code, "x"), Class::Retry, "{code}");
        assert_eq!(classify(code, &reading), Class::Retry, "{code}");
    }
}

#[test]
fn schema_access_and_settings_stop() {
    for code in [
        0, 16, 20, 36, 43, 44, 46, 47, 48, 57, 60, 62, 81, 115, 122, 164, 192, 193, 194, 218,
        241_000, 469, 497, 516,
    ] {
        assert_eq!(classify(code, "x"), Class::Stop, "{code}");
    }
}

#[test]
fn a_killed_query_is_neither() {
    assert_eq!(classify(394, "Query was cancelled"), Class::Killed);
}

#[test]
fn an_answer_without_a_code_is_judged_by_its_status() {
    let class = |status| Error::from_answer(status, None, "<html>").class();
    for status in [408, 425, 429, 500, 502, 503, 504] {
        assert_eq!(class(status), Class::Retry, "{status}");
    }
    for status in [301, 400, 401, 403, 404, 405, 413] {
        assert_eq!(class(status), Class::Stop, "{status}");
    }
}

#[test]
fn the_code_is_taken_from_the_header_or_else_the_text() {
    let of = |code, body: &str| Error::from_answer(500, code, body).code();
    assert_eq!(of(Some(60), "Code: 16. DB::Exception: x"), Some(60));
    assert_eq!(of(None, "Code: 16. DB::Exception: x"), Some(16));
    assert_eq!(of(None, "Bad Gateway"), None);
}

#[test]
fn the_code_is_told_once() {
    let body = "Code: 60. DB::Exception: Table weir.x does not exist. (UNKNOWN_TABLE)";
    let told = "clickhouse refused with code 60: Table weir.x does not exist. (UNKNOWN_TABLE)";
    let twice = format!("Code: 60. DB::Exception: {body}");
    for text in [body, &twice] {
        assert_eq!(Error::from_answer(404, Some(60), text).to_string(), told);
        let reported = clickhouse::error::Error::BadResponse(text.to_owned());
        assert_eq!(Error::from(reported).to_string(), told);
    }
    assert_eq!(
        Error::from_answer(500, Some(60), "Code: 16. DB::Exception: x").to_string(),
        "clickhouse refused with code 60: Code: 16. DB::Exception: x"
    );
}

#[test]
fn what_the_client_crate_reports_is_judged_alike() {
    let of = |text: &str| Error::from(clickhouse::error::Error::BadResponse(text.to_owned()));
    assert_eq!(of("Code: 241. DB::Exception: Memory").class(), Class::Retry);
    assert_eq!(of("Code: 516").code(), Some(516));
    assert_eq!(of("503 Service Unavailable").class(), Class::Retry);
    assert_eq!(of("404 Not Found").class(), Class::Stop);
    assert!(matches!(of("nonsense"), Error::Answer(_)));
    let refused = std::io::Error::other("refused");
    let network = Error::from(clickhouse::error::Error::Network(refused.into()));
    assert_eq!(network.class(), Class::Retry);
}

#[test]
fn a_long_message_keeps_its_end() {
    let long = format!(
        "Code: 117. DB::Exception: {}: (at row 3){READ} (INCORRECT_DATA) (version 26.7.2.1)",
        "ü".repeat(100_000)
    );
    let error = Error::from_answer(400, Some(117), &long);
    assert_eq!(error.class(), unreadable(Some(2)));
    assert!(error.to_string().len() < 3_000);
}

#[test]
fn the_brief_form_quotes_no_row() {
    let text = format!(
        "Code: 117. DB::Exception: Cannot parse JSON object here: {{\"secret\": (at row 1){READ} (INCORRECT_DATA) (version 26.7.2.1)"
    );
    let error = Error::from_answer(400, None, &text);
    assert_eq!(
        error.brief(),
        "clickhouse refused with code 117 (INCORRECT_DATA)"
    );
    assert_eq!(
        Error::from_answer(500, Some(7), "x").brief(),
        "clickhouse refused with code 7"
    );
}
