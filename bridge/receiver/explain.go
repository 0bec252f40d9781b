package receiver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"go.bug.st/serial"
)

// explain makes the one line that a person needs of a port that cannot be opened: what is wrong with which port, and the
// mend.
func explain(path string, err error) error {
	var portErr *serial.PortError
	errors.As(err, &portErr)
	is := func(code serial.PortErrorCode) bool { return portErr != nil && portErr.Code() == code }
	switch {
	case errors.Is(err, fs.ErrNotExist) || is(serial.PortNotFound):
		return missingError(fmt.Sprintf("%s does not exist: plug the receiver in, or name another port with --device", path))
	case errors.Is(err, syscall.EPERM):
		// File permissions refuse with EACCES; EPERM on an open is a device policy, which systemd's DeviceAllow sets.
		return fmt.Errorf("%s is forbidden to this service: list its kind in the unit's DeviceAllow", path)
	case errors.Is(err, fs.ErrPermission) || is(serial.PermissionDenied):
		return denied(path)
	case errors.Is(err, syscall.EBUSY) || is(serial.PortBusy):
		// By which one is not to be seen: it is another user's, and a service may be kept from seeing any.
		return heldError(fmt.Sprintf("%s is held by another program: \"sudo gpsbridge doctor --device %s\" names it, and how to stop it", path, path))
	case errors.Is(err, syscall.ENXIO), errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.EIO):
		return fmt.Errorf("%s has no hardware behind it (%v): plug the receiver in, or name another port with --device", path, cause(err))
	case is(serial.InvalidSpeed):
		return fmt.Errorf("%s does not know this speed: use another ?baud=, receivers have 4800 to 921600", path)
	default:
		return fmt.Errorf("open %s: %w", path, cause(err))
	}
}

// missingError is that of a port which is not there.
type missingError string

func (e missingError) Error() string { return string(e) }

// goneError is that of a port which failed while it was open.
type goneError string

func (e goneError) Error() string { return string(e) }

// heldError is that of a port which refused to be opened because another program holds it.
type heldError string

func (e heldError) Error() string { return string(e) }

func (e heldError) Is(target error) bool { return target == syscall.EBUSY }

// deniedError is that of a port whose file mode keeps us out.
type deniedError struct {
	text    string
	changed time.Time // the file's mode or owner, or its making
}

func (e *deniedError) Error() string { return e.text }

// udevSettles is how long after a port has come udev may take to let its group in: it runs its rules in well under a second
// on a board that is not just booting.
const udevSettles = 2 * time.Second

// justCome says that a port which keeps us out may let us in in a moment.
func justCome(err error, now time.Time) bool {
	var denied *deniedError
	if !errors.As(err, &denied) {
		return false
	}
	age := now.Sub(denied.changed)
	return age >= 0 && age < udevSettles
}

// denied names the group that a port is open to, and how to join it.
func denied(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%s: permission denied, and it cannot be looked at (%v)", path, cause(err))
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: permission denied", path)
	}
	changed := time.Unix(stat.Ctim.Unix())
	if info.Mode().Perm()&0o060 != 0o060 {
		return &deniedError{fmt.Sprintf("%s: permission denied, its mode %v lets no group in: \"sudo chmod g+rw %s\", or a udev rule that does it",
			path, info.Mode().Perm(), path), changed}
	}
	group := groupName(strconv.Itoa(int(stat.Gid)))
	me := "$USER"
	if u, err := user.Current(); err == nil {
		me = u.Username
	}
	return &deniedError{fmt.Sprintf("%s: permission denied, it is open to group %s: \"sudo usermod -aG %s %s\", then log in again",
		path, group, group, me), changed}
}

// groupName returns the name of a group, or its number where it has none.
func groupName(id string) string {
	if g, err := user.LookupGroupId(id); err == nil {
		return g.Name
	}
	return id
}

// cause strips what a PathError repeats: the operation and the path, which the line names already.
func cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
