// SPDX-License-Identifier: Apache-2.0
/*
 * exit_kinds KIND [ARGUMENT...]: ends in one of the ways that a process can end.
 *
 * The table at the end says which there are. Whoever started it learns the wait status by waiting; of processes that
 * it makes itself, it prints the wait statuses, one a line.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char **arguments;

static int number(const char *text)
{
	return text ? atoi(text) : 0;
}

static void start_thread(void *(*function)(void *), void *argument)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, function, argument);

	if (error)
		errx(1, "pthread_create: %s", strerror(error));
}

static void *sleep_for_ever(void *unused)
{
	for (;;)
		pause();
	return unused;
}

/* exit CODE */
static void exits(void)
{
	exit(number(arguments[0]));
}

static void limit_core(rlim_t bytes)
{
	struct rlimit limit = {bytes, RLIM_INFINITY};

	if (setrlimit(RLIMIT_CORE, &limit)) {
		limit.rlim_max = bytes;
		setrlimit(RLIMIT_CORE, &limit);
	}
}

/* Ends this process by a signal, also one that the shell of a background job has it ignore. */
static void end_by_signal(int number)
{
	signal(number, SIG_DFL);
	kill(getpid(), number);
	pause();
}

/* signal NUMBER: kills itself, with no core allowed */
static void signals(void)
{
	limit_core(0);
	end_by_signal(number(arguments[0]));
}

/* core NUMBER: kills itself, with core allowed; whether one is written is the machine's affair */
static void dumps(void)
{
	limit_core(RLIM_INFINITY);
	end_by_signal(number(arguments[0]));
}

/* segv: runs into a bad address, with no core allowed */
static void segv(void)
{
	static volatile int *volatile bad;

	limit_core(0);
	*bad = 0;
}

static void aborts(void)
{
	limit_core(0);
	abort();
}

static void wait_for_leader_to_end(void)
{
	char path[64], state = 0;
	FILE *stat;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", getpid());
	do {
		stat = fopen(path, "r");
		if (!stat || fscanf(stat, "%*d %*s %c", &state) != 1)
			errx(1, "cannot read %s", path);
		fclose(stat);
	} while (state != 'Z');
}

static void *outlive_leader(void *unused)
{
	const char *how = arguments[0];
	int argument = number(arguments[1]);

	wait_for_leader_to_end();
	if (arguments[1] && arguments[2])
		usleep(number(arguments[2]) * 1000);
	if (!strcmp(how, "exit"))
		exit(argument);
	if (!strcmp(how, "exit_group"))
		syscall(SYS_exit_group, argument);
	if (!strcmp(how, "thread_exit"))
		syscall(SYS_exit, argument);
	if (!strcmp(how, "signal")) {
		limit_core(0);
		end_by_signal(argument);
	}
	return unused; /* how is "return" */
}

/* leader_first exit|exit_group|thread_exit|signal|return [NUMBER [MILLISECONDS]]: a thread outlives the leader */
static void leader_first(void)
{
	start_thread(outlive_leader, NULL);
	pthread_exit(NULL);
}

/* leader_exits CODE HOW NUMBER: the same, but the leader's own last word is CODE */
static void leader_exits(void)
{
	int code = number(arguments[0]);

	arguments++;
	start_thread(outlive_leader, NULL);
	syscall(SYS_exit, code);
}

static void *exit_from_thread(void *unused)
{
	exit(number(arguments[0]));
	return unused;
}

/* group_exit CODE: a thread ends the process while others sleep */
static void group_exit(void)
{
	int i;

	for (i = 0; i < 5; i++)
		start_thread(sleep_for_ever, NULL);
	start_thread(exit_from_thread, NULL);
	sleep_for_ever(NULL);
}

/* signal_threads NUMBER: is killed while it has several threads */
static void signal_threads(void)
{
	int i;

	for (i = 0; i < 5; i++)
		start_thread(sleep_for_ever, NULL);
	signals();
}

static atomic_int missing;

static void *exit_together(void *unused)
{
	atomic_fetch_sub(&missing, 1);
	while (atomic_load(&missing)) /* nearer to the same instant than a barrier that sleeps */
		sched_yield();
	syscall(SYS_exit, number(arguments[1]));
	return unused;
}

/* all_at_once THREADS CODE: all threads end at the same instant, none of them the whole process */
static void all_at_once(void)
{
	int threads = number(arguments[0]), i;

	atomic_store(&missing, threads);
	for (i = 1; i < threads; i++)
		start_thread(exit_together, NULL);
	exit_together(NULL);
}

static void *do_nothing(void *unused)
{
	return unused;
}

/* threads N: makes N threads, one after the other, and no process */
static void threads(void)
{
	pthread_t thread;
	int n;

	for (n = number(arguments[0]); n; n--)
		if (pthread_create(&thread, NULL, do_nothing, NULL) || pthread_join(thread, NULL))
			errx(1, "cannot make a thread");
}

/* exec PROGRAM [ARGUMENT...] */
static void execs(void)
{
	execv(arguments[0], arguments);
	err(1, "execv %s", arguments[0]);
}

static void *exec_in_thread(void *unused)
{
	execs();
	return unused;
}

/* thread_exec PROGRAM [ARGUMENT...]: another thread than the leader execs */
static void thread_exec(void)
{
	start_thread(exec_in_thread, NULL);
	sleep_for_ever(NULL);
}

/* execveat FOLDER NAME [ARGUMENT...] */
static void execs_at(void)
{
	int folder = open(arguments[0], O_PATH | O_DIRECTORY);
	char *environment[] = {NULL};

	syscall(SYS_execveat, folder, arguments[1], arguments + 1, environment, 0);
	err(1, "execveat %s", arguments[1]);
}

static void reap(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		err(1, "cannot have a child");
	printf("%d\n", status);
}

/* fork CODE: a child that never execs exits with CODE */
static void forks(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(number(arguments[0]));
	reap(pid);
}

/* vfork CODE: likewise */
static void vforks(void)
{
	pid_t pid = vfork();

	if (pid == 0)
		_exit(number(arguments[0]));
	reap(pid);
}

static void must_fail(const char *path, int error)
{
	char *argv[] = {(char *)path, NULL};

	if (execve(path, argv, argv + 1) != -1 || errno != error)
		err(1, "execve %s: expected %s", path, strerror(error));
}

/* failed_exec: three execs that fail, with files that it makes in the current directory */
static void failed_exec(void)
{
	/* Not for writing: other copies of this program may exec them at the same time (ETXTBSY). */
	close(open("forbidden", O_CREAT | O_RDONLY, 0600));
	close(open("empty", O_CREAT | O_RDONLY, 0700));
	must_fail("absent", ENOENT);
	must_fail("forbidden", EACCES);
	must_fail("empty", ENOEXEC);
}

static const struct {
	const char *name;
	void (*end)(void);
} kinds[] = {
	{"exit", exits},
	{"signal", signals},
	{"core", dumps},
	{"segv", segv},
	{"abort", aborts},
	{"leader_first", leader_first},
	{"leader_exits", leader_exits},
	{"group_exit", group_exit},
	{"signal_threads", signal_threads},
	{"all_at_once", all_at_once},
	{"threads", threads},
	{"exec", execs},
	{"thread_exec", thread_exec},
	{"execveat", execs_at},
	{"fork", forks},
	{"vfork", vforks},
	{"failed_exec", failed_exec},
};

int main(int argc, char **argv)
{
	unsigned long i;

	for (i = 0; argc > 1 && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(argv[1], kinds[i].name)) {
			arguments = argv + 2;
			kinds[i].end();
			return 0;
		}
	errx(2, "usage: exit_kinds KIND [ARGUMENT...], see the source for the kinds");
}
