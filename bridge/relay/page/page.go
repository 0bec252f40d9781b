// Package page holds the viewer page: plain ES modules, SVG and canvas that a
// browser runs as they are. It owns what the page looks like, and knows nothing
// of how it is served.
//
// The page asks its own origin for three things: the WebSocket of a group,
// GET /api/v1/status, and its static files under /static/.
package page

import (
	"embed"
	"io/fs"
)

//go:embed static
var static embed.FS

// Files are the files of the page; index.html is the page itself.
func Files() fs.FS {
	sub, err := fs.Sub(static, "static")
	if err != nil {
		return static // cannot be: the name is valid
	}
	return sub
}
