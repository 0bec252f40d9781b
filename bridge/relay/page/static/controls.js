// The buttons of the map.

// mapControls wires them to the map that map() returns, if there is one yet. It
// gives the actions for keys, and what a map is to call when it changes by itself.
export function mapControls($, map) {
  const follow = () => map()?.setFollow?.(!map().following);
  const turn = () => map()?.setMode?.(map().mode === 'heading' ? 'north' : 'heading');
  const zoom = (factor) => map()?.zoomBy?.(factor);
  $('zoom-in').addEventListener('click', () => zoom(1.5));
  $('zoom-out').addEventListener('click', () => zoom(1 / 1.5));
  $('follow').addEventListener('click', follow);
  $('turn').addEventListener('click', turn);
  return {
    actions: { follow, turn, zoom, pan: (x, y) => map()?.panBy?.(x, y) },
    reports: {
      follow: (on) => $('follow').setAttribute('aria-pressed', String(on)),
      mode: (mode) => {
        $('turn').setAttribute('aria-pressed', String(mode === 'heading'));
        $('turn').title = mode === 'heading' ? 'Heading up; press for north up' : 'North up; press for heading up';
      },
      bearing: (degrees) => $('turn').firstElementChild.setAttribute('transform', `rotate(${-degrees})`),
    },
  };
}
