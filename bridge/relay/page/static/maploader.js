// Chooses the map: the generated one where there is one and it works, the page's
// own otherwise. Callers need not know which of them it is.

import { MapView } from './map.js';

// loadMap makes a map in container. page is what there is to
// ask for: asking in vain would be an error on the browser's console. A map that
// finds later that it cannot go on calls on.failed, and is replaced by replaced.
export async function loadMap(container, page, on, replaced) {
  const own = () => new MapView(container, on);
  if (!page?.map) return own();
  let view;
  const failed = () => {
    view?.destroy();
    container.replaceChildren();
    replaced(own());
  };
  try {
    const { MapView: Generated } = await import('/dist/map.js');
    view = new Generated(container, { ...on, basemap: page.basemap ? '/basemap.pmtiles' : '', failed });
    return view;
  } catch {
    container.replaceChildren(); // whatever it left
    return own();
  }
}
