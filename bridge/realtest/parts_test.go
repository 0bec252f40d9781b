package realtest

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/chromedp/chromedp"
)

func TestPtyCarriesBytesAsTheyAre(t *testing.T) {
	p := OpenPty(t)
	reader, err := os.OpenFile(p.Path(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	// Every value a byte can have, line ends and control characters among them, and more than a terminal holds.
	var sent []byte
	for i := range 100_000 {
		sent = append(sent, byte(i*7+i/256))
	}
	wrote := make(chan error, 1)
	go func() {
		_, err := p.Write(sent)
		wrote <- err
	}()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(reader, got); err != nil {
		t.Fatal(err)
	}
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, sent) {
		t.Error("the bytes were changed on the way")
	}
}

func TestPtyUnplugged(t *testing.T) {
	p := OpenPty(t)
	reader, err := os.OpenFile(p.Path(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	p.Unplug()
	n, err := reader.Read(make([]byte, 10))
	if n > 0 || err == nil {
		t.Errorf("read %d bytes, %v from an unplugged terminal, want an error", n, err)
	}
	reader.Close()
	if _, err := os.Stat(p.Path()); err == nil {
		t.Errorf("%s is still there", p.Path())
	}
}

func TestChromiumRunsAPage(t *testing.T) {
	Need(t, Browser)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, `<title>t</title><script>window.answer = 6 * 7</script>`)
	}))
	defer page.Close()
	ctx := Chromium(t)
	if err := chromedp.Do(ctx, chromedp.Navigate(page.URL)); err != nil {
		t.Fatal(err)
	}
	if err := Until(ctx, `window.answer === 42`, answer); err != nil {
		t.Errorf("the page's answer is not 42: %v", err)
	}
}
