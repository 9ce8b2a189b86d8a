use super::*;

const COMBINED: &str = r#"83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /a.png?x=1 HTTP/1.1" 200 203023 "http://semicomplete.com/" "Mozilla/5.0 (X11)""#;

fn ok(line: &str) -> Line {
    parse(line.as_bytes()).unwrap_or_else(|reject| panic!("{line}: {reject}"))
}

fn reject(line: &str) -> String {
    parse(line.as_bytes()).unwrap_err().to_string()
}

fn call(method: &str, target: &str) -> Request {
    Request::Call {
        method: method.to_owned(),
        target: target.to_owned(),
    }
}

/// A combined line with another request, referrer and agent.
fn with(request: &str, referrer: &str, agent: &str) -> Line {
    ok(&format!(
        r#"::1 - - [17/May/2015:10:05:03 +0000] "{request}" 200 1 "{referrer}" "{agent}""#
    ))
}

#[test]
fn a_combined_line_gives_all_fields() {
    let line = ok(COMBINED);
    assert_eq!(line.host, "83.149.9.216");
    assert_eq!(line.ts_ms, 1_431_857_103_000);
    assert_eq!(line.request, call("GET", "/a.png?x=1"));
    assert_eq!((line.status, line.bytes), (200, 203_023));
    assert_eq!(line.referrer, "http://semicomplete.com/");
    assert_eq!(line.agent, "Mozilla/5.0 (X11)");
}

#[test]
fn a_common_line_has_neither_referrer_nor_agent() {
    let line = ok(
        r#"example.org - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326"#,
    );
    assert_eq!(line.host, "example.org");
    assert_eq!(line.ts_ms, 971_211_336_000);
    assert_eq!((line.referrer.as_str(), line.agent.as_str()), ("", ""));
}

#[test]
fn absent_fields_are_empty_and_a_dash_is_no_bytes() {
    let line =
        ok(r#"2001:db8::1 - - [01/Jan/2024:00:00:00 +0530] "HEAD / HTTP/1.1" 304 - "-" "-""#);
    assert_eq!(line.host, "2001:db8::1");
    assert_eq!(line.bytes, 0);
    assert_eq!((line.referrer.as_str(), line.agent.as_str()), ("", ""));
    assert_eq!(line.ts_ms, 1_704_047_400_000);
}

#[test]
fn users_may_have_blanks_quotes_and_brackets_in_their_names() {
    for user in ["Frank N. Furter", "a [b]", "\"frank\"", "[not/a/time]"] {
        let line = COMBINED.replacen("- -", &format!("- {user}"), 1);
        assert_eq!(ok(&line).request, call("GET", "/a.png?x=1"), "{user}");
    }
}

#[test]
fn fields_after_the_agent_are_ignored() {
    assert_eq!(ok(&format!("{COMBINED} \"10.0.0.1\" 0.005")), ok(COMBINED));
    assert_eq!(ok(&format!("{COMBINED} \"never closed")), ok(COMBINED));
}

#[test]
fn escapes_are_undone() {
    let line = with(
        r"GET / HTTP/1.1",
        r"http://x/\x22a\x22",
        r#"my \"agent\" \\o/"#,
    );
    assert_eq!(line.referrer, "http://x/\"a\"");
    assert_eq!(line.agent, r#"my "agent" \o/"#);
    assert_eq!(
        with("GET / HTTP/1.1", "-", r"gr\xc3\xbc\xc3\x9f").agent,
        "grüß"
    );
}

#[test]
fn escapes_that_make_no_text_stay_as_they_are() {
    for agent in [
        r"\xe4\xe5",
        r"\q",
        r"\x4",
        r"\xzz",
        r"a\tb",
        r"\x00",
        r"\x1b[0m",
    ] {
        assert_eq!(with("GET / HTTP/1.1", "-", agent).agent, agent);
    }
    let mut raw = COMBINED.replace("X11", "?").into_bytes();
    let at = raw.iter().rposition(|byte| *byte == b'?').unwrap();
    raw[at] = 0xff;
    assert_eq!(parse(&raw).unwrap().agent, r"Mozilla/5.0 (\xff)");
}

#[test]
fn odd_requests_are_read_or_kept_as_text() {
    let request = |text: &str| with(text, "-", "-").request;
    assert_eq!(request("GET /a b HTTP/1.1"), call("GET", "/a b"));
    assert_eq!(request("GET /"), call("GET", "/"));
    assert_eq!(request("OPTIONS * HTTP/1.0"), call("OPTIONS", "*"));
    assert_eq!(
        request("GET http://example.com/x HTTP/1.1"),
        call("GET", "http://example.com/x")
    );
    assert_eq!(request("-"), Request::Unreadable(String::new()));
    assert_eq!(request(""), Request::Unreadable(String::new()));
    assert_eq!(
        request(r"\x16\x03\x01"),
        Request::Unreadable(r"\x16\x03\x01".to_owned())
    );
    assert_eq!(request("quit"), Request::Unreadable("quit".to_owned()));
}

#[test]
fn a_line_that_breaks_off_says_where() {
    let cut = |until: &str| {
        let end = COMBINED.find(until).unwrap() + until.len();
        reject(&COMBINED[..end])
    };
    assert_eq!(reject(""), "the line ends before the address");
    assert_eq!(cut("216"), "the line ends before the time");
    assert_eq!(cut("+0000]"), "the line ends before the request");
    assert_eq!(cut("GET /a"), "the request has no closing quote");
    assert_eq!(cut("1.1\""), "the line ends before the status");
    assert_eq!(cut(" 200"), "the line ends before the size");
    assert_eq!(cut("complete.com/\""), "the line ends before the agent");
    assert_eq!(cut("Mozilla"), "the agent has no closing quote");
    assert_eq!(
        reject(&COMBINED.replace("(X11)\"", "\\\"")),
        "the agent has no closing quote"
    );
}

#[test]
fn wrong_fields_are_named_and_shown() {
    let replaced = |from: &str, to: &str| reject(&COMBINED.replace(from, to));
    assert_eq!(
        replaced("17/May", "32/May"),
        "the time \"32/May/2015:10:05:03 +0000\" is not a time such as 10/Oct/2000:13:55:36 -0700"
    );
    assert!(replaced("May", "Mai").contains("is not a time"));
    assert!(replaced("+0000", "UTC").contains("is not a time"));
    assert!(replaced("10:05:03", "25:05:03").contains("is not a time"));
    assert_eq!(
        replaced(" 200 ", " OK "),
        "the status \"OK\" is not a number of three digits"
    );
    assert!(replaced(" 200 ", " +20 ").contains("three digits"));
    assert!(replaced("203023", "12.5").contains("is not a number or -"));
    assert!(replaced("203023", "99999999999999999999999").contains("is not a number or -"));
    assert_eq!(
        replaced("Mozilla/5.0", "an \"agent\" of"),
        "the agent contains a quote that is not escaped"
    );
    assert!(reject("{\"json\": true}").contains("is not an address or host name"));
    assert!(reject("\u{1f8b}\u{8}\0\0").contains("ends before the time"));
}

#[test]
fn no_input_makes_the_parser_panic() {
    // Every prefix and every single-byte change of a line that uses all features.
    let line = r#"::1 - a [b] [17/May/2015:10:05:60 +0000] "GET /\x41 HTTP/1.1" 200 - "\"" "\\" x"#;
    assert!(parse(line.as_bytes()).is_ok());
    for end in 0..line.len() {
        drop(parse(&line.as_bytes()[..end]));
    }
    for at in 0..line.len() {
        for byte in [0, b'"', b'\\', b'[', b']', b' ', b'-', b'9', 0xff] {
            let mut changed = line.as_bytes().to_vec();
            changed[at] = byte;
            drop(parse(&changed));
        }
    }
}
