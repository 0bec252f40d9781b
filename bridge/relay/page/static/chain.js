// The path of a fix as a row of stations, from the status. A station has a level
// (ok, warn, bad, off, unknown), a word beside its colour, and a detail: the
// cause, and how to fix it.

import { isNumber, problemText, roughSpan, count } from './format.js';

const station = (name, level, word, detail = '') => ({ name, level, word, detail });

export const NO_ANSWER = 'no answer';

const SILENT = 6; // seconds without an answer, which is waited for up to four, after which nothing is known

// chainOf lists the stations. poll is the status and how fresh it is; mixed: two
// senders alternate.
export function chainOf(poll, device, mixed, now = performance.now()) {
  const status = poll.status;
  if (poll.refused) return [station('gpsbridge', 'bad', 'token needed', 'enter the token, or open the link with it')];
  if (!status && poll.absent) return [otherServer(device), ...(mixed ? [twoSenders(device)] : [])];
  if (!status) {
    return [poll.error ? station('gpsbridge', 'bad', NO_ANSWER, poll.error) : station('gpsbridge', 'unknown', 'asking')];
  }
  const silent = (now - poll.answeredAt) / 1000;
  const list = status.role === 'server' ? serverChain(status, device, mixed) : trackerChain(status, device, Math.max(0, silent));
  if (silent < SILENT) return list;
  // Nothing is known of what comes after a daemon that does not answer.
  const daemon = status.role === 'server' ? 'Server' : 'Daemon';
  return list.map((s) => (s.name === daemon
    ? station(s.name, 'bad', NO_ANSWER, `no answer for ${roughSpan(silent)}: ${poll.error || 'it takes long'}`)
    : station(s.name, 'unknown', 'unknown', `was “${s.word}” ${roughSpan(silent)} ago`)));
}

// otherServer is a tracking server that has the groups and not the status.
const otherServer = (device) => (device ? station('Server', 'unknown', 'no status', 'this server sends the messages of the group and nothing else')
  : station('Server', 'bad', 'which device?', 'this server has no list of them: add ?device=DEVICE_ID to the address of this page'));

const twoSenders = (device) => station('Device', 'warn', 'two senders', `two trackers send as ${device}: give each a device_id of its own`);

// nameOf distinguishes several of a kind. Of a path the last part must suffice:
// /dev/serial/by-id/usb-… has no room.
const nameOf = (base, list, name) => (list.length > 1 ? name?.replace(/^\/.*\/(?=[^/])/, '') ?? base : base);

// ofDevice picks what belongs to the device that is shown: a daemon can feed several.
export const ofDevice = (list, device) => (list ?? []).filter((x) => !device || !x.device_id || x.device_id === device);

// silent is the age of the status in seconds: a countdown goes on meanwhile.
function trackerChain(status, device, silent) {
  const receivers = ofDevice(status.receivers, device), uplinks = ofDevice(status.uplinks, device);
  const list = receivers.map((r) => receiverStation(nameOf('Receiver', receivers, r.port ?? r.source), r, receivers));
  if (!list.length) list.push(station('Receiver', 'off', 'none', 'no receiver is configured'));
  list.push(daemonStation(status));
  if (!uplinks.length) {
    list.push({ ...station('Uplink', 'off', 'none', 'no server is configured: fixes stay here (set uplink.server, or --server)'), beyond: true });
    return list;
  }
  const beyond = [...uplinks.map((u) => uplinkStation(nameOf('Uplink', uplinks, u.name), u, silent)), serverStation(uplinks, status.spool)];
  return [...list, ...beyond.map((s) => ({ ...s, beyond: true }))]; // after this page's own source
}

// receiverStation of one that waits as a spare is not bad while another feeds.
function receiverStation(name, r, all) {
  const spare = r.active === false && all.some((x) => x.active);
  const s = lineStation(name, r);
  if (!spare) return s;
  return s.level === 'ok' ? { ...s, word: 'spare', detail: `stands by, ${s.detail}` } : { ...s, level: 'warn', detail: `the spare receiver: ${s.detail}` };
}

function lineStation(name, r) {
  const detail = problemText(r.problem), warning = problemText(r.warning);
  switch (r.state) {
    case 'reading':
      if (detail || warning) return station(name, r.sentences > 0 ? 'warn' : 'bad', r.sentences > 0 ? 'trouble' : 'no NMEA', detail || warning);
      if (r.bytes > 2000 && r.sentences === 0) {
        return station(name, 'bad', 'no NMEA', `${count(r.bytes)} bytes and not one sentence: the baud rate may be wrong, or the receiver speaks another protocol`);
      }
      return station(name, 'ok', 'reading', [r.port ?? r.source, r.baud && `${r.baud} baud`, isNumber(r.last_byte_age) && `last byte ${roughSpan(r.last_byte_age)} ago`].filter(Boolean).join(', '));
    case 'silent': return station(name, 'bad', 'silent', detail || warning || 'the port is open and nothing comes');
    case 'opening': return station(name, 'warn', 'opening', detail);
    case 'ended': return station(name, 'off', 'ended', detail || 'the recording is at its end');
    default: return station(name, 'bad', r.state ?? 'unknown', detail || warning || 'the port is not open');
  }
}

function daemonStation(status) {
  const spool = status.spool;
  const waiting = spool?.records ?? 0;
  if (spool?.problem) return station('Daemon', 'bad', 'disk trouble', problemText(spool.problem));
  if (status.relay?.problem) return station('Daemon', 'warn', 'not serving', problemText(status.relay.problem));
  if (spool?.dropped > 0) return station('Daemon', 'warn', `${count(spool.dropped)} lost`, `the spool was full: ${count(spool.dropped)} messages dropped, ${count(waiting)} wait`);
  const oldest = isNumber(spool?.oldest_age) ? `, the oldest for ${roughSpan(spool.oldest_age)}` : '';
  if (status.uplinks?.length && waiting > 40) return station('Daemon', 'warn', `${count(waiting)} wait`, `${count(waiting)} messages wait to be acknowledged${oldest}`);
  return station('Daemon', 'ok', 'running', status.uplinks?.length ? `${count(waiting)} messages wait to be acknowledged` : '');
}

function uplinkStation(name, u, silent) {
  const retry = isNumber(u.retry_in) ? `${Math.ceil(Math.max(0, u.retry_in - silent))} s` : '';
  const why = problemText(u.problem);
  switch (u.state) {
    case 'connected':
      if (u.warning) return station(name, 'warn', 'connected', problemText(u.warning));
      return station(name, 'ok', 'connected', `${u.url ?? ''}${isNumber(u.rtt) ? `, round trip ${Math.round(u.rtt * 1000)} ms` : ''}`);
    case 'connecting': return station(name, 'warn', 'connecting', why || u.url || '');
    case 'stopped': return station(name, 'off', 'stopped', why);
    default: return station(name, 'bad', retry ? `retry ${retry}` : 'waiting', `${why || 'not connected'}${retry ? `, next try in ${retry}` : ''}`);
  }
}

// serverStation judges by acknowledgements: a connection alone proves nothing. They come late where fixes are collected or the server
// acknowledges in short, and seldom where there are few fixes.
function serverStation(uplinks, spool) {
  const u = uplinks.find((x) => x.state !== 'connected') ?? uplinks[0];
  if (u.state !== 'connected') return station('Server', 'unknown', 'not reached', isNumber(u.last_ack_age) ? `last acknowledged ${roughSpan(u.last_ack_age)} ago` : 'nothing was acknowledged yet');
  if (u.ack === 'none') return station('Server', 'unknown', 'off', 'acknowledgements are switched off (uplink.ack = "none")');
  const age = u.last_ack_age;
  if (!isNumber(age)) return station('Server', u.outstanding ? 'warn' : 'unknown', 'none yet', 'nothing was acknowledged yet');
  if (u.outstanding && Math.min(age, spool?.oldest_age ?? age) > 10 + (u.batch ?? 0)) return station('Server', 'warn', 'silent', `${count(u.outstanding)} sent and not acknowledged, the last acknowledgement ${roughSpan(age)} ago`);
  return station('Server', 'ok', 'acknowledges', `by ${u.ack}, ${roughSpan(age)} ago`);
}

function serverChain(status, device, mixed) {
  const relay = status.relay ?? {};
  const d = relay.devices?.find((x) => x.device_id === device);
  const heard = isNumber(d?.age) ? `last message ${roughSpan(d.age)} ago` : 'no message yet';
  const elsewhere = status.layer && d?.age < 30; // at another node of the fleet, or at the application
  const tracker = mixed ? twoSenders(device) : elsewhere && !d.publishers ? station('Device', 'ok', 'connected', `at another server, ${heard}`) : d?.publishers > 0
    ? station('Device', isNumber(d.fix_age) && d.fix_age > 30 ? 'warn' : 'ok', isNumber(d.fix_age) && d.fix_age > 30 ? 'silent' : 'connected', `${d.publishers} publisher${d.publishers > 1 ? 's' : ''}, ${heard}`)
    : station('Device', 'bad', 'not connected', `tracker ${device ?? ''} is not connected, ${heard}`);
  return [tracker, station('Server', 'ok', 'running', `${count(relay.viewers)} viewer${relay.viewers === 1 ? '' : 's'}, ${count(relay.publishers)} publisher${relay.publishers === 1 ? '' : 's'}`)];
}

const ORDER = { bad: 0, warn: 1 };

// reasonOf is the detail of the first station that is wrong, nearest to the
// receiver first: what comes after it only follows from it. What is beyond the
// daemon that serves this page keeps nothing from it.
export function reasonOf(chain) {
  const worst = chain.filter((s) => s.level in ORDER && !s.beyond).sort((a, b) => ORDER[a.level] - ORDER[b.level])[0];
  const name = worst?.name.replace(/^[A-Z][a-z]+$/, (word) => word.toLowerCase()); // a port keeps its letters
  if (!worst || name === 'gpsbridge') return worst?.detail ?? ''; // whose detail has the name
  return `${name}: ${worst.detail || worst.word}`;
}
