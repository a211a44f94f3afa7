//! The headers that the events of a file have by the file itself.

use std::ffi::OsStr;

use super::policy::Names;
use super::root;
use crate::config::model::SourceConfig;
use crate::event::HeaderMap;

pub use crate::config::model::BYTE_OFFSET;

/// Those of the file called `name` below the root.
pub fn of_file(config: &SourceConfig, name: &OsStr) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (key, value) in Names::group(config, name).iter().flat_map(|group| &group.headers) {
        map.insert(key, value);
    }
    if let Some(key) = &config.file_header {
        map.insert(key, &config.spool_dir.join(name).to_string_lossy());
    }
    if let Some(key) = &config.basename_header {
        map.insert(key, &root::split(name).1.to_string_lossy());
    }
    map
}
