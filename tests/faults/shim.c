/* Numbers what the gateway does to its database files and its sockets, and lets it die or fail at number N.
 *
 * Preloaded (LD_PRELOAD) into the daemon only; the product knows nothing of it. Every call below on a file or socket
 * that the plan names is a step "class.operation"; steps of Python code are told with fault_point(). A step is written
 * to the log before it happens (one line, straight into the page cache: it survives SIGKILL), so that a run can say
 * what was reached. See README.md for the plan's words.
 *
 * The class of a descriptor is looked up at each call and never remembered: a child between vfork and exec shares our
 * memory and closes and moves descriptors as it likes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum act { NONE, KILL_BEFORE, KILL_AFTER, FAIL, CUT_BEFORE, CUT_AFTER, POWER, STOP, WAIT };

static struct {
    int armed, log, error, ms, power, drop;
    long at, count, times;
    enum act act;
    unsigned long seed; /* of the power cut: 0 drops everything unsynced, else each write is kept with one half */
    char after[64]; /* counting begins when this step was met */
    char files[1024], only[256], ports[256], sockets[512];
} plan = {.log = -1};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ------------------------------------------------------------------ what was not synced: for power cuts */

struct undo {
    struct undo *before;
    char path[256];
    off_t at, size; /* size: of the file before the write */
    size_t length;
    char old[];
};
static struct undo *undone;

static void remember(const char *path, int fd, off_t at, size_t length) {
    struct stat was;
    if (fstat(fd, &was)) return;
    struct undo *u = calloc(1, sizeof *u + length);
    if (!u) return;
    snprintf(u->path, sizeof u->path, "%s", path);
    u->at = at;
    u->size = was.st_size;
    long got = syscall(SYS_pread64, fd, u->old, length, at);
    u->length = got < 0 ? 0 : (size_t)got;
    u->before = undone;
    undone = u;
}

static void forget(const char *path) {
    for (struct undo **u = &undone; *u;) {
        if (strcmp((*u)->path, path)) {
            u = &(*u)->before;
        } else {
            struct undo *gone = *u;
            *u = gone->before;
            free(gone);
        }
    }
}

/* The file as a disk has it that lost everything since the last sync ("": all files), or some of it (seed). */
static void drop_unsynced(const char *path) {
    for (struct undo *u = undone; u; u = u->before) {
        if (*path && strcmp(u->path, path)) continue;
        if (plan.seed) {
            plan.seed = plan.seed * 6364136223846793005UL + 1442695040888963407UL;
            if (plan.seed >> 63) continue;
        }
        int fd = (int)syscall(SYS_openat, AT_FDCWD, u->path, O_WRONLY | O_CLOEXEC, 0);
        if (fd < 0) continue;
        syscall(SYS_pwrite64, fd, u->old, u->length, u->at);
        if (!plan.seed) syscall(SYS_ftruncate, fd, u->size);
        syscall(SYS_close, fd);
    }
}

/* ------------------------------------------------------------------ steps */

static void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

static int listed(const char *list, const char *name) {
    if (!*list) return 1;
    size_t length = strlen(name);
    for (const char *word = list; *word;) {
        const char *end = strchrnul(word, ',');
        size_t size = (size_t)(end - word);
        if (size && word[size - 1] == '*' ? !strncmp(word, name, size - 1) : size == length && !strncmp(word, name, size))
            return 1;
        word = *end ? end + 1 : end;
    }
    return 0;
}

/* Count a step; what has to happen at it. The lock is not held on return. */
static enum act step(const char *name, const char *detail) {
    enum act act = NONE;
    int saved = errno;
    pthread_mutex_lock(&lock);
    if (*plan.after) {
        if (!strcmp(plan.after, name)) *plan.after = 0;
    } else if (listed(plan.only, name)) {
        plan.count++;
        int hit = plan.at && plan.count >= plan.at && (!plan.times || plan.count < plan.at + plan.times);
        if (plan.log >= 0) {
            char line[512];
            int size = snprintf(line, sizeof line, "%ld %s %s%s\n", plan.count, name, detail, hit ? " !" : "");
            syscall(SYS_write, plan.log, line, size < (int)sizeof line ? size : (int)sizeof line - 1);
        }
        if (hit) act = plan.act;
    }
    if (act == POWER) {
        drop_unsynced("");
        die();
    }
    pthread_mutex_unlock(&lock);
    if (act == KILL_BEFORE) die();
    if (act == STOP) syscall(SYS_kill, getpid(), SIGSTOP);
    if (act == WAIT) {
        struct timespec time = {plan.ms / 1000, (plan.ms % 1000) * 1000000L};
        nanosleep(&time, NULL);
    }
    errno = saved;
    return act;
}

static int starts(const char *text, const char *with) { return *with && !strncmp(text, with, strlen(with)); }

/* "name:value,name:value": the name whose value fits. */
static int lookup(const char *list, int port, const char *path, char *name, size_t room) {
    for (const char *word = list; *word;) {
        const char *end = strchrnul(word, ','), *colon = memchr(word, ':', (size_t)(end - word));
        if (colon) {
            char value[256];
            snprintf(value, sizeof value, "%.*s", (int)(end - colon - 1), colon + 1);
            if (path ? starts(path, value) : atoi(value) == port) {
                snprintf(name, room, "%.*s", (int)(colon - word), word);
                return 1;
            }
        }
        word = *end ? end + 1 : end;
    }
    return 0;
}

/* The class of a path that is one of our files; 0 otherwise. */
static int our_file(const char *path, char *name, size_t room) {
    size_t length = strlen(path);
    return lookup(plan.files, 0, path, name, room) && !(length > 4 && !strcmp(path + length - 4, "-shm"));
}

/* Path and class of a descriptor that is one of our files; 0 otherwise. */
static int file_of(int fd, char *path, size_t size_of_path, char *name, size_t room) {
    struct stat is;
    if (!plan.armed || fd < 0 || fstat(fd, &is) || !S_ISREG(is.st_mode)) return 0;
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, size_of_path - 1);
    if (size <= 0) return 0;
    path[size] = 0;
    return our_file(path, name, room);
}

static int address_of(const struct sockaddr *address, socklen_t size, char *name, size_t room) {
    if (address->sa_family == AF_INET)
        return lookup(plan.ports, ntohs(((const struct sockaddr_in *)address)->sin_port), NULL, name, room);
    if (address->sa_family == AF_INET6)
        return lookup(plan.ports, ntohs(((const struct sockaddr_in6 *)address)->sin6_port), NULL, name, room);
    if (address->sa_family == AF_UNIX && size > sizeof(sa_family_t))
        return lookup(plan.sockets, 0, ((const struct sockaddr_un *)address)->sun_path, name, room);
    return 0;
}

static int socket_of(int fd, char *name, size_t room) {
    struct stat is;
    if (!plan.armed || fd < 0 || fstat(fd, &is) || !S_ISSOCK(is.st_mode)) return 0;
    struct sockaddr_storage address;
    memset(&address, 0, sizeof address);
    socklen_t size = sizeof address;
    if (!getpeername(fd, (struct sockaddr *)&address, &size) &&
        address_of((struct sockaddr *)&address, size, name, room))
        return 1;
    memset(&address, 0, sizeof address);
    size = sizeof address;
    return !getsockname(fd, (struct sockaddr *)&address, &size) &&
           address_of((struct sockaddr *)&address, size, name, room);
}

/* ------------------------------------------------------------------ the plan, and steps told by Python */

static void set(const char *word, const char *value) {
    if (!strcmp(word, "log")) plan.log = (int)syscall(SYS_openat, AT_FDCWD, value, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    else if (!strcmp(word, "files")) snprintf(plan.files, sizeof plan.files, "%s", value);
    else if (!strcmp(word, "ports")) snprintf(plan.ports, sizeof plan.ports, "%s", value);
    else if (!strcmp(word, "sockets")) snprintf(plan.sockets, sizeof plan.sockets, "%s", value);
    else if (!strcmp(word, "only")) snprintf(plan.only, sizeof plan.only, "%s", value);
    else if (!strcmp(word, "at")) plan.at = atol(value);
    else if (!strcmp(word, "errno")) plan.error = atoi(value);
    else if (!strcmp(word, "times")) plan.times = atol(value); /* 0: from step "at" on, for ever */
    else if (!strcmp(word, "after")) snprintf(plan.after, sizeof plan.after, "%s", value);
    else if (!strcmp(word, "ms")) plan.ms = atoi(value);
    else if (!strcmp(word, "drop")) plan.drop = plan.power = atoi(value);
    else if (!strcmp(word, "seed")) plan.seed = strtoul(value, NULL, 10);
    else if (!strcmp(word, "act")) {
        static const char *const names[] = {"none", "kill-before", "kill-after", "fail", "cut-before", "cut-after", "power", "stop", "wait"};
        for (int n = 0; n < 9; n++)
            if (!strcmp(value, names[n])) plan.act = (enum act)n;
        if (plan.act == POWER) plan.power = 1;
    }
}

/* A new plan, counting from 1: "word=value;word=value". Called before the gateway's first step, or while it runs. */
void fault_plan(const char *text) {
    pthread_mutex_lock(&lock);
    if (plan.log >= 0) syscall(SYS_close, plan.log);
    memset(&plan, 0, sizeof plan);
    plan.log = -1;
    char *copy = strdup(text), *rest = copy;
    for (char *word; copy && (word = strsep(&rest, ";"));) {
        char *value = strchr(word, '=');
        if (value) {
            *value = 0;
            set(word, value + 1);
        }
    }
    free(copy);
    plan.armed = 1;
    pthread_mutex_unlock(&lock);
}

/* A step of Python code. */
void fault_point(const char *name) {
    if (!plan.armed) return;
    char full[128];
    snprintf(full, sizeof full, "point.%s", name);
    if (step(full, "") == KILL_AFTER) die();
}

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("FAULT_PLAN");
    if (text) fault_plan(text);
    unsetenv("FAULT_PLAN");
    unsetenv("LD_PRELOAD"); /* what the daemon starts is not ours to count */
}

/* ------------------------------------------------------------------ the calls */

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

#define FILE_STEP(operation, name, path) \
    char full_[40]; \
    snprintf(full_, sizeof full_, "%s.%s", name, operation); \
    enum act act = step(full_, last_part(path)); \
    if (act == FAIL) { \
        errno = plan.error; \
        return -1; \
    }

#define DONE(call) \
    __typeof__(call) result = (call); \
    if (act == KILL_AFTER) die(); \
    return result

/* One write to a socket; 1 when the call has to fail instead. */
#define SOCKET_STEP(operation, fd) \
    enum act act = NONE; \
    char name_[24]; \
    if (socket_of(fd, name_, sizeof name_)) { \
        char full_[40]; \
        snprintf(full_, sizeof full_, "%s.%s", name_, operation); \
        act = step(full_, ""); \
        if (act == FAIL) { \
            errno = plan.error; \
            return -1; \
        } \
        if (act == CUT_BEFORE) shutdown(fd, SHUT_RDWR); \
    }

/* What is sent to PostgreSQL is most often a statement; the commit is the one that counts. */
static const char *sending(const void *data, size_t size) {
    return size < 64 && memmem(data, size, "COMMIT", 6) ? "commit" : "send";
}

#define SENT(call, fd) \
    __typeof__(call) result = (call); \
    if (act == KILL_AFTER) die(); \
    if (act == CUT_AFTER) shutdown(fd, SHUT_RD); \
    return result

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    char path[256], name[24];
    if (file_of(fd, path, sizeof path, name, sizeof name)) {
        FILE_STEP("write", name, path)
        if (plan.power) {
            pthread_mutex_lock(&lock);
            remember(path, fd, lseek(fd, 0, SEEK_CUR), size);
            pthread_mutex_unlock(&lock);
        }
        DONE(real(fd, data, size));
    }
    SOCKET_STEP("send", fd)
    SENT(real(fd, data, size), fd);
}

#define POSITIONED_WRITE(call, offset) \
    ssize_t call(int fd, const void *data, size_t size, offset at) { \
        REAL(call); \
        char path[256], name[24]; \
        if (!file_of(fd, path, sizeof path, name, sizeof name)) return real(fd, data, size, at); \
        FILE_STEP("write", name, path) \
        if (plan.power) { \
            pthread_mutex_lock(&lock); \
            remember(path, fd, at, size); \
            pthread_mutex_unlock(&lock); \
        } \
        DONE(real(fd, data, size, at)); \
    }
POSITIONED_WRITE(pwrite, off_t)
POSITIONED_WRITE(pwrite64, off64_t)

#define SYNC(call) \
    int call(int fd) { \
        REAL(call); \
        char path[256], name[24], full[40]; \
        if (!file_of(fd, path, sizeof path, name, sizeof name)) return real(fd); \
        snprintf(full, sizeof full, "%s.sync", name); \
        enum act act = step(full, last_part(path)); \
        if (act == FAIL) { \
            pthread_mutex_lock(&lock); \
            if (plan.drop) drop_unsynced(path); /* the kernel gives up on the pages: a later sync would prove nothing */ \
            if (plan.drop) forget(path); \
            pthread_mutex_unlock(&lock); \
            errno = plan.error; \
            return -1; \
        } \
        int done = real(fd); \
        if (plan.power && !done) { \
            pthread_mutex_lock(&lock); \
            forget(path); \
            pthread_mutex_unlock(&lock); \
        } \
        if (act == KILL_AFTER) die(); \
        return done; \
    }
SYNC(fsync)
SYNC(fdatasync)

#define TRUNCATE(call, offset) \
    int call(int fd, offset size) { \
        REAL(call); \
        char path[256], name[24]; \
        if (!file_of(fd, path, sizeof path, name, sizeof name)) return real(fd, size); \
        FILE_STEP("truncate", name, path) \
        struct stat was; \
        if (plan.power && !fstat(fd, &was) && was.st_size > size) { \
            pthread_mutex_lock(&lock); \
            remember(path, fd, size, (size_t)(was.st_size - size)); \
            pthread_mutex_unlock(&lock); \
        } \
        DONE(real(fd, size)); \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

int unlink(const char *path) {
    REAL(unlink);
    char name[24];
    if (!plan.armed || !our_file(path, name, sizeof name)) return real(path);
    FILE_STEP("unlink", name, path)
    DONE(real(path));
}

int rename(const char *from, const char *to) {
    REAL(rename);
    char name[24];
    if (!plan.armed || !our_file(to, name, sizeof name)) return real(from, to);
    FILE_STEP("rename", name, to)
    DONE(real(from, to));
}

#define OPEN(call) \
    int call(const char *path, int flags, ...) { \
        REAL(call); \
        char name[24]; \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        if (!plan.armed || !(flags & O_CREAT) || !lookup(plan.files, 0, path, name, sizeof name) || !access(path, F_OK)) \
            return real(path, flags, mode); \
        FILE_STEP("create", name, path) \
        DONE(real(path, flags, mode)); \
    }
OPEN(open)
OPEN(open64)

ssize_t send(int fd, const void *data, size_t size, int flags) {
    REAL(send);
    SOCKET_STEP(sending(data, size), fd)
    SENT(real(fd, data, size, flags), fd);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
    REAL(sendto);
    SOCKET_STEP("send", fd)
    SENT(real(fd, data, size, flags, to, length), fd);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    REAL(sendmsg);
    SOCKET_STEP("send", fd)
    SENT(real(fd, message, flags), fd);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    SOCKET_STEP("send", fd)
    SENT(real(fd, parts, count), fd);
}

int connect(int fd, const struct sockaddr *to, socklen_t length) {
    REAL(connect);
    char name[24], full[40];
    if (!plan.armed || !address_of(to, length, name, sizeof name)) return real(fd, to, length);
    snprintf(full, sizeof full, "%s.connect", name);
    enum act act = step(full, "");
    if (act == FAIL) {
        errno = plan.error;
        return -1;
    }
    DONE(real(fd, to, length));
}
