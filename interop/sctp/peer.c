/* peer listen LOCAL[,LOCAL...] UDP_PORT PEER_UDP_PORT
 * peer connect LOCAL[,LOCAL...] UDP_PORT PEER[,PEER...] PEER_UDP_PORT COUNT LENGTH
 *
 * peer sink LOCAL UDP_PORT PEER_UDP_PORT
 * peer source LOCAL UDP_PORT PEER PEER_UDP_PORT COUNT LENGTH
 *
 * peer record|keep LOCAL[,LOCAL...] UDP_PORT PEER_UDP_PORT
 * peer play LOCAL[,LOCAL...] UDP_PORT PEER[,PEER...] PEER_UDP_PORT TRACE
 * peer hold LOCAL[,LOCAL...] UDP_PORT PEER[,PEER...] PEER_UDP_PORT COUNT
 * peer dial LOCAL[,LOCAL...] UDP_PORT PEER[,PEER...] PEER_UDP_PORT
 *
 * A peer of ours on usrsctp (Debian's libusrsctp-dev), over UDP, port 4059.
 * `listen` sends every message back and ends after the first association;
 * `connect` sends COUNT messages of LENGTH octets on five streams and waits
 * until all came back. `sink` takes messages until the association ends and
 * tells octets and seconds, `source` sends them. The others are sides of `gridward experiment sctp`: tuned for speed,
 * five streams with priorities, I-DATA. In the environment, AUTH=1 wants data authenticated
 * (RFC 4895), INTERLEAVE=1 offers I-DATA (RFC 8260), SLOWLY=1 has `connect` wait until all paths are probed,
 * say so, and take its time, so that a path can be cut meanwhile. */
#include <errno.h>
#include <usrsctp.h>

#include "common.h"

/* Not in usrsctp.h, but known to the library. */
#ifndef SCTP_INTERLEAVING_SUPPORTED
#define SCTP_INTERLEAVING_SUPPORTED 0x00001206
#endif

/* SCTP's own port. */
static uint16_t own_port = PORT;

static struct socket *open_socket(char *locals, uint16_t peer_udp_port) {
    struct socket *socket = usrsctp_socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP, NULL, NULL, 0, NULL);
    if (!socket) die("socket");
    struct sctp_udpencaps encaps = {.sue_address.ss_family = AF_INET, .sue_port = htons(peer_udp_port)};
    if (usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_REMOTE_UDP_ENCAPS_PORT, &encaps, sizeof encaps)) die("encapsulation");
    struct sctp_rtoinfo rto = {.srto_initial = 200, .srto_min = 100, .srto_max = 1000};
    if (usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_RTOINFO, &rto, sizeof rto)) die("RTO");
    /* A path is used once a heartbeat was answered on it: that shall not take 30 s. */
    struct sctp_paddrparams paths = {.spp_hbinterval = 300, .spp_flags = SPP_HB_ENABLE};
    if (usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &paths, sizeof paths)) die("heartbeats");
    struct sctp_initmsg init = {.sinit_num_ostreams = STREAMS, .sinit_max_instreams = 64};
    if (usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_INITMSG, &init, sizeof init)) die("streams");
    int on = 1;
    if (usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_RECVRCVINFO, &on, sizeof on)) die("information");
    if (getenv("AUTH")) {
        struct sctp_authchunk data = {.sauth_chunk = 0}, sack = {.sauth_chunk = 3};
        if (usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_AUTH_CHUNK, &data, sizeof data)) die("authentication");
        if (usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_AUTH_CHUNK, &sack, sizeof sack)) die("authentication");
    }
    if (getenv("INTERLEAVE")) {
        int level = 2;
        struct sctp_assoc_value offer = {.assoc_id = SCTP_FUTURE_ASSOC, .assoc_value = 1};
        if (usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_FRAGMENT_INTERLEAVE, &level, sizeof level)) die("level");
        if (usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_INTERLEAVING_SUPPORTED, &offer, sizeof offer)) die("I-DATA");
    }
    struct sockaddr_in local[ADDRESSES_MAX];
    int count = addresses(locals, local);
    for (int i = 0; i < count; i++) local[i].sin_port = htons(own_port);
    if (usrsctp_bindx(socket, (struct sockaddr *)local, count, SCTP_BINDX_ADD_ADDR)) die("bind");
    return socket;
}

/* One message with its stream and number; 0 at the end. */
static ssize_t receive(struct socket *socket, char *buffer, size_t size, struct sctp_rcvinfo *info) {
    size_t length = 0;
    for (;;) {
        struct sockaddr_in from;
        socklen_t from_length = sizeof from, info_length = sizeof *info;
        unsigned int type;
        int flags = 0;
        ssize_t got = usrsctp_recvv(socket, buffer + length, size - length, (struct sockaddr *)&from, &from_length,
                                    info, &info_length, &type, &flags);
        if (got <= 0) return got;
        length += (size_t)got;
        if (flags & MSG_EOR) return (ssize_t)length;
    }
}

static void transmit(struct socket *socket, const char *buffer, size_t length, uint16_t stream, uint32_t ppid) {
    struct sctp_sndinfo info = {.snd_sid = stream, .snd_ppid = ppid};
    if (usrsctp_sendv(socket, buffer, length, NULL, 0, &info, sizeof info, SCTP_SENDV_SNDINFO, 0) < 0) die("send");
}

/* A path is not used before a heartbeat was answered on it. */
static void wait_for_paths(struct socket *socket, const struct sockaddr_in *peer, int peers) {
    for (int probed = 0; probed < peers; usleep(20000)) {
        probed = 0;
        for (int one = 0; one < peers; one++) {
            struct sctp_paddrinfo path = {0};
            socklen_t size = sizeof path;
            memcpy(&path.spinfo_address, &peer[one], sizeof peer[one]);
            if (usrsctp_getsockopt(socket, IPPROTO_SCTP, SCTP_GET_PEER_ADDR_INFO, &path, &size)) die("paths");
            probed += path.spinfo_state == SCTP_ACTIVE;
        }
    }
    puts("probed");
    fflush(stdout);
}

static double seconds(void) {
    return (double)now_us(CLOCK_MONOTONIC) / 1e6;
}

/* --- sides of experiments --- */

/* As `open_socket`, and a path that is potentially failed at once, given up after three timeouts, large buffers. */
static struct socket *open_tuned(char *locals, uint16_t peer_udp_port) {
    /* A socket takes these when it is made. */
    usrsctp_sysctl_set_sctp_path_pf_threshold(0);
    usrsctp_sysctl_set_sctp_ecn_enable(0);
    struct socket *socket = open_socket(locals, peer_udp_port);
    struct sctp_paddrparams paths = {.spp_hbinterval = 1000, .spp_pathmaxrxt = 3, .spp_flags = SPP_HB_ENABLE};
    if (usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &paths, sizeof paths)) die("paths");
    int on = 1, level = 2, out = 4 << 20, in = 512 * 1024;
    struct sctp_assoc_value offer = {.assoc_id = SCTP_FUTURE_ASSOC, .assoc_value = 1};
    struct sctp_assoc_value priority = {.assoc_id = SCTP_FUTURE_ASSOC, .assoc_value = SCTP_SS_PRIORITY};
    if (usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_NODELAY, &on, sizeof on)) die("no delay");
    if (usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_FRAGMENT_INTERLEAVE, &level, sizeof level)) die("level");
    if (usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_INTERLEAVING_SUPPORTED, &offer, sizeof offer)) die("I-DATA");
    if (usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_PLUGGABLE_SS, &priority, sizeof priority)) die("scheduler");
    if (usrsctp_setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &out, sizeof out)) die("send buffer");
    if (usrsctp_setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &in, sizeof in)) die("receive buffer");
    return socket;
}

static struct socket *dial(char *locals, char *peers_text, uint16_t peer_udp_port) {
    struct socket *socket = open_tuned(locals, peer_udp_port);
    struct sockaddr_in peer[ADDRESSES_MAX];
    int peers = addresses(peers_text, peer);
    if (usrsctp_connectx(socket, (struct sockaddr *)peer, peers, NULL)) die("connect");
    return socket;
}

static struct socket *playing;
static const char *playing_buffer;

static void transmit_entry(size_t length, uint16_t stream) {
    transmit(playing, playing_buffer, length, stream, 0x47570002);
}

static int experiment(int argc, char **argv, char *buffer, size_t size) {
    struct sctp_rcvinfo info;
    pthread_t waiting;
    int listens = !strcmp(argv[1], "record") || !strcmp(argv[1], "keep");
    if (argc < (listens ? 5 : 6)) return 2;
    int records = !strcmp(argv[1], "record");
    pthread_create(&waiting, NULL, until_told, records ? &records : NULL);
    if (listens) {
        struct socket *listening = open_tuned(argv[2], (uint16_t)atoi(argv[4]));
        if (usrsctp_listen(listening, 1000)) die("listen");
        say("ready");
        for (int kept = 1;; kept++) {
            struct socket *socket = usrsctp_accept(listening, NULL, NULL);
            if (!socket) die("accept");
            if (!records) {
                if (kept % 100 == 0) printf("kept %d\n", kept);
                fflush(stdout);
                continue;
            }
            for (ssize_t length; (length = receive(socket, buffer, size, &info)) > 0;) {
                if (length < HEADER_LEN) continue;
                take((const unsigned char *)buffer);
            }
            tell_and_end();
        }
    }
    uint16_t peer_udp_port = (uint16_t)atoi(argv[5]);
    if (!strcmp(argv[1], "dial")) {
        struct socket *socket = open_tuned(argv[2], peer_udp_port);
        struct sockaddr_in peer[ADDRESSES_MAX];
        addresses(argv[4], peer);
        double before = seconds();
        /* Unlike connectx this waits until the association stands. */
        if (usrsctp_connect(socket, (struct sockaddr *)peer, sizeof *peer)) die("connect");
        printf("dialled %.0f\n", (seconds() - before) * 1e6);
        fflush(stdout);
        _exit(0);
    }
    if (argc != 7) return 2;
    if (!strcmp(argv[1], "hold")) {
        int count = atoi(argv[6]);
        for (int i = 0; i < count; i++) {
            char locals[256], peers[256];
            snprintf(locals, sizeof locals, "%s", argv[2]);
            snprintf(peers, sizeof peers, "%s", argv[4]);
            own_port = (uint16_t)(10000 + i);
            dial(locals, peers, peer_udp_port);
        }
        printf("held %d\n", count);
        fflush(stdout);
        pthread_join(waiting, NULL);
    }
    struct socket *socket = playing = dial(argv[2], argv[4], peer_udp_port);
    for (uint16_t stream = 0; stream < STREAMS; stream++) {
        struct sctp_stream_value value = {.stream_id = stream, .stream_value = stream};
        if (usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_SS_VALUE, &value, sizeof value)) die("priority");
    }
    playing_buffer = buffer;
    if (!play(argv[6], buffer, size, transmit_entry)) return 2;
    usrsctp_shutdown(socket, SHUT_WR);
    receive(socket, buffer, size, &info);
    struct sctpstat stat;
    usrsctp_get_stat(&stat);
    printf("counters retransmitted=%u fast=%u timeouts=%u\n", stat.sctps_sendretransdata, stat.sctps_sendfastretrans,
           stat.sctps_timodata);
    fflush(stdout);
    _exit(0);
}

int main(int argc, char **argv) {
    static char buffer[1 << 20];
    struct sctp_rcvinfo info;
    if (argc < 5) return 2;
    usrsctp_init((uint16_t)atoi(argv[3]), NULL, NULL);
    usrsctp_sysctl_set_sctp_blackhole(2);
    for (const char *const *side = (const char *const[]){"record", "keep", "play", "hold", "dial", NULL}; *side; side++)
        if (!strcmp(argv[1], *side)) return experiment(argc, argv, buffer, sizeof buffer);
    if (!strcmp(argv[1], "listen")) {
        struct socket *listening = open_socket(argv[2], (uint16_t)atoi(argv[4]));
        if (usrsctp_listen(listening, 1)) die("listen");
        say("ready");
        struct socket *socket = usrsctp_accept(listening, NULL, NULL);
        if (!socket) die("accept");
        ssize_t length;
        int count = 0;
        while ((length = receive(socket, buffer, sizeof buffer, &info)) > 0) {
            transmit(socket, buffer, (size_t)length, info.rcv_sid, info.rcv_ppid);
            count++;
        }
        printf("%d sent back\n", count);
        usrsctp_close(socket);
        usrsctp_close(listening);
    } else if (!strcmp(argv[1], "sink")) {
        struct socket *listening = open_socket(argv[2], (uint16_t)atoi(argv[4]));
        int window = 64 * 1024;
        if (usrsctp_setsockopt(listening, SOL_SOCKET, SO_RCVBUF, &window, sizeof window)) die("window");
        if (usrsctp_listen(listening, 1)) die("listen");
        say("ready");
        struct socket *socket = usrsctp_accept(listening, NULL, NULL);
        if (!socket) die("accept");
        double first = 0, last = 0;
        unsigned long long octets = 0;
        for (ssize_t length; (length = receive(socket, buffer, sizeof buffer, &info)) > 0; last = seconds()) {
            if (!octets) first = seconds();
            octets += (unsigned long long)length;
        }
        printf("%llu octets %.6f s\n", octets, last - first);
        usrsctp_close(socket);
        usrsctp_close(listening);
    } else if (!strcmp(argv[1], "source") && argc == 8) {
        struct socket *socket = open_socket(argv[2], (uint16_t)atoi(argv[5]));
        struct sockaddr_in peer[ADDRESSES_MAX];
        int peers = addresses(argv[4], peer), count = atoi(argv[6]);
        if (usrsctp_connectx(socket, (struct sockaddr *)peer, peers, NULL)) die("connect");
        for (int sent = 0; sent < count; sent++)
            transmit(socket, buffer, (size_t)atoi(argv[7]), (uint16_t)(sent % STREAMS), 0);
        usrsctp_shutdown(socket, SHUT_WR);
        receive(socket, buffer, sizeof buffer, &info);
        usrsctp_close(socket);
    } else if (!strcmp(argv[1], "connect") && argc == 8) {
        struct socket *socket = open_socket(argv[2], (uint16_t)atoi(argv[5]));
        struct sockaddr_in peer[ADDRESSES_MAX];
        int peers = addresses(argv[4], peer), count = atoi(argv[6]), sent = 0, received = 0;
        size_t length = (size_t)atoi(argv[7]);
        if (usrsctp_connectx(socket, (struct sockaddr *)peer, peers, NULL)) die("connect");
        uint32_t next[STREAMS] = {0}, order[STREAMS] = {0};
        const char *slowly = getenv("SLOWLY");
        memset(buffer, 7, length);
        if (slowly) wait_for_paths(socket, peer, peers);
        while (received < count) {
            while (sent < count && sent < received + 100) {
                transmit(socket, buffer, length, (uint16_t)(sent % STREAMS), next[sent % STREAMS]++);
                sent++;
                if (slowly) usleep(200);
            }
            ssize_t got = receive(socket, buffer, sizeof buffer, &info);
            if (got <= 0) die("receive");
            if ((size_t)got != length || info.rcv_ppid != order[info.rcv_sid]++) {
                fprintf(stderr, "message %u of stream %u: %zd octets\n", info.rcv_ppid, info.rcv_sid, got);
                return 1;
            }
            received++;
        }
        printf("%d of %d came back\n", received, count);
        usrsctp_shutdown(socket, SHUT_WR);
        receive(socket, buffer, sizeof buffer, &info);
        usrsctp_close(socket);
    } else {
        return 2;
    }
    for (int i = 0; i < 50 && usrsctp_finish(); i++) usleep(100000);
    return 0;
}
