package observe

import (
	"bytes"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// writeProcess writes what every Go program exports, under the names that are usual for it. What the service may not see of
// the system is left out.
func writeProcess(x *exposition) {
	x.metric("go_goroutines", "Number of goroutines.")
	x.sample(float64(runtime.NumGoroutine()))
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	x.metric("go_memstats_heap_inuse_bytes", "Heap memory in use.")
	x.sample(float64(m.HeapInuse))
	if resident, ok := residentBytes(); ok {
		x.metric("process_resident_memory_bytes", "Resident memory.")
		x.sample(resident)
	}
	var use unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &use) == nil {
		seconds := func(t unix.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
		x.metric("process_cpu_seconds_total", "CPU time, user and system.")
		x.sample(seconds(use.Utime) + seconds(use.Stime))
	}
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		x.metric("process_open_fds", "Open file descriptors.")
		x.sample(float64(len(fds)))
	}
}

// residentBytes is the second number of statm, in pages (proc(5)).
func residentBytes() (float64, bool) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseFloat(string(fields[1]), 64)
	return pages * float64(os.Getpagesize()), err == nil
}
