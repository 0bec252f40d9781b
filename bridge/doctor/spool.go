package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/spool"
)

// examineSpool examines where the fixes of a device ID wait.
func examineSpool(name string, st *observe.Status, dir, runtime string) Link {
	switch {
	case st != nil:
		return spoolOfDaemon(name, st.Spool)
	case dir == "":
		return ok(name, "in memory: fixes not sent yet are lost when the daemon ends")
	}
	return spoolDirectory(name, dir, runtime)
}

// spoolOfDaemon judges what the daemon reports of its own.
func spoolOfDaemon(name string, st spool.Stats) Link {
	if st.Problem != nil {
		return broken(name, st.Problem)
	}
	held := fmt.Sprintf("%d waiting, %.1f of %.0f MiB", st.Records, mebibytes(st.Bytes), mebibytes(st.MaxBytes))
	return spoolHolds(name, held, int(st.Damaged), st.Dropped)
}

// spoolHolds judges a spool that works by what it has lost.
func spoolHolds(name, held string, damaged int, dropped uint64) Link {
	switch {
	case damaged > 0:
		return warning(name, &problem.Problem{Code: SpoolDamaged, Key: "spool.dir", Cause: fmt.Sprintf("%s, %d damaged places", held, damaged),
			Fix: "the disk does not return what was written: copy the SD card to a new one"})
	case dropped > 0:
		return warning(name, &problem.Problem{Code: SpoolDropped, Key: "spool.max", Cause: fmt.Sprintf("%s, %d dropped because it was full", held, dropped),
			Fix: "raise spool.max, or find out why the server was away so long"})
	}
	return ok(name, held)
}

// spoolDirectory looks into the directory itself and changes nothing.
func spoolDirectory(name, dir, runtime string) Link {
	if err := writable(dir); err != nil {
		return broken(name, &problem.Problem{Code: SpoolNotWritable, Key: "spool.dir", Cause: fmt.Sprintf("%s cannot be written: %v", dir, err),
			Fix: "give it to the daemon's user, or name another directory with spool.dir"})
	}
	if err := spool.Free(dir); err != nil {
		return broken(name, problem.Of(err))
	}
	l, err := spool.Inspect(dir, runtime)
	if errors.Is(err, fs.ErrNotExist) {
		return ok(name, dir+" is empty")
	}
	if err != nil {
		return broken(name, problem.Of(err))
	}
	damaged := 0
	for _, s := range l.Segments {
		damaged += s.Damaged
	}
	return spoolHolds(name, fmt.Sprintf("%s: %d waiting, %.1f MiB", dir, l.Records, mebibytes(l.Bytes)), damaged, l.Dropped)
}

// writable checks that files can be made in a directory, or if it does not exist yet, in the nearest one above it.
func writable(dir string) error {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return unix.ENOTDIR
	}
	err := unix.Access(dir, unix.W_OK|unix.X_OK)
	if errors.Is(err, unix.ENOENT) && dir != filepath.Dir(dir) {
		return writable(filepath.Dir(dir))
	}
	return err
}

// examineDisk compares the free space with floor, what is to be left to other programs.
func examineDisk(name, dir string, floor int64) Link {
	if dir == "" {
		return skipped(name, "no spool on a disk is configured")
	}
	free, err := freeSpace(dir)
	seen := fmt.Sprintf("%.0f MiB free on the disk of %s", mebibytes(free), dir)
	switch {
	case err != nil:
		return broken(name, &problem.Problem{Code: DiskUnreadable, Key: "spool.dir", Cause: fmt.Sprintf("%s: %v", dir, err),
			Fix: "mount the disk, or name another directory with spool.dir"})
	case free < floor:
		return broken(name, &problem.Problem{Code: DiskLow, Key: "spool.min_free", Cause: fmt.Sprintf("%s, and %.0f MiB are to be left to others", seen, mebibytes(floor)),
			Fix: "remove files there, or lower spool.min_free"})
	}
	return ok(name, seen)
}

// freeSpace is what users have left of the disk of a directory, or if it cannot be examined, of the nearest one above it.
func freeSpace(dir string) (int64, error) {
	var st unix.Statfs_t
	err := unix.Statfs(dir, &st)
	if (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EACCES)) && dir != filepath.Dir(dir) {
		return freeSpace(filepath.Dir(dir))
	}
	return int64(st.Bavail) * int64(st.Bsize), err
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }
