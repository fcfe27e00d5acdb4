/* Preloaded into a process: a disk that fails, or one whose every write is written down.
 *
 * DISK_JOURNAL   file that takes each write, truncation and sync, in order, with what the process says on its standard
 *                output in between: lines "W <path> <offset> <length>" with the bytes after it, "T <path> <length>",
 *                "S <path>", "U <path>" for one that is removed, and "A <length>" with the bytes.
 * DISK_FAIL_SYNC file; while it exists every sync below DISK_BELOW is an input/output error.
 * DISK_BELOW     only what is below this directory counts.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *journal;

static int path_of(int fd, char *path, size_t size)
{
	char link[64];
	const char *below = getenv("DISK_BELOW");
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t length = readlink(link, path, size - 1);
	if (length < 0 || below == NULL)
		return 0;
	path[length] = 0;
	return strncmp(path, below, strlen(below)) == 0;
}

static void note(const char *line, const void *data, size_t length)
{
	const char *name = getenv("DISK_JOURNAL");
	if (name == NULL)
		return;
	pthread_mutex_lock(&lock);
	if (journal == NULL)
		journal = fopen(name, "ab");
	if (journal != NULL) {
		fputs(line, journal);
		fwrite(data, 1, length, journal);
		fflush(journal);
	}
	pthread_mutex_unlock(&lock);
}

static void note_write(int fd, const void *data, ssize_t length, off64_t offset)
{
	char path[1024], line[1200];
	if (length > 0 && path_of(fd, path, sizeof path)) {
		snprintf(line, sizeof line, "W %s %lld %lld\n", path, (long long)offset, (long long)length);
		note(line, data, (size_t)length);
	}
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset)
{
	ssize_t (*real)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");
	ssize_t done = real(fd, data, length, offset);
	note_write(fd, data, done, offset);
	return done;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset)
{
	return pwrite64(fd, data, length, offset);
}

ssize_t write(int fd, const void *data, size_t length)
{
	ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
	char line[64];
	if (fd == 1) {
		snprintf(line, sizeof line, "A %zu\n", length);
		note(line, data, length);
	}
	return real(fd, data, length);
}

int ftruncate64(int fd, off64_t length)
{
	int (*real)(int, off64_t) = dlsym(RTLD_NEXT, "ftruncate64");
	char path[1024], line[1200];
	int result = real(fd, length);
	if (result == 0 && path_of(fd, path, sizeof path)) {
		snprintf(line, sizeof line, "T %s %lld\n", path, (long long)length);
		note(line, "", 0);
	}
	return result;
}

int ftruncate(int fd, off_t length)
{
	return ftruncate64(fd, length);
}

int unlink(const char *path)
{
	int (*real)(const char *) = dlsym(RTLD_NEXT, "unlink");
	const char *below = getenv("DISK_BELOW");
	char line[1200];
	int result = real(path);
	if (result == 0 && below != NULL && strncmp(path, below, strlen(below)) == 0) {
		snprintf(line, sizeof line, "U %s\n", path);
		note(line, "", 0);
	}
	return result;
}

static int synced(int fd, const char *name)
{
	int (*real)(int) = dlsym(RTLD_NEXT, name);
	const char *fail = getenv("DISK_FAIL_SYNC");
	char path[1024], line[1200];
	int ours = path_of(fd, path, sizeof path);
	if (ours && fail != NULL && access(fail, F_OK) == 0) {
		errno = EIO;
		return -1;
	}
	int result = real(fd);
	if (ours && result == 0) {
		snprintf(line, sizeof line, "S %s\n", path);
		note(line, "", 0);
	}
	return result;
}

int fsync(int fd)
{
	return synced(fd, "fsync");
}

int fdatasync(int fd)
{
	return synced(fd, "fdatasync");
}
