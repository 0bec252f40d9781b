// How far the page can be believed, in one word.

import { clock, isNumber } from './format.js';
import { modeOf } from './model.js';

// conditionOf is the one word for how far the page can be believed, and why.
// reason is what is wrong by the chain; refused: the token is missing or wrong.
export function conditionOf(model, feed, reason, refused, now = performance.now()) {
  if (refused) return { kind: 'down', title: 'Token needed', text: reason };
  const age = model.age(now);
  if (feed.state !== 'open') {
    const wait = Math.max(0, (feed.retryAt - now) / 1000);
    const next = feed.state === 'waiting' && wait >= 1 ? `trying again in ${wait.toFixed(0)} s` : 'trying again now';
    if (!feed.opened && feed.state === 'connecting') return { kind: 'waiting', title: 'Connecting', text: reason };
    return { kind: 'down', title: 'Not connected', text: `${reason ? `${reason}; ` : ''}${next}` };
  }
  if (!model.fix) return { kind: 'waiting', title: 'Waiting for the first message', text: reason || 'connected; nothing has come yet' };
  if (age > model.staleAfter) return { kind: 'stale', title: 'Stale', text: reason || `connected, but nothing new since the fix of ${clock(model.fixTime)}` };
  if (!modeOf(model.fix).fix) {
    const seen = model.seen, used = model.used;
    const sight = isNumber(seen) ? `the receiver sees ${seen} satellite${seen === 1 ? '' : 's'}${isNumber(used) ? ` and uses ${used}` : ''}` : 'the receiver runs but knows no position';
    return { kind: 'nofix', title: 'No fix', text: `${sight}${model.position ? '; the position shown is the last one' : ''}` };
  }
  return { kind: 'live', title: 'Live', text: '' };
}
