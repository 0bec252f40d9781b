// The position as text to take along: decimal, or in degrees, minutes and
// seconds; copied, or handed to the map app of the phone.

import { coordinate, setText, sexagesimal } from './format.js';

const KEY = 'gpsbridge.dms';
const PLAIN = ["'", '"', '']; // what all map services read
const SHOWN = 2000; // ms that "Copied" is shown

export class Place {
  constructor($) {
    this.$ = $;
    this.fix = null;
    try { this.dms = localStorage.getItem(KEY) === 'yes'; } catch { this.dms = false; /* storage is off */ }
    $('dms').addEventListener('click', () => this.choose(!this.dms));
    $('copy').addEventListener('click', () => this.copy());
    this.mark();
  }

  choose(dms) {
    this.dms = dms;
    try { localStorage.setItem(KEY, dms ? 'yes' : 'no'); } catch { /* for this page only, then */ }
    this.mark();
    if (this.fix) this.show(this.fix);
  }

  mark() { this.$('dms').setAttribute('aria-pressed', String(this.dms)); }

  show(fix) {
    const write = this.dms ? sexagesimal : coordinate, { lat, lon } = fix;
    this.fix = fix;
    setText(this.$('position'), `${write(lat, 'N', 'S')}\n${write(lon, 'E', 'W')}`);
    const decimal = `${lat.toFixed(6)},${lon.toFixed(6)}`; // 6 digits are 11 cm
    this.$('geo').href = `geo:${decimal}?q=${decimal}`;    // RFC 5870; with q, map apps set a pin
    this.$('place-tools').hidden = false;
  }

  // text is the position as map services read it.
  text() {
    const { lat, lon } = this.fix;
    return this.dms ? `${sexagesimal(lat, 'N', 'S', PLAIN)} ${sexagesimal(lon, 'E', 'W', PLAIN)}` : `${lat.toFixed(6)}, ${lon.toFixed(6)}`;
  }

  async copy() {
    const done = await copied(this.text(), this.$('position'));
    const words = done ? 'Copied' : 'Selected';
    setText(this.$('copy'), words);
    setText(this.$('announce'), done ? 'Position copied' : 'Position selected, to be copied by hand');
    clearTimeout(this.timer);
    this.timer = setTimeout(() => setText(this.$('copy'), 'Copy'), SHOWN);
  }
}

// copied puts text on the clipboard and reports whether it could. Over plain http
// browsers have no clipboard for pages, and copy what is selected only: if not
// even that, element stays selected.
async function copied(text, element) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { /* there is none, or it is not allowed */ }
  getSelection().selectAllChildren(element);
  const instead = (e) => { e.clipboardData.setData('text/plain', text); e.preventDefault(); };
  document.addEventListener('copy', instead, { once: true });
  const done = document.execCommand('copy');
  document.removeEventListener('copy', instead);
  if (done) getSelection().removeAllRanges();
  return done;
}
