package layer

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"gpsbridge/bridge/problem"
)

func TestURLs(t *testing.T) {
	tcp := func(addresses ...string) target { return target{network: "tcp", addresses: addresses} }
	with := func(t target, change func(*target)) target { change(&t); return t }
	for text, want := range map[string]target{
		"redis://localhost":                   tcp("localhost:6379"),
		"redis://10.0.0.1:6380/":              tcp("10.0.0.1:6380"),
		"redis://[::1]":                       tcp("[::1]:6379"),
		"redis://[::1]:6380/2":                with(tcp("[::1]:6380"), func(t *target) { t.db = 2 }),
		"redis://h?db=3":                      with(tcp("h:6379"), func(t *target) { t.db = 3 }),
		"redis://:p%40ss%2F@h":                with(tcp("h:6379"), func(t *target) { t.password = "p@ss/" }),
		"rediss://me:secret@h:1/0":            with(tcp("h:1"), func(t *target) { t.user, t.password, t.tls = "me", "secret", true }),
		"redis+unix:///run/redis/redis.sock":  {network: "unix", addresses: []string{"/run/redis/redis.sock"}},
		"redis+unix://:pw@/run/r.sock?db=1":   {network: "unix", addresses: []string{"/run/r.sock"}, password: "pw", db: 1},
		"redis-sentinel://a,b:1,[::1]/mine":   with(tcp("a:26379", "b:1", "[::1]:26379"), func(t *target) { t.master = "mine" }),
		"redis-sentinel://u:p@a:1,b:2/mine/4": with(tcp("a:1", "b:2"), func(t *target) { t.master, t.user, t.password, t.db = "mine", "u", "p", 4 }),
		"rediss-sentinel://a/mine":            with(tcp("a:26379"), func(t *target) { t.master, t.tls = "mine", true }),
	} {
		got, err := Config{URLs: []string{text}}.targets()
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if !reflect.DeepEqual(got[0], want) {
			t.Errorf("%s: got %+v, want %+v", text, got[0], want)
		}
	}
}

func TestURLsThatAreWrong(t *testing.T) {
	for text, cause := range map[string]string{
		"":                               `the scheme "" is unknown`,
		"localhost:6379":                 `the scheme "localhost:6379" is unknown`,
		"http://h":                       `the scheme "http" is unknown`,
		"redis://":                       "there is no address",
		"redis://:6379":                  "there is no address",
		"redis://h:port":                 `"h:port" is not an address`,
		"redis://h:0":                    `"h:0" is not an address`,
		"redis://a:1,b:2":                `"a:1,b:2" is not an address`,
		"redis://h/zero":                 `"zero" is not the number of a database`,
		"redis://h/-1":                   `"-1" is not the number of a database`,
		"redis://h?timeout=3":            "there is something but db=",
		"redis://:%zz@h":                 "user or password cannot be read",
		"redis+unix://":                  "there is no address",
		"redis-sentinel://a:1,b:2":       "the name of the master is missing",
		"redis-sentinel://a:1,/mymaster": "there is no address",
	} {
		_, err := Config{URLs: []string{text}}.targets()
		p := problem.Of(err)
		if p == nil || p.Code != CodeURL || p.Key != "url" || !strings.HasPrefix(p.Cause, "URL 1: "+cause) || p.Fix == "" {
			t.Errorf("%q: got %v, want cause %q", text, err, cause)
		}
	}
}

// TestSecretsAreNotShown: a problem with a URL does not show its password.
func TestSecretsAreNotShown(t *testing.T) {
	for _, text := range []string{"redis://me:hunter2@h:port", "redis://hunter2@", "redis://:hunter2@h/x", "redsi://:hunter2@h"} {
		if err := (Config{URLs: []string{text}}).Check(); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestConfigCheck(t *testing.T) {
	good := Config{URLs: []string{"redis://h"}}
	if err := good.Check(); err != nil {
		t.Errorf("the least configuration: %v", err)
	}
	bad := Config{Kind: "cores", Prefix: "a b", Group: "gps", Event: "ä", Field: "x y", Durable: "yes", Stream: "\n", Keep: 1, CAFile: "/nowhere/ca.pem"}
	keys := map[string]bool{}
	for _, p := range problem.All(bad.Check()) {
		keys[p.Key] = true
		if p.Code == "" || p.Cause == "" || p.Fix == "" {
			t.Errorf("%+v lacks something", p)
		}
	}
	for _, key := range []string{"url", "kind", "prefix", "group", "event", "field", "durable", "stream", "keep", "ca_file"} {
		if !keys[key] {
			t.Errorf("nothing is found wrong with %s", key)
		}
	}
	if _, err := Open(bad); err == nil || !errors.As(err, new(*problem.Problem)) {
		t.Errorf("Open: %v", err)
	}
}
