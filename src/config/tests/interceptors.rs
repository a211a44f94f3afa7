//! Interceptors by their properties.

use super::*;

fn chain(lines: &str) -> String {
    format!(
        "{BASE}a1.sources.r1.interceptors = i1\n{}",
        lines.replace("i1.", "a1.sources.r1.interceptors.i1.")
    )
}

#[test]
fn each_interceptor_of_flume_is_known_by_alias_and_class() {
    for (alias, class, lines) in [
        (
            "regex_extractor",
            "RegexExtractorInterceptor",
            "i1.regex = (a)(b)?\ni1.serializers = s t\n\
          i1.serializers.s.name = h\ni1.serializers.t.name = u\n",
        ),
        (
            "search_replace",
            "SearchAndReplaceInterceptor",
            "i1.searchPattern = a(.)\ni1.replaceString = $1\n",
        ),
        ("remove_header", "RemoveHeaderInterceptor", "i1.fromList = a, b\ni1.matching = c.*\n"),
    ] {
        let class = format!("org.apache.flume.interceptor.{class}$Builder");
        for kind in [alias.to_uppercase(), class] {
            let loaded = load(&chain(&format!("i1.type = {kind}\n{lines}")));
            let told: Vec<String> = loaded.findings.iter().map(ToString::to_string).collect();
            assert_eq!(loaded.config.sources[0].interceptors.len(), 1, "{kind}: {told:?}");
            assert!(!told.iter().any(|t| t.contains("unknown property")), "{kind}: {told:?}");
        }
    }
    let uuid = "org.apache.flume.sink.solr.morphline.UUIDInterceptor$Builder";
    let loaded = load(&chain(&format!("i1.type = {uuid}\ni1.prefix = e-\n")));
    assert!(matches!(
        &loaded.config.sources[0].interceptors[0],
        InterceptorConfig::Uuid { header, prefix, preserve_existing: true } if header == "id" && prefix == "e-"
    ));
    let removed = load(&chain("i1.type = remove_header\ni1.withName = x\ni1.fromList = a , b\n"));
    assert!(matches!(
        &removed.config.sources[0].interceptors[0],
        InterceptorConfig::RemoveHeader { names, matching: None } if names == &["x", "a", "b"]
    ));
    load(&chain("i1.type = json_filter\n"));
}

#[test]
fn what_is_wrong_with_an_interceptor_is_said_in_the_words_of_flume() {
    for (lines, place, text) in [
        (
            "i1.type = regex_extractor\ni1.serializers = s\ni1.serializers.s.name = h\n",
            "i1.regex",
            "Must supply a valid regex string",
        ),
        (
            "i1.type = regex_extractor\ni1.regex = (a)\n",
            "i1.serializers",
            "at least one name and serializer",
        ),
        (
            "i1.type = regex_extractor\ni1.regex = (a\ni1.serializers = s\ni1.serializers.s.name = h\n",
            "i1.regex",
            "Unclosed group",
        ),
        (
            "i1.type = regex_extractor\ni1.regex = (a)\ni1.serializers = s\n",
            "i1.serializers.s.name",
            "Supplied name cannot be empty.",
        ),
        ("i1.type = search_replace\n", "i1.searchPattern", "may not be empty"),
        (
            "i1.type = search_replace\ni1.searchPattern = a\ni1.replaceString = $1\n",
            "i1.replaceString",
            "No group 1",
        ),
    ] {
        let told = errors(&chain(lines));
        let is_told = |t: &String| t.contains(place) && t.contains(text);
        assert!(told.iter().any(is_told), "{lines}: {told:?}");
    }
}

#[test]
fn a_class_of_ones_own_is_refused_with_what_may_stand_in_its_place() {
    for (class, advice) in [
        ("com.atguigu.flume.interceptor.ETLInterceptor$Builder", "json_filter does"),
        ("com.example.TimeStampInterceptor$Builder", "millis serializer"),
        ("org.apache.flume.sink.solr.morphline.MorphlineInterceptor$Builder", "cannot be run"),
    ] {
        let told = errors(&chain(&format!("i1.type = {class}\n")));
        assert!(told[0].contains(class) && told[0].contains(advice), "{told:?}");
    }
}

#[test]
fn a_component_that_is_misspelt_is_not_left_out_in_silence() {
    let told = errors(&with("a1.sources.ri.batchSize = 5"));
    assert!(told[0].contains("did you mean a1.sources.r1?"), "{told:?}");
    // A whole one that is not listed was taken out on purpose.
    let told = warnings(&with("a1.sources.r2.type = spooltail"));
    assert!(told.iter().any(|t| t.contains("configured but not listed")), "{told:?}");
}
