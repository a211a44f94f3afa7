// Which of the recorded cases run, and which wait for something that the program does not do yet.

cases! {
    s01_sink_of_1_6 = "S01-sink16-names",
    s02_keys_of_1_6 = "S02-sink16-key-5-partitions",
    s03_sink_of_1_11 = "S03-sink111-names",
    s04_names_of_1_6 = "S04-sink111-given-16-names",
    s05_default_topic = "S05-default-topic",
    s06_topic_header = "S06-topic-header",
    s07_topic_override_off = "S07-topic-override-off",
    s09_keys = "S09-key-5-partitions",
    s10_partition_header = "S10-partition-header",
    s11_avro_values = "S11-avro-values",
    s12_kafka_headers = "S12-kafka-headers",
    s13_file_channel = "S13-file-channel",
    s14_keys_of_a_channel = "S14-channel-key",
    s15_partition_header_of_a_channel = "S15-channel-partition-header-bare",
    s16_replicating = "S16-replicating-two-kafka-sinks",
    s17_multiplexing = "S17-multiplexing",
    s18_failover_group = "S18-failover-group",
    s19_interceptors_that_differ = "S19-timestamp-host-static-uuid",
    s20_regex_filter = "S20-regex-filter",
    s21_regex_extractor = "S21-regex-extractor-serializers",
    s22_search_replace = "S22-search-replace",
    s23_environment = "S23-env",
    s24_config_filter = "S24-configfilter-env",
    s25_bytes_that_are_no_text = "S25-bytes-that-are-no-text",
    s26_two_sinks_one_channel = "S26-two-sinks-one-channel",
    s27_partition_header_that_is_none = "S27-partition-header-no-number",
    s28_memory_channel_stopped = "S28-memory-channel-stopped",
    s29_file_channel_with_events = "S29-file-channel-with-events",
    s30_file_channel_empty = "S30-file-channel-empty",
}

/// It is refused: nobody knows which topics its lines name.
const NOT_YET: &[&str] = &["S08-header-in-topic-name"];
