//! The long seeded loop, short.

use crate::{Dev, assert_success, text};

#[test]
fn a_few_seeded_faults_are_survived_and_accounted_for() {
    let dev = Dev::new();
    let output = dev.run(&[
        "chaos",
        "--kills",
        "3",
        "--seed",
        "1",
        "--seconds-between",
        "0.5",
    ]);
    assert_success(&output);
    let shown = text(&output.stdout);
    assert!(
        shown.contains("sent = stored + failed + duplicates"),
        "{shown}"
    );
    assert!(shown.contains("3/3"), "{shown}");
}
