/*
 * Process 1 of a guest for ci/test-boot: says what suites/src/init.rs would say of a run that goes wrong in the way that
 * the arguments name, so that the host's half of the protocol is tested without a kernel that is broken in that way.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

static void tell(int host, const char *line)
{
	if (write(host, line, strlen(line)) < 0 || write(host, "\n", 1) < 0)
		perror("ttyS1");
	tcdrain(host);
}

int main(void)
{
	char arguments[4096] = "";
	struct termios settings;
	int host, file;

	/* On the host, where a report is asked of it. */
	if (getpid() != 1)
		return 0;
	mkdir("/dev", 0755);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	file = open("/uffd-conformance.args", O_RDONLY);
	if (file < 0 || read(file, arguments, sizeof(arguments) - 1) < 0)
		perror("arguments");
	host = open("/dev/ttyS1", O_RDWR);
	tcgetattr(host, &settings);
	cfmakeraw(&settings);
	tcsetattr(host, TCSANOW, &settings);
	tell(host, "{\"type\":\"boot\",\"release\":\"stub\"}");
	if (strstr(arguments, "no-userfaultfd")) {
		tell(host, "\n{\"type\":\"exit\",\"status\":2,\"reason\":\"this kernel has no userfaultfd: build it with CONFIG_USERFAULTFD=y\"}");
	} else if (strstr(arguments, "hang") && !strstr(arguments, "--resume")) {
		tell(host, "{\"type\":\"run\"}\n{\"type\":\"start\",\"case\":\"stub::hangs\"}");
		pause();
	} else if (strstr(arguments, "hang")) {
		tell(host, "{\"type\":\"run\"}\n{\"type\":\"case\",\"case\":\"stub::hangs\",\"verdict\":\"error\"}\n{\"type\":\"end\",\"pass\":0,\"fail\":0,\"error\":1}\n\n{\"type\":\"exit\",\"status\":3,\"reason\":\"\"}");
	} else if (strstr(arguments, "int3") && !strstr(arguments, "--resume")) {
		tell(host, "{\"type\":\"run\"}\n{\"type\":\"start\",\"case\":\"stub::runs\"}");
		file = open("/dev/ttyS0", O_WRONLY);
		tell(file, "[    1.000000] Oops: int3: 0000 [#1] SMP NOPTI\n[    1.000001] Kernel panic - not syncing: Fatal exception");
	} else if (strstr(arguments, "int3")) {
		tell(host, "{\"type\":\"start\",\"case\":\"stub::runs\"}\n{\"type\":\"case\",\"case\":\"stub::runs\",\"verdict\":\"pass\"}\n{\"type\":\"end\",\"pass\":1,\"fail\":0,\"error\":0}\n\n{\"type\":\"exit\",\"status\":0,\"reason\":\"\"}");
	} else {
		tell(host, "{\"type\":\"run\",\"features\":1}\n{\"type\":\"start\",\"case\":\"stub::fails\"}\n{\"type\":\"case\",\"case\":\"stub::fails\",\"verdict\":\"fail\"}\n{\"type\":\"end\",\"pass\":0,\"fail\":1,\"error\":0}\n\n{\"type\":\"exit\",\"status\":1,\"reason\":\"\"}");
	}
	if (iopl(3) == 0)
		outw(0, 0x501);
	reboot(RB_POWER_OFF);
	return 0;
}
