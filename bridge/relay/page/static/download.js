// Files to take home.

import { authorization } from './token.js';
import { element, setText } from './format.js';

const stamp = () => new Date().toISOString().slice(0, 19).replace(/[-:]/g, '');

// save hands a file to the browser, named after the device and the time.
export function save(device, ending, blob) {
  const address = URL.createObjectURL(blob);
  element('a', { href: address, download: `${device || 'gpsbridge'}-${stamp()}Z.${ending}` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000); // a browser that asks where to needs it longer
}

// offerTrack makes a button fetch the device's track. A plain link could not
// carry the token.
export function offerTrack(button, state, ending, joined) {
  button.addEventListener('click', async () => {
    const { device, token } = joined();
    setText(state, '');
    try {
      const answer = await fetch(`/api/v1/devices/${device}/track.${ending}`, { headers: authorization(token) });
      if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? `answered with ${answer.status}`);
      save(device, ending, await answer.blob());
    } catch (e) {
      setText(state, e instanceof TypeError ? 'gpsbridge does not answer' : e.message);
    }
  });
}
