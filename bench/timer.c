/*
 * timer: run a command many times, and tell how long each run took, or what
 * the runs left behind.
 *
 *     timer time RUNS COMMAND [ARG...]
 *         Prints the wall time of each run in microseconds, a line each.
 *     timer cpu RUNS COMMAND [ARG...]
 *         The same with the time that each run and the processes it waited for
 *         had a CPU.
 *     timer race ROUNDS FILE...
 *         Each FILE has a command, a word a line. In each round each of them
 *         runs once, in random order. Prints a line a round: the wall times in
 *         microseconds, in the order of the FILEs.
 *     timer steps RUNS COMMAND [ARG...]
 *         Reads what COMMAND says on its standard error, as whalebox does with
 *         --explain. Prints for each line of a run, and for its end, when it
 *         came: microseconds since the start, a tab, and the line.
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
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
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

/* The same, with SAID as its standard error, and nothing as its output. */
static pid_t start_heard(char **command, int said)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;

	if (posix_spawn_file_actions_init(&actions) ||
	    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY,
					     0) ||
	    posix_spawn_file_actions_adddup2(&actions, said, 2) ||
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

/* The command that FILE has, a word a line. It is never freed. */
static char **read_command(const char *file)
{
	enum { MOST = 100 };
	char **command = calloc(MOST + 1, sizeof *command);
	FILE *from = fopen(file, "re");
	char *line = NULL;
	size_t room = 0;

	if (!command || !from)
		die(file);
	for (int i = 0; i < MOST && getline(&line, &room, from) > 0; i++) {
		line[strcspn(line, "\n")] = '\0';
		command[i] = strdup(line);
	}
	free(line);
	fclose(from);
	if (!command[0])
		die(file);
	return command;
}

/* 0 to count - 1 in random order. */
static void shuffle(int *order, int count)
{
	for (int i = 0; i < count; i++)
		order[i] = i;
	for (int i = count - 1; i > 0; i--) {
		int other = rand() % (i + 1);
		int kept = order[i];

		order[i] = order[other];
		order[other] = kept;
	}
}

static void race(long rounds, int count, char **files)
{
	enum { MOST = 50 };
	char **commands[MOST];
	long times[MOST] = { 0 };
	int order[MOST] = { 0 };

	if (count > MOST)
		die("race");
	for (int i = 0; i < count; i++)
		commands[i] = read_command(files[i]);
	srand((unsigned)microseconds());
	while (rounds-- > 0) {
		shuffle(order, count);
		for (int i = 0; i < count; i++) {
			char **command = commands[order[i]];
			long begin = microseconds();

			finish(start(command), 0, command[0]);
			times[order[i]] = microseconds() - begin;
		}
		for (int i = 0; i < count; i++)
			printf("%ld%c", times[i], i < count - 1 ? ' ' : '\n');
	}
}

/*
 * Two ends of a way on which the kernel notes when each message was sent, so
 * that nobody has to wake up to look at a clock: UDP on the loopback interface.
 */
static void open_stamped(int *from, int *to)
{
	struct sockaddr_in here = {
		.sin_family = AF_INET,
		.sin_addr = { htonl(INADDR_LOOPBACK) },
	};
	socklen_t size = sizeof here;
	int on = 1, room = 8 << 20;

	*from = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	*to = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (*from < 0 || *to < 0 ||
	    setsockopt(*from, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) ||
	    setsockopt(*from, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) ||
	    bind(*from, (struct sockaddr *)&here, size) ||
	    getsockname(*from, (struct sockaddr *)&here, &size) ||
	    connect(*to, (struct sockaddr *)&here, size))
		die("socket");
}

/* The next line that is there, and when it was sent; 0 if there is none. */
static int hear(int from, char *line, size_t size, struct timespec *when)
{
	_Alignas(struct cmsghdr) char control[256];
	struct iovec place = { line, size - 1 };
	struct msghdr message = {
		.msg_iov = &place, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof control,
	};
	ssize_t length = recvmsg(from, &message, MSG_DONTWAIT);
	struct cmsghdr *stamp = CMSG_FIRSTHDR(&message);

	if (length <= 0)
		return 0;
	if (!stamp)
		die("SO_TIMESTAMPNS");
	line[length] = '\0';
	memcpy(when, CMSG_DATA(stamp), sizeof *when);
	return 1;
}

static long between(const struct timespec *from, const struct timespec *to)
{
	return (to->tv_sec - from->tv_sec) * 1000000L +
	       (to->tv_nsec - from->tv_nsec) / 1000;
}

/* When each line was said, and the end. */
static void time_steps(long runs, char **command)
{
	struct timespec begin, when, end;
	char line[8192];
	int from, to;

	open_stamped(&from, &to);
	while (runs-- > 0) {
		clock_gettime(CLOCK_REALTIME, &begin);
		finish(start_heard(command, to), 0, command[0]);
		clock_gettime(CLOCK_REALTIME, &end);
		while (hear(from, line, sizeof line, &when))
			printf("%ld\t%s", between(&begin, &when), line);
		printf("%ld\tend\n", between(&begin, &end));
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
	else if (argc > 3 && !strcmp(argv[1], "race"))
		race(atol(argv[2]), argc - 3, argv + 3);
	else if (argc > 3 && !strcmp(argv[1], "steps"))
		time_steps(atol(argv[2]), argv + 3);
	else if (argc > 4 && !strcmp(argv[1], "leave"))
		leave_runs(atol(argv[2]), atol(argv[3]), argv + 4);
	else {
		fputs("usage: timer time|cpu|steps RUNS COMMAND [ARG...]\n"
		      "       timer race ROUNDS FILE...\n"
		      "       timer leave RUNS WITHIN COMMAND [ARG...]\n",
		      stderr);
		return 2;
	}
	return fflush(stdout) ? 1 : 0;
}
