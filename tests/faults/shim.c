/* Counts what processes change below one folder, and makes a chosen change fail, or kills them there.
 *
 * LD_PRELOAD puts it into every process of a run, so that what Python, SQLite, DuckDB and Polars write
 * counts alike. The processes share one page, which trials.py lays out: the counter, which change is
 * meant, what befalls it. A killed run dies as a whole: whoever changes something after the chosen
 * change dies before it, so that nothing more reaches the disk.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, KILL, NO_SPACE, BROKEN };                /* what befalls the chosen change */
enum { SHRINKS, GROWS, SYNCS };                        /* what kind of change it is */
enum { GOES_ON, FAILS, HALF_AND_DIES, HALF_AND_FAILS }; /* what its caller does */

enum { STEPS = 64 };

struct page {
  _Atomic long counts[STEPS]; /* of changes, in each step of the run */
  _Atomic long step;          /* the one that is at work */
  long chosen_step, chosen;   /* where, and which change there */
  long mode;
  long databases; /* whether changes inside databases count */
  _Atomic long fired;
  char root[1024];  /* what lies below it is watched */
  char label[1024]; /* what the chosen change was */
  char trace[1024]; /* a file that every change is noted in; empty: none */
};

static struct page *page;

#define CALL(name, ...)                                  \
  ({                                                     \
    static __typeof__(&name) real;                       \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name); \
    real(__VA_ARGS__);                                   \
  })

__attribute__((constructor)) static void start(void) {
  const char *path = getenv("FAULTS_PAGE");
  int file = path ? CALL(open, path, O_RDWR) : -1;
  if (file < 0) return;
  void *found = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (found != MAP_FAILED) page = found;
  close(file);
}

/* The path of a file below the watched folder, relative to it, or NULL. */
static const char *below(const char *path) {
  size_t n = strlen(page->root);
  return n && !strncmp(path, page->root, n) && path[n] == '/' ? path + n + 1 : NULL;
}

static const char *of_file(int file, char *buffer) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t n = readlink(link, buffer, PATH_MAX - 1);
  if (n < 0) return NULL;
  buffer[n] = 0;
  return below(buffer);
}

static const char *of_path(int folder, const char *path, char *buffer) {
  if (path[0] == '/') return below(path);
  if (folder == AT_FDCWD) {
    if (!getcwd(buffer, PATH_MAX)) return NULL;
  } else if (!of_file(folder, buffer) && strcmp(buffer, page->root)) {
    return NULL;
  }
  size_t n = strlen(buffer);
  snprintf(buffer + n, PATH_MAX - n, "/%s", path);
  return below(buffer);
}

static void note(const char *what, const char *path, int kind, long step, long number) {
  if (!page->trace[0]) return;
  int file = CALL(open, page->trace, O_WRONLY | O_APPEND | O_CREAT, 0644);
  char line[2 * PATH_MAX];
  int n = snprintf(line, sizeof line, "%ld %ld %d %s %s\n", step, number, kind, what, path);
  if (CALL(write, file, line, n) < 0) abort();
  close(file);
}

/* Whether a file is a database, or what SQLite and DuckDB keep beside one. */
static int is_database(const char *path) {
  static const char *const endings[] = {".db", ".db-wal", ".db-shm", ".db-journal", ".duckdb", ".duckdb.wal"};
  size_t n = strlen(path);
  for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
    size_t k = strlen(endings[i]);
    if (n > k && !strcmp(path + n - k, endings[i])) return 1;
  }
  return 0;
}

/* Count a change, and say what its caller is to do. */
static int change(const char *what, const char *path, int kind) {
  if (!path || (kind == SYNCS && page->mode == KILL)) return GOES_ON;
  if (page->mode == KILL && page->fired) kill(getpid(), SIGKILL);
  long step = page->step, number = 0;
  if (is_database(path) == page->databases) {
    number = ++page->counts[step];
    note(what, path, kind, step, number);
  }
  int hit = page->mode != COUNT && step == page->chosen_step && number == page->chosen;
  if (hit) {
    snprintf(page->label, sizeof page->label, "%s %s", what, path);
    page->fired = 1;
  }
  switch (page->mode) {
    case KILL: return hit ? HALF_AND_DIES : GOES_ON;
    case BROKEN: errno = EIO; return hit ? HALF_AND_FAILS : GOES_ON;
    case NO_SPACE: /* a full disk stays full */
      errno = ENOSPC;
      return page->fired && kind == GROWS ? (hit ? HALF_AND_FAILS : FAILS) : GOES_ON;
  }
  return GOES_ON;
}

/* A change that is done whole or not at all. */
static int refused(const char *what, const char *path, int kind) {
  if (!page) return 0;
  int then = change(what, path, kind);
  if (then == HALF_AND_DIES) kill(getpid(), SIGKILL);
  return then != GOES_ON;
}

#define ON_PATH(what, folder, path, kind, ...)                                             \
  do {                                                                                     \
    char buffer[PATH_MAX];                                                                 \
    if (page && refused(what, of_path(folder, path, buffer), kind)) return __VA_ARGS__ -1; \
  } while (0)
#define ON_FILE(what, file, kind)                                                  \
  do {                                                                             \
    char buffer[PATH_MAX];                                                         \
    if (page && refused(what, of_file(file, buffer), kind)) return -1;             \
  } while (0)

/* Bytes that go into a file, which may be cut. */
static int grows(int file, off_t at, size_t n) {
  struct stat found;
  if (fstat(file, &found)) return GROWS;
  int append = fcntl(file, F_GETFL) & O_APPEND;
  off_t from = at >= 0 ? at : append ? found.st_size : lseek(file, 0, SEEK_CUR);
  return from + (off_t)n > found.st_size ? GROWS : SHRINKS;
}

#define BYTES(file, at, n, half, whole)                                  \
  do {                                                                   \
    char buffer[PATH_MAX];                                               \
    const char *path = page && (n) ? of_file(file, buffer) : NULL;       \
    if (!path) return whole;                                             \
    int then = change("write", path, grows(file, at, n)); \
    int error = errno;                                                   \
    if (then == GOES_ON) return whole;                                   \
    ssize_t done = then == FAILS || (n) < 2 ? 0 : half;                  \
    if (then == HALF_AND_DIES) kill(getpid(), SIGKILL);                  \
    if (done > 0 && page->mode == NO_SPACE) return done;                 \
    errno = error;                                                       \
    return -1;                                                           \
  } while (0)

ssize_t write(int file, const void *bytes, size_t n) {
  BYTES(file, -1, n, CALL(write, file, bytes, n / 2), CALL(write, file, bytes, n));
}
ssize_t pwrite(int file, const void *bytes, size_t n, off_t at) {
  BYTES(file, at, n, CALL(pwrite, file, bytes, n / 2, at), CALL(pwrite, file, bytes, n, at));
}
ssize_t pwrite64(int file, const void *bytes, size_t n, off_t at) {
  BYTES(file, at, n, CALL(pwrite, file, bytes, n / 2, at), CALL(pwrite, file, bytes, n, at));
}
static size_t length(const struct iovec *parts, int n) {
  size_t all = 0;
  for (int i = 0; i < n; i++) all += parts[i].iov_len;
  return all;
}
ssize_t writev(int file, const struct iovec *parts, int n) {
  BYTES(file, -1, length(parts, n), CALL(write, file, parts[0].iov_base, parts[0].iov_len / 2),
        CALL(writev, file, parts, n));
}
ssize_t sendfile(int to, int from, off_t *at, size_t n) {
  BYTES(to, -1, n, 0, CALL(sendfile, to, from, at, n));
}
ssize_t sendfile64(int to, int from, off_t *at, size_t n) {
  BYTES(to, -1, n, 0, CALL(sendfile, to, from, at, n));
}
ssize_t copy_file_range(int from, off_t *a, int to, off_t *b, size_t n, unsigned flags) {
  BYTES(to, -1, n, 0, CALL(copy_file_range, from, a, to, b, n, flags));
}

/* Opening makes a file, or empties it. */
static int opens(int folder, const char *path, int flags) {
  char buffer[PATH_MAX];
  if (!page || !(flags & (O_CREAT | O_TRUNC))) return 0;
  const char *found = of_path(folder, path, buffer);
  if (!found) return 0;
  int there = !faccessat(folder, path, F_OK, 0);
  if (there && !(flags & O_TRUNC)) return 0;
  return refused(there ? "empty" : "create", found, there ? SHRINKS : GROWS);
}
#define OPEN(name)                                                       \
  int name(const char *path, int flags, ...) {                           \
    va_list more;                                                        \
    va_start(more, flags);                                               \
    mode_t mode = va_arg(more, mode_t);                                  \
    va_end(more);                                                        \
    return opens(AT_FDCWD, path, flags) ? -1 : CALL(open, path, flags, mode); \
  }
OPEN(open)
OPEN(open64)
#define OPENAT(name)                                                     \
  int name(int folder, const char *path, int flags, ...) {               \
    va_list more;                                                        \
    va_start(more, flags);                                               \
    mode_t mode = va_arg(more, mode_t);                                  \
    va_end(more);                                                        \
    return opens(folder, path, flags) ? -1 : CALL(openat, folder, path, flags, mode); \
  }
OPENAT(openat)
OPENAT(openat64)
static int flags_of(const char *mode) {
  return mode[0] == 'w' ? O_CREAT | O_TRUNC : mode[0] == 'a' ? O_CREAT : 0;
}
FILE *fopen(const char *path, const char *mode) {
  return opens(AT_FDCWD, path, flags_of(mode)) ? NULL : CALL(fopen, path, mode);
}
FILE *fopen64(const char *path, const char *mode) {
  return opens(AT_FDCWD, path, flags_of(mode)) ? NULL : CALL(fopen, path, mode);
}

int rename(const char *from, const char *to) {
  ON_PATH("rename", AT_FDCWD, to, GROWS);
  return CALL(rename, from, to);
}
int renameat(int a, const char *from, int b, const char *to) {
  ON_PATH("rename", b, to, GROWS);
  return CALL(renameat, a, from, b, to);
}
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
  ON_PATH("rename", b, to, GROWS);
  return CALL(renameat2, a, from, b, to, flags);
}
int link(const char *from, const char *to) {
  ON_PATH("link", AT_FDCWD, to, GROWS);
  return CALL(link, from, to);
}
int linkat(int a, const char *from, int b, const char *to, int flags) {
  ON_PATH("link", b, to, GROWS);
  return CALL(linkat, a, from, b, to, flags);
}
int symlink(const char *from, const char *to) {
  ON_PATH("symlink", AT_FDCWD, to, GROWS);
  return CALL(symlink, from, to);
}
int symlinkat(const char *from, int b, const char *to) {
  ON_PATH("symlink", b, to, GROWS);
  return CALL(symlinkat, from, b, to);
}
static int there(int folder, const char *path) { return !faccessat(folder, path, F_OK, AT_SYMLINK_NOFOLLOW); }
int unlink(const char *path) {
  if (there(AT_FDCWD, path)) ON_PATH("unlink", AT_FDCWD, path, SHRINKS);
  return CALL(unlink, path);
}
int remove(const char *path) {
  if (there(AT_FDCWD, path)) ON_PATH("unlink", AT_FDCWD, path, SHRINKS);
  return CALL(remove, path);
}
int unlinkat(int folder, const char *path, int flags) {
  if (there(folder, path)) ON_PATH("unlink", folder, path, SHRINKS);
  return CALL(unlinkat, folder, path, flags);
}
int rmdir(const char *path) {
  ON_PATH("rmdir", AT_FDCWD, path, SHRINKS);
  return CALL(rmdir, path);
}
static int makes(int folder, const char *path) {
  return !!faccessat(folder, path, F_OK, 0); /* else it is only asked for */
}
int mkdir(const char *path, mode_t mode) {
  if (makes(AT_FDCWD, path)) ON_PATH("mkdir", AT_FDCWD, path, GROWS);
  return CALL(mkdir, path, mode);
}
int mkdirat(int folder, const char *path, mode_t mode) {
  if (makes(folder, path)) ON_PATH("mkdir", folder, path, GROWS);
  return CALL(mkdirat, folder, path, mode);
}
int chmod(const char *path, mode_t mode) {
  ON_PATH("chmod", AT_FDCWD, path, SHRINKS);
  return CALL(chmod, path, mode);
}
int fchmod(int file, mode_t mode) {
  ON_FILE("chmod", file, SHRINKS);
  return CALL(fchmod, file, mode);
}
int fchmodat(int folder, const char *path, mode_t mode, int flags) {
  ON_PATH("chmod", folder, path, SHRINKS);
  return CALL(fchmodat, folder, path, mode, flags);
}
int truncate(const char *path, off_t n) {
  ON_PATH("truncate", AT_FDCWD, path, SHRINKS);
  return CALL(truncate, path, n);
}
int truncate64(const char *path, off_t n) {
  ON_PATH("truncate", AT_FDCWD, path, SHRINKS);
  return CALL(truncate, path, n);
}
int ftruncate(int file, off_t n) {
  ON_FILE("truncate", file, SHRINKS);
  return CALL(ftruncate, file, n);
}
int ftruncate64(int file, off_t n) {
  ON_FILE("truncate", file, SHRINKS);
  return CALL(ftruncate, file, n);
}
int posix_fallocate(int file, off_t at, off_t n) {
  char buffer[PATH_MAX];
  if (page && refused("fallocate", of_file(file, buffer), GROWS)) return errno;
  return CALL(posix_fallocate, file, at, n);
}
int posix_fallocate64(int file, off_t at, off_t n) {
  char buffer[PATH_MAX];
  if (page && refused("fallocate", of_file(file, buffer), GROWS)) return errno;
  return CALL(posix_fallocate, file, at, n);
}
int fallocate(int file, int mode, off_t at, off_t n) {
  ON_FILE("fallocate", file, GROWS);
  return CALL(fallocate, file, mode, at, n);
}
int fallocate64(int file, int mode, off_t at, off_t n) {
  ON_FILE("fallocate", file, GROWS);
  return CALL(fallocate, file, mode, at, n);
}
int fsync(int file) {
  ON_FILE("sync", file, SYNCS);
  return CALL(fsync, file);
}
int fdatasync(int file) {
  ON_FILE("sync", file, SYNCS);
  return CALL(fdatasync, file);
}
