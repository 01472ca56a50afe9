//! Exit codes, as sysexits.h has them (interfaces.md 2 and 3). Scripts and units rely on them.

/// Done.
pub const OK: u8 = 0;
/// The command line is wrong.
pub const USAGE: u8 = 64;
/// The daemon's address is in use; for a client: no server answers.
pub const UNAVAILABLE: u8 = 69;
/// A bug of ours.
pub const INTERNAL: u8 = 70;
/// The state cannot be written (S60).
pub const DISK: u8 = 74;
/// Another daemon has the state locked (S63); for a client: denied.
pub const TEMPORARY: u8 = 75;
/// The server does not let this user do that.
pub const NOT_PERMITTED: u8 = 77;
/// The configuration, the policy or a license directory named in it is wrong.
pub const CONFIG: u8 = 78;

/// What clap exits with on a wrong command line, mapped to ours; help and version stay 0.
pub fn from_clap(error: &clap::Error) -> u8 {
    if error.use_stderr() { USAGE } else { OK }
}
