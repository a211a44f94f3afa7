//! Which events of which files are in a topic, where nothing but the topic tells: the state was
//! lost.
//!
//! Files and topic are compared value by value ([`tally`]), in as many passes as the memory asks
//! for ([`evidence`]). What came of it is kept as a bit for each event ([`marks`]). The rules:
//!
//! * A value that the topic holds no more often than the files do is theirs: its records are given
//!   to its events in the order of the files, finished ones first. So of equal lines as many are
//!   sent as are missing.
//! * A value that the topic holds more often belongs to other writers too. An event with it counts
//!   as there only where the record beside it is the event beside it in the file; what that does
//!   not decide is sent.
//!
//! Nothing here touches a file or a socket.

pub(crate) mod evidence;
pub(crate) mod key;
pub(crate) mod marks;
mod tally;

pub(crate) use evidence::Evidence;
pub(crate) use marks::Marks;
