import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.Charset;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CoderResult;
import java.nio.charset.CodingErrorAction;
import java.util.LinkedHashSet;
import java.util.Random;
import java.util.Set;

/**
 * How this JVM decodes malformed input, one case a line:
 *   charset, input in hex, REPLACE and IGNORE result (UTF-16 units in hex),
 *   and under REPORT "ok" or offset+length of the first malformed or unmappable bytes.
 * Usage: java JavaDecoding.java > java_decoding.tsv
 */
public class JavaDecoding {
    static final String[][] CHARSETS = {
        // name, number of random inputs, bytes that the inputs are drawn from
        {"UTF-8", "900", "41 0A 7F 80 8F 90 9F A0 AF BF C0 C1 C2 DF E0 E4 ED EE EF F0 F1 F3 F4 F5 F7 F8 FB FC FE FF BD B8"},
        {"US-ASCII", "30", "41 0A 80 FF"},
        {"ISO-8859-1", "30", "41 0A 80 FF"},
        {"windows-1252", "30", "41 0A 80 81 8D FF"},
        {"ISO-8859-7", "30", "41 0A 80 AE D2 FF"},
        {"GBK", "300", "41 0A 30 39 40 7E 7F 80 81 A1 B0 C4 E3 FE FF A2 AA"},
        {"GB2312", "200", "41 0A 30 40 7F 80 81 A1 A4 AA B0 C4 E3 F8 FE FF"},
        {"x-mswin-936", "200", "41 0A 30 39 40 7E 7F 80 81 A1 B0 C4 E3 FE FF A2"},
        {"GB18030", "500", "41 0A 2F 30 31 35 39 3A 40 7F 80 81 82 84 90 A1 B0 C4 E3 FE FF"},
        {"Big5", "200", "41 0A 40 7E 7F 80 81 A0 A1 A4 C6 C9 F9 D5 FE FF"},
        {"x-windows-950", "200", "41 0A 40 7E 7F 80 81 A0 A1 A4 C6 C9 F9 D5 FE FF"},
        {"EUC-KR", "200", "41 0A 40 7E 7F 80 81 A0 A1 B0 C8 C9 FE FF"},
        {"x-windows-949", "200", "41 0A 40 7E 7F 80 81 A0 A1 B0 C6 C9 FE FF"},
        {"Shift_JIS", "200", "41 0A 40 5C 7E 7F 80 81 87 88 A0 A1 B1 DF E0 EA F0 FC FD FF"},
        {"windows-31j", "200", "41 0A 40 5C 7E 7F 80 81 87 88 A0 A1 B1 DF E0 EA F0 FC FD FF"},
        {"EUC-JP", "300", "41 0A 40 7F 80 8E 8F A0 A1 A2 B0 B1 DF E0 F4 FE FF"},
        {"ISO-2022-JP", "300", "41 0A 21 24 28 42 4A 40 49 44 1B 30 33 7E 7F 80 A1"},
        {"UTF-16BE", "200", "00 0A 41 D8 DB DC DF FE FF"},
        {"UTF-16LE", "200", "00 0A 41 D8 DB DC DF FE FF"},
        {"UTF-16", "200", "00 0A 41 D8 DB DC DF FE FF"},
        {"x-UTF-16LE-BOM", "200", "00 0A 41 D8 DB DC DF FE FF"},
    };

    static String decode(Charset c, byte[] b, CodingErrorAction action) throws Exception {
        CharBuffer text = c.newDecoder().onMalformedInput(action).onUnmappableCharacter(action)
            .decode(ByteBuffer.wrap(b));
        StringBuilder out = new StringBuilder();
        while (text.hasRemaining()) out.append(String.format("%04X", (int) text.get()));
        return out.toString();
    }

    static String report(Charset c, byte[] b) {
        CharsetDecoder d = c.newDecoder();
        ByteBuffer in = ByteBuffer.wrap(b);
        CoderResult r = d.decode(in, CharBuffer.allocate(64), true);
        return r.isError() ? in.position() + "+" + r.length() : "ok";
    }

    static String hex(byte[] b) {
        StringBuilder out = new StringBuilder();
        for (byte x : b) out.append(String.format("%02X", x & 0xFF));
        return out.toString();
    }

    public static void main(String[] args) throws Exception {
        StringBuilder all = new StringBuilder();
        for (String[] row : CHARSETS) {
            Charset c = Charset.forName(row[0]);
            String[] alphabet = row[2].split(" ");
            Random random = new Random(row[0].hashCode());
            Set<String> seen = new LinkedHashSet<>();
            int count = Integer.parseInt(row[1]);
            // Each byte alone and before an ASCII letter, then random ones.
            for (int i = 0; seen.size() < count; i++) {
                byte[] b;
                if (i < alphabet.length) {
                    b = new byte[] {(byte) Integer.parseInt(alphabet[i], 16)};
                } else if (i < 2 * alphabet.length) {
                    b = new byte[] {(byte) Integer.parseInt(alphabet[i - alphabet.length], 16), 'A'};
                } else {
                    b = new byte[2 + random.nextInt(6)];
                    for (int j = 0; j < b.length; j++)
                        b[j] = (byte) Integer.parseInt(alphabet[random.nextInt(alphabet.length)], 16);
                }
                if (!seen.add(hex(b))) continue;
                all.append(row[0]).append('\t').append(hex(b))
                    .append('\t').append(decode(c, b, CodingErrorAction.REPLACE))
                    .append('\t').append(decode(c, b, CodingErrorAction.IGNORE))
                    .append('\t').append(report(c, b)).append('\n');
            }
        }
        System.out.print(all);
    }
}
