// The link panel: every number behind the chain, for who wants to know.

import { bytes, count, element, isNumber, roughSpan, setText, spanText } from './format.js';

// rowsOf lists [name, value] pairs under headings.
function rowsOf(status, model) {
  const rows = [];
  const section = (title, word, level, list) => rows.push({ title, word, level, list: list.filter(([, v]) => v !== undefined && v !== '') });
  const span = (v) => (isNumber(v) ? `${roughSpan(v)} ago` : undefined);
  const many = (v) => (isNumber(v) ? count(v) : undefined);
  const some = (v) => (v > 0 ? count(v) : undefined);
  for (const r of status.receivers ?? []) {
    section(`Receiver ${r.name ?? ''}`, r.state, r.state === 'reading' ? 'ok' : 'bad', [['Port', r.port ?? r.source], ['', r.detail ?? ''],
      ['Bytes', isNumber(r.bytes) ? bytes(r.bytes) : undefined], ['Sentences', many(r.sentences)], ['Bad checksums', some(r.bad_checksum)],
      ['Noise', r.noise_bytes > 0 ? bytes(r.noise_bytes) : undefined], ['Fixes', many(r.fixes)], ['Opened', r.opens > 1 ? `${count(r.opens)} times` : undefined]]);
  }
  if (status.spool) {
    const s = status.spool;
    section('Spool', s.records ? `${count(s.records)} wait` : 'empty', s.dropped ? 'bad' : 'ok', [['Size', `${bytes(s.bytes)} of ${bytes(s.max_bytes)}`],
      ['Oldest', s.records ? span(s.oldest_age) : undefined], ['Taken in', many(s.appended)], ['Lost', some(s.dropped)]]);
  }
  for (const u of status.uplinks ?? []) {
    section(`Uplink ${u.name ?? ''}`, u.state, u.state === 'connected' ? 'ok' : u.state === 'connecting' ? 'warn' : 'bad', [['Server', u.url], ['', u.detail ?? ''],
      ['Sent', many(u.sent)], ['Acknowledged', isNumber(u.acked) ? `${count(u.acked)}${u.ack ? ` by ${u.ack}` : ''}` : undefined], ['Resent', some(u.resent)],
      ['In flight', isNumber(u.outstanding) ? `${u.outstanding} of ${u.window ?? '–'}` : undefined],
      ['Round trip', u.rtt > 0 ? u.rtt < 0.001 ? '< 1 ms' : `${Math.round(u.rtt * 1000)} ms` : undefined], ['Last word', span(u.last_ack_age)], ['Connects', many(u.connects)]]);
  }
  if (status.relay) {
    const r = status.relay;
    section('Viewers', count(r.viewers), 'ok', [['Publishers', some(r.publishers)], ['Dropped for slow ones', some(r.dropped)],
      ['Closed as slow', some(r.closed_slow)], ['Ignored frames', some(r.ignored)], ['Repeats', some(r.repeats)], ['Repeats seen here', some(model.doubles)]]);
  }
  return rows;
}

export class LinkPanel {
  constructor(host, aside) { Object.assign(this, { host, aside }); }

  render(poll, model) {
    const s = poll.status;
    if (!s) {
      this.host.replaceChildren(element('p', { className: 'empty' }, poll.error || 'Asking for the status.'));
      return;
    }
    const up = isNumber(Date.parse(s.started)) && isNumber(Date.parse(s.now)) ? (Date.parse(s.now) - Date.parse(s.started)) / 1000 : NaN;
    setText(this.aside, [s.version && `gpsbridge ${s.version}`, isNumber(up) && `up ${spanText(up)}`].filter(Boolean).join(' · '));
    this.host.replaceChildren(...rowsOf(s, model).map(({ title, word, level, list }) => element('section', {},
      element('h3', {}, element('span', {}, title.trim()), element('b', { className: `word ${level}` }, word ?? '')),
      element('dl', {}, ...list.map(([name, value]) => (name
        ? element('div', {}, element('dt', {}, name), element('dd', { title: value }, value))
        : element('div', { className: 'note' }, element('dt', { className: 'sr' }, 'Detail'), element('dd', {}, value))))))));
  }
}
