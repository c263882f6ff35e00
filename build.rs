//! Adding a file to `sql/migrations` rebuilds the program that embeds it.

#[expect(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]
fn main() {
    println!("cargo::rerun-if-changed=sql/migrations");
}
