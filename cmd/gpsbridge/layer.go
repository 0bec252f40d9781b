package main

import (
	"context"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/doctor"
	"gpsbridge/cmd/internal/command"
)

// examineLayer prints what is broken between a relay and the channel layer of its configuration.
func examineLayer(ctx context.Context, p command.Process, c config.Server, asJSON bool) error {
	if c.Layer == nil {
		return command.Misusef("no channel layer is configured: name it with --layer URL, or a file with a section [relay.layer] with -c FILE")
	}
	return printLinks(ctx, p, asJSON, func(each func(doctor.Link)) []doctor.Link { return doctor.ExamineLayer(ctx, *c.Layer, each) })
}
