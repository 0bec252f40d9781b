package serial

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	bugst "go.bug.st/serial"
	"golang.org/x/sys/unix"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

const plugIn = "plug the receiver in, or name another port with --device"

// explain makes a problem of an error that opening a port returned.
func explain(path string, err error) *problem.Problem {
	var portErr *bugst.PortError
	errors.As(err, &portErr)
	is := func(code bugst.PortErrorCode) bool { return portErr != nil && portErr.Code() == code }
	p := &problem.Problem{Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist) || is(bugst.PortNotFound):
		p.Code, p.Cause, p.Fix = source.PortMissing, path+" does not exist", plugIn
	case errors.Is(err, syscall.EPERM):
		// File permissions refuse with EACCES; EPERM on an open is a device policy, which systemd's DeviceAllow sets.
		p.Code, p.Cause, p.Fix = source.DevicePolicy, path+" is forbidden to this service", "list its kind in the unit's DeviceAllow"
	case errors.Is(err, fs.ErrPermission) || is(bugst.PermissionDenied):
		return denied(path, time.Now())
	case errors.Is(err, syscall.EBUSY) || is(bugst.PortBusy):
		// The other program is not visible here: it is another user's, and a service may be kept from seeing any.
		p.Code, p.Cause = source.Held, path+" is held by another program"
		p.Fix = fmt.Sprintf("\"sudo gpsbridge doctor --device %s\" names it, and how to stop it", path)
	case errors.Is(err, syscall.ENXIO), errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.EIO):
		p.Code, p.Cause, p.Fix = source.NoHardware, fmt.Sprintf("%s has no hardware behind it (%v)", path, source.Cause(err)), plugIn
	case is(bugst.InvalidSpeed):
		p.Code, p.Cause, p.Fix = source.Speed, path+" does not know this speed", "use another ?baud=, receivers have 4800 to 921600"
	default:
		p.Code, p.Cause = source.PortFailed, fmt.Sprintf("open %s: %v", path, source.Cause(err))
	}
	return p
}

// udevSettles is how long after a port has appeared udev may take to set its group: it runs its rules in well under a second
// on a board that is not just booting.
const udevSettles = 2 * time.Second

// denied names the group that a port is open to, and how to join it.
func denied(path string, now time.Time) *problem.Problem {
	p := &problem.Problem{Code: source.Permission}
	info, err := os.Stat(path)
	if err != nil {
		p.Cause, p.Err = fmt.Sprintf("%s: permission denied, and it cannot be examined (%v)", path, source.Cause(err)), err
		return p
	}
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		p.Cause = path + ": permission denied"
		return p
	}
	if settling(time.Unix(stat.Ctim.Unix()), now) {
		p.Err = source.ErrSettling
	}
	if info.Mode().Perm()&0o060 != 0o060 {
		p.Cause = fmt.Sprintf("%s: permission denied, its mode %v lets no group in", path, info.Mode().Perm())
		p.Fix = fmt.Sprintf("\"sudo chmod g+rw %s\", or a udev rule that does it", path)
		return p
	}
	group := groupName(strconv.Itoa(int(stat.Gid)))
	me := "$USER"
	if u, err := user.Current(); err == nil {
		me = u.Username
	}
	p.Cause = fmt.Sprintf("%s: permission denied, it is open to group %s", path, group)
	p.Fix = fmt.Sprintf("\"sudo usermod -aG %s %s\", then log in again", group, me)
	return p
}

// settling reports whether a device file has changed so recently that udev may still work on it.
func settling(changed, now time.Time) bool {
	age := now.Sub(changed)
	return age >= 0 && age < udevSettles
}

// groupName returns the name of a group, or its number where it has none.
func groupName(id string) string {
	if g, err := user.LookupGroupId(id); err == nil {
		return g.Name
	}
	return id
}
