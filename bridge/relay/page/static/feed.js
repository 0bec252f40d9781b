// The two sources of the page: the WebSocket of the group, and the status that it
// asks for. Both go on until the page is closed, and show their own state.

import { authorization, subprotocols } from './token.js';

const FIRST_RETRY = 500, LAST_RETRY = 8000; // ms
const HANDSHAKE = 10_000; // ms: a browser waits minutes for an answer to a handshake
const SELDOM = 60_000;   // ms between two questions to a server that has no status

// plain is a message as the page expects them: an object of numbers, strings and
// truth values, and of lists of such objects. Anyone who may send to the group
// can send something else, such as an object that cannot become a string; what
// is not expected is left out. null means the same as absence.
export function plain(v) {
  if (v === null || typeof v !== 'object' || Array.isArray(v)) return {};
  return Object.fromEntries(Object.entries(v).flatMap(([k, x]) => {
    if (Array.isArray(x)) return [[k, x.filter((e) => e !== null && typeof e === 'object' && !Array.isArray(e)).map(scalars)]];
    return typeof x === 'object' ? [] : [[k, x]];
  }));
}

const scalars = (v) => Object.fromEntries(Object.entries(v).filter(([, x]) => typeof x !== 'object'));

// Feed keeps a WebSocket open to the group of a device until it is closed.
// on.message(object), on.state() after every change of state.
export class Feed {
  constructor(device, token, query, on) {
    Object.assign(this, { device, token, query, on });
    this.state = 'connecting'; // connecting | open | waiting | closed
    this.retryAt = 0;
    this.retry = FIRST_RETRY;
    this.opened = 0; // how often
    this.garbled = 0;
    this.after = ''; // what a new connection asks for: the fixes after the last one
    // A phone that comes back to its network or to this page should not wait.
    this.ended = new AbortController();
    addEventListener('online', () => this.hurry(), { signal: this.ended.signal });
    document.addEventListener('visibilitychange', () => { if (!document.hidden) this.hurry(); }, { signal: this.ended.signal });
    this.connect();
  }

  connect() {
    clearTimeout(this.timer);
    this.become('connecting');
    const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
    let socket;
    try {
      socket = new WebSocket(`${scheme}//${location.host}/ws/gps-tracking/${this.device}/?${this.query}${this.after}`, subprotocols(this.token));
    } catch {
      this.again();
      return;
    }
    this.socket = socket;
    this.timer = setTimeout(() => { this.drop(); this.again(); }, HANDSHAKE);
    socket.onopen = () => {
      if (socket !== this.socket) return;
      clearTimeout(this.timer);
      this.opened++;
      this.become('open');
    };
    socket.onmessage = (event) => {
      if (socket !== this.socket) return;
      this.retry = FIRST_RETRY;
      let message;
      try { message = JSON.parse(event.data); } catch { this.garbled++; return; }
      message = plain(message);
      const { class: kind, run, seq } = message;
      if (kind === 'TPV' && /^\w{1,80}$/.test(run) && Number.isSafeInteger(seq) && seq > 0) this.after = `&after=${run}:${seq}`;
      this.on.message(message);
    };
    socket.onclose = () => { if (socket === this.socket) this.again(); };
  }

  // again waits with full jitter, so that the pages of a whole depot do not
  // come back in the same instant.
  again() {
    clearTimeout(this.timer);
    this.socket = null;
    const wait = 200 + Math.random() * this.retry;
    this.retry = Math.min(LAST_RETRY, this.retry * 1.8);
    this.retryAt = performance.now() + wait;
    this.timer = setTimeout(() => this.connect(), wait);
    this.become('waiting');
  }

  hurry() {
    if (this.state === 'waiting') this.connect();
  }

  // restart drops a socket on which nothing comes although the server has something.
  restart() {
    this.drop();
    this.connect();
  }

  close() {
    this.ended.abort();
    clearTimeout(this.timer);
    this.drop();
    this.become('closed');
  }

  drop() {
    const socket = this.socket;
    this.socket = null; // first: its close is not a loss
    socket?.close();
  }

  become(state) {
    this.state = state;
    this.on.state();
  }
}

// Poll asks for the status again and again. It keeps the last answer and when
// the question was put; error is why there is no newer one. device() is the
// one that is shown.
export class Poll {
  constructor(token, interval, device, changed) {
    Object.assign(this, { token, interval, device, changed });
    this.status = null;
    this.askedAt = 0;    // performance.now() of the question that was answered last
    this.answeredAt = 0;
    this.error = '';
    this.refused = false;
    this.absent = false; // another tracking server, which has groups and no status
  }

  async run() {
    for (;;) {
      await this.ask();
      await new Promise((done) => { this.wake = done; setTimeout(done, this.absent ? SELDOM : this.interval); });
    }
  }

  now() { this.wake?.(); }

  async ask() {
    const asked = performance.now();
    try {
      const status = await this.get('/api/v1/status');
      const relay = status.relay, device = this.device();
      // Of a large fleet only those heard last are listed.
      if (device && relay?.groups > relay?.devices?.length && !relay.devices.some((d) => d.device_id === device)) {
        relay.devices.push(await this.get(`/api/v1/devices/${device}`).catch(() => ({ device_id: device })));
      }
      Object.assign(this, { status, askedAt: asked, answeredAt: performance.now(), error: '', refused: false, absent: false });
    } catch (e) {
      this.refused = e.code === 401;
      this.absent = e.code === 404;
      this.error = e.code ? e.message : 'gpsbridge is stopped, or this browser is not in its network';
    }
    this.changed();
  }

  // get throws the server's error, with its code; without one when it
  // was not the server that answered.
  async get(path, timeout = 4000) {
    const answer = await fetch(path, { headers: authorization(this.token), signal: AbortSignal.timeout(timeout), cache: 'no-store' });
    if (answer.ok) return answer.json();
    const body = await answer.json().catch(() => ({}));
    throw Object.assign(new Error(body.error ?? `the status was answered with ${answer.status}`), { code: answer.status });
  }
}
