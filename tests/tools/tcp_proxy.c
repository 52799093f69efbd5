/*
 * tcp_proxy LISTEN TARGET [--control FIFO]: a line between two nodes that can be made bad from a script.
 *
 * Prints "listening PORT" and then obeys lines written to the FIFO (made if missing): cut, heal, stall, delay MS, stats
 * (prints "bytes THERE BACK"), quit.
 */
#include "tests/lib/proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool obey(struct proxy *p, const char *line)
{
    if (strcmp(line, "cut") == 0) {
        proxy_set(p, PROXY_CUT);
    } else if (strcmp(line, "heal") == 0) {
        proxy_set(p, PROXY_OPEN);
    } else if (strcmp(line, "stall") == 0) {
        proxy_set(p, PROXY_STALL);
    } else if (strncmp(line, "delay ", 6) == 0) {
        proxy_delay(p, (uint32_t)strtoul(line + 6, NULL, 10));
    } else if (strcmp(line, "stats") == 0) {
        uint64_t there = 0;
        uint64_t back = 0;
        proxy_bytes(p, &there, &back);
        (void)printf("bytes %llu %llu\n", (unsigned long long)there, (unsigned long long)back);
        (void)fflush(stdout);
    } else if (strcmp(line, "quit") == 0) {
        return false;
    } else {
        (void)fprintf(stderr, "tcp_proxy: unknown command: %s\n", line);
    }
    return true;
}

/* Reading and writing end in one, so that the FIFO never ends when a script closes it. */
static int control_open(const char *path)
{
    if (mkfifo(path, 0600) != 0 && errno != EEXIST) {
        return -1;
    }
    return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

/* Obeys every complete line; keeps the rest in text. */
static bool control_read(struct proxy *p, int fd, char *text, size_t room)
{
    size_t len = strlen(text);
    ssize_t n = fd < 0 ? -1 : read(fd, text + len, room - 1 - len);
    if (n <= 0) {
        return true;
    }
    text[len + (size_t)n] = '\0';
    char *end = NULL;
    while ((end = strchr(text, '\n')) != NULL) {
        *end = '\0';
        if (!obey(p, text)) {
            return false;
        }
        memmove(text, end + 1, strlen(end + 1) + 1);
    }
    if (strlen(text) + 1 == room) {
        text[0] = '\0'; /* no command is that long */
    }
    return true;
}

int main(int argc, char **argv)
{
    if ((argc != 3 && argc != 5) || (argc == 5 && strcmp(argv[3], "--control") != 0)) {
        (void)fprintf(stderr, "usage: tcp_proxy LISTEN TARGET [--control FIFO]\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    struct proxy *p = proxy_new(argv[1], argv[2]);
    int control = argc == 5 ? control_open(argv[4]) : -1;
    if (p == NULL || (argc == 5 && control < 0)) {
        (void)fprintf(stderr, "tcp_proxy: cannot listen on %s or open the control FIFO\n", argv[1]);
        proxy_free(p);
        return 1;
    }
    (void)printf("listening %u\n", (unsigned)proxy_port(p));
    (void)fflush(stdout);
    char text[256] = "";
    while (control_read(p, control, text, sizeof(text))) {
        proxy_step(p, -1, control);
    }
    proxy_free(p);
    return 0;
}
