#!/bin/sh
# needs: root
# tests/wires/world.sh says what the host is, and what is outside.
. "$(dirname "$0")/../../tests/wires/world.sh"

busybox=$WHALEBOX_ROOTFS/bin/busybox

# web NAME [OPTION...]: a box on the bridge with a web server, which has one page.
web() {
	name=$1
	shift
	begin "$name" --network bridge "$@" \
	    /bin/sh -c 'cat /etc/hostname >/tmp/page; exec httpd -f -h /tmp' &&
	soon nsenter --net --target "$(value "$name" pid)" \
	    "$busybox" wget -qO- 127.0.0.1/page
}

# server FILE [FROM...]: one on the host, or outside, which notes who asks.
server() {
	log=$1
	shift
	mkdir -p pages && echo "$log" >pages/page &&
	background "$log" "$@" "$busybox" httpd -f -vv -p 90 -h pages &&
	soon "$@" "$busybox" wget -qO- 127.0.0.1:90/page
}

# gets PAGE URL FROM...: wget there has it.
gets() {
	page=$1 url=$2
	shift 2
	run timeout 5 "$@" wget -qO- "$url" && want_status 0 && want_out "$page"
}

# in_vain URL FROM...
in_vain() {
	url=$1
	shift
	run timeout 5 "$@" wget -qO- "$url" && differ 0 "$status" && want_out ""
}

it 'gives the box an interface with an address, and a route' '
	begin one --network bridge /bin/sleep 300 &&
	box exec one /bin/ip -o -4 address && want_status 0 &&
	want_match "eth0 +inet 10[.]88[.]0[.]2/16 " &&
	box exec one /sbin/route -n &&
	want_match "^0[.]0[.]0[.]0 +10[.]88[.]0[.]1 .* eth0$" &&
	ip -o -4 address show whalebox0 >out && want_match " 10[.]88[.]0[.]1/16 " &&
	same 10.88.0.2 "$(value one address)"
' 'ip-link(8), and the steps by hand at the beginning of the chapter.'

it 'has two boxes and the host reach each other' '
	web one && web two && first=$(value one address) &&
	second=$(value two address) && differ "$first" "$second" &&
	gets one "$first/page" "$WHALEBOX" exec two &&
	gets two "$second/page" "$WHALEBOX" exec one &&
	gets one "$first/page" "$busybox" &&
	server host && gets host 10.88.0.1:90/page "$WHALEBOX" exec one &&
	box exec one /bin/ping -c 1 -W 5 "$second" && want_status 0
' 'Both ends of a veth have to be up, and the one on the host a port of the bridge.'

it 'has a box reach outside, as the host' '
	web one && server outside $there &&
	gets outside 198.51.100.1:90/page "$WHALEBOX" exec one &&
	grep -q "192[.]0[.]2[.]1.*page" outside && same "" "$(grep 10[.]88 outside)"
' 'Outside nobody knows a way to 10.88.0.0/16: masquerade. And ip_forward?'

it 'publishes a port to outside, the host, other boxes and the box itself' '
	web one -p 8080:80 && begin two --network bridge /bin/sleep 300 &&
	gets one 192.0.2.1:8080/page $there "$busybox" &&
	for address in 127.0.0.1 192.0.2.1; do
		gets one "$address:8080/page" "$busybox" || exit
	done &&
	gets one 192.0.2.1:8080/page "$WHALEBOX" exec two &&
	gets one 192.0.2.1:8080/page "$WHALEBOX" exec one &&
	box ps && want_match "^one .*8080->80/tcp" &&
	box rm -f one && in_vain 192.0.2.1:8080/page $there "$busybox"
' 'What comes by prerouting, what by output? And whose address has the answer?'

it 'keeps the loopback of the host closed to boxes' '
	server host && begin one -p 8080:80 /bin/sleep 300 &&
	within one sh -c "ip address flush dev lo
	    echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet
	    ip route add 127.0.0.0/8 via 10.88.0.1
	    timeout 3 \"$busybox\" wget -qO- http://127.0.0.1:90/page" &&
	differ 0 "$status" && want_out ""
' 'What route_localnet opened, a rule in raw prerouting has to close.'

it 'refuses a port that somebody has, before the box runs' '
	server host && box -p 90:80 /bin/echo ran && want_status 125 &&
	want_out "" && want_err "in use" && web one -p 8080:80 &&
	box -p 8080:80 /bin/echo ran && want_status 125 && want_out "" &&
	want_err "in use"
' 'DNAT takes a port from a server, and says nothing. bind(2) would say something.'

it 'gives each address once, and takes it back' '
	at_end "\"\$WHALEBOX\" network rm small" &&
	box network create small --subnet 10.99.0.0/29 && want_out small &&
	for n in 1 2 3 4 5; do
		begin box$n --network small /bin/sleep 300 &&
		value box$n address >>given || exit
	done &&
	same "$(printf "10.99.0.%s\n" 2 3 4 5 6)" "$(cat given)" &&
	box --network small /bin/true && want_status 125 &&
	want_err "no address left" && box rm -f box3 && want_status 0 &&
	box --network small /bin/true && want_status 0 &&
	kill -KILL "$(value box1 supervisor_pid)" &&
	box --network small /bin/true && want_status 0
' 'A lease is a line in a file. Who takes it away when whalebox was killed?'

it 'keeps networks apart, and has boxes of one know each other by name' '
	at_end "\"\$WHALEBOX\" network rm red" && box network create red &&
	want_out red && box network ls && want_match "^red +10[.]" &&
	web one && begin two --network red /bin/sleep 300 &&
	begin three --network bridge /bin/sleep 300 &&
	gets one http://one/page "$WHALEBOX" exec three &&
	in_vain "$(value one address)/page" "$WHALEBOX" exec two &&
	in_vain http://one/page "$WHALEBOX" exec two &&
	box rm -f one && box exec three /bin/cat /etc/hosts && want_match three &&
	want_no_match one && box network rm red && want_status 125 &&
	want_err "in use" && box rm -f two && box network rm red && want_out red
' 'What a bridge does not connect, the host would forward, unless forbidden to.'

it 'tells its steps, and their ip and nft twins' '
	box --explain --network bridge -p 8080:80 /bin/true && want_status 0 &&
	want_err "# ip link add " && want_err "# ip addr add 10.88.0.2/16 " &&
	want_err "# ip route add default via 10.88.0.1" && want_err "nft"
' 'The third argument of step().'

it 'leaves no link, rule or lease behind' '
	"$WHALEBOX" --network bridge /bin/true && note && web one -p 8080:80 &&
	box stop -t 0 one && want_status 0 && soon no_change && box rm one &&
	box --network bridge -p 8080:80 /bin/false && want_status 1 &&
	box --network bridge -p 8080:80 /nowhere && want_status 127 && nothing_left &&
	web one -p 8080:80 && kill -KILL "$(value one supervisor_pid)" &&
	box rm -f one && want_status 0 && nothing_left
' 'A veth goes with the namespace that one end is in. What does not?'

finish
