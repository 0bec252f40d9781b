// Raw bytes of a receiver to lines, as its own serial line has them, with what
// is wrong with each. One Sentences a receiver: chunks end anywhere.

const LONGEST = 1024;        // a line without an end is cut here: it is not NMEA
const RATE_WINDOW = 10;      // seconds over which a rate is taken

// checksumOf is the XOR of the characters between the $ or ! and the *.
function checksumOf(line) {
  let sum = 0;
  for (let i = 1; i < line.length && line[i] !== '*'; i++) sum ^= line.charCodeAt(i);
  return sum.toString(16).toUpperCase().padStart(2, '0');
}

// judge returns type, and fault: '' when the line is a sound sentence.
export function judge(line) {
  if (!/^[$!][A-Z]/.test(line)) return { type: 'other', fault: 'not NMEA' };
  const type = line.slice(1).split(/[,*]/, 1)[0];
  const given = /\*([0-9A-Fa-f]{2})\s*$/.exec(line);
  if (!/^[A-Z0-9]{3,12}$/.test(type)) return { type: 'other', fault: 'garbled' };
  if (!given) return { type, fault: 'no checksum' };
  const right = checksumOf(line);
  return { type, fault: given[1].toUpperCase() === right ? '' : `checksum is ${given[1].toUpperCase()}, should be ${right}` };
}

export class Sentences {
  constructor() { this.rest = ''; this.begun = false; }

  // take gives the lines that chunk completes.
  take(chunk) {
    const parts = (this.rest + chunk).split(/\r\n|\n|\r/);
    this.rest = parts.pop();
    // Joined in the middle of a sentence: that its beginning is missing is not
    // the receiver's fault.
    if (!this.begun && parts.length && !/^[$!]/.test(parts[0])) parts.shift();
    this.begun ||= parts.length > 0;
    if (this.rest.length > LONGEST) { parts.push(this.rest); this.rest = ''; }
    return parts.filter((p) => p !== '').map(printable);
  }
}

// printable shows what no font has as \xNN, so that noise cannot hide.
const printable = (line) => line.slice(0, LONGEST).replace(/[^\x20-\x7e]/g, (c) => {
  const code = c.charCodeAt(0);
  return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : '\ufffd';
});

// Types counts sentences by type: how many, how many wrong, how many a second.
export class Types {
  constructor() { this.all = new Map(); }

  add(type, wrong, now) {
    let t = this.all.get(type);
    if (!t) this.all.set(type, t = { type, count: 0, wrong: 0, times: [], first: now });
    t.count++;
    if (wrong) t.wrong++;
    t.times.push(now);
    this.forget(t, now);
  }

  forget(t, now) {
    while (t.times.length && t.times[0] < now - RATE_WINDOW * 1000) t.times.shift();
  }

  // list is sorted by name; rate is a second, over the last ten or since the first.
  list(now) {
    return [...this.all.values()].sort((a, b) => (a.type < b.type ? -1 : 1)).map((t) => {
      this.forget(t, now);
      const seconds = Math.min(RATE_WINDOW, Math.max(1, (now - t.first) / 1000));
      return { type: t.type, count: t.count, wrong: t.wrong, rate: t.times.length / seconds };
    });
  }
}
