// Mouse, touch and keyboard. Pointer events serve both of the first: one pointer moves, two pinch.

const pointers = new Map();
let dragged = 0, pinch = 0, frameFrom = null;

function timeAt(event) {
  const box = byId("chart").getBoundingClientRect();
  return app.view.begin + (event.clientX - box.left) / app.scale;
}

/** The span under a point: of those within some pixels the one that tells the most, then the nearest. */
function spanAt(event) {
  const box = byId("chart").getBoundingClientRect(), y = event.clientY - box.top;
  if (y < AXIS) return null;
  const index = rowAt(y - AXIS + byId("scroller").scrollTop), row = app.rows[index];
  if (!row || row.type === "loop" || row.type === "group") return row ? { row, index } : null;
  if (y < AXIS + STRIP) return { row: row.loop.row, index: row.loop.row.index }; // a strip covers what is scrolled
  const table = row.type === "worker" ? row.loop.work : row.loop.spans;
  const [from, to] = row.type === "worker" ? row.loop.workRange[row.lane] : row.loop.range(row.lane);
  const at = timeAt(event), near = 3 / app.scale;
  const first = upperBound(table.end, at - near, from, to), last = Math.min(lowerBound(table.begin, at + near, first, to), first + 2000);
  let best = -1, value = Infinity;
  for (let i = first; i < last; i++) {
    const apart = Math.max(0, table.begin[i] - at, at - table.end[i]) * app.scale;
    const one = apart - (table.kind[i] === RUN || table.kind[i] === HELD || table.kind[i] === JOB ? 1.5 : 0) - Math.min(1, (table.end[i] - table.begin[i]) * app.scale);
    if (one < value) {
      value = one;
      best = i;
    }
  }
  return best < 0 ? { row, index } : { row, index, loop: row.loop, table, span: best };
}

function listen() {
  const chart = byId("chart"), scroller = byId("scroller"), names = byId("names"), map = byId("map");

  scroller.addEventListener("scroll", () => {
    app.movesUntil = performance.now() + RESTS - 20;
    refresh();
  }, { passive: true });
  chart.addEventListener("wheel", onWheel, { passive: false });
  chart.addEventListener("pointerdown", onDown);
  chart.addEventListener("pointermove", onMove);
  for (const name of ["pointerup", "pointercancel"]) chart.addEventListener(name, onUp);
  chart.addEventListener("pointerleave", () => {
    if (pointers.size) return;
    app.hover = null;
    showTip(null);
    repaint();
  });
  chart.addEventListener("dblclick", (event) => {
    const one = spanAt(event);
    if (one?.table) goTo(...padded(one.table.begin[one.span], one.table.end[one.span]));
    else if (one?.row.parent) toggleRow(one.row);
  });
  chart.addEventListener("keydown", (event) => onChartKey(event));
  names.addEventListener("keydown", onNamesKey);
  names.addEventListener("click", (event) => {
    const item = event.target.closest("[data-index]");
    if (!item) return;
    const index = Number(item.dataset.index), row = app.rows[index];
    app.span = null;
    selectRow(index);
    if (row.parent && (row.type === "group" || event.target.classList.contains("fold"))) toggleRow(row);
  });
  const toMap = (event) => {
    const box = map.getBoundingClientRect(), [first, last] = whole(), width = app.view.end - app.view.begin;
    const at = first + ((event.clientX - box.left) / box.width) * (last - first);
    stopMoving();
    setView(at - width / 2, at + width / 2);
  };
  map.addEventListener("pointerdown", (event) => {
    map.setPointerCapture(event.pointerId);
    toMap(event);
  });
  map.addEventListener("pointermove", (event) => event.buttons & 1 && toMap(event));
  map.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(1.0018 ** wheelPixels(event));
  }, { passive: false });
  document.addEventListener("keydown", onKey);
  new ResizeObserver(() => rebuild()).observe(scroller);
  listenToGrip();
}

function padded(begin, end) {
  const room = Math.max(end - begin, NARROWEST) * 0.15;
  return [begin - room, end + room];
}

const wheelPixels = (event) => event.deltaY * (event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1);

function onWheel(event) {
  const across = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
  event.preventDefault();
  if (!event.ctrlKey && (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY))) pan(across / app.scale);
  else zoom((event.ctrlKey ? 1.01 : 1.0018) ** wheelPixels(event), timeAt(event));
  showTip(null);
}

function onDown(event) {
  if (event.button > 0) return;
  byId("chart").setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  dragged = 0;
  stopMoving();
  frameFrom = event.shiftKey && pointers.size === 1 ? timeAt(event) : null;
  if (pointers.size === 2) pinch = spread();
}

function spread() {
  const [a, b] = [...pointers.values()];
  return Math.max(12, Math.abs(a.x - b.x));
}

function middle() {
  const [a, b] = [...pointers.values()];
  return (a.x + b.x) / 2;
}

function onMove(event) {
  const before = pointers.get(event.pointerId);
  if (!before) {
    const one = spanAt(event), box = byId("stage").getBoundingClientRect();
    const hover = one?.table ? one : null;
    if (hover?.span !== app.hover?.span || hover?.table !== app.hover?.table) repaint();
    app.hover = hover;
    return showTip(hover, event.clientX - box.left, event.clientY - box.top);
  }
  const dx = event.clientX - before.x, dy = event.clientY - before.y;
  const held = pointers.size >= 2 ? timeAt({ clientX: middle() }) : 0;
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  dragged += Math.abs(dx) + Math.abs(dy);
  if (dragged < 4) return;
  app.hover = null;
  showTip(null);
  if (frameFrom !== null) return;
  if (pointers.size >= 2) {
    // the moment between the fingers stays between them
    const now = spread();
    zoom(pinch / now, held);
    pinch = now;
    pan(held - timeAt({ clientX: middle() }));
  } else {
    pan(-dx / app.scale);
    byId("scroller").scrollTop -= dy;
  }
}

function onUp(event) {
  if (!pointers.delete(event.pointerId)) return;
  if (frameFrom !== null && dragged > 8) {
    const to = timeAt(event);
    goTo(Math.min(frameFrom, to), Math.max(frameFrom, to));
    frameFrom = null;
    return;
  }
  if (pointers.size || dragged > 4 || event.type === "pointercancel") return;
  const one = spanAt(event);
  if (one?.table) select(one, { reveal: false });
  else if (one) {
    app.span = null;
    selectRow(one.index);
    if (one.row.type === "group") toggleRow(one.row);
  }
}

// ---- keys

/** Keys that both the chart and the list of lanes know. */
function onTimeKey(event) {
  const width = app.view.end - app.view.begin;
  if (event.key === "+" || event.key === "=") zoom(1 / 1.5, focusMoment());
  else if (event.key === "-" || event.key === "_") zoom(1.5, focusMoment());
  else if (event.key === "n" || (event.shiftKey && event.key === "ArrowRight")) nextSpan(1);
  else if (event.key === "p" || (event.shiftKey && event.key === "ArrowLeft")) nextSpan(-1);
  else if (event.key === "Enter" && app.span) goTo(...padded(app.span.table.begin[app.span.span], app.span.table.end[app.span.span]));
  else if (event.key === "ArrowDown") moveRow(1);
  else if (event.key === "ArrowUp") moveRow(-1);
  else if (event.key === "PageDown") moveRow(10);
  else if (event.key === "PageUp") moveRow(-10);
  else return width && false;
  return true;
}

/** Zooming by keys keeps what is selected where it is, if it is in sight. */
function focusMoment() {
  const { begin, end } = app.view;
  if (!app.span) return (begin + end) / 2;
  const a = Math.max(begin, app.span.table.begin[app.span.span]), b = Math.min(end, app.span.table.end[app.span.span]);
  return a <= b ? (a + b) / 2 : (begin + end) / 2;
}

function moveRow(by) {
  app.span = null;
  selectRow(Math.max(0, Math.min(app.rows.length - 1, app.row + by)));
}

function onChartKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const width = app.view.end - app.view.begin;
  if (!event.shiftKey && event.key === "ArrowLeft") pan(-width / 8);
  else if (!event.shiftKey && event.key === "ArrowRight") pan(width / 8);
  else if (event.key === "Home") goTo(...whole());
  else if (!onTimeKey(event)) return;
  event.preventDefault();
}

function onNamesKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const row = app.rows[app.row];
  if (!event.shiftKey && event.key === "ArrowRight" && row?.parent && !row.open) toggleRow(row, true);
  else if (!event.shiftKey && event.key === "ArrowRight" && row?.parent) moveRow(1);
  else if (!event.shiftKey && event.key === "ArrowLeft" && row?.parent && row.open) toggleRow(row, false);
  else if (!event.shiftKey && event.key === "ArrowLeft" && row) {
    const above = app.rows.findLastIndex((one, index) => index < app.row && (one.depth < row.depth || one.type === "loop"));
    if (above >= 0) moveRow(above - app.row);
  } else if (event.key === "Home") moveRow(-app.rows.length);
  else if (event.key === "End") moveRow(app.rows.length);
  else if (event.key === "Enter" && !app.span && row?.type === "group") toggleRow(row);
  else if (event.key === "Enter" && !app.span && row) nextSpan(1);
  else if (!onTimeKey(event)) return;
  event.preventDefault();
}

/** From span to span of the selected lane; the first is the first one in sight. */
function nextSpan(by) {
  const row = app.rows[app.row];
  if (!row || row.type === "loop" || row.type === "group") return;
  const table = row.type === "worker" ? row.loop.work : row.loop.spans;
  const [from, to] = row.type === "worker" ? row.loop.workRange[row.lane] : row.loop.range(row.lane);
  const inLane = app.span?.table === table && app.span.loop === row.loop && app.span.span >= from && app.span.span < to;
  const span = inLane ? app.span.span + by : by > 0 ? upperBound(table.end, app.view.begin, from, to) : lowerBound(table.begin, app.view.end, from, to) - 1;
  if (span < from || span >= to) return say(by > 0 ? "no later span in this lane" : "no earlier span in this lane");
  select({ loop: row.loop, table, span });
  const { begin, end } = app.view, width = end - begin;
  if (table.begin[span] > end || table.end[span] < begin) setView(table.begin[span] - width / 2, table.begin[span] + width / 2);
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.key === "Escape") {
    if (!byId("help").hidden) return toggleHelp();
    if (app.filter) return setFilter("");
    return select(null);
  }
  if (event.target.matches?.("input, select, textarea")) return;
  if (event.key === "/") byId("search").focus();
  else if (event.key === "g") toggleGroups();
  else if (event.key === "t") switchTheme();
  else if (event.key === "?") toggleHelp();
  else if (event.key === "Home" && event.target === document.body) goTo(...whole());
  else if (event.target === document.body && ["ArrowLeft", "ArrowRight", "+", "-", "="].includes(event.key)) return onChartKey(event);
  else return;
  event.preventDefault();
}

function toggleHelp() {
  const help = byId("help");
  help.hidden = !help.hidden;
  byId("keys").setAttribute("aria-expanded", String(!help.hidden));
}

function toggleGroups() {
  app.grouped = !app.grouped;
  byId("group").setAttribute("aria-pressed", String(app.grouped));
  rebuild();
}

/** The border between chart and tables: by pointer or by keys. */
function listenToGrip() {
  const grip = byId("grip"), set = (height) => document.documentElement.style.setProperty("--below", `${Math.max(60, Math.min(innerHeight * 0.7, height))}px`);
  grip.addEventListener("pointerdown", (event) => grip.setPointerCapture(event.pointerId));
  grip.addEventListener("pointermove", (event) => event.buttons & 1 && set(innerHeight - event.clientY - 4));
  grip.addEventListener("keydown", (event) => {
    const by = { ArrowUp: 24, ArrowDown: -24 }[event.key];
    if (by) set(document.querySelector(".below").offsetHeight + by);
  });
}
