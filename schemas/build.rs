//! Has the crate compiled again when a file of the set changes: embedding a directory does not tell cargo about its files.

fn main() {
    for path in ["events", "common", "topics.json"] {
        println!("cargo::rerun-if-changed={path}");
    }
}
