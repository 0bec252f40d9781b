package doctor

import (
	"context"

	"gpsbridge/bridge/layer"
)

// ExamineLayer examines the channel layer of a tracking server and returns what it found as links, in order. each, if set, is called with
// each link as soon as it has been examined.
func ExamineLayer(ctx context.Context, config layer.Config, each func(Link)) []Link {
	c := &chain{each: each}
	layer.Examine(ctx, config, func(f layer.Finding) {
		switch {
		case f.Skipped:
			c.add(skipped(f.Name, f.Seen))
		case f.Broken:
			c.add(broken(f.Name, f.Problem))
		case f.Problem != nil:
			c.add(warning(f.Name, f.Problem))
		default:
			c.add(ok(f.Name, f.Seen))
		}
	})
	return c.links
}
