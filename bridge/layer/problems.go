package layer

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/rueidis"

	"gpsbridge/bridge/problem"
)

// Codes of what keeps a layer from carrying messages.
const (
	CodeStarting    problem.Code = "layer-starting"     // no session has begun yet
	CodeUnreachable problem.Code = "layer-unreachable"  // Redis does not answer
	CodeCertificate problem.Code = "layer-certificate"  // Redis' certificate is not trusted
	CodeLogin       problem.Code = "layer-login"        // Redis does not take user and password
	CodeDenied      problem.Code = "layer-denied"       // the user may not do what the layer needs
	CodeLoading     problem.Code = "layer-loading"      // Redis reads its data from disk
	CodeNoMaster    problem.Code = "layer-no-master"    // the server is a replica, or the Sentinels know no master
	CodeKindUnclear problem.Code = "layer-kind-unclear" // kind = "auto" finds signs of both kinds, or of none
	CodeLost        problem.Code = "layer-lost"         // a session ended: a connection broke, or the master changed
	CodeRefused     problem.Code = "layer-refused"      // Redis refused a command
	CodeForeignKey  problem.Code = "layer-foreign-key"  // a key is of another type than the layer writes
)

// The first words of Redis' errors that are looked at; they are part of its protocol.
const (
	replyReadOnly   = "READONLY"
	replyMasterDown = "MASTERDOWN"
	replyLoading    = "LOADING"
	replyNoAuth     = "NOAUTH"
	replyWrongPass  = "WRONGPASS"
	replyNoPerm     = "NOPERM"
	replyWrongType  = "WRONGTYPE"
	replyError      = "ERR" // all others, those of scripts too
)

// reply is the first word of an error that Redis answered; "" for other errors. Of those that begin with ERR rueidis gives what follows.
func reply(err error) string {
	var answered *rueidis.RedisError
	if !errors.As(err, &answered) || answered.IsNil() {
		return ""
	}
	word, _, _ := strings.Cut(answered.Error(), " ")
	if strings.ToUpper(word) != word {
		return replyError
	}
	return word
}

// ends reports whether an error shows that its session is over: the connection is broken, or the server is not a master.
func ends(err error) bool {
	switch reply(err) {
	case replyReadOnly, replyMasterDown, replyLoading:
		return true
	}
	return reply(err) == ""
}

// fault is the problem that an error of Redis at address shows.
func fault(address string, err error) *problem.Problem {
	var known *problem.Problem
	if errors.As(err, &known) {
		return known
	}
	var unknown *tls.CertificateVerificationError
	if errors.As(err, &unknown) {
		return &problem.Problem{Code: CodeCertificate, Key: "ca_file", Cause: fmt.Sprintf("the certificate of Redis at %s is not trusted: %v", address, unknown.Err),
			Fix: "name the file of the authority that signed it, and the host as the certificate names it", Err: err}
	}
	switch reply(err) {
	case replyNoAuth, replyWrongPass:
		return &problem.Problem{Code: CodeLogin, Key: "url", Cause: fmt.Sprintf("Redis at %s does not accept user and password", address),
			Fix: "write those of CHANNEL_LAYERS into the URL, or the password into password_file", Err: err}
	case replyNoPerm:
		return &problem.Problem{Code: CodeDenied, Key: "url", Cause: fmt.Sprintf("Redis at %s: %v", address, err),
			Fix: "allow the user this command, these keys and channels (ACL SETUSER)", Err: err}
	case replyLoading:
		return &problem.Problem{Code: CodeLoading, Cause: fmt.Sprintf("Redis at %s reads its data from disk", address), Fix: "wait until it has", Err: err}
	case replyReadOnly, replyMasterDown:
		return notMaster(address, err)
	case replyWrongType:
		return &problem.Problem{Code: CodeForeignKey, Cause: fmt.Sprintf("something else uses a key of this layer in Redis at %s", address),
			Fix: "delete the key, or choose another stream or prefix", Err: err}
	case "":
		return &problem.Problem{Code: CodeUnreachable, Key: "url", Cause: fmt.Sprintf("no connection to Redis at %s: %v", address, err),
			Fix: "start it, or correct the URL", Err: err}
	}
	return &problem.Problem{Code: CodeRefused, Cause: fmt.Sprintf("Redis at %s: %v", address, err), Fix: "see what its log has", Err: err}
}

func notMaster(address string, err error) *problem.Problem {
	return &problem.Problem{Code: CodeNoMaster, Key: "url", Cause: fmt.Sprintf("Redis at %s is a replica", address),
		Fix: "name the master, or the Sentinels that know it", Err: err}
}

// The problems of calls while there is no session.
var (
	starting = &problem.Problem{Code: CodeStarting, Cause: "Redis has not been reached yet", Fix: "wait a moment"}
	closed   = &problem.Problem{Code: CodeLost, Cause: "this node is going away", Fix: "connect to another one"}
)
