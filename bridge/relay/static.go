package relay

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"gpsbridge/bridge/relay/page"
)

// servePage serves the viewer page: index.html at /, everything else under
// /static/, and what was generated beside it under /dist/. The files carry a hash
// of their content, so that a browser asks again after an upgrade and is told
// "not modified" otherwise.
func servePage(mux *http.ServeMux) {
	serveFiles(mux, page.Files(), "/static")
	serveFiles(mux, page.Dist(), "/dist")
}

func serveFiles(mux *http.ServeMux, files fs.FS, below string) {
	fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		where := path.Join(below, name)
		if where == "/static/index.html" {
			where = "/{$}"
		}
		mux.HandleFunc("GET "+where, serveFile(name, data))
		return nil
	})
}

func serveFile(name string, data []byte) http.HandlerFunc {
	sum := sha256.Sum256(data)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("ETag", tag)
		w.Header().Set("Cache-Control", "no-cache")
		http.ServeContent(w, q, name, time.Time{}, bytes.NewReader(data))
	}
}

// serveBasemap serves the base map as it is on disk now, with range requests,
// which is how a PMTiles archive is read.
func (r *Relay) serveBasemap(w http.ResponseWriter, q *http.Request) {
	f, err := os.Open(r.config.Basemap)
	if err != nil {
		r.log.Debug("no base map", "err", err)
		answerError(w, q, http.StatusNotFound, "the file that relay.basemap names cannot be read")
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		answerError(w, q, http.StatusNotFound, "relay.basemap does not name a file")
		return
	}
	// A reader that puts ranges of two files together would see garbage, so each
	// version has a tag of its own.
	w.Header().Set("ETag", fmt.Sprintf(`"%x-%x"`, info.Size(), info.ModTime().UnixNano()))
	w.Header().Set("Cache-Control", "private, max-age=3600")
	w.Header().Set("Content-Type", "application/vnd.pmtiles")
	http.ServeContent(w, q, "", info.ModTime(), f)
}
