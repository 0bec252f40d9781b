//go:build !linux

package simulated

import (
	"context"
	"os"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/sim"
	"gpsbridge/bridge/receiver/source"
)

// pipe is the simulated line on systems whose pseudo-terminals are not used.
type pipe struct {
	source.Base
	*os.File
}

func (s simulated) open(_ context.Context, r *sim.Receiver, _ source.Host) (source.Stream, error) {
	return pipe{source.Base(r.Path()), r.Pipe()}, nil
}

func (pipe) Silent() *problem.Problem        { return nil }
func (pipe) Lost(err error) *problem.Problem { return problem.Of(err) }
