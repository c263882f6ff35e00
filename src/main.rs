//! The binary: TLS provider, then [`ems_sync::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    // One provider for Postgres, the broker and the remotes. It can only be there already if we did this twice.
    rustls::crypto::ring::default_provider().install_default().ok();
    ems_sync::failpoint::set_up();
    ems_sync::cli::main()
}
