// Fails a write to files below a folder as a broken or full disk would; loaded before the C library.
//
// Tracing system calls cannot do it: the wake-ups of the runtime are writes too, and a real short
// write needs another length. Told by the environment:
// FAIL_BELOW  the folder
// FAIL_CALL   write or pwrite64
// FAIL_AT     which of these calls of the whole process, from 1
// FAIL_HOW    EIO, ENOSPC, EINTR, zero, short, or full (half of the bytes, then ENOSPC for good)

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum verdict { GO_ON, FAIL, HALF };

static atomic_long calls;
static atomic_int is_full;

static int is_below(int fd, char *path) {
    const char *below = getenv("FAIL_BELOW");
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX);
    if (below == NULL || length <= 0) return 0;
    path[length] = '\0';
    return strncmp(path, below, strlen(below)) == 0;
}

static enum verdict judge(const char *call, int fd, size_t bytes) {
    const char *wanted = getenv("FAIL_CALL"), *at = getenv("FAIL_AT"), *how = getenv("FAIL_HOW");
    char path[PATH_MAX + 1];
    if (wanted == NULL || at == NULL || how == NULL || !is_below(fd, path)) return GO_ON;
    if (atomic_load(&is_full)) {
        errno = ENOSPC;
        return FAIL;
    }
    if (strcmp(call, wanted) != 0 || atomic_fetch_add(&calls, 1) + 1 != atol(at)) return GO_ON;
    fprintf(stderr, "%s fails: %s %s\n", how, call, path);
    errno = 0;
    if (strcmp(how, "EIO") == 0) errno = EIO;
    if (strcmp(how, "ENOSPC") == 0) errno = ENOSPC;
    if (strcmp(how, "EINTR") == 0) errno = EINTR;
    if (strcmp(how, "full") == 0) atomic_store(&is_full, 1);
    int is_half = strcmp(how, "full") == 0 || strcmp(how, "short") == 0;
    return is_half && bytes > 1 ? HALF : FAIL;
}

ssize_t write(int fd, const void *data, size_t bytes) {
    static ssize_t (*real)(int, const void *, size_t);
    if (real == NULL) real = dlsym(RTLD_NEXT, "write");
    switch (judge("write", fd, bytes)) {
        case GO_ON: return real(fd, data, bytes);
        case HALF: return real(fd, data, bytes / 2);
        default: return errno == 0 ? 0 : -1;
    }
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t offset) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (real == NULL) real = dlsym(RTLD_NEXT, "pwrite64");
    switch (judge("pwrite64", fd, bytes)) {
        case GO_ON: return real(fd, data, bytes, offset);
        case HALF: return real(fd, data, bytes / 2, offset);
        default: return errno == 0 ? 0 : -1;
    }
}
