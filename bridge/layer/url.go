package layer

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"gpsbridge/bridge/problem"
)

// target is one of Django's hosts as its URL names it.
type target struct {
	network   string   // "tcp" or "unix"
	addresses []string // host:port or a path; of the Sentinels, where there is a master
	master    string   // the name by which Sentinels know the master; "" without Sentinels
	user      string   // "" is Redis' default user
	password  string
	db        int
	tls       bool
}

// The default ports of Redis and of Sentinel.
const (
	redisPort    = "6379"
	sentinelPort = "26379"
)

// targets reads the URLs. Its problems show nothing of them but their scheme and their place, because they may hold a password.
func (c Config) targets() (all []target, err error) {
	if len(c.URLs) == 0 {
		return nil, badURL("there is none", "name the Redis servers of CHANNEL_LAYERS, such as redis://127.0.0.1:6379")
	}
	var bad []error
	for i, text := range c.URLs {
		t, fault := parseURL(text)
		if fault != nil {
			fault.Cause = fmt.Sprintf("URL %d: %s", i+1, fault.Cause)
			bad = append(bad, fault)
		}
		t.password = cmp.Or(c.Password, t.password)
		all = append(all, t)
	}
	return all, errors.Join(bad...)
}

// parseURL reads one URL. Package net/url cannot: that of Sentinels has several hosts with ports.
func parseURL(text string) (target, *problem.Problem) {
	scheme, rest, _ := strings.Cut(text, "://")
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	where, err := url.Parse(path)
	if err != nil {
		return target{}, badURL("what follows the address cannot be read", "write special characters in percent-encoding")
	}
	t := target{network: "tcp"}
	if i := strings.LastIndex(authority, "@"); i >= 0 {
		if !t.login(authority[:i]) {
			return target{}, badURL("user or password cannot be read", "write special characters in percent-encoding")
		}
		authority = authority[i+1:]
	}
	return t, t.locate(scheme, authority, where)
}

// locate fills in where the target is.
func (t *target) locate(scheme, authority string, where *url.URL) *problem.Problem {
	db := strings.TrimPrefix(where.Path, "/")
	switch scheme {
	case "redis", "rediss":
		t.addresses = []string{withPort(authority, redisPort)}
	case "redis+unix":
		t.network, t.addresses, db = "unix", []string{where.Path}, ""
	case "redis-sentinel", "rediss-sentinel":
		t.master, db, _ = strings.Cut(db, "/")
		for address := range strings.SplitSeq(authority, ",") {
			t.addresses = append(t.addresses, withPort(address, sentinelPort))
		}
	default:
		return badURL(fmt.Sprintf("the scheme %q is unknown", scheme),
			"begin with redis://, rediss://, redis+unix:// or redis-sentinel://")
	}
	t.tls = strings.HasPrefix(scheme, "rediss")
	if where.RawQuery != "" {
		var only bool
		if db, only = strings.CutPrefix(where.RawQuery, "db="); !only {
			return badURL("there is something but db= after the question mark", "remove it: other settings are keys of their own")
		}
	}
	return t.complete(scheme, db)
}

// complete checks what locate found, and reads the number of the database.
func (t *target) complete(scheme, db string) *problem.Problem {
	for _, address := range t.addresses {
		if t.network == "unix" && address == "" || strings.HasPrefix(address, ":") {
			return badURL("there is no address", "write it after "+scheme+"://")
		}
		if _, port, err := net.SplitHostPort(address); t.network == "tcp" && (err != nil || !isPort(port)) {
			return badURL(fmt.Sprintf("%q is not an address", address), "write host:port, an IPv6 address in brackets")
		}
	}
	if strings.HasSuffix(scheme, "-sentinel") && t.master == "" {
		return badURL("the name of the master is missing", "write the name of the line `sentinel monitor` after the addresses, such as /mymaster")
	}
	if db == "" {
		return nil
	}
	n, err := strconv.Atoi(db)
	if err != nil || n < 0 {
		return badURL(fmt.Sprintf("%q is not the number of a database", db), "write a number such as 0")
	}
	t.db = n
	return nil
}

// login reads user:password; redis-py takes a password alone as :password.
func (t *target) login(text string) bool {
	user, password, _ := strings.Cut(text, ":")
	var errUser, errPassword error
	t.user, errUser = url.PathUnescape(user)
	t.password, errPassword = url.PathUnescape(password)
	return errUser == nil && errPassword == nil
}

func withPort(address, port string) string {
	if i := strings.LastIndex(address, ":"); i < 0 || strings.HasSuffix(address, "]") {
		return address + ":" + port
	}
	return address
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

func badURL(cause, fix string) *problem.Problem {
	return &problem.Problem{Code: CodeURL, Key: "url", Cause: cause, Fix: fix}
}
