/* What the peers on usrsctp and on the Linux kernel's SCTP have in common: addresses, and the sides of
 * `gridward experiment sctp`. */
#ifndef GRIDWARD_PEERS_COMMON_H
#define GRIDWARD_PEERS_COMMON_H
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PORT 4059
#define STREAMS 5
#define ADDRESSES_MAX 8
/* Octets at the beginning of each message of a trace: number, class, when it was due. */
#define HEADER_LEN 16

static inline void die(const char *what) {
    perror(what);
    exit(1);
}

static inline void say(const char *line) {
    puts(line);
    fflush(stdout);
}

static inline int addresses(char *text, struct sockaddr_in *out) {
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

static inline uint64_t now_us(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static inline void put_be(unsigned char *out, uint64_t value, int octets) {
    for (int i = octets - 1; i >= 0; i--, value >>= 8) out[i] = (unsigned char)value;
}

static inline uint64_t get_be(const unsigned char *in, int octets) {
    uint64_t value = 0;
    for (int i = 0; i < octets; i++) value = value << 8 | in[i];
    return value;
}

/* --- who takes a trace --- */

struct arrival {
    uint64_t due, at;
    uint32_t number, class;
};
static struct arrival *arrivals;
static size_t arrived, room;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Takes note of a message by its first octets. */
static inline void take(const unsigned char *octets) {
    pthread_mutex_lock(&lock);
    if (arrived == room) {
        room = room ? room * 2 : 4096;
        arrivals = realloc(arrivals, room * sizeof *arrivals);
        if (!arrivals) die("memory");
    }
    arrivals[arrived++] = (struct arrival){.number = (uint32_t)get_be(octets, 4), .class = octets[4],
                                           .due = get_be(octets + 8, 8), .at = now_us(CLOCK_REALTIME)};
    pthread_mutex_unlock(&lock);
}

/* Tells what arrived, once, and ends. */
static inline void tell_and_end(void) {
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < arrived; i++)
        printf("m %u %u %llu %llu\n", arrivals[i].number, arrivals[i].class, (unsigned long long)arrivals[i].due,
               (unsigned long long)arrivals[i].at);
    say("end");
    _exit(0);
}

/* The end of standard input says that it is enough. */
static inline void *until_told(void *tells) {
    while (getchar() != EOF) continue;
    if (tells) tell_and_end();
    _exit(0);
}

/* --- who sends one --- */

/* Sends the messages of a trace when they are due: `transmit` takes one of this length on this stream from `buffer`. */
static inline int play(const char *path, char *buffer, size_t size, void (*transmit)(size_t length, uint16_t stream)) {
    FILE *trace = fopen(path, "r");
    if (!trace) die(path);
    /* Paths are confirmed by heartbeats. */
    usleep(800000);
    say("started");
    memset(buffer, 'G', size);
    uint64_t start = now_us(CLOCK_REALTIME);
    unsigned long long due;
    unsigned class, length;
    char line[128];
    if (!fgets(line, sizeof line, trace)) return 0;
    for (uint32_t number = 0; fgets(line, sizeof line, trace); number++) {
        if (sscanf(line, "%llu,%u,%u", &due, &class, &length) != 3 || class >= STREAMS || length < HEADER_LEN || length > size) return 0;
        for (uint64_t now; (now = now_us(CLOCK_REALTIME)) < start + due;) usleep((useconds_t)(start + due - now));
        unsigned char *octets = (unsigned char *)buffer;
        put_be(octets, number, 4);
        put_be(octets + 4, (uint64_t)class << 24, 4);
        put_be(octets + 8, start + due, 8);
        transmit(length, (uint16_t)class);
    }
    return 1;
}
#endif
