/* A stand-in for an agent CLI that costs next to nothing: it reads "CHUNKS RATE SIZE" from stdin, and writes
 * CHUNKS chunks of SIZE bytes, RATE a second (0: as fast as the pipe takes them). Every chunk begins with
 * when it was written: "<" 16 hexadecimal digits of CLOCK_MONOTONIC in nanoseconds ">".
 * With the argument "chat" it writes as the Q CLI does: the coloured prompt first. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define STAMP 18

static long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

static void sleep_until(long long when)
{
    struct timespec time = {when / SECOND, when % SECOND};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) != 0)
        ;
}

static void put(const char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDOUT_FILENO, data, size);
        if (written <= 0)
            exit(1);
        data += written;
        size -= (size_t)written;
    }
}

int main(int argc, char **argv)
{
    char prompt[4096] = "", piece[256];
    size_t length = 0;
    ssize_t got;
    while ((got = read(STDIN_FILENO, piece, sizeof piece)) > 0)
        for (ssize_t at = 0; at < got && length < sizeof prompt - 1; at++)
            prompt[length++] = piece[at];

    long chunks = 0, rate = 0, size = 64;
    sscanf(prompt, "%ld %ld %ld", &chunks, &rate, &size);
    if (size < STAMP + 1)
        size = STAMP + 1;
    char *chunk = malloc((size_t)size + 1);
    if (chunk == NULL)
        return 1;
    for (long at = 0; at < size; at++)
        chunk[at] = size > 256 && at % 80 == 79 ? '\n' : "lorem ipsum dolor sit amet "[at % 27];
    chunk[size - 1] = '.';

    if (argc > 1 && strcmp(argv[1], "chat") == 0)
        put("\033[38;5;10m> \033[0m", 14);
    /* Not all at the same moment: each begins somewhere within the period. */
    long long period = rate > 0 ? SECOND / rate : 0;
    long long next = now() + (period > 0 ? getpid() * 7919LL * 1000 % period : 0);
    for (long number = 0; number < chunks; number++, next += period) {
        if (period > 0 && number > 0)
            sleep_until(next);
        char stamp[STAMP + 1];
        snprintf(stamp, sizeof stamp, "<%016llx>", now());
        memcpy(chunk, stamp, STAMP);
        put(chunk, (size_t)size);
    }
    return 0;
}
