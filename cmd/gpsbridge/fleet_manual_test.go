package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/realtest"
)

// The configuration files of the fleet's manual are accepted by their programs.
func TestFleetManual(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../bridge/layer/README.md")
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string) // by kind
	for _, block := range regexp.MustCompile("(?s)```(\\w+)\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		files[block[1]] += block[2]
	}

	dir := t.TempDir()
	relay := filepath.Join(dir, "relay.toml")
	writeFile(t, relay, files["toml"])
	writeFile(t, filepath.Join(dir, "redis-password"), "PASSWORD\n")
	c, err := config.LoadServer(relay, []string{"CREDENTIALS_DIRECTORY=" + dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Layer.Check(); err != nil {
		t.Error(err)
	}
	for _, same := range []string{"port 26379", "sentinel monitor tracking 10.0.0.1 6379 2", "maxmemory-policy noeviction"} {
		if !strings.Contains(files["conf"], same+"\n") {
			t.Errorf("the files of Redis have no line %q", same)
		}
	}

	realtest.Need(t, realtest.HAProxy)
	proxy := filepath.Join(dir, "haproxy.cfg")
	writeFile(t, proxy, strings.ReplaceAll(files["haproxy"], "ssl crt /etc/haproxy/tracking.pem alpn http/1.1", ""))
	if out, err := exec.Command("haproxy", "-c", "-f", proxy).CombinedOutput(); err != nil {
		t.Errorf("HAProxy: %v\n%s", err, out)
	}
}
