//! Has the crate built again when a migration is added: the macro that embeds them tracks only files it has seen.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
