package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/spool"
)

// spool looks at where the fixes of a device ID wait.
func (e *examination) spool(id string) {
	suffix := ""
	if id != e.Config.DeviceID {
		suffix = " " + id
	}
	dir, runtime := e.Config.SpoolDirs(id)
	switch {
	case e.status != nil:
		e.spoolOfDaemon("spool" + suffix)
	case dir == "":
		e.add(Link{Name: "spool" + suffix, State: OK, Seen: "in memory: fixes not sent yet end with the daemon"})
	default:
		e.spoolFolder("spool"+suffix, dir, runtime)
	}
	e.disk("disk"+suffix, dir)
}

// spoolOfDaemon is what the daemon that uses it says.
func (e *examination) spoolOfDaemon(name string) {
	st := e.status.Spool
	held := fmt.Sprintf("%d waiting, %.1f of %.0f MiB", st.Records, mebibytes(st.Bytes), mebibytes(st.MaxBytes))
	switch {
	case st.Problem != nil:
		e.add(Link{Name: name, State: Broken, Seen: st.Problem.Cause, Mend: st.Problem.Fix})
	case st.Damaged > 0:
		e.add(Link{Name: name, State: Warning, Seen: fmt.Sprintf("%s, %d damaged places", held, st.Damaged),
			Mend: "the disk does not give back what was written: copy the SD card to a new one"})
	case st.Dropped > 0:
		e.add(Link{Name: name, State: Warning, Seen: fmt.Sprintf("%s, %d dropped for want of room", held, st.Dropped),
			Mend: "raise spool.max, or see why the server was away so long"})
	default:
		e.add(Link{Name: name, State: OK, Seen: held})
	}
}

// spoolFolder looks into the folder itself and changes nothing.
func (e *examination) spoolFolder(name, dir, runtime string) {
	if err := writable(dir); err != nil {
		e.add(Link{Name: name, State: Broken, Seen: fmt.Sprintf("%s cannot be written: %v", dir, err),
			Mend: "give it to the daemon's user, or name another folder with spool.dir"})
		return
	}
	if err := spool.Free(dir); err != nil {
		p := problem.Of(err)
		e.add(Link{Name: name, State: Broken, Seen: p.Cause, Mend: p.Fix})
		return
	}
	l, err := spool.Inspect(dir, runtime)
	if errors.Is(err, fs.ErrNotExist) {
		e.add(Link{Name: name, State: OK, Seen: dir + " is empty"})
		return
	}
	if err != nil {
		p := problem.Of(err)
		e.add(Link{Name: name, State: Broken, Seen: p.Cause, Mend: p.Fix})
		return
	}
	damaged := 0
	for _, s := range l.Segments {
		damaged += s.Damaged
	}
	held := fmt.Sprintf("%s: %d waiting, %.1f MiB", dir, l.Records, mebibytes(l.Bytes))
	switch {
	case damaged > 0:
		e.add(Link{Name: name, State: Warning, Seen: fmt.Sprintf("%s, %d damaged places", held, damaged),
			Mend: "the disk does not give back what was written: copy the SD card to a new one"})
	case l.Dropped > 0:
		e.add(Link{Name: name, State: Warning, Seen: fmt.Sprintf("%s, %d dropped for want of room", held, l.Dropped),
			Mend: "raise spool.max, or see why the server was away so long"})
	default:
		e.add(Link{Name: name, State: OK, Seen: held})
	}
}

// writable asks whether files can be made in a folder, or if it is not there yet, in the nearest one above it.
func writable(dir string) error {
	err := unix.Access(dir, unix.W_OK|unix.X_OK)
	if errors.Is(err, unix.ENOENT) && dir != filepath.Dir(dir) {
		return writable(filepath.Dir(dir))
	}
	return err
}

// disk compares the free space with what is left to others.
func (e *examination) disk(name, dir string) {
	if dir == "" {
		e.add(Link{Name: name, State: Skipped, Seen: "no spool on a disk is configured"})
		return
	}
	free, err := freeSpace(dir)
	floor := e.Config.Spool.MinFree
	seen := fmt.Sprintf("%.0f MiB free on the disk of %s", mebibytes(free), dir)
	switch {
	case err != nil:
		e.add(Link{Name: name, State: Broken, Seen: fmt.Sprintf("%s: %v", dir, err), Mend: "mount the disk, or name another folder with spool.dir"})
	case free < floor:
		e.add(Link{Name: name, State: Broken, Seen: fmt.Sprintf("%s, and %.0f MiB are to be left to others", seen, mebibytes(floor)),
			Mend: "remove files there, or lower spool.min_free"})
	default:
		e.add(Link{Name: name, State: OK, Seen: seen})
	}
}

// freeSpace is what users have left of the disk of a folder, or if it is not to be seen, of the nearest one above it.
func freeSpace(dir string) (int64, error) {
	var st unix.Statfs_t
	err := unix.Statfs(dir, &st)
	if (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EACCES)) && dir != filepath.Dir(dir) {
		return freeSpace(filepath.Dir(dir))
	}
	return int64(st.Bavail) * int64(st.Bsize), err
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }
