/* For cost_counts.py: a process whose clock runs slower, in which a stretch can be counted.
 *
 * Under callgrind a program runs some fifty times slower than it does, while the clock does not.  What clearloop does
 * by the clock (a credit for a record every 20 us, a look of the watchdog every 10 ms, a question to the kernel every
 * tick) would then be done fifty times too often per operation.  So the monotonic clock is slowed down by as much, and
 * the waits that end by it are lengthened.  Preloaded; `counting_scale` says by how much, and counts begin and end by
 * `counting_begin` and `counting_end`.
 *
 * Reads of the clock are counted, since an instruction that reads it costs more than others do.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <valgrind/callgrind.h>

#define TICK 4000000 /* ns: the coarse clock moves so often, as Linux has it with CONFIG_HZ=250 */
#define LONG_AGO 1000000000000000

static double scale = 1;
static int64_t used_base, virtual_base, held;
static int64_t waited; /* in epoll, for as long as it was asked to; what comes sooner came at once: a loop under load */
static uint64_t fine_reads, coarse_reads;

static int64_t now_of(clockid_t clock) {
    struct timespec now;
    syscall(SYS_clock_gettime, clock, &now);
    return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t real_now(void) { return now_of(CLOCK_MONOTONIC); }

/* What the process has used and what it has slept, whatever else the machine does. */
static int64_t used_now(void) { return now_of(CLOCK_PROCESS_CPUTIME_ID) + waited; }

static int64_t virtual_now(void) {
    return held ? held : virtual_base + (int64_t) ((double) (used_now() - used_base) / scale);
}

static void put(struct timespec *place, int64_t time) {
    place->tv_sec = time / 1000000000;
    place->tv_nsec = time % 1000000000;
}

__attribute__((constructor)) static void begin(void) {
    const char *wanted = getenv("COUNTING_SCALE"); /* until it is known better: so that nothing looks like a stall */
    scale = wanted ? atof(wanted) : 1;
    used_base = used_now();
    virtual_base = real_now();
}

void counting_scale(double wanted) {
    virtual_base = virtual_now();
    used_base = used_now();
    scale = wanted;
}

uint64_t counting_reads(int coarse) { return coarse ? coarse_reads : fine_reads; }

int counting_possible(void) { return (int) RUNNING_ON_VALGRIND; }

void counting_instrument(void) { CALLGRIND_START_INSTRUMENTATION; }

/* From here to counting_begin() the clock stands still. */
void counting_prepare(void) { held = virtual_now(); }

/* Whatever was counted before goes into a dump of its own. */
void counting_begin(void) {
    CALLGRIND_DUMP_STATS;
    virtual_base = held;
    held = 0;
    used_base = used_now();
    fine_reads = coarse_reads = 0;
}

void counting_end(void) { CALLGRIND_DUMP_STATS; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    int64_t time;
    if (clock == CLOCK_MONOTONIC) {
        fine_reads++;
        put(now, virtual_now());
        return 0;
    }
    if (clock == CLOCK_MONOTONIC_COARSE) {
        coarse_reads++;
        time = virtual_now();
        put(now, time - time % TICK);
        return 0;
    }
    return (int) syscall(SYS_clock_gettime, clock, now);
}

/* The moment of the real clock at which the slow one will show `until`; as it is when it is of another clock. */
static const struct timespec *really(const struct timespec *until, struct timespec *place) {
    int64_t left = (int64_t) until->tv_sec * 1000000000 + until->tv_nsec - virtual_now();
    if (left > LONG_AGO || left < -LONG_AGO) {
        return until;
    }
    put(place, real_now() + (int64_t) ((double) left * scale));
    return place;
}

int pthread_cond_timedwait(pthread_cond_t *bell, pthread_mutex_t *lock, const struct timespec *until) {
    struct timespec place;
    const struct timespec *moment = really(until, &place);
    return pthread_cond_clockwait(bell, lock, moment == until ? CLOCK_REALTIME : CLOCK_MONOTONIC, moment);
}

int sem_clockwait(sem_t *place, clockid_t clock, const struct timespec *until) {
    static int (*next)(sem_t *, clockid_t, const struct timespec *);
    struct timespec moment;
    if (!next) {
        next = (int (*)(sem_t *, clockid_t, const struct timespec *)) dlsym(RTLD_NEXT, "sem_clockwait");
    }
    return next(place, clock, clock == CLOCK_MONOTONIC ? really(until, &moment) : until);
}

int epoll_wait(int fd, struct epoll_event *events, int size, int timeout) {
    double longer = timeout * scale;
    int found =
        epoll_pwait(fd, events, size, timeout <= 0 ? timeout : longer > 2e9 ? 2000000000 : (int) longer, NULL);
    if (timeout > 0 && found == 0) {
        waited += (int64_t) (1e6 * longer);
    }
    return found;
}

static long next_syscall(long number, const long *part) {
    static long (*next)(long, ...);
    if (!next) {
        next = (long (*)(long, ...)) dlsym(RTLD_NEXT, "syscall");
    }
    return next(number, part[0], part[1], part[2], part[3], part[4], part[5]);
}

long syscall(long number, ...) {
    long part[6];
    struct timespec longer;
    va_list rest;
    va_start(rest, number);
    for (int place = 0; place < 6; place++) {
        part[place] = va_arg(rest, long);
    }
    va_end(rest);
    int64_t wanted = 0;
    if (number == SYS_epoll_pwait2 && part[3]) {
        const struct timespec *wait = (const struct timespec *) part[3];
        wanted = (int64_t) (((double) wait->tv_sec * 1e9 + (double) wait->tv_nsec) * scale);
        put(&longer, wanted);
        part[3] = (long) &longer;
    }
    long result = next_syscall(number, part);
    if (result == 0) {
        waited += wanted;
    }
    return result;
}
