package bridge

import "runtime/debug"

// version is set at link time: -ldflags "-X gpsbridge/bridge.version=1.2.3".
var version string

// Version returns the version of this build: what was linked in, else the commit that Go recorded, else "devel".
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return "devel-" + s.Value[:12]
			}
		}
	}
	return "devel"
}
