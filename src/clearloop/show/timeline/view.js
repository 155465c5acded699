// The stretch of time that is in sight, and how far the lanes are scrolled. Whatever changes, one frame draws it.

const NARROWEST = 200; // ns in sight at most zoom

const still = matchMedia("(prefers-reduced-motion: reduce)");
let asked = 0, moving = 0;

function whole() {
  const last = Math.max(1, app.model.duration);
  return [-last * 0.012, last * 1.012];
}

function setView(begin, end) {
  const [first, last] = whole();
  const width = Math.min(last - first, Math.max(NARROWEST, end - begin));
  begin = Math.max(first, Math.min(last - width, begin + (end - begin - width) / 2));
  app.view = { begin, end: begin + width };
  app.movesUntil = performance.now() + RESTS - 20;
  repaint();
}

/** Zoom by a factor (below 1: in) around a moment that stays where it is. */
function zoom(factor, around = (app.view.begin + app.view.end) / 2) {
  stopMoving();
  const { begin, end } = app.view;
  const [first, last] = whole();
  factor = Math.max(factor, NARROWEST / (end - begin));
  factor = Math.min(factor, (last - first) / (end - begin));
  setView(around - (around - begin) * factor, around + (end - around) * factor);
}

function pan(ns) {
  stopMoving();
  setView(app.view.begin + ns, app.view.end + ns);
}

function stopMoving() {
  cancelAnimationFrame(moving);
}

/** Go to a stretch of time in a short movement, so that the eye can follow. */
function goTo(begin, end) {
  stopMoving();
  const from = { ...app.view };
  if (still.matches) return setView(begin, end);
  const started = performance.now(), lasts = 220;
  const step = (now) => {
    const part = Math.min(1, Math.max(0, (now - started) / lasts)), eased = 1 - (1 - part) ** 3;
    setView(from.begin + (begin - from.begin) * eased, from.end + (end - from.end) * eased);
    if (part < 1) moving = requestAnimationFrame(step);
  };
  moving = requestAnimationFrame(step);
}

/** Bring a span into sight with some room around it, unless it can be seen well already. */
function goToSpan(begin, end) {
  const { view } = app, width = view.end - view.begin, lasts = Math.max(end - begin, NARROWEST);
  if (begin >= view.begin && end <= view.end && lasts > width / 40) return;
  goTo(begin - lasts * 1.5, end + lasts * 1.5);
}

function scrollToRow(index) {
  const row = app.rows[index], scroller = byId("scroller");
  if (!row) return;
  const top = scroller.scrollTop, room = scroller.clientHeight - AXIS, above = row.type === "loop" ? 0 : STRIP;
  if (row.top < top + above) scroller.scrollTop = row.top - above;
  else if (row.top + row.height > top + room) scroller.scrollTop = row.top + row.height - room + 4;
}

function repaint() {
  if (!asked) asked = requestAnimationFrame(frame);
}

/** All of it: lanes' names as well. */
function refresh() {
  app.namesAt = "";
  repaint();
}

function frame() {
  asked = 0;
  const began = performance.now();
  paint();
  paintNames();
  app.stats.ms = performance.now() - began;
  app.stats.frames++;
}
