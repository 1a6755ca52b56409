#!/bin/sh
# Chapter 6: the box has a network stack of its own, with a loopback that works.
# needs:
. "$(dirname "$0")/../../tests/lib.sh"

# A server on the host's loopback is what the box must not reach.  busybox is in
# every rootfs and on every host that made one.
port=$((20000 + $$ % 10000))
web=/bin/busybox
fetch="$web wget -q -O /dev/null http://127.0.0.1:$port/passwd"

it 'gives the box a network namespace of its own' '
	before=$(readlink /proc/self/ns/net) &&
	box /bin/readlink /proc/self/ns/net &&
	want_status 0 &&
	differ "$before" "$out" &&
	same "$before" "$(readlink /proc/self/ns/net)"
' 'Which flag, of clone or of unshare, gives a process a network stack of its own?'

it 'has no interface but lo' '
	box /bin/cat /proc/self/net/dev &&
	want_status 0 &&
	same "lo" "$(sed -n "s/^ *\(.*\):.*/\1/p" out)" &&
	box /bin/readlink /proc/self/ns/net &&
	differ "$(readlink /proc/self/ns/net)" "$out"
' 'A new stack has a loopback and nothing else; whose stack is this one?'

it 'keeps the box from a server on the loopback of the host' '
	{ timeout 60 $web httpd -f -p "127.0.0.1:$port" -h /etc & } &&
	server=$! &&
	soon $fetch &&
	box $fetch &&
	kill "$server" &&
	want_status 1 &&
	want_err "Connection refused"
' 'In a stack of its own whose loopback is up, nobody listens: refused.'

it 'brings up the loopback, with port 80 for the root of the box' '
	box $web sh -c "$web httpd -p 127.0.0.1:80 -h /etc &&
		$web wget -q -O - http://127.0.0.1:80/passwd" &&
	want_status 0 &&
	want_match "^root:" &&
	want_no_err
' 'A new lo is down. And only root of the stack gets a port below 1024.'

it 'lets every user of the box ping, and listen on any port' '
	box /bin/sh -c "cd /proc/sys/net/ipv4 &&
	    cat ip_unprivileged_port_start ping_group_range" &&
	want_status 0 && want_match "^0\$" && want_match "^0	[0-9]+\$"
' 'The settings of a stack are files in /proc/sys/net; who looks there sees those of its own.'

it 'has the same with --network none' '
	box --network none /bin/readlink /proc/self/ns/net &&
	want_status 0 &&
	differ "$(readlink /proc/self/ns/net)" "$out"
' 'none is the default: a stack of its own.'

it 'shares the stack of the host with --network host' '
	box --network host /bin/readlink /proc/self/ns/net &&
	want_status 0 &&
	want_out "$(readlink /proc/self/ns/net)"
' 'The flag has to be taken out again, and lo is then not ours to bring up.'

it 'refuses a --network that is none' '
	box --network "" /bin/true &&
	want_status 125 &&
	want_err "hint: --network"
' 'A value that means nothing is an error, never a guess.'

it 'says once why it cannot have one' '
	run unshare --user --map-root-user sh -c "
		echo 0 >/proc/sys/user/max_net_namespaces && exec \"\$WHALEBOX\" /bin/true" &&
	want_status 125 &&
	want_err "No space left on device" &&
	same 1 "$(grep -c "^whalebox:" err)"
' 'The child ends where it fails, and the parent has nothing to add.'

it 'leaves no namespace behind' '
	snapshot &&
	box /bin/readlink /proc/self/ns/net &&
	want_status 0 &&
	differ "$(readlink /proc/self/ns/net)" "$out" &&
	unchanged
' 'Does the box have a stack of its own, and does anything hold it open?'

finish
