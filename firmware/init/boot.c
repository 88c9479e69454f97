/* boot.c - see boot.h. busybox does what has a command already. */
#include "firmware/init/boot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BUSYBOX "/bin/busybox"

static void complain(const char *what, const char *why)
{
	dprintf(STDERR_FILENO, "init: %s: %s\n", what, why);
}

int gn_boot_run(char *const words[])
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		execv(words[0], words);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define RUN(...) gn_boot_run((char *const[]){(char *)BUSYBOX, __VA_ARGS__, NULL})

/* ---- file systems ------------------------------------------------------------------------------
 */

static const struct {
	const char *type, *path, *options;
	unsigned long flags;
} mounts[] = {
        {"proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
        {"sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
        {"devtmpfs", "/dev", "mode=0755", MS_NOSUID},
        {"devpts", "/dev/pts", "mode=0620,ptmxmode=0666", MS_NOSUID | MS_NOEXEC},
        {"tmpfs", "/run", "mode=0755,size=64m", MS_NOSUID | MS_NODEV},
        {"tmpfs", "/tmp", "mode=1777,size=64m", MS_NOSUID | MS_NODEV},
        {"hugetlbfs", "/dev/hugepages", "mode=0700", MS_NOSUID | MS_NODEV},
        {"bpf", "/sys/fs/bpf", "mode=0700", MS_NOSUID | MS_NODEV | MS_NOEXEC},
};

static void mount_all(void)
{
	for (size_t i = 0; i < sizeof mounts / sizeof mounts[0]; i++) {
		mkdir(mounts[i].path, 0755);
		if (mount(mounts[i].type, mounts[i].path, mounts[i].type, mounts[i].flags,
		          mounts[i].options) &&
		    errno != EBUSY)
			complain(mounts[i].path, strerror(errno));
	}
	mkdir("/run/gnomon", 0755);
	/* DPDK loads its drivers only from folders that nobody else may write. */
	chmod("/", 0755);
}

/* ---- the kernel's command line
 * ------------------------------------------------------------------- */

static void take(const char *line, const char *key, char *out, size_t size)
{
	const char *at = strstr(line, key);

	if (at && (at == line || at[-1] == ' '))
		snprintf(out, size, "%.*s", (int)strcspn(at + strlen(key), " \n"),
		         at + strlen(key));
}

static void read_command_line(struct gn_boot *boot)
{
	char line[4096] = "";
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof line - 1);

	if (fd >= 0)
		close(fd);
	line[n < 0 ? 0 : n] = '\0';
	take(line, "gn.net=", boot->net, sizeof boot->net);
	take(line, "gn.data=", boot->data, sizeof boot->data);
	take(line, "gn.slot=", boot->slot, sizeof boot->slot);
	take(line, "gn.state=", boot->state, sizeof boot->state);
}

/* ---- modules, pages, network
 * ----------------------------------------------------------------------- */

/* Calls 'each' for the words of the file, comments apart. */
static void for_words(const char *path, void (*each)(char *word))
{
	FILE *file = fopen(path, "re");
	char line[512], *rest;

	while (file && fgets(line, sizeof line, file)) {
		line[strcspn(line, "#\n")] = '\0';
		for (char *word = strtok_r(line, " \t", &rest); word;
		     word = strtok_r(NULL, " \t", &rest))
			each(word);
	}
	if (file)
		fclose(file);
}

static void load_module(char *name)
{
	if (RUN((char *)"modprobe", name))
		complain(name, "the module cannot be loaded");
}

/* Writes a setting of the kernel. */
static void put(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		complain(path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void reserve_pages(char *number)
{
	put("/proc/sys/vm/nr_hugepages", number);
}

static void set_up_network(char *text)
{
	char *rest, *device = strtok_r(text, ",", &rest);
	char *address = strtok_r(NULL, ",", &rest), *gateway = strtok_r(NULL, ",", &rest);
	int failed;

	RUN((char *)"ip", (char *)"link", (char *)"set", (char *)"lo", (char *)"up");
	if (!device || !address)
		return;
	failed = RUN((char *)"ip", (char *)"link", (char *)"set", device, (char *)"up");
	if (!strcmp(address, "dhcp"))
		failed |= RUN((char *)"udhcpc", (char *)"-i", device, (char *)"-n", (char *)"-q");
	else
		failed |= RUN((char *)"ip", (char *)"address", (char *)"add", address,
		              (char *)"dev", device);
	if (gateway)
		failed |= RUN((char *)"ip", (char *)"route", (char *)"add", (char *)"default",
		              (char *)"via", gateway);
	if (failed)
		complain(device, "the management network is not up: check gn.net= on the kernel's "
		                 "command line");
}

/* The other interfaces are the dataplane's: up, since DPDK's drivers for them need that, and
 * without the kernel's IPv6, which would send packets of its own. */
static void set_up_ports(const char *management)
{
	struct dirent **entries;
	int n = scandir("/sys/class/net", &entries, NULL, alphasort);
	char path[300];

	for (int i = 0; i < n; i++) {
		char *name = entries[i]->d_name;

		if (name[0] != '.' && strcmp(name, "lo") && strcmp(name, management)) {
			snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/disable_ipv6",
			         name);
			put(path, "1");
			RUN((char *)"ip", (char *)"link", (char *)"set", name, (char *)"up");
		}
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}

/* ---- data
 * ------------------------------------------------------------------------------------------ */

/* "PARTNAME=gn-slot-a" and "DEVNAME=vda2" of a block device. */
static void link_partition(const char *device)
{
	char path[300], line[128], name[64] = "", node[64] = "", target[80];
	FILE *file;

	snprintf(path, sizeof path, "/sys/class/block/%s/uevent", device);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof line, file)) {
		sscanf(line, "PARTNAME=gn-%63s", name);
		sscanf(line, "DEVNAME=%63s", node);
	}
	if (file)
		fclose(file);
	if (!name[0] || !node[0] || strchr(name, '/'))
		return;
	snprintf(path, sizeof path, "/dev/gn/%s", name);
	snprintf(target, sizeof target, "../%s", node);
	if (symlink(target, path))
		complain(path, strerror(errno));
}

static void link_partitions(void)
{
	struct dirent **entries;
	int n = scandir("/sys/class/block", &entries, NULL, alphasort);

	mkdir("/dev/gn", 0755);
	for (int i = 0; i < n; i++) {
		if (entries[i]->d_name[0] != '.')
			link_partition(entries[i]->d_name);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}

/* The updater writes the boot loader's environment there. */
static void mount_esp(const struct gn_boot *boot)
{
	FILE *file;

	if (access("/dev/gn/esp", F_OK))
		return; /* started by a kernel and an initrd alone */
	if (mount("/dev/gn/esp", "/boot", "vfat", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME,
	          "umask=0077,codepage=437,iocharset=ascii")) {
		complain("/dev/gn/esp", strerror(errno));
		return;
	}
	file = fopen("/run/gnomon/slot", "we");
	if (file) {
		fprintf(file, "%s\n", boot->slot);
		fclose(file);
	}
}

static void find_data(struct gn_boot *boot)
{
	FILE *found;

	if (boot->data[0])
		return;
	if (!access("/dev/gn/data", F_OK)) {
		snprintf(boot->data, sizeof boot->data, "/dev/gn/data");
		return;
	}
	found = popen(BUSYBOX " findfs LABEL=gn-data 2>/dev/null", "re");
	if (found && fgets(boot->data, sizeof boot->data, found))
		boot->data[strcspn(boot->data, "\n")] = '\0';
	if (found)
		pclose(found);
}

static void mount_data(struct gn_boot *boot)
{
	static const char *const parts[] = {"/data/state", "/data/identity", "/data/crash",
	                                    "/data/volumes"};

	mkdir("/data", 0755);
	find_data(boot);
	boot->has_data =
	        boot->data[0] && !mount(boot->data, "/data", "ext4",
	                                MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME, NULL);
	if (!boot->has_data) {
		complain(boot->data[0] ? boot->data : "no partition is labelled gn-data",
		         "the card keeps nothing over its next boot");
		mount("tmpfs", "/data", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		      "mode=0755,size=128m");
	}
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		mkdir(parts[i], i == 1 ? 0700 : 0755);
}

/* What this site says instead of the image's configuration; / is in RAM. */
static void take_site_files(void)
{
	if (!access("/data/config", F_OK) &&
	    RUN((char *)"cp", (char *)"-R", (char *)"/data/config/.", (char *)"/etc/gnomon/"))
		complain("/data/config",
		         "cannot be copied to /etc/gnomon: the image's files are used");
}

void gn_boot(struct gn_boot *boot)
{
	memset(boot, 0, sizeof *boot);
	mount_all();
	read_command_line(boot);
	for_words("/etc/gnomon/modules", load_module);
	for_words("/etc/gnomon/hugepages", reserve_pages);
	set_up_network(boot->net);
	set_up_ports(boot->net); /* only the interface's name is left there */
	link_partitions();
	mount_esp(boot);
	mount_data(boot);
	take_site_files();
}
