// The viewer's token comes in the fragment of the address, which a browser sends
// to no server. It is taken out of the address bar, where a photograph of the screen
// or a shared link would show it, and kept for this tab alone.

const KEY = 'gpsbridge.token';

export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get('token');
  if (given === null) return stored();
  try { sessionStorage.setItem(KEY, given); } catch { return given; } // storage is off: the address has to keep it
  history.replaceState(history.state, '', location.pathname + location.search);
  return given;
}

function stored() {
  try { return sessionStorage.getItem(KEY) ?? ''; } catch { return ''; }
}

// authorization is the headers with which the HTTP API is asked.
export const authorization = (token) => (token ? { Authorization: `Bearer ${token}` } : {});

// subprotocols carry the token of a WebSocket, which has no headers in a browser.
// Without one none is asked for: a server that knows none would not answer it,
// and browsers close on that.
export const subprotocols = (token) => (token ? ['gpsbridge.v1', `gpsbridge.token.${token}`] : []);
