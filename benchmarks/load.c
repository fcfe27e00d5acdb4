/* Logins as Dovecot's last_login plugin makes them, from one thread: a connection each, closed after its reply.
 *
 * usage: load SOCKET CLIENTS SECONDS RATE WRITES PREFIX
 *   CLIENTS  connections at once, when RATE is 0: each makes the next login when it has its reply
 *   RATE     logins a second at fixed times, whether or not earlier ones were answered; at most CLIENTS are open
 *   WRITES   1: the transaction in one write, as 2.4.2 and later; 4: hello, begin, set, commit apart, as 2.3
 * Prints one line of JSON. Latency runs from before connect (with RATE: from when the login was due) to the reply.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { USERS = 1000000, MAX_CLIENTS = 16384, BUCKET_US = 10, BUCKETS = 500000, LAST_SECONDS = 5 };

struct client {
    int fd;
    double begun;
};

static struct client clients[MAX_CLIENTS];
static int idle[MAX_CLIENTS], idle_count;
static unsigned buckets[BUCKETS + 1];
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static int poll_fd, writes;
static const char *prefix;
static long started, stored, refused, closed, not_connected;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void finish(int which) {
    close(clients[which].fd);
    idle[idle_count++] = which;
}

static void send_all(int fd, const char *data, size_t size) {
    if (write(fd, data, size) != (ssize_t)size && errno != EPIPE && errno != ECONNRESET) fail("write");
}

static void begin(double due) {
    int which = idle[--idle_count];
    struct client *client = &clients[which];
    struct timespec wall;
    char line[512];
    client->begun = due;
    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (client->fd < 0) fail("socket");
    if (connect(client->fd, (struct sockaddr *)&address, sizeof address) < 0) {
        not_connected++;
        finish(which);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &wall);
    long user = started++ % USERS;
    long long at_ms = wall.tv_sec * 1000LL + wall.tv_nsec / 1000000;
    const char *hello = writes == 1 ? "H4\t0\t0\t\tstatsdb\n" : "H3\t2\t0\t\tstatsdb\n";
    int ends[4], size = 0;
    size += sprintf(line + size, "%s", hello), ends[0] = size;
    size += sprintf(line + size, "B1\t%s%ld@example.org%s\n", prefix, user, writes == 1 ? "\t0" : ""), ends[1] = size;
    size += sprintf(line + size, "S1\tshared/last-login/imap/%s%ld@example.org/192.0.2.%ld\t%lld\n", prefix, user,
                    user % 250, at_ms), ends[2] = size;
    size += sprintf(line + size, "C1\n"), ends[3] = size;
    if (writes == 1) {
        send_all(client->fd, line, size);
    } else {
        for (int part = 0, from = 0; part < 4; from = ends[part++]) send_all(client->fd, line + from, ends[part] - from);
    }
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = which};
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, client->fd, &event) < 0) fail("epoll_ctl");
}

static void answered(int which) {
    char reply[512];
    ssize_t size = read(clients[which].fd, reply, sizeof reply);
    if (size == 3 && memcmp(reply, "O1\n", 3) == 0) {
        long bucket = (now() - clients[which].begun) * 1e6 / BUCKET_US;
        buckets[bucket < 0 ? 0 : bucket > BUCKETS ? BUCKETS : bucket]++;
        stored++;
    } else if (size > 0) {
        refused++;
    } else {
        closed++;
    }
    finish(which);
}

static double percentile_ms(double share) {
    double seen = 0;
    for (long bucket = 0; bucket <= BUCKETS; bucket++)
        if ((seen += buckets[bucket]) >= share * stored && seen > 0) return (bucket + 1) * BUCKET_US / 1e3;
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 7 || strlen(argv[1]) >= sizeof address.sun_path) {
        fprintf(stderr, "usage: load SOCKET CLIENTS SECONDS RATE WRITES PREFIX\n");
        return 64;
    }
    strcpy(address.sun_path, argv[1]);
    int count = atoi(argv[2]);
    double seconds = atof(argv[3]), rate = atof(argv[4]);
    writes = atoi(argv[5]);
    prefix = argv[6];
    if (count < 1 || count > MAX_CLIENTS || strlen(prefix) > 32) return 64;
    poll_fd = epoll_create1(0);
    for (int which = 0; which < count; which++) idle[idle_count++] = which;

    struct epoll_event events[256];
    double begun = now(), ends = begun + seconds, last = 0;
    long due = 0;
    while (1) {
        double at = now();
        if (at < ends) {
            if (rate > 0)
                for (; idle_count > 0 && begun + due / rate <= at; due++) begin(begun + due / rate);
            else
                while (idle_count > 0) {
                    begin(now());
                    if (not_connected > stored + 1000) fail("connect");
                }
        } else if (idle_count == count || at > ends + LAST_SECONDS) {
            break;
        }
        int ready = epoll_wait(poll_fd, events, 256, rate > 0 ? 1 : 100);
        for (int each = 0; each < ready; each++) answered(events[each].data.u32);
        if (ready > 0 && at < ends) last = now();
    }
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    printf("{\"stored\": %ld, \"refused\": %ld, \"closed\": %ld, \"not_connected\": %ld, \"unanswered\": %d, "
           "\"seconds\": %.6f, \"cpu_s\": %.3f, \"p50_ms\": %.2f, \"p99_ms\": %.2f, \"p999_ms\": %.2f}\n",
           stored, refused, closed, not_connected, count - idle_count, last - begun, cpu, percentile_ms(.5),
           percentile_ms(.99), percentile_ms(.999));
    return 0;
}
