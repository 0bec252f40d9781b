package directory

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// pathOnly opens a directory that is only walked through, which need not be readable.
const pathOnly = unix.O_PATH

// asOwner does something to the files of d: for root with the rights of the owner, so that what is made is the owner's and nothing
// else can be reached. The system keeps these rights for each thread.
func (d *Directory) asOwner(do func() error) error {
	if os.Geteuid() != 0 || d.user == 0 {
		return do()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Root may always, and if it was denied that right (CAP_SETUID), it acts as itself: then too no link is followed.
	_ = unix.Setfsgid(d.group)
	_ = unix.Setfsuid(d.user)
	defer unix.Setfsgid(os.Getegid())
	defer unix.Setfsuid(0)
	return do()
}
