// Wires the page: what is heard goes into the model, the model and the status
// into the views. One timer counts the ages; everything else is drawn on change.

import { NONE, ageText, coordinate, element, fixed, isNumber, setText, spanText, svg, wind } from './format.js';
import { Feed, Poll } from './feed.js';
import { Model, conditionOf, modeOf } from './model.js';
import { chainOf, reasonOf } from './chain.js';
import { satellitesOf } from './satellites.js';
import { SkyPlot } from './sky.js';
import { Bars } from './bars.js';
import { TrailMap } from './map.js';
import { LinkPanel } from './link.js';

const $ = (id) => document.getElementById(id);
const token = new URLSearchParams(location.hash.slice(1)).get('token') ?? '';
const STANDING = 0.55; // m/s, 2 km/h: below it a heading is noise

const model = new Model();
const sky = new SkyPlot($('sky'), $('sky-aside'), $('legend'));
const bars = new Bars($('bars'));
const link = new LinkPanel($('link'), $('link-aside'));
const map = new TrailMap($('map'), (on) => $('follow').setAttribute('aria-pressed', on));
const poll = new Poll(token, 1500, onStatus);

// Before there is a device there is nothing to connect to.
let feed = { state: 'connecting', opened: 0, retryAt: 0, device: '' };
let joining = true;  // what arrives may be history: its age is not known yet
let openedAt = 0;
let kind = '';
let open = '';       // name of the station whose detail is shown

// What changed since the last frame: a history of 600 fixes is drawn once.
let changed = null;

function onMessage(m) {
  model.take(m);
  if (m?.class !== 'SKY' && m?.class !== 'TPV') return;
  if (!changed) requestAnimationFrame(render);
  changed ??= {};
  changed[m.class] = true;
}

function render() {
  const { SKY, TPV } = changed;
  changed = null;
  if (SKY) {
    const list = satellitesOf(model.sky);
    sky.render(list);
    bars.render(list);
  }
  if (TPV) showFix();
}

function onSocket() {
  if (feed.state === 'open') {
    openedAt = performance.now();
    joining = true;
    // Long enough for the history to be in, short enough not to be seen.
    setTimeout(() => poll.now(), 120);
    setTimeout(() => { joining = false; }, 2500);
  }
  tick();
}

function onStatus() {
  const status = poll.status;
  if (status && !feed.device) chooseDevice(status);
  const d = status?.relay?.devices?.find((x) => x.device_id === feed.device);
  if (!poll.error && d && isNumber(d.fix_age)) {
    model.correct(d.fix_age, poll.askedAt);
    // The server has newer fixes than came through the socket: it is dead.
    if (feed.state === 'open' && d.fix_age + 10 < (poll.answeredAt - Math.max(openedAt, model.heardAt)) / 1000) feed.restart();
  }
  if (joining && poll.askedAt > openedAt + 100) {
    drawMap(); // with the whole history: the scale is settled
    joining = false;
  }
  if (status) offerDevices(status);
  link.render(poll, model);
  tick();
}

// chooseDevice takes ?device=, or the daemon's own, or the first that there is.
function chooseDevice(status) {
  const wanted = new URLSearchParams(location.search).get('device');
  const device = wanted || status.device_id || status.relay?.devices?.[0]?.device_id;
  if (!device || feed.device) return;
  if (!/^\w{1,80}$/.test(device)) {
    setText($('device'), 'no such device');
    return;
  }
  setText($('device'), device);
  document.title = `${device} · gpsbridge`;
  feed = new Feed(device, token, { message: onMessage, state: () => feed.device && onSocket() });
}

function offerDevices(status) {
  const names = (status.relay?.devices ?? []).map((d) => d.device_id);
  const pick = $('pick');
  if (!feed.device) return;
  if (!names.includes(feed.device)) names.unshift(feed.device);
  pick.parentElement.hidden = names.length < 2;
  $('device').classList.toggle('sr', names.length > 1);
  if (names.join() === pick.dataset.names || document.activeElement === pick) return;
  pick.dataset.names = names.join();
  pick.replaceChildren(...names.map((n) => element('option', { value: n, selected: n === feed.device }, n)));
}

function showFix() {
  const f = model.fix, p = model.position;
  const mode = modeOf(f);
  setText($('mode'), mode.word);
  setText($('used'), isNumber(model.used) ? String(model.used) : NONE);
  setText($('seen'), isNumber(model.seen) ? String(model.seen) : NONE);
  setText($('time'), typeof f.time === 'string' && isNumber(Date.parse(f.time)) ? `${f.time.slice(11, 21).replace(/Z$/, '')} UTC · ${f.time.slice(0, 10)}` : 'not known yet');
  setText($('dop'), ['hdop', 'vdop', 'pdop'].map((k) => `${k[0].toUpperCase()} ${fixed(f[k], 1)}`).join('  '));
  if (p) showMotion(p);
  drawMap();
}

function showMotion(p) {
  const standing = isNumber(p.speed) && p.speed < STANDING;
  const kmh = p.speed * 3.6;
  setText($('speed'), fixed(kmh, kmh < 9.95 ? 1 : 0));
  setText($('speed-more'), isNumber(p.speed) ? `${fixed(p.speed, 1)} m/s` : 'not reported');
  setText($('heading'), isNumber(p.track) ? String(Math.round(p.track) % 360).padStart(3, '0') : NONE);
  setText($('heading-more'), standing ? 'standing: direction unsure' : isNumber(p.track) ? wind(p.track) : 'not reported');
  $('heading-box').classList.toggle('dim', standing || !isNumber(p.track));
  if (isNumber(p.track)) $('needle').setAttribute('transform', `rotate(${p.track} 20 20)`);
  const altitude = p.altMSL ?? p.altHAE;
  setText($('altitude'), fixed(altitude, 0));
  setText($('altitude-more'), isNumber(p.climb) ? `${p.climb >= 0 ? '+' : ''}${fixed(p.climb, 1)} m/s` : isNumber(p.altMSL) ? 'above sea level' : isNumber(altitude) ? 'above ellipsoid' : 'not reported');
  setText($('accuracy'), fixed(p.eph, p.eph < 9.95 ? 1 : 0));
  setText($('accuracy-more'), isNumber(p.epv) ? `vertical ± ${fixed(p.epv, p.epv < 9.95 ? 1 : 0)} m` : isNumber(p.eph) ? '' : 'not reported');
  setText($('position'), `${coordinate(p.lat, 'N', 'S')}  ${coordinate(p.lon, 'E', 'W')}`);
}

function drawMap() {
  map.show(model, { stale: kind !== 'live', epoch: model.epoch, fit: joining });
}

// tick is what changes with time alone, ten times a second.
function tick() {
  const now = performance.now();
  const chain = chainOf(poll, feed.device, now);
  const condition = conditionOf(model, feed, reasonFor(chain), now);
  if (!joining || !model.fix || condition.kind === 'down') showCondition(condition);
  const unsure = joining && feed.state === 'open';
  // Of the position, not of the last word: "no fix" every second is no fix.
  setText($('age'), unsure ? NONE : ageText(model.positionAge(now)));
  const span = model.modeFor(now);
  setText($('mode-for'), isNumber(span) && !unsure ? `${model.modeWhole ? 'for ' : '> '}${spanText(span)}` : '');
  const words = { open: 'connected', connecting: 'connecting', waiting: 'offline' };
  setText($('socket'), words[feed.state]);
  $('socket').dataset.level = { open: 'ok', connecting: 'warn', waiting: 'bad' }[feed.state];
  showChain(chain);
}

const reasonFor = (chain) => (poll.refused ? `${poll.error}` : feed.device || !poll.status ? reasonOf(chain) : 'no device has been heard yet');

function showCondition(c) {
  setText($('banner-title'), c.title + (c.kind === 'stale' ? `: ${ageText(model.age())} s old` : ''));
  setText($('banner-text'), c.text);
  if (c.kind === kind) return;
  kind = c.kind;
  document.body.dataset.condition = kind;
  // Said once when it changes; the counting is not for the ear.
  setText($('announce'), kind === 'live' ? `Live: ${modeOf(model.fix).word}` : `${c.title}. ${c.text}`);
  drawMap();
}

const SIGNS = { ok: 'M4 8.4 7 11.2 12 5.2', warn: 'M8 3.8V9M8 11.4v.8', bad: 'M5 5l6 6M11 5l-6 6', off: 'M4.5 8h7', unknown: 'M6 6.2a2 2 0 1 1 2.9 1.8c-.7.4-.9.8-.9 1.4M8 11.6v.6' };

function showChain(chain) {
  const host = $('chain');
  const key = JSON.stringify(chain.map((s) => [s.name, s.level, s.word]));
  if (host.dataset.key !== key) {
    host.dataset.key = key;
    const focused = document.activeElement?.dataset?.station;
    host.replaceChildren(...chain.map(stationItem));
    if (focused) host.querySelector(`[data-station="${CSS.escape(focused)}"]`)?.focus();
  }
  const shown = chain.find((s) => s.name === open);
  $('why').hidden = !shown;
  if (shown) setText($('why'), `${shown.name} – ${shown.word}${shown.detail ? `: ${shown.detail}` : ''}`);
}

function stationItem(s) {
  const button = element('button', { title: s.detail }, svg('svg', { viewBox: '0 0 16 16', 'aria-hidden': 'true' }, svg('path', { d: SIGNS[s.level] })),
    element('span', { className: 'name' }, s.name), element('span', { className: 'word' }, s.word));
  button.dataset.station = s.name;
  button.setAttribute('aria-expanded', String(open === s.name));
  button.setAttribute('aria-controls', 'why');
  button.addEventListener('click', () => {
    open = open === s.name ? '' : s.name;
    $('chain').dataset.key = ''; // draw it again
    tick();
  });
  return element('li', { className: s.level }, button);
}

$('zoom-in').addEventListener('click', () => map.zoom(1.5));
$('zoom-out').addEventListener('click', () => map.zoom(1 / 1.5));
$('follow').addEventListener('click', () => map.follow(!map.following));
$('pick').addEventListener('change', (e) => {
  const u = new URL(location.href);
  u.searchParams.set('device', e.target.value);
  location.assign(u);
});
addEventListener('hashchange', () => location.reload());

setInterval(tick, 100);
poll.run();

// For the console of whoever debugs this page, and for its tests.
globalThis.gpsbridge = { model, poll, map };
