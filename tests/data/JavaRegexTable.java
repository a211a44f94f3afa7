import java.nio.charset.StandardCharsets;
import java.util.Random;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * Writes java_regex.tsv: java JavaRegexTable.java > java_regex.tsv
 *
 * Columns: pattern, text, whether all of it matches, whether a part does
 * ("!" and "!" if Java refuses the pattern). Backslash, control characters
 * and all but ASCII are escaped as \\ and \{hex}.
 *
 * With the argument "decode" it writes java_decode.tsv instead: the bytes of
 * a file name in hex, and what they are decoded to.
 */
public class JavaRegexTable {
    static final String[] NAMES = {
        "", "app.2024010115.log", "app.2024010115.log.tmp", "2024010115", "x2024010115y", "a.tmp",
        ".hidden", "APP.LOG", "app_2024-01-01-15.log", "日志.2024010115.log", "a\nb", "log\n", "log",
        "app.log", "app.log.COMPLETED", "access.log.gz", "a b", "ſK", "é.log", "e\u0301.log"};

    /** A pattern and the texts for it; the names above where there are none. */
    static final String[][] CASES = {
        {"^$"}, {""}, {".*"}, {".+"}, {".*(\\d){4}(\\d){2}(\\d){2}(\\d){2}.*"}, {"^(?!.*\\.tmp$).*"},
        {"^(?!.*\\.(tmp|gz)$).*\\.log"}, {".*\\.log"}, {"^app\\.\\d{10}\\.log$"}, {"app\\.\\d+\\.log(\\.tmp)?"},
        {"(?i).*\\.log"}, {"(?i)app.*"}, {"(?i:APP)\\..*"}, {".*\\.(log|gz|tmp)"}, {"\\w+"}, {"\\W+"},
        {"[^.]*"}, {"[^.].*"}, {"\\Qapp.\\E.*"}, {".*\\Q.log"}, {"\\..*"}, {".*\\d{10}.*"}, {"log$"},
        {"^log"}, {"log\\Z"}, {"log\\z"}, {"\\Alog"}, {".*log.*$"}, {"(?s).*"}, {"(?s)a.b"}, {"a.b"},
        {"(?m)^b"}, {"(?m)a$"}, {"(?d)a.b"}, {"(.*)\\.(.*)\\.log"}, {"(a|app).*"}, {"[a-z]+\\.log"},
        {"[\\p{L}]+.*"}, {"\\p{IsHan}+.*"}, {"\\p{L}+\\.log"}, {".*+log"}, {"[^.]*+\\.log"},
        {"(?>a|app)\\.log"}, {"(?:a|app)\\.log"}, {"(?iu)sk"}, {"(?i)sk"}, {"(?U)\\w+\\.log"}, {"\\bapp\\b.*"},
        // Characters and escapes
        {"\\t\\n\\r\\f\\a\\e", "\t\n\r\f\u0007\u001b"}, {"\\x41\\u0042\\x{43}", "ABC"}, {"\\0101\\012\\07", "A\n\u0007"},
        {"\\0377\\0400", "\u00ff\u00200"}, {"\\cA\\c?", "\u0001\u007f"}, {"\\uD83D\\uDE00", "😀"},
        {"\\x{1F600}", "😀"}, {".", "😀", "é", "\n", "\r", "\u0085", "\u2028", "\u2029", "\u000b", "\f"},
        {"(?d).", "\n", "\r", "\u0085", "\u2028"}, {"(?s).", "\n", "\r", "\u0085", "\u2028"}, {"[😀-😃]", "😁", "😄"},
        {"\\-\\.\\_\\ \\é\\{\\}\\\"", "-._ é{}\""}, {"a]b}", "a]b}"}, {"-,:;<=>!%&'/~`@#\"_", "-,:;<=>!%&'/~`@#\"_"},
        {"\\Qa.b\\E+", "a.b", "a.bb", "axb"}, {"\\Q\\E", ""}, {"\\Q*\\\\E", "*\\", "*"}, {"x\\\\Q", "x\\Q"},
        {"[\\Qa-c]\\E]+", "a-c]", "b"}, {"\\Qé日\\E{2}", "é日日", "é日"}, {"\\Q1\\E2", "12"},
        // Line ends
        {"a$", "a", "a\n", "a\r", "a\r\n", "a\n\n", "a\n\r", "a\u0085", "a\u2028", "a\u2029", "ab", "a\u000b", "ba\n"},
        {"\\n$", "\n", "\r\n", "\n\n"}, {"\\r$", "\r", "\r\n", "\n"}, {"$", "", "\n", "\r\n", "x"}, {"^", "", "x"},
        {"$\\n", "\n", "\r\n", "\n\n"}, {"(?d)a$", "a\n", "a\r", "a\r\n"}, {"a\\Z", "a\n", "a\r\n", "a\nb"},
        {"(?m)^a$", "a", "b\na", "b\ra\nc", "b\r\na\r\nc", "ba", "a\n", "x\u2028a\u0085"}, {"(?m)^", "", "\n", "\r\n"},
        {"(?m)$\\n", "\r\n", "a\n", "\n"}, {"(?m)\\r$", "\r\n", "\r"}, {"(?m)\\n^", "\n", "\na", "\r\na"},
        {"(?m)\\r^", "\r\n", "\ra"}, {"(?md)^a$", "b\ra", "b\na", "a\r"}, {"(?m)^$", "", "\n", "a\n\nb"}, {"x^", "x"},
        {"$a", "a"}, {"a|b$", "a", "b", "b\n", "c"}, {"(^a|b$)", "xa", "ax", "xb\n"}, {"(?m)a\\Z", "a\nb", "b\na\n"},
        {"(?m:^)b", "a\nb"}, {"[$^]", "$", "^"}, {"[a^]", "^"}, {"(?s).*$", "a\nb\n"}, {".*$.*", "a\n"},
        {"\\R", "\n", "\r\n", "\r", "\u0085", "\u2028", "\u000b", "\n\r"}, {"a\\R\\n", "a\r\n", "a\n\n"},
        // Predefined classes are ASCII only
        {"\\d+", "0123456789", "٣", "３"}, {"\\D", "٣", "3"}, {"\\w+", "aZ_9", "é", "日"}, {"\\W", "é", "a"},
        {"\\s+", " \t\n\u000b\f\r", "\u00a0", "\u0085", "\u2003"}, {"\\S", "\u00a0", " "},
        {"\\h+", " \t\u00a0\u1680\u180e\u2000\u200a\u202f\u205f\u3000", "\n"}, {"\\H", "\n", " "},
        {"\\v+", "\n\u000b\f\r\u0085\u2028\u2029", " "}, {"\\V", " ", "\n"}, {"[\\h\\v]+", " \n"}, {"[^\\h]", "\n", "\t"},
        {"(?U)\\d+", "٣３3", "a"}, {"(?U)\\w+", "é日_‿", "-", "e\u0301", "\u200d"}, {"(?U)\\s+", "\u00a0\u2003\u0085", "a"},
        {"(?U)[\\W]", "é", "-"}, {"(?U)É(?-U)é", "Éé", "éé", "éÉ"}, {"(?iU)É", "é"}, {"(?iU)(?-U)É", "é"}, {"(?iu-u)É", "é"},
        // Word boundaries
        {"\\bfoo\\b", "foo", "a foo.", "foo_", "éfoo", "日foo", "foo日 foo", "-foo-", "foo1", "foo\u0301", "foo\n", "٣foo"},
        {"\\Boo", "foo", "oo", "éoo", "-oo"}, {"e\\b", "e\u0301", "e", "e\u0301\u0301x", "e-"}, {"\u0301\\b", "e\u0301", "e\u0301x", "_\u0301", "-\u0301", "e\u0301-", "-\u0301x", "e\u0301\u0302", "1\u0301\u0302\u0303-"},
        {"_\\b", "_\u0301", "_a", "_"}, {"_\\B\u0301", "_\u0301"}, {"\\b", "", "-", "a", "\u0301", "é", "²", "½", "Ⅷ", "‿", "ª"},
        {"\\B", "", "a", "-"}, {"(?U)\\b.\\b", "é", "\u0301", "-", "‿"}, {"[\\x08]", "\b"},
        // Case
        {"(?i)straße", "STRASSE", "STRAßE", "strasse"}, {"(?i)é", "É", "é"}, {"(?iu)é", "É", "é"}, {"(?i)[a-f]+", "AbCdEF", "G"},
        {"(?i)[^a]", "A", "b"}, {"(?i)[Z-a]+", "z[`A", "b"}, {"(?iu)[à-ö]+", "ÀÖ", "Ø"}, {"(?iu)k", "K", "\u212a"}, {"(?i)k", "\u212a"},
        {"(?iu)\u212a", "k", "K"}, {"(?iu)s", "ſ"}, {"(?iu)[s]", "ſ"}, {"(?iu)i", "İ", "ı", "I"}, {"(?iu)I", "İ", "ı", "i"},
        {"(?iu)İ", "i", "I", "ı"}, {"(?iu)ı", "i", "I", "İ"}, {"(?iu)σ", "Σ", "ς"}, {"(?iu)[ς]", "Σ", "σ"}, {"(?iu)µ", "μ", "Μ"},
        {"(?iu)ẞ", "ß"}, {"(?iu)ÿ", "Ÿ"}, {"(?iu)ᾀ", "ᾈ"}, {"(?iu)ᾳ", "ᾼ"}, {"(?iu)ǆ", "ǅ", "Ǆ"}, {"(?iu)[ǅ]", "Ǆ", "ǆ"},
        {"(?iu)å", "\u212b"}, {"(?iu)[a-z]+", "\u212a", "ſ", "ı", "İ"}, {"(?iu)𐐨", "𐐀"}, {"(?iu)ა", "Ა"}, {"(?i)a(?-i)b", "Ab", "AB"},
        {"a(?i)b|c", "aB", "C", "Ab"}, {"(a(?i)b)c", "aBc", "aBC"}, {"((?i)a)b", "Ab", "AB"}, {"(?i:a)b", "Ab", "AB"}, {"(?i-s:a.)b", "Axb"},
        {"(?)a", "a"}, {"(?-i)a", "a", "A"}, {"(?i)\\x41", "a"}, 
        {"(?i)\\Qab\\E", "AB"}, {"(?i)[[a]&&[A]]", "a", "A"},
        // Classes
        {"[a-c[x-z]]+", "abxz", "m"}, {"[a-z&&[def]]+", "def", "a"}, {"[a-z&&[^bc]]+", "ad", "b"}, {"[a-z&&[^m-p]]", "m", "q"},
        {"[a-z&&def]", "d", "a"}, {"[a-z&&d-f&&e-z]", "e", "d"}, {"[a-z&&[d-f]&&[e-z]]", "e", "d"}, {"[abc&&[d]]", "a", "d"}, {"[\\w&&[^\\d]]+", "ab_", "a1"},
        {"[\\w&&\\D]", "a", "1"}, {"[a&&^]", "^", "a"}, {"[a-z&&b[c]]", "a", "b", "c"}, {"[[a-c]&&[b-d]]", "a", "b"}, {"[a[b[c]]]", "c"},
        {"[]a]+", "]a"}, {"[^]a]", "]", "b"}, {"[a-]+", "a-"}, {"[-a]+", "a-"}, {"[a\\-z]+", "a-z", "b"}, {"[\\d-z]+", "1-z", "a"}, {"[a-c-e]+", "b-e", "d"},
        {"[a-[b]]+", "a-b"}, {"[+--]+", "+,-"}, {"[.*+?(){}|$]+", ".*+?(){}|$"}, {"[\\]\\[\\\\]+", "][\\"}, {"[a&b]+", "a&b"}, {"[&]", "&"}, {"[a&]", "&"}, {"[&a]", "&"},
        {"[\\n\\t]", "\n"}, {"[\\x41-\\x43]", "B"}, {"[\\u0041-\\0103]", "B"}, {"[^\\n]", "\n", "\r"}, {"[^a-z]+", "日A\n"}, {"[\\s\\S]", "\n"}, {"[^\\s\\S]", "\n"},
        {"[\\p{Upper}\\d]+", "A1", "a"}, {"[^\\p{Alpha}]", "a", "1"}, {"[\\P{Alpha}]", "a", "1"}, {"[\\D]", "1", "a"}, {"[^\\D]", "1", "a"}, {"[é-ü]", "ê", "e"},
        {"[\\Q]\\E]", "]"}, {"[\\Q^\\Ea]+", "^a"}, {"[ a]+", " a"}, {"[#]", "#"}, {"[~--]", "-"}, {"[a~~b]+", "a~b"}, {"[a--b]", "a", "-", "b"}, {"[!--]+", "!#-"},
        // Properties
        {"\\p{Lower}", "a", "é", "A"}, {"\\p{Upper}", "A", "É"}, {"\\p{ASCII}", "\u007f", "\u0080"}, {"\\p{Alpha}", "a", "é"}, {"\\p{Digit}", "1", "٣"},
        {"\\p{Alnum}+", "a1", "_"}, {"\\p{Punct}+", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "a", "、"}, {"\\p{Graph}", "a", " "}, {"\\p{Print}", " ", "\t"},
        {"\\p{Blank}", " ", "\t", "\n"}, {"\\p{Cntrl}", "\u0000", "\u007f", "a"}, {"\\p{XDigit}+", "0aF", "g"}, {"\\p{Space}", "\u000b", "\u00a0"},
        {"\\pL", "é", "1"}, {"\\PL", "é", "1"}, {"\\p{Lu}", "É", "é"}, {"\\p{IsL}", "é"}, {"\\p{IsLu}", "É"}, {"\\p{gc=Lu}", "É", "é"}, {"\\p{general_category=Nd}", "٣"},
        {"\\p{IsAlphabetic}", "é", "1"}, {"\\p{IsLowercase}", "é", "É"}, {"\\p{IsUppercase}", "É"}, {"\\p{IsWhite_Space}", "\u00a0"}, {"\\p{IsPunctuation}", "、", "+"},
        {"\\p{IsDigit}", "٣"}, {"\\p{IsLetter}", "é"}, {"\\p{IsControl}", "\u0085"}, {"\\p{IsIdeographic}", "日"}, {"\\p{IsHan}", "日", "a"}, {"\\p{script=Han}", "日"}, {"\\p{sc=Cyrillic}", "ж", "a"},
        {"\\p{IsLatin}", "é", "ж"}, {"\\p{IsHiragana}+", "ひら", "カ"}, {"\\p{Sc}", "€", "$", "a"}, {"\\p{P}", "、", "!"}, {"\\p{M}", "\u0301"}, {"\\p{Cc}", "\n"}, {"\\p{C}", "\n", "a"},
        {"\\p{L1}", "ÿ", "Ā"}, {"\\p{LD}+", "é٣", "_"}, {"\\p{LC}", "a", "日"}, {"\\p{all}", "日"}, {"(?U)\\p{Lower}", "é", "É"}, {"(?U)\\p{Alpha}", "é"}, {"(?U)\\p{Punct}", "、", "$"}, {"(?U)\\p{Digit}", "٣"}, {"(?U)\\p{Space}", "\u00a0"},
        // Quantifiers
        {"a{2}", "a", "aa", "aaa"}, {"a{2,}", "a", "aaaa"}, {"a{2,3}", "aa", "aaaa"}, {"a{0}", "", "a"}, {"a{0,1}b", "b", "ab"}, {"a??b", "ab"}, {"a*?", "aaa"}, {"a+?b", "aab"}, {"a{1,2}?a", "aa"},
        {"a*+a", "aaa"}, {"a?+a", "a", "aa"}, {"a++b", "aab"}, {"a{1,2}+a", "aa", "aaa"}, {".*+x", "ax"}, {"[ab]*+b", "ab"}, {"(?:a|ab)*+c", "abac", "aac"}, {"(?:a|ab){2}+", "aba", "aa", "aab"},
        {"(a|ab){2}+", "aba"}, {"(?:a|ab)?+c", "abc", "ac"}, {"(?:ab|a)++b", "ab", "abb"}, {"(?:a?){3}", "", "aa", "aaaa"}, {"(?:a*)*", "aaa"}, {"(?:a|b*)*c", "abbac"}, {"(a*)+", "", "aa"}, {"(?:a*?)*b", "aab"},
        {"(a?b)*c", "abbc"}, {"(?:a|ab)(?:c|bcd)(?:d*)", "abcd", "abcdd"}, {"(ab)+?c", "ababc"}, {"(a+|b+)*c", "aabbc"}, {"(?:){3}a", "a"},
        {"(?:a|ab){1,2}c", "abac", "abc"}, {"((a|ab)(c|bcd))+", "abcdac"}, {"\\d{1,3}(?:\\.\\d{1,3}){3}", "10.0.0.255", "10.0.0"},
        // Groups, look-around, references
        {"(?>a*)a", "aaa"}, {"(?>a|ab)c", "abc", "ac"}, {"(?>ab|a)b", "ab", "abb"}, {"a(?=b)", "ab", "ac"}, {"a(?!b)", "ab", "ac", "a"}, {"(?<=a)b", "ab", "cb"}, {"(?<!a)b", "ab", "cb", "b"},
        {"(?<=a|bc)d", "ad", "bcd", "cd"}, {"(?<!a|bc)d", "ad", "bcd", "cd"}, {"(?=a)(?=.b).*", "ab", "ac"}, {"(?!a)(?!.b).*", "cc", "cb", "ac"}, {"(?<=^a)b", "ab", "aab"}, {"a(?=b$)b", "ab", "ab\n"},
        {"(?=.*\\d)(?=.*[a-z]).{4,}", "abc1", "abcd"}, {"(?<=\\d{3})x", "123x", "12x"}, {"(?<=日)本", "日本"}, {"(?<![\\w.])log", "a.log", "-log"}, {"((?!foo).)*", "barfoo", "bar"}, {"(?s)((?!foo).)*x", "bar\nx"},
        {"(a)\\1", "aa", "ab"}, {"(a|ab)\\1", "abab", "aba"}, {"(\\w)(\\w)\\2\\1", "abba", "abab"}, {"(a)\\11", "aa1", "a1"}, {"(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)\\10", "abcdefghijj"}, {"(?<n>a+)-\\k<n>", "aa-aa", "aa-a", "a-aa"},
        {"(?<year>\\d{4})(?<m>\\d\\d)", "202401"}, {"(a)?b\\1", "b", "aba"}, {"(?:(a)|b)*\\1", "aba", "ab"}, {"(a*)b\\1", "b", "aabaa"}, {"(?:(a)(b)?)*x\\2", "abax", "abaxb"}, {"(.+)\\1", "abcabc", "abcab"},
        {"(a(b)c)\\2", "abcb"}, {"(?>(a+))b\\1", "aabaa"}, {"(?=(a+))a*b\\1", "baaabac"}, {"|a", "", "a"}, {"a|", "", "a", "b"}, {"(|a)b", "b", "ab"}, {"(a||b)c", "c", "bc"}, {"()", ""}, {"(?:)", ""}, {"a(?:b|c(?:d|e))f", "acef"},
        {"(?i)(?:ERROR|WARN)", "an error", "information"}, {"^\\[?\\d{4}-\\d{2}", "[2024-01-01", "x2024-01"}, {"a{,2}", "a{,2}"},
        // Refused by Java
        {"*a"}, {"a**"}, {"+"}, {"?"}, {"a|*"}, {"(a"}, {"a)"}, {"[a"}, {"["}, {"[]"}, {"[^]"}, {"a{"}, {"a{x}"}, {"{"}, {"a{2"}, {"a{3,2}"}, {"a{2,1}"}, {"\\"}, {"\\j"}, {"\\y"}, {"\\E"}, {"\\0"}, {"\\08"}, {"\\x4"}, {"\\xg"}, {"\\u12"}, {"\\x{110000}"},
        {"\\x{"}, {"\\c"}, {"[z-a]"}, {"[a-\\d]"}, {"\\p{Foo}"}, {"\\p{"}, {"\\p{IsFoo}"}, {"\\k<n>"}, {"\\k"}, {"(?<n>a)(?<n>b)"}, {"(?<1>a)"}, {"(?<n"}, {"(?"}, {"(?k)"}, {"(?i"}, {"(?<a_b>x)"}, {"(?P<n>a)"}, {"a{99999999999}"}, {"[\\b]"}, {"[\\R]"}, {"[\\1]"}, {"(?i)*"}, {"[&&]"},
    };

    static String escape(String text) {
        StringBuilder out = new StringBuilder();
        text.codePoints().forEach(c -> {
            if (c == '\\') {
                out.append("\\\\");
            } else if (c < 32 || c > 126) {
                out.append("\\{").append(Integer.toHexString(c)).append('}');
            } else {
                out.appendCodePoint(c);
            }
        });
        return out.toString();
    }

    static boolean row(String pattern, String text) {
        String full;
        String find;
        try {
            Matcher matcher = Pattern.compile(pattern).matcher(text);
            full = matcher.matches() ? "1" : "0";
            find = matcher.reset().find() ? "1" : "0";
        } catch (PatternSyntaxException e) {
            full = find = "!";
        }
        System.out.println(escape(pattern) + "\t" + escape(text) + "\t" + full + "\t" + find);
        return !full.equals("!");
    }

    // Random patterns over a small alphabet, the same at each run.
    static final Random RANDOM = new Random(Long.getLong("seed", 20240101));
    static final String[] CHARS = {"a", "b", "A", "1", "_", "-", ".", "\n", "\r", "é", "\u0301", "\u2028"};
    static final String[] ATOMS = {
        "a", "b", "A", "1", "_", "-", "\\.", "é", ".", ".", "[ab]", "[^a]", "[a-b1]", "\\d", "\\w", "\\s", "\\W", "\\n",
        "[\\w&&[^b]]", "[a[1]]", "\\p{L}", "\\R", "(?i:a)", "(?s:.)"};
    static final String[] ASSERTIONS = {"^", "$", "\\b", "\\B", "\\Z", "\\z", "(?m:^)", "(?m:$)", "(?=a)", "(?!b)", "(?<=a)", "(?<!1)"};
    static final String[] QUANTIFIERS = {"*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{0,2}?", "*+", "++", "?+", "{1,2}+"};

    static String pick(String[] from) {
        return from[RANDOM.nextInt(from.length)];
    }

    static String randomPattern(int depth) {
        StringBuilder out = new StringBuilder();
        int parts = 1 + RANDOM.nextInt(3);
        for (int i = 0; i < parts; i++) {
            int kind = RANDOM.nextInt(10);
            if (kind == 0) {
                out.append(pick(ASSERTIONS));
                continue;
            }
            if (kind <= 3 && depth > 0) {
                String open = pick(new String[] {"(", "(?:", "(?>", "(?:"});
                out.append(open).append(randomPattern(depth - 1)).append("|").append(randomPattern(depth - 1)).append(")");
            } else {
                out.append(pick(ATOMS));
            }
            if (RANDOM.nextInt(3) == 0) {
                out.append(pick(QUANTIFIERS));
            }
        }
        return out.toString();
    }

    static String randomText() {
        StringBuilder out = new StringBuilder();
        int length = RANDOM.nextInt(6);
        for (int i = 0; i < length; i++) {
            // Mostly letters that patterns are made of.
            out.append(RANDOM.nextBoolean() ? pick(new String[] {"a", "b", "1"}) : pick(CHARS));
        }
        return out.toString();
    }

    static void decodeTable() {
        int[] bytes = {0x41, 0x7f, 0x80, 0xbf, 0xc0, 0xc2, 0xc3, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff, 0x90, 0x9f, 0xa0};
        for (int i = 0; i < 1500; i++) {
            byte[] name = new byte[1 + RANDOM.nextInt(5)];
            StringBuilder hex = new StringBuilder();
            for (int k = 0; k < name.length; k++) {
                name[k] = (byte) bytes[RANDOM.nextInt(bytes.length)];
                hex.append(String.format("%02x", name[k]));
            }
            System.out.println(hex + "\t" + escape(new String(name, StandardCharsets.UTF_8)));
        }
    }

    public static void main(String[] args) {
        if (args.length > 0) {
            decodeTable();
            return;
        }
        for (String[] c : CASES) {
            for (int i = 1; i < c.length; i++) {
                row(c[0], c[i]);
            }
            for (int i = 0; c.length == 1 && i < NAMES.length; i++) {
                // A pattern that is refused is so whatever the text.
                if (!row(c[0], NAMES[i])) {
                    break;
                }
            }
        }
        for (int i = 0; i < Integer.getInteger("random", 400); i++) {
            String pattern = randomPattern(2);
            for (int k = 0; k < 3; k++) {
                row(pattern, randomText());
            }
        }
    }
}
