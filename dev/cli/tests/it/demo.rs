//! The README's first command.

use crate::{Dev, assert_success, text};

#[test]
fn the_demo_shows_numbers_and_leaves_nothing_running() {
    let dev = Dev::new();
    let output = dev.run(&["demo", "--events", "500", "--exit"]);
    assert_success(&output);
    let shown = text(&output.stdout);
    for expected in [
        "All platforms",
        "android",
        "orders",
        "schema_invalid",
        "protocol",
        "decode",
        "size",
        "weir verify",
    ] {
        assert!(shown.contains(expected), "no {expected} in:\n{shown}");
    }
    assert!(!dev.stack_file().exists());
    assert_eq!(dev.run(&["status"]).status.code(), Some(1));
}
