// All devices of a server on one map and in a list, while none is chosen.

import { count, element, fixed, isNumber, roughSpan, setText } from './format.js';
import { plain } from './feed.js';
import { hasPosition } from './model.js';
import { speedUnit } from './units.js';

const LEAST = 3000, EACH = 15; // ms between two questions, and for each device: 500 bytes of answer, so 33 kB a second at most
const LONG = 20_000;           // ms that an answer may take
const SILENT = 120;            // seconds without a fix
const TRAIL = 300;             // seconds of each device's way that are kept, from when the page was opened
const ROWS = 200;              // of the list: of more devices a filter finds the one

export class Fleet {
  // changed() is called after each answer.
  constructor($, poll, changed) {
    Object.assign(this, { $, poll, changed });
    this.devices = []; // {name, age, fix, at}: age is seconds at the time `at`, not a number without a fix
    this.trails = new Map();
    this.rows = new Map();
    $('fleet-filter').addEventListener('input', () => this.render());
    setText($('device'), 'All devices');
    setText($('follow'), 'All');
    document.body.dataset.view = 'fleet';
    this.run();
  }

  async run() {
    for (;;) {
      try {
        this.take(await this.poll.get('/api/v1/devices', LONG));
      } catch { /* the status has the reason */ }
      await new Promise((done) => setTimeout(done, Math.max(LEAST, EACH * this.devices.length)));
    }
  }

  take({ devices }) {
    const at = performance.now();
    this.devices = devices.map((d) => ({ name: d.device_id, age: d.fix_age ?? NaN, at, fix: plain(d.fix) })).sort((a, b) => byNumber.compare(a.name, b.name));
    this.trails = new Map(this.devices.map((d) => [d.name, this.trailOf(d)]));
    this.render();
    this.changed();
  }

  // trailOf is where a device was in the answers before, and is.
  trailOf({ name, fix, at }) {
    const trail = (this.trails.get(name) ?? []).filter((p) => at - p.seen < TRAIL * 1000);
    const last = trail.at(-1);
    if (hasPosition(fix) && (last?.lat !== fix.lat || last?.lon !== fix.lon)) trail.push({ lat: fix.lat, lon: fix.lon, seen: at });
    return trail;
  }

  // vehicles is what a map shows.
  vehicles() {
    return this.devices.filter((d) => hasPosition(d.fix)).map((d) => ({
      name: d.name, lat: d.fix.lat, lon: d.fix.lon, track: d.fix.track, speed: d.fix.speed, silent: !isLive(d), trail: this.trails.get(d.name) }));
  }

  // condition is how far the page can be believed.
  condition() {
    if (this.poll.error) return { kind: 'down', title: 'Not connected', text: this.poll.error };
    if (!this.devices.length) return { kind: 'waiting', title: 'Connecting', text: 'asking for the devices' };
    return { kind: 'live', title: 'All devices', text: this.summary() };
  }

  summary() { return `${count(this.devices.filter(isLive).length)} of ${count(this.devices.length)} live`; }

  render() {
    const { $, devices } = this;
    const words = $('fleet-filter').value.trim().toLowerCase();
    const list = devices.filter((d) => d.name.toLowerCase().includes(words));
    setText($('fleet-count'), this.summary());
    // A row stays what it is: it may have the focus, or be under a finger.
    this.rows = new Map(list.slice(0, ROWS).map((d) => [d.name, this.rows.get(d.name) ?? row(d.name)]));
    list.slice(0, ROWS).forEach((d) => fill(this.rows.get(d.name), d));
    const rows = [...this.rows.values()], host = $('fleet-list');
    if (rows.length !== host.children.length || rows.some((r, i) => r !== host.children[i])) host.replaceChildren(...rows);
    setText($('fleet-more'), list.length > ROWS ? `${count(list.length - ROWS)} more: filter by name` : list.length ? '' : 'no device has this name');
  }
}

const byNumber = new Intl.Collator('en', { numeric: true }); // van_9 before van_10

const ageOf = (d) => d.age + (performance.now() - d.at) / 1000;
const isLive = (d) => ageOf(d) < SILENT && hasPosition(d.fix);

const row = (name) => element('li', {}, element('a', { href: `?device=${encodeURIComponent(name)}` },
  element('b', {}, name), element('span', { className: 'motion' }), element('span', { className: 'state' })));

function fill(item, d) {
  const [, motion, state] = item.firstChild.children, age = ageOf(d), live = isLive(d), { name, factor } = speedUnit();
  setText(motion, live && isNumber(d.fix.speed) ? `${fixed(d.fix.speed * factor)} ${name}` : '');
  setText(state, !isNumber(age) ? 'nothing yet' : live ? 'live' : age < SILENT ? 'no fix' : `silent ${roughSpan(age)}`);
  state.dataset.level = live ? 'ok' : 'warn';
}
