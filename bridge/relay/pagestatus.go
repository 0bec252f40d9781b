package relay

import (
	"io/fs"
	"os"

	"gpsbridge/bridge/relay/page"
)

// PageStatus says what the viewer page may ask for beside its own files. A
// browser writes an error on its console for everything that it asks for in
// vain, so the page asks for nothing that is not there.
type PageStatus struct {
	Map     bool `json:"map"`     // /dist/map.js was generated
	Basemap bool `json:"basemap"` // /basemap.pmtiles can be read
}

func (r *Relay) pageStatus() PageStatus {
	_, err := fs.Stat(page.Dist(), "map.js")
	s := PageStatus{Map: err == nil}
	if r.config.Basemap != "" {
		_, err = os.Stat(r.config.Basemap)
		s.Basemap = err == nil
	}
	return s
}
