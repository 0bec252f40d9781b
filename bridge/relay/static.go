package relay

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"time"

	"gpsbridge/bridge/relay/page"
)

// servePage serves the viewer page: index.html at /, everything else under
// /static/. The files carry a hash of their content, so that a browser asks
// again after an upgrade and is told "not modified" otherwise.
func servePage(mux *http.ServeMux) {
	files := page.Files()
	fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		if name == "index.html" {
			mux.HandleFunc("GET /{$}", serveFile(name, data))
			return nil
		}
		mux.HandleFunc("GET "+path.Join("/static", name), serveFile(name, data))
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
