// Wires the page: what is heard goes into the model, the model and the status
// into the views. One timer counts the ages; everything else is drawn on change.

import { clock, count, element, fixed, isNumber, setText } from './format.js';
import { takeToken } from './token.js';
import { nextUnit, speedUnit } from './units.js';
import { Feed, Poll } from './feed.js';
import { Model } from './model.js';
import { conditionOf } from './condition.js';
import { chainOf, reasonOf } from './chain.js';
import { Delivery } from './delivery.js';
import { Trail } from './trail.js';
import { Strip } from './strip.js';
import { showFix, showSpeed } from './numbers.js';
import { satellitesOf, scaleOf } from './satellites.js';
import { SkyPlot } from './sky.js';
import { Bars } from './bars.js';
import { Table } from './table.js';
import { Charts } from './charts.js';
import { Console } from './console.js';
import { offerTrack } from './download.js';
import { dayOf } from './day.js';
import { LinkPanel } from './link.js';
import { Tabs } from './tabs.js';
import { bindKeys } from './keys.js';
import { mapControls } from './controls.js';
import { Place } from './place.js';
import { Awake } from './awake.js';
import { Fleet } from './fleet.js';
import { keepFiles } from './offline.js';
import { loadMap } from './maploader.js';

const HISTORY = 600;      // fixes asked for on joining: what the relay keeps by default
const FLEET_POLL = 5000;  // ms, where the devices are asked for apart
const POLL = 1500;        // ms between two questions for the status
const ASLEEP = 2000;      // ms by which the clock may get ahead of the count of time: more is a sleep
const FROZEN = 90_000;    // ms between two ticks: a tab in the background has one a minute at least

const $ = (id) => document.getElementById(id);
const token = takeToken();
const tokenReason = token ? 'This token is not valid, or not any more.' : 'Viewers of this vehicle need a token.';

const model = new Model();
const delivery = new Delivery();
const trail = new Trail(model, delivery);
const strip = new Strip($, () => drawMap());
const sky = new SkyPlot($('sky'), $('sky-aside'), $('legend'));
const bars = new Bars($('bars'));
const table = new Table($('table'), $('table-body'));
const charts = new Charts($('charts'), $('span'), model);
const link = new LinkPanel($('link'), $('link-aside'), $('badge-link'));
const nmea = new Console($, () => ({ device: feed.device, token, silence: poll.status?.role === 'server'
  ? 'nothing yet: raw sentences stay in the vehicle, look at its own page' : 'nothing yet' }));
const place = new Place($);
const awake = new Awake();
const poll = new Poll(token, POLL, () => feed.device, onStatus);
const controls = mapControls($, () => map);
const tabs = new Tabs($, (name, on) => {
  if (name === 'nmea') nmea.open(on);
  if (name === 'charts' && on) charts.draw();
});

// Before there is a device there is nothing to connect to.
let feed = { state: 'connecting', opened: 0, garbled: 0, retryAt: 0, device: '' };
let fleet = null;    // in place of one device
let picked = null;   // point of the trail that was tapped on
let joining = true;  // what arrives may be history: its age is not known yet
let openedAt = 0;
let missing = {};    // from which time on the daemon may have fixes that did not come; from the beginning without one
let map = null;
let ticked = { clock: Date.now(), at: performance.now() }; // last

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
    for (const view of [sky, bars, table]) view.render(list);
  }
  if (!TPV || !model.fix) return;
  showFix($, model);
  if (model.position) place.show(model.position);
  drawMap();
  charts.moved();
}

function onSocket() {
  if (feed.state === 'open') {
    openedAt = performance.now();
    joining = !poll.absent;
    // Long enough for the history to be in, short enough not to be seen.
    if (joining) setTimeout(() => poll.now(), 120);
  } else missing ??= { from: model.fixTime };
  tick();
}

function onStatus() {
  const { status } = poll;
  if (!feed.device) feed.state = poll.refused ? 'waiting' : !fleet ? 'connecting' : poll.error ? 'waiting' : 'open';
  if (!map) {
    map = 'loading';
    // A page that was opened without its server may be an older one than that has.
    if (status?.relay?.page) keepFiles();
    loadMap($('map'), status?.relay?.page, onMap, useMap).then(useMap);
  }
  if (!feed.device && !fleet && (status || poll.absent)) chooseDevice(status);
  if (!poll.error) {
    if (isNumber(Date.parse(status.now))) model.offset = Date.parse(status.now) - Date.now();
    correctAge(status);
    if (delivery.update(status, feed.device)) drawMap(true);
  }
  if (joining && feed.state === 'open' && (poll.error || poll.askedAt > openedAt + 100)) {
    drawMap(); // with the whole history: the scale is settled
    joining = false;
  }
  if (!joining && missing && model.fix && status?.relay?.page?.track) addDay();
  if (status) offerDevices(status);
  link.render(poll, { model, delivery, feed });
  $('trail-legend').hidden = !delivery.known;
  $('kept').parentElement.hidden = !delivery.count;
  setText($('kept'), ` ${count(delivery.count)}`);
  tick();
}

// addDay adds what the daemon kept while this page was not there.
async function addDay() {
  const asked = missing;
  missing = null;
  const points = await dayOf(feed.device, token, asked.from);
  if (!points) missing = asked; // for the next status
  else model.addDay(points);
  drawMap();
  charts.draw();
}

// correctAge takes the age of what came from the server's history from the server.
function correctAge(status) {
  const d = status.relay?.devices?.find((x) => x.device_id === feed.device);
  if (!isNumber(d?.fix_age) || feed.state !== 'open') return;
  if (poll.askedAt > openedAt + 100) model.correct(d.fix_age, poll.askedAt);
  // The server has newer fixes than came through the socket: it is dead.
  if (d.fix_age + 10 < (poll.answeredAt - Math.max(openedAt, model.heardAt)) / 1000) feed.restart();
}

const onMap = {
  token,
  ...controls.reports,
  pick: (p) => (fleet ? p && go(p.name) : show(p)),
  credit: (text) => { setText($('credit'), text); $('credit').hidden = !text; },
};

function useMap(view) {
  map = globalThis.gpsbridge.map = view;
  drawMap(true);
  map.fit();
}

// drawMap brings the map to what the model knows; all when delivery changed.
function drawMap(all = false) {
  if (!map?.setTrail) return;
  if (fleet) {
    map.setFleet?.(fleet.vehicles());
    return;
  }
  trail.update(map, all);
  if (model.position) map.setFix(model.position, { stale: strip.kind !== 'live' });
  if (joining) map.fit();
}

// show marks a point of the trail with its time and speed; null for none.
function show(point) {
  picked = point;
  const { name, factor } = speedUnit();
  const words = point && [clock(point.t), isNumber(point.speed) && `${fixed(point.speed * factor)} ${name}`].filter(Boolean).join(' · ');
  map.mark?.(point, words);
  if (words) setText($('announce'), words);
}

// chooseDevice takes ?device=, or the daemon's own, or the only one that there is;
// of a server with several it shows all.
function chooseDevice(status) {
  const wanted = new URLSearchParams(location.search).get('device');
  if (!wanted && !status?.device_id && status?.relay?.groups > 1) {
    fleet = new Fleet($, poll, drawMap);
    feed.state = 'open'; // what is asked for the devices is there
    poll.interval = FLEET_POLL;
    return;
  }
  const device = wanted || status?.device_id || status?.relay?.devices?.[0]?.device_id;
  if (!device) return;
  if (!/^\w{1,80}$/.test(device)) {
    setText($('device'), 'no such device');
    return;
  }
  setText($('device'), device);
  document.title = `${device} · gpsbridge`;
  feed = new Feed(device, token, `history=${HISTORY}&sky=1`, { message: onMessage, state: () => feed.device && onSocket() });
  if (tabs.shown.has('nmea')) nmea.open(true);
}

function offerDevices(status) {
  const names = (status.relay?.devices ?? []).map((d) => d.device_id);
  const pick = $('pick');
  if (!feed.device) return;
  if (!names.includes(feed.device)) names.unshift(feed.device);
  if (!status.device_id && names.length > 1) names.unshift('');
  pick.parentElement.hidden = names.length < 2;
  $('device').classList.toggle('sr', names.length > 1);
  if (names.join() === pick.dataset.names || document.activeElement === pick) return;
  pick.dataset.names = names.join();
  pick.replaceChildren(...names.map((n) => element('option', { value: n, selected: n === feed.device }, n || 'All devices')));
}

// tick is what changes with time alone, ten times a second.
function tick() {
  const now = performance.now();
  wake(now);
  const chain = chainOf(poll, feed.device, model.mixed(now), now).filter((s) => !fleet || s.name !== 'Device');
  const reason = poll.refused ? tokenReason : feed.device || !poll.status ? reasonOf(chain) : 'no device has been heard yet';
  const condition = fleet && !poll.refused ? fleet.condition() : conditionOf(model, feed, reason, poll.refused, now);
  $('token-form').hidden = !poll.refused;
  const settled = !joining || !model.fix || condition.kind === 'down';
  sky.grow(model.skyAge(now));
  awake.want(map?.following && condition.kind === 'live');
  strip.show({ model, feed, chain, condition: settled ? condition : null, unsure: joining && feed.state === 'open' }, now);
}

// wake finds that this machine slept, or froze this page. Its count of time may
// have stopped meanwhile, and its socket may be dead without an event.
function wake(now) {
  const clock = Date.now(), passed = now - ticked.at, uncounted = clock - ticked.clock - passed;
  ticked = { clock, at: now };
  if (uncounted > ASLEEP) model.sleep(uncounted);
  if (uncounted <= ASLEEP && passed <= FROZEN) return;
  if (feed.device) feed.restart();
  poll.now();
}

function unit() {
  nextUnit();
  showSpeed($, model.position);
  charts.draw();
  fleet?.render();
  if (picked) show(picked);
}

// go opens the page of a device, or of all ('').
function go(device) {
  const u = new URL(location.href);
  if (device) u.searchParams.set('device', device); else u.searchParams.delete('device');
  location.assign(u);
}

$('unit').addEventListener('click', unit);
for (const ending of ['gpx', 'geojson']) offerTrack($(ending), $('track-state'), ending, () => ({ device: feed.device, token }));
$('pick').addEventListener('change', (e) => go(e.target.value));
bindKeys($, { ...controls.actions, unit, tab: (name) => tabs.select(name), pause: () => tabs.shown.has('nmea') && nmea.pause(!nmea.paused) });
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { map?.setTheme?.(); charts.setTheme(); });
$('token-form').addEventListener('submit', (e) => { // taken as from a link
  e.preventDefault();
  location.hash = new URLSearchParams({ token: $('token').value.trim() });
});
addEventListener('hashchange', () => { if (location.hash.includes('token=')) location.reload(); });
$('table').open = matchMedia('(min-width: 56.25em) and (min-height: 58.75em)').matches; // there is room
$('scale').replaceChildren(...scaleOf());
showSpeed($, null);

setInterval(tick, 100);
setInterval(() => charts.draw(), 500); // time goes on while nothing comes
// For the browser's console, and for tests.
globalThis.gpsbridge = { model, poll, delivery, charts, nmea, map: null };
poll.run();
