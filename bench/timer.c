/*
 * timer: run a command many times, and tell how long each run took, or what
 * the runs left behind.
 *
 *     timer time RUNS COMMAND [ARG...]
 *         Prints the wall time of each run in microseconds, a line each.
 *     timer cpu RUNS COMMAND [ARG...]
 *         The same with the time that each run and the processes it waited for
 *         had a CPU.
 *     timer leave RUNS WITHIN COMMAND [ARG...]
 *         Kills each run with SIGKILL at a random moment in its first WITHIN
 *         microseconds (0: lets each run end by itself). Prints how many
 *         process trees outlived their run, and ends those.
 *
 * COMMAND is a path. Its standard output goes where standard error goes. A
 * run that ends otherwise than it should (exit status 0, or the SIGKILL sent)
 * ends the timer with status 1: a run that failed is no measurement.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static long microseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000L + now.tv_nsec / 1000;
}

static void pause_for(long us)
{
	struct timespec span = { us / 1000000, us % 1000000 * 1000 };

	nanosleep(&span, NULL);
}

/* posix_spawn shares memory until the exec: the timer's size costs nothing. */
static pid_t start(char **command)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;

	if (posix_spawn_file_actions_init(&actions) ||
	    posix_spawn_file_actions_adddup2(&actions, 2, 1) ||
	    posix_spawn(&pid, *command, &actions, NULL, command, environ))
		die(command[0]);
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

/* Wait for pid, which has to end with this wait status. */
static void finish(pid_t pid, int wanted, const char *command)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	if (status == wanted)
		return;
	if (WIFEXITED(status))
		fprintf(stderr, "timer: %s: exit status %d\n", command,
			WEXITSTATUS(status));
	else
		fprintf(stderr, "timer: %s: ended by signal %d\n", command,
			WTERMSIG(status));
	exit(1);
}

static void time_runs(long runs, char **command)
{
	while (runs-- > 0) {
		long begin = microseconds();

		finish(start(command), 0, command[0]);
		printf("%ld\n", microseconds() - begin);
	}
}

/* CPU time of the children that have ended. */
static long busy(void)
{
	struct rusage used;

	if (getrusage(RUSAGE_CHILDREN, &used))
		die("getrusage");
	return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000L +
	       used.ru_utime.tv_usec + used.ru_stime.tv_usec;
}

static void time_cpu(long runs, char **command)
{
	while (runs-- > 0) {
		long before = busy();

		finish(start(command), 0, command[0]);
		printf("%ld\n", busy() - before);
	}
}

/* One process that was handed down to us, or 0 when there is none. */
static pid_t next_child(void)
{
	char path[64];
	FILE *file;
	int pid = 0;

	snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
	file = fopen(path, "re");
	if (!file)
		die(path);
	if (fscanf(file, "%d", &pid) != 1 && ferror(file))
		die(path);
	fclose(file);
	return pid;
}

/* As a subreaper we become the parent of whatever outlives its own. */
static int end_what_is_left(void)
{
	int left = 0;
	pid_t pid;

	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	for (; (pid = next_child()); left++) {
		kill(pid, SIGKILL);
		if (waitpid(pid, NULL, 0) != pid)
			die("waitpid");
	}
	return left;
}

static void leave_runs(long runs, long within, char **command)
{
	if (prctl(PR_SET_CHILD_SUBREAPER, 1))
		die("prctl");
	srand(1);    /* the same moments for every contender */
	while (runs-- > 0) {
		pid_t pid = start(command);

		if (within) {
			pause_for(rand() % within);
			kill(pid, SIGKILL);
		}
		finish(pid, within ? SIGKILL : 0, command[0]);
	}
	pause_for(500000);    /* time enough to notice the death of a parent */
	printf("%d\n", end_what_is_left());
}

int main(int argc, char **argv)
{
	if (argc > 3 && !strcmp(argv[1], "time"))
		time_runs(atol(argv[2]), argv + 3);
	else if (argc > 3 && !strcmp(argv[1], "cpu"))
		time_cpu(atol(argv[2]), argv + 3);
	else if (argc > 4 && !strcmp(argv[1], "leave"))
		leave_runs(atol(argv[2]), atol(argv[3]), argv + 4);
	else {
		fputs("usage: timer time|cpu RUNS COMMAND [ARG...]\n"
		      "       timer leave RUNS WITHIN COMMAND [ARG...]\n",
		      stderr);
		return 2;
	}
	return fflush(stdout) ? 1 : 0;
}
