import java.text.SimpleDateFormat;
import java.time.Instant;
import java.util.Date;
import java.util.Locale;
import java.util.TimeZone;

/**
 * Writes simple_date_format.tsv:
 * java SimpleDateFormatTable.java > simple_date_format.tsv
 */
public class SimpleDateFormatTable {
    static final String[] ZONES = {
        "UTC", "Asia/Shanghai", "Asia/Kolkata", "Asia/Kathmandu", "America/New_York",
        "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia"};

    static final String[] TIMES = {
        "1970-01-01T00:00:00Z", "1999-12-31T23:59:59.999Z", "2000-02-29T12:00:00.007Z",
        "2008-12-28T11:59:59.012Z", "2011-12-31T00:00:00Z", "2012-12-30T10:01:02.003Z",
        "2015-12-26T23:00:00Z", "2016-01-01T04:59:59Z", "2016-12-31T15:59:59Z",
        "2023-01-01T05:00:00.5Z", "2024-02-28T18:15:00Z", "2024-03-10T06:59:59.999Z",
        "2024-03-10T07:00:00Z", "2024-03-31T01:00:00Z", "2024-04-06T15:00:00Z",
        "2024-10-05T15:30:00Z", "2024-11-03T05:59:59Z", "2024-11-03T06:00:00Z",
        "2024-12-29T12:34:56.789Z", "2024-12-31T12:00:00Z", "2038-01-19T03:14:08Z"};

    static final String[] PATTERNS = {
        "yyyyMMddHH", "yyyyMMdd", "yyyy-MM-dd", "yyyy-MM-dd-HH", "yyyyMMddHHmm",
        "G GG GGGG", "y yy yyy yyyy yyyyy yyyyyyy", "Y YY YYY YYYY YYYYYY",
        "M MM MMM MMMM MMMMM MMMMMM", "L LL LLL LLLL LLLLL", "w ww www", "W WW", "D DD DDD DDDD",
        "d dd ddd", "F FF", "E EE EEE EEEE EEEEE", "u uu uuu", "a aa aaaa", "H HH HHH", "k kk kkk",
        "K KK KKK", "h hh hhh", "m mm mmm", "s ss sss", "S SS SSS SSSS", "z zz zzz",
        "Z ZZ ZZZZ ZZZZZ", "X XX XXX", "yyyy'year'MM'''x'dd''HH 'o''clock'", "'log.'yyyyMMddHH'.txt'",
        "EEE, d MMM yyyy HH:mm:ss Z", "hh 'h' a, z", "日yyyy年MM月", "", "''", "''''", "'a''b'"};

    static final String[] ILLEGAL = {
        "Q", "yyyyQ", "app.yyyy", "yyyy'", "'", "'''", "XXXX", "A", "yyyy-MM-dd_hhN", "é'b", "b'"};

    /** What the test hands to the program as the abbreviation of the zone. */
    static String abbreviation(TimeZone zone, Date date) {
        return zone.getDisplayName(zone.inDaylightTime(date), TimeZone.SHORT, Locale.US);
    }

    static void row(String pattern, long ms, TimeZone zone) {
        Date date = new Date(ms);
        String result;
        try {
            SimpleDateFormat format = new SimpleDateFormat(pattern, Locale.US);
            format.setTimeZone(zone);
            result = format.format(date);
        } catch (IllegalArgumentException e) {
            result = "!" + e.getMessage();
        }
        System.out.println(pattern + "\t" + ms + "\t" + zone.getID() + "\t"
            + zone.getOffset(ms) / 1000 + "\t" + abbreviation(zone, date) + "\t" + result);
    }

    public static void main(String[] args) throws Exception {
        System.setOut(new java.io.PrintStream(System.out, true, "UTF-8"));
        int n = 0;
        for (String pattern : PATTERNS) {
            for (String time : TIMES) {
                // Each pattern sees each time in two zones, each zone by turns.
                for (int i = 0; i < 2; i++) {
                    TimeZone zone = TimeZone.getTimeZone(ZONES[n++ % ZONES.length]);
                    row(pattern, Instant.parse(time).toEpochMilli(), zone);
                }
            }
        }
        for (String pattern : ILLEGAL) {
            row(pattern, 0, TimeZone.getTimeZone("UTC"));
        }
    }
}
