package realtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// browserTimeout bounds everything that one test does in a browser, its start included (1 to 2 s).
const browserTimeout = 10 * time.Minute

// Chromium starts a headless browser with an empty profile and returns the context of its first tab, for
// chromedp.Do and chromedp.Run. It needs [Browser]. The browser ends with the test, and after 10 minutes in any case.
func Chromium(t testing.TB) context.Context {
	t.Helper()
	Need(t, Browser)
	// Chromium leaves sockets in the temporary directory; in one of its own they are removed with it. Not t.TempDir: the name of a
	// long test would not fit into a socket's path.
	dir, err := os.MkdirTemp("", "browser")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath("chromium"),
		chromedp.Env("TMPDIR="+dir),
		chromedp.NoSandbox, // the sandbox refuses root, and the pages are the tests' own
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	bounded, cancel := context.WithTimeout(context.Background(), browserTimeout)
	t.Cleanup(cancel)
	allocator, freeAllocator := chromedp.NewExecAllocator(bounded, options...)
	t.Cleanup(freeAllocator) // waits until the process is gone and its profile removed
	ctx, closeBrowser := chromedp.NewContext(allocator, chromedp.WithErrorf(t.Logf))
	t.Cleanup(closeBrowser)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return ctx
}

// Until waits until a JavaScript expression is true in the page of ctx, for at most limit. It is not true where it cannot be
// evaluated: the page may be about to be replaced by another. It asks from outside, by the clock: a page without a screen may draw
// no frame, and one that is replaced forgets what it was to wait for.
func Until(ctx context.Context, expression string, limit time.Duration) error {
	for end := time.Now().Add(limit); ; {
		holds, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		switch {
		case err == nil && holds:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case time.Now().After(end):
			return errors.Join(fmt.Errorf("not true within %s", limit), err)
		}
		<-time.After(20 * time.Millisecond)
	}
}
