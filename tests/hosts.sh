#!/bin/sh
# needs: compiler
# hosts.sh: whalebox on hosts that are of another kind from boot on, each a VM:
# what works there, and what fixes the rest.  tests/doctor.sh has other hosts.
. "$(dirname "$0")/lib.sh"
LIMIT=600

# host VARIABLE=VALUE COMMANDS: boots it, and runs them there.
host() {
	run env "$1" "$project/vm.sh" "exec 2>&1; $2"
}

# says WORDS HINT: the doctor in one line and the next one, and a run as well.
says() {
	want_line "chapter $1" && want_line "            hint: $2" &&
	want_line "whalebox: ${1#*: }" && want_line "  hint: $2"
}

v1='controllers are bound to cgroup v1 here, and limits need v2: run without limits, or boot with cgroup_no_v1=all and systemd.unified_cgroup_hierarchy=1'

it 'has no limits on a host with cgroups v1, and all else' '
	host VM_CGROUP=v1 "./whalebox doctor; echo \$?; ./whalebox /bin/echo box
	    ./whalebox -m 64m /bin/echo limited" &&
	want_status 125 && want_line 1 && want_line box && want_no_line limited &&
	says " 7: chapter 7: find cgroup v2: No such device" "$v1" &&
	want_line "chapter  6: works" && want_line "chapter 10: works"
'

# v2 is mounted there, without the controllers.
it 'has no limits on a hybrid host, and all else; and wants user namespaces' '
	host VM_CGROUP=hybrid "./whalebox doctor; echo \$?; ./whalebox /bin/echo box
	    ./whalebox -m 64m --cpuset-cpus 0 --pids-limit 9 /bin/echo limited
	    echo 0 >/proc/sys/user/max_user_namespaces
	    ./whalebox doctor; ./whalebox /bin/echo mapped" &&
	want_status 125 && want_line 1 && want_line box && want_no_line limited &&
	says " 7: chapter 7: write(cgroup.subtree_control, +memory +cpuset +pids ): No such file or directory" "$v1" &&
	want_line "chapter  5: works" && want_line "chapter 10: works" &&
	want_no_line mapped &&
	want_match "^chapter  5: chapter 0: clone3.*: No space left on device" &&
	want_match "^whalebox: chapter 0: clone3.*: No space left on device" &&
	want_line "  hint: sysctl -w user.max_user_namespaces=15000"
'

it 'says that the root is an initramfs, which cannot be left' '
	host VM_ROOT=initramfs "./whalebox --userns host doctor; echo \$?
	    ./whalebox --userns host /bin/echo box" &&
	want_status 125 && want_line 1 && want_no_line box &&
	says " 8: chapter 8: pivot_root(\".\", \".\"): Invalid argument" \
	    "the root is an initramfs, which cannot be left: boot from a disk, or switch_root to one" &&
	want_line "chapter  7: works"
'

finish
