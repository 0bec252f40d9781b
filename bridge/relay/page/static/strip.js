// The strip that is always in sight: how old, how good, and where on its way a
// fix is held up. It counts by this browser's clock, so it goes on when nothing
// comes.

import { NONE, ageText, element, isNumber, setText, spanText, svg } from './format.js';
import { NO_ANSWER } from './chain.js';
import { modeOf } from './model.js';

const SIGNS = { ok: 'M4 8.4 7 11.2 12 5.2', warn: 'M8 3.8V9M8 11.4v.8', bad: 'M5 5l6 6M11 5l-6 6', off: 'M4.5 8h7', unknown: 'M6 6.2a2 2 0 1 1 2.9 1.8c-.7.4-.9.8-.9 1.4M8 11.6v.6' };
const WORDS = { open: 'connected', connecting: 'connecting', waiting: 'offline' };
const LEVELS = { open: 'ok', connecting: 'warn', waiting: 'bad' };

export class Strip {
  // changed(kind) is called when the condition has changed.
  constructor($, changed) {
    Object.assign(this, { $, changed });
    this.kind = '';
    this.open = ''; // name of the station whose detail is shown
    this.levels = null;
  }

  // show takes it all, ten times a second. unsure: the age of what came is not
  // known yet. condition is null then.
  show({ model, feed, chain, condition, unsure }, now) {
    const { $ } = this;
    if (condition) this.showCondition(condition, model);
    // Of the position, not of the last message: "no fix" every second is not a fix.
    setText($('age'), unsure ? NONE : ageText(model.positionAge(now)));
    const span = model.modeFor(now);
    setText($('mode-for'), isNumber(span) && !unsure ? `${model.modeWhole ? 'for ' : '> '}${spanText(span)}` : '');
    setText($('socket'), WORDS[feed.state]);
    $('socket').dataset.level = feed.state === 'open' && chain.some((s) => s.word === NO_ANSWER) ? 'warn' : LEVELS[feed.state];
    this.showChain(chain);
  }

  showCondition(c, model) {
    const { $ } = this;
    setText($('banner-title'), c.title + (c.kind === 'stale' ? `: ${ageText(model.age())} s old` : ''));
    setText($('banner-text'), c.text);
    if (c.kind === this.kind) return;
    this.kind = c.kind;
    document.body.dataset.condition = c.kind;
    // Announced once when it changes; the counting is not announced.
    setText($('announce'), c.kind === 'live' && model.fix ? `Live: ${modeOf(model.fix).word}` : `${c.title}. ${c.text}`);
    this.changed(c.kind);
  }

  // showChain keeps the buttons while their names stay: one that is pressed must not be replaced meanwhile.
  showChain(chain) {
    this.chain = chain;
    const host = this.$('chain');
    const names = JSON.stringify(chain.map((s) => s.name));
    if (host.dataset.names !== names) {
      host.dataset.names = names;
      host.replaceChildren(...chain.map((s) => this.station(s)));
    }
    chain.forEach((s, i) => {
      const item = host.children[i], [button] = item.children;
      item.className = s.level;
      button.title = s.detail;
      button.setAttribute('aria-expanded', String(s.name === this.open));
      button.querySelector('path').setAttribute('d', SIGNS[s.level]);
      setText(button.querySelector('.word'), s.word);
    });
    this.announce(chain);
    // Whether the vehicle is tracked shows beside whether it is seen here.
    document.body.dataset.tracked = chain.some((s) => s.beyond && (s.level === 'bad' || s.level === 'warn')) ? 'no' : 'yes';
    const shown = chain.find((s) => s.name === this.open);
    this.$('why').hidden = !shown;
    if (shown) setText(this.$('why'), [`${shown.name}: ${shown.word}`, shown.detail].filter(Boolean).join(', '));
  }

  // announce announces what changed for better or worse, not the first time.
  announce(chain) {
    const was = this.levels;
    this.levels = new Map(chain.map((s) => [s.name, s.level]));
    const changed = was ? chain.filter((s) => was.get(s.name) !== undefined && was.get(s.name) !== s.level && was.get(s.name) !== 'unknown') : [];
    if (changed.length && this.kind === 'live') setText(this.$('announce'), changed.map((s) => `${s.name} ${s.word}`).join(', '));
  }

  station({ name }) {
    const button = element('button', {},
      svg('svg', { viewBox: '0 0 16 16', 'aria-hidden': 'true' }, svg('path', {})),
      element('span', { className: 'name' }, name), element('span', { className: 'word' }));
    button.dataset.station = name;
    button.setAttribute('aria-controls', 'why');
    button.addEventListener('click', () => {
      this.open = this.open === name ? '' : name;
      this.showChain(this.chain);
    });
    return element('li', {}, button);
  }
}
