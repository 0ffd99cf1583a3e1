import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.openmuc.jdlms.datatypes.BitString;
import org.openmuc.jdlms.datatypes.CosemDateFormat;
import org.openmuc.jdlms.datatypes.CosemDateTime;
import org.openmuc.jdlms.datatypes.DataObject;

/** jDLMS keeps its own encoder to itself: the Data type of the Green Book, to octets and back. */
final class Axdr {
    private Axdr() {}

    static DataObject decode(byte[] octets) {
        return octets == null ? null : decode(ByteBuffer.wrap(octets));
    }

    private static DataObject decode(ByteBuffer in) {
        int tag = in.get();
        switch (tag) {
        case 0x00: return DataObject.newNullData();
        case 0x01: return DataObject.newArrayData(items(in));
        case 0x02: return DataObject.newStructureData(items(in));
        case 0x03: return DataObject.newBoolData(in.get() != 0);
        case 0x05: return DataObject.newInteger32Data(in.getInt());
        case 0x06: return DataObject.newUInteger32Data(Integer.toUnsignedLong(in.getInt()));
        case 0x09: return DataObject.newOctetStringData(string(in));
        case 0x0a: return DataObject.newVisibleStringData(string(in));
        case 0x0f: return DataObject.newInteger8Data(in.get());
        case 0x10: return DataObject.newInteger16Data(in.getShort());
        case 0x11: return DataObject.newUInteger8Data((short) Byte.toUnsignedInt(in.get()));
        case 0x12: return DataObject.newUInteger16Data(Short.toUnsignedInt(in.getShort()));
        case 0x16: return DataObject.newEnumerateData(Byte.toUnsignedInt(in.get()));
        case 0x19:
            byte[] time = new byte[12];
            in.get(time);
            return DataObject.newDateTimeData(CosemDateTime.decode(time));
        default: throw new UnsupportedOperationException("tag " + tag);
        }
    }

    private static List<DataObject> items(ByteBuffer in) {
        List<DataObject> items = new ArrayList<>();
        for (int left = length(in); left > 0; left--) {
            items.add(decode(in));
        }
        return items;
    }

    private static byte[] string(ByteBuffer in) {
        byte[] octets = new byte[length(in)];
        in.get(octets);
        return octets;
    }

    private static int length(ByteBuffer in) {
        int first = Byte.toUnsignedInt(in.get());
        int length = first < 0x80 ? first : 0;
        for (int more = first < 0x80 ? 0 : first & 0x7f; more > 0; more--) {
            length = length << 8 | Byte.toUnsignedInt(in.get());
        }
        return length;
    }

    static String encode(DataObject data) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        encode(data, out);
        return Command.hex(out.toByteArray());
    }

    private static void encode(DataObject data, ByteArrayOutputStream out) {
        Object raw = data.getRawValue();
        switch (data.getType()) {
        case NULL_DATA: out.write(0x00); break;
        case ARRAY: items(out, 0x01, data.getValue()); break;
        case STRUCTURE: items(out, 0x02, data.getValue()); break;
        case BOOLEAN: integer(out, 0x03, (Boolean) raw ? 1 : 0, 1); break;
        case BIT_STRING:
            BitString bits = data.getValue();
            out.write(0x04);
            length(out, bits.getNumBits());
            out.writeBytes(bits.getBitString());
            break;
        case DOUBLE_LONG: integer(out, 0x05, raw, 4); break;
        case DOUBLE_LONG_UNSIGNED: integer(out, 0x06, raw, 4); break;
        case OCTET_STRING: string(out, 0x09, (byte[]) raw); break;
        case VISIBLE_STRING: string(out, 0x0a, (byte[]) raw); break;
        case UTF8_STRING: string(out, 0x0c, (byte[]) raw); break;
        case BCD: integer(out, 0x0d, raw, 1); break;
        case INTEGER: integer(out, 0x0f, raw, 1); break;
        case LONG_INTEGER: integer(out, 0x10, raw, 2); break;
        case UNSIGNED: integer(out, 0x11, raw, 1); break;
        case LONG_UNSIGNED: integer(out, 0x12, raw, 2); break;
        case LONG64: integer(out, 0x14, raw, 8); break;
        case LONG64_UNSIGNED: integer(out, 0x15, raw, 8); break;
        case ENUMERATE: integer(out, 0x16, raw, 1); break;
        case DATE_TIME: time(out, 0x19, raw); break;
        case DATE: time(out, 0x1a, raw); break;
        case TIME: time(out, 0x1b, raw); break;
        default: throw new UnsupportedOperationException(data.getType().toString());
        }
    }

    private static void items(ByteArrayOutputStream out, int tag, List<DataObject> items) {
        out.write(tag);
        length(out, items.size());
        for (DataObject item : items) {
            encode(item, out);
        }
    }

    private static void integer(ByteArrayOutputStream out, int tag, Object raw, int octets) {
        byte[] wide = ByteBuffer.allocate(8).putLong(((Number) raw).longValue()).array();
        out.write(tag);
        out.write(wide, 8 - octets, octets);
    }

    private static void string(ByteArrayOutputStream out, int tag, byte[] octets) {
        out.write(tag);
        length(out, octets.length);
        out.writeBytes(octets);
    }

    private static void time(ByteArrayOutputStream out, int tag, Object raw) {
        out.write(tag);
        out.writeBytes(((CosemDateFormat) raw).encode());
    }

    private static void length(ByteArrayOutputStream out, int length) {
        int octets = length < 0x80 ? 0 : length < 0x100 ? 1 : length < 0x10000 ? 2 : 3;
        if (octets > 0) {
            out.write(0x80 | octets);
        }
        out.write(ByteBuffer.allocate(4).putInt(length).array(), 4 - Math.max(octets, 1), Math.max(octets, 1));
    }
}
