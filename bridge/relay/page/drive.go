package page

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
	"io/fs"
	"regexp"
	"strings"
	"time"
)

// Drive writes a recorded drive as one HTML file: the page's map, sky and charts with a slider over the fixes. A browser opens it
// from disk, and it asks for nothing. It keeps a fix a second, of a drive with more than 30,000 of them one every two seconds, four,
// and so on, and satellites with every tenth: at most 60 MB of memory, and a file of 0.16 MB and 0.17 MB for each hour at 1 Hz.
type Drive struct {
	to   io.Writer
	name string

	every time.Duration // of time, in each of which the first fix is kept
	last  [2]time.Time  // of the last fix and of the last satellites that were kept
	fixes int           // kept
	kept  []entry
}

// mostFixes is 8 hours of a fix a second. The page takes 0.1 s to show another of so many, on a slow machine.
const mostFixes = 30_000

// skyFixes is after how many fixes satellites are kept again: they move half a degree a minute.
const skyFixes = 10

// entry is a message, and when it was true.
type entry struct {
	sky  int // 1 for satellites
	at   time.Time
	text []byte
}

// NewDrive begins a drive. The name is that of the recording, "" for none.
func NewDrive(to io.Writer, name string) *Drive {
	return &Drive{to: to, name: name, every: time.Second}
}

// Add adds a message, a TPV or a SKY, in the order of the recording.
func (d *Drive) Add(message []byte) error {
	var m struct {
		Class string    `json:"class"`
		Time  time.Time `json:"time"`
	}
	if err := json.Unmarshal(message, &m); err != nil {
		m.Time = time.Time{} // a leap second has no time.Time
	}
	e := entry{at: m.Time, text: bytes.Clone(message)}
	if m.Class == "SKY" {
		e.sky = 1
	}
	if e.at.IsZero() { // counted on, as the page does
		e.at = d.last[0].Add(d.every)
	}
	d.keep(e)
	if d.fixes > mostFixes {
		d.thin()
	}
	return nil
}

// keep keeps e where it is the first of its time.
func (d *Drive) keep(e entry) {
	every := d.every
	if e.sky == 1 {
		every *= skyFixes
	}
	if last := d.last[e.sky]; !last.IsZero() && e.at.Truncate(every).Equal(last.Truncate(every)) {
		return
	}
	d.last[e.sky] = e.at
	d.fixes += 1 - e.sky
	d.kept = append(d.kept, e)
}

// thin leaves half.
func (d *Drive) thin() {
	all := d.kept
	d.every *= 2
	d.kept, d.fixes, d.last = nil, 0, [2]time.Time{}
	for _, e := range all {
		d.keep(e)
	}
}

// Close writes the file.
func (d *Drive) Close() error {
	before, after, err := frame()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(d.to, before); err != nil {
		return err
	}
	text := base64.NewEncoder(base64.StdEncoding, d.to) // nothing in it means anything in HTML
	packed := gzip.NewWriter(text)
	head, err := json.Marshal(map[string]any{"name": d.name, "every": d.every.Seconds()})
	if err != nil {
		return err
	}
	for _, line := range append([][]byte{head}, texts(d.kept)...) {
		if _, err := packed.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	if err := packed.Close(); err != nil {
		return err
	}
	if err := text.Close(); err != nil {
		return err
	}
	_, err = io.WriteString(d.to, after)
	return err
}

func texts(entries []entry) [][]byte {
	all := make([][]byte, len(entries))
	for i, e := range entries {
		all[i] = e.text
	}
	return all
}

// policy allows what is in the file, and nothing from elsewhere.
const policy = `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' data:; style-src 'unsafe-inline'; img-src data:">`

var (
	linked   = regexp.MustCompile(`<link rel="(stylesheet|icon|manifest)" href="/static/([^"]+)"[^>]*>\n`)
	script   = regexp.MustCompile(`<script type="module" src="[^"]+"></script>`)
	imported = regexp.MustCompile(` from '\./([^']+)'`)
)

// frame is the page with all that it loads in it, before and after the place of the data.
func frame() (before, after string, err error) {
	read := func(name string) string {
		text, failed := fs.ReadFile(Files(), name)
		if failed != nil {
			err = failed
		}
		return string(text)
	}
	html := linked.ReplaceAllStringFunc(read("index.html"), func(tag string) string {
		switch part := linked.FindStringSubmatch(tag); part[1] {
		case "stylesheet":
			return "<style>\n" + read(part[2]) + "</style>\n"
		case "icon":
			return `<link rel="icon" href="` + dataURL("image/svg+xml", read(part[2])) + "\">\n"
		}
		return ""
	})
	modules := map[string]string{}
	collect("drive.js", read, modules)
	table, failed := json.Marshal(map[string]any{"imports": modules})
	if failed != nil {
		return "", "", failed
	}
	html = script.ReplaceAllLiteralString(html, `<script type="importmap">`+string(table)+`</script>
<script type="module">import 'page/drive.js';</script>`)
	html = strings.Replace(html, "<head>", "<head>\n"+policy, 1)
	before, after, _ = strings.Cut(html, "</body>")
	return before + `<script type="text/plain" id="drive">`, "</script>\n</body>" + after, err
}

// collect adds a module and all that it imports, under names that need no server: page/NAME.
func collect(name string, read func(string) string, modules map[string]string) {
	own := "page/" + name
	if _, there := modules[own]; there {
		return
	}
	text := read(name)
	modules[own] = dataURL("text/javascript", imported.ReplaceAllString(text, " from 'page/$1'"))
	for _, other := range imported.FindAllStringSubmatch(text, -1) {
		collect(other[1], read, modules)
	}
}

func dataURL(kind, text string) string {
	return "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString([]byte(text))
}
