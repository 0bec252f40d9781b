// The link panel: every number that the chain is made of.

import { bytes, count, element, isNumber, roughSpan, setText, spanText } from './format.js';
import { ofDevice } from './chain.js';

const span = (v) => (isNumber(v) ? roughSpan(v) : undefined);
const ago = (v) => (isNumber(v) ? `${roughSpan(v)} ago` : undefined);
const many = (v) => (isNumber(v) ? count(v) : undefined);
const some = (v) => (v > 0 ? count(v) : undefined);
const size = (v) => (v > 0 ? bytes(v) : undefined);
const share = (v) => (isNumber(v) ? `${Math.round(v * 100)} %` : undefined);

// Each section is {title, word, level, notes, rows}: notes are problems of the
// status, or text. A note or a row without a value is not shown.
function receiverOf(r, several) {
  const ok = r.state === 'reading' && !r.problem && !r.warning;
  return { title: `Receiver ${several ? r.port ?? r.source ?? '' : ''}`, word: several && r.active ? `${r.state}, feeds` : r.state,
    level: ok ? 'ok' : r.state === 'reading' || r.state === 'opening' ? 'warn' : 'bad', notes: [r.problem, r.warning],
    rows: [['Port', r.port ?? r.source], ['Hardware', r.name], ['Firmware', r.firmware], ['Antenna', r.antenna],
      ['Protocol', r.protocol], ['Baud', r.baud && String(r.baud)], ['Line in use', share(r.line_use)], ['Bytes', isNumber(r.bytes) ? bytes(r.bytes) : undefined],
      ['Sentences', many(r.sentences)], ['Fixes', many(r.fixes)], ['Bad checksums', some(r.bad_checksum)], ['Without checksum', some(r.no_checksum)],
      ['Noise', size(r.noise_bytes)], ['Refused values', some(r.refused)], ['Framing errors', some(r.framing_errors)], ['Overruns', some(r.overruns)],
      ['Parity errors', some(r.parity_errors)], ['Breaks', some(r.breaks)], ['Opened', r.opens > 1 ? `${count(r.opens)} times` : undefined]] };
}

function spoolOf(s, delivery) {
  const draining = delivery.count > 0 && isNumber(delivery.drain) && Math.abs(delivery.drain) >= 0.05;
  return { title: 'Spool', word: s.problem ? 'disk trouble' : s.records ? `${count(s.records)} wait` : 'empty', notes: [s.problem],
    level: s.dropped || s.damaged || s.problem ? 'bad' : delivery.count ? 'warn' : 'ok',
    rows: [['Oldest waits', s.records ? span(s.oldest_age) : undefined],
      [delivery.drain < 0 ? 'Grows by' : 'Drains by', draining ? `${Math.abs(delivery.drain).toFixed(1)} a second` : undefined],
      ['Size', `${bytes(s.bytes)} of ${bytes(s.max_bytes)}`], ['Taken in', many(s.appended)], ['Dropped', some(s.dropped) ?? 'none'], ['Damaged', some(s.damaged)]] };
}

function uplinkOf(u, several) {
  return { title: `Uplink ${several ? u.name ?? '' : ''}`, word: u.state, level: u.state === 'connected' && !u.warning ? 'ok' : u.state === 'connected' || u.state === 'connecting' ? 'warn' : 'bad', notes: [u.problem, u.warning],
    rows: [['Next try in', isNumber(u.retry_in) ? `${u.retry_in.toFixed(1)} s` : undefined], ['Server', u.url],
      ['Not acknowledged', many(u.behind)], ['Of those, held back', some(u.held_back)], ['Under way', isNumber(u.outstanding) ? `${u.outstanding} of ${u.window ?? '–'}` : undefined],
      ['Round trip', u.rtt > 0 ? u.rtt < 0.001 ? '< 1 ms' : `${Math.round(u.rtt * 1000)} ms` : undefined], ['Last acknowledged', ago(u.last_ack_age)],
      ['Sent', many(u.sent)], ['Acknowledged', isNumber(u.acked) ? `${count(u.acked)}${u.ack ? ` by ${u.ack}` : ''}` : undefined],
      ['Repeats', many(u.resent)], ['Lost and sent again', some(u.lost)], ['Sent late', some(u.backlog)], ['Quarantined', some(u.quarantined)], ['Skipped', some(u.skipped)],
      ['Data a day', size(u.bytes_per_day)], ['Data so far', size((u.sent_bytes ?? 0) + (u.received_bytes ?? 0) + (u.header_bytes ?? 0))],
      ['Connects', many(u.connects)], ['Order', u.order], ['Certificates by', u.clock]] };
}

function relayOf(r, model, feed) {
  return { title: 'Viewers', word: count(r.viewers), level: r.problem ? 'warn' : 'ok', notes: [r.problem], rows: [['Publishers', some(r.publishers)], ['Dropped for slow ones', some(r.dropped)],
    ['Closed as slow', some(r.closed_slow)], ['Ignored frames', some(r.ignored)], ['Repeats', some(r.repeats)],
    ['Repeats seen here', some(model.doubles)], ['Garbled here', some(feed.garbled)], ['This page connected', feed.opened > 1 ? `${count(feed.opened)} times` : undefined]] };
}

function sectionsOf(status, { model, delivery, feed }) {
  const receivers = ofDevice(status.receivers, feed.device), uplinks = ofDevice(status.uplinks, feed.device);
  return [status.spool && spoolOf(status.spool, delivery), ...uplinks.map((u) => uplinkOf(u, uplinks.length > 1)),
    ...receivers.map((r) => receiverOf(r, receivers.length > 1)), status.relay && relayOf(status.relay, model, feed)].filter(Boolean);
}

export class LinkPanel {
  constructor(host, aside, badge) { Object.assign(this, { host, aside, badge }); }

  render(poll, page) {
    const s = poll.status, waiting = page.delivery.count;
    setText(this.badge, waiting ? count(waiting) : '');
    this.badge.hidden = !waiting;
    this.badge.title = `${count(waiting)} messages wait to be acknowledged`;
    if (!s) {
      this.host.replaceChildren(element('p', { className: 'empty' }, poll.error || 'Asking for the status.'));
      return;
    }
    const up = isNumber(Date.parse(s.started)) && isNumber(Date.parse(s.now)) ? (Date.parse(s.now) - Date.parse(s.started)) / 1000 : NaN;
    setText(this.aside, [s.version && `gpsbridge ${s.version}`, isNumber(up) && `up ${spanText(up)}`].filter(Boolean).join(' · '));
    // Numbers of a daemon that does not answer are not what is.
    this.host.classList.toggle('old', Boolean(poll.error));
    this.host.replaceChildren(...sectionsOf(s, page).map(section));
  }
}

// noteOf shows the cause of a problem and its fix apart.
function noteOf(note) {
  if (typeof note === 'string') return element('p', { className: 'note' }, note);
  return element('p', { className: 'note' }, note.cause ?? '', note.fix ? element('span', { className: 'fix' }, note.fix) : '');
}

function section({ title, word, level, notes = [], rows }) {
  const list = rows.filter(([, v]) => v !== undefined && v !== '');
  return element('section', {}, element('h2', {}, element('span', {}, title.trim()), element('b', { className: `word ${level}` }, word ?? '')),
    ...notes.filter(Boolean).map(noteOf),
    element('dl', {}, ...list.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', { title: value }, value)))));
}
