import java.io.PrintWriter;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.Charset;
import java.nio.charset.CodingErrorAction;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.TreeSet;

/**
 * Dumps how this JVM decodes bytes. Usage: java JavaPairs.java DIR
 *
 * DIR/single_byte.tsv: every single-byte charset whose lower half is ASCII:
 *   name, aliases, the 128 UTF-16 units of 0x80-0xFF in hex (FFFD = unmapped).
 * DIR/NAME.pairs: for the double-byte charsets, one line per byte 80-FF and per
 *   pair 80 00-FF FF: bytes, UTF-16 units in hex or "-".
 *
 * src/java/charset/single_byte.tsv is a copy of the first;
 * src/java/charset/double_byte.tsv is made of the others by
 * FLUME_NG_PAIRS=DIR cargo test --lib regenerate_double_byte -- --ignored
 */
public class JavaPairs {
    static final String[] DOUBLE = {"GBK", "GB2312", "x-mswin-936", "GB18030", "Big5", "x-windows-950",
        "EUC-KR", "x-windows-949", "Shift_JIS", "windows-31j", "EUC-JP"};

    static String decode(Charset c, int... bytes) {
        byte[] b = new byte[bytes.length];
        for (int i = 0; i < b.length; i++) b[i] = (byte) bytes[i];
        try {
            return c.newDecoder().onMalformedInput(CodingErrorAction.REPORT)
                .onUnmappableCharacter(CodingErrorAction.REPORT).decode(ByteBuffer.wrap(b)).toString();
        } catch (CharacterCodingException e) {
            return null;
        }
    }

    static String hex(String s) {
        if (s == null) return "-";
        StringBuilder b = new StringBuilder();
        for (char c : s.toCharArray()) b.append(String.format("%04X", (int) c));
        return b.toString();
    }

    /** The upper half, or null if the charset is not single-byte over ASCII. */
    static String upperHalf(Charset c) {
        for (int i = 0; i < 128; i++) if (!String.valueOf((char) i).equals(decode(c, i))) return null;
        StringBuilder upper = new StringBuilder();
        for (int i = 128; i < 256; i++) {
            String s = decode(c, i);
            upper.append(s == null ? "\uFFFD" : s);
            for (int j = 0x21; j < 256; j++) {
                String pair = decode(c, i, j);
                if (pair != null && pair.length() == 1) return null;
            }
        }
        return upper.length() == 128 ? upper.toString() : null;
    }

    public static void main(String[] args) throws Exception {
        Path dir = Files.createDirectories(Path.of(args[0]));
        // First of all: loading x-Big5-Solaris adds seven characters to the Big5 of this JVM.
        for (String name : DOUBLE) {
            Charset c = Charset.forName(name);
            try (PrintWriter out = new PrintWriter(dir.resolve(name + ".pairs").toFile(), "UTF-8")) {
                for (int i = 128; i < 256; i++) out.printf("%02X\t%s\n", i, hex(decode(c, i)));
                for (int i = 128; i < 256; i++)
                    for (int j = 0; j < 256; j++)
                        out.printf("%02X%02X\t%s\n", i, j, decode(c, i) == null ? hex(decode(c, i, j)) : "-");
            }
        }
        try (PrintWriter out = new PrintWriter(dir.resolve("single_byte.tsv").toFile(), "UTF-8")) {
            for (Charset c : Charset.availableCharsets().values()) {
                String upper;
                try {
                    upper = upperHalf(c);
                } catch (UnsupportedOperationException e) {
                    continue;
                }
                if (upper != null)
                    out.print(c.name() + "\t" + String.join(" ", new TreeSet<>(c.aliases())) + "\t" + hex(upper) + "\n");
            }
        }
    }
}
