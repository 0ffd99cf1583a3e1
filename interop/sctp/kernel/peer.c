/* peer listen LOCAL[,LOCAL...]
 * peer connect LOCAL[,LOCAL...] PEER[,PEER...] COUNT LENGTH
 *
 * A peer of ours on the Linux kernel's SCTP, port 4059; UDP encapsulation is set by sysctl. `listen` sends every
 * message back and ends after the first association; `connect` sends COUNT messages of LENGTH octets on five streams
 * and waits until all came back in order. In the environment, AUTH=1 wants DATA and SACK authenticated (RFC 4895),
 * INTERLEAVE=1 offers I-DATA (RFC 8260). */
#include <arpa/inet.h>
#include <linux/sctp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PORT 4059
#define STREAMS 5
#define ADDRESSES_MAX 8

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int addresses(char *text, struct sockaddr_in *out) {
    int count = 0;
    for (char *one = strtok(text, ","); one && count < ADDRESSES_MAX; one = strtok(NULL, ",")) {
        memset(&out[count], 0, sizeof out[count]);
        out[count].sin_family = AF_INET;
        out[count].sin_port = htons(PORT);
        if (inet_pton(AF_INET, one, &out[count].sin_addr) != 1) die(one);
        count++;
    }
    return count;
}

static void set(int fd, int option, const void *value, socklen_t length, const char *what) {
    if (setsockopt(fd, IPPROTO_SCTP, option, value, length)) die(what);
}

static int open_socket(char *locals) {
    int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP), on = 1, level = 2;
    if (fd < 0) die("socket");
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

/* One message with its stream and number; 0 at the end. With I-DATA messages of several streams come in pieces between
 * each other: each stream has its own place. */
static ssize_t receive(int fd, struct sctp_rcvinfo *info) {
    static char buffer[1 << 16];
    static size_t length[64];
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
        length[info->rcv_sid] += (size_t)got;
        if (message.msg_flags & MSG_EOR) {
            ssize_t whole = (ssize_t)length[info->rcv_sid];
            length[info->rcv_sid] = 0;
            return whole;
        }
    }
}

static void transmit(int fd, size_t length, uint16_t stream, uint32_t ppid) {
    static char buffer[1 << 20];
    char control[CMSG_SPACE(sizeof(struct sctp_sndinfo))] = {0};
    memset(buffer, 7, length);
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

int main(int argc, char **argv) {
    struct sctp_rcvinfo info = {0};
    if (argc < 3) return 2;
    int fd = open_socket(argv[2]);
    if (!strcmp(argv[1], "listen")) {
        if (listen(fd, 1)) die("listen");
        puts("ready");
        fflush(stdout);
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
