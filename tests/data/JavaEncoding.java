import java.io.ByteArrayOutputStream;
import java.io.PrintWriter;
import java.nio.charset.Charset;
import java.util.zip.CRC32;

/**
 * CRC-32 of all BMP characters (without surrogates), each encoded by getBytes for itself,
 * and of "a中😀é" as a whole in hex. java JavaEncoding.java > java_encoding.tsv
 * With a directory as argument the encodings are written there, a line per character.
 */
public class JavaEncoding {
    static final String[] CHARSETS = {"UTF-8", "UTF-16", "UTF-16LE", "UTF-16BE", "x-UTF-16LE-BOM", "US-ASCII",
        "ISO-8859-1", "ISO-8859-15", "windows-1252", "windows-1251", "KOI8-R", "IBM850", "GBK", "GB2312",
        "x-mswin-936", "GB18030", "Big5", "x-windows-950", "EUC-KR", "x-windows-949", "Shift_JIS",
        "windows-31j", "EUC-JP", "ISO-2022-JP"};

    static String hex(byte[] b) {
        StringBuilder out = new StringBuilder();
        for (byte x : b) out.append(String.format("%02X", x & 0xFF));
        return out.toString();
    }

    public static void main(String[] args) throws Exception {
        for (String name : CHARSETS) {
            Charset c = Charset.forName(name);
            CRC32 crc = new CRC32();
            PrintWriter dump = args.length == 0 ? null : new PrintWriter(args[0] + "/" + name + ".encoded", "UTF-8");
            for (int i = 0; i < 0x10000; i++) {
                if (i >= 0xD800 && i < 0xE000) continue;
                byte[] b = String.valueOf((char) i).getBytes(c);
                crc.update(b);
                if (dump != null) dump.println(String.format("%04X\t%s", i, hex(b)));
            }
            if (dump != null) dump.close();
            System.out.println(name + "\t" + Long.toHexString(crc.getValue()) + "\t" + hex("a中😀é".getBytes(c)));
        }
    }
}
