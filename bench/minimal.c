/*
 * minimal: the floor.
 *
 * The box of whalebox's chapters 0 to 9, as root makes it by default, and
 * the system calls that box needs: no option, no message, no check that
 * could fix anything. A step that fails ends the program with status 125.
 * What whalebox costs beyond this is what its checks, its words and its
 * choices cost. With -DWITH_LOCKS the box is locked as well, as chapter 10 has
 * it: that is the floor of all chapters.
 *
 *     minimal ROOTFS SCRATCH COMMAND [ARG...]
 *
 * ROOTFS and SCRATCH are absolute paths; SCRATCH must not exist yet, and is
 * gone again afterwards. The exit status is the command's, or 128+N when
 * signal N ended it. Start reading at main().
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	NEW_NAMESPACES = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID |
			 CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET,
};

static const char name[] = "whalebox-min";
static const char id_map[] = "0 100000 65536\n";

/* The one idiom: every step that must work is wrapped in this. */
static int must(long result)
{
	if (result < 0)
		_exit(125);
	return (int)result;
}

/* Paths are short; one that does not fit is a failed step. */
struct path { char text[4096]; };

static struct path join(const char *a, const char *b, const char *c)
{
	struct path p;
	int n = snprintf(p.text, sizeof p.text, "%s%s%s", a, b, c);

	must(n < (int)sizeof p.text ? 0 : -1);
	return p;
}

static void write_file(const char *path, const char *text)
{
	int fd = must(open(path, O_WRONLY | O_CREAT, 0644));

	must(write(fd, text, strlen(text)));
	close(fd);
}

/*
 * Remove the folder WHAT and all below it; no link is followed. An empty
 * folder is gone at the first call, and most of ours are empty.
 */
static void remove_tree(int at, const char *what)
{
	struct dirent *entry;
	DIR *dir;

	if (unlinkat(at, what, AT_REMOVEDIR) == 0)
		return;
	dir = fdopendir(must(openat(at, what,
				    O_RDONLY | O_DIRECTORY | O_NOFOLLOW)));
	if (!dir)
		_exit(125);
	while ((entry = readdir(dir))) {
		const char *below = entry->d_name;

		if (entry->d_type != DT_DIR)
			must(unlinkat(dirfd(dir), below, 0));
		else if (strcmp(below, ".") && strcmp(below, ".."))
			remove_tree(dirfd(dir), below);
	}
	closedir(dir);
	must(unlinkat(at, what, AT_REMOVEDIR));
}

/* ========================================================================
 * Parent: what is there before the child
 * ======================================================================== */

/* The folder of one box, with what it will write, made and entered. */
static void make_scratch(const char *scratch)
{
	must(mkdir(scratch, 0755));
	must(chdir(scratch));
	must(mkdir("upper", 0755));
	must(mkdir("work", 0755));
}

/* A cgroup of its own where the machine has cgroup v2, else an empty path. */
static struct path make_cgroup(void)
{
	static const char *const places[] = {
		"/sys/fs/cgroup", "/sys/fs/cgroup/unified",
	};
	struct path group = { "" };
	struct statfs fs;

	for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
		if (statfs(places[i], &fs) || fs.f_type != CGROUP2_SUPER_MAGIC)
			continue;
		group = join(places[i], "/", name);
		must(mkdir(group.text, 0755) && errno != EEXIST ? -1 : 0);
		snprintf(group.text, sizeof group.text, "%s/%s/%d",
			 places[i], name, getpid());
		must(mkdir(group.text, 0755));
		break;
	}
	return group;
}

static int open_layer(const char *path)
{
	return must(syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE));
}

/*
 * Parent: the ids of the child, and the layers shown through them. A clone
 * of a shared mount is shared as well: unless it is made private, what the
 * child mounts on the layers appears on the host.
 */
static void map_ids(pid_t pid, int rootfs, int scratch)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_IDMAP, .propagation = MS_PRIVATE,
	};
	char proc[32];
	int userns;

	snprintf(proc, sizeof proc, "/proc/%d", pid);
	write_file(join(proc, "/", "uid_map").text, id_map);
	write_file(join(proc, "/", "gid_map").text, id_map);
	userns = must(open(join(proc, "/", "ns/user").text, O_RDONLY));
	attr.userns_fd = (uint64_t)userns;
	must(syscall(SYS_mount_setattr, rootfs, "", AT_EMPTY_PATH,
		     &attr, sizeof attr));
	must(syscall(SYS_mount_setattr, scratch, "", AT_EMPTY_PATH,
		     &attr, sizeof attr));
	close(userns);
}

/* ========================================================================
 * Child: in the new namespaces, all-powerful there, nobody outside
 * ======================================================================== */

static void loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = must(socket(AF_INET, SOCK_DGRAM, 0));

	must(ioctl(fd, SIOCSIFFLAGS, &request));
	close(fd);
}

/* All may listen on any port, and ping. */
static void open_stack(void)
{
	write_file("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
	write_file("/proc/sys/net/ipv4/ping_group_range", "0 65535");
}

/*
 * A small tmpfs in which the layers meet: the box's own files, the rootfs, and
 * the box's folder. Over them the overlay. Ends in the new root.
 */
static void mount_layers(int rootfs, int scratch)
{
	char resolv[16384];
	int fd = must(open("/etc/resolv.conf", O_RDONLY));

	resolv[must(read(fd, resolv, sizeof resolv - 1))] = '\0';
	close(fd);
	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	must(mount("tmpfs", "/tmp", "tmpfs", 0, NULL));
	must(chdir("/tmp"));
	must(mkdir("init", 0755));
	must(mkdir("lower", 0755));
	must(mkdir("box", 0755));
	must(mkdir("merged", 0755));
	must(mkdir("init/etc", 0755));
	write_file("init/etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost\n"
		   "127.0.1.1\twhalebox-min\n");
	write_file("init/etc/hostname", "whalebox-min\n");
	write_file("init/etc/resolv.conf", resolv);
	must(syscall(SYS_move_mount, rootfs, "", AT_FDCWD, "lower",
		     MOVE_MOUNT_F_EMPTY_PATH));
	must(syscall(SYS_move_mount, scratch, "", AT_FDCWD, "box",
		     MOVE_MOUNT_F_EMPTY_PATH));
	must(mount("overlay", "merged", "overlay", MS_NODEV,
		   "lowerdir=init:lower,upperdir=box/upper,workdir=box/work,"
		   "userxattr,volatile"));
	must(chdir("merged"));
}

static void mount_dev(void)
{
	static const char *const nodes[] = {
		"null", "zero", "full", "random", "urandom", "tty",
	};

	must(mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755,size=64k"));
	for (unsigned i = 0; i < sizeof nodes / sizeof *nodes; i++) {
		struct path node = join("dev", "/", nodes[i]);

		must(mknod(node.text, S_IFREG | 0666, 0));
		must(mount(join("/dev", "/", nodes[i]).text, node.text, NULL,
			   MS_BIND, NULL));
	}
	must(mkdir("dev/pts", 0755));
	must(mkdir("dev/shm", 01777));
	must(mkdir("dev/mqueue", 0755));
	must(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		   "newinstance,ptmxmode=0666,mode=0620"));
	must(mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		   "mode=1777,size=64m"));
	must(mount("mqueue", "dev/mqueue", "mqueue",
		   MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
	must(symlink("pts/ptmx", "dev/ptmx"));
	must(symlink("/proc/self/fd", "dev/fd"));
	must(symlink("/proc/self/fd/0", "dev/stdin"));
	must(symlink("/proc/self/fd/1", "dev/stdout"));
	must(symlink("/proc/self/fd/2", "dev/stderr"));
}

static void mount_kernel_views(int has_cgroup)
{
	enum { SAFE = MS_NOSUID | MS_NODEV | MS_NOEXEC };

	must(mount("proc", "proc", "proc", SAFE, NULL));
	must(mount("sysfs", "sys", "sysfs", SAFE | MS_RDONLY, NULL));
	if (has_cgroup)
		must(mount("cgroup2", "sys/fs/cgroup", "cgroup2",
			   SAFE | MS_RDONLY, NULL));
}

/* The old root ends up mounted over the new one; let go of it. */
static void change_root(void)
{
	must(syscall(SYS_pivot_root, ".", "."));
	must(umount2(".", MNT_DETACH));
	must(chdir("/"));
}

#ifdef WITH_LOCKS
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

/* The filter is whalebox's own, to the letter. */
#define step(chapter, call, shell) ((void)0)
#define require(holds, error) must((holds) ? 0 : -1)
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#include "filter.h"

/* What is there is covered: no call but the mount, be it in vain. */
static void cover_paths(void)
{
	static const char *const files[] = {
		"/proc/interrupts", "/proc/kcore", "/proc/keys",
		"/proc/latency_stats", "/proc/sched_debug", "/proc/timer_list",
		"/proc/timer_stats",
	};
	static const char *const folders[] = {
		"/proc/scsi", "/proc/asound", "/sys/firmware",
		"/sys/devices/virtual/powercap",
		"/sys/devices/system/cpu/cpu0/thermal_throttle",
	};
	static const char *const read_only[] = {
		"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
		"/proc/sysrq-trigger",
	};
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	for (unsigned i = 0; i < LENGTH(files); i++)
		mount("/dev/null", files[i], NULL, MS_BIND, NULL);
	must(mount("tmpfs", "/proc/acpi", "tmpfs", MS_NOSUID | MS_NODEV |
		   MS_NOEXEC | MS_RDONLY, NULL));
	for (unsigned i = 0; i < LENGTH(folders); i++)
		mount("/proc/acpi", folders[i], NULL, MS_BIND, NULL);
	for (unsigned i = 0; i < LENGTH(read_only); i++)
		if (mount(read_only[i], read_only[i], NULL, MS_BIND | MS_REC,
			  NULL) == 0)
			must(syscall(SYS_mount_setattr, AT_FDCWD, read_only[i],
				     AT_RECURSIVE, &attr, sizeof attr));
}

static void lock_box(void)
{
	static const unsigned long kept = 0xa80425fb;   /* all below 32 */
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct want[2] = { { 0 } };

	cover_paths();
	for (unsigned long cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (cap >= 32 || !((kept >> cap) & 1))
			must(prctl(PR_CAPBSET_DROP, cap));
	want[0].effective = want[0].permitted = kept;
	must(syscall(SYS_capset, &head, want));
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	filter_system_calls();
}
#endif

static void child(int ready, int rootfs, int scratch, int has_cgroup,
		  char **command)
{
	static char *const environment[] = {
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", NULL,
	};
	char byte;

	/* All but 0 to 2 ends at the execve, whoever opened it. */
	must(syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC));
	must(read(ready, &byte, 1) == 1 ? 0 : -1);
	must(setgroups(0, NULL));
	must(setresgid(0, 0, 0));
	must(setresuid(0, 0, 0));
	must(prctl(PR_SET_PDEATHSIG, SIGKILL));
	if (has_cgroup)
		must(unshare(CLONE_NEWCGROUP));
	must(sethostname(name, sizeof name - 1));
	loopback_up();
	open_stack();
	mount_layers(rootfs, scratch);
	mount_kernel_views(has_cgroup);
	mount_dev();
	change_root();
#ifdef WITH_LOCKS
	lock_box();
#endif
	execve(command[0], command, environment);
	_exit(errno == ENOENT ? 127 : 126);
}

/* Parent: wait for the command; 128+N when signal N ended it. */
static int wait_for(int pidfd)
{
	siginfo_t info;

	must(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED));
	return info.si_status + (info.si_code == CLD_EXITED ? 0 : 128);
}

int main(int argc, char **argv)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD | NEW_NAMESPACES, .exit_signal = SIGCHLD,
	};
	int ready[2], pidfd = -1, rootfs, scratch, status;
	struct path cgroup;
	pid_t pid;

	must(argc > 3 ? 0 : -1);
	make_scratch(argv[2]);
	cgroup = make_cgroup();
	if (*cgroup.text) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)must(open(cgroup.text,
						  O_PATH | O_DIRECTORY));
	}
	rootfs = open_layer(argv[1]);
	scratch = open_layer(".");
	must(pipe(ready));
	args.pidfd = (uintptr_t)&pidfd;
	pid = must(syscall(SYS_clone3, &args, sizeof args));
	if (pid == 0) {
		close(ready[1]);
		child(ready[0], rootfs, scratch, *cgroup.text != 0, argv + 3);
	}
	close(ready[0]);
	map_ids(pid, rootfs, scratch);
	must(write(ready[1], "", 1));
	status = wait_for(pidfd);
	if (*cgroup.text)
		must(rmdir(cgroup.text));
	remove_tree(AT_FDCWD, argv[2]);
	return status;
}
