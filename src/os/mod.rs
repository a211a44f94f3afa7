//! What the standard library does not offer of the operating system: signals, waiting on several
//! descriptors, locks, durable directories. Each wrapper is small and says why it is sound; the
//! rest of the program has no `unsafe`.

mod code;
mod descriptors;
mod disk;
mod file;
mod gssapi;
mod host;
mod notice;
mod own;
mod process;
mod signal;
mod socket;
mod stderr;
mod wait;

use std::io;

pub use code::give_back_code;
#[cfg(test)]
pub use descriptors::limit_descriptors;
pub use descriptors::{directories_locked_max, files_open_max, share_descriptors};
pub use disk::{DiskUse, canary, disk_use, is_full, preallocate};
pub use file::{
    data_from, hole_from, identity, is_open_for_writing, may_write, open_regular,
    open_regular_asked, rename_no_replace, sync_directory, try_access_to_write, try_lock,
    try_lock_shared,
};
pub use gssapi::{KerberosContext, use_kerberos_configuration};
pub use host::{host_name, local_zone, read_time_zone};
pub use notice::Inotify;
pub use own::{Custody, custody, make_unforeseen, open_own, read_own, write_anew};
pub use process::{
    Usage, become_guard, coarse_time, exit_now, fork, give_back_memory, is_hung_up,
    keep_freed_memory, kill, outlive_parent, usage,
};
pub use signal::{LastWords, STOP_SIGNALS, arm_last_words, install_signals, stop_requested};
pub use socket::{
    connect_start, open_sockets, peer_port, reset_at_close, set_io_timeout, unacknowledged_bytes,
};
pub use stderr::{Taken, last_words, write_stderr};
pub use wait::{Interest, wait};

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
