package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// version identifies the commit a package is made of.
type version struct {
	number string // of the last release before the commit, or of the commit itself: 1.2.3
	commit string // twelve hex digits
	tagged bool   // the commit is that release
	dirty  bool   // and the files are not the commit's
	time   time.Time
}

// tagForm is the output of git describe --long: v1.2.3-7-g0123456789ab.
var tagForm = regexp.MustCompile(`^v([0-9][0-9.]*)-([0-9]+)-g[0-9a-f]+$`)

// readVersion asks git about the commit that is checked out.
func readVersion(root string) (version, error) {
	head, err := command(root, nil, "git", "log", "-1", "--format=%H %ct")
	if err != nil {
		return version{}, fmt.Errorf("packages are made of a git checkout: %w", err)
	}
	hash, seconds, _ := strings.Cut(strings.TrimSpace(head), " ")
	described, err := command(root, nil, "git", "describe", "--tags", "--long", "--match", "v[0-9]*")
	if err != nil {
		described = "" // no tag yet
	}
	changed, err := command(root, nil, "git", "status", "--porcelain", "--untracked-files=no")
	if err != nil {
		return version{}, err
	}
	if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		seconds = epoch
	}
	return newVersion(hash, seconds, strings.TrimSpace(described), changed != "")
}

// newVersion makes a version of the output of git.
func newVersion(hash, seconds, described string, dirty bool) (version, error) {
	at, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || len(hash) < 12 {
		return version{}, fmt.Errorf("commit %q with time %q cannot be read: set SOURCE_DATE_EPOCH to seconds of Unix time", hash, seconds)
	}
	v := version{number: "0.0.0", commit: hash[:12], dirty: dirty, time: time.Unix(at, 0).UTC()}
	if m := tagForm.FindStringSubmatch(described); m != nil {
		v.number, v.tagged = m[1], m[2] == "0" && !dirty
	}
	return v, nil
}

// debian is the upstream version of the package. Builds between two releases sort between them, by time.
func (v version) debian() string {
	if v.tagged {
		return v.number
	}
	s := fmt.Sprintf("%s+%s.g%s", v.number, v.time.Format("20060102150405"), v.commit)
	if v.dirty {
		s += ".dirty"
	}
	return s
}

// stamp is what gpsbridge version prints: the version, and in any case the commit.
func (v version) stamp() string {
	if v.tagged {
		return v.number + "+g" + v.commit
	}
	return v.debian()
}
