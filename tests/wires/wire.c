/*
 * wire: the two ends of the connections that tests/wires.sh makes.
 *
 *   wire answer PORT           over TCP and over UDP: tells each who asks the
 *                              address that the question came from
 *   wire ask tcp|udp IP PORT [SECONDS]    ask, and print the answer, if it comes
 *                              within 5 seconds, or so many
 *   wire capture INTERFACE     print each IPv4 packet: protocol, source, target
 *   wire drain PORT            take one connection, and tell its bytes a second
 *   wire pour IP PORT SECONDS  the other end of that
 *
 * What waits for others prints "ready" first, and waits until it is killed.
 */
#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int check(long result, const char *what) {
    if (result >= 0)
        return (int)result;
    perror(what);
    exit(1);
}

static struct sockaddr_in address_of(const char *ip, const char *port) {
    struct sockaddr_in address = { .sin_family = AF_INET };

    address.sin_port = htons((unsigned short)atoi(port));
    if (inet_pton(AF_INET, ip, &address.sin_addr) != 1) {
        fprintf(stderr, "wire: not an address: %s\n", ip);
        exit(2);
    }
    return address;
}

static int open_socket(const char *protocol) {
    int type = strcmp(protocol, "udp") == 0 ? SOCK_DGRAM : SOCK_STREAM;

    return check(socket(AF_INET, type | SOCK_CLOEXEC, 0), "socket");
}

static int listen_at(const char *protocol, const char *port) {
    struct sockaddr_in address = address_of("0.0.0.0", port);
    int fd = open_socket(protocol);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
    check(bind(fd, (struct sockaddr *)&address, sizeof(address)), "bind");
    if (strcmp(protocol, "tcp") == 0)
        check(listen(fd, 100), "listen");
    return fd;
}

static void say_ready(void) {
    puts("ready");
    fflush(stdout);
}

static _Noreturn void answer(const char *port) {
    struct pollfd fds[2] = { { .events = POLLIN }, { .events = POLLIN } };
    struct sockaddr_in from;
    char question[100], told[INET_ADDRSTRLEN];

    fds[0].fd = listen_at("tcp", port);
    fds[1].fd = listen_at("udp", port);
    say_ready();
    for (;;) {
        socklen_t length = sizeof(from);
        check(poll(fds, 2, -1), "poll");
        if (fds[0].revents) {
            int fd = accept(fds[0].fd, (struct sockaddr *)&from, &length);
            if (fd < 0)
                continue;
            inet_ntop(AF_INET, &from.sin_addr, told, sizeof(told));
            send(fd, told, strlen(told), MSG_NOSIGNAL);
            close(fd);
        }
        length = sizeof(from);
        if (fds[1].revents &&
            recvfrom(fds[1].fd, question, sizeof(question), 0,
                     (struct sockaddr *)&from, &length) >= 0) {
            inet_ntop(AF_INET, &from.sin_addr, told, sizeof(told));
            sendto(fds[1].fd, told, strlen(told), 0,
                   (struct sockaddr *)&from, length);
        }
    }
}

static int ask(const char *protocol, const char *ip, const char *port,
               const char *seconds) {
    struct sockaddr_in address = address_of(ip, port);
    struct timeval patience = { .tv_sec = seconds ? atoi(seconds) : 5 };
    char told[100];
    int fd = open_socket(protocol);

    /* It bounds connect(2), too, which then says EINPROGRESS. */
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    check(connect(fd, (struct sockaddr *)&address, sizeof(address)), "connect");
    if (strcmp(protocol, "udp") == 0)
        check(send(fd, "?", 1, 0), "send");
    ssize_t got = recv(fd, told, sizeof(told), 0);
    check(got, "recv");
    printf("%.*s\n", (int)got, told);
    return got == 0;
}

static const char *name_of(int protocol) {
    switch (protocol) {
    case IPPROTO_ICMP: return "icmp";
    case IPPROTO_TCP:  return "tcp";
    case IPPROTO_UDP:  return "udp";
    default:           return "other";
    }
}

static _Noreturn void capture(const char *interface) {
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = (int)if_nametoindex(interface),
    };
    struct iphdr packet;
    struct sockaddr_ll frame = { 0 };
    socklen_t length = sizeof(frame);
    char from[INET_ADDRSTRLEN], to[INET_ADDRSTRLEN];
    /* Who asks for one protocol alone is not shown what goes out. */
    int fd = check(socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_ALL)), "socket");

    check(bind(fd, (struct sockaddr *)&address, sizeof(address)), "bind");
    say_ready();
    for (;;) {
        int got = check(recvfrom(fd, &packet, sizeof(packet), 0,
                                 (struct sockaddr *)&frame, &length), "recv");
        if (got < (int)sizeof(packet) || frame.sll_protocol != htons(ETH_P_IP))
            continue;
        inet_ntop(AF_INET, &packet.saddr, from, sizeof(from));
        inet_ntop(AF_INET, &packet.daddr, to, sizeof(to));
        printf("%s %s %s\n", name_of(packet.protocol), from, to);
        fflush(stdout);
    }
}

static double now(void) {
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static char buffer[1 << 18];

static int drain(const char *port) {
    int listening_fd = listen_at("tcp", port);
    double total = 0;
    ssize_t got;

    say_ready();
    int fd = check(accept(listening_fd, NULL, NULL), "accept");
    double began = now();
    while ((got = check(recv(fd, buffer, sizeof(buffer), 0), "recv")) > 0)
        total += (double)got;
    printf("%.0f\n", total / (now() - began));
    return 0;
}

static int pour(const char *ip, const char *port, const char *seconds) {
    struct sockaddr_in address = address_of(ip, port);
    int fd = open_socket("tcp");
    double ends;

    check(connect(fd, (struct sockaddr *)&address, sizeof(address)), "connect");
    ends = now() + atof(seconds);
    while (now() < ends)
        check(send(fd, buffer, sizeof(buffer), 0), "send");
    return 0;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "answer") == 0 && argc == 3)
        answer(argv[2]);
    if (strcmp(what, "ask") == 0 && argc >= 5)
        return ask(argv[2], argv[3], argv[4], argv[5]);
    if (strcmp(what, "capture") == 0 && argc == 3)
        capture(argv[2]);
    if (strcmp(what, "drain") == 0 && argc == 3)
        return drain(argv[2]);
    if (strcmp(what, "pour") == 0 && argc == 5)
        return pour(argv[2], argv[3], argv[4]);
    fprintf(stderr, "usage: wire answer|ask|capture|drain|pour ...\n");
    return 2;
}
