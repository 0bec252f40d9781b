package problem_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"gpsbridge/bridge/problem"
)

func TestErrorIsOneLine(t *testing.T) {
	p := &problem.Problem{Code: "address-in-use", Key: "listen", Cause: "127.0.0.1:80 is\nin use", Fix: "choose another port"}
	for _, c := range []struct {
		got, want string
	}{
		{p.Error(), "listen: 127.0.0.1:80 is in use: choose another port"},
		{p.Text(), "127.0.0.1:80 is in use: choose another port"},
		{p.In("relay").Error(), "relay.listen: 127.0.0.1:80 is in use: choose another port"},
		{p.In("").Error(), p.Error()},
		{(&problem.Problem{Cause: "broken"}).In("spool").Error(), "spool: broken"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
	if none := (*problem.Problem)(nil); none.In("relay") != nil || none.Error() != "" || none.Text() != "" {
		t.Errorf("nil in a section is %v, its texts %q and %q", none.In("relay"), none.Error(), none.Text())
	}
	if p.Key != "listen" {
		t.Errorf("In changed the original: key %q", p.Key)
	}
}

func TestProblemsAreFoundInWrappedAndJoinedErrors(t *testing.T) {
	a := &problem.Problem{Code: "a", Cause: "first", Err: fs.ErrNotExist}
	wrapped := fmt.Errorf("open: %w", a)
	if got := problem.Of(wrapped); got != a || problem.CodeOf(wrapped) != "a" || !errors.Is(wrapped, fs.ErrNotExist) {
		t.Errorf("Of(%v) = %+v", wrapped, got)
	}
	plain := errors.New("plain")
	if got := problem.Of(plain); got.Cause != "plain" || got.Code != "" || problem.CodeOf(plain) != "" {
		t.Errorf("Of(plain) = %+v", got)
	}
	if problem.Of(nil) != nil || problem.All(nil) != nil {
		t.Error("no error is a problem")
	}
	all := problem.All(errors.Join(wrapped, errors.Join(plain, nil)))
	if len(all) != 2 || all[0] != a || all[1].Cause != "plain" {
		t.Errorf("All = %v", all)
	}
}

func TestSameComparesWhatPeopleRead(t *testing.T) {
	a := &problem.Problem{Code: "a", Cause: "first", Err: fs.ErrNotExist}
	b := &problem.Problem{Code: "a", Cause: "first"}
	var none *problem.Problem
	if !a.Same(b) || a.Same(none) || none.Same(a) || !none.Same(nil) || a.Same(&problem.Problem{Code: "a", Cause: "second"}) {
		t.Error("Same compares something else than code, key, cause and fix")
	}
}

func TestJSONHasTheNamesOfTheContract(t *testing.T) {
	got, err := json.Marshal(&problem.Problem{Code: "c", Key: "k", Cause: "x", Fix: "y", Err: fs.ErrExist})
	if want := `{"code":"c","key":"k","cause":"x","fix":"y"}`; err != nil || string(got) != want {
		t.Errorf("got %s (%v), want %s", got, err, want)
	}
}
