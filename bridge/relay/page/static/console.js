// The NMEA console: what the receiver sends, unchanged. The daemon sends raw
// bytes only to members that ask for them, so the console listens only while it is open.

import { count, element, setText } from './format.js';
import { save } from './download.js';
import { Feed } from './feed.js';
import { Sentences, Types, judge } from './nmealines.js';

const SHOWN = 300;      // lines in the document
const KEPT = 5000;      // lines to filter: three minutes of a chatty receiver
const SAVED = 4 << 20;  // characters to download: an hour and a half of 1 Hz
const SLOW = 250;       // ms between two drawings: reading is slower

export class Console {
  constructor($, joined) {
    Object.assign(this, { $, joined });
    this.lines = [];
    this.saved = [];
    this.savedSize = 0;
    this.sources = new Map(); // receiver to Sentences
    this.types = new Types();
    this.only = new Set();    // types that are shown; none is all
    this.wrong = 0;
    this.fresh = 0;           // since it was paused
    this.paused = false;
    $('nmea-pause').addEventListener('click', () => this.pause(!this.paused));
    $('nmea-clear').addEventListener('click', () => this.clear());
    $('nmea-save').addEventListener('click', () => this.save());
    $('nmea-filter').addEventListener('input', () => this.draw(true));
  }

  // open listens while on; device and token as the page's feed has them.
  open(on) {
    clearInterval(this.timer);
    this.feed?.close();
    this.feed = null;
    this.sources.clear(); // what was half there is not continued
    if (!on) return;
    const { device, token } = this.joined();
    if (!device) return;
    this.timer = setInterval(() => this.draw(), SLOW);
    this.feed = new Feed(device, token, 'nmea=1', { message: (m) => this.take(m), state: () => this.draw() });
  }

  take(m) {
    if (m?.class !== 'NMEA' || typeof m.data !== 'string') return;
    const now = performance.now(), receiver = String(m.receiver ?? '');
    this.keep(m.data);
    if (!this.sources.has(receiver)) this.sources.set(receiver, new Sentences());
    for (const text of this.sources.get(receiver).take(m.data)) {
      const { type, fault } = judge(text);
      this.types.add(type, fault !== '', now);
      if (fault) this.wrong++;
      if (this.paused) this.fresh++;
      this.lines.push({ text, type, fault, receiver });
    }
    if (!this.paused && this.lines.length > KEPT * 1.1) this.lines.splice(0, this.lines.length - KEPT);
    // Paused, what is on the screen stays, and what comes replaces itself.
    if (this.paused && this.lines.length > 2 * KEPT) this.lines.splice(this.frozen, this.lines.length - 2 * KEPT);
    this.dirty = true;
  }

  keep(data) {
    this.saved.push(data);
    this.savedSize += data.length;
    while (this.savedSize > SAVED) this.savedSize -= this.saved.shift().length;
  }

  pause(on) {
    this.paused = on;
    this.fresh = 0;
    this.frozen = this.lines.length;
    this.$('nmea-pause').setAttribute('aria-pressed', String(on));
    setText(this.$('nmea-pause'), on ? 'Continue' : 'Pause');
    this.draw(true);
  }

  clear() {
    Object.assign(this, { lines: [], saved: [], savedSize: 0, types: new Types(), wrong: 0, fresh: 0, frozen: 0 });
    this.only.clear();
    this.draw(true);
  }

  // save hands over the bytes as they came, not the lines as they are shown.
  save() {
    save(this.joined().device, 'nmea', new Blob([this.saved.join('')], { type: 'text/plain' }));
  }

  // draw shows what is new; all: the filter or the pause changed.
  draw(all = false) {
    this.drawState();
    if (!all && !this.dirty) return;
    this.dirty = false;
    this.drawTypes();
    if (this.paused && !all) return;
    const words = this.$('nmea-filter').value.trim().toUpperCase();
    const matching = (l) => (!this.only.size || this.only.has(l.type)) && (!words || l.text.toUpperCase().includes(words));
    const list = [];
    for (let i = (this.paused ? this.frozen : this.lines.length) - 1; i >= 0 && list.length < SHOWN; i--) {
      if (matching(this.lines[i])) list.push(this.lines[i]);
    }
    this.show(list.reverse());
  }

  show(list) {
    const host = this.$('nmea-lines');
    const below = host.scrollHeight - host.scrollTop - host.clientHeight < 40; // reading further up stays there
    const several = this.sources.size > 1;
    this.nodes = new Map(list.map((l) => [l, this.nodes?.get(l) ?? line(l, several)]));
    host.replaceChildren(...this.nodes.values());
    if (below) host.scrollTop = host.scrollHeight;
  }

  drawState() {
    const { feed } = this;
    const state = !feed || feed.state !== 'open' ? 'not connected' : this.paused ? `paused, ${count(this.fresh)} new` : this.lines.length ? '' : this.joined().silence;
    setText(this.$('nmea-state'), [state, this.wrong ? `${count(this.wrong)} in error` : this.lines.length ? 'no errors' : ''].filter(Boolean).join(' · '));
    this.$('nmea-state').classList.toggle('bad', this.wrong > 0);
  }

  drawTypes() {
    const host = this.$('nmea-types');
    const list = this.types.list(performance.now());
    const names = list.map((t) => t.type).join();
    if (host.dataset.names !== names) {
      host.dataset.names = names;
      host.replaceChildren(...list.map((t) => element('li', {}, this.chip(t.type))));
    }
    list.forEach((t, i) => {
      const button = host.children[i].firstChild;
      setText(button.children[1], `${t.rate.toFixed(1)}/s`);
      setText(button.children[2], t.wrong ? `✗ ${count(t.wrong)}` : '');
      button.title = `${count(t.count)} lines, ${count(t.wrong)} in error`;
      button.setAttribute('aria-pressed', String(this.only.has(t.type)));
    });
  }

  chip(type) {
    const button = element('button', {}, element('b', {}, type), element('span', {}), element('span', { className: 'bad' }));
    button.addEventListener('click', () => {
      if (!this.only.delete(type)) this.only.add(type);
      this.draw(true);
    });
    return button;
  }
}

function line(l, several) {
  const item = element('li', { className: l.fault ? 'fault' : '' });
  if (several) item.append(element('i', {}, `${l.receiver} `));
  item.append(l.text);
  if (l.fault) item.append(element('em', {}, `✗ ${l.fault}`));
  return item;
}
