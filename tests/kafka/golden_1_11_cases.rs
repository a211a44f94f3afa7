// Which of the recorded cases run, and which wait for something that the program does not do yet.

cases! {
    s01_sink_of_1_6 = "S01-sink16-names",
    s03_sink_of_1_11 = "S03-sink111-names",
    s04_names_of_1_6 = "S04-sink111-given-16-names",
    s05_default_topic = "S05-default-topic",
    s13_file_channel = "S13-file-channel",
    s16_replicating = "S16-replicating-two-kafka-sinks",
    s18_failover_group = "S18-failover-group",
    s20_regex_filter = "S20-regex-filter",
    s21_regex_extractor = "S21-regex-extractor-serializers",
    s22_search_replace = "S22-search-replace",
    s24_config_filter = "S24-configfilter-env",
    s26_two_sinks_one_channel = "S26-two-sinks-one-channel",
    s28_memory_channel_stopped = "S28-memory-channel-stopped",
    s29_file_channel_with_events = "S29-file-channel-with-events",
    s30_file_channel_empty = "S30-file-channel-empty",
}

/// They wait for record keys and routes, or for interceptors.
const NOT_YET: &[&str] = &[
    "S02-sink16-key-5-partitions",
    "S06-topic-header",
    "S07-topic-override-off",
    "S08-header-in-topic-name",
    "S09-key-5-partitions",
    "S10-partition-header",
    "S11-avro-values",
    "S12-kafka-headers",
    "S14-channel-key",
    "S15-channel-partition-header-bare",
    "S17-multiplexing",
    "S19-timestamp-host-static-uuid",
    "S23-env",
    "S25-bytes-that-are-no-text",
    "S27-partition-header-no-number",
];
