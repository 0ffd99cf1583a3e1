import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;

/** Whole wrapper or HDLC frames of a TCP stream. */
final class Frames {
    private final InputStream in;
    private final boolean hdlc;

    Frames(InputStream in, boolean hdlc) {
        this.in = in;
        this.hdlc = hdlc;
    }

    byte[] next() throws IOException {
        if (!hdlc) {
            byte[] header = exactly(8);
            return join(header, exactly(Byte.toUnsignedInt(header[6]) << 8 | Byte.toUnsignedInt(header[7])));
        }
        byte[] start = exactly(2);
        while (start[1] == 0x7e) { // one flag may close a frame and another open the next
            start[1] = exactly(1)[0];
        }
        byte[] low = exactly(1);
        int length = (start[1] & 7) << 8 | Byte.toUnsignedInt(low[0]);
        return join(join(start, low), exactly(length - 1));
    }

    private byte[] exactly(int length) throws IOException {
        byte[] octets = in.readNBytes(length);
        if (octets.length < length) {
            throw new EOFException("the peer closed the connection");
        }
        return octets;
    }

    private static byte[] join(byte[] first, byte[] second) {
        byte[] both = java.util.Arrays.copyOf(first, first.length + second.length);
        System.arraycopy(second, 0, both, first.length, second.length);
        return both;
    }
}
