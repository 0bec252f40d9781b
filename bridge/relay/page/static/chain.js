// The way of a fix as a row of stations, from what the status says. A station
// has a level (ok, warn, bad, off, unknown), a word beside its colour, and a
// detail: why, and the mend.

import { isNumber, roughSpan, count } from './format.js';

const station = (name, level, word, detail = '') => ({ name, level, word, detail });

// chainOf lists the stations. poll is the status and how fresh it is.
export function chainOf(poll, device, now = performance.now()) {
  const status = poll.status;
  if (poll.refused) return [station('gpsbridge', 'bad', 'token needed', poll.error)];
  if (!status) {
    return [poll.error ? station('gpsbridge', 'bad', 'no answer', `${poll.error}: is it running, and is this device in its network?`)
      : station('gpsbridge', 'unknown', 'asking')];
  }
  const silent = (now - poll.answeredAt) / 1000;
  const list = status.role === 'server' ? serverChain(status, device) : trackerChain(status);
  if (silent < 4) return list;
  // Nothing is known of what lies behind a daemon that does not answer.
  const daemon = status.role === 'server' ? 'Server' : 'Daemon';
  return list.map((s) => (s.name === daemon
    ? station(s.name, 'bad', 'no answer', `${poll.error || 'gpsbridge does not answer'} for ${roughSpan(silent)}: is it running, and is this device in its network?`)
    : station(s.name, 'unknown', 'unknown', `was “${s.word}” ${roughSpan(silent)} ago`)));
}

function trackerChain(status) {
  const receivers = status.receivers ?? [], uplinks = status.uplinks ?? [];
  const name = (base, list, item) => (list.length > 1 ? item.name ?? item.port ?? item.source ?? base : base);
  const list = receivers.map((r) => receiverStation(name('Receiver', receivers, r), r));
  if (!list.length) list.push(station('Receiver', 'off', 'none', 'no receiver is configured'));
  list.push(daemonStation(status));
  if (!uplinks.length) {
    list.push(station('Uplink', 'off', 'none', 'no server is configured: fixes stay here (uplink.url, or --server)'));
    return list;
  }
  for (const u of uplinks) list.push(uplinkStation(name('Uplink', uplinks, u), u));
  list.push(serverStation(uplinks));
  return list;
}

function receiverStation(name, r) {
  const detail = r.detail || '';
  switch (r.state) {
    case 'reading':
      if (r.bytes > 2000 && r.sentences === 0) {
        return station(name, 'bad', 'no NMEA', detail || `${count(r.bytes)} bytes and not one sentence: the baud rate may be wrong, or the receiver speaks another protocol`);
      }
      return station(name, 'ok', 'reading', detail || [r.port ?? r.source, isNumber(r.last_byte_age) ? `last byte ${roughSpan(r.last_byte_age)} ago` : ''].filter(Boolean).join(', '));
    case 'silent': return station(name, 'bad', 'silent', detail || 'the port is open and nothing comes');
    case 'opening': return station(name, 'warn', 'opening', detail);
    case 'ended': return station(name, 'off', 'ended', detail || 'the recording is at its end');
    default: return station(name, 'bad', r.state ?? 'unknown', detail || 'the port is not open');
  }
}

function daemonStation(status) {
  const spool = status.spool;
  const waiting = spool?.records ?? 0;
  if (spool?.dropped > 0) return station('Daemon', 'warn', `${count(spool.dropped)} lost`, `the spool was full: ${count(spool.dropped)} messages dropped, ${count(waiting)} wait`);
  const oldest = isNumber(spool?.oldest_age) ? `, the oldest for ${roughSpan(spool.oldest_age)}` : '';
  if (status.uplinks?.length && waiting > 40) return station('Daemon', 'warn', `${count(waiting)} wait`, `${count(waiting)} messages wait to be sent${oldest}`);
  return station('Daemon', 'ok', 'running', status.uplinks?.length ? `${count(waiting)} messages wait to be acknowledged` : '');
}

function uplinkStation(name, u) {
  const retry = isNumber(u.retry_in) ? `, next try in ${roughSpan(u.retry_in)}` : '';
  switch (u.state) {
    case 'connected': return station(name, 'ok', 'connected', u.detail || `${u.url ?? ''}${isNumber(u.rtt) ? `, round trip ${Math.round(u.rtt * 1000)} ms` : ''}`);
    case 'connecting': return station(name, 'warn', 'connecting', u.detail || u.url || '');
    case 'stopped': return station(name, 'off', 'stopped', u.detail || '');
    default: return station(name, 'bad', isNumber(u.retry_in) ? `retry ${roughSpan(u.retry_in)}` : 'waiting', `${u.detail || 'not connected'}${retry}`);
  }
}

// serverStation judges by acknowledgements: a connection alone proves nothing.
function serverStation(uplinks) {
  const u = uplinks.find((x) => x.state !== 'connected') ?? uplinks[0];
  if (u.state !== 'connected') return station('Server', 'unknown', 'not reached', isNumber(u.last_ack_age) ? `last acknowledged ${roughSpan(u.last_ack_age)} ago` : 'nothing was acknowledged yet');
  if (u.ack === 'none') return station('Server', 'unknown', 'unconfirmed', 'acknowledgements are switched off (uplink.ack = "none")');
  const age = u.last_ack_age;
  if (!isNumber(age)) return station('Server', u.outstanding ? 'warn' : 'unknown', 'no word yet', 'nothing was acknowledged yet');
  if (u.outstanding && age > 10) return station('Server', 'warn', 'silent', `${count(u.outstanding)} sent and not acknowledged, the last acknowledgement ${roughSpan(age)} ago`);
  return station('Server', 'ok', 'confirms', `by ${u.ack}, ${roughSpan(age)} ago`);
}

function serverChain(status, device) {
  const relay = status.relay ?? {};
  const d = relay.devices?.find((x) => x.device_id === device);
  const heard = isNumber(d?.age) ? `last message ${roughSpan(d.age)} ago` : 'no message yet';
  const tracker = d?.publishers > 0
    ? station('Device', isNumber(d.fix_age) && d.fix_age > 30 ? 'warn' : 'ok', isNumber(d.fix_age) && d.fix_age > 30 ? 'silent' : 'connected', `${d.publishers} publisher${d.publishers > 1 ? 's' : ''}, ${heard}`)
    : station('Device', 'bad', 'not connected', `no tracker ${device ?? ''} is connected, ${heard}`);
  return [tracker, station('Server', 'ok', 'running', `${count(relay.viewers)} viewer${relay.viewers === 1 ? '' : 's'}, ${count(relay.publishers)} publisher${relay.publishers === 1 ? '' : 's'}`)];
}

const ORDER = { bad: 0, warn: 1 };

// reasonOf is the detail of the first station that is wrong, nearest to the
// receiver first: what lies behind it only follows from it.
export function reasonOf(chain) {
  const worst = chain.filter((s) => s.level in ORDER).sort((a, b) => ORDER[a.level] - ORDER[b.level])[0];
  return worst ? `${worst.name.toLowerCase()}: ${worst.detail || worst.word}` : '';
}
