//! What this machine is called, and its time zone.

use std::ffi::CStr;
use std::sync::Once;

/// The host's name, unless it is empty or no UTF-8.
pub fn host_name() -> Option<String> {
    let uname = rustix::system::uname();
    let name = uname.nodename().to_str().ok()?;
    (!name.is_empty()).then(|| name.to_string())
}

/// Reads the time zone (`TZ`, /etc/localtime), once in a process.
pub fn read_time_zone() {
    unsafe extern "C" {
        // Not in the `libc` crate.
        fn tzset();
    }
    static ZONE: Once = Once::new();
    // SAFETY: tzset has no preconditions but that no other thread changes the environment meanwhile,
    // which this program never does.
    ZONE.call_once(|| unsafe { tzset() });
}

/// The local zone at a time: seconds east of UTC, and its abbreviation. `None` for a year that does
/// not fit.
///
/// This asks `localtime_r` rather than the `time` crate: that one refuses in a process with several
/// threads, which tests are, reads `/proc` at each call to count them, and does not tell the zone's
/// name.
pub fn local_zone(epoch_s: i64) -> Option<(i32, String)> {
    // Of 64 bits wherever the agent is built for.
    let at = epoch_s as _;
    // SAFETY: all-zero bytes are a valid `tm`, whose pointer may be null.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call. Reading `TZ` races only with a change of the
    // environment, which this program never does.
    if unsafe { libc::localtime_r(&at, &mut tm) }.is_null() {
        return None;
    }
    if tm.tm_zone.is_null() {
        return Some((tm.tm_gmtoff as i32, String::new()));
    }
    // SAFETY: the C library keeps the zone's names as strings as long as the zone is not changed;
    // this one is copied at once.
    let name = unsafe { CStr::from_ptr(tm.tm_zone) };
    Some((tm.tm_gmtoff as i32, name.to_string_lossy().into_owned()))
}
