package realtest

import (
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"gpsbridge/bridge/realtest/netns"
)

// Delay has everything that the host sends or receives take so much longer until Restore, as over a distance.
func (h *Host) Delay(by time.Duration) {
	t := h.network.t
	t.Helper()
	h.Restore()
	near, far := fmt.Sprintf("near%d", h.number), fmt.Sprintf("far%d", h.number)
	h.network.run(h.network.control, fmt.Sprintf(`ip link add %[1]s type veth peer name %[2]s; ip link set %[1]s up
		ip link set %[3]s nomaster; ip link set %[2]s master switch up`, near, far, h.port()))
	d, err := startDetour(h.network.control, h.port(), near, by)
	if err != nil {
		t.Fatalf("delay the network of a host: %v", err)
	}
	h.detour = d
	t.Cleanup(d.end)
}

// Restore ends Delay. What is on its way is lost, as any network may lose it.
func (h *Host) Restore() {
	h.network.t.Helper()
	if h.detour == nil {
		return
	}
	h.detour.end()
	h.detour = nil
	h.network.run(h.network.control, fmt.Sprintf("ip link del near%d; ip link set %s master switch", h.number, h.port()))
}

// detour carries frames between two interfaces, each as much later. The kernel has a queueing discipline for that (netem), which many
// are built without.
type detour struct {
	ends [2]*os.File
	done sync.WaitGroup
	once sync.Once
}

const (
	// detourFrames is how many frames are on their way at the most in one direction: those of 100 Mbit/s in a third of a second. More are lost.
	detourFrames = 4096
	// largestFrame is in bytes with the header that states what a network card would do with the frame: between interfaces of
	// the kernel frames are as long as an IP packet may be, and their checksums are not filled in.
	largestFrame = 10 + 14 + 1<<16
)

// frame is one on its way.
type frame struct {
	due  time.Time
	data []byte
}

func startDetour(at netns.Namespace, one, other string, by time.Duration) (*detour, error) {
	d := new(detour)
	for i, name := range []string{one, other} {
		err := at.Do(func() (err error) {
			d.ends[i], err = framesOf(name)
			return err
		})
		if err != nil {
			d.end()
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	d.carry(d.ends[0], d.ends[1], by)
	d.carry(d.ends[1], d.ends[0], by)
	return d, nil
}

// framesOf opens an interface to read the frames that come in by it, and to write ones that are to leave by it.
func framesOf(name string) (*os.File, error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	s, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(s), name)
	for option, value := range map[[2]int]int{
		{unix.SOL_PACKET, unix.PACKET_VNET_HDR}:        1,
		{unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING}: 1,
		{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE}:         16 << 20,
		{unix.SOL_SOCKET, unix.SO_SNDBUFFORCE}:         16 << 20,
	} {
		if err := unix.SetsockoptInt(s, option[0], option[1], value); err != nil {
			_ = f.Close()
			return nil, err
		}
	}
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in the order of the network
	if err := unix.Bind(s, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Index}); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// carry passes on what comes in at one end.
func (d *detour) carry(from, to *os.File, by time.Duration) {
	frames := make(chan frame, detourFrames)
	d.done.Go(func() {
		defer close(frames)
		b := make([]byte, largestFrame)
		for {
			n, err := from.Read(b)
			if err != nil {
				return
			}
			select {
			case frames <- frame{time.Now().Add(by), append([]byte(nil), b[:n]...)}:
			default:
			}
		}
	})
	d.done.Go(func() {
		for f := range frames {
			<-time.After(time.Until(f.due))
			_, _ = to.Write(f.data) // where the cable is cut, or the end was closed, the frame is lost
		}
	})
}

// end may be called again.
func (d *detour) end() {
	d.once.Do(func() {
		for _, f := range d.ends {
			_ = f.Close()
		}
		d.done.Wait()
	})
}
