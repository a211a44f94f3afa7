//! The properties of interceptors that came later: a part of the table in `known`.

use super::known::Scope::{
    JsonFilterInterceptor, RegexExtractorInterceptor, RemoveHeaderInterceptor,
    SearchReplaceInterceptor, UuidInterceptor,
};
use super::known::{Property, takes};

pub(super) const PROPERTIES: &[Property] = &[
    takes(
        RegexExtractorInterceptor,
        "type",
        "required",
        "`regex_extractor`: headers from what the groups of the first match in a line are",
    ),
    takes(RegexExtractorInterceptor, "regex", "required", "the pattern (Java regular expression)"),
    takes(
        RegexExtractorInterceptor,
        "serializers",
        "required",
        "names, one for each group; further groups give no header, nor does one that took no part",
    ),
    takes(
        RegexExtractorInterceptor,
        "serializers.*",
        "–",
        "`serializers.s1.name`: the header; `serializers.s1.type`: `default` or \
         `org.apache.flume.interceptor.RegexExtractorInterceptorMillisSerializer` with \
         `serializers.s1.pattern` (Joda), which makes ms since 1970 of a time and no header from \
         an invalid one; a day without a year is one of 2000, as Joda has it, and `yy` below 50 is \
         of this century (Joda: up to 19 years from now)",
    ),
    takes(
        SearchReplaceInterceptor,
        "type",
        "required",
        "`search_replace`: every match in a line is replaced",
    ),
    takes(
        SearchReplaceInterceptor,
        "searchPattern",
        "required",
        "the pattern (Java regular expression)",
    ),
    takes(
        SearchReplaceInterceptor,
        "replaceString",
        "empty",
        "what takes its place; `$1` is the first group, `\\` escapes",
    ),
    takes(SearchReplaceInterceptor, "charset", "UTF-8", "`UTF-8` only"),
    takes(RemoveHeaderInterceptor, "type", "required", "`remove_header`: takes headers out"),
    takes(RemoveHeaderInterceptor, "withName", "–", "the header of this name"),
    takes(RemoveHeaderInterceptor, "fromList", "–", "the headers of these names"),
    takes(
        RemoveHeaderInterceptor,
        "fromListSeparator",
        r"\s*,\s*",
        "what separates them (Java regular expression)",
    ),
    takes(
        RemoveHeaderInterceptor,
        "matching",
        "–",
        "the headers whose whole name it matches (Java regular expression)",
    ),
    takes(
        UuidInterceptor,
        "type",
        "required",
        "`org.apache.flume.sink.solr.morphline.UUIDInterceptor$Builder`, or `uuid` here",
    ),
    takes(UuidInterceptor, "headerName", "id", "the header's name"),
    takes(UuidInterceptor, "prefix", "empty", "a prefix of each UUID"),
    takes(UuidInterceptor, "preserveExisting", "true", "keep an existing header"),
    takes(
        JsonFilterInterceptor,
        "type",
        "required",
        "`json_filter`: only lines that are JSON (not Flume's)",
    ),
];
