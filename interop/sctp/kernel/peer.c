/* peer listen LOCAL[,LOCAL...]
 * peer connect LOCAL[,LOCAL...] PEER[,PEER...] COUNT LENGTH
 *
 * peer record|keep LOCAL[,LOCAL...] - -
 * peer play LOCAL[,LOCAL...] - PEER[,PEER...] - TRACE
 * peer dial LOCAL[,LOCAL...] - PEER[,PEER...] -
 *
 * A peer of ours on the Linux kernel's SCTP, port 4059; UDP encapsulation is set by sysctl. `listen` sends every
 * message back and ends after the first association; `connect` sends COUNT messages of LENGTH octets on five streams
 * and waits until all came back in order. In the environment, AUTH=1 wants DATA and SACK authenticated (RFC 4895),
 * INTERLEAVE=1 offers I-DATA (RFC 8260). The others are sides of `gridward experiment sctp`, whose UDP ports mean
 * nothing here: tuned for speed, five streams with priorities, I-DATA. */
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <linux/sctp.h>

#include "../common.h"

static void set(int fd, int option, const void *value, socklen_t length, const char *what) {
    if (setsockopt(fd, IPPROTO_SCTP, option, value, length)) die(what);
}

static int open_socket(char *locals) {
    int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP), on = 1, level = 2, buffer = 4 << 20;
    if (fd < 0) die("socket");
    /* The kernel counts what a packet takes in memory, several times its octets: with its default of 208 KiB a peer
     * that has 200 kB under way runs into a window of 11 kB, each opening of which takes a retransmission timeout. */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer)) die("receive buffer");
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer)) die("send buffer");
    struct sctp_rtoinfo rto = {.srto_initial = 200, .srto_min = 100, .srto_max = 1000};
    set(fd, SCTP_RTOINFO, &rto, sizeof rto, "RTO");
    struct sctp_initmsg init = {.sinit_num_ostreams = STREAMS, .sinit_max_instreams = 64};
    set(fd, SCTP_INITMSG, &init, sizeof init, "streams");
    set(fd, SCTP_RECVRCVINFO, &on, sizeof on, "information");
    struct sctp_paddrparams paths = {.spp_hbinterval = 1000, .spp_pathmaxrxt = 3, .spp_flags = SPP_HB_ENABLE};
    set(fd, SCTP_PEER_ADDR_PARAMS, &paths, sizeof paths, "heartbeats");
    if (getenv("AUTH")) {
        struct sctp_authchunk data = {.sauth_chunk = 0}, sack = {.sauth_chunk = 3};
        set(fd, SCTP_AUTH_CHUNK, &data, sizeof data, "authentication");
        set(fd, SCTP_AUTH_CHUNK, &sack, sizeof sack, "authentication");
    }
    if (getenv("INTERLEAVE")) {
        struct sctp_assoc_value offer = {.assoc_id = 0, .assoc_value = 1};
        set(fd, SCTP_FRAGMENT_INTERLEAVE, &level, sizeof level, "level");
        set(fd, SCTP_INTERLEAVING_SUPPORTED, &offer, sizeof offer, "I-DATA");
    }
    struct sockaddr_in local[ADDRESSES_MAX];
    int count = addresses(locals, local);
    set(fd, SCTP_SOCKOPT_BINDX_ADD, local, (socklen_t)(sizeof *local * (size_t)count), "bind");
    return fd;
}

/* The first octets of the message that came last. */
static unsigned char beginning[HEADER_LEN];

/* One message with its stream and number; 0 at the end. With I-DATA messages of several streams come in pieces between
 * each other: each stream has its own place. */
static ssize_t receive(int fd, struct sctp_rcvinfo *info) {
    static char buffer[1 << 16];
    static size_t length[64];
    static unsigned char first[64][sizeof beginning];
    for (;;) {
        char control[256];
        struct iovec piece = {.iov_base = buffer, .iov_len = sizeof buffer};
        struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        ssize_t got = recvmsg(fd, &message, 0);
        if (got <= 0) return got;
        if (message.msg_flags & MSG_NOTIFICATION) continue;
        for (struct cmsghdr *one = CMSG_FIRSTHDR(&message); one; one = CMSG_NXTHDR(&message, one))
            if (one->cmsg_level == IPPROTO_SCTP && one->cmsg_type == SCTP_RCVINFO) memcpy(info, CMSG_DATA(one), sizeof *info);
        if (info->rcv_sid >= 64) return -1;
        for (size_t i = 0; i < (size_t)got && length[info->rcv_sid] + i < sizeof beginning; i++)
            first[info->rcv_sid][length[info->rcv_sid] + i] = (unsigned char)buffer[i];
        length[info->rcv_sid] += (size_t)got;
        if (message.msg_flags & MSG_EOR) {
            memcpy(beginning, first[info->rcv_sid], sizeof beginning);
            ssize_t whole = (ssize_t)length[info->rcv_sid];
            length[info->rcv_sid] = 0;
            return whole;
        }
    }
}

static char buffer[1 << 20];

static void transmit(int fd, size_t length, uint16_t stream, uint32_t ppid) {
    char control[CMSG_SPACE(sizeof(struct sctp_sndinfo))] = {0};
    struct iovec piece = {.iov_base = buffer, .iov_len = length};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *one = CMSG_FIRSTHDR(&message);
    one->cmsg_level = IPPROTO_SCTP;
    one->cmsg_type = SCTP_SNDINFO;
    one->cmsg_len = CMSG_LEN(sizeof(struct sctp_sndinfo));
    struct sctp_sndinfo info = {.snd_sid = stream, .snd_ppid = ppid};
    memcpy(CMSG_DATA(one), &info, sizeof info);
    if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0) die("send");
}

/* --- sides of experiments --- */

/* As `open_socket`, and a path that is potentially failed at once, acknowledgements after 20 ms, large buffers. */
static int open_tuned(char *locals) {
    setenv("INTERLEAVE", "1", 1);
    /* The kernel offers I-DATA only where its network namespace may. */
    FILE *may = fopen("/proc/sys/net/sctp/intl_enable", "w");
    if (!may || fputs("1", may) < 0 || fclose(may)) die("intl_enable");
    int fd = open_socket(locals), on = 1;
    set(fd, SCTP_NODELAY, &on, sizeof on, "no delay");
    struct sctp_sack_info sack = {.sack_delay = 20, .sack_freq = 2};
    set(fd, SCTP_DELAYED_SACK, &sack, sizeof sack, "acknowledgements");
    struct sctp_assoc_value priority = {.assoc_id = 0, .assoc_value = SCTP_SS_PRIO};
    set(fd, SCTP_STREAM_SCHEDULER, &priority, sizeof priority, "scheduler");
    return fd;
}

static int dial(char *locals, char *peers_text) {
    int fd = open_tuned(locals);
    struct sockaddr_in peer[ADDRESSES_MAX];
    int peers = addresses(peers_text, peer);
    if (setsockopt(fd, IPPROTO_SCTP, SCTP_SOCKOPT_CONNECTX, peer, (socklen_t)(sizeof *peer * (size_t)peers)) < 0) die("connect");
    return fd;
}

static int playing;

static void transmit_entry(size_t length, uint16_t stream) {
    transmit(playing, length, stream, 0x47570002);
}

static int experiment(int argc, char **argv) {
    struct sctp_rcvinfo info = {0};
    pthread_t waiting;
    int records = !strcmp(argv[1], "record"), listens = records || !strcmp(argv[1], "keep");
    if (argc < (listens ? 5 : 6)) return 2;
    pthread_create(&waiting, NULL, until_told, records ? &records : NULL);
    if (listens) {
        int listening = open_tuned(argv[2]);
        if (listen(listening, 1000)) die("listen");
        say("ready");
        for (;;) {
            int fd = accept(listening, NULL, NULL);
            if (fd < 0) die("accept");
            if (!records) continue;
            for (ssize_t length; (length = receive(fd, &info)) > 0;) {
                if (length < (ssize_t)sizeof beginning) continue;
                take(beginning);
            }
            tell_and_end();
        }
    }
    if (!strcmp(argv[1], "dial")) {
        uint64_t before = now_us(CLOCK_MONOTONIC);
        dial(argv[2], argv[4]);
        printf("dialled %llu\n", (unsigned long long)(now_us(CLOCK_MONOTONIC) - before));
        fflush(stdout);
        _exit(0);
    }
    if (argc != 7) return 2;
    int fd = playing = dial(argv[2], argv[4]);
    for (uint16_t stream = 0; stream < STREAMS; stream++) {
        struct sctp_stream_value value = {.stream_id = stream, .stream_value = stream};
        set(fd, SCTP_STREAM_SCHEDULER_VALUE, &value, sizeof value, "priority");
    }
    if (!play(argv[6], buffer, sizeof buffer, transmit_entry)) return 2;
    shutdown(fd, SHUT_WR);
    receive(fd, &info);
    struct sctp_assoc_stats stats = {0};
    socklen_t size = sizeof stats;
    if (getsockopt(fd, IPPROTO_SCTP, SCTP_GET_ASSOC_STATS, &stats, &size)) puts("counters");
    else printf("counters retransmitted=%llu\n", (unsigned long long)stats.sas_rtxchunks);
    fflush(stdout);
    _exit(0);
}

int main(int argc, char **argv) {
    struct sctp_rcvinfo info = {0};
    if (argc < 3) return 2;
    for (const char *const *side = (const char *const[]){"record", "keep", "play", "dial", NULL}; *side; side++)
        if (!strcmp(argv[1], *side)) return experiment(argc, argv);
    memset(buffer, 7, sizeof buffer);
    int fd = open_socket(argv[2]);
    if (!strcmp(argv[1], "listen")) {
        if (listen(fd, 1)) die("listen");
        say("ready");
        int one = accept(fd, NULL, NULL);
        if (one < 0) die("accept");
        close(fd);
        ssize_t length;
        int count = 0;
        while ((length = receive(one, &info)) > 0) {
            transmit(one, (size_t)length, info.rcv_sid, info.rcv_ppid);
            count++;
        }
        printf("%d sent back\n", count);
        close(one);
        return 0;
    }
    if (strcmp(argv[1], "connect") || argc != 6) return 2;
    struct sockaddr_in peer[ADDRESSES_MAX];
    int peers = addresses(argv[3], peer), count = atoi(argv[4]), sent = 0, received = 0;
    size_t length = (size_t)atoi(argv[5]);
    if (setsockopt(fd, IPPROTO_SCTP, SCTP_SOCKOPT_CONNECTX, peer, (socklen_t)(sizeof *peer * (size_t)peers)) < 0) die("connect");
    uint32_t next[STREAMS] = {0}, order[STREAMS] = {0};
    while (received < count) {
        while (sent < count && sent < received + 50) {
            transmit(fd, length, (uint16_t)(sent % STREAMS), next[sent % STREAMS]++);
            sent++;
        }
        ssize_t got = receive(fd, &info);
        if (got <= 0) die("receive");
        if ((size_t)got != length || info.rcv_ppid != order[info.rcv_sid]++) {
            fprintf(stderr, "message %u of stream %u: %zd octets\n", info.rcv_ppid, info.rcv_sid, got);
            return 1;
        }
        received++;
    }
    printf("%d of %d came back\n", received, count);
    shutdown(fd, SHUT_WR);
    receive(fd, &info);
    close(fd);
    return 0;
}
