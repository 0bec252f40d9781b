// Command probe stands in for gpsbridge in its service and tries what the service may and may not do: one attempt an
// argument, one line of outcome each, "ok" or the error's name.
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

func main() {
	for _, attempt := range os.Args[1:] {
		what, target, _ := strings.Cut(attempt, ":")
		fmt.Printf("PROBE %s %s\n", attempt, outcome(try(what, os.ExpandEnv(target))))
	}
}

func try(what, target string) error {
	switch what {
	case "write":
		return os.WriteFile(target, []byte("x"), 0o600)
	case "open":
		f, err := os.OpenFile(target, os.O_RDWR|syscall.O_NONBLOCK, 0)
		if err == nil {
			f.Close()
		}
		return err
	case "exec":
		return exec.Command(target).Run()
	case "send":
		conn, err := net.Dial("udp", target)
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte("x"))
		return err
	case "netlink":
		fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW, 0)
		if err == nil {
			syscall.Close(fd)
		}
		return err
	case "hostname":
		return syscall.Sethostname([]byte(target))
	case "writable-code":
		_, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_READ|syscall.PROT_WRITE|syscall.PROT_EXEC, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		return err
	}
	return errors.New("unknown attempt")
}

// outcome names a result as errno(3) does, where it is one of those that are waited for.
func outcome(err error) string {
	names := map[syscall.Errno]string{
		syscall.EPERM: "EPERM", syscall.EACCES: "EACCES", syscall.EROFS: "EROFS", syscall.ENXIO: "ENXIO", syscall.ENODEV: "ENODEV",
		syscall.ENOENT: "ENOENT", syscall.EAFNOSUPPORT: "EAFNOSUPPORT", syscall.EIO: "EIO",
	}
	var errno syscall.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &errno) && names[errno] != "":
		return names[errno]
	default:
		return err.Error()
	}
}
