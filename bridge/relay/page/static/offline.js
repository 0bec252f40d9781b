// Has the browser keep the page's own files, so that the page opens while its
// server is not in reach. Browsers allow that to pages of https, with a
// certificate that they trust, and of this machine; elsewhere nothing happens.

const SETTLED = 3000; // ms after which loading the files again delays nothing

// keepFiles keeps what the page has loaded. What it asked the API for is not part of it: see worker.js.
export function keepFiles() {
  setTimeout(async () => {
    try {
      await navigator.serviceWorker.register('/static/worker.js', { scope: '/' });
      const { active } = await navigator.serviceWorker.ready;
      active.postMessage(performance.getEntriesByType('resource').map((e) => e.name));
    } catch { /* not allowed here */ }
  }, SETTLED);
}
