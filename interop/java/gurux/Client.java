import gurux.dlms.GXByteBuffer;
import gurux.dlms.GXCryptoKeyParameter;
import gurux.dlms.GXDLMSClient;
import gurux.dlms.GXReplyData;
import gurux.dlms.IGXCryptoNotifier;
import gurux.dlms.enums.Authentication;
import gurux.dlms.enums.DataType;
import gurux.dlms.enums.InterfaceType;
import gurux.dlms.enums.ObjectType;
import gurux.dlms.enums.Security;
import gurux.dlms.enums.ServiceClass;
import gurux.dlms.objects.GXDLMSObject;
import gurux.dlms.objects.GXDLMSProfileGeneric;
import gurux.dlms.secure.GXDLMSSecureClient;
import java.lang.reflect.Method;
import java.net.Socket;
import java.util.AbstractMap.SimpleEntry;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.Map.Entry;
import java.util.TimeZone;

/** org.gurux:gurux.dlms as a client. */
public final class Client extends GXDLMSSecureClient implements Command.Client, IGXCryptoNotifier {
    private static final int LARGEST = 1 << 20; // octets of one answer
    private final Command command;
    private Socket socket;
    private Frames frames;

    private Client(Command command) {
        super(true);
        this.command = command;
    }

    public static void main(String[] args) {
        TimeZone.setDefault(TimeZone.getTimeZone("UTC")); // it writes times in the zone of its machine
        Command command = new Command(args);
        command.run(new Client(command));
    }

    @Override
    public void associate() throws Exception {
        String mechanism = command.text("auth", "none");
        String protection = command.text("security", "none");
        setInterfaceType(command.hdlc() ? InterfaceType.HDLC : InterfaceType.WRAPPER);
        setClientAddress(command.number("client-sap", 16));
        setServerAddress(command.number("server-sap", 1));
        setMaxReceivePDUSize(command.number("pdu", 1024));
        getCiphering().setSystemTitle(command.octets("title", "4d4d4d0000000001"));
        if (mechanism.equals("lls")) {
            setAuthentication(Authentication.LOW);
            setPassword(command.text("password", "12345678"));
        } else if (mechanism.equals("hls5")) {
            setAuthentication(Authentication.HIGH_GMAC);
        }
        if (mechanism.equals("hls5") || !protection.equals("none")) {
            getCiphering().setBlockCipherKey(command.encryptionKey());
            getCiphering().setAuthenticationKey(command.authenticationKey());
            getCiphering().setInvocationCounter(command.number("ic", 1));
            getCiphering().setSecurity(protection.equals("auth-enc") ? Security.AUTHENTICATION_ENCRYPTION
                    : protection.equals("auth") ? Security.AUTHENTICATION
                    : protection.equals("enc") ? Security.ENCRYPTION : Security.NONE);
        }
        socket = new Socket(command.text("host", "127.0.0.1"), command.number("port", 4059));
        socket.setSoTimeout(command.number("timeout-ms", 10000));
        socket.setTcpNoDelay(true);
        frames = new Frames(socket.getInputStream(), command.hdlc());
        if (command.hdlc()) {
            parseUAResponse(exchange(snrmRequest()).getData());
        }
        parseAareResponse(exchange(aarqRequest()).getData());
        // jDLMS names no diagnostic and still waits for the third pass.
        if (mechanism.equals("hls5")) {
            parseApplicationAssociationResponse(exchange(getApplicationAssociationRequest()).getData());
        }
    }

    @Override
    public Object[] perform(Command.Operation operation) throws Exception {
        Command.Target target = operation.target();
        ObjectType type = ObjectType.forValue(target.classId);
        switch (operation.kind) {
        case "get": return value(exchange(reading(target)));
        case "set":
            // A STRUCTURE given as octets is sent as it is.
            exchange(write(target.obis, operation.value(), DataType.STRUCTURE, type, target.id));
            return new Object[0];
        case "all":
            if (command.hdlc()) {
                throw new UnsupportedOperationException("UI frames to all stations");
            }
            setServerAddress(0x7F);
            setServiceClass(ServiceClass.UN_CONFIRMED);
            for (byte[] frame : write(target.obis, operation.value(), DataType.STRUCTURE, type, target.id)) {
                socket.getOutputStream().write(frame);
            }
            setServerAddress(command.number("server-sap", 1));
            setServiceClass(ServiceClass.CONFIRMED);
            return new Object[0];
        case "act":
            byte[] parameters = operation.value();
            return value(exchange(method(target.obis, type, target.id, parameters,
                    parameters == null ? DataType.NONE : DataType.STRUCTURE)));
        case "entries":
            int[] entries = operation.entries();
            return value(exchange(readRowsByEntry(profile(target), entries[0], entries[1] - entries[0] + 1)));
        case "range":
            return value(exchange(readRowsByRange(profile(target), Date.from(operation.moments()[0]),
                    Date.from(operation.moments()[1]))));
        case "list":
            List<Entry<GXDLMSObject, Integer>> wanted = new ArrayList<>();
            for (Command.Target each : operation.targets) {
                GXDLMSObject object = GXDLMSClient.createObject(ObjectType.forValue(each.classId));
                object.setLogicalName(each.obis);
                wanted.add(new SimpleEntry<>(object, each.id));
            }
            List<Object> values = new ArrayList<>();
            for (byte[] request : readList(wanted)) {
                for (Object value : (List<?>) exchange(request).getValue()) {
                    values.add(value instanceof byte[] ? "octets:" + Command.hex((byte[]) value) : value);
                }
            }
            return new Object[] { "values", values };
        default: throw new IllegalArgumentException(operation.kind);
        }
    }

    /** Its public call wants an object that knows its own attributes; this one takes any. */
    private byte[][] reading(Command.Target target) throws Exception {
        Method read = GXDLMSClient.class.getDeclaredMethod("read", Object.class, ObjectType.class, int.class,
                GXByteBuffer.class, int.class);
        read.setAccessible(true);
        return (byte[][]) read.invoke(this, target.obis, ObjectType.forValue(target.classId), target.id,
                new GXByteBuffer(), 0);
    }

    /** It wants to know the columns before it asks for rows. */
    private GXDLMSProfileGeneric profile(Command.Target target) throws Exception {
        GXDLMSProfileGeneric profile = new GXDLMSProfileGeneric(target.obis);
        updateValue(profile, 3, exchange(read(profile, 3)).getValue());
        return profile;
    }

    private static Object[] value(GXReplyData reply) {
        return new Object[] { "axdr", Command.hex(reply.getData().array()) };
    }

    @Override
    public void release() throws Exception {
        if (command.hdlc()) {
            exchange(disconnectRequest(true));
        } else {
            exchange(releaseRequest());
        }
        socket.close();
    }

    private GXReplyData exchange(byte[]... requests) throws Exception {
        GXReplyData reply = new GXReplyData();
        for (byte[] request : requests) {
            reply.clear();
            send(request, reply);
            while (reply.isMoreData()) {
                send(reply.isStreaming() ? null : receiverReady(reply), reply);
                if (reply.getData().size() > LARGEST) {
                    throw new IllegalStateException("the answer is longer than " + LARGEST + " octets");
                }
            }
        }
        if (reply.getError() != 0) {
            throw new IllegalStateException(reply.getErrorMessage());
        }
        return reply;
    }

    private void send(byte[] frame, GXReplyData reply) throws Exception {
        if (frame != null) {
            socket.getOutputStream().write(frame);
        }
        GXByteBuffer received = new GXByteBuffer();
        do {
            received.set(frames.next());
        } while (!getData(received, reply, new GXReplyData()));
    }

    @Override
    public void onKey(Object sender, GXCryptoKeyParameter wanted) {
        throw new IllegalStateException("no key for " + wanted.getCertificateType());
    }

    @Override
    public void onCrypto(Object sender, GXCryptoKeyParameter wanted) {}

    @Override
    public void onPduEventHandler(Object sender, byte[] pdu) {}
}
