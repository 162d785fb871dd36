/* A disk whose flushes take longer, for the row slow_commit: preloaded into a process, it lets each fdatasync and
 * fsync do its work and then sleeps. How long is read from a page of memory shared with the bench, so that one and the
 * same server is measured as it is and with the delay, in turns; zero is as it is. What was added is written back there,
 * so that the bench sees that the delay happened. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define NANO 1000000000L

struct page {
    _Atomic uint64_t delay_ns; /* set by the bench */
    _Atomic uint64_t flushes;  /* how many were delayed */
    _Atomic uint64_t added_ns; /* by how much in all */
};

static struct page *shared;
static int (*real_fdatasync)(int);
static int (*real_fsync)(int);

__attribute__((constructor)) static void begin(void)
{
    real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    const char *path = getenv("BENCH_SLOW_FLUSH");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *place = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (place != MAP_FAILED)
        shared = place;
}

static uint64_t now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * NANO + (uint64_t)at.tv_nsec;
}

static int delayed(int result)
{
    uint64_t delay = shared ? atomic_load(&shared->delay_ns) : 0;
    if (delay == 0)
        return result;
    int said = errno;
    uint64_t began = now();
    struct timespec left = {(time_t)(delay / NANO), (long)(delay % NANO)};
    prctl(PR_SET_TIMERSLACK, 1UL); /* the usual slack would add a twentieth to a millisecond */
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
    atomic_fetch_add(&shared->added_ns, now() - began);
    atomic_fetch_add(&shared->flushes, 1);
    errno = said;
    return result;
}

int fdatasync(int file)
{
    return delayed(real_fdatasync(file));
}

int fsync(int file)
{
    return delayed(real_fsync(file));
}
