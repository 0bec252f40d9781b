// The satellites as a table, for readers of the numbers. It is made only while it
// is open.

import { NONE, element, isNumber, svg } from './format.js';
import { classOf, mark } from './satellites.js';

const COLUMNS = ['Satellite', 'C/N0', 'Elevation', 'Azimuth', 'Used'];

export class Table {
  constructor(details, host) {
    Object.assign(this, { details, host, satellites: [] });
    details.addEventListener('toggle', () => this.render(this.satellites));
  }

  render(satellites) {
    this.satellites = satellites;
    if (!this.details.open) return;
    const head = element('tr', {}, ...COLUMNS.map((c) => element('th', { scope: 'col' }, c)));
    this.host.replaceChildren(element('table', {}, element('thead', {}, head), element('tbody', {}, ...satellites.map(row))));
  }
}

function row(s) {
  const degrees = (v) => (isNumber(v) ? `${v}°` : NONE);
  const shape = svg('svg', { viewBox: '-9 -9 18 18', 'aria-hidden': 'true', class: classOf(s) }, mark(s.shape, 0, 0, 6, 'mark'));
  return element('tr', {}, element('th', { scope: 'row' }, shape, `${s.name} ${s.number}`),
    ...[isNumber(s.ss) ? String(s.ss) : NONE, degrees(s.el), degrees(s.az), s.used ? 'yes' : 'no'].map((v) => element('td', {}, v)));
}
