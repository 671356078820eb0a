package pid1

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"platen/agent/pid1/dhcp"
)

// netConfig is the file "network" of the configuration: "key=value" lines, or nothing for
// addresses by DHCP.
//
//	interface=eth0              the first one, unless said
//	address=192.0.2.7/24        a fixed address, with
//	gateway=192.0.2.1
//	dns=192.0.2.1               as often as there are servers
type netConfig struct {
	iface   string
	address netip.Prefix
	gateway netip.Addr
	dns     []netip.Addr
}

func parseNetwork(text string) (c netConfig, err error) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		k, v, _ := strings.Cut(line, "=")
		switch k, v = strings.TrimSpace(k), strings.TrimSpace(v); k {
		case "interface":
			c.iface = v
		case "address":
			c.address, err = netip.ParsePrefix(v)
		case "gateway":
			c.gateway, err = netip.ParseAddr(v)
		case "dns":
			var a netip.Addr
			if a, err = netip.ParseAddr(v); err == nil {
				c.dns = append(c.dns, a)
			}
		default:
			err = fmt.Errorf("unknown key %q", k)
		}
		if err != nil {
			return c, fmt.Errorf("the file network: %w", err)
		}
	}
	if c.address.IsValid() && !c.address.Addr().Is4() || c.gateway.IsValid() && !c.gateway.Is4() {
		return c, errors.New("the file network: addresses are of IPv4")
	}
	return c, nil
}

const resolvConf = "/run/resolv.conf" // /etc/resolv.conf points there

// retryTime is how long is waited before the network is tried again.
const retryTime = 10 * time.Second

// network brings the interfaces up. A printer without a network prints: what fails here is
// said, and tried again for as long as the board runs.
func (b *board) network() error {
	c, err := readNetwork(filepath.Join(configDir, "network"))
	if err == nil {
		err = linkUp("lo")
	}
	if err != nil {
		b.say("no network: %v", err)
		return nil
	}
	l := link{conf: c, say: b.say}
	ctx, cancel := context.WithCancel(context.Background())
	if c.address.IsValid() && l.connect(ctx) == nil {
		cancel()
		return nil
	}
	done := make(chan struct{})
	b.renew = func() { cancel(); <-done }
	go func() {
		defer close(done)
		again(ctx, l.connect, func() { dhcp.Pause(ctx, retryTime) }, b.say)
	}()
	return nil
}

// readNetwork is the configuration in a file that need not be there.
func readNetwork(path string) (netConfig, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return netConfig{}, err
	}
	return parseNetwork(string(text))
}

// again does try until it succeeds or ctx ends, and says why it fails, once each time that
// this changes.
func again(ctx context.Context, try func(context.Context) error, wait func(), say func(string, ...any)) {
	for said := ""; ctx.Err() == nil; wait() {
		err := try(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		if err.Error() != said {
			said = err.Error()
			say("no network: %v", err)
		}
	}
}

// link is the interface to the network.
type link struct {
	conf netConfig
	say  func(string, ...any)

	has  netip.Prefix // the address it was given last
	on   string       // the interface that has it
	told bool
}

// connect brings the interface up and gives it its address, which DHCP keeps until ctx ends.
func (l *link) connect(ctx context.Context) (err error) {
	c := l.conf
	if c.iface == "" {
		if c.iface, err = firstInterface("/sys/class/net"); err != nil {
			return err
		}
	}
	if err := linkUp(c.iface); err != nil {
		return err
	}
	if c.address.IsValid() {
		return l.apply(c)
	}
	return dhcp.Keep(ctx, c.iface, func(lease dhcp.Lease) error {
		c.address, c.gateway, c.dns = netip.PrefixFrom(lease.Address, lease.Bits), lease.Gateway, l.conf.dns
		if len(lease.DNS) > 0 {
			c.dns = lease.DNS
		}
		err := l.apply(c)
		if err == nil && !l.told {
			l.say("network has an address")
			l.told = true
		}
		return err
	})
}

// firstInterface is the first by name that is not the loopback.
func firstInterface(class string) (string, error) {
	list, err := os.ReadDir(class)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(list, func(e fs.DirEntry) bool { return e.Name() != "lo" && !strings.Contains(e.Name(), "bonding") })
	if i < 0 {
		return "", errors.New("no interface: its module may be missing in the image")
	}
	return list[i].Name(), nil
}

// reversePath drops what comes from where nothing is sent to: only once there is an address,
// for the answers of DHCP come from nowhere before.
const reversePath = "/proc/sys/net/ipv4/conf/all/rp_filter"

// apply gives the interface its address, in place of the one it had, the way out, and the
// servers of names.
func (l *link) apply(c netConfig) error {
	iface, err := net.InterfaceByName(c.iface)
	if err != nil {
		return err
	}
	had := l.has
	if l.on != c.iface {
		had = netip.Prefix{}
	}
	if old := replaced(iface.Index, had, c.address); old != nil {
		if err := netlink(old); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("remove the address before: %w", err)
		}
	}
	if err := netlink(addressMessage(iface.Index, c.address)); err != nil {
		return fmt.Errorf("set the address: %w", err)
	}
	l.has, l.on = c.address, c.iface
	if c.gateway.IsValid() {
		if err := netlink(routeMessage(iface.Index, c.gateway)); err != nil {
			return fmt.Errorf("set the gateway: %w", err)
		}
	}
	var text strings.Builder
	for _, a := range c.dns {
		fmt.Fprintf(&text, "nameserver %s\n", a)
	}
	return errors.Join(os.WriteFile(resolvConf, []byte(text.String()), 0o644), os.WriteFile(reversePath, []byte("1"), 0))
}

func linkUp(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq(name)
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, req)
	}
	if err == nil {
		req.SetUint16(req.Uint16() | unix.IFF_UP)
		err = unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
	}
	if err != nil {
		return fmt.Errorf("bring %s up: %w", name, err)
	}
	return nil
}

// attr is an attribute of a message of rtnetlink(7).
func attr(kind uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofRtAttr+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	return append(b, make([]byte, -len(b)&3)...)
}

// replacing has what is there replaced.
const replacing = unix.NLM_F_CREATE | unix.NLM_F_REPLACE

// message is a whole one, to be acknowledged.
func message(kind, flags uint16, parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_ACK|flags)
	b = append(b, make([]byte, 8)...) // sequence, port
	return append(b, body...)
}

// addressMessage is RTM_NEWADDR with struct ifaddrmsg.
func addressMessage(index int, p netip.Prefix) []byte {
	return message(unix.RTM_NEWADDR, replacing, address(index, p))
}

// replaced is RTM_DELADDR for the address that an interface had, nil if it keeps it. It goes
// before the new one comes: with the first address of a network go those that came after it.
func replaced(index int, had, next netip.Prefix) []byte {
	if !had.IsValid() || had == next {
		return nil
	}
	return message(unix.RTM_DELADDR, 0, address(index, had))
}

func address(index int, p netip.Prefix) []byte {
	addr := p.Addr().AsSlice()
	head := binary.NativeEndian.AppendUint32([]byte{unix.AF_INET, byte(p.Bits()), 0, unix.RT_SCOPE_UNIVERSE}, uint32(index))
	return slices.Concat(head, attr(unix.IFA_LOCAL, addr), attr(unix.IFA_ADDRESS, addr))
}

// routeMessage is RTM_NEWROUTE with struct rtmsg: everything by the gateway.
func routeMessage(index int, gateway netip.Addr) []byte {
	head := []byte{unix.AF_INET, 0, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST, 0, 0, 0, 0}
	return message(unix.RTM_NEWROUTE, replacing, head, attr(unix.RTA_GATEWAY, gateway.AsSlice()), attr(unix.RTA_OIF, binary.NativeEndian.AppendUint32(nil, uint32(index))))
}

const netlinkTime = 5 * time.Second

// netlink sends one message and awaits the kernel's word on it.
func netlink(msg []byte) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	tv := unix.NsecToTimeval(netlinkTime.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		return err
	}
	if err := unix.Sendto(fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		return err
	}
	if n < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(buf[4:]) != unix.NLMSG_ERROR {
		return errors.New("the kernel's answer is no acknowledgement")
	}
	if code := int32(binary.NativeEndian.Uint32(buf[unix.SizeofNlMsghdr:])); code != 0 && syscall.Errno(-code) != unix.EEXIST {
		return syscall.Errno(-code)
	}
	return nil
}
