//! Adding a file to `sql/migrations` rebuilds the program that embeds it.

fn main() {
    println!("cargo::rerun-if-changed=sql/migrations");
}
