import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Random;

/** Orders of HashMap: keys as inserted, keys as iterated. java JavaHashMap.java > java_hash_map.tsv */
public class JavaHashMap {
    public static void main(String[] args) {
        String[] usual = {"file", "basename", "timestamp", "host", "key", "hostname", "topic", "Aa", "BB", "日志", "a😀"};
        Random random = new Random(16);
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < 120; i++) {
            LinkedHashSet<String> keys = new LinkedHashSet<>();
            int count = 1 + random.nextInt(i < 60 ? 10 : 60);
            while (keys.size() < count)
                keys.add(random.nextInt(count < 11 ? 1 : 6) == 0 ? usual[random.nextInt(usual.length)]
                    : Integer.toString(random.nextInt(1 << 20), 36));
            Map<String, String> map = new HashMap<>();
            for (String key : keys) map.put(key, "v");
            out.append(String.join(" ", keys)).append('\t').append(String.join(" ", map.keySet())).append('\n');
        }
        System.out.print(out);
    }
}
