package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"gpsbridge/bridge/directory"
	"gpsbridge/bridge/layer"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/secret"
)

// Server is the checked configuration of a tracking server (gpsbridge relay). Its tokens are still in files, "" for none.
type Server struct {
	relay.Config
	TokenFile        string        // with the viewers' token
	PublishTokenFile string        // with the token that trackers present
	DeviceTokensFile string        // with a device ID and its token a line; see relay.ReadDeviceTokens
	Drain            time.Duration // over which members are closed when it is stopped
	Layer            *layer.Config // that it joins; nil for a server alone

	origins origins
}

// Explain is Config.Explain for the configuration of a server.
func (s *Server) Explain(section string, err error) error { return s.origins.explain(section, err) }

// Secrets are the files that hold tokens and keys.
func (s *Server) Secrets() []string {
	files := []string{s.PublishTokenFile, s.DeviceTokensFile, s.TokenFile, s.KeyFile}
	return slices.DeleteFunc(files, func(f string) bool { return f == "" })
}

// ServerFile is the configuration of a tracking server as it is written in TOML. systemd/relay.toml documents every key.
type ServerFile struct {
	Relay ServerSection `toml:"relay"`

	service service
}

// ServerSection is [relay], see relay.Config.
type ServerSection struct {
	Listen       string       `toml:"listen"` // host:port
	Open         bool         `toml:"open"`
	Token        string       `toml:"token_file"`
	PublishToken string       `toml:"publish_token_file"`
	DeviceTokens string       `toml:"device_tokens_file"`
	AuthURL      string       `toml:"auth_url"`
	Origins      []string     `toml:"origins"`
	Proxies      []string     `toml:"proxies"` // addresses or prefixes
	History      int          `toml:"history"` // messages, 0 for none
	MaxConns     int          `toml:"max_conns"`
	MaxMessage   int          `toml:"max_message"` // bytes
	Admit        int          `toml:"admit"`       // WebSockets opened a second, 0 for no bound
	Drain        string       `toml:"drain"`       // duration
	Basemap      string       `toml:"basemap"`
	Cert         string       `toml:"tls_cert_file"`
	Key          string       `toml:"tls_key_file"`
	SelfSigned   bool         `toml:"tls_self_signed"` // creates Cert and Key where they are missing
	Layer        LayerSection `toml:"layer"`
}

// LayerSection is [relay.layer], see layer.Config.
type LayerSection struct {
	URL      any    `toml:"url"` // a text or a list of texts
	Password string `toml:"password_file"`
	Kind     string `toml:"kind"`
	Prefix   string `toml:"prefix"`
	Group    string `toml:"group"`
	Event    string `toml:"event"`
	Field    string `toml:"field"`
	Durable  string `toml:"durable"`
	Stream   string `toml:"stream"`
	Keep     string `toml:"keep"` // duration
	Keys     string `toml:"symmetric_encryption_keys_file"`
	CA       string `toml:"ca_file"`
}

// ServerSettings are the values that the environment and the command line of a tracking server may give over its file.
var ServerSettings = []Setting{
	serverSetting("listen", "listen", Text, "`ADDRESS` to listen at (default "+relay.DefaultListen+")"),
	serverSetting("open", "open", Switch, "serve viewers without a token at an address that is not loopback"),
	serverSetting("token-file", "token_file", Text, "`FILE` with the viewers' token; created if missing"),
	serverSetting("publish-token-file", "publish_token_file", Text, "`FILE` with the token that trackers present; created if missing"),
	serverSetting("device-tokens-file", "device_tokens_file", Text, "`FILE` with a device ID and its own token on each line"),
	serverSetting("auth-url", "auth_url", Text, "`URL` of a view that is asked about clients without a token of these, such as http://127.0.0.1:8000/relay/auth/"),
	serverSetting("origin", "origins", List, "further `ORIGIN` that pages may come from, repeatable"),
	serverSetting("history", "history", Number, fmt.Sprintf("`NUMBER` of messages kept for each device (default %d)", relay.DefaultHistory)),
	serverSetting("max-conns", "max_conns", Number, fmt.Sprintf("`NUMBER` of WebSockets at the same time (default %d)", relay.DefaultMaxConns)),
	serverSetting("max-message", "max_message", Number, fmt.Sprintf("`BYTES` of the longest message that a tracker may send (default %d)", relay.DefaultMaxMessage)),
	serverSetting("admit", "admit", Number, fmt.Sprintf("`NUMBER` of WebSockets that may be opened a second, 0 for no bound (default %d)", defaultAdmit)),
	serverSetting("drain", "drain", Text, "`TIME` over which connections are closed when the server is stopped, such as 30s (default at once)"),
	serverSetting("basemap", "basemap", Text, "`FILE` of map tiles (.pmtiles) for the page"),
	serverSetting("tls-cert-file", "tls_cert_file", Text, "`FILE` with a certificate in PEM: serve https and wss"),
	serverSetting("tls-key-file", "tls_key_file", Text, "`FILE` with its key"),
	serverSetting("tls-self-signed", "tls_self_signed", Switch, "create both if missing; by default relay.pem and relay.key beside the tokens"),
	serverSetting("layer", "layer.url", List, "`URL` of the Django application's channel layer, such as redis://127.0.0.1:6379; repeatable for several hosts, in Django's order"),
	serverSetting("layer-kind", "layer.kind", Text, "`KIND` of that layer: core, pubsub, or auto (default)"),
	serverSetting("layer-durable", "layer.durable", Text, "`WHEN` a fix counts as stored: none, memory, replicated or fsync (default replicated where Redis has replicas, else memory)"),
}

// serverEnv begins the names of the variables for a tracking server.
const serverEnv = "GPSBRIDGE_RELAY_"

func serverSetting(name, key string, form Form, usage string) Setting {
	return Setting{Name: name, Env: serverEnv + strings.ToUpper(strings.ReplaceAll(name, "-", "_")), Usage: usage, key: "relay." + key, Form: form}
}

// LoadServer returns the configuration of a tracking server: the defaults, over them the file at path (none when path is ""), over it
// the GPSBRIDGE_RELAY_* variables of environ ("NAME=value"), over all of them the flags, by Setting.Name. A key, variable or value
// that is not understood is an error that names it, and where it was given.
func LoadServer(path string, environ []string, flags map[string]string) (Server, error) {
	f, o := defaultServer(), origins{}
	f.service, _ = serviceOf(environ, path)
	if path != "" {
		text, err := readFile(path)
		if err != nil {
			return Server{}, err
		}
		if err := parse(path, text, &f, "relay.toml", o); err != nil {
			return Server{}, err
		}
	}
	set := func(s Setting, value, where string) error { return s.set(&f, value, where, o) }
	if err := lay(ServerSettings, serverEnv, environ, flags, set); err != nil {
		return Server{}, err
	}
	return f.check(o)
}

func defaultServer() ServerFile {
	return ServerFile{Relay: ServerSection{
		Listen: relay.DefaultListen, History: relay.DefaultHistory, MaxConns: relay.DefaultMaxConns, MaxMessage: relay.DefaultMaxMessage,
		Admit: defaultAdmit,
	}}
}

// defaultAdmit is a quarter of one core for handshakes with TLS, which take 0.25 ms each: the rest is for members that are there.
const defaultAdmit = 1000

// check makes a configuration of a file and names everything that is wrong with it.
func (f ServerFile) check(o origins) (Server, error) {
	s, p := f.Relay, &problems{}
	p.atLeast("relay.history", s.History, 0, "messages")
	p.atLeast("relay.max_conns", s.MaxConns, 1, "WebSockets")
	p.atLeast("relay.max_message", s.MaxMessage, 1, "bytes")
	p.atLeast("relay.admit", s.Admit, 0, "WebSockets a second")
	if _, err := os.Stat(s.Basemap); s.Basemap != "" && err != nil {
		p.add("relay.basemap", &problem.Problem{Code: CodeNamed, Cause: err.Error(), Fix: "name a .pmtiles file", Err: err})
	}
	proxies, err := prefixes(s.Proxies)
	p.add("relay.proxies", err)
	c := Server{origins: o,
		TokenFile: f.service.expand(s.Token), PublishTokenFile: f.service.expand(s.PublishToken), DeviceTokensFile: f.service.expand(s.DeviceTokens),
		Drain: p.duration("relay.drain", s.Drain)}
	c.Config = relay.Config{
		Listen: s.Listen, Open: s.Open, AuthURL: s.AuthURL, Origins: s.Origins, Proxies: proxies, History: relayHistory(s.History), MaxConns: s.MaxConns, MaxMessage: s.MaxMessage,
		Admit: s.Admit, Basemap: s.Basemap, CertFile: f.service.expand(s.Cert), KeyFile: f.service.expand(s.Key), SelfSigned: s.SelfSigned,
	}
	if s.SelfSigned && c.CertFile == "" && c.KeyFile == "" {
		dir := cmp.Or(f.service.state, filepath.Dir(cmp.Or(c.PublishTokenFile, c.DeviceTokensFile)))
		c.CertFile, c.KeyFile = filepath.Join(dir, "relay.pem"), filepath.Join(dir, "relay.key")
	}
	if !reflect.ValueOf(s.Layer).IsZero() {
		c.Layer = s.Layer.check(p, f.service)
	}
	return c, c.Explain("", errors.Join(p.all...))
}

// prefixes reads addresses, alone or with the length of their network.
func prefixes(texts []string) (all []netip.Prefix, err error) {
	for _, text := range texts {
		prefix, bad := netip.ParsePrefix(text)
		if address, alone := netip.ParseAddr(text); alone == nil {
			prefix, bad = netip.PrefixFrom(address, address.BitLen()), nil
		}
		if bad != nil {
			return nil, &problem.Problem{Code: CodeValue, Cause: fmt.Sprintf("%q is not an address", text), Fix: `write addresses or networks, such as "10.0.0.0/24"`}
		}
		all = append(all, prefix)
	}
	return all, nil
}

// atLeast checks a number.
func (p *problems) atLeast(key string, value, least int, of string) {
	if value < least {
		p.value(key, fmt.Sprintf("%d is out of range", value), fmt.Sprintf("use %d or more %s", least, of))
	}
}

// check reads the secrets that the section names too: the layer is joined once.
func (s LayerSection) check(p *problems, of service) *layer.Config {
	const section = "relay.layer"
	urls, err := s.urls()
	p.add(section, err)
	c := &layer.Config{URLs: urls, Kind: s.Kind, Prefix: s.Prefix, Group: s.Group, Event: s.Event, Field: s.Field, Durable: s.Durable, Stream: s.Stream,
		Keep: p.duration(section+".keep", s.Keep), CAFile: of.expand(s.CA)}
	if s.Password != "" {
		c.Password, err = readSecret(of.expand(s.Password))
		p.add(section+".password_file", err)
	}
	if s.Keys != "" {
		c.Keys, err = readKeys(of.expand(s.Keys))
		p.add(section+".symmetric_encryption_keys_file", err)
	}
	return c
}

// urls are those of the key url, which is one text or a list.
func (s LayerSection) urls() (all []string, err error) {
	bad := &problem.Problem{Code: CodeType, Key: "url", Cause: "the value is not a text in quotes or a list of them",
		Fix: `use for example "redis://127.0.0.1:6379"`}
	switch v := s.URL.(type) {
	case string:
		all = []string{v}
	case []string: // of a flag or variable
		all = v
	case []any:
		for _, one := range v {
			text, ok := one.(string)
			if !ok {
				return nil, bad
			}
			all = append(all, text)
		}
	case nil:
	default:
		return nil, bad
	}
	if len(all) == 0 || slices.Contains(all, "") {
		return nil, &problem.Problem{Code: CodeMissing, Key: "url", Cause: "it is empty", Fix: `name the Redis server, for example "redis://127.0.0.1:6379"`}
	}
	return all, nil
}

// readSecret reads a password. A credential that is missing is "none" in the unit.
func readSecret(path string) (string, error) {
	password, err := secret.Read(path)
	if err == nil && password == "none" {
		err = &problem.Problem{Code: secret.CodeInvalid, Cause: fmt.Sprintf("file %q holds no password", path), Fix: "write it into the file that the unit loads, or remove the key"}
	}
	return password, err
}

// readKeys reads keys, one a line.
func readKeys(path string) (all []string, err error) {
	text, err := directory.ReadFile(path)
	if err != nil {
		return nil, &problem.Problem{Code: CodeNamed, Cause: fmt.Sprintf("file %q cannot be read: %v", path, cmp.Or(errors.Unwrap(err), err)), Fix: "name a file with a key a line", Err: err}
	}
	for line := range strings.Lines(string(text)) {
		if key := strings.TrimRight(line, "\r\n"); key != "" && key != "none" {
			all = append(all, key)
		}
	}
	if len(all) == 0 {
		return nil, &problem.Problem{Code: CodeNamed, Cause: fmt.Sprintf("file %q has no key", path), Fix: "write Django's symmetric_encryption_keys into it, one a line"}
	}
	return all, nil
}
