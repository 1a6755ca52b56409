#!/bin/sh
# needs: host root
# wires.sh: boxes on a bridge, seen from both sides.
#
#	sh tests/wires.sh          what takes seconds
#	sh tests/wires.sh full     and 200 boxes one after the other, and 100 at once
. "$(dirname "$0")/wires/world.sh"

root=$scratch/root
cp -R "$WHALEBOX_ROOTFS" "$root" && cp "$project/build/tests/wire" "$root" || exit 1
export WHALEBOX_ROOTFS="$root"
busybox=$root/bin/busybox
wire=$root/wire

# ---- Words --------------------------------------------------------------------

# serve NAME [OPTION...]: one that tells who asks at its port 80 who that is.
serve() {
	served=$1
	shift
	begin "$served" --network bridge "$@" /wire answer 80 && answers "$served"
}

answers() {
	soon is_ready "$1"
}

is_ready() {
	"$WHALEBOX" logs "$1" | grep -q ready
}

# asks FROM... -- ANSWER IP PORT: FROM is a command that runs `wire`; over TCP
# and over UDP, the answer is the address that the question came from.
asks() {
	asker=
	while [ "$1" != -- ]; do
		asker="$asker $1"
		shift
	done
	for protocol in tcp udp; do
		# shellcheck disable=SC2086 # a list of words
		run $asker ask $protocol "$3" "$4" && want_status 0 &&
		want_out "$2" || return
	done
}

# asks_in_vain FROM... -- IP PORT
asks_in_vain() {
	asker=
	while [ "$1" != -- ]; do
		asker="$asker $1"
		shift
	done
	for protocol in tcp udp; do
		# shellcheck disable=SC2086 # a list of words
		run $asker ask $protocol "$2" "$3" 1 && want_status 1 &&
		want_out "" || return
	done
}

# network_of NAME SUBNET: one of the tests'\'', until the test ends.
network_of() {
	at_end "\"\$WHALEBOX\" network rm $1"
	box network create "$1" ${2:+--subnet "$2"} && want_status 0 && want_out "$1"
}

# The folder of the bridge's network is there from now on, and ip_forward is on.  A
# new network namespace has it as the machine has.
it 'switches forwarding on when a box needs it, and says so once' '
	echo 0 >/proc/sys/net/ipv4/ip_forward &&
	box /bin/true && want_status 0 &&
	same 0 "$(cat /proc/sys/net/ipv4/ip_forward)" &&
	box --network bridge /bin/true && want_status 0 && want_out "" &&
	want_err ip_forward && same 1 "$(cat /proc/sys/net/ipv4/ip_forward)" &&
	box --network bridge /bin/true && want_status 0 && want_no_err
'
[ -e "$WHALEBOX_HOME/networks" ] || {
	echo 1 >/proc/sys/net/ipv4/ip_forward
	"$WHALEBOX" --network bridge /bin/true
} >"$scratch/first" 2>&1

# ---- An interface -------------------------------------------------------------

it 'gives the box an interface, an address and a route' '
	note && begin one --network bridge /bin/sleep 300 &&
	box exec one /bin/ip -o -4 address && want_status 0 &&
	want_match "^[0-9]+: eth0 +inet 10[.]88[.]0[.]2/16 brd 10[.]88[.]255[.]255 " &&
	box exec one /sbin/route -n &&
	want_match "^0[.]0[.]0[.]0 +10[.]88[.]0[.]1 .* eth0$" &&
	want_match "^10[.]88[.]0[.]0 +0[.]0[.]0[.]0 +255[.]255[.]0[.]0 .* eth0$" &&
	same 4 "$(wc -l <out)" &&
	box exec one /bin/cat /sys/class/net/eth0/mtu && want_out 1500 &&
	ip -o address show whalebox0 >out && want_match " 10[.]88[.]0[.]1/16 " &&
	same "$(value one address)" 10.88.0.2 &&
	same "$(value one network)" bridge && box rm -f one && nothing_left
'

it 'has the host see one port of the bridge for each box, and a fixed address' '
	begin one --network bridge /bin/sleep 300 &&
	mac=$(ip -o link show whalebox0 | sed "s/.*ether \([0-9a-f:]*\).*/\1/") &&
	begin two --network bridge /bin/sleep 300 &&
	same 2 "$(ip -o link show master whalebox0 | wc -l)" &&
	box rm -f one &&
	ports() { ip -o link show master whalebox0 | wc -l; } &&
	one_port() { [ "$(ports)" = 1 ]; } && soon one_port &&
	ip -o link show whalebox0 >out && want_match "link/ether $mac "
'

it 'has no IPv6, on the bridge or in the box' '
	begin one --network bridge /bin/sleep 300 &&
	box exec one /bin/ip -o -6 address && want_no_match eth0 &&
	box exec one /bin/ip -o -6 route && want_no_match eth0 &&
	same "" "$(ip -o -6 address show dev whalebox0)" &&
	same "" "$(ip -o -6 address | grep -E "veth|wb|whalebox")"
'

# resolvers LINE...: what a box has as its resolv.conf on a host that has these.
resolvers() {
	printf "%s\n" "$@" >resolv.conf &&
	run unshare --mount sh -c "mount --bind resolv.conf \
	    \"\$(readlink -f /etc/resolv.conf)\" &&
	    exec \"\$WHALEBOX\" --network bridge /bin/cat /etc/resolv.conf" &&
	want_status 0
}

it 'reads the resolver of the host' '
	resolvers "nameserver 192.0.2.53" "search example.org" &&
	want_line "nameserver 192.0.2.53" && want_line "search example.org"
'

it 'takes no resolver that only the host can reach' '
	resolvers "nameserver 127.0.0.53" "nameserver 192.0.2.53" &&
	want_line "nameserver 192.0.2.53" && want_no_match "^nameserver 127"
'

# ---- Who reaches whom ---------------------------------------------------------

it 'has two boxes and the host reach each other' '
	serve one && serve two && background host.log "$wire" answer 90 && first=$(value one address) &&
	second=$(value two address) && differ "$first" "$second" &&
	asks "$WHALEBOX" exec one /wire -- "$first" "$second" 80 &&
	asks "$WHALEBOX" exec two /wire -- "$second" "$first" 80 &&
	asks "$WHALEBOX" exec one /wire -- "$first" 10.88.0.1 90 &&
	asks "$wire" -- 10.88.0.1 "$first" 80 &&
	run "$busybox" ping -c 1 -W 5 "$first" && want_status 0 &&
	box exec one /bin/ping -c 1 -W 5 "$second" && want_status 0 &&
	box exec two /bin/ping -c 1 -W 5 10.88.0.1 && want_status 0 &&
	box exec one /bin/ping -c 1 -W 5 192.0.2.1 && want_status 0
'

it 'has a box reach outside, where only the host is seen' '
	background seen $there "$wire" capture out0 &&
	background ready $there "$wire" answer 80 &&
	begin one --network bridge /bin/sleep 300 &&
	asks "$WHALEBOX" exec one /wire -- 192.0.2.1 192.0.2.2 80 &&
	box exec one /wire ask tcp 198.51.100.1 80 && want_out 192.0.2.1 &&
	box exec one /bin/ping -c 1 -W 5 192.0.2.2 && want_status 0 &&
	for protocol in tcp udp icmp; do
		soon grep -qx "$protocol 192.0.2.1 192.0.2.2" seen &&
		soon grep -qx "$protocol 192.0.2.2 192.0.2.1" seen || exit
	done && cp seen out && want_no_match "10[.]88[.]"
'

# Nothing of IPv4 is in the way of a box without a network: it has none.
it 'has a box with no network reach nobody' '
	serve one && address=$(value one address) &&
	asks_in_vain "$WHALEBOX" /wire -- "$address" 80 &&
	asks_in_vain "$WHALEBOX" --network none /wire -- 192.0.2.1 80 &&
	asks "$WHALEBOX" --network host /wire -- 10.88.0.1 "$address" 80
'

it 'carries large transfers whole, in both directions, and from box to box' '
	LIMIT=120 && mkdir pages && head -c 40000000 /dev/urandom >pages/large &&
	sum=$(sha256sum <pages/large) &&
	background log $there "$busybox" httpd -f -p 80 -h pages &&
	begin one --network bridge /bin/sh -c "until wget -qO /tmp/large \
	    http://198.51.100.1/large; do sleep 0.1; done; sha256sum </tmp/large
	    echo ready; exec httpd -f -h /tmp" && answers one &&
	box logs one && want_line "$sum" && address=$(value one address) &&
	fetched() { "$busybox" wget -qO got "http://$address/large"; } &&
	soon fetched && same "$sum" "$(sha256sum <got)" &&
	box --network bridge /bin/sh -c "wget -qO- http://one/large | sha256sum" &&
	want_out "$sum"
'

# ---- Published ports ----------------------------------------------------------

# netfilter_on_bridges 0|1: whether what crosses a bridge meets the rules for
# IPv4, which br_netfilter does, and which makes the way back to oneself another.
netfilter_on_bridges() {
	[ -e /proc/sys/net/bridge ] || return "$1"
	echo "$1" >/proc/sys/net/bridge/bridge-nf-call-iptables
}

for on in 0 1; do
	[ -e /proc/sys/net/bridge ] || [ $on = 0 ] || continue
	it "publishes a port, bridge-nf-call-iptables=$on" '
		note && netfilter_on_bridges $on &&
		serve one -p 8080:80 -p 8080:80/udp && serve two &&
		address=$(value one address) &&
		asks $there "$wire" -- 192.0.2.2 192.0.2.1 8080 &&
		asks "$wire" -- 10.88.0.1 127.0.0.1 8080 &&
		asks "$wire" -- 10.88.0.1 10.88.0.1 8080 &&
		asks "$wire" -- 192.0.2.1 192.0.2.1 8080 &&
		for to in 192.0.2.1 10.88.0.1; do
			for protocol in tcp udp; do
				box exec two /wire ask $protocol $to 8080 &&
				want_status 0 && box exec one /wire ask $protocol $to 8080 &&
				want_status 0 || exit
			done
		done && box rm -f one two && nothing_left &&
		asks_in_vain "$wire" -- 127.0.0.1 8080
	'
done

it 'publishes a port at one address, over one protocol' '
	serve one -p 127.0.0.1:8081:80 -p 192.0.2.1:8082:80/udp \
	    -p 0.0.0.0:8083:80 &&
	run "$wire" ask tcp 127.0.0.1 8081 && want_status 0 &&
	asks_in_vain $there "$wire" -- 192.0.2.1 8081 &&
	run "$wire" ask tcp 192.0.2.1 8081 && want_status 1 &&
	run "$wire" ask udp 127.0.0.1 8081 && want_status 1 &&
	run $there "$wire" ask udp 192.0.2.1 8082 && want_status 0 &&
	run $there "$wire" ask tcp 192.0.2.1 8082 && want_status 1 &&
	run $there "$wire" ask tcp 192.0.2.1 8083 && want_status 0
'

it 'publishes for boxes of other networks, and opens nothing else to anybody' '
	serve one -p 8080:80 && network_of red && address=$(value one address) &&
	begin other --network red /bin/sleep 300 &&
	box exec other /wire ask tcp 192.0.2.1 8080 && want_status 0 &&
	box exec other /wire ask tcp "$address" 80 && want_status 1 &&
	at_end "outside ip route del 10.0.0.0/8" &&
	outside ip route add 10.0.0.0/8 via 192.0.2.1 &&
	asks_in_vain $there "$wire" -- "$address" 80 &&
	asks_in_vain $there "$wire" -- "$address" 8080
'

it 'publishes for a box without --network, and in the foreground' '
	begin one -p 8080:80 /wire answer 80 && answers one &&
	run $there "$wire" ask tcp 192.0.2.1 8080 && want_out 192.0.2.2 &&
	same bridge "$(value one network)" && box rm -f one && note &&
	background served "$WHALEBOX" --init -p 8080:80 /wire answer 80 &&
	soon grep -q ready served &&
	run $there "$wire" ask tcp 192.0.2.1 8080 && want_out 192.0.2.2 &&
	kill $job && ended() { ! kill -0 $job; } && soon ended && { wait $job; same 143 $?; } && nothing_left
'

it 'lists the ports, and has them again after a new start' '
	serve one -p 8080:80 -p 127.0.0.1:8053:53/udp && box ps && want_status 0 &&
	want_match "^NAME .*PORTS" && want_match "^one .*8080->80/tcp" &&
	want_match "^one .*8080->80/tcp,127[.]0[.]0[.]1:8053->53/udp" &&
	box stop -t 0 one && box ps -a && want_no_match "^one .*8080->" &&
	asks_in_vain "$wire" -- 127.0.0.1 8080 && box start one && want_status 0 &&
	reached() { "$wire" ask tcp 127.0.0.1 8080; } && soon reached &&
	box ps && want_match "^one .*8080->80/tcp"
'

it 'refuses a port that somebody has, before the box runs' '
	background host.log "$wire" answer 8080 && note &&
	for protocol in tcp udp; do
		box -p 8080:80/$protocol /bin/echo ran && want_status 125 &&
		want_out "" && want_err 8080 && want_err "in use" &&
		want_err "hint: " && nothing_left || exit
	done
'

it 'refuses a port that another box has, and keeps it from the host' '
	serve one -p 8080:80 && note && box -p 8080:81 /bin/echo ran &&
	want_status 125 && want_out "" && want_err 8080 && want_err "in use" &&
	soon no_change && run "$wire" answer 8080 && want_status 1 &&
	want_err "in use" && run "$wire" ask tcp 127.0.0.1 8080 && want_status 0
'

it 'refuses to publish at an address that is not one of the host' '
	note && box -p 203.0.113.9:8080:80 /bin/echo ran && want_status 125 &&
	want_out "" && want_err "bind(203.0.113.9:8080/tcp)" && want_err "hint: " &&
	nothing_left
'

it 'refuses what is no port, and no network' '
	box -p 8080:80 /bin/true && want_status 0 &&
	for what in "" 80 :80 80: 0:80 80:0 70000:80 80:70000 8080:80/sctp x:80 \
	    8080:80/ 1.2.3:8080:80 300.0.0.1:8080:80 8080:80:80:80 -1:80 " 80:80" \
	    4294967376:80 80-81:80; do
		box -p "$what" /bin/echo ran && want_status 125 && want_out "" &&
		want_err "hint: " || exit
	done &&
	for with in none host; do
		box --network $with -p 8080:80 /bin/echo ran && want_status 125 &&
		want_out "" && want_err "hint: " || exit
	done &&
	box --network nowhere /bin/echo ran && want_status 125 && want_out "" &&
	want_err nowhere && want_err "hint: " &&
	box --network ../bridge /bin/echo ran && want_status 125 && want_out ""
'

# The host answers at 127.0.0.1:90 who comes by that way.  In the box is what
# sends such packets off; by hand_made, the same is shown to work on a bridge
# that only has what publishing takes.
it 'keeps the loopback of the host closed to boxes' '
	background host.log "$busybox" httpd -f -p 127.0.0.1:90 -h /etc &&
	up() { "$busybox" wget -qO- http://127.0.0.1:90/passwd >page; } && soon up &&
	attack="ip address flush dev lo
	    echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet
	    ip route add 127.0.0.0/8 via \$1
	    timeout 3 \"$busybox\" wget -qO- http://127.0.0.1:90/passwd" &&
	mkfifo hold && { unshare --net cat <hold & } && made=$! && exec 9>hold &&
	made_apart() { [ "$(readlink "/proc/$made/ns/net")" != \
	    "$(readlink /proc/self/ns/net)" ]; } && soon made_apart &&
	at_end "ip link del hand0" && ip link add hand0 type bridge &&
	ip address add 10.77.0.1/24 dev hand0 && ip link set hand0 up &&
	ip link add hand1 type veth peer name eth0 netns $made &&
	ip link set hand1 master hand0 up &&
	echo 1 >/proc/sys/net/ipv4/conf/hand0/route_localnet &&
	nsenter --net --target $made ip address add 10.77.0.2/24 dev eth0 &&
	nsenter --net --target $made ip link set eth0 up &&
	run nsenter --net --target $made sh -c "$attack" sh 10.77.0.1 &&
	want_match "^root:" && exec 9>&- &&
	serve one -p 8080:80 &&
	run "$wire" ask tcp 127.0.0.1 8080 && want_status 0 &&
	within one sh -c "$attack" sh 10.88.0.1 && differ 0 "$status" && want_out ""
'

# ---- Rules --------------------------------------------------------------------

# The rules of somebody else, who has whalebox among them.
it 'leaves the rules of others as they are' '
	nft add table ip mine && at_end "nft delete table ip mine" &&
	nft "add chain ip mine input { type filter hook input priority 0; }" &&
	nft add rule ip mine input tcp dport 22 accept comment \"whalebox\" &&
	iptables -N WHALEBOX && at_end "iptables -X WHALEBOX" &&
	iptables -t nat -A POSTROUTING -s 10.88.0.0/16 -j MASQUERADE &&
	at_end "iptables -t nat -F POSTROUTING" &&
	nft list table ip mine >mine && iptables-save | grep ^- >theirs && note &&
	serve one -p 8080:80 && begin two --network bridge /bin/sleep 300 &&
	nft list table ip mine | diff mine - &&
	iptables-save | grep ^- | diff theirs - && box rm -f one two && nothing_left
'

it 'removes the rules of the box that ends, and of no other' '
	serve one -p 8081:80 && serve two -p 8082:80 && box rm -f one &&
	asks_in_vain "$wire" -- 127.0.0.1 8081 &&
	run "$wire" ask tcp 127.0.0.1 8082 && want_status 0 &&
	nft list ruleset >out && want_no_match 8081 && want_match 8082 &&
	serve three -p 8081:80 && run "$wire" ask tcp 127.0.0.1 8081 && want_status 0
'

# What another refuses, no table of ours can allow.  This is docker'\''s way.
it 'tells of a policy that forwards nothing' '
	iptables -P FORWARD DROP && at_end "iptables -P FORWARD ACCEPT" && note &&
	box --network bridge /bin/echo ran && want_status 125 && want_out "" &&
	want_err FORWARD && want_err "hint: " && nothing_left &&
	iptables -I FORWARD -i whalebox+ -j ACCEPT &&
	iptables -I FORWARD -o whalebox+ -j ACCEPT &&
	at_end "iptables -F FORWARD" &&
	background ready $there "$wire" answer 80 &&
	box --network bridge /wire ask tcp 198.51.100.1 80 && want_status 0 &&
	iptables -F FORWARD && iptables -P FORWARD ACCEPT && box --network bridge /bin/echo ran &&
	want_status 0 && want_out ran &&
	nft add table ip mine && at_end "nft delete table ip mine" &&
	nft "add chain ip mine f { type filter hook forward priority 0; policy drop; }" &&
	note && box --network bridge /bin/echo ran && want_status 125 &&
	want_out "" && want_err "hint: " && nothing_left
'

# without PROGRAM: a host that has only the other one of nft and iptables.  There
# ./without-PROGRAM is whalebox.
without() {
	mkdir "bin-$1" && for tool in nft iptables iptables-save iptables-restore; do
		case $tool in
		"$1"*) ;;
		*) ln -s "$(command -v $tool)" "bin-$1" || return ;;
		esac
	done &&
	printf "%s\n" "#!/bin/sh" "PATH=$PWD/bin-$1 exec $WHALEBOX \"\$@\"" \
	    >"without-$1" && chmod +x "without-$1" &&
	# Chains of its own, in which nothing is, stay where iptables has been.
	for chain in "filter INPUT" "filter FORWARD" "filter OUTPUT" \
	    "nat PREROUTING" "nat INPUT" "nat OUTPUT" "nat POSTROUTING" \
	    "raw PREROUTING" "raw OUTPUT"; do
		iptables -t "${chain% *}" -A "${chain#* }" -j ACCEPT &&
		iptables -t "${chain% *}" -D "${chain#* }" -j ACCEPT || return
	done
}

it 'does with iptables where nft is missing' '
	without nft && WHALEBOX=$PWD/without-nft && note &&
	serve one -p 8080:80 -p 8080:80/udp &&
	asks $there "$wire" -- 192.0.2.2 192.0.2.1 8080 &&
	asks "$wire" -- 10.88.0.1 127.0.0.1 8080 &&
	box exec one /wire ask tcp 192.0.2.1 8080 && want_status 0 &&
	box rm -f one && nothing_left
'

# nft is installed, or iptables, while boxes run; and the box whose supervisor was
# killed is cleaned up after by somebody who finds another program.
it 'has the program remove the rules that made them' '
	without nft && without iptables && note && all=$WHALEBOX &&
	for first in without-nft without-iptables; do
		WHALEBOX=$PWD/$first && serve one -p 8080:80 && WHALEBOX=$all &&
		serve two -p 8081:80 &&
		run "$wire" ask tcp 127.0.0.1 8080 && want_status 0 &&
		run "$wire" ask tcp 127.0.0.1 8081 && want_status 0 &&
		box rm -f one && asks_in_vain "$wire" -- 127.0.0.1 8080 &&
		run "$wire" ask tcp 127.0.0.1 8081 && want_status 0 &&
		box rm -f two && nothing_left || { echo "first $first"; exit 1; }
	done &&
	for pair in "nft iptables" "iptables nft"; do
		WHALEBOX=$PWD/without-${pair% *} && serve one -p 8080:80 &&
		WHALEBOX=$PWD/without-${pair#* } &&
		box --network bridge -p 8082:80 /bin/echo ran && want_status 125 &&
		want_out "" && want_err "chapter 16: ${pair#* }" &&
		{ want_err "hint: install iptables again" ||
		    want_err "hint: install nftables again"; } &&
		WHALEBOX=$all && kill -KILL "$(value one supervisor_pid)" &&
		box rm -f one && nothing_left || { echo "without $pair"; exit 1; }
	done
'

it 'takes the rules for those of nft where no program is named' '
	without iptables && note && all=$WHALEBOX &&
	for edit in "s/^firewall=.*/firewall=/" "/^firewall=/d"; do
		WHALEBOX=$PWD/without-iptables && serve one -p 8080:80 &&
		WHALEBOX=$all && config=$WHALEBOX_HOME/networks/bridge/config &&
		grep -q "^firewall=" "$config" && sed -i "$edit" "$config" &&
		serve two -p 8081:80 &&
		run "$wire" ask tcp 127.0.0.1 8081 && want_status 0 &&
		box rm -f one two && nothing_left || { echo "after $edit"; exit 1; }
	done
'

it 'tells what is missing where neither is there' '
	note && mkdir bin && run env PATH="$PWD/bin" "$WHALEBOX" --network bridge \
	    /bin/echo ran && want_status 125 && want_out "" && want_err nft &&
	want_err "hint: " && nothing_left &&
	printf "#!/bin/sh\necho \"Error: no such module\" >&2\nexit 1\n" >bin/nft &&
	chmod +x bin/nft && run env PATH="$PWD/bin:$PATH" "$WHALEBOX" \
	    --network bridge /bin/echo ran && want_status 125 && want_out "" &&
	want_err "no such module" && nothing_left
'

# slow_nft: from now on whalebox finds an nft that takes half a second, tells in the
# file order when it is done, and keeps in the file rules what it was told. In the
# file opened it says whether there is a way to the host's 127.0.0.1 by then.
slow_nft() {
	: >order && : >rules && chmod 666 order && mkdir bin &&
	printf "%s\n" "#!/bin/sh" "[ \"\$1\" = -f ] || exec $(command -v nft) \"\$@\"" \
	    "sleep 0.5; cat >$PWD/now; cat $PWD/now >>$PWD/rules" \
	    "cat /proc/sys/net/ipv4/conf/whalebox0/route_localnet >>$PWD/opened" \
	    "$(command -v nft) \"\$@\" <$PWD/now && echo rules >>$PWD/order" >bin/nft &&
	chmod +x bin/nft && PATH=$PWD/bin:$PATH
}

# It works while the box is made; to delete a table takes the kernel longer than the
# rest.
it 'begins no command before its rules are there, and has nft delete only what is' '
	slow_nft && box -v "$PWD/order:/order" -p 8080:80 \
	    /bin/sh -c "echo command >>/order" && want_status 0 &&
	same "rules${newline}command" "$(cat order)" && same 0 "$(head -n 1 opened)" &&
	grep -q "^table ip whalebox0" rules && ! grep delete rules &&
	serve one --network bridge && : >order && : >rules &&
	box -v "$PWD/order:/order" -p 8081:80 /bin/sh -c "echo command >>/order" &&
	want_status 0 && same "rules${newline}command" "$(head -n 2 order)" &&
	same "2 add" "$(sed "/^delete/,\$d" rules | cut -d" " -f1 | sort | uniq -c | xargs)" &&
	grep -q "^delete table ip whalebox0" rules && ! nft list ruleset | grep 8081
'

it 'writes its rules once for two boxes that start at once' '
	slow_nft && at_end "\"\$WHALEBOX\" rm -f one two" &&
	{ "$WHALEBOX" -d --name one --network bridge /bin/sleep 300 >one.out & } &&
	{ "$WHALEBOX" -d --name two --network bridge /bin/sleep 300 >two.out & } &&
	wait && same "one two" "$(echo $(cat one.out two.out))" &&
	same 1 "$(nft list table ip whalebox0 | grep -c "oifname != .* masquerade")"
'

it 'leaves it to the box to say why it has ended before its wire was there' '
	note && slow_nft && run "$project/build/tests/strike" 1 read 1 EIO "$WHALEBOX" \
	    --network bridge /bin/true && want_status 125 && want_out "" &&
	want_err "read(lifeline): " && same 1 "$(grep -c "^whalebox: " err)" &&
	nothing_left
'

# ---- Addresses ----------------------------------------------------------------

it 'gives out each address once, and never those of the network' '
	network_of small 10.99.0.0/29 &&
	for n in 1 2 3 4 5; do
		begin box$n --network small /bin/sleep 300 &&
		value box$n address >>given || exit
	done &&
	same "$(printf "10.99.0.%s\n" 2 3 4 5 6)" "$(sort given)" && note &&
	box --network small /bin/echo ran && want_status 125 && want_out "" &&
	want_err "network small has no address left" && want_err "hint: " &&
	no_change &&
	box rm -f box3 && box --network small /bin/hostname -i && want_status 0 &&
	want_out 10.99.0.4 && box stop -t 0 box5 &&
	box --network small /bin/hostname -i && want_status 0 &&
	kill -KILL "$(value box1 supervisor_pid)" &&
	for n in 1 2 3; do
		begin more$n --network small /bin/sleep 300 || exit
	done &&
	box --network small /bin/echo ran && want_status 125
'

it 'has room for one box in a /30, and in what is smaller for none' '
	at_end "\"\$WHALEBOX\" network rm bad" &&
	network_of tiny 10.99.0.0/30 && begin one --network tiny /bin/sleep 300 &&
	same 10.99.0.2 "$(value one address)" &&
	box --network tiny /bin/echo ran && want_status 125 && want_out "" &&
	for subnet in 10.98.0.0/31 10.98.0.0/32 10.98.0.0/0 10.98.0.1/24 10.98.0.0 \
	    10.98.0.0/33 10.98.0/24 10.98.0.0/24x 127.0.0.0/8 224.0.0.0/24 \
	    0.0.0.0/8 256.0.0.0/24 "" /24; do
		box network create bad --subnet "$subnet" && want_status 125 &&
		want_err "hint: " || {
			echo "subnet $subnet"
			exit 1
		}
	done
'

it 'gives ten boxes that start at once ten addresses' '
	for n in 0 1 2 3 4 5 6 7 8 9; do
		at_end "\"\$WHALEBOX\" rm -f box$n" &&
		{ "$WHALEBOX" -d --name box$n --network bridge /bin/sleep 300 \
		    >out.$n 2>&1 & } && started="${started:-} $!" || exit
	done && for job in $started; do
		wait "$job" || { cat out.*; exit 1; }
	done &&
	for n in 0 1 2 3 4 5 6 7 8 9; do value box$n address || exit; done >given &&
	same 10 "$(sort -u given | wc -l)" &&
	same 10 "$(ip -o link show master whalebox0 | wc -l)"
'

# Of a file that makes no sense nothing is used, nor written over: not even while a
# box is there whose rules and wire it tells of.
it 'takes nothing from leases with a line of rubbish in them, and leaves them' '
	file=$WHALEBOX_HOME/networks/bridge/leases && cp "$file" good &&
	at_end "cp $PWD/good $file" && serve one -p 8081:80 && cp "$file" good && note &&
	for line in rubbish "10.88.0.300 two" "10.88.0.9" "10.88.0.9 two 8080:80/sctp" \
	    "10.88.0.9 two :80"; do
		{ echo "$line" && cat good; } >"$file" && cp "$file" bad &&
		for with in "--network bridge" "-p 8082:80"; do
			box $with /bin/echo ran && want_status 125 && want_out "" &&
			want_err "the files of network bridge are corrupt" &&
			want_err "hint: look at it" && cmp bad "$file" &&
			unchanged && no_change || { echo "$line"; exit 1; }
		done
	done && run "$wire" ask tcp 127.0.0.1 8081 && want_status 0 &&
	cp good "$file" && box rm -f one && soon is_quiet && same "" "$(leases)"
'

it 'takes no subnet that the host has a way to' '
	at_end "\"\$WHALEBOX\" network rm bad" &&
	box network create bad --subnet 192.0.2.128/25 && want_status 125 &&
	want_err "overlaps the route 192.0.2." && want_err "of up0" && want_err "hint: " &&
	box network create bad --subnet 192.0.0.0/16 && want_status 125 &&
	network_of one 10.99.0.0/24 &&
	box network create bad --subnet 10.99.0.0/25 && want_status 125 &&
	want_err "hint: " && box network ls && want_no_match "^bad"
'

it 'takes another subnet for its bridge where 10.88 is taken' '
	export WHALEBOX_HOME="$PWD/home" && ip route add 10.88.5.0/24 dev up0 &&
	at_end "ip route del 10.88.5.0/24" &&
	begin one --network bridge /bin/sleep 300 && value one address >out &&
	want_match "^10[.]" && want_no_match "^10[.]88[.]" &&
	background ready $there "$wire" answer 80 && box exec one /wire ask tcp 198.51.100.1 80 &&
	want_out 192.0.2.1
'

it 'leaves the networks of another home alone, and theirs leave ours' '
	serve one -p 8081:80 && ours=$(value one address) && home=$WHALEBOX_HOME &&
	export WHALEBOX_HOME="$PWD/other" && serve two -p 8082:80 &&
	theirs=$(value two address) && differ "${ours%.*}" "${theirs%.*}" &&
	run "$wire" ask tcp 127.0.0.1 8081 && want_out 10.88.0.1 &&
	run "$wire" ask tcp 127.0.0.1 8082 && want_status 0 &&
	asks_in_vain "$WHALEBOX" exec two /wire -- "$ours" 80 &&
	box rm -f two && export WHALEBOX_HOME="$home" &&
	run "$wire" ask tcp 127.0.0.1 8081 && want_out 10.88.0.1 &&
	asks "$wire" -- 10.88.0.1 "$ours" 80
'

it 'writes its rules anew where somebody has flushed them' '
	serve one -p 8081:80 && nft flush ruleset &&
	run "$wire" ask tcp 127.0.0.1 8081 && want_status 1 &&
	box --network bridge /bin/true && want_status 0 &&
	run "$wire" ask tcp 127.0.0.1 8081 && want_status 0
'

it 'lets a volume take the place of its own files' '
	echo "192.0.2.2 elsewhere" >hosts && echo "nameserver 192.0.2.9" >resolver &&
	chmod 644 hosts resolver &&
	box --network bridge -v "$PWD/hosts:/etc/hosts:ro" \
	    -v "$PWD/resolver:/etc/resolv.conf:ro" \
	    /bin/cat /etc/hosts /etc/resolv.conf && want_status 0 &&
	want_out "192.0.2.2 elsewhere${newline}nameserver 192.0.2.9"
'

# ---- Networks of the user -----------------------------------------------------

it 'makes, lists and removes networks' '
	note && network_of red && network_of blue 10.99.0.0/24 &&
	begin one --network red /bin/sleep 300 &&
	box network ls && want_status 0 && want_match "^NAME +SUBNET +BRIDGE +BOXES" &&
	want_match "^red +10[.][0-9.]*/16 +whalebox[0-9]+ +1$" &&
	want_match "^blue +10[.]99[.]0[.]0/24 +[^ ]+ +0$" &&
	want_match "^bridge +10[.]88[.]0[.]0/16 " &&
	box network create red && want_status 125 &&
	want_err "a network named red is there" &&
	for name in "" ../x bridge none host pasta slirp default -x "a b" \
	    "$(printf %0300d 0)"; do
		box network create "$name" && want_status 125 || exit
	done &&
	box network rm red && want_status 125 &&
	want_err "network red is in use: one" && want_err "hint: " &&
	box stop -t 0 one && box network rm red blue && want_status 0 &&
	want_out "red${newline}blue" && box network remove red && want_status 125 &&
	want_err "no network named red" && box start one && want_status 125 &&
	want_err "no network named red" && box rm one && nothing_left
'

# As other tools have it: a driver, a gateway, and "remove" for "rm".
it 'says what to type for a network' '
	at_end "\"\$WHALEBOX\" network rm shop" && for words in "--driver bridge shop" \
	    "-d bridge shop" "shop --driver=bridge" "--internal --gateway 10.0.0.1 shop"; do
		box network create $words && want_status 125 && want_out "" &&
		want_err "network create: there is no option -" &&
		want_err "  hint: whalebox network create shop, with --subnet" || exit
	done && box network create shop --subnet && want_status 125 &&
	want_err "--subnet needs a value" && box network rm && want_status 125 &&
	want_err "  hint: whalebox network rm NAME" && box network inspect shop &&
	want_status 125 && want_err "there is no command inspect" &&
	want_err "hint: network create NAME, ls, rm NAME" &&
	box network ls shop && want_status 125 && want_err "  hint: whalebox network ls" &&
	box network create shop && want_out shop && box network list && want_match "^shop " &&
	box network remove shop && want_status 0 && want_out shop && box network ls &&
	want_no_match "^shop "
'

it 'keeps networks apart' '
	network_of red && network_of blue &&
	begin one --network red /wire answer 80 && answers one &&
	begin two --network blue /wire answer 80 && answers two && serve three &&
	background host.log "$wire" answer 90 &&
	for pair in "one two" "two one" "three two" "one three"; do
		from=${pair% *} && to=$(value "${pair#* }" address) &&
		asks_in_vain "$WHALEBOX" exec $from /wire -- "$to" 80 &&
		asks_in_vain "$WHALEBOX" exec $from /wire -- "${to%.*}.1" 90 ||
		exit
	done &&
	for from in one two three; do
		own=$(value $from address) &&
		asks "$WHALEBOX" exec $from /wire -- "$own" "${own%.*}.1" 90 &&
		asks "$wire" -- "${own%.*}.1" "$own" 80 || exit
	done &&
	background ready $there "$wire" answer 80 &&
	for from in one two three; do
		asks "$WHALEBOX" exec $from /wire -- 192.0.2.1 192.0.2.2 80 || exit
	done
'

it 'has the boxes of a network know each other by name, as they come and go' '
	network_of red && network_of blue &&
	begin one --network red /wire answer 80 && answers one &&
	begin two --network red --hostname deux /wire answer 80 && answers two &&
	begin other --network blue /bin/sleep 300 &&
	box exec one /bin/ping -c 1 -W 5 two && want_status 0 &&
	box exec two /bin/ping -c 1 -W 5 one && want_status 0 &&
	box exec two /bin/nc one 80 && same "$(value two address)" "$out" &&
	box exec one /bin/cat /etc/hosts && want_match "^127[.]0[.]0[.]1.*localhost" &&
	want_match "^$(value one address)[[:space:]]+one" &&
	want_match "^$(value two address)[[:space:]]+two" && want_no_match other &&
	box exec one /bin/sh -c "echo 1.2.3.4 two >>/etc/hosts" && differ 0 "$status" &&
	box exec one /bin/ping -c 1 -W 2 other && differ 0 "$status" &&
	box rm -f two && box exec one /bin/ping -c 1 -W 2 two && differ 0 "$status" &&
	box exec one /bin/cat /etc/hosts && want_no_match two &&
	begin three --network red /bin/sleep 300 &&
	begin two --network red /bin/sleep 300 &&
	box exec one /bin/ping -c 1 -W 5 two && want_status 0 &&
	supervisor=$(value two supervisor_pid) && first=$(value two pid) &&
	kill -KILL "$supervisor" &&
	ended() { [ ! -e "/proc/$supervisor" ] && [ ! -e "/proc/$first" ]; } &&
	soon ended &&
	begin four --network red /bin/sleep 300 && box exec four /bin/cat /etc/hosts &&
	want_match "[[:space:]]three" && want_no_match "[[:space:]]two"
'

# ---- What is left -------------------------------------------------------------

it 'leaves nothing when a box ends, is stopped, is removed or is not found' '
	note && box --network bridge /bin/true && want_status 0 && nothing_left &&
	box --network bridge /bin/sh -c "exit 7" && want_status 7 && nothing_left &&
	box --network bridge -p 8080:80 /nowhere && want_status 127 && nothing_left &&
	box --network bridge -p 8080:80 -m 1 /bin/true && nothing_left &&
	box --network bridge -v /nowhere/at/all/x:/x /bin/true && nothing_left &&
	serve one -p 8080:80 && box rm -f one && nothing_left &&
	serve one -p 8080:80 && box stop -t 0 one && soon no_change &&
	same "" "$(leases)" && box rm one && nothing_left
'

it 'leaves nothing for long when whalebox or the box is killed' '
	note && serve one -p 8080:80 && kill -KILL "$(value one supervisor_pid)" &&
	box rm -f one && want_status 0 && nothing_left &&
	serve one -p 8080:80 && kill -KILL "$(value one pid)" && soon no_change &&
	box rm one && nothing_left &&
	background served "$WHALEBOX" -p 8080:80 /wire answer 80 &&
	soon grep -q ready served && kill -KILL $job && { wait $job; true; } &&
	box --network bridge /bin/true && want_status 0 && nothing_left
'

# killed_at SECONDS: a start, killed then.
killed_at() {
	run timeout --foreground -s KILL "$1" "$WHALEBOX" --rm --name one \
	    --network bridge -p 8080:80 /bin/true
	box --rm --name one --network bridge -p 8080:80 /bin/true
	want_status 0 && soon no_change && same "" "$(leases)"
}

kills=10
[ "${1:-}" != full ] || kills=300
it "leaves nothing whenever it is killed, $kills times" '
	LIMIT=20 && note &&
	for n in $(seq "$kills"); do
		moment=$(awk -v n=$n -v all=$kills "BEGIN { print 0.001 + 0.06 * n / all }")
		killed_at "$moment" || { echo "killed after $moment s"; exit 1; }
	done && nothing_left
'

if [ "${1:-}" = full ]; then
	it 'leaves nothing after 200 boxes, one after the other' '
		note && for n in $(seq 200); do
			box --network bridge -p 8080:80 /bin/true && want_status 0 || exit
		done && nothing_left
	'
	it 'has 100 boxes on one bridge' '
		LIMIT=60 && note && for n in $(seq 100); do
			begin box$n --network bridge /wire answer 80 || exit
		done && for n in $(seq 100); do
			answers box$n && address=$(value box$n address) &&
			run "$wire" ask tcp "$address" 80 && want_status 0 || exit
		done && box exec box1 /wire ask tcp "$(value box100 address)" 80 &&
		want_out "$(value box1 address)" &&
		box rm -f $(seq 100 | sed "s,^,box,") && nothing_left
	'
fi

# ---- An ordinary user ---------------------------------------------------------

# As a user: a whalebox, a root and a home of his; and /dev/net/tun is open to all,
# as udev has it.
as_user=$scratch/user/as
mkdir "$scratch/user" && cp "$WHALEBOX" "$scratch/user/whalebox" &&
    cp -R "$root" "$scratch/user" &&
    chmod 711 "$scratch" && cat >"$as_user" <<END
#!/bin/sh
cd "$scratch/user" && exec unshare --mount sh -c '
	[ ! -e tun ] || mount --bind tun /dev/net/tun
	exec setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps=-all \\
	    env HOME="\$PWD" WHALEBOX_HOME="\$PWD/home" WHALEBOX_ROOTFS="\$PWD/root" \\
	    ./whalebox "\$@"' sh "\$@"
END
chmod +x "$as_user" && chown -R 1000:1000 "$scratch/user"
[ ! -c /dev/net/tun ] || mknod -m 666 "$scratch/user/tun" c 10 200

it 'explains to an ordinary user why there is no bridge' '
	for with in "--network bridge" "-p 8080:80" "--network mine"; do
		run "$as_user" $with /bin/echo ran && want_status 125 &&
		want_out "" && want_err "root" && want_err "hint: " || exit
	done &&
	run "$as_user" --network none /bin/echo ran && want_out ran &&
	run "$as_user" --network host /wire ask tcp 192.0.2.1 1 &&
	want_status 1 && want_err "refused" &&
	run "$as_user" network create mine && want_status 125
'

for with in pasta slirp; do
	tool=$with
	[ $with = pasta ] || tool=slirp4netns
	if [ -n "${WHALEBOX_WHERE:-}" ] && [ "${WHALEBOX_WHERE#vm}" != "$WHALEBOX_WHERE" ]; then
		:       # the VM has neither
	elif command -v $tool >/dev/null; then
		it "has the box of an ordinary user reach outside by $with, and be reached" '
			background ready $there "$wire" answer 80 &&
			run "$as_user" --network $with \
			    /bin/sh -c "for n in 1 2 3 4 5 6 7 8 9; do
			        /wire ask tcp 198.51.100.1 80 && exit; sleep 1; done" &&
			want_status 0 && want_line 192.0.2.1 &&
			{ "$as_user" --name one --network $with -p 8080:80 \
			    /wire answer 80 >served 2>&1 & } && job=$! &&
			at_end "$as_user rm -f one" &&
			{ soon grep -q ready served || { cat served; exit 1; }; } &&
			reached() { "$wire" ask tcp 127.0.0.1 8080; } && soon reached &&
			run "$as_user" stop -t 1 one && { wait $job; true; } &&
			gone() { ! pgrep -u 1000 "$tool"; } && soon gone
		'
	else
		skip "$tool is not installed" \
		    "has the box of an ordinary user reach outside by $with, and be reached"
	fi
done

finish
