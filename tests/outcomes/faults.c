/* faults.c: a library to be preloaded, in which one call that changes the image file goes wrong: pwrite, fsync, ftruncate.
 * Built and used by tests/outcomes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

/* error: errno of the call that fails; 0: it is done, and then the signal comes. half: half of a write lands before it fails.
 * on: all calls after it fail too. */
static struct {
    long at;
    int error, signal, half, on;
} fault = { -1, 0, 0, 0, 0 };
static long calls;

/* Call number n from now (0: the next; -1: none). */
void outcomes_arm(long n, int error, int signal, int half, int on)
{
    calls = 0;
    fault.at = n;
    fault.error = error;
    fault.signal = signal;
    fault.half = half;
    fault.on = on;
}

long outcomes_calls(void) { return calls; }

/* Whether this call is to fail. */
static int strikes(void)
{
    long now = calls++;
    if (fault.at < 0 || now < fault.at || (now > fault.at && !fault.on))
        return 0;
    if (fault.signal && now == fault.at)
        kill(getpid(), fault.signal);
    return fault.error;
}

ssize_t pwrite64(int fd, const void *p, size_t len, off64_t off)
{
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real)
        real = (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    int error = strikes();
    if (!error)
        return real(fd, p, len, off);
    if (fault.half)
        real(fd, p, len / 2, off);
    errno = error;
    return -1;
}

ssize_t pwrite(int fd, const void *p, size_t len, off_t off) { return pwrite64(fd, p, len, off); }

static int refused(int error)
{
    errno = error;
    return -1;
}

int fsync(int fd)
{
    static int (*real)(int);
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    int error = strikes();
    return error ? refused(error) : real(fd);
}

int ftruncate64(int fd, off64_t len)
{
    static int (*real)(int, off64_t);
    if (!real)
        real = (int (*)(int, off64_t))dlsym(RTLD_NEXT, "ftruncate64");
    int error = strikes();
    return error ? refused(error) : real(fd, len);
}

int ftruncate(int fd, off_t len) { return ftruncate64(fd, len); }
