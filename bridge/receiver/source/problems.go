package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"gpsbridge/bridge/problem"
)

// CheckPower is the fix for a receiver that sends nothing.
const CheckPower = "check the receiver's power and cable"

// SilentPort is the problem of a port on which nothing comes.
func SilentPort(port string) *problem.Problem {
	return &problem.Problem{Code: Silent, Cause: port + " sends nothing", Fix: CheckPower}
}

// LostPort is the problem of a port that failed while it was open.
func LostPort(port string, err error) *problem.Problem {
	if errors.Is(err, io.EOF) {
		err = errors.New("hung up") // the meaning of a terminal's end of file
	}
	return &problem.Problem{Code: PortLost, Cause: fmt.Sprintf("%s went away (%v)", port, Cause(err)), Fix: "plug the receiver in again", Err: err}
}

// Cause strips what a PathError repeats: the operation and the path, which the problem names already.
func Cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
