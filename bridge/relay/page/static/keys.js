// The keys, and the list of them that ? shows.

import { element } from './format.js';

const STEP = 60, FACTOR = 1.4; // px, times

// bindKeys takes actions by name, each a function; see KEYS. Keys without an
// action are left out.
export function bindKeys($, actions) {
  const tab = (name) => actions.tab && (() => actions.tab(name));
  const KEYS = [
    ['?', 'show or hide this list', () => help($)],
    ['f', 'follow the vehicle', actions.follow],
    ['n', 'north up or heading up', actions.turn],
    ['+', 'zoom in', () => actions.zoom(FACTOR)],
    ['-', 'zoom out', () => actions.zoom(1 / FACTOR)],
    ['u', 'next unit of speed', actions.unit],
    ['s', 'sky', tab('sky')],
    ['c', 'charts', tab('charts')],
    ['m', 'NMEA console', tab('nmea')],
    ['l', 'link', tab('link')],
    ['p', 'pause the console', actions.pause],
  ].filter(([, , run]) => run);
  const map = new Map(KEYS.map(([key, , run]) => [key, run])).set('=', () => actions.zoom(FACTOR));
  const arrows = { ArrowLeft: [STEP, 0], ArrowRight: [-STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] };
  addEventListener('keydown', (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest?.('input, select, textarea')) return;
    if (e.key in arrows && e.target.id === 'map') {
      e.preventDefault();
      actions.pan(...arrows[e.key]);
      return;
    }
    const run = map.get(e.key.length === 1 ? e.key.toLowerCase() : e.key);
    if (!run || ($('help').open && e.key !== '?')) return;
    e.preventDefault();
    run();
  });
  $('help-keys').replaceChildren(...[...KEYS, ['Arrows', 'move the map when it has the focus; change the tab when a tab has it', null]]
    .map(([key, words]) => element('div', {}, element('dt', {}, element('kbd', {}, key === '-' ? '−' : key)), element('dd', {}, words))));
}

function help($) {
  if ($('help').open) $('help').close(); else $('help').showModal();
}
