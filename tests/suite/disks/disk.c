/* A disk that fails on demand, in front of the real one; preloaded into a daemon.
 *
 * Files under DISK_MOUNT are on that disk. What ails it is a word in the file DISK_FAULT, read at
 * each call: sound, full, read-only, no-write, no-sync, no-read, or one-sync: one more sync of the
 * log succeeds, none after it, and nothing can be read.
 *
 * DISK_PLATTER is a copy of DISK_MOUNT that holds only what a power failure would leave behind in
 * the worst case: writes get there when a sync succeeds. As on Linux, a failed sync loses what was
 * written before it, and a later one that succeeds does not bring it back. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WRITES_MAX = 1 << 16, TRUNCATION = -1 };

/* What was written since the last sync, in order, of all files. */
static struct { char file[64]; off_t at; ssize_t length; } writes[WRITES_MAX];
static int writes_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int ails(const char *fault) {
    char word[16] = {0};
    int file = syscall(SYS_openat, AT_FDCWD, getenv("DISK_FAULT"), O_RDONLY);
    syscall(SYS_read, file, word, sizeof word - 1);
    syscall(SYS_close, file);
    return strcmp(word, fault) == 0;
}

/* The name of a file on the disk; NULL if it is elsewhere. */
static const char *on_disk(int fd, char path[PATH_MAX]) {
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return NULL;
    path[length] = 0;
    size_t mount = strlen(getenv("DISK_MOUNT"));
    int inside = strncmp(path, getenv("DISK_MOUNT"), mount) == 0 && path[mount] == '/';
    return inside ? path + mount + 1 : NULL;
}

static int refuse(int reason) {
    errno = reason;
    return -1;
}

static void note(const char *file, off_t at, ssize_t length) {
    /* The shared index of the log is memory, made anew after a power failure. */
    if (strstr(file, "-shm")) return;
    pthread_mutex_lock(&lock);
    if (writes_count == WRITES_MAX) abort();
    strncpy(writes[writes_count].file, file, sizeof writes->file - 1);
    writes[writes_count].at = at;
    writes[writes_count++].length = length;
    pthread_mutex_unlock(&lock);
}

/* Whoever syncs the log may have opened it for writing only. The main file is never opened here:
 * closing it again would give away the locks of the process. */
static ssize_t read_back(int fd, char *bytes, ssize_t length, off_t at) {
    ssize_t found = syscall(SYS_pread64, fd, bytes, length, at);
    if (found >= 0 || errno != EBADF) return found;
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int readable = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY);
    found = syscall(SYS_pread64, readable, bytes, length, at);
    syscall(SYS_close, readable);
    return found;
}

/* Takes the noted writes of a file to the platter, or forgets them. */
static void settle(int fd, const char *file, int kept) {
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    snprintf(path, sizeof path, "%s/%s", getenv("DISK_PLATTER"), file);
    int platter = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT, 0600), left = 0;
    if (platter < 0) abort();
    for (int n = 0; n < writes_count; n++) {
        off_t at = writes[n].at;
        ssize_t length = writes[n].length;
        if (strcmp(writes[n].file, file) != 0) {
            writes[left++] = writes[n];
        } else if (length == TRUNCATION) {
            syscall(SYS_ftruncate, platter, at);
        } else if (kept) {
            char *bytes = malloc(length);
            ssize_t found = read_back(fd, bytes, length, at);
            if (found > 0) syscall(SYS_pwrite64, platter, bytes, found, at);
            free(bytes);
        }
    }
    writes_count = left;
    syscall(SYS_close, platter);
    pthread_mutex_unlock(&lock);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t at) {
    char path[PATH_MAX];
    const char *file = on_disk(fd, path);
    struct stat found;
    if (file && ails("no-write")) return refuse(EIO);
    if (file && ails("read-only")) return refuse(EROFS);
    /* What the file has already may be written again; there is no room for more. The index of the
     * log gives its space back and takes it again when it is made anew. */
    if (file && !strstr(file, "-shm") && ails("full") && (fstat(fd, &found) || at + (off_t)length > found.st_size))
        return refuse(ENOSPC);
    ssize_t written = syscall(SYS_pwrite64, fd, bytes, length, at);
    if (file && written > 0) note(file, at, written);
    return written;
}

ssize_t pread64(int fd, void *bytes, size_t length, off_t at) {
    char path[PATH_MAX];
    if (on_disk(fd, path) && (ails("no-read") || ails("one-sync"))) return refuse(EIO);
    return syscall(SYS_pread64, fd, bytes, length, at);
}

int fsync(int fd) {
    static int more_syncs;
    char path[PATH_MAX];
    const char *file = on_disk(fd, path);
    if (!file) return syscall(SYS_fsync, fd);
    int fails = ails("no-sync") || ails("no-write");
    if (!ails("one-sync")) more_syncs = 1;
    else fails = strstr(file, "-wal") ? more_syncs-- <= 0 : more_syncs <= 0;
    settle(fd, file, !fails);
    return fails ? refuse(EIO) : 0;
}

/* Which of the two SQLite calls depends on how it was built. */
int fdatasync(int fd) {
    return fsync(fd);
}

int ftruncate64(int fd, off_t size) {
    char path[PATH_MAX];
    const char *file = on_disk(fd, path);
    if (file && ails("read-only")) return refuse(EROFS);
    int answer = syscall(SYS_ftruncate, fd, size);
    if (file && answer == 0) note(file, size, TRUNCATION);
    return answer;
}

int unlink(const char *path) {
    size_t mount = strlen(getenv("DISK_MOUNT"));
    if (strncmp(path, getenv("DISK_MOUNT"), mount) == 0 && path[mount] == '/') {
        char twin[PATH_MAX];
        if (ails("read-only")) return refuse(EROFS);
        snprintf(twin, sizeof twin, "%s/%s", getenv("DISK_PLATTER"), path + mount + 1);
        syscall(SYS_unlinkat, AT_FDCWD, twin, 0);
    }
    return syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    size_t mount = strlen(getenv("DISK_MOUNT"));
    int inside = strncmp(path, getenv("DISK_MOUNT"), mount) == 0 && path[mount] == '/';
    int writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT;
    if (inside && writes && ails("read-only")) return refuse(EROFS);
    return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    return open(path, flags, mode);
}
