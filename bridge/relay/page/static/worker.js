// The service worker: opens the page when its server does not answer. The server
// comes first, always: what is kept is used only when asking it failed, so that a
// page never hides a newer one. The API, its answers and its token are not its
// business; a path is kept without query and fragment.

const FILES = /^\/(?:static|dist)\/|^\/$/;

// pathOf is the path of a file of the page, '' for everything else.
function pathOf(address) {
  const { origin, pathname } = new URL(address);
  return origin === location.origin && FILES.test(pathname) ? pathname : '';
}

addEventListener('install', () => skipWaiting());
addEventListener('activate', (e) => e.waitUntil(clients.claim()));

addEventListener('fetch', (e) => {
  const path = e.request.method === 'GET' && pathOf(e.request.url);
  if (path) e.respondWith(fetch(e.request).catch(async (error) => (await caches.match(path)) ?? Promise.reject(error)));
});

// A page that runs names the files that it consists of.
let kept = Promise.resolve();
addEventListener('message', (e) => {
  const paths = new Set(['/', ...e.data.map(pathOf)].filter(Boolean));
  kept = kept.then(() => keep([...paths])).catch(() => { /* the server is gone again: what was kept stays */ });
  e.waitUntil(kept);
});

// keep replaces what was kept by files of one version: all, or none.
async function keep(paths) {
  const name = `page ${Date.now()}`;
  try {
    await (await caches.open(name)).addAll(paths);
  } catch (e) {
    await caches.delete(name);
    throw e;
  }
  for (const other of await caches.keys()) if (other !== name) await caches.delete(other);
}
