// The pointer on the page's own map: drag, wheel, pinch. Keys are the page's.

const TREMBLE = 6; // px: a finger that trembles while tapping does not drag the map

export function listen(view, signal) {
  const canvas = view.canvas, pointers = new Map();
  let down = null; // where one pointer came down that has not moved since: a tap, if it goes up there
  const on = (type, f, options = {}) => canvas.addEventListener(type, f, { signal, ...options });
  on('wheel', (e) => {
    e.preventDefault();
    view.zoomBy(2 ** (-e.deltaY / (e.deltaMode === 1 ? 8 : 240)), e.offsetX, e.offsetY);
  }, { passive: false });
  on('pointerdown', (e) => {
    canvas.setPointerCapture(e.pointerId);
    pointers.set(e.pointerId, [e.offsetX, e.offsetY]);
    down = pointers.size === 1 ? [e.offsetX, e.offsetY] : null;
  });
  on('pointerup', (e) => { if (down && pointers.size === 1) view.tap(e.offsetX, e.offsetY); });
  for (const end of ['pointerup', 'pointercancel']) on(end, (e) => pointers.delete(e.pointerId));
  on('pointermove', (e) => {
    if (down && Math.hypot(e.offsetX - down[0], e.offsetY - down[1]) < TREMBLE) return;
    down = null;
    drag(view, pointers, e);
  });
}

function drag(view, pointers, e) {
  const was = pointers.get(e.pointerId);
  if (!was) return;
  const is = [e.offsetX, e.offsetY];
  if (pointers.size === 1) {
    view.panBy(is[0] - was[0], is[1] - was[1]);
  } else {
    const other = [...pointers].find(([id]) => id !== e.pointerId)[1];
    const apart = (p) => Math.max(10, Math.hypot(p[0] - other[0], p[1] - other[1]));
    view.zoomBy(apart(is) / apart(was), (is[0] + other[0]) / 2, (is[1] + other[1]) / 2);
  }
  pointers.set(e.pointerId, is);
}
