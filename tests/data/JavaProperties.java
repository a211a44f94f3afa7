import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.util.*;

/**
 * Writes java_properties.tsv: odd properties files and what java.util.Properties makes of them.
 * Run: java tests/data/JavaProperties.java > tests/data/java_properties.tsv
 * Fields are hexadecimal UTF-8: the input, then key, value, key, value ... sorted by key; or the
 * word "refused". Lone surrogates and a leading byte order mark are left out: there flume-ng
 * differs on purpose.
 */
public class JavaProperties {
    static final String[] BY_HAND = {
        "", "\n", "a", "a=", "=b", ":", " ", "\\", "\\\n", "a\\", "a\\\n", "a\\\\", "a=\\\\\n b",
        "a=b", "a:b", "a b", "a\tb", "a\fb", "a = b ", "a  =  b", "a==b", "a=:b", "a : = b", "a = = b",
        "a1.sinks k1", "a1.sources : r1", "i==v", "f", "  k  v  ", "\t\fk\t\f=\t\fv\t",
        "# c\na=b", "! c\na=b", "  # c", "  ! c \\\na=b", "# c \\\n a=b", "a=b # c", "a#=b", "a!b=c",
        "a=1\\\n# not a comment", "a=1\\\n  2\\\n  3", "a=1\\\r\n2", "a=1\\\r2", "a=1\\\n\nb=2",
        "a=1\\\n   \nb=2", "\\\n# c\na=b", "\\\n\\\na=b", "\\\n  a=b", "a=b\\\\\nc=d", "a=b\\\\\\\nc=d",
        "a=1\r\nb=2\r\n", "a=1\rb=2\r", "a=1\n\r\rb=2", "\r\n\r\na=1", "a=1\na=2", "a=1\na=", "a\\ b=c",
        "a\\=b=c", "a\\:b=c", "\\#a=b", "\\!a=b", "a=\\t\\n\\r\\f\\b\\a\\d\\\"\\'", "a=.*(\\\\d){4}",
        "a=.*(\\d){4}", "a=\\u0041", "a=\\u004a\\u004A", "\\u0061=b", "\\u0020a=b", "a\\u003db=c",
        "a=\\u41", "a=\\uxyzw", "a=\\u", "a=\\u004", "\\u00=1", "a=\\U0041", "a=\\\\u0041", "a=\\u00e9\u00e9",
        "a=\\ud83d\\ude00", "a=\ud83d\ude00", "\u00e9=\u4e2d\u6587", "a=\\\u4e2d", "a=b\u0000c", "a\u00a0b=c",
        "a\u000bb=c", "a=b\u0085c=d", "a=b\u2028c=d", "a=\ufeff", "a=\\ \\ b", "a=\\", "a=\\\n", "a=\\\r\n",
        "a\\\n=b", "a\\\n  b", "a\\\n:b", "a \\\n = b", "a=\\\n=b", "a=b\\\n\\\n c", "=\\\n", "a=\\u00\\\n41",
        "a=\\u0041\\\n  \\u0042", "a1.s.batchSize = 7\na1.s.batchSize = 100", "a=\\=\\:\\#\\!", "\\\\=\\\\",
        "a\\\\=b", "a\\\\\\=b=c", "a\\\\:b", "a\\\\ b", "#\\u12\na=b", "#", "!", "a=b\n#", "a=b\n#\\",
    };
    static final String[] PIECES = {
        "a", "b", "k1", " ", "  ", "\t", "\f", "=", ":", "#", "!", "\\", "\\\\", "\n", "\r", "\r\n",
        "\\\n", "\\\r\n", "\\n", "\\t", "\\d", "\\u0041", "\\u00", "\u00e9", "\u4e2d", "\ud83d\ude00", "\\=", "\\ ",
    };

    public static void main(String[] args) {
        System.out.println("# Written by JavaProperties.java with Java " + Runtime.version().feature());
        Set<String> inputs = new LinkedHashSet<>(Arrays.asList(BY_HAND));
        Random random = new Random(1);
        while (inputs.size() < 600) {
            StringBuilder text = new StringBuilder();
            for (int n = 1 + random.nextInt(14); n > 0; n--) text.append(PIECES[random.nextInt(PIECES.length)]);
            inputs.add(text.toString());
        }
        for (String input : inputs) System.out.println(row(input));
    }

    static String row(String input) {
        StringBuilder row = new StringBuilder(hex(input));
        try {
            Properties properties = new Properties();
            properties.load(new StringReader(input));
            for (String key : new TreeSet<>(properties.stringPropertyNames()))
                row.append('\t').append(hex(key)).append('\t').append(hex(properties.getProperty(key)));
        } catch (Exception refused) {
            row.append("\trefused");
        }
        return row.toString();
    }

    static String hex(String text) {
        return HexFormat.of().formatHex(text.getBytes(StandardCharsets.UTF_8));
    }
}
