/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every file may use: cleanup by scope, error sentences, bounded text and file reading.
 *
 * Nothing here knows of disks, layers or FUSE. Functions return 0 or a count, or a negative errno.
 */
#ifndef REVERTFS_BASE_UTIL_H
#define REVERTFS_BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define CLEANUP(function) __attribute__((cleanup(function)))
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* Room for an RFC 3339 time in UTC: "2026-11-20T17:57:49Z". */
#define TIME_TEXT_SIZE 32

/* For CLEANUP(): NULL and -1 are fine. close_fdp() keeps errno, and leaves -1 behind. */
void freep(void *pointer);
void close_fdp(int *fd);

/* Take the value out of a variable that CLEANUP() watches; the caller owns it from here. */
int steal_fd(int *fd);
void *steal_pointer(void *pointer);

/*
 * One sentence for the administrator: what failed, on what, what was done instead, what to do.
 * It is written once, by the layer that knows the human names, and travels up with the errno.
 */
struct sentence {
	char text[640];
};

/*
 * Fill the sentence (NULL: the caller wants none) and return `error`, so that a failing call ends
 * in one line. Whatever it quotes, the sentence is one line of valid UTF-8: other bytes become '?'.
 */
int report(struct sentence *sentence, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* As report(), but put the words in front of the sentence that an inner call has left there. */
int report_context(struct sentence *sentence, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* clang's analyzer does not look into report(), and has to be told that it returns `error`. */
#ifdef __clang_analyzer__
#define report(sentence, error, ...) ((void)(report)(sentence, error, __VA_ARGS__), (error))
#define report_context(sentence, error, ...) ((void)(report_context)(sentence, error, __VA_ARGS__), (error))
#endif

/* "Device or resource busy" for -EBUSY; a static text, never NULL. */
const char *error_text(int error);

/* "EBUSY" for -EBUSY; "EIO" for a number without a name. */
const char *error_name(int error);

/* Allocate a formatted string; NULL when out of memory. */
char *format_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* RFC 3339, UTC, whole seconds. */
void time_text(time_t when, char text[TIME_TEXT_SIZE]);

/* Milliseconds of the monotonic clock, for deadlines. */
uint64_t monotonic_ms(void);

/*
 * Read a decimal number; a suffix K, M, G or T multiplies it by a power of 1024. 0, or
 * -EINVAL for a sign, blanks or a number beyond 64 bits.
 */
int parse_size(const char *text, uint64_t *ret_size);

/* A size for people: at most four characters, "812B", "1.3M", "20G". */
#define SIZE_TEXT_SIZE 16
void size_text(uint64_t bytes, char text[SIZE_TEXT_SIZE]);

/*
 * FNV-1a, 64 bits, of the text's bytes. The kernel keeps positions in directories that are made of
 * this number, also while the daemon is replaced: it must never change.
 */
uint64_t text_hash(const char *text);

/* Whether the text is valid UTF-8 and free of control characters (C0, DEL). */
bool text_is_clean(const char *text);

/*
 * A name relative to a directory that stays beneath it: no empty, "." or ".." component, no control
 * character, valid UTF-8, shorter than PATH_MAX. 0, -EINVAL or -ENAMETOOLONG.
 */
int check_relative_name(const char *name);

/*
 * Whether `path` is `directory` itself or lies beneath it, compared as text, component by
 * component.
 */
bool path_is_beneath(const char *path, const char *directory);

/*
 * Read a file of at most `limit` bytes, from its position to its end. The text ends in a NUL; the
 * caller frees it. -EFBIG when the file is larger. `ret_length` may be NULL.
 */
int read_all(int fd, size_t limit, char **ret_text, size_t *ret_length);

/* Write or read all of it; a short file is -EIO for pread_all(). */
int write_all(int fd, const void *data, size_t length);
int pwrite_all(int fd, const void *data, size_t length, off_t offset);
int pread_all(int fd, void *data, size_t length, off_t offset);

#endif
