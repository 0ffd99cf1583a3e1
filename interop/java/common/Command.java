import java.io.PrintStream;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** The command line and the JSON lines that the Java programs share with the others here. */
final class Command {
    /** One operation as it stands on the command line, taken apart. */
    static final class Operation {
        final String kind;
        final String text;
        final List<Target> targets = new ArrayList<>();
        final String argument;

        Operation(String kind, String text) {
            this.kind = kind;
            this.text = text;
            String[] halves = text.split("=", 2);
            for (String name : halves[0].split(",")) {
                targets.add(new Target(name));
            }
            argument = halves.length == 2 ? halves[1] : null;
        }

        Target target() {
            return targets.get(0);
        }

        byte[] value() {
            return argument == null ? null : hex(argument);
        }

        Instant[] moments() {
            String[] ends = argument.split("\\.\\.", 2);
            return new Instant[] { Instant.parse(ends[0]), Instant.parse(ends[1]) };
        }

        int[] entries() {
            String[] ends = argument.split("-", 2);
            return new int[] { Integer.parseInt(ends[0]), Integer.parseInt(ends[1]) };
        }
    }

    /** CLASS:OBIS:ID. */
    static final class Target {
        final int classId;
        final String obis;
        final int id;

        Target(String text) {
            String[] parts = text.split(":");
            classId = Integer.parseInt(parts[0]);
            obis = parts[1];
            id = Integer.parseInt(parts[2]);
        }
    }

    /** What a library does, one method an operation; values are A-XDR in hex. */
    interface Client {
        void associate() throws Exception;

        /** Returns the fields that the answer line has beside the result. */
        Object[] perform(Operation operation) throws Exception;

        void release() throws Exception;
    }

    private static final PrintStream LINES = System.out;
    private final Map<String, String> named = new TreeMap<>();
    final List<Operation> operations = new ArrayList<>();

    /** What a library prints itself goes to the error output. */
    Command(String[] args) {
        System.setOut(System.err);
        List<String> rest = new ArrayList<>();
        for (int i = 0; i < args.length; i++) {
            if (!args[i].startsWith("--")) {
                rest.add(args[i]);
            } else if (i + 1 < args.length) {
                named.put(args[i].substring(2), args[++i]);
            }
        }
        for (int i = 0; i + 1 < rest.size(); i += 2) {
            operations.add(new Operation(rest.get(i), rest.get(i + 1)));
        }
    }

    String text(String name, String otherwise) {
        return named.getOrDefault(name, otherwise);
    }

    int number(String name, int otherwise) {
        return Integer.parseInt(text(name, Integer.toString(otherwise)));
    }

    byte[] octets(String name, String otherwise) {
        return hex(text(name, otherwise));
    }

    boolean hdlc() {
        return text("framing", "wrapper").equals("hdlc");
    }

    byte[] encryptionKey() {
        return octets("ek", "000102030405060708090a0b0c0d0e0f");
    }

    byte[] authenticationKey() {
        return octets("ak", "d0d1d2d3d4d5d6d7d8d9dadbdcdddedf");
    }

    static byte[] hex(String text) {
        return HexFormat.of().parseHex(text);
    }

    static String hex(byte[] octets) {
        return HexFormat.of().formatHex(octets);
    }

    /** The 12 octets of a COSEM date-time in UTC (Blue Book 4.1.6.1). */
    static byte[] dateTime(Instant moment) {
        ZonedDateTime t = moment.atZone(ZoneOffset.UTC);
        return new byte[] { (byte) (t.getYear() >> 8), (byte) t.getYear(), (byte) t.getMonthValue(),
                (byte) t.getDayOfMonth(), (byte) 0xff, (byte) t.getHour(), (byte) t.getMinute(),
                (byte) t.getSecond(), 0, 0, 0, 0 };
    }

    /** Runs the whole conversation; the exit status is 0 when every step was ok. */
    void run(Client client) {
        int failures = 0;
        if (!step("associate", null, client)) {
            System.exit(1);
        }
        for (Operation operation : operations) {
            failures += step(operation.kind, operation, client) ? 0 : 1;
        }
        failures += step("release", null, client) ? 0 : 1;
        System.exit(failures == 0 ? 0 : 1);
    }

    private static boolean step(String kind, Operation operation, Client client) {
        long started = System.nanoTime();
        List<Object> line = new ArrayList<>(List.of("op", kind));
        String result = "ok";
        if (operation != null) {
            line.addAll(List.of("what", operation.text));
        }
        try {
            if (operation != null) {
                line.addAll(List.of(client.perform(operation)));
            } else if (kind.equals("associate")) {
                client.associate();
            } else {
                client.release();
            }
        } catch (UnsupportedOperationException error) {
            result = "unsupported: " + error.getMessage();
        } catch (Exception error) {
            Throwable cause = error instanceof java.lang.reflect.InvocationTargetException ? error.getCause() : error;
            result = cause.toString();
        }
        line.addAll(List.of("result", result, "us", (System.nanoTime() - started) / 1000));
        print(line.toArray());
        return result.equals("ok");
    }

    /** One JSON object a line from names and values in turn. */
    static void print(Object... pairs) {
        StringBuilder line = new StringBuilder("{");
        for (int i = 0; i < pairs.length; i += 2) {
            line.append(i == 0 ? "" : ", ").append(json(pairs[i])).append(": ").append(json(pairs[i + 1]));
        }
        LINES.println(line.append('}'));
        LINES.flush();
    }

    private static String json(Object value) {
        if (value instanceof Number) {
            return value.toString();
        }
        if (value instanceof List<?>) {
            List<String> items = new ArrayList<>();
            for (Object item : (List<?>) value) {
                items.add(json(item));
            }
            return "[" + String.join(", ", items) + "]";
        }
        String text = String.valueOf(value).replaceAll("\\p{Cntrl}+", " ");
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
    }
}
