// Package page holds the viewer page: plain ES modules, SVG and canvas that a browser runs as they are. It owns what the
// page looks like, and knows nothing of how it is served.
//
// The page asks its own origin for everything: the WebSocket of a group, the HTTP API, its static files under /static/, and
// under /dist/ what is generated (go generate) and need not be there: the map with OpenLayers under it that draws a base
// map, made of src with npm, and the licences of what is in it.
package page

import (
	"embed"
	"io/fs"
)

//go:generate npm ci
//go:generate npm run build

//go:embed static
var static embed.FS

// dist holds generated files that are in no repository: a clone has none, and the page works without.
//
//go:embed all:dist
var dist embed.FS

// Files are the files of the page; index.html is the page itself.
func Files() fs.FS { return sub(static, "static") }

// Dist are the generated files that were there when the program was built.
func Dist() fs.FS { return sub(dist, "dist") }

func sub(files embed.FS, directory string) fs.FS {
	below, err := fs.Sub(files, directory)
	if err != nil {
		return files // cannot be: the name is valid
	}
	return below
}
