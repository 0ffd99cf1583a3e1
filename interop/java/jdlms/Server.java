import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import org.openmuc.jdlms.AccessResultCode;
import org.openmuc.jdlms.AttributeAccessMode;
import org.openmuc.jdlms.AuthenticationMechanism;
import org.openmuc.jdlms.CosemAttribute;
import org.openmuc.jdlms.CosemClass;
import org.openmuc.jdlms.CosemInterfaceObject;
import org.openmuc.jdlms.CosemMethod;
import org.openmuc.jdlms.DlmsServer;
import org.openmuc.jdlms.IllegalAttributeAccessException;
import org.openmuc.jdlms.LogicalDevice;
import org.openmuc.jdlms.SecuritySuite;
import org.openmuc.jdlms.SecuritySuite.EncryptionMechanism;
import org.openmuc.jdlms.SecuritySuite.SecurityPolicy;
import org.openmuc.jdlms.SelectiveAccessDescription;
import org.openmuc.jdlms.datatypes.DataObject;
import org.openmuc.jdlms.datatypes.DataObject.Type;
import org.openmuc.jdlms.sessionlayer.server.ServerSessionLayerFactories;

/** org.openmuc:jdlms as a server with the objects and clients of README.md. */
public final class Server {
    private static final Instant START = Instant.parse("2026-01-01T00:00:00Z");

    public static void main(String[] args) throws Exception {
        Command command = new Command(args);
        byte[] title = command.octets("title", "4d45540000000001");
        long device = 0;
        for (int i = 3; i < 8; i++) {
            device = device << 8 | Byte.toUnsignedInt(title[i]);
        }
        byte[] serial = command.text("serial", "STRANGER00000001").getBytes("US-ASCII");
        LogicalDevice meter = new LogicalDevice(1, new String(serial, "US-ASCII"),
                new String(title, 0, 3, "US-ASCII"), device);
        meter.addRestriction(16, SecuritySuite.builder().build());
        meter.addRestriction(2, SecuritySuite.builder().setAuthenticationMechanism(AuthenticationMechanism.LOW)
                .setPassword(command.text("password", "12345678").getBytes("US-ASCII")).build());
        meter.addRestriction(1, SecuritySuite.builder()
                .setAuthenticationMechanism(AuthenticationMechanism.HLS5_GMAC)
                .setEncryptionMechanism(EncryptionMechanism.AES_GCM_128)
                .setSecurityPolicy(policy(command.text("security", "auth-enc")))
                .setGlobalUnicastEncryptionKey(command.encryptionKey())
                .setAuthenticationKey(command.authenticationKey()).build());
        meter.setMasterKey(command.octets("kek", "00112233445566778899aabbccddeeff"));
        meter.registerCosemObject(
                new Value("0.0.96.1.0.255", DataObject.newOctetStringData(serial)),
                new Value("0.0.96.13.0.255", DataObject.newOctetStringData(new byte[0])),
                new Energy("1.0.1.8.0.255", command.number("energy", 1234567)),
                new Profile("1.0.99.1.0.255", command.number("rows", 96), command.number("first", 1000)));
        DlmsServer server = DlmsServer.tcpServerBuilder(command.number("port", 4059))
                .setSessionLayerFactory(command.hdlc() ? ServerSessionLayerFactories.newHdlcSessionLayerFactory()
                        : ServerSessionLayerFactories.newWrapperSessionLayerFactory())
                .setMaxClients(100)
                .registerLogicalDevice(meter)
                .build();
        Command.print("event", "listening", "port", command.number("port", 4059));
        Thread.currentThread().join();
        server.close();
    }

    private static SecurityPolicy policy(String name) {
        return name.equals("auth") ? SecurityPolicy.AUTHENTICATED
                : name.equals("enc") ? SecurityPolicy.ENCRYPTED : SecurityPolicy.AUTHENTICATED_AND_ENCRYPTED;
    }

    @CosemClass(id = 1)
    public static final class Value extends CosemInterfaceObject {
        @CosemAttribute(id = 2, type = Type.OCTET_STRING, accessMode = AttributeAccessMode.READ_AND_WRITE)
        private DataObject value;

        Value(String name, DataObject value) {
            super(name);
            this.value = value;
        }

        public DataObject getValue() {
            return value;
        }

        public void setValue(DataObject value) {
            this.value = value;
        }

        @CosemMethod(id = 1, consumes = Type.OCTET_STRING)
        public void show(DataObject text) {
            value = text;
        }
    }

    @CosemClass(id = 3)
    public static final class Energy extends CosemInterfaceObject {
        @CosemAttribute(id = 2, type = Type.DOUBLE_LONG_UNSIGNED, accessMode = AttributeAccessMode.READ_ONLY)
        private DataObject value;
        @CosemAttribute(id = 3, type = Type.STRUCTURE, accessMode = AttributeAccessMode.READ_ONLY)
        private final DataObject scalerUnit = DataObject.newStructureData(
                DataObject.newInteger8Data((byte) 0), DataObject.newEnumerateData(30));

        Energy(String name, long value) {
            super(name);
            this.value = DataObject.newUInteger32Data(value);
        }

        @CosemMethod(id = 1, consumes = Type.INTEGER)
        public void reset(DataObject ignored) {
            value = DataObject.newUInteger32Data(0);
        }
    }

    @CosemClass(id = 7, version = 1)
    public static final class Profile extends CosemInterfaceObject {
        private final List<DataObject> rows = new ArrayList<>();
        @CosemAttribute(id = 2, type = Type.ARRAY, accessMode = AttributeAccessMode.READ_ONLY, selector = { 1, 2 })
        private DataObject buffer;
        @CosemAttribute(id = 3, type = Type.ARRAY, accessMode = AttributeAccessMode.READ_ONLY)
        private final DataObject captureObjects = DataObject.newArrayData(List.of(
                Axdr.decode(Command.hex("020412000809060000010000ff0f02120000")),
                Axdr.decode(Command.hex("020412000309060100010800ff0f02120000"))));
        @CosemAttribute(id = 4, type = Type.DOUBLE_LONG_UNSIGNED, accessMode = AttributeAccessMode.READ_ONLY)
        private final DataObject capturePeriod = DataObject.newUInteger32Data(900);
        @CosemAttribute(id = 7, type = Type.DOUBLE_LONG_UNSIGNED, accessMode = AttributeAccessMode.READ_ONLY)
        private final DataObject entriesInUse;
        @CosemAttribute(id = 8, type = Type.DOUBLE_LONG_UNSIGNED, accessMode = AttributeAccessMode.READ_ONLY)
        private final DataObject profileEntries;

        Profile(String name, int count, long first) {
            super(name);
            for (int i = 0; i < count; i++) {
                byte[] time = Command.dateTime(START.plusSeconds(900L * i));
                rows.add(DataObject.newStructureData(DataObject.newOctetStringData(time),
                        DataObject.newUInteger32Data(first + i)));
            }
            entriesInUse = DataObject.newUInteger32Data(count);
            profileEntries = DataObject.newUInteger32Data(count);
        }

        public DataObject getBuffer(SelectiveAccessDescription selection) throws IllegalAttributeAccessException {
            if (selection == null) {
                return DataObject.newArrayData(rows);
            }
            List<DataObject> parts = selection.getAccessParameter().getValue();
            if (selection.getAccessSelector() == 2) {
                int from = Math.max(((Number) parts.get(0).getRawValue()).intValue(), 1);
                int to = ((Number) parts.get(1).getRawValue()).intValue();
                return DataObject.newArrayData(new ArrayList<>(
                        rows.subList(from - 1, to == 0 ? rows.size() : Math.min(to, rows.size()))));
            }
            if (selection.getAccessSelector() != 1) {
                throw new IllegalAttributeAccessException(AccessResultCode.SCOPE_OF_ACCESS_VIOLATED);
            }
            String from = time(parts.get(1));
            String to = time(parts.get(2));
            List<DataObject> chosen = new ArrayList<>();
            for (DataObject row : rows) {
                List<DataObject> cells = row.getValue();
                String at = time(cells.get(0));
                if (at.compareTo(from) >= 0 && at.compareTo(to) <= 0) {
                    chosen.add(row);
                }
            }
            return DataObject.newArrayData(chosen);
        }

        /** Year to second without the day of week, which orders as text; every row is in UTC. */
        private static String time(DataObject value) {
            String octets = Axdr.encode(value);
            String inner = octets.substring(octets.length() - 24);
            return inner.substring(0, 8) + inner.substring(10, 16);
        }
    }
}
