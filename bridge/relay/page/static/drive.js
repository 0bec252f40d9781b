// A recorded drive out of one file, with a slider over its fixes: ../drive.go puts
// this module with all that it imports, the page and the messages into one.

import { NONE, clock, count, element, setText } from './format.js';
import { plain } from './feed.js';
import { nextUnit } from './units.js';
import { Model, modeOf } from './model.js';
import { Delivery } from './delivery.js';
import { Trail } from './trail.js';
import { showFix, showSpeed } from './numbers.js';
import { Place } from './place.js';
import { satellitesOf, scaleOf } from './satellites.js';
import { SkyPlot } from './sky.js';
import { Bars } from './bars.js';
import { Table } from './table.js';
import { Charts } from './charts.js';
import { Tabs } from './tabs.js';
import { bindKeys } from './keys.js';
import { mapControls } from './controls.js';
import { MapView } from './map.js';

const STATE = ['fix', 'fixTime', 'position', 'positionTime', 'sky', 'mode', 'modeFrom', 'modeWhole', 'track']; // of the model

const $ = (id) => document.getElementById(id);
document.body.dataset.view = 'drive';
setText($('banner-title'), 'Loading');

// unpack gives the lines of the file: what it is, and its messages.
async function unpack() {
  const bytes = Uint8Array.from(atob($('drive').textContent), (c) => c.charCodeAt(0));
  const text = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))).text();
  return text.trimEnd().split('\n').map((line) => JSON.parse(line));
}

// statesOf lists what the model knew after each fix.
function statesOf(model, messages, every) {
  const states = [];
  let now = performance.now();
  model.room = Infinity; // points are thinned already
  for (const m of messages.map(plain)) {
    if (m.class === 'TPV') now += every * 1000; // counts where the receiver has no time
    model.take(m, now);
    if (model.fix === m) states.push({ ...Object.fromEntries(STATE.map((k) => [k, model[k]])), length: model.track.length });
  }
  return states;
}

function show(name, every, messages) {
  const model = new Model(), states = statesOf(model, messages, every);
  const day = (t) => new Date(t * 1000).toISOString().slice(0, 10);
  setText($('device'), name || 'Drive');
  document.title = `${name || 'Drive'} · gpsbridge`;
  if (!states.length) {
    setText($('banner-title'), 'No fix in this recording');
    return;
  }
  const slider = element('input', { type: 'range', id: 'at', min: 0, max: states.length - 1, value: 0, ariaLabel: 'Time' });
  const time = element('output', { htmlFor: 'at', className: 'at' });
  const about = `${count(states.length)} fixes, ${every === 1 ? 'at most one a second' : `thinned to one every ${every} s`}`;
  $('map').parentElement.after(element('section', { className: 'card time', ariaLabel: 'Time' }, slider, element('p', {}, time, element('span', { className: 'aside' }, about))));

  const sky = new SkyPlot($('sky'), $('sky-aside'), $('legend')), bars = new Bars($('bars')), table = new Table($('table'), $('table-body'));
  const charts = new Charts($('charts'), $('span'), model), place = new Place($);
  const tabs = new Tabs($, (panel, on) => { if (panel === 'charts' && on) charts.draw(); });
  const { actions, reports } = mapControls($, () => map);
  const map = new MapView($('map'), { ...reports, pick: (p) => p && seek(states.findIndex((s) => s.fixTime === p.t)) });
  const whole = [...new Set(states.map((s) => s.track))].flat();
  map.setTrail(new Trail({ track: whole, epoch: model.epoch, gap: model.gap }, new Delivery()).points());

  function seek(i) {
    const { length, ...state } = states[i], was = model.sky;
    Object.assign(model, state, { track: state.track.slice(0, length), heardAt: performance.now(), skyAt: performance.now() });
    const { fix } = modeOf(model.fix), words = `${day(model.fixTime)} ${clock(model.fixTime)}`;
    slider.value = i;
    slider.setAttribute('aria-valuetext', words);
    setText(time, words);
    document.body.dataset.condition = fix ? 'live' : 'nofix';
    setText($('banner-title'), 'No fix');
    setText($('banner-text'), model.position ? 'the position shown is the last one' : 'no position yet');
    showFix($, model);
    if (model.position) {
      place.show(model.position);
      map.setFix(model.position, { stale: !fix });
    } else for (const id of ['speed', 'heading', 'altitude', 'accuracy', 'position']) setText($(id), NONE);
    if (model.sky !== was || i === 0) for (const view of [sky, bars, table]) view.render(satellitesOf(model.sky));
    charts.draw();
  }

  function unit() {
    nextUnit();
    showSpeed($, model.position);
    charts.draw();
  }

  slider.addEventListener('input', () => seek(Number(slider.value)));
  $('unit').addEventListener('click', unit);
  bindKeys($, { ...actions, unit });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { map.setTheme(); charts.setTheme(); });
  $('table').open = matchMedia('(min-width: 56.25em) and (min-height: 58.75em)').matches; // there is room
  $('scale').replaceChildren(...scaleOf());
  showSpeed($, null);
  seek(0);
  map.resize();
  map.showAll();
  globalThis.gpsbridge = { model, map, charts, states, tabs };
}

try {
  const [{ name, every }, ...messages] = await unpack();
  show(name, every, messages);
} catch (e) {
  setText($('banner-title'), 'Not shown');
  setText($('banner-text'), `${e.message}: open the file in a browser of 2023 or newer`);
}
