// SPDX-License-Identifier: Apache-2.0
/*
 * fail_opens CALL ERRNO N: N calls of open, openat, openat2 or creat that all fail with ERRNO, in a tight loop.
 *
 * Makes the files that it needs in the current directory, which must be its own. Exits 1 at the first call that
 * ends otherwise.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOBODY 65534

/* Not following a link makes ELOOP as cheap as the others, and the loop as tight. */
#define FLAGS (O_RDONLY | O_NOFOLLOW)

static long call_openat(const char *path)
{
	return syscall(SYS_openat, AT_FDCWD, path, FLAGS);
}

static long call_openat2(const char *path)
{
	struct open_how how = {.flags = FLAGS};

	return syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
}

#ifdef SYS_open
static long call_open(const char *path)
{
	return syscall(SYS_open, path, FLAGS);
}

static long call_creat(const char *path)
{
	return syscall(SYS_creat, path, 0600);
}
#endif

static const struct {
	const char *name;
	long (*open)(const char *path);
} calls[] = {
	{"openat", call_openat},
	{"openat2", call_openat2},
#ifdef SYS_open
	{"open", call_open},
	{"creat", call_creat},
#endif
};

static void no_preparation(void)
{
}

static void become_nobody(void)
{
	mkdir("locked", 0);
	if (geteuid() == 0 &&
	    (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY)))
		err(1, "cannot become nobody");
}

static void make_file(void)
{
	fclose(fopen("file", "w"));
}

static void make_loop(void)
{
	symlink("loop", "loop");
}

static void use_up_descriptors(void)
{
	struct rlimit none = {0, 0};

	setrlimit(RLIMIT_NOFILE, &none);
}

static const struct {
	const char *name;
	int number;
	const char *path;
	void (*prepare)(void);
} errors[] = {
	{"ENOENT", ENOENT, "absent/file", no_preparation}, {"EACCES", EACCES, "locked/file", become_nobody},
	{"ENOTDIR", ENOTDIR, "file/file", make_file},	   {"ELOOP", ELOOP, "loop", make_loop},
	{"EMFILE", EMFILE, "any", use_up_descriptors},
};

#define EACH(i, array) (i = 0; i < sizeof(array) / sizeof(array[0]); i++)

int main(int argc, char **argv)
{
	unsigned long call, error, n;

	if (argc != 4)
		errx(2, "usage: fail_opens CALL ERRNO N");
	for
		EACH(call, calls)
	if (!strcmp(argv[1], calls[call].name))
		break;
	for
		EACH(error, errors)
	if (!strcmp(argv[2], errors[error].name))
		break;
	if (call == sizeof(calls) / sizeof(calls[0]) || error == sizeof(errors) / sizeof(errors[0]))
		errx(2, "no such call or errno: %s %s", argv[1], argv[2]);
	errors[error].prepare();
	for (n = strtoul(argv[3], NULL, 10); n; n--)
		if (calls[call].open(errors[error].path) != -1 || errno != errors[error].number)
			err(1, "%s: expected %s, %lu calls before the end", argv[1], argv[2], n);
	return 0;
}
