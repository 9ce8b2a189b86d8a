use super::{Code, Exception};

#[test]
fn the_engines_code_is_read_and_its_version_is_dropped() {
    for (message, code, text) in [
        (
            "Code: 60. DB::Exception: Table default.t does not exist. (UNKNOWN_TABLE)",
            60,
            "Code: 60. DB::Exception: Table default.t does not exist. (UNKNOWN_TABLE)",
        ),
        (
            "Code: 27. DB::Exception: Cannot parse: (at row 2)\n. (X) (version 26.7.2.1)",
            27,
            "Code: 27. DB::Exception: Cannot parse: (at row 2)\n. (X)",
        ),
        (
            "Code: 164. DB::Exception: Code: 164. DB::Exception: No. (READONLY) (version 26.7.2.1). (READONLY)",
            164,
            "Code: 164. DB::Exception: No. (READONLY)",
        ),
    ] {
        let exception = Exception::from_engine(message);
        assert_eq!(exception.code, code);
        assert_eq!(exception.message, text);
    }
}

#[test]
fn a_message_without_a_code_is_an_unknown_exception() {
    let exception = Exception::from_engine("Error: something broke");
    assert_eq!(exception.code, 1002);
    assert_eq!(
        exception.message,
        "Code: 1002. DB::Exception: Error: something broke. (UNKNOWN_EXCEPTION)"
    );
}

#[test]
fn statuses_are_those_of_a_server() {
    for (code, status) in [
        (62, 400),
        (516, 403),
        (60, 404),
        (159, 408),
        (229, 413),
        (164, 500),
        (48, 501),
        (202, 503),
    ] {
        let exception = Exception {
            code,
            message: String::new(),
        };
        assert_eq!(exception.status(), status, "code {code}");
    }
}

#[test]
fn own_exceptions_read_like_the_engines() {
    assert_eq!(
        Exception::new(Code::SyntaxError, "Empty query").message,
        "Code: 62. DB::Exception: Empty query. (SYNTAX_ERROR)"
    );
}
