import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import org.openmuc.jdlms.AccessResultCode;
import org.openmuc.jdlms.AttributeAddress;
import org.openmuc.jdlms.AuthenticationMechanism;
import org.openmuc.jdlms.DlmsConnection;
import org.openmuc.jdlms.GetResult;
import org.openmuc.jdlms.MethodParameter;
import org.openmuc.jdlms.MethodResult;
import org.openmuc.jdlms.MethodResultCode;
import org.openmuc.jdlms.SecuritySuite;
import org.openmuc.jdlms.SecuritySuite.EncryptionMechanism;
import org.openmuc.jdlms.SecuritySuite.SecurityPolicy;
import org.openmuc.jdlms.SelectiveAccessDescription;
import org.openmuc.jdlms.SetParameter;
import org.openmuc.jdlms.TcpConnectionBuilder;
import org.openmuc.jdlms.datatypes.DataObject;

/** org.openmuc:jdlms as a client. */
public final class Client implements Command.Client {
    private final Command command;
    private DlmsConnection connection;

    private Client(Command command) {
        this.command = command;
    }

    public static void main(String[] args) {
        Command command = new Command(args);
        command.run(new Client(command));
    }

    @Override
    public void associate() throws Exception {
        byte[] title = command.octets("title", "4d4d4d0000000001");
        long device = 0;
        for (int i = 3; i < 8; i++) {
            device = device << 8 | Byte.toUnsignedInt(title[i]);
        }
        TcpConnectionBuilder builder = new TcpConnectionBuilder(command.text("host", "127.0.0.1"))
                .setPort(command.number("port", 4059))
                .setClientId(command.number("client-sap", 16))
                .setLogicalDeviceId(command.number("server-sap", 1))
                .setSystemTitle(new String(title, 0, 3, "US-ASCII"), device)
                .setResponseTimeout(command.number("timeout-ms", 10000))
                .setFrameCounter(command.number("ic", 1))
                .setSecuritySuite(security());
        connection = (command.hdlc() ? builder.useHdlc() : builder.useWrapper()).build();
    }

    private SecuritySuite security() throws Exception {
        SecuritySuite.SecuritySuiteBuilder suite = SecuritySuite.builder();
        String mechanism = command.text("auth", "none");
        String protection = command.text("security", "none");
        if (mechanism.equals("lls")) {
            suite.setAuthenticationMechanism(AuthenticationMechanism.LOW)
                    .setPassword(command.text("password", "12345678").getBytes("US-ASCII"));
        } else if (mechanism.equals("hls5")) {
            suite.setAuthenticationMechanism(AuthenticationMechanism.HLS5_GMAC);
        }
        if (mechanism.equals("hls5") || !protection.equals("none")) {
            suite.setGlobalUnicastEncryptionKey(command.encryptionKey())
                    .setAuthenticationKey(command.authenticationKey())
                    .setEncryptionMechanism(EncryptionMechanism.AES_GCM_128)
                    .setSecurityPolicy(protection.equals("auth-enc") ? SecurityPolicy.AUTHENTICATED_AND_ENCRYPTED
                            : protection.equals("auth") ? SecurityPolicy.AUTHENTICATED
                            : protection.equals("enc") ? SecurityPolicy.ENCRYPTED : SecurityPolicy.NOTHING);
        }
        return suite.build();
    }

    @Override
    public Object[] perform(Command.Operation operation) throws Exception {
        switch (operation.kind) {
        case "get": return read(address(operation.target(), null));
        case "entries":
            int[] entries = operation.entries();
            return read(address(operation.target(), new SelectiveAccessDescription(2, DataObject.newStructureData(
                    DataObject.newUInteger32Data(entries[0]), DataObject.newUInteger32Data(entries[1]),
                    DataObject.newUInteger16Data(1), DataObject.newUInteger16Data(0)))));
        case "range":
            Instant[] moments = operation.moments();
            return read(address(operation.target(), new SelectiveAccessDescription(1, DataObject.newStructureData(
                    Axdr.decode(Command.hex("020412000809060000010000ff0f02120000")),
                    DataObject.newOctetStringData(Command.dateTime(moments[0])),
                    DataObject.newOctetStringData(Command.dateTime(moments[1])),
                    DataObject.newArrayData(new ArrayList<>())))));
        case "list":
            List<AttributeAddress> addresses = new ArrayList<>();
            operation.targets.forEach(target -> addresses.add(address(target, null)));
            List<String> values = new ArrayList<>();
            for (GetResult result : connection.get(addresses)) {
                values.add(result.getResultCode() == AccessResultCode.SUCCESS ? Axdr.encode(result.getResultData())
                        : result.getResultCode().toString());
            }
            return new Object[] { "values", values };
        case "set":
            AccessResultCode code = connection.set(
                    new SetParameter(address(operation.target(), null), Axdr.decode(operation.value())));
            if (code != AccessResultCode.SUCCESS) {
                throw new IllegalStateException(code.toString());
            }
            return new Object[0];
        case "act":
            Command.Target t = operation.target();
            MethodResult done = connection.action(
                    new MethodParameter(t.classId, t.obis, t.id, Axdr.decode(operation.value())));
            if (done.getResultCode() != MethodResultCode.SUCCESS) {
                throw new IllegalStateException(done.getResultCode().toString());
            }
            return new Object[] { "axdr", done.getResultData() == null ? "" : Axdr.encode(done.getResultData()) };
        default: throw new IllegalArgumentException(operation.kind);
        }
    }

    private Object[] read(AttributeAddress address) throws Exception {
        GetResult result = connection.get(address);
        if (result.getResultCode() != AccessResultCode.SUCCESS) {
            throw new IllegalStateException(result.getResultCode().toString());
        }
        return new Object[] { "axdr", Axdr.encode(result.getResultData()) };
    }

    private static AttributeAddress address(Command.Target target, SelectiveAccessDescription selection) {
        return new AttributeAddress(target.classId, target.obis, target.id, selection);
    }

    @Override
    public void release() throws Exception {
        connection.disconnect();
    }
}
