package bridge

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
	"pgregory.net/rapid"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/pipeline"
	"gpsbridge/bridge/relay/api"
	"gpsbridge/nmea"
)

var updateAPI = flag.Bool("update", false, "write bridge/relay/api/openapi.json")

// object is a JSON object.
type object = map[string]any

// schemas are the JSON Schemas of the API by file.
type schemas map[string]object

func readSchemas(t *testing.T) schemas {
	t.Helper()
	all := schemas{}
	for _, name := range []string{"message.schema.json", "openapi.json"} {
		text, err := api.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var schema object
		if err := json.Unmarshal(text, &schema); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = schema
	}
	return all
}

// at returns the schema that a reference in a file names, and its file.
func (all schemas) at(file, ref string) (string, object) {
	name, pointer, _ := strings.Cut(ref, "#/")
	if name == "" {
		name = file
	}
	var v any = all[name]
	for part := range strings.SplitSeq(pointer, "/") {
		v = v.(object)[part]
	}
	return name, v.(object)
}

// check returns why a value does not satisfy a schema, for the keywords that the files use; another one is a reason too.
func (all schemas) check(file string, schema object, v any) error {
	for keyword, want := range schema {
		var ok bool
		switch keyword {
		case "description", "title", "$schema", "$defs", "required", "additionalProperties":
			ok = true
		case "$ref":
			ok = true
			name, target := all.at(file, want.(string))
			if err := all.check(name, target, v); err != nil {
				return err
			}
			ok = true
		case "oneOf":
			n := 0
			for _, one := range want.([]any) {
				if all.check(file, one.(object), v) == nil {
					n++
				}
			}
			ok = n == 1
		case "type":
			ok = isType(want.(string), v)
		case "const":
			ok = reflect.DeepEqual(want, v)
		case "enum":
			ok = slices.ContainsFunc(want.([]any), func(one any) bool { return reflect.DeepEqual(one, v) })
		case "minimum":
			ok = v.(float64) >= want.(float64)
		case "maximum":
			ok = v.(float64) <= want.(float64)
		case "pattern":
			ok = regexp.MustCompile(want.(string)).MatchString(v.(string))
		case "format":
			_, err := time.Parse(time.RFC3339, v.(string))
			ok = err == nil
		case "items":
			for i, one := range v.([]any) {
				if err := all.check(file, want.(object), one); err != nil {
					return fmt.Errorf("[%d]%w", i, err)
				}
			}
			ok = true
		case "properties":
			if err := all.checkMembers(file, schema, v.(object)); err != nil {
				return err
			}
			ok = true
		}
		if !ok {
			return fmt.Errorf(": %v is not what %q: %v asks for", v, keyword, want)
		}
	}
	if more, ok := schema["additionalProperties"].(object); ok && schema["properties"] == nil {
		for name, one := range v.(object) {
			if err := all.check(file, more, one); err != nil {
				return fmt.Errorf(".%s%w", name, err)
			}
		}
	}
	return nil
}

func (all schemas) checkMembers(file string, schema, v object) error {
	properties := schema["properties"].(object)
	for name, one := range v {
		member, known := properties[name].(object)
		if !known {
			return fmt.Errorf(".%s is not described", name)
		}
		if err := all.check(file, member, one); err != nil {
			return fmt.Errorf(".%s%w", name, err)
		}
	}
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, there := v[name.(string)]; !there {
			return fmt.Errorf(" has no %s", name)
		}
	}
	return nil
}

func isType(name string, v any) bool {
	switch v := v.(type) {
	case string:
		return name == "string"
	case bool:
		return name == "boolean"
	case float64:
		return name == "number" || name == "integer" && v == float64(int64(v))
	case []any:
		return name == "array"
	case object:
		return name == "object"
	}
	return false
}

// fullFix is a fix in which every quantity is stated.
func fullFix() nmea.Fix {
	f := nmea.Fix{Mode: nmea.Mode3D, Status: nmea.StatusGPS, Time: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)}
	v := reflect.ValueOf(&f).Elem()
	for i := range v.NumField() {
		if v.Field(i).Type() == reflect.TypeFor[nmea.Value]() {
			v.Field(i).Set(reflect.ValueOf(nmea.Value{V: 12, Set: true}))
		}
	}
	return f
}

// TestMessageSchema holds the schema against what the daemon sends: a fix with everything has every member of the schema, and
// none else, and so have those of a simulated drive, and fixes of which any quantity is missing.
func TestMessageSchema(t *testing.T) {
	t.Parallel()
	all := readSchemas(t)
	const file = "message.schema.json"
	check := func(t interface{ Errorf(string, ...any) }, msg []byte) object {
		var v object
		if err := json.Unmarshal(msg, &v); err != nil {
			t.Errorf("%s: %v", msg, err)
		}
		_, definition := all.at(file, "#/$defs/"+v["class"].(string))
		for _, schema := range []object{all[file], definition} {
			if err := all.check(file, schema, v); err != nil {
				t.Errorf("message%v:\n%s", err, msg)
			}
		}
		return v
	}
	messages := pipeline.NewMessages("van_7")
	full := fullFix()
	members := check(t, pipeline.Late(messages.Fix(&full)))
	_, tpv := all.at(file, "#/$defs/TPV")
	if diff := cmp.Diff(slices.Sorted(maps.Keys(tpv["properties"].(object))), slices.Sorted(maps.Keys(members))); diff != "" {
		t.Errorf("the members of a full fix are not those of the schema (-schema +message):\n%s", diff)
	}
	rapid.Check(t, func(t *rapid.T) {
		f := fullFix()
		v := reflect.ValueOf(&f).Elem()
		for i := range v.NumField() {
			if rapid.Bool().Draw(t, v.Type().Field(i).Name) && v.Field(i).CanSet() && v.Type().Field(i).Name != "Mode" {
				v.Field(i).SetZero()
			}
		}
		check(t, messages.Fix(&f))
	})

	d := start(t, func(f *config.File) {
		f.Receivers = []config.ReceiverSection{{Source: "sim:?rate=10"}}
		f.Report.Distance = 1e6 // most fixes are for local viewers alone, without run and seq
	})
	<-d.Ready()
	conn, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+d.relay.Addr().String()+"/ws/gps-tracking/van_7/?sky=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(patience))
	for classes := map[any]int{}; classes["TPV"] < 15 || classes["SKY"] < 1; {
		_, msg, err := conn.ReadMessage()
		if err != nil {
			t.Fatalf("after %v: %v", classes, err)
		}
		classes[check(t, msg)["class"]]++
	}
}

// TestAcknowledgementSchema holds the schema against a short acknowledgement of the relay.
func TestAcknowledgementSchema(t *testing.T) {
	t.Parallel()
	server, group := trackingServer(t)
	token, err := os.ReadFile(server.Token)
	if err != nil {
		t.Fatal(err)
	}
	dialer := websocket.Dialer{Subprotocols: []string{"gpsbridge.ack.v1"}}
	conn, _, err := dialer.DialContext(t.Context(), group, http.Header{"Authorization": {"Bearer " + strings.TrimSpace(string(token))}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	f := fullFix()
	if err := conn.WriteMessage(websocket.TextMessage, pipeline.NewMessages("van_7").Fix(&f)); err != nil {
		t.Fatal(err)
	}
	var ack object
	conn.SetReadDeadline(time.Now().Add(patience))
	if err := conn.ReadJSON(&ack); err != nil {
		t.Fatal(err)
	}
	if err := readSchemas(t).check("message.schema.json", object{"$ref": "#/$defs/ACK"}, ack); err != nil {
		t.Errorf("acknowledgement%v: %v", err, ack)
	}
}

var (
	tsInterface = regexp.MustCompile(`(?s)export interface (\w+) \{\n(.*?)\n\}`)
	tsMember    = regexp.MustCompile(`(?m)^  (\w+)(\??): ([^;]+);`)
)

// TestTypeScriptIsTheSchema compares the members of the TypeScript types with those of the schema.
func TestTypeScriptIsTheSchema(t *testing.T) {
	t.Parallel()
	text, err := api.Files.ReadFile("message.d.ts")
	if err != nil {
		t.Fatal(err)
	}
	all := readSchemas(t)
	found := tsInterface.FindAllStringSubmatch(string(text), -1)
	if len(found) != 6 {
		t.Fatalf("%d interfaces, want TPV, SKY, HISTORY, ACK, Key and Satellite", len(found))
	}
	for _, one := range found {
		_, schema := all.at("message.schema.json", "#/$defs/"+one[1])
		got, want := map[string]string{}, map[string]string{}
		for _, m := range tsMember.FindAllStringSubmatch(one[2], -1) {
			got[m[1]+m[2]] = m[3]
		}
		for name, member := range schema["properties"].(object) {
			if !slices.Contains(schema["required"].([]any), any(name)) {
				name += "?"
			}
			want[name] = tsType(all, member.(object))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-schema +TypeScript):\n%s", one[1], diff)
		}
	}
}

// tsType is a schema as TypeScript has it.
func tsType(all schemas, schema object) string {
	if ref, ok := schema["$ref"].(string); ok {
		_, target := all.at("message.schema.json", ref)
		if target["type"] == "object" {
			return ref[strings.LastIndexByte(ref, '/')+1:]
		}
		schema = target
	}
	if c, ok := schema["const"]; ok {
		text, _ := json.Marshal(c)
		return string(text)
	}
	if values, ok := schema["enum"].([]any); ok {
		return union(values)
	}
	switch schema["type"] {
	case "integer":
		if low, high := schema["minimum"], schema["maximum"]; low != nil && high != nil {
			var values []any
			for n := low.(float64); n <= high.(float64); n++ {
				values = append(values, n)
			}
			return union(values)
		}
		return "number"
	case "array":
		return tsType(all, schema["items"].(object)) + "[]"
	}
	return schema["type"].(string)
}

func union(values []any) string {
	var texts []string
	for _, v := range values {
		texts = append(texts, fmt.Sprint(v))
	}
	return strings.Join(texts, " | ")
}

// apiPaths are the paths of the API: what each is for, and the type of its answer, or its media type.
var apiPaths = []struct {
	path, summary string
	answer        any
}{
	{"/api/v1/status", "What the program is doing: a tracker (the daemon), or a server (gpsbridge relay).", object{"oneOf": []any{ref("TrackerStatus"), ref("ServerStatus")}}},
	{"/api/v1/devices", "Every device of which something is known, by ID.", object{"type": "object", "required": []any{"devices"},
		"properties": object{"devices": object{"type": "array", "items": ref("Device")}}}},
	{"/api/v1/devices/{device_id}", "One device.", ref("Device")},
	{"/api/v1/devices/{device_id}/fix", "Its last fix, as published.", object{"$ref": "message.schema.json#/$defs/TPV"}},
	{"/api/v1/devices/{device_id}/track.geojson", "Its track as GeoJSON (RFC 7946): of 24 hours in a daemon, of the last fixes in gpsbridge relay.", "application/geo+json"},
	{"/api/v1/devices/{device_id}/track.gpx", "Its track as GPX 1.1: of 24 hours in a daemon, of the last fixes in gpsbridge relay.", "application/gpx+xml"},
	{"/api/v1/openapi.json", "This description.", "application/json"},
	{"/api/v1/message.schema.json", "JSON Schema of the messages of a group.", "application/json"},
	{"/api/v1/message.d.ts", "TypeScript types of the messages of a group.", "text/plain; charset=utf-8"},
}

func ref(name string) object { return object{"$ref": "#/components/schemas/" + name} }

// openAPI makes the description of the API from the types of its answers.
func openAPI() object {
	g := generator{}
	g.of(reflect.TypeFor[observe.Status]())
	g.of(reflect.TypeFor[observe.ServerStatus]())
	device := maps.Clone(g["RelayDevice"].(object))
	device["properties"] = maps.Clone(device["properties"].(object))
	device["properties"].(object)["fix"] = object{"$ref": "message.schema.json#/$defs/TPV"}
	g["Device"] = device
	paths := object{}
	for _, p := range apiPaths {
		content := object{}
		switch answer := p.answer.(type) {
		case string:
			content[answer] = object{}
		case object:
			content["application/json"] = object{"schema": answer}
		}
		get := object{"summary": p.summary, "responses": object{
			"200": object{"description": "The answer.", "content": content},
			"401": object{"description": "The token is missing or wrong."},
			"429": object{"description": "Too many requests."},
		}}
		if strings.Contains(p.path, "{device_id}") {
			get["parameters"] = []any{object{"name": "device_id", "in": "path", "required": true, "schema": object{"$ref": "message.schema.json#/$defs/deviceID"}}}
			get["responses"].(object)["404"] = object{"description": "Nothing is known of the device."}
		}
		if strings.Contains(p.path, "/track.") {
			for _, of := range [][2]string{{"from", "Only fixes from this time on."}, {"to", "Only fixes before this time."}} {
				get["parameters"] = append(get["parameters"].([]any), object{"name": of[0], "in": "query", "description": of[1], "schema": object{"type": "string", "format": "date-time"}})
			}
			get["responses"].(object)["400"] = object{"description": "A parameter is unknown, not a time, or from is not before to."}
		}
		paths[p.path] = object{"get": get}
	}
	return object{
		"openapi": "3.1.0",
		"info": object{"title": "gpsbridge", "version": "1",
			"description": "What a gpsbridge daemon or relay answers over HTTP. Messages come over the WebSocket /ws/gps-tracking/{device_id}/ (message.schema.json). " +
				"A publisher that offers the subprotocol gpsbridge.ack.v1 there may get short acknowledgements in place of its own messages (#/$defs/ACK of that file). Ages are in seconds."},
		"security":   []any{object{"token": []any{}}, object{}},
		"paths":      paths,
		"components": object{"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}}, "schemas": object(g)},
	}
}

// generator collects the schemas of Go types by name.
type generator object

func (g generator) of(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Pointer:
		return g.of(t.Elem())
	}
	switch t.Kind() {
	case reflect.Struct:
		name := typeName(t)
		if g[name] == nil {
			schema := object{"type": "object", "additionalProperties": false}
			g[name] = schema
			properties, required := object{}, []any{}
			g.members(t, properties, &required)
			schema["properties"], schema["required"] = properties, required
		}
		return ref(name)
	case reflect.Slice:
		return object{"type": "array", "items": g.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": g.of(t.Elem())}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	}
	return object{"type": "integer"}
}

// typeName is a type with its package, since several have a Status.
func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[observe.Status]():
		return "TrackerStatus"
	case reflect.TypeFor[observe.ServerStatus]():
		return "ServerStatus"
	}
	pkg := t.PkgPath()[strings.LastIndexByte(t.PkgPath(), '/')+1:]
	pkg = strings.ToUpper(pkg[:1]) + pkg[1:]
	name := strings.TrimSuffix(strings.TrimSuffix(t.Name(), "Status"), "Stats")
	return pkg + strings.TrimPrefix(name, pkg)
}

// members adds the members of a struct as encoding/json has them.
func (g generator) members(t reflect.Type, properties object, required *[]any) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			g.members(f.Type, properties, required)
			continue
		case !f.IsExported() || name == "-":
			continue
		}
		properties[name] = g.of(f.Type)
		if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") {
			*required = append(*required, name)
		}
	}
}

// TestOpenAPIDescribesTheTypes compares openapi.json with the types of the answers, and its paths with the relay's routes.
func TestOpenAPIDescribesTheTypes(t *testing.T) {
	t.Parallel()
	want, err := json.MarshalIndent(openAPI(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *updateAPI {
		if err := os.WriteFile(filepath.Join("relay", "api", "openapi.json"), want, 0o644); err != nil {
			t.Fatal(err)
		}
		t.Skip("written: run the tests again")
	}
	got, err := api.Files.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("run go test ./bridge -run TestOpenAPI -update (-types +openapi.json):\n%s", diff)
	}
	source, err := os.ReadFile(filepath.Join("relay", "http.go"))
	if err != nil {
		t.Fatal(err)
	}
	routes := regexp.MustCompile(`"GET (/api/v1/[^"]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(routes) < 6 {
		t.Errorf("%d routes found in the relay, want at least 6", len(routes))
	}
	for _, r := range routes {
		if !strings.Contains(string(got), `"`+r[1]+`": {`) {
			t.Errorf("the route %s is not described", r[1])
		}
	}
}

// TestOpenAPIDescribesTheAnswers gets every path from a daemon and from a server and checks the answers.
func TestOpenAPIDescribesTheAnswers(t *testing.T) {
	t.Parallel()
	all := readSchemas(t)
	uplink, group := trackingServer(t)
	d := start(t, func(f *config.File) {
		f.Receivers = []config.ReceiverSection{{Source: "sim:?rate=10"}, {Source: "file:" + recording(t, 3) + "?rate=0"}}
		f.Receivers[1].DeviceID = "trailer"
		f.Uplinks = []config.UplinkSection{uplink, {Name: "away", Server: "ws://127.0.0.1:1"}}
	})
	<-d.Ready()
	d.await(t, "acknowledged fixes, and a refusal", func(st observe.Status) bool {
		return st.Uplinks[0].Acked > 3 && st.Uplinks[1].Problem != nil && st.Receivers[0].FixAge != nil
	})
	for _, base := range []string{"http://" + d.relay.Addr().String(), "http" + strings.TrimPrefix(group[:strings.Index(group, "/ws/")], "ws")} {
		for path, item := range all["openapi.json"]["paths"].(object) {
			url := base + strings.Replace(path, "{device_id}", "van_7", 1)
			response := item.(object)["get"].(object)["responses"].(object)["200"].(object)
			all.checkAnswer(t, url, response["content"].(object))
		}
	}
}

// checkAnswer gets a URL and holds the answer against what is described.
func (all schemas) checkAnswer(t *testing.T, url string, content object) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	media := resp.Header.Get("Content-Type")
	described, known := content[media].(object)
	if resp.StatusCode != http.StatusOK || !known {
		t.Errorf("%s: %s, %s; described are %v", url, resp.Status, media, slices.Collect(maps.Keys(content)))
		return
	}
	schema, ok := described["schema"].(object)
	if !ok {
		return
	}
	var answer any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Errorf("%s: %v", url, err)
		return
	}
	if err := all.check("openapi.json", schema, answer); err != nil {
		t.Errorf("%s: answer%v", url, err)
		if one, ok := schema["oneOf"].([]any); ok {
			for _, s := range one {
				t.Log(all.check("openapi.json", s.(object), answer))
			}
		}
	}
}
