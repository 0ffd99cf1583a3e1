import gurux.dlms.GXCryptoKeyParameter;
import gurux.dlms.GXDLMSConnectionEventArgs;
import gurux.dlms.GXDateTime;
import gurux.dlms.GXServerReply;
import gurux.dlms.IGXCryptoNotifier;
import gurux.dlms.ValueEventArgs;
import gurux.dlms.enums.AccessMode;
import gurux.dlms.enums.Authentication;
import gurux.dlms.enums.Conformance;
import gurux.dlms.enums.DataType;
import gurux.dlms.enums.InterfaceType;
import gurux.dlms.enums.MethodAccessMode;
import gurux.dlms.enums.ObjectType;
import gurux.dlms.enums.SourceDiagnostic;
import gurux.dlms.enums.Unit;
import gurux.dlms.objects.GXDLMSAssociationLogicalName;
import gurux.dlms.objects.GXDLMSClock;
import gurux.dlms.objects.GXDLMSData;
import gurux.dlms.objects.GXDLMSObject;
import gurux.dlms.objects.GXDLMSObjectCollection;
import gurux.dlms.objects.GXDLMSProfileGeneric;
import gurux.dlms.objects.GXDLMSRegister;
import gurux.dlms.objects.GXDLMSSecuritySetup;
import gurux.dlms.objects.enums.ApplicationContextName;
import gurux.dlms.objects.enums.SecurityPolicy;
import gurux.dlms.secure.GXDLMSSecureServer2;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.time.Instant;
import java.util.Arrays;
import java.util.Date;
import java.util.EnumSet;
import java.util.Set;
import java.util.TimeZone;
import java.util.concurrent.atomic.AtomicInteger;

/** org.gurux:gurux.dlms as a server with the objects and clients of README.md: one server a connection. */
public final class Server extends GXDLMSSecureServer2 implements IGXCryptoNotifier {
    private static final Instant START = Instant.parse("2026-01-01T00:00:00Z");
    private static final GXDLMSObjectCollection OBJECTS = new GXDLMSObjectCollection();
    private static final AtomicInteger CONNECTIONS = new AtomicInteger();
    private final Command command;
    private GXDLMSAssociationLogicalName open;

    public static void main(String[] args) throws Exception {
        TimeZone.setDefault(TimeZone.getTimeZone("UTC"));
        Command command = new Command(args);
        fill(command);
        try (ServerSocket door = new ServerSocket(command.number("port", 4059), 50,
                InetAddress.getLoopbackAddress())) {
            Command.print("event", "listening", "port", door.getLocalPort());
            while (true) {
                Socket client = door.accept();
                Thread thread = new Thread(() -> serve(client, command));
                thread.setDaemon(true);
                thread.start();
            }
        }
    }

    private static void serve(Socket accepted, Command command) {
        try (Socket client = accepted) {
            client.setTcpNoDelay(true);
            Server server = new Server(command);
            server.initialize();
            Frames frames = new Frames(client.getInputStream(), command.hdlc());
            while (true) {
                GXServerReply reply = new GXServerReply(frames.next());
                int sent = 0;
                do {
                    server.handleRequest(reply);
                    if (reply.getReply() != null) {
                        client.getOutputStream().write(reply.getReply());
                        reply.setData(null);
                    }
                } while (reply.isStreaming() && ++sent < 64);
            }
        } catch (java.io.EOFException closed) {
            return;
        } catch (Exception error) {
            System.err.println("connection: " + error);
        }
    }

    private static void fill(Command command) {
        byte[] serial = command.text("serial", "STRANGER00000001").getBytes();
        OBJECTS.add(data("0.0.42.0.0.255", serial));
        OBJECTS.add(data("0.0.96.1.0.255", serial));
        OBJECTS.add(data("0.0.96.13.0.255", new byte[0]));
        GXDLMSRegister energy = new GXDLMSRegister("1.0.1.8.0.255");
        energy.setValue((long) command.number("energy", 1234567));
        energy.setDataType(2, DataType.UINT32);
        energy.setUnit(Unit.ACTIVE_ENERGY);
        GXDLMSClock clock = new GXDLMSClock("0.0.1.0.0.255");
        GXDLMSProfileGeneric profile = new GXDLMSProfileGeneric("1.0.99.1.0.255");
        profile.setCapturePeriod(900);
        profile.addCaptureObject(clock, 2, 0);
        profile.addCaptureObject(energy, 2, 0);
        profile.setSortObject(clock);
        int rows = command.number("rows", 96);
        for (int i = 0; i < rows; i++) {
            profile.addRow(new Object[] { new GXDateTime(Date.from(START.plusSeconds(900L * i))),
                    (long) command.number("first", 1000) + i });
        }
        profile.setProfileEntries(rows);
        profile.setEntriesInUse(rows);
        OBJECTS.addAll(Arrays.asList(energy, clock, profile));
    }

    private static GXDLMSData data(String name, byte[] value) {
        GXDLMSData data = new GXDLMSData(name);
        data.setValue(value);
        data.setDataType(2, DataType.OCTET_STRING);
        return data;
    }

    private Server(Command command) {
        super(true, command.hdlc() ? InterfaceType.HDLC : InterfaceType.WRAPPER);
        this.command = command;
        int pdu = command.number("pdu", 1024);
        setMaxReceivePDUSize(pdu);
        getConformance().clear(); // what stands here goes over what each association says
        GXDLMSSecuritySetup setup = new GXDLMSSecuritySetup("0.0.43.0.0.255");
        setup.setServerSystemTitle(command.octets("title", "4752580000000001"));
        setup.setSecurityPolicy(policy());
        setup.setGuek(command.encryptionKey());
        setup.setGak(command.authenticationKey());
        setup.setKek(command.octets("kek", "00112233445566778899aabbccddeeff"));
        getItems().add(setup);
        // A profile among a server's own items would be captured into by a thread of Gurux.
        getItems().addAll(OBJECTS.getObjects(ObjectType.DATA));
        association(16, Authentication.NONE, setup, pdu);
        association(2, Authentication.LOW, setup, pdu);
        association(1, Authentication.HIGH_GMAC, setup, pdu);
        getCiphering().setSystemTitle(setup.getServerSystemTitle());
        // Connections share the key, so each has its own million of counters.
        getCiphering().setInvocationCounter(1L + 1_000_000L * CONNECTIONS.getAndIncrement());
    }

    private Set<SecurityPolicy> policy() {
        Set<SecurityPolicy> policy = EnumSet.noneOf(SecurityPolicy.class);
        String wanted = command.text("security", "auth-enc");
        if (wanted.startsWith("auth")) {
            policy.addAll(EnumSet.of(SecurityPolicy.AUTHENTICATED_REQUEST, SecurityPolicy.AUTHENTICATED_RESPONSE));
        }
        if (wanted.endsWith("enc")) {
            policy.addAll(EnumSet.of(SecurityPolicy.ENCRYPTED_REQUEST, SecurityPolicy.ENCRYPTED_RESPONSE));
        }
        return policy;
    }

    private void association(int client, Authentication mechanism, GXDLMSSecuritySetup setup, int pdu) {
        boolean secured = mechanism == Authentication.HIGH_GMAC;
        GXDLMSAssociationLogicalName association = new GXDLMSAssociationLogicalName("0.0.40.0." + client + ".255");
        association.setClientSAP(client);
        association.setServerSAP((short) 1);
        association.getAuthenticationMechanismName().setMechanismId(mechanism);
        association.getApplicationContextName().setContextId(secured
                ? ApplicationContextName.LOGICAL_NAME_WITH_CIPHERING : ApplicationContextName.LOGICAL_NAME);
        association.setSecret(mechanism == Authentication.LOW
                ? command.text("password", "12345678").getBytes() : new byte[0]);
        association.getXDLMSContextInfo().setMaxReceivePduSize(pdu);
        association.getXDLMSContextInfo().setMaxSendPduSize(pdu);
        Set<Conformance> conformance = EnumSet.of(Conformance.GET, Conformance.SET, Conformance.ACTION,
                Conformance.SELECTIVE_ACCESS, Conformance.MULTIPLE_REFERENCES,
                Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ, Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE,
                Conformance.BLOCK_TRANSFER_WITH_ACTION);
        if (command.text("gbt", "no").equals("yes")) {
            conformance.add(Conformance.GENERAL_BLOCK_TRANSFER);
        }
        association.getXDLMSContextInfo().setConformance(conformance);
        if (secured) {
            association.setSecuritySetupReference(setup.getLogicalName());
            association.getObjectList().add(setup);
        }
        association.getObjectList().addAll(OBJECTS);
        association.getObjectList().add(association);
        getItems().add(association);
    }

    @Override
    protected boolean isTarget(int server, int client) {
        open = null;
        for (GXDLMSObject item : getItems().getObjects(ObjectType.ASSOCIATION_LOGICAL_NAME)) {
            if (((GXDLMSAssociationLogicalName) item).getClientSAP() == client && server == 1) {
                open = (GXDLMSAssociationLogicalName) item;
            }
        }
        setAssignedAssociation(open);
        return open != null;
    }

    @Override
    protected SourceDiagnostic onValidateAuthentication(Authentication mechanism, byte[] password) {
        if (open.getAuthenticationMechanismName().getMechanismId() != mechanism) {
            return SourceDiagnostic.AUTHENTICATION_FAILURE;
        }
        return mechanism != Authentication.LOW || Arrays.equals(open.getSecret(), password)
                ? SourceDiagnostic.NONE : SourceDiagnostic.AUTHENTICATION_FAILURE;
    }

    @Override
    protected GXDLMSObject onFindObject(ObjectType type, int shortName, String name) {
        if (open == null) {
            return null;
        }
        boolean current = type == ObjectType.ASSOCIATION_LOGICAL_NAME && name.equals("0.0.40.0.0.255");
        return current ? open : open.getObjectList().findByLN(type, name);
    }

    @Override
    protected AccessMode onGetAttributeAccess(ValueEventArgs e) {
        return e.getTarget().getLogicalName().equals("0.0.96.13.0.255") && e.getIndex() == 2
                ? AccessMode.READ_WRITE : AccessMode.READ;
    }

    @Override
    protected MethodAccessMode onGetMethodAccess(ValueEventArgs e) {
        return MethodAccessMode.ACCESS;
    }

    /** Method 1 of the message shows its parameter. Gurux would reset a register to null, whose reading it answers with a malformed failure. */
    @Override
    protected void onPreAction(ValueEventArgs[] args) {
        for (ValueEventArgs e : args) {
            if (e.getTarget() instanceof GXDLMSRegister && e.getIndex() == 1) {
                ((GXDLMSRegister) e.getTarget()).setValue(0L);
                e.setHandled(true);
            } else if (e.getTarget() instanceof GXDLMSData && e.getIndex() == 1) {
                ((GXDLMSData) e.getTarget()).setValue(e.getParameters());
                e.setHandled(true);
            }
        }
    }

    @Override
    protected void onPostAction(ValueEventArgs[] args) {}

    @Override
    public void onPreGet(ValueEventArgs[] args) {}

    @Override
    public void onPostGet(ValueEventArgs[] args) {}

    @Override
    public void onPreRead(ValueEventArgs[] args) {}

    @Override
    public void onPostRead(ValueEventArgs[] args) {}

    @Override
    protected void onPreWrite(ValueEventArgs[] args) {}

    @Override
    protected void onPostWrite(ValueEventArgs[] args) {}

    @Override
    protected void onConnected(GXDLMSConnectionEventArgs e) {}

    @Override
    protected void onInvalidConnection(GXDLMSConnectionEventArgs e) {}

    @Override
    protected void onDisconnected(GXDLMSConnectionEventArgs e) {}

    @Override
    public void onKey(Object sender, GXCryptoKeyParameter wanted) {
        throw new IllegalStateException("no key for " + wanted.getCertificateType());
    }

    @Override
    public void onCrypto(Object sender, GXCryptoKeyParameter wanted) {}

    @Override
    public void onPduEventHandler(Object sender, byte[] pdu) {}
}
