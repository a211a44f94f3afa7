//! Channels that hold events, and the Kafka sinks behind them.

use super::*;

/// What people publish: a memory channel and a Kafka sink.
const SINK: &str = "\
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = spooltail
a1.sources.r1.spoolDir = /logs/
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.channels.c1.capacity = 1000
a1.sinks.k1.type = org.apache.flume.sink.kafka.KafkaSink
a1.sinks.k1.channel = c1
";

fn sink(lines: &str) -> String {
    format!("{SINK}{lines}\n")
}

const OLD: &str = "a1.sinks.k1.brokerList = h1:9092\na1.sinks.k1.topic = t\n\
                   a1.sinks.k1.requiredAcks = 1\na1.sinks.k1.batchSize = 5";
const NEW: &str = "a1.sinks.k1.kafka.bootstrap.servers = h1:9092,h2:9092\n\
                   a1.sinks.k1.kafka.topic = t\na1.sinks.k1.flumeBatchSize = 5";

#[test]
fn a_sink_of_either_generation_is_a_destination() {
    let loaded = load(&sink(OLD));
    let to = &loaded.config.destinations[0];
    assert_eq!((to.name.as_str(), to.topic.as_str()), ("c1", "t"));
    assert_eq!(
        (to.brokers.as_slice(), to.value_format),
        (&["h1:9092".into()][..], ValueFormat::Bare)
    );
    assert_eq!(loaded.config.sinks[0].kind, SinkKind::Kafka);
    let told: Vec<String> = loaded.findings.iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|t| t.contains("acks = 1") && t.contains("all is used")), "{told:#?}");
    assert!(told.iter().any(|t| t.contains("without meaning here: a1.channels.c1.capacity")));

    let avro = format!("{NEW}\na1.sinks.k1.useFlumeEventFormat = true");
    let to = &load(&sink(&avro)).config.destinations[0];
    assert_eq!((to.brokers.len(), to.value_format), (2, ValueFormat::Avro));
    assert_eq!(warnings(&sink(NEW)), Vec::<String>::new());
}

#[test]
fn without_a_topic_it_is_that_of_flume() {
    let to = load(&sink("a1.sinks.k1.brokerList = h1:9092")).config.destinations.remove(0);
    assert_eq!(to.topic, "default-flume-topic");
}

/// Of any other sink its name is looked at, and told, wherever it leads.
#[test]
fn a_kafka_sink_whose_channel_is_misspelt_is_not_left_out_in_silence() {
    let second = format!(
        "{NEW}\na1.sinks.k2.type = org.apache.flume.sink.kafka.KafkaSink\n\
         a1.sinks.k2.channels = c1\na1.sinks.k2.kafka.bootstrap.servers = h3:9092"
    );
    let two = sink(&second).replace("a1.sinks = k1\n", "a1.sinks = k1 k2\n");
    let told = warnings(&two);
    let [only] = told.as_slice() else { panic!("{told:#?}") };
    assert!(only.contains("k2; it is left out; write a1.sinks.k2.channel = c1"), "{only}");
}

#[test]
fn a_channel_without_a_kafka_sink_keeps_nothing() {
    let text = sink("").replace("org.apache.flume.sink.kafka.KafkaSink", "logger");
    assert!(errors(&text)[0].contains("nothing would be kept"));
    let beside =
        format!("{NEW}\na1.sinks = k1 k2\na1.sinks.k2.type = logger\na1.sinks.k2.channel = c1");
    assert_eq!(load(&sink(&beside)).config.sinks.len(), 2);
}

#[test]
fn a_sink_that_would_read_a_topic_is_refused() {
    let kafka = "org.apache.flume.channel.kafka.KafkaChannel\na1.channels.c1.brokerList = h1:9092";
    let text = sink(NEW).replace("memory", kafka);
    assert!(errors(&text)[0].contains("would read from the topic"), "{:?}", errors(&text));
}

#[test]
fn sinks_of_one_channel_are_one_destination_or_refused() {
    let second = |topic: &str, brokers: &str| {
        let sinks = "a1.sinks = k1 k2\na1.sinks.k2.type = org.apache.flume.sink.kafka.KafkaSink\n\
                     a1.sinks.k2.channel = c1";
        sink(&format!(
            "{NEW}\n{sinks}\na1.sinks.k2.kafka.topic = {topic}\n\
             a1.sinks.k2.kafka.bootstrap.servers = {brokers}"
        ))
    };
    let same = load(&second("t", "h2:9092,h3:9092"));
    assert_eq!(same.config.destinations[0].brokers, ["h1:9092", "h2:9092", "h3:9092"]);
    assert!(!same.config.destinations[0].keeps_cluster);
    assert!(errors(&second("u", "h1:9092"))[0].contains("divide them at random"));
    let apart = second("t", "h9:9092");
    assert!(warnings(&apart).iter().any(|w| w.contains("taken for one cluster")));
    assert!(load(&apart).config.destinations[0].keeps_cluster);
}

#[test]
fn names_that_flume_passes_over_in_silence_are_told() {
    let lines = format!(
        "{NEW}\na1.sinks.k1.kafka.flumeBatchSize = 20\na1.sinks.k1.kafka.batchSize = 20\n\
         a1.sinks.k1.kafka.producer.type = sync\na1.sinks.k1.kafka.brokerList = h1:9092\n\
         a1.sinks.k1.kafka.serializer.class = kafka.serializer.StringEncoder"
    );
    let told = warnings(&sink(&lines));
    for name in [
        "kafka.flumeBatchSize",
        "kafka.batchSize",
        "kafka.producer.type",
        "kafka.brokerList",
        "kafka.serializer.class",
    ] {
        let is_told = |t: &String| t.contains(&format!("k1.{name} ")) && t.contains("did you mean");
        assert!(told.iter().any(is_told), "{name}: {told:#?}");
    }
}

#[test]
fn what_stands_in_a_file_channel_is_not_left_behind() {
    let case =
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden-1.11/S29-file-channel-with-events");
    let dir = std::env::temp_dir().join(format!("flume-ng-left-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("data")).unwrap();
    std::fs::copy(format!("{case}/input/data.log-1"), dir.join("data/log-1")).unwrap();
    let text = sink(NEW).replace("= memory", "= file")
        + &format!(
            "a1.channels.c1.checkpointDir = {0}/checkpoint\na1.channels.c1.dataDirs = {0}/data\n",
            dir.display()
        );
    let told = errors(&text);
    std::fs::remove_dir_all(dir).unwrap();
    assert!(told[0].contains("still holds 3 events"), "{told:?}");
    assert!(told[0].contains("start Flume once more"), "{told:?}");
}

/// A source whose events have one header.
fn with_header(key: &str, value: &str) -> String {
    sink(&format!(
        "{NEW}\na1.sources.r1.interceptors = i1\na1.sources.r1.interceptors.i1.type = static\n\
         a1.sources.r1.interceptors.i1.key = {key}\na1.sources.r1.interceptors.i1.value = {value}"
    ))
}

#[test]
fn which_partition_a_key_leads_to_is_said() {
    let told = |text: &str| {
        let loaded = load(text);
        let about = loaded.findings.iter().find(|d| d.message.contains("is the record's key"));
        about.map(|d| d.message.clone()).unwrap_or_default()
    };
    let text = with_header("key", "v");
    assert!(told(&text).contains("murmur2"), "{}", told(&text));
    let other = format!("{text}a1.sinks.k1.keyPartitioner = hashCode\n");
    assert!(told(&other).contains("hashCode"), "{}", told(&other));
    let fixed = format!("{text}a1.sinks.k1.defaultPartitionId = 2\n");
    assert!(told(&fixed).contains("defaultPartitionId = 2 says the partition"), "{}", told(&fixed));
    let old = text.replace(NEW, OLD);
    assert!(told(&old).contains("hashCode"), "{}", told(&old));
    assert_eq!(told(&with_header("other", "v")), "");
}

#[test]
fn a_topic_that_events_name_is_a_destination() {
    let topics = |text: &str| -> Vec<String> {
        let config = load(text).config;
        let of = |at: &usize| {
            let to = &config.destinations[*at];
            format!("{} {}", to.name, to.topic)
        };
        config.sources[0].destinations.iter().map(of).collect()
    };
    assert_eq!(topics(&with_header("topic", "v")), ["c1:v v"]);
    assert_eq!(topics(&with_header("other", "v")), ["c1 t"]);
    let off = "a1.sinks.k1.allowTopicOverride = false\n";
    assert_eq!(topics(&format!("{}{off}", with_header("topic", "v"))), ["c1 t"]);
    let header = "a1.sinks.k1.topicHeader = other\n";
    assert_eq!(topics(&format!("{}{header}", with_header("other", "v"))), ["c1:v v"]);
    let template = with_header("dc", "zh").replace("kafka.topic = t", "kafka.topic = logs-%{dc}");
    assert_eq!(topics(&template), ["c1:logs-zh logs-zh"]);
    assert!(errors(&format!("{template}{off}"))[0].contains("fail for ever"));
    assert!(errors(&with_header("topic", "no/topic"))[0].contains("cannot be one"));
    let of_lines = "a1.sources.r1.interceptors.i1.type = regex_extractor\n\
                    a1.sources.r1.interceptors.i1.regex = (.)\n\
                    a1.sources.r1.interceptors.i1.serializers = s1\n\
                    a1.sources.r1.interceptors.i1.serializers.s1.name = topic\n";
    let text = sink(&format!("{NEW}\na1.sources.r1.interceptors = i1\n{of_lines}"));
    assert_eq!(topics(&text), ["c1 t"]);
    let config = load(&text).config;
    assert!(config.destinations[config.sources[0].destinations[0]].is_on_demand());
    let dated = |of_source: &str| {
        sink(&format!("{}\n{of_source}", NEW.replace("kafka.topic = t", "kafka.topic = l-%Y%m%d")))
    };
    assert!(errors(&dated(""))[0].contains("add a timestamp interceptor"));
    let stamped =
        "a1.sources.r1.interceptors = i1\na1.sources.r1.interceptors.i1.type = timestamp\n";
    assert_eq!(topics(&dated(stamped)), ["c1 l-%Y%m%d"]);
    assert!(errors(&dated(&format!("{stamped}{off}")))[0].contains("fail for ever"));
    let bad = dated(stamped).replace("%d", "%q");
    assert!(errors(&bad)[0].contains("%q can be no part"), "{:?}", errors(&bad));
    let bad = dated(stamped).replace("= l-%", "= l %");
    assert!(errors(&bad)[0].contains("\"l \" can be no part"), "{:?}", errors(&bad));
}

#[test]
fn a_channel_that_is_optional_wherever_it_is_named_is_waited_for_nowhere() {
    let sinks: String = (1..=3)
        .map(|n| {
            format!(
                "a1.channels.c{n}.type = memory\n\
                 a1.sinks.k{n}.type = org.apache.flume.sink.kafka.KafkaSink\na1.sinks.k{n}.channel = c{n}\n\
                 a1.sinks.k{n}.kafka.bootstrap.servers = h:1\na1.sinks.k{n}.kafka.topic = t{n}\n"
            )
        })
        .collect();
    let with = |lines: &str| {
        format!(
            "a1.sources = r1\na1.channels = c1 c2 c3\na1.sinks = k1 k2 k3\na1.sources.r1.type = spooltail\n\
             a1.sources.r1.spoolDir = /logs/\na1.sources.r1.channels = c1 c2 c3\n{sinks}\
             a1.sources.r1.selector.type = multiplexing\na1.sources.r1.selector.header = h\n{lines}"
        )
    };
    let optional = |lines: &str| {
        let source = load(&with(lines)).config.sources.remove(0);
        let Selector::Multiplexing { mapping, .. } = source.selector else { panic!("it is one") };
        (source.optional, mapping)
    };
    let lines = "a1.sources.r1.selector.mapping.A = c1\na1.sources.r1.selector.default = c2\n\
                 a1.sources.r1.selector.optional.A = c1 c3\na1.sources.r1.selector.optional.B = c3\n";
    let (places, mapping) = optional(lines);
    assert_eq!(places, [2]);
    // A value that is not mapped goes to the default ones as well.
    assert_eq!(mapping, [("A".to_owned(), vec![0, 2]), ("B".to_owned(), vec![1, 2])]);
    let required = format!("{lines}a1.sources.r1.selector.mapping.C = c3\n");
    assert_eq!(optional(&required).0, [] as [usize; 0]);
    let all = "a1.sources.r1.selector.optional.A = c1 c2 c3\n";
    assert!(errors(&with(all))[0].contains("nothing would be waited for"));
}
