//! Event names: `Order Completed`, `orderCompleted` and `order-completed` are one event.

/// Returns the name in `snake_case`: words in lower case joined by one underscore. Words end at anything that
/// is no letter or digit, and where lower case turns to upper (`signUp`) or a run of capitals ends
/// (`HTTPRequest`). Empty when there is no letter or digit.
pub fn snake_case(sent: &str) -> String {
    let mut name = String::with_capacity(sent.len() + 4);
    let mut previous: Option<char> = None;
    let mut chars = sent.chars().peekable();
    while let Some(c) = chars.next() {
        if !c.is_alphanumeric() {
            // An apostrophe is part of its word: "didn't" is "didnt".
            if !matches!(c, '\'' | '’') {
                previous = None;
            }
            continue;
        }
        let word_begins = match previous {
            None => true,
            Some(previous) if is_capital(c) => {
                let run_ends = chars
                    .peek()
                    .is_some_and(|next| next.is_alphabetic() && !is_capital(*next));
                !is_capital(previous) || run_ends
            }
            Some(_) => false,
        };
        if word_begins && !name.is_empty() {
            name.push('_');
        }
        name.extend(c.to_lowercase().filter(|c| c.is_alphanumeric()));
        previous = Some(c);
    }
    name
}

/// Whether a character has another one for lower case; mathematical capitals, say, have none.
fn is_capital(c: char) -> bool {
    !c.to_lowercase().eq([c])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_name_become_one_name() {
        for sent in [
            "Order Completed",
            "order_completed",
            "orderCompleted",
            "OrderCompleted",
            "order-completed",
            " Order  Completed! ",
            "ORDER COMPLETED",
            "order.completed",
            "ORDER_COMPLETED",
        ] {
            assert_eq!(snake_case(sent), "order_completed", "{sent}");
        }
    }

    #[test]
    fn capitals_digits_and_other_scripts_keep_their_words() {
        let cases = [
            ("HTTPRequest", "http_request"),
            ("parseURL", "parse_url"),
            ("v2 launch", "v2_launch"),
            ("Step3Done", "step3_done"),
            ("$pageview", "pageview"),
            ("Didn't Convert", "didnt_convert"),
            ("Größe geändert", "größe_geändert"),
            ("注文完了", "注文完了"),
            ("İstanbul", "istanbul"),
            ("!!!", ""),
            ("", ""),
        ];
        for (sent, name) in cases {
            assert_eq!(snake_case(sent), name, "{sent}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_its_own_normal_form(sent in any::<String>()) {
            let name = snake_case(&sent);
            prop_assert_eq!(snake_case(&name), name.clone());
            prop_assert!(!name.starts_with('_') && !name.ends_with('_') && !name.contains("__"));
        }
    }
}
