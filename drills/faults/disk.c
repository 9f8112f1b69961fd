/* A disk that fails on command, for one folder of one program; loaded into it by LD_PRELOAD.
 *
 * Beside every file it keeps what a disk would hold of it: the pages that a flush has brought there,
 * and no others. A flush that fails brings nothing and takes the pages for written, as Linux does,
 * and every descriptor that was open hears of it once. So the loss of power can be played through:
 * end the program, put what the disk holds in the place of the files, start it again. What it holds
 * outlives the program, as the system's page cache does.
 *
 *   DRILL_DISK_FOLDER    the folder whose files are on this disk
 *   DRILL_DISK_HOLDS     where it keeps what the disk holds
 *   DRILL_DISK_CONTROL   a file with the commands and counts of `struct control`
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WELL = 0, FAILS = 1, HANGS = 2, SLOW = 3 };
enum { PAGE = 4096, PAGES_MAX = 1 << 18, FILES_MAX = 16, DESCRIPTORS_MAX = 65536 };

struct control {
    _Atomic unsigned char flush;  /* WELL, FAILS, HANGS or SLOW */
    _Atomic unsigned char write;  /* WELL, or the errno with which everything that writes fails */
    _Atomic unsigned char forget; /* whether a failed flush also takes the pages out of memory */
    unsigned char unused[5];
    _Atomic unsigned flushed, flushes_failed, writes_failed;
};

/* What is known of a file, shared by every process and descriptor. */
struct known {
    _Atomic unsigned errors; /* flushes that failed */
    _Atomic unsigned end;    /* no page from here on is dirty */
    _Atomic unsigned char dirty[PAGES_MAX];
};

struct file {
    char name[256];
    int holds; /* the descriptor of what the disk holds */
    struct known *known;
};

static struct file files[FILES_MAX];
static struct file *_Atomic of_descriptor[DESCRIPTORS_MAX];
static unsigned errors_heard[DESCRIPTORS_MAX];
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
static struct control *control;
static char folder[PATH_MAX], holds[PATH_MAX];

static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_unlink)(const char *);

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("DRILL_DISK_CONTROL");
    real_open = dlsym(RTLD_NEXT, "open64");
    real_openat = dlsym(RTLD_NEXT, "openat64");
    real_close = dlsym(RTLD_NEXT, "close");
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    if (!path || !getenv("DRILL_DISK_FOLDER") || !getenv("DRILL_DISK_HOLDS"))
        return;
    snprintf(folder, sizeof folder, "%s/", getenv("DRILL_DISK_FOLDER"));
    snprintf(holds, sizeof holds, "%s/", getenv("DRILL_DISK_HOLDS"));
    int descriptor = real_open(path, O_RDWR | O_CLOEXEC);
    void *mapped = MAP_FAILED;
    if (descriptor >= 0)
        mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (mapped == MAP_FAILED)
        abort();
    control = mapped;
    real_close(descriptor);
}

/* The file's name, when it is on this disk. */
static const char *name_of(const char *path)
{
    size_t length = strlen(folder);
    return control && path && strncmp(path, folder, length) == 0 ? path + length : NULL;
}

static int refuses(void)
{
    int error = control->write;
    if (error) {
        control->writes_failed++;
        errno = error;
    }
    return error;
}

static struct file *known_file(const char *name)
{
    char path[PATH_MAX + 300];
    struct file *file = files;
    while (file < files + FILES_MAX && file->name[0] && strcmp(file->name, name) != 0)
        file++;
    if (file == files + FILES_MAX || strlen(name) >= sizeof file->name)
        abort();
    if (file->name[0])
        return file;
    snprintf(path, sizeof path, "%s%.255s", holds, name);
    file->holds = real_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    snprintf(path, sizeof path, "%s%.255s.dirty", holds, name);
    int descriptor = real_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file->holds < 0 || descriptor < 0 || real_ftruncate(descriptor, sizeof *file->known) != 0)
        abort();
    file->known =
        mmap(NULL, sizeof *file->known, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (file->known == MAP_FAILED)
        abort();
    real_close(descriptor);
    strcpy(file->name, name);
    return file;
}

static void opened(int descriptor, const char *name)
{
    size_t length = strlen(name);
    /* The log's index is never flushed: it is made anew. */
    if (descriptor < 0 || descriptor >= DESCRIPTORS_MAX || strchr(name, '/') ||
        (length > 4 && strcmp(name + length - 4, "-shm") == 0))
        return;
    pthread_mutex_lock(&opening);
    struct file *file = known_file(name);
    errors_heard[descriptor] = file->known->errors;
    of_descriptor[descriptor] = file;
    pthread_mutex_unlock(&opening);
}

static struct file *of(int descriptor)
{
    return descriptor >= 0 && descriptor < DESCRIPTORS_MAX ? of_descriptor[descriptor] : NULL;
}

static int open_any(int at, const char *path, int flags, mode_t mode)
{
    const char *name = name_of(path);
    if (name && (flags & (O_WRONLY | O_RDWR | O_CREAT)) && refuses())
        return -1;
    int descriptor = real_openat(at, path, flags, mode);
    if (name)
        opened(descriptor, name);
    return descriptor;
}

#define MODE(last)                                          \
    mode_t mode = 0;                                        \
    if (flags & (O_CREAT | O_TMPFILE)) {                    \
        va_list rest;                                       \
        va_start(rest, last);                               \
        mode = va_arg(rest, mode_t);                        \
        va_end(rest);                                       \
    }

int open(const char *path, int flags, ...)
{
    MODE(flags)
    return open_any(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    MODE(flags)
    return open_any(AT_FDCWD, path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...)
{
    MODE(flags)
    return open_any(at, path, flags, mode);
}

int close(int descriptor)
{
    if (of(descriptor))
        of_descriptor[descriptor] = NULL;
    return real_close(descriptor);
}

static void dirtied(struct file *file, off_t at, size_t count)
{
    off_t end = (at + (off_t)count + PAGE - 1) / PAGE;
    if (end > PAGES_MAX)
        abort();
    for (off_t page = at / PAGE; page < end; page++)
        file->known->dirty[page] = 1;
    unsigned before = file->known->end;
    while (before < end && !atomic_compare_exchange_weak(&file->known->end, &before, end))
        ;
}

ssize_t write(int descriptor, const void *bytes, size_t count)
{
    struct file *file = of(descriptor);
    if (!file)
        return real_write(descriptor, bytes, count);
    if (refuses())
        return -1;
    off_t at = lseek(descriptor, 0, SEEK_CUR);
    ssize_t written = real_write(descriptor, bytes, count);
    if (written > 0)
        dirtied(file, at, written);
    return written;
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t count, off_t at)
{
    struct file *file = of(descriptor);
    if (!file)
        return real_pwrite(descriptor, bytes, count, at);
    if (refuses())
        return -1;
    ssize_t written = real_pwrite(descriptor, bytes, count, at);
    if (written > 0)
        dirtied(file, at, written);
    return written;
}

ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t at)
{
    return pwrite64(descriptor, bytes, count, at);
}

int ftruncate64(int descriptor, off_t length)
{
    return of(descriptor) && refuses() ? -1 : real_ftruncate(descriptor, length);
}

int ftruncate(int descriptor, off_t length)
{
    return ftruncate64(descriptor, length);
}

int unlink(const char *path)
{
    const char *name = name_of(path);
    char held[PATH_MAX + 300];
    if (!name)
        return real_unlink(path);
    if (refuses())
        return -1;
    snprintf(held, sizeof held, "%s%s", holds, name);
    struct stat status;
    if (stat(held, &status) == 0) {
        pthread_mutex_lock(&opening);
        struct file *file = known_file(name);
        if (real_ftruncate(file->holds, 0) != 0)
            abort();
        memset((void *)file->known->dirty, 0, PAGES_MAX);
        pthread_mutex_unlock(&opening);
    }
    return real_unlink(path);
}

/* Brings a page from one file to the other; what is beyond the end of the first is left out. */
static void bring(int from, int to, unsigned page)
{
    char bytes[PAGE];
    ssize_t count = pread64(from, bytes, PAGE, (off_t)page * PAGE);
    if (count > 0 && real_pwrite(to, bytes, count, (off_t)page * PAGE) != count)
        abort();
}

static int flush(int descriptor, struct file *file, int (*real)(int))
{
    struct stat live, held;
    while (control->flush == HANGS)
        usleep(1000);
    if (control->flush == SLOW)
        usleep(100000);
    int fails = control->flush == FAILS;
    unsigned end = file->known->end;
    for (unsigned page = 0; page < end; page++) {
        /* Who writes it meanwhile makes it dirty after that. */
        if (!file->known->dirty[page] || !atomic_exchange(&file->known->dirty[page], 0))
            continue;
        if (!fails)
            bring(descriptor, file->holds, page);
        else if (control->forget)
            bring(file->holds, descriptor, page);
    }
    if (fails)
        file->known->errors++;
    unsigned errors = file->known->errors;
    if (errors != errors_heard[descriptor]) {
        errors_heard[descriptor] = errors;
        control->flushes_failed++;
        errno = EIO;
        return -1;
    }
    if (fstat(descriptor, &live) == 0 && fstat(file->holds, &held) == 0 &&
        live.st_size < held.st_size && real_ftruncate(file->holds, live.st_size) != 0)
        abort();
    control->flushed++;
    return real(descriptor);
}

int fsync(int descriptor)
{
    struct file *file = of(descriptor);
    return file ? flush(descriptor, file, real_fsync) : real_fsync(descriptor);
}

int fdatasync(int descriptor)
{
    struct file *file = of(descriptor);
    return file ? flush(descriptor, file, real_fdatasync) : real_fdatasync(descriptor);
}
